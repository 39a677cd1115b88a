"""Comparison: which of several values did best, and which cannot be told apart from it.

Knows errors alone, lower is better; it knows no knobs and no networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy
import torch
from jaxtyping import Bool, Float

from trimtab.knobs.knob import Task
from trimtab.training.config import Loss
from trimtab.training.metrics import Metric, Reweighted, bootstrap_errors
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.objective import FormulaLoss

# Values are told apart where chance does so in one of 20 sweeps at most; spreads of values count as different where
# chance makes them so once in 100 times. The usual levels.
LEVEL, CLEARLY = 0.95, 0.99
# Spreads are pooled over values whose errors are at most so many times the best's, and over as many more as give so
# many degrees of freedom.
CLOSE, LEAST_FREEDOM = 1.2, 4
# Beyond so many times the best's error no test is needed, and no run counts as worse: a few rows or runs that went
# astray would hide a useless value in their own spread.
FAR = 2.0
# The spread of an error over rows is drawn from so many of them, so often: a variance out of 400 draws is known to 7 %,
# and one out of 2,000 rows to 3 %, which is enough to compare it with that over seeds.
ROWS_DRAWN, DRAWS = 2_000, 400
# Values beyond so many better ones are told apart without a test.
MOST_COMPARED, SIMULATED = 100, 20_000


@dataclass(frozen=True)
class Predicted:
    """What each value's runs predicted for the same validation rows: [values][repeats] of [rows, outputs]; the rows'
    truth and weights as the metric reads them. `units` are numbers of rows [rows] for each repeat, where there are any:
    rows of one number are no evidence of their own."""

    predictions: Sequence[Sequence[numpy.ndarray]]
    truth: Sequence[torch.Tensor]
    weights: Sequence[torch.Tensor]
    metric: Metric
    units: Sequence[numpy.ndarray] = ()


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

    A value is like the best where the mean of its paired differences is within the half-width of a simultaneous
    interval at 95 %: that of comparisons with the best of several, who is the best partly by luck [Dunnett 1955, Hsu
    1984], with a variance pooled over the values near the best (few seeds tell little of their own spread; a value that
    clearly spreads more, by an F test, has its own), to which the variance over validation rows is added, from a paired
    bootstrap [Efron & Tibshirani 1993].
    """
    means = numpy.where(failed | ~numpy.isfinite(errors).all(1), numpy.inf, errors.mean(1))
    if not numpy.isfinite(means).any():
        return Comparison(None, ())
    best = int(means.argmin())
    farthest = FAR * means[best] if means[best] > 0 else numpy.inf
    nearest = numpy.argsort(means, kind="stable")[:MOST_COMPARED]
    near = [int(i) for i in nearest if numpy.isfinite(means[i]) and means[i] <= farthest]
    judged = numpy.minimum(errors[near], farthest)
    seeds, freedom = _paired_variance(judged)
    seeds_of_each = _own_variances(judged, seeds, freedom)
    rows = _row_variances(predicted, near, best) if predicted is not None else numpy.zeros(len(near))
    half_widths = _quantile(len(near), freedom) * numpy.sqrt(seeds_of_each / errors.shape[1] + rows)
    differences = (judged - judged[0]).mean(1)
    alike = [i for i, difference, width in zip(near, differences, half_widths, strict=True) if difference <= width]
    return Comparison(best, tuple(sorted({best, *alike})))


def metric_of_loss(loss: Loss, task: Task) -> Metric:
    """A loss, which is a mean over rows, as `Predicted` wants it: read from predictions instead of outputs."""

    def prepare(prediction: torch.Tensor, target: torch.Tensor) -> Reweighted:
        lanes, rows, outputs = prediction.shape
        # Every row is a lane of its own, so that its loss is its own too.
        flat = prediction.reshape(lanes * rows, 1, outputs).float()
        truth = target.reshape(lanes * rows, 1, *target.shape[2:])
        classes = outputs if task == "classification" else 0
        one = LossCoefficients.stack([loss], classes)
        many = one.mapped(lambda value: value.expand(lanes * rows, *value.shape[1:]))
        if task == "classification":
            flat = flat.clamp_min(torch.finfo(torch.float32).tiny).log()
        else:
            truth = truth.float()
        losses, _ = FormulaLoss(task)(flat, truth, torch.ones(lanes * rows, 1, dtype=torch.float32), many)
        terms = losses.double().view(lanes, rows, 1)
        return lambda weights: (torch.bmm(weights, terms) / weights.sum(2, keepdim=True)).squeeze(2)

    return Metric("loss", task, False, prepare)


def _paired_variance(errors: Float[numpy.ndarray, "near repeats"]) -> tuple[float, int]:
    """The variance over repeats of the difference of two values, from what is left of the errors of those nearest to
    the best (they are sorted) without the effects of value and repeat; and its degrees of freedom."""
    values, repeats = errors.shape
    if values < 2 or repeats < 2:
        return 0.0, 0
    # Far from the best both means and spreads grow.
    means = errors.mean(1)
    close = int((means <= CLOSE * means[0]).sum()) if means[0] > 0 else values
    fewest = 1 + -(-LEAST_FREEDOM // (repeats - 1))
    nearest = errors[: max(fewest, min(close, (values + 1) // 2))]
    rest = nearest - nearest.mean(1, keepdims=True) - nearest.mean(0, keepdims=True) + nearest.mean()
    freedom = (len(nearest) - 1) * (repeats - 1)
    return 2 * float(numpy.square(rest).sum()) / freedom, freedom


def _own_variances(errors: Float[numpy.ndarray, "near repeats"], pooled: float, freedom: int) -> numpy.ndarray:
    """For each value the variance over repeats of its difference to the best (the first): the pooled one, or its own
    where that is more than chance makes of the pooled one."""
    values, repeats = errors.shape
    if freedom == 0:
        return numpy.full(values, pooled)
    own = (errors - errors[0]).var(1, ddof=1)
    return numpy.where(own > _most_by_chance(repeats - 1, freedom) * pooled, own, pooled)


def _row_variances(predicted: Predicted, near: list[int], best: int) -> numpy.ndarray:
    """How much the mean paired difference would vary over other validation rows, for each value of `near`."""
    repeats = len(predicted.truth)
    variances = numpy.zeros(len(near))
    for repeat in range(repeats):
        truth, weights = predicted.truth[repeat], predicted.weights[repeat]
        units = predicted.units[repeat] if predicted.units else numpy.arange(len(weights))
        chosen, share = _sample(units)
        lanes = torch.stack(
            [torch.from_numpy(predicted.predictions[i][repeat]).double()[chosen] for i in (*near, best)]
        )
        count = len(lanes)
        drawn = bootstrap_errors(
            predicted.metric, lanes, truth[chosen].expand(count, *truth[chosen].shape),
            weights[chosen].double().expand(count, -1), seed=repeat, repetitions=DRAWS,
            units=units[chosen.numpy()],
        )  # fmt: skip
        # One unit alone tells nothing of others: no difference can be told from chance.
        spread = (drawn[:-1] - drawn[-1:]).var(dim=1).nan_to_num(numpy.inf).numpy() * share
        # The rows are the same in each repeat, or a fold's own: taken as the same, which is the careful way.
        variances += spread / repeats
    return variances


def _sample(units: numpy.ndarray) -> tuple[torch.Tensor, float]:
    """The rows of as many units, by chance, as make up the rows that are drawn from, and their share of all units."""
    _, place, sizes = numpy.unique(units, return_inverse=True, return_counts=True)
    order = numpy.random.default_rng(0).permutation(len(sizes))
    taken = order[: max(1, int((sizes[order].cumsum() <= ROWS_DRAWN).sum()))]
    by_unit = numpy.argsort(place, kind="stable")
    ends = numpy.cumsum(sizes)
    rows = numpy.concatenate([by_unit[ends[unit] - sizes[unit] : ends[unit]] for unit in taken])
    return torch.from_numpy(rows), len(taken) / len(sizes)


@cache
def _quantile(values: int, freedom: int) -> float:
    """How far the true best of so many equal values lies behind the one that looks best, in standard errors of their
    difference; freedom 0 is a known error."""
    generator = numpy.random.default_rng(0)
    noise = generator.standard_normal((SIMULATED, max(2, values)))
    behind = (noise[:, 0] - noise.min(1)) / numpy.sqrt(2)
    if freedom:
        behind /= numpy.sqrt(generator.chisquare(freedom, SIMULATED) / freedom)
    return float(numpy.quantile(behind, LEVEL))


@cache
def _most_by_chance(own: int, pooled: int) -> float:
    """The ratio of two estimates of one variance, with those degrees of freedom, that chance exceeds once in 100 times:
    Fisher's F."""
    generator = numpy.random.default_rng(0)
    ratios = generator.chisquare(own, SIMULATED) / own / (generator.chisquare(pooled, SIMULATED) / pooled)
    return float(numpy.quantile(ratios, CLEARLY))
