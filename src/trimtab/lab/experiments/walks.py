"""Walks: what came of optimizers on a surface, told of the places and losses of their steps: who ended where, who has
diverged, and who went straight.

Knows numbers; it trains nothing.
"""

from dataclasses import dataclass

import numpy

# A loss that has grown to so many times its first value is said to have diverged, and no longer drawn. A guess: what
# swings wide and comes back stays well below it, and what diverges is beyond it within some steps.
DIVERGED = 100.0
# Losses that differ by less than this share are one on the axis of the picture, where a line is wider. A guess.
ALIKE = 0.02


@dataclass(frozen=True)
class Endings:
    """Losses in the end, and the `low` and the `high` of the last steps; infinite where they have diverged."""

    middle: numpy.ndarray
    low: numpy.ndarray
    high: numpy.ndarray

    @classmethod
    def of(cls, losses: numpy.ndarray, first: float, *, last: int) -> "Endings":
        """Of `losses` `[steps, several]`, by the median of the `last` steps."""
        kept = losses[-last:].copy()
        kept[:, ~(losses[-1] < DIVERGED * first)] = numpy.inf
        kept[~numpy.isfinite(kept)] = numpy.inf
        return cls(numpy.median(kept, 0), kept.min(0), kept.max(0))

    def alike(self) -> numpy.ndarray:
        """Which of them cannot be told from the lowest: those that are near to it, and whose last steps overlap."""
        best = int(self.middle.argmin())
        overlap = (self.low <= self.high[best]) & (self.high >= self.low[best])
        is_near = self.middle <= (1 + ALIKE) * self.middle[best]
        return numpy.isfinite(self.middle) & (is_near | (overlap & (self.low < self.high)))


@dataclass(frozen=True)
class Way:
    """How an optimizer went from its first place to a lowest one: how long, as a multiple of the straight line between
    both, and how often it turned back upon itself."""

    detour: float
    turns: int

    @classmethod
    def of(cls, path: numpy.ndarray, seen: float, lowest: numpy.ndarray) -> "Way":
        """Of a `path` `[steps, 2]` to the place `lowest`, or near to it; steps below `seen` are too short to be seen
        turning."""
        steps = numpy.diff(path, axis=0)
        lengths = numpy.linalg.norm(steps, axis=1)
        back = (steps[1:] * steps[:-1]).sum(1) < 0
        turns = int((back & (lengths[1:] > seen) & (lengths[:-1] > seen)).sum())
        left = float(numpy.linalg.norm(path[-1] - lowest))
        return cls(float((lengths.sum() + left) / max(1e-12, float(numpy.linalg.norm(lowest - path[0])))), turns)
