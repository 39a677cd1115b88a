"""Variants of the best trials: near them, of the best alone, and the same whoever asks."""

import math

import numpy
import pytest

from trimtab.knobs.domains import Choice, Range, holds
from trimtab.tuning.space import constants_of, space_for
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord
from trimtab.tuning.variants import BEST, FEWEST, RATE_STEP, SHARE, STEP, Variants

SPACE = space_for("regression", "rmse", rows=500, columns=8, fixed={})


def record(number, values, error, state=COMPLETE):
    return TrialRecord(number, "", values, SPACE.config(values), state, error, best_epochs=(3,), ended=("all epochs",))


def told(errors, *, seed=0, state=COMPLETE):
    """Variants of trials with these errors, and the trials' values."""
    variants, rng = Variants(SPACE, seed=seed), numpy.random.default_rng(1)
    every = [SPACE.draw(rng) for _ in errors]
    for number, (values, error) in enumerate(zip(every, errors, strict=True)):
        variants.tell(record(number, values, error, state))
    return variants, every


def shares(domain, one, other):
    """How far two numbers lie apart, in shares of their range."""
    if domain.log:
        return abs(math.log(one / other)) / math.log(domain.high / domain.low)
    return abs(one - other) / (domain.high - domain.low)


def test_a_variant_lies_beside_one_of_the_best():
    variants, every = told([1.0, 9.0, 2.0, 3.0, 1.5, 8.0, 2.5])
    good = [every[place] for place in (0, 4, 2, 6, 3)]
    rng = numpy.random.default_rng(0)
    numbers = {name: domain for name, domain in SPACE.domains.items() if isinstance(domain, Range)}
    structural = [name for name in SPACE.structural if name in SPACE.domains]
    parents, restructured = [], 0

    def otherwise(one, other):
        """How far numbers have moved at most, and how many structural knobs are others."""
        moved = max(shares(each, one[name], other[name]) for name, each in numbers.items())
        return moved, sum(one[name] != other[name] for name in structural)

    for _ in range(400):
        values = variants.draw(rng)
        assert all(holds(domain, values[name]) for name, domain in SPACE.domains.items())
        apart = [otherwise(values, one) for one in good]
        possible = [place for place, (moved, changed) in enumerate(apart) if moved < 5 * STEP and changed <= 1]
        parents.append(min(possible, key=lambda place: apart[place]))
        restructured += apart[parents[-1]][1]
    counts = numpy.bincount(parents, minlength=BEST)
    assert counts[0] > counts[1] > counts[2] and counts[4] > 0, "the better, the oftener"
    assert 40 < restructured < 200


def test_a_rate_moves_little_and_goes_with_its_optimizer():
    variants, every = told([1.0] * FEWEST)
    for values in every:
        values |= {"optimizer": "adamw", "lr": constants_of("adamw")["lr"]}
    variants, rng = Variants(SPACE, seed=0), numpy.random.default_rng(0)
    for number, values in enumerate(every):
        variants.tell(record(number, values, 1.0))
    drawn = [variants.draw(rng) for _ in range(600)]
    assert {values["optimizer"] for values in drawn} == set(SPACE.domains["optimizer"].values)
    away = [math.log(values["lr"] / constants_of(values["optimizer"])["lr"]) for values in drawn]
    assert numpy.std(away) == pytest.approx(RATE_STEP, rel=0.15) and abs(numpy.mean(away)) < 0.1


def test_within_a_structure_the_best_that_have_it_have_variants():
    variants, every = told([1.0, 2.0, 3.0, 4.0, 5.0])
    structure = {name: every[4][name] for name in SPACE.structural if name in SPACE.domains}
    rng = numpy.random.default_rng(0)
    for _ in range(50):
        values = variants.draw(rng, structure)
        assert structure.items() <= values.items()
        assert shares(SPACE.domains["epochs"], values["epochs"], every[4]["epochs"]) < 5 * STEP
    nobodys = structure | {"depth": 4, "width": 32}
    assert not any(nobodys.items() <= values.items() for values in every)
    assert nobodys.items() <= variants.draw(rng, nobodys).items()


def test_what_was_cut_or_failed_has_none():
    variants, _ = told([1.0, 2.0, math.inf, 3.0])
    assert not variants.are_known and not any(variants.is_due(number) for number in range(100))
    variants, _ = told([1.0] * FEWEST, state=PRUNED)
    assert not variants.are_known
    assert told([1.0] * FEWEST)[0].are_known


def test_whose_turn_it_is_follows_from_the_seed_and_the_number():
    one, other = told([1.0] * FEWEST)[0], told([5.0, 1.0, 2.0, 3.0, 4.0])[0]
    due = [one.is_due(number) for number in range(1000)]
    assert due == [other.is_due(number) for number in range(1000)]
    assert sum(due) / 1000 == pytest.approx(SHARE, abs=0.04)
    assert due != [told([1.0] * FEWEST, seed=1)[0].is_due(number) for number in range(1000)]


def test_the_order_in_which_trials_are_told_does_not_matter():
    values = told([3.0, 1.0, 2.0, 4.0, 5.0, 0.5])[1]
    errors = (3, 1, 2, 4, 5, 0.5)
    records = [record(number, *each) for number, each in enumerate(zip(values, errors, strict=True))]
    one, other = Variants(SPACE, seed=0), Variants(SPACE, seed=0)
    for each in records:
        one.tell(each)
    for each in reversed(records):
        other.tell(each)
    drawn = [[variants.draw(numpy.random.default_rng(k)) for k in range(20)] for variants in (one, other)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("domain", "value", "up", "at_most"),
    [
        (Range(1e-4, 1.0, log=True), 1e-2, 1e-1, 1.0), (Range(0.0, 0.5), 0.1, 0.225, 0.5),
        (Range(10, 1000, log=True, integer=True), 100, 316, 1000), (Range(0.0, 1.0, log=True), 0.0, 0.25, 1.0),
    ],
)  # fmt: skip
def test_a_number_moves_on_the_scale_of_its_range(domain, value, up, at_most):
    assert domain.beside(value, 0.25) == pytest.approx(up)
    assert domain.beside(value, 9.0) == at_most and domain.beside(value, 0.0) == value
    assert isinstance(domain.beside(value, 0.1), int) == domain.integer


def test_every_choice_is_drawn_anew_now_and_then():
    variants, every = told([1.0] * FEWEST)
    rng = numpy.random.default_rng(3)
    drawn = [variants.draw(rng) for _ in range(600)]
    for name, domain in SPACE.domains.items():
        if isinstance(domain, Choice):
            others = set(domain.values) - {values[name] for values in every}
            assert not others or others & {values[name] for values in drawn}, name
