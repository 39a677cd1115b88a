"""Metrics that describe a model and that nothing is tuned by: precision, recall, average precision, Brier score.

As those of training they are functions of row weights, so that one bootstrap serves all. Knows no models and no tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from trimtab.machine import lanes_in_threads
from trimtab.training.metrics import OF_DECISIONS as SEARCHED_BY_DECISIONS
from trimtab.training.metrics import Metric, Reweighted, bootstrap_errors, metrics_for

# What is read off decisions, which a threshold may change, and not off probabilities.
OF_DECISIONS = (*SEARCHED_BY_DECISIONS, "precision", "recall")


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % bootstrap interval over rows; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """A plain dict, None for NaN."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if number != number else number for name, number in parts.items()}


def _of_decisions(name: str, finish: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Metric:
    """A metric of the second of two classes, from the weights of the rows that are hits, decided so, and truly so."""

    def prepare(probability: Tensor, target: Tensor) -> Reweighted:
        decided, actual = probability.argmax(2) == 1, target == 1
        terms = torch.stack([decided & actual, decided, actual], dim=2).double()
        return lambda weights: 1 - finish(*torch.bmm(weights, terms).unbind(2))

    return Metric(name, "classification", True, prepare, is_binary_only=True)


def _ranked(probability: Tensor, target: Tensor) -> Reweighted:
    """1 - average precision: the precision at each threshold, weighted by the recall that is gained there; rows with
    one and the same probability are one threshold, as in scikit-learn."""
    scores, order = probability[:, :, 1].double().sort(dim=1, descending=True)
    is_positive = target.gather(1, order).double().unsqueeze(1)
    ends = torch.nn.functional.pad(scores[:, 1:] != scores[:, :-1], (0, 1), value=True)
    places = torch.arange(scores.shape[1]).expand_as(scores)
    last = torch.where(ends, places, scores.shape[1]).flip(1).cummin(1).values.flip(1).unsqueeze(1)

    def reweighted(weights: Tensor) -> Tensor:
        ordered = weights.gather(2, order.unsqueeze(1).expand_as(weights))
        positive = ordered * is_positive
        precision = positive.cumsum(2) / ordered.cumsum(2).clamp_min(1e-300)
        return 1 - (positive * precision.gather(2, last.expand_as(weights))).sum(2) / positive.sum(2)

    return reweighted


def _squared(probability: Tensor, target: Tensor) -> Reweighted:
    squares = (probability[:, :, 1].double() - target.double()).square().unsqueeze(2)
    return lambda weights: torch.bmm(weights, squares).squeeze(2) / weights.sum(2)


PRECISION = _of_decisions("precision", lambda hits, decided, actual: hits / decided)
RECALL = _of_decisions("recall", lambda hits, decided, actual: hits / actual)
F1 = _of_decisions("f1", lambda hits, decided, actual: 2 * hits / (decided + actual))
OF_TWO_CLASSES = (
    F1,
    PRECISION,
    RECALL,
    Metric("average_precision", "classification", True, _ranked, is_binary_only=True),
    Metric("brier", "classification", False, _squared, is_binary_only=True),
)


def all_metrics(task: str, classes: int) -> tuple[Metric, ...]:
    """Every metric of `task`, those that a search may be judged by first."""
    known = metrics_for(task, classes)  # type: ignore[arg-type]
    names = {metric.name for metric in known}
    more = OF_TWO_CLASSES if task == "classification" and classes == 2 else ()
    return (*known, *(metric for metric in more if metric.name not in names))


def figures(
    metric: Metric,
    predictions: Sequence[numpy.ndarray],
    truths: Sequence[numpy.ndarray],
    weights: numpy.ndarray,
    *,
    seed: int,
    repetitions: int = 1000,
) -> list[Figure]:
    """The figure of each prediction [rows, outputs] with its interval; all are drawn on the same rows.

    `truths` are [rows, outputs], or class numbers [rows]; `weights` [rows] are those of all.
    """
    lanes = torch.as_tensor(numpy.stack(predictions)), torch.as_tensor(numpy.stack(truths))
    weight = torch.as_tensor(weights).expand(len(predictions), -1)
    with lanes_in_threads():  # many small products, for which threads would wait for each other
        values = metric.error(*lanes, weight)
        errors = bootstrap_errors(metric, *lanes, weight, seed=seed, repetitions=repetitions)
    return [_figure(metric, float(value), drawn) for value, drawn in zip(values, errors, strict=True)]


def _figure(metric: Metric, error: float, drawn: Tensor) -> Figure:
    drawn = drawn[~drawn.isnan()]
    if not len(drawn) or error != error:
        return Figure(metric.shown(error), float("nan"), float("nan"))
    low, high = sorted(metric.shown(float(drawn.quantile(share))) for share in (0.025, 0.975))
    return Figure(metric.shown(error), low, high)
