"""Asynchronous successive halving: which trials are worth training on [Li et al. 2020, arXiv:1810.05934].

A rung stands at a share of a trial's own epochs, so that runs of different lengths meet at the same point of their
schedules. Knows errors alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy

# Shares of a trial's epochs. A guess, each about three times the one before: by the first, schedules are past their
# warm-up (at most 0.1 of the epochs); after the second, two thirds of the cost are still ahead.
RUNGS = (0.12, 0.35)


@dataclass
class Halving:
    """Keeps the best `1 / reduction` of the trials that reach a rung; the first `grace` always go on.

    Both are guesses: the paper's reduction of 4 leaves too few where a search has some dozens of trials.

    A trial is compared with all that have reached the rung before it; with a `lag`, with those alone whose numbers are
    that much lower than its own, so that it does not matter who comes first.
    """

    reduction: float = 2.5
    grace: int = 4
    lag: int | None = None
    seen: list[dict[int, float]] = field(default_factory=lambda: [{} for _ in RUNGS])

    def goes_on(
        self, number: int, rung_errors: list[float], *, epoch: int, epochs: int, errors: Sequence[float]
    ) -> bool:
        """Whether trial `number`, at `epoch` of its `epochs` and with these `errors` of its folds, trains on.

        `rung_errors` are its mean errors at the rungs it has passed; where it has reached the next, that one is added.
        """
        rung = len(rung_errors)
        if not self.rung_due(rung, epoch, epochs):
            return True
        error = float(numpy.mean(errors))
        rung_errors.append(error)
        # A metric that has given no number so far says nothing against a trial whose losses are numbers.
        return self.keeps(rung, error, number) or not math.isfinite(error)

    def rung_due(self, rung: int, epoch: int, epochs: int) -> bool:
        """Whether a trial at `epoch` of `epochs` has reached its next rung."""
        return rung < len(RUNGS) and epoch >= math.ceil(RUNGS[rung] * epochs)

    def note(self, rung_errors: Sequence[float], number: int) -> None:
        """What trial `number` of an earlier call came to at its rungs."""
        for seen, error in zip(self.seen, rung_errors, strict=False):
            seen[number] = error

    def keeps(self, rung: int, error: float, number: int | None = None) -> bool:
        """Note `error` of trial `number` (the next one, if left out) at `rung` and say whether it trains on."""
        seen = self.seen[rung]
        number = len(seen) if number is None else number
        seen[number] = error
        last = math.inf if self.lag is None else number - self.lag
        errors = [other for at, other in seen.items() if at <= last or at == number]
        if not math.isfinite(error):
            return False
        if len(errors) <= self.grace:
            return True
        allowed = max(1, math.floor(len(errors) / self.reduction))
        return sum(other < error for other in errors) < allowed
