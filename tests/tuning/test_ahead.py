import math
import threading
from dataclasses import replace

import numpy
import pytest

from trimtab.tuning.ahead import Ahead, InOrder, Waves
from trimtab.tuning.proposer import MOST_REMEMBERED, Proposer
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord
from trimtab.tuning.variants import FEWEST, SHARE_WITHIN, Variants

SPACE = space_for("regression", "rmse", rows=500, columns=8, fixed={})
# Where nothing is known of what is good, everything is drawn or learnt.
UNKNOWN = replace(SPACE, guesses=())


def record(number, values, error=1.0, state=COMPLETE):
    return TrialRecord(number, "", values, SPACE.config(values), state, error, best_epochs=(3,), ended=("all epochs",))


class Held(Waves):
    """Proposes the first trials, and nothing more before it may `go` on."""

    def __init__(self, proposer):
        super().__init__(proposer, lambda values: 1)
        self.go, self.asked = threading.Event(), 0

    def next(self, number):
        self.asked += 1
        if self.asked > 2:
            self.go.wait()
        return super().next(number)


def test_the_first_trials_are_the_proposers_own():
    ahead = Ahead(Waves(Proposer(SPACE, seed=0), lambda values: 1), seed=0)
    first = ahead.next(7)
    ahead.close()
    assert first["lr"] == SPACE.guesses[0]["lr"] and first["width"] == SPACE.guesses[0]["width"]


def test_nobody_waits_for_a_slow_proposer():
    ahead = Ahead(waves := Held(Proposer(UNKNOWN, seed=0)), seed=0)
    values = [ahead.next(number) for number in range(12)]
    waves.go.set()
    ahead.close()
    assert all(v.keys() == SPACE.domains.keys() for v in values)
    assert ahead.drawn >= 10


def test_what_became_of_every_trial_is_told_to_the_proposer_drawn_ones_too():
    proposer, all_told = Proposer(UNKNOWN, seed=0), threading.Event()

    class Listening(Held):
        def tell(self, record):
            super().tell(record)
            if record.error == 1.11:
                all_told.set()

    ahead = Ahead(waves := Listening(proposer), seed=0)
    values = {number: ahead.next(number) for number in range(100, 112)}
    for number, given in values.items():
        ahead.tell(record(number, given, error=number / 100))
    waves.go.set()
    assert all_told.wait(60) and ahead.drawn > 0
    ahead.close()
    told = {(t.value, t.params["lr"]) for t in proposer.study.get_trials(deepcopy=False) if t.value is not None}
    assert told == {(number / 100, given["lr"]) for number, given in values.items()}


def test_a_wave_keeps_to_one_structure():
    waves = Waves(Proposer(UNKNOWN, seed=0), lambda values: 4)
    structures = [waves.proposer.structure_of(waves.next(number)) for number in range(9)]
    assert all(structure == structures[0] for structure in structures[:8])
    assert waves.proposer.structure_of(waves.drawn(waves.proposer.rng)) == structures[8]


def test_the_guesses_come_first_in_their_order_and_are_waited_for():
    proposer = Proposer(SPACE, seed=0)
    expected = [dict(guess) for guess in proposer.guesses]
    ahead = Ahead(Waves(proposer, lambda values: 4), seed=0)
    values = [ahead.next(number) for number in range(len(expected) + 4)]
    ahead.close()
    assert values[: len(expected)] == expected
    # What follows is no wave of the last one's structure, which happens to stand there.
    assert all(each not in expected for each in values[len(expected) :])


def test_guesses_that_are_the_same_where_knobs_are_held_are_tried_once():
    fixed = {name: SPACE.guesses[0][name] for name in ("loss", "width", "depth", "inputs", "epochs")}
    space = space_for("regression", "rmse", rows=500, columns=8, fixed=fixed)
    waves = Waves(Proposer(space, seed=0), lambda _: 1)
    values = [tuple(waves.next(number).items()) for number in range(30)]
    assert len(set(values)) == 30


def test_an_error_of_the_proposer_reaches_whoever_asks():
    class Broken(Waves):
        def next(self, number):
            raise ValueError("no more")

    ahead = Ahead(Broken(Proposer(SPACE, seed=0), lambda values: 1), seed=0)
    with pytest.raises(ValueError, match="no more"):
        ahead.next(0)
    ahead.close()
    assert not any(thread.name == "trimtab-proposer" for thread in threading.enumerate())


def test_the_proposer_forgets_while_trials_are_open_and_still_learns_from_them():
    proposer = Proposer(SPACE, seed=0)
    values = proposer.propose(0)
    pruned = proposer.propose(1)
    for number in range(2, MOST_REMEMBERED + 5):
        proposer.tell(record(-number, SPACE.draw(proposer.rng), error=float(number)))
    assert len(proposer.study.get_trials(deepcopy=False)) < MOST_REMEMBERED
    proposer.tell(record(0, values, error=0.25))
    proposer.tell(record(1, pruned, error=9.0, state=PRUNED))
    latest = proposer.study.get_trials(deepcopy=False)[-2:]
    assert latest[0].value == 0.25 and latest[0].params == values
    assert latest[1].state.name == "PRUNED" and latest[1].params == pruned


LAG = 4


def in_order():
    variants = Variants(SPACE, seed=3)
    return InOrder(Waves(Proposer(SPACE, seed=3), lambda values: 4, grow=True, variants=variants), lag=LAG)


def play(source, values, numbers, order=None):
    """Propose and judge so many trials, `LAG` at once; those at once end in an order of their own."""
    rng = None if order is None else numpy.random.default_rng(order)
    for first in range(numbers.start, numbers.stop, LAG):
        batch = range(first, min(first + LAG, numbers.stop))
        for number in batch:
            values[number] = source.next(number)
        for number in batch if rng is None else rng.permutation(batch):
            source.tell(judged(int(number), values[int(number)]))
    return values


def judged(number, values):
    return record(number, values, abs(values["dropout"] - 0.2), PRUNED if number % 3 == 0 else COMPLETE)


def test_what_is_proposed_depends_on_the_trials_before_and_not_on_who_ended_first():
    plain, mixed = (play(in_order(), {}, range(60), order=order) for order in (None, 1))
    assert plain == mixed and len({tuple(values.values()) for values in plain.values()}) == 60


def test_a_source_that_goes_on_proposes_what_one_without_a_break_proposes():
    whole = play(in_order(), {}, range(48))
    for end in (4, 8, 16, 32, 44):
        source = in_order()
        for number in range(end):
            source.again(number, whole[number])
            source.tell(judged(number, whole[number]))
        assert play(source, {}, range(end, 48)) == {number: whole[number] for number in range(end, 48)}


def test_after_the_guesses_come_variants_of_the_best_between_waves():
    space = replace(SPACE, guesses=SPACE.guesses[:6])
    waves = Waves(Proposer(space, seed=0), lambda values: 2, variants=Variants(space, seed=0))
    rates = []
    for number in range(40):
        values = waves.next(number)
        # Only a rate near 0.004 is good, which hardly any draw has that exactly.
        error = 1.0 + abs(math.log(values["lr"] / 0.004))
        waves.tell(record(number, values, error))
        rates.append(error)
    assert sum(error < 1.8 for error in rates[6:]) > 20


def test_most_trials_of_a_wave_are_variants_within_its_structure():
    waves = Waves(Proposer(UNKNOWN, seed=0), lambda values: 40, variants=Variants(UNKNOWN, seed=0))
    best = {**UNKNOWN.draw(numpy.random.default_rng(1)), "lr": 0.004, "optimizer": "adamw", "dropout": 0.0}
    for number in range(FEWEST):
        waves.tell(record(number, {**best, "epochs": 100 + number}, 1.0))
    waves._structure, waves._left = {name: best[name] for name in UNKNOWN.structural if name in best}, 60
    proposed = [waves.next(number) for number in range(FEWEST, 44)]
    assert all(waves._structure.items() <= values.items() for values in proposed)
    alike = [values for values in proposed if values["dropout"] < 0.1 and values["sigma"] != best["sigma"]]
    assert len(alike) / 40 == pytest.approx(SHARE_WITHIN, abs=0.15)


def test_guesses_are_tried_once_in_however_many_calls():
    held = {name: value for name, value in SPACE.guesses[0].items() if name in SPACE.domains}
    first = in_order().next(0)
    assert held.items() <= first.items()
    # An older trimtab has completed the same guess by other draws.
    for values in (first, {**SPACE.draw(numpy.random.default_rng(5)), **held}):
        source = in_order()
        source.again(0, values)
        assert not any(held.items() <= source.next(number).items() for number in range(1, 8))


def test_a_search_by_the_clock_that_goes_on_proposes_what_is_new():
    def proposed(first, told):
        waves = Waves(Proposer(SPACE, seed=0), lambda values: 4)
        for each in told:
            waves.again(each.number, each.values)
            waves.tell(each)
        ahead = Ahead(waves, seed=0, first=first)
        values = [ahead.next(number) for number in range(first, first + 10)]
        ahead.close()
        return values, [trial.state.name for trial in waves.proposer.study.trials[: len(told)]]

    before, _ = proposed(0, [])
    after, states = proposed(10, [judged(number, values) for number, values in enumerate(before)])
    assert not [values for values in after if values in before]
    assert states.count("PRUNED") == 4 and states.count("COMPLETE") == 6
