"""Asynchronous successive halving: which trials are worth training on [Li et al. 2020, arXiv:1810.05934].

A rung stands at a share of a trial's own epochs, so that runs of different lengths meet at the same point of their
schedules. Knows errors alone.
"""

import math
from dataclasses import dataclass, field

RUNGS = (0.12, 0.35)


@dataclass
class Halving:
    """Keeps the best `1 / reduction` of the trials that reach a rung; the first `grace` always go on."""

    reduction: float = 2.5
    grace: int = 4
    seen: list[list[float]] = field(default_factory=lambda: [[] for _ in RUNGS])

    def rung_due(self, rung: int, epoch: int, epochs: int) -> bool:
        """Whether a trial at `epoch` of `epochs` has reached its next rung."""
        return rung < len(RUNGS) and epoch >= math.ceil(RUNGS[rung] * epochs)

    def keeps(self, rung: int, error: float) -> bool:
        """Note `error` at `rung` and say whether its trial trains on."""
        errors = self.seen[rung]
        errors.append(error)
        if not math.isfinite(error):
            return False
        if len(errors) <= self.grace:
            return True
        allowed = max(1, math.floor(len(errors) / self.reduction))
        return sum(other < error for other in errors) < allowed
