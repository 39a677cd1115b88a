"""Purse: what may be spent on trainings beside a winner, in trainings of the winner. Knows clocks and counts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.studies.call import Call

# Of what is left, the share that is begun at once: what is longer than expected is then still finished (a guess).
SHARE_AT_ONCE = 0.45
# What is begun near the end is not to be cut off by a training that takes a little longer than the last one (a guess).
MARGIN = 1.15
# Below these nothing can be compared: the winner and one other, each twice.
FEWEST_TRAININGS = 4
# Kept for writing what was found (a guess).
SECONDS_TO_SAVE = 0.3


@dataclass
class Purse:
    """Holds `seconds` of time from now on, or `trainings` of the winner, or both (None: of these as many as one likes).

    `each` is what such a training is expected to take, in seconds; what was measured since counts instead.
    `told_to_stop` ends it at any time.
    """

    seconds: float | None
    trainings: float | None = None
    each: float = 0.0
    told_to_stop: Callable[[], bool] = lambda: False
    _started: float = field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        is_late = self.seconds is not None and time.monotonic() - self._started >= self.seconds
        return is_late or self.told_to_stop()

    @property
    def left(self) -> float:
        """Trainings of the winner that can still be paid for."""
        if self.told_to_stop():
            return 0.0
        left = math.inf if self.trainings is None else self.trainings
        if self.seconds is None:
            return left
        remaining = self.seconds - (time.monotonic() - self._started)
        return min(left, remaining / (MARGIN * max(1e-6, self.each)))

    def may_begin(self, cost: float, already: float) -> bool:
        """Whether something of this cost may be begun beside what costs `already`."""
        left = self.left
        return already + cost <= (max(SHARE_AT_ONCE * left, cost) if already else left)

    def spent(self, cost: float, seconds: float) -> None:
        """What cost so many trainings took so many seconds."""
        if self.trainings is not None:
            self.trainings -= cost
        if cost > 0:
            self.each = seconds / cost


def time_to_explain(call: Call, *, each: float, to_its_end: float = 1.0, spent: float = 0.0) -> float:
    """Seconds to keep of a budget while the best network so far took `each` to train, and `to_its_end` times as long
    without stopping; `spent` are those that went into it already.

    All that is left of the share where something can be compared; where not, what one training to its end takes, off
    which stopping rules are read; else none, since the search has more use for them then.
    """
    kept = max(0.0, call.explaining * call.budget.seconds - spent) if call.budget.is_limited else 0.0
    if kept >= FEWEST_TRAININGS * MARGIN * each:
        return kept
    replay = MARGIN * each * max(1.0, to_its_end) + SECONDS_TO_SAVE
    return replay if kept >= replay else 0.0


def purse_of(call: Call, *, each: float, trials: int) -> Purse:
    """What a call may spend when its result is there: the time that was kept for it, and where trials are counted no
    more than that share of as many trainings."""
    budget = call.budget
    seconds = max(0.0, budget.left + budget.afterwards - SECONDS_TO_SAVE) if budget.is_limited else None
    if seconds is not None:
        seconds = min(seconds, budget.afterwards)
    trainings = None if call.trials is None else call.explaining * trials
    return Purse(seconds, trainings, each, budget.is_told_to_end)
