"""Comparing: by how much a change of a set-up lowers the error, in pairs of short trainings of the same seeds and rows.

Errors are compared by their ratio: what diverges a little in every run spreads too much for differences. Knows
outcomes; it trains nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch

from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import Outcome, truth_and_weights
from trimtab.findings.finding import Trial
from trimtab.findings.worth.intervals import ALIKE, ALPHA, BETTER, DRAWS, WORSE, Paired, Verdict, differences
from trimtab.training.metrics import Metric, bootstrap_errors


@dataclass(frozen=True)
class Comparison:
    """A change tried beside what there was: the errors `before` and `after`, geometric means over so many `pairs` of
    runs (infinite where training diverged or gave no number), and the 95 % interval of `after - before`, `low` to
    `high`, in the unit of the metric (infinite where nothing tells a difference from chance)."""

    change: str
    metric: str
    before: float
    after: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> Verdict:
        """The sign of the interval; of two of which one has no number, the other is better."""
        if math.isfinite(self.before) and math.isfinite(self.after):
            return BETTER if self.high < 0 else WORSE if self.low > 0 else ALIKE
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
        if not all(map(math.isfinite, (self.before, self.after, self.low, self.high))):
            return None
        return Trial(self.metric, self.before, self.after, self.low, self.high)


def measure_of(setup: Setup) -> str:
    """What errors are called: "validation rmse"."""
    metric = setup.fitting.metric
    part = "training" if setup.datasets.valid is None else "validation"
    return f"{part} {'loss' if metric is None else metric.name}"


def mean_of(outcomes: Sequence[Outcome]) -> float:
    """The geometric mean of their errors, the plain one where not all are above 0."""
    errors = numpy.array([each.error for each in outcomes])
    if not bool((errors > 0).all()) or not bool(numpy.isfinite(errors).all()):
        return float(errors.mean())
    return float(numpy.exp(numpy.log(errors).mean()))


def compared(
    setup: Setup, before: Sequence[Outcome], tried: Sequence[tuple[str, Sequence[Outcome]]], *, comparisons: int
) -> list[Comparison]:
    """Each change that was `tried` beside `before`, run by run of the same seed; the intervals of so many
    `comparisons` hold together in 95 % of check-ups."""
    errors = [each.error for _, part in (("", before), *tried) for each in part]
    by_ratio = all(error > 0 for error in errors)
    paired = [_paired(setup, before, after, by_ratio=by_ratio) for _, after in tried]
    found = differences(paired, level=ALPHA / max(1, comparisons, len(tried)))
    start, made = mean_of(before), []
    for (name, after), difference in zip(tried, found, strict=True):
        low, high = ((_ratio(end) - 1) * start if by_ratio else end for end in (difference.low, difference.high))
        made.append(Comparison(name, measure_of(setup), start, mean_of(after), low, high, difference.pairs))
    return made


def _ratio(logarithm: float) -> float:
    return math.exp(logarithm) if logarithm < 700 else math.inf


def _paired(setup: Setup, before: Sequence[Outcome], after: Sequence[Outcome], *, by_ratio: bool) -> Paired:
    """Differences of the errors, or of their logarithms, and their variance over rows where predictions are known."""
    mine, theirs = (numpy.array([each.error for each in part]) for part in (before, after))
    with numpy.errstate(invalid="ignore"):
        values = numpy.log(theirs) - numpy.log(mine) if by_ratio else theirs - mine
    predictions = [each.predictions for each in (*before, *after)]
    known = [each for each in predictions if each is not None and bool(numpy.isfinite(each).all())]
    metric, rows = setup.fitting.metric, setup.judged.rows
    if metric is None or not by_ratio or len(known) < len(predictions) or rows < 2:
        return Paired(values)
    return Paired.over_rows(values, _row_variance(setup, metric, known), rows)


def _row_variance(setup: Setup, metric: Metric, predictions: Sequence[numpy.ndarray]) -> float:
    """The variance over rows of the mean difference between the logarithms of errors, from a paired bootstrap [Efron
    and Tibshirani 1993]; the first half of the `predictions` are those before."""
    truth, weights = truth_and_weights(setup)
    lanes = torch.from_numpy(numpy.stack(predictions).astype(numpy.float64))
    many = truth.expand(len(lanes), *truth.shape), weights.expand(len(lanes), -1)
    drawn = bootstrap_errors(metric, lanes, *many, seed=0, repetitions=DRAWS).numpy()
    half = len(lanes) // 2
    logs = numpy.log(numpy.maximum(drawn, numpy.finfo(float).tiny))
    return float((logs[half:].mean(0) - logs[:half].mean(0)).var(ddof=1)) if drawn.shape[1] > 1 else 0.0
