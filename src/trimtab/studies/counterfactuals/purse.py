"""Purse: what may be spent on trainings beside a winner, in trainings of the winner. Knows clocks and counts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.ground import fewest_repetitions, folds_compared
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.tuning.budget import Budget
from trimtab.tuning.trial import TrialRecord

# Of what is left, the share that is begun at once: what is longer than expected is then still finished (a guess).
SHARE_AT_ONCE = 0.45
# What is begun near the end is not to be cut off by a training that takes a little longer than the last one (a guess).
MARGIN = 1.15
# What a step takes beside what its lanes take, however few take part: 0.5 to 1.1 ms of a table's networks that are
# written down, 1 to 2 compiled, 2 to 4 of others (benchmarks/RESULTS.md, "Steps that are written down" and
# "Counterfactuals in the time of a `fit`").
SECONDS_OF_A_STEP = 1e-3
# Of what a training took, its lanes' own part at least: more of it would not be its steps' price (a guess).
LEAST_OF_A_TRAINING = 0.5
# Of what it took a search, whose populations share the threads, what it takes here, where one has all of them: without
# it first passes took 0.4 to 0.9 of what was expected (benchmarks/RESULTS.md, as above).
SHARE_OF_SEARCH = 0.7
# Where so few trainings are left, one pass is to have them all: another would have its own price (a guess).
FEW = 6.0
# Kept for writing what was found (a guess).
SECONDS_TO_SAVE = 0.3


@dataclass(frozen=True)
class Price:
    """Seconds of training a winner on all folds that are compared on: `each` beside others in one pass, which takes
    `of_pass` besides."""

    each: float = 0.0
    of_pass: float = 0.0

    @classmethod
    def of(cls, config: Config, rows: int, seconds: float) -> "Price":
        """The price where one such training, on `rows` in each fold, took a search so many seconds.

        They hold the price of its steps too: the half of it, or all where nothing was trained beside, but in a pass of
        several both threads have lanes then.
        """
        of_pass = SECONDS_OF_A_STEP * config.epochs * -(-rows // (config.batch_size or rows))
        return cls(SHARE_OF_SEARCH * max(seconds - of_pass / 2, LEAST_OF_A_TRAINING * seconds), of_pass)

    @classmethod
    def of_trial(cls, record: TrialRecord, data: TrainingData) -> "Price":
        """That of a trial on those folds that are compared on."""
        share = folds_compared(len(data.folds)) / len(data.folds)
        return cls.of(record.config, data.most_training_rows, share * record.seconds)

    def seconds(self, trainings: float, passes: int = 1) -> float:
        """What so many trainings in so many passes are to be given."""
        return MARGIN * (self.each * trainings + self.of_pass * passes)

    def trainings(self, seconds: float) -> float:
        """What fits into so many seconds, in one pass; below 0 where it does not."""
        return (seconds / MARGIN - self.of_pass) / max(1e-6, self.each)

    def measured(self, trainings: float, seconds: float) -> "Price":
        """The price after a pass of so many trainings took so long: what it was, by as much more or less.

        Which part of what was expected was wrong is not known.
        """
        expected = self.each * trainings + self.of_pass
        if expected <= 0:
            return replace(self, each=seconds / trainings)
        return Price(self.each * seconds / expected, self.of_pass * seconds / expected)


@dataclass
class Purse:
    """Holds `seconds` of time from now on, or `trainings` of the winner, or both (None: of these as many as one likes).

    `price` is what such a training is expected to take; what was measured since counts instead. `told_to_stop` ends it
    at any time.
    """

    seconds: float | None
    trainings: float | None = None
    price: Price = field(default_factory=Price)
    told_to_stop: Callable[[], bool] = lambda: False
    _started: float = field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        return self.told_to_stop() or (self.seconds is not None and self.seconds_left <= 0)

    @property
    def seconds_left(self) -> float:
        """Of a time that is limited; 0 where trainings are counted, or it is over."""
        if self.seconds is None or self.told_to_stop():
            return 0.0
        return max(0.0, self.seconds - (time.monotonic() - self._started))

    @property
    def left(self) -> float:
        """Trainings of the winner that can still be paid for, in one pass."""
        if self.told_to_stop():
            return 0.0
        left = math.inf if self.trainings is None else self.trainings
        return left if self.seconds is None else min(left, self.price.trainings(self.seconds_left))

    @property
    def of_pass(self) -> float:
        """What another pass costs, in trainings of the winner; nothing where time is not limited."""
        return 0.0 if self.seconds is None else self.price.of_pass / max(1e-6, self.price.each)

    def seconds_for(self, cost: float) -> float:
        """What trainings of this cost are expected to take in two passes: one to the end, and one of others beside."""
        return self.price.seconds(cost, passes=2) + SECONDS_TO_SAVE

    def may_begin(self, cost: float, already: float) -> bool:
        """Whether something of this cost may be begun beside what costs `already`."""
        left = self.left
        at_once = max(SHARE_AT_ONCE * left, cost, min(left, FEW)) if already else left
        return already + cost <= at_once

    def spent(self, cost: float, seconds: float) -> None:
        """What cost so many trainings took so many seconds."""
        if self.trainings is not None:
            self.trainings -= cost
        if cost > 0:
            self.price = self.price.measured(cost, seconds)


def fewest_trainings(folds: int) -> float:
    """Below these nothing can be compared: the winner and one other, each as often as says something."""
    return 2.0 * fewest_repetitions(folds)


def replay_cost(folds: int, all_folds: int, longer: float) -> float:
    """What a training to its end on some of all folds costs, where that takes `longer` times as long as one with
    stopping."""
    return max(1.0, longer) * folds / all_folds


def fewest_to_replay(folds: int) -> int:
    """On fewer folds stopping rules are not compared: what one fold says is luck (a guess)."""
    return min(2, folds)


def longer_to_its_end(record: TrialRecord) -> float:
    """How many times as long a trial would train without stopping."""
    trained = sum(record.epochs) / len(record.epochs) if record.epochs else record.config.epochs
    return max(1.0, record.config.epochs / max(1.0, trained))


def time_to_explain(call: Call, price: Price, *, folds: int, longer: float = 1.0, spent: float = 0.0) -> float:
    """Seconds to keep of a budget while the best network so far has this price on all `folds`, and trains `longer`
    times as long without stopping; `spent` are those that went into it already.

    All that is left of the share where stopping rules can be read off one training to its end and something be compared
    besides; where not, what that training takes, on as many folds as there is time for; else none, since the search has
    more use for them then.
    """
    kept = _share(call, spent)
    whole, least = (
        price.seconds(replay_cost(some, folds, longer)) + SECONDS_TO_SAVE for some in (folds, fewest_to_replay(folds))
    )
    if kept >= whole + price.seconds(fewest_trainings(folds)):
        return kept
    return min(whole, kept) if kept >= least else 0.0


def _share(call: Call, spent: float) -> float:
    """Seconds of a budget that are for what choices were worth, less what went into it already."""
    return max(0.0, call.explaining * call.budget.seconds - spent) if call.budget.is_limited else 0.0


def purse_within(clock: Budget, price: Price) -> Purse:
    """All that is left of a clock, for trainings of this price."""
    return Purse(max(0.0, clock.left - SECONDS_TO_SAVE), None, price, clock.is_told_to_end)


def purse_of(call: Call, price: Price, *, trials: float, spent: float = 0.0) -> Purse:
    """What a call may spend when its result is there, on trainings of this price.

    The share of its time, where that is left (what the end did not need is), and where trials are counted no more than
    that share of as many trainings as those `trials` were.
    """
    budget = call.budget
    seconds = max(0.0, budget.left + budget.afterwards - SECONDS_TO_SAVE) if budget.is_limited else None
    if seconds is not None:
        seconds = min(seconds, _share(call, spent))
    trainings = None if call.trials is None else call.explaining * trials
    return Purse(seconds, trainings, price, budget.is_told_to_end)
