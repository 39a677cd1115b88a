"""A guess set beside what came: each answer is told whether it was right, and if not, which way it was wrong."""

import math
from itertools import pairwise

import pytest

from trimtab.lab.experiments import EXPERIMENTS
from trimtab.lab.guess import Bracket, Named, among, beside

CHOICES = (Bracket("few", "below 50", 0, 50), Bracket("some", "50 to 150", 50, 150), Bracket("many", "more", 150))


@pytest.mark.parametrize(("number", "right"), [(0, "few"), (49.9, "few"), (50, "some"), (1e9, "many")])
def test_the_answer_that_holds_is_right_and_those_beside_it_are_not(number, right):
    told = beside(CHOICES, number, "it was so many")
    assert [name for name, words in told.items() if words.endswith("so many: you were right.")] == [right]
    names = list(told)
    for name in names[: names.index(right)]:
        assert told[name].endswith("more than you thought.")
    for name in names[names.index(right) + 1 :]:
        assert told[name].endswith("less than you thought.")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_cannot_be_compared_is_not(number):
    assert beside(CHOICES, number, "it was so many") == {}


def test_the_answers_of_a_chapter_leave_no_gap():
    for experiment in EXPERIMENTS.values():
        assert len({each.name for each in experiment.choices}) == len(experiment.choices) >= 3
        brackets = [each for each in experiment.choices if isinstance(each, Bracket)]
        for one, other in pairwise(brackets):
            assert one.high == other.low
        if brackets:
            assert brackets[0].low == 0 and brackets[-1].high == math.inf


def test_an_answer_that_names_one_is_right_where_that_is_among_the_right_ones():
    answers = (Named("a", "the first"), Named("b", "the second"), Named("c", "the third"))
    told = among(answers, ["a", "c"], "these two came first")
    assert told == {
        "a": "You guessed the first, and you were right: these two came first.",
        "b": "You guessed the second, but these two came first.",
        "c": "You guessed the third, and you were right: these two came first.",
    }
    assert among(answers, [], "nobody did") == {}
