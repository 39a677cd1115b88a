"""TrainingRecord: the curves of one training, whoever made it, and what is known of how it was made.

Knows numbers alone; where they come from is told by whoever makes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

Curve = NDArray[numpy.float64]


@dataclass(frozen=True)
class TrainingRecord:
    """One training, epoch by epoch: every curve is float64 `[evaluations]`, NaN where a number is missing, and None
    where nothing of it is known.

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
        facts: numbers about network and rows: parameters, train_rows, validation_rows, inputs, outputs; constant_error,
            what the best constant prediction comes to on validation rows, in the measure that judges them (an error,
            lower is better); prediction_spread, the spread of the predictions for them relative to that of the truth;
            at_a_bound, the share of them that lies exactly at the smallest or largest prediction.
        task: "regression" or "classification"; "" where nobody knows.
        counts: what `epochs` are: "epoch" or "step".
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
