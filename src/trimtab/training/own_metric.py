"""Metric: a figure of the caller's own by which runs are judged.

Knows predictions, truth and weights of rows; it knows no networks and no losses.
"""

import inspect
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
import torch
from torch import Tensor

from trimtab.errors import OptionError, first_line
from trimtab.knobs.knob import Task
from trimtab.training import metrics

_WEIGHTS = ("weight", "weights", "sample_weight")


@dataclass(frozen=True)
class Metric:
    """A function of predictions and truth that gives the number by which runs are judged.

        def within_ten_percent(prediction, truth):
            return (abs(prediction - truth) < 0.1 * truth).mean()

        tt.fit(module, train=(X, y), metric=tt.Metric(within_ten_percent, greater_is_better=True))

    Arguments:
        function: `f(prediction, truth)`, or `f(prediction, truth, weight)` where rows have weights, of numpy arrays.
            Where numbers are predicted both are `[rows]`, or `[rows, outputs]` where there are several; where classes
            are, the prediction holds probabilities `[rows, classes]` and the truth class numbers `[rows]`. It may be
            called from several threads at once.
        greater_is_better: whether a greater figure is a better one.
        name: what it is called in results; by default the function's own name. A run or a study that goes
            on asks for the same function and name.

    Raises OptionError for what is no function, and for a name that another metric has.
    """

    function: Any
    greater_is_better: Any
    name: str = ""

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise OptionError(f"tt.Metric is given {self.function!r}: give a function of prediction and truth.")
        if not isinstance(self.greater_is_better, (bool, numpy.bool_)):
            raise OptionError(f"greater_is_better is {self.greater_is_better!r}: it must be True or False.")
        name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        if not isinstance(name, str) or not name.strip() or name == "<lambda>":
            raise OptionError('A metric of your own needs a name: tt.Metric(function, name="...", ...).')
        if metrics.known_metric(name) is not None:
            raise OptionError(f'"{name}" is a metric of trimtab: give yours another name=.')
        object.__setattr__(self, "name", name)

    @property
    def takes_weights(self) -> bool:
        """Whether the function is to be told the weights of rows: by its third argument, or one called so."""
        return self._weight_argument is not None

    @property
    def _weight_argument(self) -> str | int | None:
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):  # a function of C
            return None
        named = next((p.name for p in parameters if p.name in _WEIGHTS), None)
        required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        return named if named is not None else 2 if len(required) > 2 else None

    def for_task(self, task: Task) -> metrics.Metric:
        """The same as the engine reads metrics."""
        return metrics.Metric(self.name, task, bool(self.greater_is_better), partial(self._prepared, task), own=self)

    def _prepared(self, task: Task, prediction: Tensor, target: Tensor) -> metrics.Reweighted:
        predictions, truths = prediction.numpy(force=True), target.numpy(force=True)
        if task == "regression" and predictions.shape[2] == 1:
            predictions, truths = predictions[:, :, 0], truths[:, :, 0]

        def errors(weights: Tensor) -> Tensor:
            given = weights.numpy(force=True)
            lanes = zip(predictions, truths, given, strict=True)
            each = [[self._error(prediction, truth, w) for w in own] for prediction, truth, own in lanes]
            return torch.tensor(each, dtype=torch.float64, device=weights.device)

        return errors

    def _error(self, prediction: numpy.ndarray, truth: numpy.ndarray, weight: numpy.ndarray) -> float:
        """One lane's error under one set of weights, lower is better."""
        counts = weight > 0
        prediction, truth, weight = prediction[counts], truth[counts], weight[counts]
        if not len(weight) or not numpy.isfinite(prediction).all():
            return math.nan
        figure = self._figure(prediction, truth, weight)
        return 1 - figure if self.greater_is_better else figure

    def _figure(self, prediction: numpy.ndarray, truth: numpy.ndarray, weight: numpy.ndarray) -> float:
        where = self._weight_argument
        more = () if where != 2 else (weight,)
        named = {where: weight} if isinstance(where, str) else {}
        try:
            figure = self.function(prediction, truth, *more, **named)
        except Exception as error:
            shapes = [list(x.shape) for x in (prediction, truth)]
            raise OptionError(
                f"The metric {self.name} raised {type(error).__name__} for prediction and truth of shapes {shapes}: "
                f"{first_line(error)}"
            ) from error
        try:
            return float(figure)
        except (TypeError, ValueError):
            raise OptionError(
                f"The metric {self.name} gave {type(figure).__name__} where it must give one number."
            ) from None
