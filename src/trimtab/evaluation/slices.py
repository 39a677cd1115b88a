"""Slices: rows that are alike in one column, and whether the model is worse there than elsewhere.

Knows columns, predictions and metrics; it knows no models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy
import polars
from polars.exceptions import PolarsError

from trimtab.evaluation.metrics import Figure, figures
from trimtab.table.categories import Labels
from trimtab.table.cells import as_numbers, shortest, text_of_reals
from trimtab.table.encode import Feature
from trimtab.table.spelling import as_labels, find_labels
from trimtab.text.wording import counted
from trimtab.training.metrics import METRICS, Metric

# A slice of fewer rows says little; more than these values or bins of a column are read by nobody.
FEWEST_ROWS = 10
BINS, MOST_VALUES = 4, 6
# Draws of the bootstrap for each: the spread of its figure is known to 4 %, and there are many slices.
REPETITIONS = 300
LEVEL = 0.05  # the usual one, of all slices of a table together
# Metrics that compare rows with each other say nothing of a slice by itself: what is measured there in their place.
_IN_A_SLICE = {"r2": "rmse", "roc_auc": "log_loss", "balanced_accuracy": "accuracy", "f1": "accuracy"}


@dataclass(frozen=True)
class Slice:
    """Rows whose `column` holds `values`: how many they are, the metric there, and whether it is worse than on all
    other rows by more than noise, all slices together being wrong about that once in twenty tables."""

    column: str
    values: str
    rows: int
    figure: Figure
    is_worse: bool

    def to_json(self) -> dict[str, object]:
        return {"column": self.column, "values": self.values, "rows": self.rows, "worse": self.is_worse,
                **self.figure.to_json()}  # fmt: skip


def metric_of_slices(name: str) -> Metric:
    """The metric that slices are measured by, where the whole is by `name`."""
    return METRICS[_IN_A_SLICE.get(name, name)]


def slices_of(
    frame: polars.DataFrame,
    features: Sequence[Feature],
    predictions: numpy.ndarray,
    truth: numpy.ndarray,
    weights: numpy.ndarray,
    metric: Metric,
    *,
    seed: int,
) -> tuple[Slice, ...]:
    """The slices of every feature: those that are worse beyond noise first, then by how far they stand out."""
    found = [
        (feature.name, values, chosen)
        for feature in features
        for values, chosen in _parts(frame[feature.name], feature)
        if FEWEST_ROWS <= chosen.sum() <= len(chosen) - FEWEST_ROWS
    ]
    losses = _row_losses(metric.name, predictions, truth)
    bound = NormalDist().inv_cdf(1 - LEVEL / max(1, len(found)))
    slices = []
    for column, values, chosen in found:
        excess = _excess(losses, weights, chosen)
        (figure,) = figures(
            metric, [predictions[chosen]], [truth[chosen]], weights[chosen], seed=seed, repetitions=REPETITIONS
        )
        slices.append((excess, Slice(column, values, int(chosen.sum()), figure, excess > bound)))
    return tuple(each for _, each in sorted(slices, key=lambda pair: (-pair[1].is_worse, -pair[0])))


def _row_losses(name: str, predictions: numpy.ndarray, truth: numpy.ndarray) -> numpy.ndarray:
    """What each row adds to the metric, float64 [rows]."""
    if name == "log_loss":
        chance = predictions[numpy.arange(len(truth)), truth]
        return -numpy.log(numpy.clip(chance, 1e-12, 1))
    if METRICS[name].task == "classification":
        return (predictions.argmax(1) != truth).astype(float)
    errors = numpy.abs(predictions - truth)
    spread = truth.std(axis=0)
    errors = errors / numpy.where(spread > 0, spread, 1)  # so that no target drowns the others
    return (errors if name == "mae" else errors**2).mean(axis=1)


def _excess(losses: numpy.ndarray, weights: numpy.ndarray, chosen: numpy.ndarray) -> float:
    """How many standard errors the mean loss of the chosen rows lies above that of all others [Welch 1947]."""
    means, variances = [], []
    for part in (chosen, ~chosen):
        share = weights[part] / weights[part].sum()
        mean = float((share * losses[part]).sum())
        means.append(mean)
        variances.append(float((share**2 * (losses[part] - mean) ** 2).sum()))
    deviation = sum(variances) ** 0.5
    difference = means[0] - means[1]
    if deviation == 0:
        return 0.0 if difference == 0 else float(numpy.copysign(numpy.inf, difference))
    return difference / deviation


def _parts(column: polars.Series, feature: Feature) -> Iterator[tuple[str, numpy.ndarray]]:
    """What the column holds in words, and which rows hold it: bool [rows]."""
    if feature.labels is not None:
        yield from _by_label(_as_known(column, feature.labels))
        return
    if feature.moments is not None:
        moments, _ = feature.moments_of(column)
        numbers = moments.dt.epoch("us").cast(polars.Float64).fill_null(float("nan")).to_numpy()
    else:
        numbers, _ = as_numbers(shortest(column))
    there = numpy.isfinite(numbers)
    if 0 < len(distinct := numpy.unique(numbers[there])) <= MOST_VALUES and feature.moments is None:
        for value, text in zip(distinct, text_of_reals(polars.Series(distinct)), strict=True):
            yield text, numbers == value
    else:
        yield from _by_quantile(numbers, there, is_time=feature.moments is not None)
    if not there.all():
        yield "missing", ~there


def _as_known(column: polars.Series, labels: Labels) -> polars.Series:
    """The labels as the model knows them, those that it does not know as they stand."""
    known = polars.Series([*labels.labels, *labels.pooled], dtype=polars.String)
    places, _ = find_labels(column, known.to_list(), labels.precision)
    found = polars.Series(places)
    return known.gather(found.clip(0)).zip_with(found >= 0, as_labels(column))


def _by_label(labels: polars.Series) -> Iterator[tuple[str, numpy.ndarray]]:
    counts = labels.drop_nulls().value_counts(sort=True)
    frequent = counts[counts.columns[0]].head(MOST_VALUES).to_list()
    for label in frequent:
        yield str(label), (labels == label).fill_null(value=False).to_numpy()
    others = counts.height - len(frequent)
    if others:
        is_other = (~labels.is_in(frequent)).fill_null(value=False).to_numpy() & labels.is_not_null().to_numpy()
        yield counted(others, "other label"), is_other
    if labels.null_count():
        yield "missing", labels.is_null().to_numpy()


def _by_quantile(numbers: numpy.ndarray, there: numpy.ndarray, *, is_time: bool) -> Iterator[tuple[str, numpy.ndarray]]:
    if not there.any():
        return
    edges = numpy.unique(numpy.quantile(numbers[there], numpy.linspace(0, 1, BINS + 1), method="nearest"))
    for i, (low, high) in enumerate(pairwise(edges)):
        is_above = numbers >= low if i == 0 else numbers > low
        first = _edge(low, is_time=is_time)
        yield f"{first if i == 0 else 'above ' + first} to {_edge(high, is_time=is_time)}", is_above & (numbers <= high)


def _edge(number: float, *, is_time: bool) -> str:
    if not is_time:
        return f"{number:.4g}"
    try:
        return str(polars.Series([int(number)]).cast(polars.Datetime("us")).dt.strftime("%Y-%m-%d %H:%M")[0])
    except PolarsError:
        return f"{number:g}"
