"""Comparing: by how much a change of a set-up lowers the error, in pairs of short trainings of the same seeds and rows.

Knows outcomes; it trains nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import Outcome, truth_and_weights
from trimtab.findings.finding import Trial
from trimtab.findings.worth.intervals import (
    ALIKE,
    ALPHA,
    BETTER,
    WORSE,
    Difference,
    Paired,
    Verdict,
    differences,
    row_variance_of,
)


@dataclass(frozen=True)
class Comparison:
    """A change tried beside what there was: the mean errors `before` and `after` (infinite where training diverged or
    gave no number), and the interval of `after - before`, in the unit of the metric, of so many `pairs` of runs."""

    change: str
    metric: str
    before: float
    after: float
    difference: Difference

    @property
    def pairs(self) -> int:
        return self.difference.pairs

    @property
    def verdict(self) -> Verdict:
        """Whether the change is better, worse, or cannot be told apart; what no longer diverges is better."""
        if math.isfinite(self.before) and math.isfinite(self.after):
            return self.difference.verdict
        if math.isfinite(self.before) == math.isfinite(self.after):
            return ALIKE
        return BETTER if math.isfinite(self.after) else WORSE

    @property
    def is_better(self) -> bool:
        return self.verdict == BETTER

    @property
    def share(self) -> float | None:
        """The part of the error that the change takes away; None where training diverged without it."""
        return (self.before - self.after) / self.before if math.isfinite(self.before) and self.before > 0 else None

    @property
    def trial(self) -> Trial | None:
        """The same as a remedy tells it; None where one side has no number."""
        ends = (self.difference.low, self.difference.high)
        if not all(map(math.isfinite, (self.before, self.after, *ends))):
            return None
        return Trial(self.metric, self.before, self.after, *ends)


def measure_of(setup: Setup) -> str:
    """What errors are called: "validation rmse"."""
    metric = setup.fitting.metric
    part = "training" if setup.datasets.valid is None else "validation"
    return f"{part} {'loss' if metric is None else metric.name}"


def compared(
    setup: Setup, before: Sequence[Outcome], tried: Sequence[tuple[str, Sequence[Outcome]]], *, comparisons: int
) -> list[Comparison]:
    """Each change that was `tried` beside `before`, run by run of the same seed; the intervals of so many
    `comparisons` hold together in 95 % of check-ups."""
    paired = [_paired(setup, before, after) for _, after in tried]
    found = differences(paired, level=ALPHA / max(1, comparisons, len(tried)))
    return [
        Comparison(name, measure_of(setup), _mean(before), _mean(after), difference)
        for (name, after), difference in zip(tried, found, strict=True)
    ]


def _paired(setup: Setup, before: Sequence[Outcome], after: Sequence[Outcome]) -> Paired:
    with numpy.errstate(invalid="ignore"):
        values = numpy.array([b.error for b in after]) - numpy.array([a.error for a in before])
    mine, theirs = ([each.predictions for each in part] for part in (before, after))
    metric, rows = setup.fitting.metric, setup.judged.rows
    known = [each for each in (*mine, *theirs) if each is not None and bool(numpy.isfinite(each).all())]
    if metric is None or len(known) < len(before) + len(after) or rows < 2:
        return Paired(values)
    truth, weights = truth_and_weights(setup)
    half = len(before)
    variance = row_variance_of(known[:half], known[half:], truth, weights, metric, units=None, seed=0)
    return Paired.over_rows(values, variance, rows)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return float(numpy.mean([each.error for each in outcomes]))
