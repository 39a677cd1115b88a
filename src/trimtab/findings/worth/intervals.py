"""Intervals: how far many configs' errors lie from a winner's, and how sure that is, all of them taken together.

Knows numbers alone, lower errors being better. What is estimated is the expected difference in error of networks that
are trained on rows like these, and on as many as these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from trimtab.training.metrics import Metric, bootstrap_errors

Verdict = Literal["better", "worse", "alike", "not reached"]
BETTER, WORSE, ALIKE, NOT_REACHED = "better", "worse", "alike", "not reached"
# One false claim in twenty studies at most, whatever is compared in them and however often it is looked at.
ALPHA = 0.05
# An alternative is looked at no more often: whoever looks until something shows finds something.
MOST_LOOKS = 3
# A variance out of 200 draws is known to 10 %.
DRAWS = 200
# What variances say of each other is counted by half: their true spreads are not distributed as the formula has it, and
# with three pairs each one study in twelve claimed something where nothing differed (benchmarks/RESULTS.md).
TRUST = 0.5
# Fewer variances say nothing of how variances spread; and however alike they are, they count for no more than so many
# degrees of freedom (a guess, on the careful side: a limit of infinity is what the formula gives).
FEWEST_TO_POOL, MOST_FREEDOM = 4, 30.0


@dataclass(frozen=True)
class Difference:
    """By how much an error is larger than the winner's (below 0: smaller), from so many pairs of runs, and the ends of
    its interval: infinite where nothing tells a difference from chance, NaN all three where runs diverged."""

    value: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> Verdict:
        """The sign of the interval; what diverged is worse."""
        if math.isnan(self.value):
            return WORSE
        return BETTER if self.high < 0 else WORSE if self.low > 0 else ALIKE

    @property
    def reversed(self) -> "Difference":
        """By how much the winner's error is larger."""
        return Difference(-self.value, -self.high, -self.low, self.pairs)


@dataclass(frozen=True)
class Paired:
    """Differences of paired runs, `values`, and what the variance of their mean is beside that over the runs: a share
    of it (`overlap`), or a variance over rows that all runs share, known from so many units of rows."""

    values: Float[numpy.ndarray, " pairs"]
    overlap: float = 0.0
    row_variance: float = 0.0
    units: int = 1

    @classmethod
    def over_folds(cls, values: numpy.ndarray, judged_per_trained: float) -> "Paired":
        """Of folds of repeated cross-validation, whose training parts overlap: the variance of the mean is
        (1/n + judged/trained) times that of one [Nadeau and Bengio 2003, Bouckaert and Frank 2004]."""
        return cls(numpy.asarray(values, dtype=float).ravel(), overlap=judged_per_trained)

    @classmethod
    def over_rows(cls, values: numpy.ndarray, row_variance: float, units: int) -> "Paired":
        """Of several seeds on one validation part: rows and seeds are crossed, and both variances add up. How errors
        change with other training rows is not seen here."""
        return cls(numpy.asarray(values, dtype=float).ravel(), row_variance=row_variance, units=units)

    @property
    def is_sound(self) -> bool:
        return bool(numpy.isfinite(self.values).all()) and len(self.values) > 0

    @property
    def freedom(self) -> int:
        return len(self.values) - 1

    @property
    def variance(self) -> float:
        """Of one difference, over runs."""
        return float(self.values.var(ddof=1)) if self.freedom else math.nan


@dataclass(frozen=True)
class OnRows:
    """By how much an error is larger than another on the same rows, where nothing is trained again: the variance of
    that over so many units of rows."""

    value: float
    variance: float
    units: int

    def difference(self, level: float) -> Difference:
        """With an interval that may miss with a chance of `level`."""
        if not (math.isfinite(self.variance) and self.units > 1):
            return Difference(self.value, -math.inf, math.inf, self.units)
        half = float(special.stdtrit(self.units - 1, 1 - level / 2) * math.sqrt(self.variance))
        return Difference(self.value, self.value - half, self.value + half, self.units)


@dataclass(frozen=True)
class Prior:
    """What the variances of many comparisons say of that of one: as much as `freedom` pairs that vary by `variance`."""

    variance: float = 0.0
    freedom: float = 0.0

    @classmethod
    def of(cls, paired: Sequence[Paired]) -> "Prior":
        """By the moments of the logarithms of variances [Smyth 2004, section 6.2]: a few pairs tell little of their own
        spread, and the spreads of a winner's alternatives are much alike."""
        known = [each for each in paired if each.is_sound and each.freedom and each.variance > 0]
        if len(known) < FEWEST_TO_POOL:
            return cls()
        halves = numpy.array([each.freedom / 2 for each in known])
        logs = numpy.log([each.variance for each in known]) - special.digamma(halves) + numpy.log(halves)
        excess = logs.var(ddof=1) - special.polygamma(1, halves).mean()
        freedom = 2 * _inverse_trigamma(excess) if excess > 0 else math.inf
        if freedom >= MOST_FREEDOM:
            return cls(float(numpy.exp(logs.mean())), TRUST * MOST_FREEDOM)
        middle = logs.mean() + special.digamma(freedom / 2) - math.log(freedom / 2)
        return cls(float(numpy.exp(middle)), TRUST * float(freedom))

    def with_own(self, paired: Paired) -> tuple[float, float]:
        """The variance of one difference, and its degrees of freedom."""
        if not paired.freedom:
            return self.variance, self.freedom
        freedom = self.freedom + paired.freedom
        return (self.freedom * self.variance + paired.freedom * paired.variance) / freedom, freedom


def differences(paired: Sequence[Paired], *, level: float) -> list[Difference]:
    """The mean of each, with intervals each of which may miss with a chance of `level`."""
    prior = Prior.of(paired)
    return [_difference(each, prior, level) for each in paired]


def level(comparisons: int, look: int) -> float:
    """The chance with which each of so many intervals may miss in a look of a study, the first being 0.

    Half of what is left may be spent in each look, shared out among its intervals [Bonferroni]: so all that is ever
    shown of a study holds together in 95 % of studies, however often it is gone on with.
    """
    return ALPHA * 0.5 ** (look + 1) / max(1, comparisons)


def row_variance_of(
    winner: Sequence[numpy.ndarray], other: Sequence[numpy.ndarray], truth: Tensor, weights: Tensor, metric: Metric,
    *, units: numpy.ndarray | None, seed: int,
) -> float:  # fmt: skip
    """The variance over rows of the mean difference between predictions of two configs, a `[rows, outputs]` for each
    seed: from a paired bootstrap [Efron and Tibshirani 1993] that draws `units` of rows, the same for all."""
    lanes = torch.from_numpy(numpy.stack([*winner, *other]).astype(numpy.float64))
    many = truth.expand(len(lanes), *truth.shape), weights.expand(len(lanes), -1)
    drawn = bootstrap_errors(metric, lanes, *many, seed=seed, repetitions=DRAWS, units=units).numpy()
    seeds = len(winner)
    return float((drawn[seeds:].mean(0) - drawn[:seeds].mean(0)).var(ddof=1)) if drawn.shape[1] > 1 else 0.0


def _difference(paired: Paired, prior: Prior, level: float) -> Difference:
    pairs = len(paired.values)
    if not paired.is_sound:
        return Difference(math.nan, math.nan, math.nan, pairs)
    mean = float(paired.values.mean())
    of_one, freedom = prior.with_own(paired)
    if not freedom:
        return Difference(mean, -math.inf, math.inf, pairs)
    of_mean = of_one * (1 / pairs + paired.overlap)
    whole = of_mean + paired.row_variance
    # Satterthwaite (1946): of a sum of two variances.
    parts = of_mean**2 / freedom + paired.row_variance**2 / max(1, paired.units - 1)
    half = float(special.stdtrit(whole**2 / parts, 1 - level / 2) * math.sqrt(whole)) if parts > 0 else 0.0
    return Difference(mean, mean - half, mean + half, pairs)


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = `value`, by Newton's steps on its reciprocal [Smyth 2004, appendix]."""
    x = 0.5 + 1 / value
    for _ in range(20):
        ratio = special.polygamma(1, x)
        x += ratio * (1 - ratio / value) / special.polygamma(2, x)
    return float(x)
