"""The record of a run that trimtab made, as the rules read it: its curves, its config, and what it predicted.

Knows the engine's forms; it knows no rule.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from trimtab.findings.training_record import Curve, TrainingRecord
from trimtab.knobs.effects import parameter_of
from trimtab.knobs.knob import Task
from trimtab.knobs.table import KNOBS, LOSSES
from trimtab.training.config import Config
from trimtab.training.metrics import Metric
from trimtab.training.run import PARTS, Curves

Numbers = NDArray[numpy.float64]
_RULED_OUT = 1e-6
_SIGNALS = ("gradient_norm", "update_ratio", "noise_scale", "dead_units", "saturated_units")


def record_of(
    curves: Curves,
    config: Config,
    *,
    metric: str | None,
    greater_is_better: bool,
    best_epoch: int,
    ended: str,
    task: Task,
    facts: Mapping[str, float],
) -> TrainingRecord:
    """The record of a run; where no `metric` is named, its metric is the loss in evaluation mode."""
    return TrainingRecord(
        numpy.array(curves.epoch, dtype=float),
        train_loss=_curve(curves.train_loss),
        validation_loss=_curve(curves.validation_loss),
        train_metric=_curve(curves.train_metric),
        validation_metric=_curve(curves.validation_metric),
        greater_is_better=greater_is_better,
        metric=metric or "loss",
        rate=_curve(curves.learning_rate),
        signals={name: _curve(getattr(curves, name)) for name in _SIGNALS},
        by_layer={name: _by_part(getattr(curves, name)) for name in PARTS},
        planned=config.epochs,
        kept=best_epoch,
        ended=ended,
        knobs=every_knob_of(config),
        facts=facts,
        task=task,
        clears_gradients=True,
    )


def every_knob_of(config: Config) -> dict[str, Any]:
    """The knobs of a config by name; of the losses' parameters the one that its loss has."""
    knobs: dict[str, Any] = dict(config.network)
    own = parameter_of(config.loss.name) if config.loss.name in LOSSES else None
    for name, knob in KNOBS.items():
        part, _, field = knob.place.rpartition(".")
        if part == "network" or (knob.place == "loss.parameter" and name != own):
            continue
        knobs[name] = getattr(getattr(config, part) if part else config, field)
    return knobs


def facts_of(
    predictions: Float[numpy.ndarray, "rows outputs"], truth: Tensor, trained: Tensor, metric: Metric | None
) -> dict[str, float]:
    """What the predictions for validation rows tell, by the names of `training_record.FACTS`. `truth` and `trained` are
    the targets of the validation and the training rows as the metric reads them."""
    facts = {"train_rows": float(len(trained)), "validation_rows": float(len(truth))}
    if len(truth) < 2 or not len(trained):
        return facts
    if metric is not None:
        constant = _constant(trained, metric, predictions.shape[1])
        facts["constant_error"] = _error_of(constant, truth, metric)
        facts["train_constant_error"] = _error_of(constant, trained, metric)
    if predictions.ndim == 2 and predictions.size and numpy.isfinite(predictions).all():
        told, values = numpy.asarray(predictions, dtype=float), truth.cpu().numpy()
        with numpy.errstate(all="ignore"):
            if numpy.issubdtype(values.dtype, numpy.floating):
                facts |= _of_numbers(told, values.reshape(len(values), -1))
            else:
                facts |= _of_classes(told, values.flatten())
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def _constant(trained: Tensor, metric: Metric, outputs: int) -> Tensor:
    """The constant prediction `[outputs]` that suits the metric: the mean, the median for mae, or the shares of the
    classes."""
    if metric.task == "regression":
        return trained.double().median(0).values if metric.name == "mae" else trained.double().mean(0)
    return torch.bincount(trained.long().flatten(), minlength=outputs)[:outputs].double() / len(trained)


def _error_of(constant: Tensor, truth: Tensor, metric: Metric) -> float:
    rows = constant.expand(len(truth), -1).unsqueeze(0)
    try:
        return float(metric.error(rows, truth.unsqueeze(0), torch.ones(1, len(truth)))[0])
    except Exception:  # a metric of the caller's own may refuse what no network of theirs would predict
        return math.nan


def _of_numbers(predictions: Numbers, truth: Numbers) -> dict[str, float]:
    """Of values `[rows, outputs]`, by the output whose predictions spread least."""
    spread = truth.std(0)
    own = predictions.std(0) / numpy.where(spread > 0, spread, math.nan)
    if numpy.isnan(own).all():
        return {}
    worst = int(numpy.nanargmin(own))
    told, true = predictions[:, worst], truth[:, worst]
    around = float(numpy.median(numpy.abs(true - numpy.median(true))))
    low, high = told.min(), told.max()
    near = 0.01 * max(high - low, 1e-12)
    return {
        "prediction_spread": float(own[worst]),
        "usual_miss": float(numpy.median(numpy.abs(told - true))) / around if around > 0 else math.nan,
        "lowest_prediction": float(low), "highest_prediction": float(high),
        "at_lowest": float((told <= low + near).mean()), "at_highest": float((told >= high - near).mean()),
        "truth_below": float((true < low).mean()), "truth_above": float((true > high).mean()),
    }  # fmt: skip


def _of_classes(predictions: Numbers, truth: NDArray[numpy.int64]) -> dict[str, float]:
    """Of probabilities `[rows, classes]`; their spread is that beside predictions which are sure of every row."""
    shares = numpy.bincount(truth, minlength=predictions.shape[1])[: predictions.shape[1]] / len(truth)
    sure = math.sqrt((shares * (1 - shares)).sum())
    ordered = numpy.sort(predictions, axis=1)
    # Classes that are ruled out altogether are all alike, and that is no tie.
    ties = ((numpy.diff(ordered, axis=1) == 0) & (ordered[:, 1:] > _RULED_OUT)).any(1)
    return {
        "prediction_spread": math.sqrt(predictions.var(0).sum()) / sure if sure > 0 else math.nan,
        "largest_probability": float(predictions.max()),
        "at_largest": float((predictions.max(1) >= 0.99 * predictions.max()).mean()),
        "ties": float(ties.mean()),
        "misses": float((predictions.argmax(1) != truth).mean()),
    }


def _curve(values: list[float]) -> Curve:
    return numpy.array(values, dtype=float)


def _by_part(rows: list[list[float]]) -> numpy.ndarray:
    """`[evaluations, parts]`, NaN where an entry has fewer."""
    most = max(map(len, rows), default=0)
    return numpy.array([[*row, *[math.nan] * (most - len(row))] for row in rows], dtype=float).reshape(len(rows), most)
