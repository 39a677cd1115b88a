"""Metrics: how good predictions are, in original units, for all lanes at once; figures and intervals for one of them.

Knows no losses, networks or tables. Inside, every metric is an error, lower is better; `shown` gives what users read.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from trimtab.errors import OptionError, unknown_choice
from trimtab.knobs.knob import Task

Array = Tensor | numpy.ndarray
Targets = Float[Tensor, "lanes rows outputs"] | Int[Tensor, "lanes rows"]
# Errors [lanes, repetitions] of one prediction under many row weights [lanes, repetitions, rows].
Reweighted = Callable[[Tensor], Tensor]

# Row weights of a bootstrap that lie in memory at once: 16 MB of float64.
_WEIGHTS_AT_ONCE = 2_000_000
# Those of all repetitions together, some seconds' work: from 20,000 rows on fewer are drawn, but never fewer than 200,
# of which the ends of a 95 % interval are the fifth from either side.
_MOST_WEIGHTS = 20_000_000
_FEWEST_REPETITIONS = 200
# More rows than these are sampled, and what they spread is narrowed to the spread of all.
_MOST_ROWS, _FEWEST_UNITS = 100_000, 50


@dataclass(frozen=True)
class Metric:
    """A way to score predictions; `prepare` does once what does not depend on row weights."""

    name: str
    task: Task
    greater_is_better: bool
    prepare: Callable[[Tensor, Tensor], Reweighted]
    is_binary_only: bool = False
    own: Any = None  # the caller's metric that this stands for

    def error(
        self, prediction: Float[Tensor, "lanes rows outputs"], target: Targets, weight: Float[Tensor, "lanes rows"]
    ) -> Float[Tensor, " lanes"]:
        """Each lane's error (float64), lower is better: 1 - the figure where greater figures are better.

        `prediction` holds original units or class probabilities, `target` original units or class numbers. Rows of
        weight 0 count for nothing, whatever they hold. NaN where a prediction that counts is not finite, where nothing
        counts, and for roc_auc where only one class does.
        """
        return self.reweighted(prediction, target, weight)(weight.double().unsqueeze(1)).squeeze(1)

    def reweighted(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Reweighted:
        """Errors as a function of weights `[lanes, repetitions, rows]` (float64) that are 0 where `weight` is."""
        counts = weight > 0
        rows = counts.unsqueeze(2)
        is_finite = (prediction.isfinite() | ~rows).all(2).all(1)
        prediction = torch.where(rows, prediction, 0.0)
        if target.is_floating_point():
            target = torch.where(rows | target.isfinite(), target, 0.0)
        measure = self.prepare(prediction, target)
        return lambda weights: torch.where(is_finite.unsqueeze(1), measure(weights), torch.nan)

    def shown(self, error: float) -> float:
        """The figure users read: the error itself, or 1 - error for r2, accuracy and the like."""
        return 1 - error if self.greater_is_better else error


def _mean_of(
    terms: Callable[[Tensor, Tensor], Tensor], finish: Callable[[Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Reweighted]:
    """A metric that is `finish` of weighted means over rows of `terms` [lanes, rows, terms]."""

    def prepare(prediction: Tensor, target: Tensor) -> Reweighted:
        values = terms(prediction, target)

        def reweighted(weights: Tensor) -> Tensor:
            return finish(_sums(weights, values) / _totals(weights))

        return reweighted

    return prepare


def _sums(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sums [lanes, repetitions, terms] over rows."""
    if weights.stride(0) or len(weights) == 1:
        return torch.bmm(weights, values)
    # All lanes have the same weights: one product instead of one for each.
    lanes, rows, terms = values.shape
    sums = weights[0] @ values.transpose(0, 1).reshape(rows, lanes * terms)
    return sums.view(-1, lanes, terms).transpose(0, 1)


def _totals(weights: Tensor) -> Tensor:
    if weights.stride(0):
        return weights.sum(2, keepdim=True)
    return weights[:1].sum(2, keepdim=True).expand(len(weights), -1, -1)


def _squares(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction.double() - target.double()).square()


def _sizes(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction.double() - target.double()).abs()


def _squares_and_spread(prediction: Tensor, target: Tensor) -> Tensor:
    # Centred first, or the variance of a target far from 0 loses its digits.
    centred = target.double() - target.double().mean(1, keepdim=True)
    return torch.cat([_squares(prediction, target), centred, centred.square()], dim=2)


def _unexplained(means: Tensor) -> Tensor:
    """1 - R2, averaged over outputs; a constant target is explained by exact predictions and by nothing else."""
    squares, centre, spread = means.chunk(3, dim=2)
    variance = (spread - centre.square()).clamp_min(0)
    is_constant = variance <= 1e-14 * spread  # some rounding errors of float64
    share = squares / torch.where(is_constant, 1.0, variance)
    # Comparing keeps NaN out of sight, so it is added back for lanes of which no row counts.
    return torch.where(is_constant, (squares > 0).double() + 0 * squares, share).mean(2)


def _surprise(probability: Tensor, target: Tensor) -> Tensor:
    precision = torch.finfo(probability.dtype).eps
    of_label = probability.gather(2, target.unsqueeze(2))
    return -of_label.clamp(precision, 1 - precision).double().log()


def _misses(probability: Tensor, target: Tensor) -> Tensor:
    return (probability.argmax(2) != target).double().unsqueeze(2)


def _misses_by_class(probability: Tensor, target: Tensor) -> Tensor:
    is_class = one_hot(target, probability.shape[2]).double()
    return torch.cat([is_class * _misses(probability, target), is_class], dim=2)


def _mean_over_classes(means: Tensor) -> Tensor:
    """The mean share of misses over the classes that have rows."""
    misses, share = means.chunk(2, dim=2)
    return torch.where(share > 0, misses / share, torch.where(share == 0, torch.nan, share)).nanmean(2)


def _hits_by_class(probability: Tensor, target: Tensor) -> Tensor:
    classes = probability.shape[2]
    is_class, is_chosen = (one_hot(x, classes).double() for x in (target, probability.argmax(2)))
    return torch.cat([is_class * is_chosen, is_class, is_chosen], dim=2)


def _without_f1(means: Tensor) -> Tensor:
    """1 - F1, the harmonic mean of precision and recall: that of class 1 of two, else the mean over the classes that
    are in the rows or predicted; 0 where nothing was found [van Rijsbergen 1979], as scikit-learn has it."""
    hits, own, chosen = means.chunk(3, dim=2)
    both = own + chosen
    score = torch.where(both > 0, 2 * hits / both, torch.where(both == 0, torch.nan, both))
    if score.shape[2] == 2:
        score = score[:, :, 1]
        return 1 - torch.where(both[:, :, 1] == 0, 0.0, score)
    return 1 - score.nanmean(2)


def _ranking(probability: Tensor, target: Tensor) -> Reweighted:
    """1 - area under the ROC curve: the share of (negative, positive) pairs in the wrong order, ties counting half."""
    scores, order = probability[:, :, 1].double().sort(dim=1)
    is_positive = target.gather(1, order).double().unsqueeze(1)
    first, behind = _ties(scores)

    def reweighted(weights: Tensor) -> Tensor:
        def spread(index: Tensor) -> Tensor:
            return index.unsqueeze(1).expand_as(weights)

        ordered = weights.gather(2, spread(order))
        positive = ordered * is_positive
        negative = torch.nn.functional.pad((ordered - positive).cumsum(2), (1, 0))
        beaten = negative.gather(2, spread(first)) + negative.gather(2, spread(behind))
        pairs = positive.sum(2) * negative[:, :, -1]
        return 1 - (positive * beaten).sum(2) / 2 / torch.where(pairs > 0, pairs, torch.nan)

    return reweighted


def _ties(scores: Tensor) -> tuple[Tensor, Tensor]:
    """For each place in sorted rows of scores: the first place of its ties, and the first behind them."""
    rows = scores.shape[1]
    places = torch.arange(rows, device=scores.device)
    differs = torch.nn.functional.pad(scores[:, 1:] != scores[:, :-1], (1, 1), value=True)
    first = torch.where(differs[:, :-1], places, 0).cummax(1).values
    behind = torch.where(differs[:, 1:], places + 1, rows).flip(1).cummin(1).values.flip(1)
    return first, behind


def _average(means: Tensor) -> Tensor:
    return means.mean(2)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("rmse", "regression", False, _mean_of(_squares, lambda means: means.sqrt().mean(2))),
        Metric("mae", "regression", False, _mean_of(_sizes, _average)),
        Metric("r2", "regression", True, _mean_of(_squares_and_spread, _unexplained)),
        Metric("log_loss", "classification", False, _mean_of(_surprise, _average)),
        Metric("accuracy", "classification", True, _mean_of(_misses, _average)),
        Metric("balanced_accuracy", "classification", True, _mean_of(_misses_by_class, _mean_over_classes)),
        Metric("f1", "classification", True, _mean_of(_hits_by_class, _without_f1)),
        Metric("roc_auc", "classification", True, _ranking, is_binary_only=True),
    )
}
# Those that look at which class is predicted, and not at how probable it is.
OF_DECISIONS = ("accuracy", "balanced_accuracy", "f1")
# What others call them; letters alone count, so that "R2", "roc-auc" and "Log loss" are found too.
ALIASES = {
    "auc": "roc_auc", "auroc": "roc_auc", "acc": "accuracy", "balancedacc": "balanced_accuracy", "f1score": "f1",
    "f1macro": "f1", "macrof1": "f1", "crossentropy": "log_loss", "rsquared": "r2", "r2score": "r2",
    "rootmeansquarederror": "rmse", "meanabsoluteerror": "mae",
}  # fmt: skip


def greater_is_better(metric: Metric | None) -> bool:
    """Whether a larger figure is the better one; without a metric it is a loss, of which a smaller one is."""
    return metric is not None and metric.greater_is_better


def default_metric(task: Task) -> Metric:
    """What a study is judged by when nothing is asked: RMSE, or log loss."""
    return METRICS["rmse" if task == "regression" else "log_loss"]


def metrics_for(task: Task, classes: int = 0) -> tuple[Metric, ...]:
    """All metrics that fit `task` with this many classes, in the order in which they are shown."""
    return tuple(m for m in METRICS.values() if m.task == task and (classes == 2 or not m.is_binary_only))


def known_metric(name: object) -> Metric | None:
    """The metric that somebody calls `name`, whatever its case and spelling; None where there is none."""
    letters = re.sub(r"[^a-z0-9]", "", str(name).lower().replace("\u00b2", "2"))
    letters = letters.removeprefix("neg")  # scikit-learn's names of errors
    own = {metric.replace("_", ""): metric for metric in METRICS}
    return METRICS.get(own.get(letters) or ALIASES.get(letters, ""))


def metric_for(name: object, task: Task, classes: int = 0) -> Metric:
    """The metric a user calls `name` (None: the task's default); OptionError where it is unknown or does not fit."""
    if name is None:
        return default_metric(task)
    if callable(name) or hasattr(name, "function"):
        raise OptionError(
            "metric is a function: networks of your own may be judged by one, as tt.Metric(function, "
            "greater_is_better=...), and tables by the name of a metric."
        )
    if isinstance(name, (list, tuple, set, dict)):
        raise OptionError(f"metric is {name!r}: give the name of one metric.")
    name, fitting, metric = str(name), metrics_for(task, classes), known_metric(name)
    if metric is None:
        raise unknown_choice("metric", name, [m.name for m in fitting])
    if metric not in fitting:
        here = f"target has {classes} classes" if metric.task == task else f"task is {task}"
        kind = "two classes" if metric.task == task else metric.task
        choices = ", ".join(m.name for m in fitting)
        raise OptionError(f'Metric "{name}" is for {kind}, but this {here}. Choose one of: {choices}.')
    return metric


def all_scores(
    prediction: Float[Array, "rows outputs"],
    target: Float[Array, "rows outputs"] | Int[Array, " rows"],
    weight: Float[Array, " rows"],
    task: Task,
    beside: Metric | None = None,
) -> dict[str, float]:
    """The figures that users read about one prediction, by metric name; roc_auc only where there are two classes, and
    `beside` them one that is asked for too."""
    prediction, target, weight = _as_lane(prediction, target, weight)
    metrics = metrics_for(task, prediction.shape[2])
    if beside is not None and beside not in metrics:
        metrics = (beside, *metrics)
    return {m.name: m.shown(float(m.error(prediction, target, weight))) for m in metrics}


def middle(draws: Float[Tensor, " repetitions"], level: float = 0.95) -> tuple[float, float]:
    """The ends between which `level` of the draws lie; NaN where none is a number."""
    draws = draws[~draws.isnan()]
    if not len(draws):
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    return float(draws.quantile(tail)), float(draws.quantile(1 - tail))


def bootstrap_errors(
    metric: Metric,
    prediction: Float[Tensor, "lanes rows outputs"],
    target: Targets,
    weight: Float[Tensor, "lanes rows"],
    *,
    seed: int,
    repetitions: int = 1000,
    units: Int[Array, " rows"] | None = None,
) -> Float[Tensor, "lanes repetitions"]:
    """Errors on rows drawn with replacement, the same draws in every lane (so that lanes may be compared in pairs)."""
    options: dict = {"seed": seed, "repetitions": repetitions, "units": units}
    return bootstrap_all([metric], prediction, target, weight, **options)[metric.name]


def bootstrap_all(
    metrics: Sequence[Metric],
    prediction: Float[Tensor, "lanes rows outputs"],
    target: Targets,
    weight: Float[Tensor, "lanes rows"],
    *,
    seed: int,
    repetitions: int = 1000,
    units: Int[Array, " rows"] | None = None,
) -> dict[str, Float[Tensor, "lanes repetitions"]]:
    """For each metric by name what `bootstrap_errors` gives, on the same draws; NaN for fewer than two units."""
    rows = weight.shape[1]
    place = numpy.arange(rows) if units is None else numpy.unique(numpy.asarray(units), return_inverse=True)[1]
    count = int(place.max(initial=-1)) + 1
    if count < 2:
        return {metric.name: torch.full((len(weight), 1), torch.nan, dtype=torch.float64) for metric in metrics}
    if rows <= _MOST_ROWS:
        return _drawn(metrics, prediction, target, weight, place, seed=seed, repetitions=repetitions)
    taken, share = _sampled(place, seed)
    sample = prediction[:, taken], target[:, taken], weight[:, taken]
    place = numpy.unique(place[taken], return_inverse=True)[1]
    drawn = _drawn(metrics, *sample, place, seed=seed, repetitions=repetitions)
    whole = {metric.name: metric.error(prediction, target, weight).unsqueeze(1) for metric in metrics}
    part = {metric.name: metric.error(*sample).unsqueeze(1) for metric in metrics}
    return {name: whole[name] + share**0.5 * (errors - part[name]) for name, errors in drawn.items()}


def repetitions_for(rows: int, repetitions: int = 1000) -> int:
    """How often so many rows are drawn; of many rows fewer times."""
    return min(repetitions, max(_FEWEST_REPETITIONS, _MOST_WEIGHTS // max(1, min(rows, _MOST_ROWS))))


def _drawn(
    metrics: Sequence[Metric],
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    place: Int[numpy.ndarray, " rows"],
    *,
    seed: int,
    repetitions: int,
) -> dict[str, Tensor]:
    """Errors [lanes, repetitions] on units drawn with replacement; `place` is the unit of each row, from 0 on."""
    (lanes, rows), count = weight.shape, int(place.max()) + 1
    repetitions = repetitions_for(rows, repetitions)
    reweighted = [metric.reweighted(prediction, target, weight) for metric in metrics]
    generator = numpy.random.default_rng(seed)
    shared = lanes if weight.stride(0) else 1  # lanes of the same weights need them once
    at_once = max(1, _WEIGHTS_AT_ONCE // (lanes * rows))
    pieces = []
    for start in range(0, repetitions, at_once):
        draws = min(at_once, repetitions - start)
        drawn = generator.integers(0, count, (draws, count)) + count * numpy.arange(draws)[:, None]
        times = numpy.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)[:, place]
        weights = (weight[:shared].double().unsqueeze(1) * torch.from_numpy(times).to(weight)).expand(lanes, -1, -1)
        pieces.append([measure(weights) for measure in reweighted])
    joined = (torch.cat(errors, dim=1) for errors in zip(*pieces, strict=True))
    return {metric.name: errors for metric, errors in zip(metrics, joined, strict=True)}


def _sampled(place: Int[numpy.ndarray, " rows"], seed: int) -> tuple[Int[numpy.ndarray, " sample"], float]:
    """The rows of as many units, drawn by chance, as may be looked at; and the share of all units that they are."""
    sizes = numpy.bincount(place)
    order = numpy.random.default_rng([seed, 1]).permutation(len(sizes))
    taken = order[: max(_FEWEST_UNITS, int((sizes[order].cumsum() <= _MOST_ROWS).sum()))]
    return numpy.flatnonzero(numpy.isin(place, taken)), len(taken) / len(sizes)


def _as_lane(prediction: Array, target: Array, weight: Array) -> tuple[Tensor, Tensor, Tensor]:
    lane = [torch.as_tensor(array).unsqueeze(0) for array in (prediction, target, weight)]
    return lane[0], lane[1], lane[2]
