"""TrainingRecord: the curves of one training, whoever made it, and what is known of how it was made.

Knows numbers alone; where they come from is told by whoever makes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

Curve = NDArray[numpy.float64]

# Rules add, square and divide what curves hold: beyond this, floats would overflow, and nearer to nothing than its
# inverse they would divide by 0. No loss that means anything comes near either: 1e100 is far beyond what float32 holds.
_LARGEST = 1e100

# What a record may know beside its curves. Predictions are those of the kept weights for the validation rows.
FACTS = {
    "parameters": "numbers that are trained",
    "train_rows": "training rows",
    "validation_rows": "validation rows",
    "inputs": "columns of the inputs",
    "outputs": "columns of a prediction: targets, or classes",
    "constant_error": "what the best constant prediction comes to, as an error in the measure that judges",
    "train_constant_error": "the same on training rows, which differs where few rows make most of an error",
    "usual_miss": "the median miss of the predictions of numbers, relative to that of the truth's median",
    "prediction_spread": "the spread of the predictions, relative to that of the truth",
    "lowest_prediction": "the lowest prediction of a number",
    "highest_prediction": "the highest prediction of a number",
    "at_lowest": "the share of predictions within a hundredth of their range of the lowest",
    "at_highest": "the share of predictions within a hundredth of their range of the highest",
    "truth_below": "the share of rows whose truth lies below all predictions",
    "truth_above": "the share of rows whose truth lies above all predictions",
    "largest_probability": "the largest probability of a class that is predicted for any row",
    "at_largest": "the share of rows with a probability within a hundredth of the largest",
    "ties": "the share of rows in which two classes have exactly the same probability",
    "misses": "the share of rows whose likeliest class is not theirs",
}


@dataclass(frozen=True)
class TrainingRecord:
    """One training, epoch by epoch: every curve is float64 `[evaluations]`, NaN where a number is missing, and None
    where nothing of it is known. Numbers beyond 1e100 are kept as infinite, those below 1e-100 as 0.

    Attributes:
        epochs: the epoch of each evaluation, rising (steps, where a log counts steps).
        train_loss: of the training rows, the mean over an epoch in training mode.
        validation_loss: of the validation rows.
        train_metric: the metric on training rows, in evaluation mode, in the direction in which it is read.
        validation_metric: the metric on validation rows.
        greater_is_better: the direction of the metric; None where there is none.
        metric: what the metric is called.
        rate: the learning rate.
        signals: further curves by name: gradient_norm, update_ratio, noise_scale, dead_units, saturated_units.
        by_layer: `[evaluations, layers]` by name: gradient_norms, dead_by_layer, saturated_by_layer.
        planned: how many epochs were planned; None where nobody knows.
        kept: the epoch whose weights were kept; None where nobody knows.
        ended: why training ended, in the words of `training.run`, "" where nobody knows.
        knobs: how it was trained, by the names of the table of knobs, as far as is known ("lr", "dropout", ...).
        facts: numbers about network, rows and predictions, by the names of `FACTS`.
        task: "regression" or "classification"; "" where nobody knows.
        counts: what `epochs` are: "epoch" or "step".
        clears_gradients: whether gradients are known to be set to zero before each step, as trimtab's own loop does.
    """

    epochs: Curve
    train_loss: Curve | None = None
    validation_loss: Curve | None = None
    train_metric: Curve | None = None
    validation_metric: Curve | None = None
    greater_is_better: bool | None = None
    metric: str = ""
    rate: Curve | None = None
    signals: Mapping[str, Curve] = field(default_factory=dict)
    by_layer: Mapping[str, NDArray[numpy.float64]] = field(default_factory=dict)
    planned: int | None = None
    kept: float | None = None
    ended: str = ""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    task: str = ""
    counts: Literal["epoch", "step"] = "epoch"
    clears_gradients: bool = False

    def __post_init__(self) -> None:
        for name in ("train_loss", "validation_loss", "train_metric", "validation_metric", "rate"):
            values = getattr(self, name)
            object.__setattr__(self, name, None if values is None else _within_reach(values))
        for name in ("signals", "by_layer"):
            object.__setattr__(self, name, {key: _within_reach(each) for key, each in getattr(self, name).items()})


def _within_reach(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    size = numpy.abs(values)
    if not ((size > _LARGEST) | ((size > 0) & (size < 1 / _LARGEST))).any():
        return values
    return numpy.where(
        size > _LARGEST, numpy.copysign(numpy.inf, values), numpy.where(size < 1 / _LARGEST, 0.0, values)
    )
