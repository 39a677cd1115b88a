"""Standing: how good predictions are on some rows, and by how much they are better than others' on the same rows.

Intervals are bootstrapped over the rows' units, the same draws for all who are compared. Knows predictions and metrics;
it knows no trials, models or files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from trimtab.training.metrics import OF_DECISIONS, Metric, all_scores, bootstrap_all, metrics_for, middle

BETTER, WORSE, ALIKE, UNKNOWN = "better", "worse", "alike", "unknown"


@dataclass(frozen=True)
class JudgedRows:
    """Rows that predictions are judged on: what is true of them [rows, outputs] (or class numbers [rows]), their
    weights, and their units (rows of one number are no evidence of their own)."""

    truth: numpy.ndarray
    weights: numpy.ndarray
    units: numpy.ndarray

    def where(self, known: numpy.ndarray) -> "JudgedRows":
        return JudgedRows(self.truth[known], self.weights[known], self.units[known])


@dataclass(frozen=True)
class Gain:
    """By how much the model's figure is better than another's (below 0: worse), with its 95 % interval and a verdict:
    "better" or "worse" where the interval leaves 0 out, "alike" where it does not, "unknown" where there is none."""

    better_by: float | None
    interval: tuple[float, float] | None
    verdict: str

    def to_json(self) -> dict[str, Any]:
        return {
            "better_by": self.better_by,
            "interval": None if self.interval is None else list(self.interval),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Standing:
    """The figures of a model on rows by metric, their intervals, and its gains over others by name and metric."""

    scores: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    gains: dict[str, dict[str, Gain]]


def scores_of(
    predictions: numpy.ndarray, rows: JudgedRows, metric: Metric, *, decisive: numpy.ndarray | None = None
) -> dict[str, float]:
    """All figures of `predictions` [rows, outputs]; rows without a prediction are left out.

    `decisive` [rows, classes]: what decides on the class that is predicted, where that is not the predictions.
    """
    if decisive is not None:
        of_decisions = scores_of(decisive, rows, metric)
        return {
            name: of_decisions[name] if name in OF_DECISIONS else score
            for name, score in scores_of(predictions, rows, metric).items()
        }
    known = numpy.asarray(~numpy.isnan(predictions).any(axis=1))
    judged = rows.where(known)
    scores = all_scores(predictions[known].astype(numpy.float64), judged.truth, judged.weights, task=metric.task)
    if metric.name not in scores:
        lane = (torch.as_tensor(part).unsqueeze(0) for part in (predictions[known], judged.truth, judged.weights))
        scores[metric.name] = metric.shown(float(metric.error(*lane)))
    return scores


def standing(
    model: Sequence[numpy.ndarray],
    others: Mapping[str, numpy.ndarray],
    rows: JudgedRows,
    metric: Metric,
    *,
    seed: int,
    decisive: Sequence[numpy.ndarray] = (),
) -> Standing:
    """How a model stands on `rows`, beside `others`.

    Arguments:
        model: its predictions [rows, outputs]; where there are several, as of choices made on halves of the rows, its
            figure is the mean of theirs.
        others: predictions to compare it with, by name.
        metric: the study's; all others of the task are told as well.
        decisive: of each of the model's predictions what decides on the class, where that is not the predictions.
    """
    known = numpy.logical_and.reduce([~numpy.isnan(each).any(axis=1) for each in (*model, *others.values())])
    judged = rows.where(known)
    metrics = {each.name: each for each in (*metrics_for(metric.task, model[0].shape[1]), metric)}
    by_decisions = {name for name in metrics if decisive and name in OF_DECISIONS}
    truth, weights = torch.as_tensor(judged.truth), torch.as_tensor(judged.weights)
    # Each metric is drawn once: those of decisions by what decides, all others by the predictions.
    arguments, drawn = {}, {}
    for made, names in ((model, metrics.keys() - by_decisions), (decisive, by_decisions)):
        if names:
            lanes = torch.from_numpy(numpy.stack([each[known] for each in (*made, *others.values())]).astype(float))
            given = lanes, truth.expand(len(lanes), *truth.shape), weights.expand(len(lanes), -1)
            arguments |= dict.fromkeys(names, given)
            some = [each for name, each in metrics.items() if name in names]
            drawn |= bootstrap_all(some, *given, seed=seed, units=judged.units)
    result = Standing({}, {}, {name: {} for name in others})
    for name, each in metrics.items():
        errors, draws = each.error(*arguments[name]), drawn[name]
        error, draw = errors[: len(model)].mean(), draws[: len(model)].mean(0)
        result.scores[name] = each.shown(float(error))
        low, high = sorted(each.shown(end) for end in middle(draw))
        result.intervals[name] = None if math.isnan(low) else (low, high)
        for other, gains in result.gains.items():
            place = len(model) + list(others).index(other)
            gains[name] = _gain(float(errors[place] - error), middle(draws[place] - draw))
    return result


def _gain(better_by: float, interval: tuple[float, float]) -> Gain:
    if math.isnan(better_by) or math.isnan(interval[0]):
        return Gain(None if math.isnan(better_by) else better_by, None, UNKNOWN)
    low, high = interval
    return Gain(better_by, interval, BETTER if low > 0 else WORSE if high < 0 else ALIKE)
