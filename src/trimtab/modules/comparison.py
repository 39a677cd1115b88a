"""Comparison: which of several values did best, and which cannot be told apart from it.

Knows errors alone, lower is better; it knows no knobs and no networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from jaxtyping import Bool, Float

from trimtab.training.metrics import Metric, bootstrap_errors

LEVEL = 0.95
ROWS_DRAWN, DRAWS = 2_000, 400
# Values whose error is beyond this many times the best's need no test to be told apart.
FAR = 2.0


@dataclass(frozen=True)
class Predicted:
    """What each value's runs predicted for the same validation rows: [values][repeats] of [rows, outputs]; the rows'
    truth and weights as the metric reads them."""

    predictions: Sequence[Sequence[numpy.ndarray]]
    truth: Sequence[torch.Tensor]
    weights: Sequence[torch.Tensor]
    metric: Metric


@dataclass(frozen=True)
class Comparison:
    """`best` is the place of the value with the lowest mean error, None where every value failed; `alike` the places
    that cannot be told apart from it, the best included."""

    best: int | None
    alike: tuple[int, ...]


def compare(
    errors: Float[numpy.ndarray, "values repeats"],
    failed: Bool[numpy.ndarray, " values"],
    predicted: Predicted | None = None,
) -> Comparison:
    """Values are compared in pairs: a repeat of each began from the same weights and saw the same batches.

    A value is like the best where the mean of its paired differences is within the half-width of their interval at
    95 %: Student's, with a variance pooled over the values near the best (few seeds tell little of their own spread),
    to which the variance over validation rows is added, from a paired bootstrap [Efron & Tibshirani 1993].
    """
    means = numpy.where(failed | ~numpy.isfinite(errors).all(1), numpy.inf, errors.mean(1))
    if not numpy.isfinite(means).any():
        return Comparison(None, ())
    best = int(means.argmin())
    near = [i for i in range(len(means)) if numpy.isfinite(means[i]) and _is_near(means[i], means[best])]
    differences = errors[near] - errors[best]
    seeds, freedom = _pooled_variance(differences, [i != best for i in near])
    rows = _row_variances(predicted, near, best) if predicted is not None else numpy.zeros(len(near))
    half_widths = _quantile(freedom) * numpy.sqrt(seeds / errors.shape[1] + rows)
    alike = [i for i, mean, width in zip(near, differences.mean(1), half_widths, strict=True) if mean <= width]
    return Comparison(best, tuple(sorted({best, *alike})))


def _is_near(mean: float, best: float) -> bool:
    return best <= 0 or mean <= FAR * best


def _pooled_variance(differences: numpy.ndarray, counts: list[bool]) -> tuple[float, int]:
    """The variance over repeats of the paired differences, pooled over the other values, and its degrees of freedom."""
    others = differences[numpy.array(counts, dtype=bool)]
    repeats = differences.shape[1]
    if repeats < 2 or not len(others):
        return 0.0, 0
    # The half of the values whose differences are smallest: far from the best both means and spreads grow.
    order = numpy.argsort(numpy.abs(others.mean(1)))[: max(1, (len(others) + 1) // 2)]
    return float(others[order].var(axis=1, ddof=1).mean()), len(order) * (repeats - 1)


def _row_variances(predicted: Predicted, near: list[int], best: int) -> numpy.ndarray:
    """How much the mean paired difference would vary over other validation rows, for each value of `near`."""
    repeats = len(predicted.truth)
    variances = numpy.zeros(len(near))
    for repeat in range(repeats):
        truth, weights = predicted.truth[repeat], predicted.weights[repeat]
        rows = len(weights)
        chosen = torch.from_numpy(numpy.random.default_rng(0).permutation(rows)[:ROWS_DRAWN])
        lanes = torch.stack(
            [torch.from_numpy(predicted.predictions[i][repeat]).double()[chosen] for i in (*near, best)]
        )
        count = len(lanes)
        drawn = bootstrap_errors(
            predicted.metric, lanes, truth[chosen].expand(count, *truth[chosen].shape),
            weights[chosen].double().expand(count, -1), seed=repeat, repetitions=DRAWS,
        )  # fmt: skip
        spread = (drawn[:-1] - drawn[-1:]).var(dim=1).numpy() * (len(chosen) / rows)
        # The rows are the same in each repeat, or a fold's own: taken as the same, which is the careful way.
        variances += spread / repeats
    return variances


def _quantile(freedom: int) -> float:
    from scipy.stats import norm, t

    tail = 1 - (1 - LEVEL) / 2
    return float(t.ppf(tail, freedom)) if freedom else float(norm.ppf(tail))
