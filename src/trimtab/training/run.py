"""RunRecord: what remains of one config trained once on one fold with one seed.

Knows no trials and no files: curves, the best epoch, and why it ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy

from trimtab.training.config import Config

if TYPE_CHECKING:  # what reads curves alone needs no torch
    from torch import Tensor

# What may end a run. Its own rules decide the first three (`rules.stopping`), a search's rungs the fourth, its budget
# the last.
STOPPED_EARLY = "stopped early"
ALL_EPOCHS = "all epochs"
NOT_FINITE = "not finite"
PRUNED = "pruned"
OUT_OF_BUDGET = "out of budget"
CURVES = (
    "epoch", "train_loss", "train_metric", "validation_loss", "validation_metric", "learning_rate", "gradient_norm",
    "update_ratio", "noise_scale", "dead_units", "saturated_units",
)  # fmt: skip
PARTS = ("gradient_norms", "dead_by_layer", "saturated_by_layer")


@dataclass(frozen=True)
class Request:
    """One run to be made: `trial` is the caller's own number for the config.

    One that follows an earlier run of the same config ends after `until` of the epochs that are planned (0: after all),
    so that its schedule stands where that run's stood, and has, where they are given, `factors` on the learning rate of
    its epochs: a schedule that listens to scores cannot be planned anew.
    """

    trial: int
    config: Config
    fold: int
    seed: int
    until: int = 0
    factors: tuple[float, ...] = ()

    @property
    def epochs(self) -> int:
        """The epoch after which the run is over, whatever else would end it."""
        return self.until or self.config.epochs


@dataclass
class Curves:
    """The signals of a run, one entry per evaluated epoch; NaN where one was switched off or cannot be told.

    `train_loss` is the mean over the epoch's steps, in training mode; `train_metric` the metric on training rows in
    evaluation mode, `validation_metric` on validation rows, both as users read it.

    `gradient_norm` is the root mean square over every fourth step since the last entry, before clipping; `update_ratio`
    the length of the last update relative to that of the weights; `noise_scale` the gradient noise scale in rows;
    `dead_units` and `saturated_units` are shares of all units behind activations. `gradient_norms` has one number per
    parameter tensor, `dead_by_layer` and `saturated_by_layer` one per activation layer.
    """

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    update_ratio: list[float] = field(default_factory=list)
    noise_scale: list[float] = field(default_factory=list)
    dead_units: list[float] = field(default_factory=list)
    saturated_units: list[float] = field(default_factory=list)
    gradient_norms: list[list[float]] = field(default_factory=list)
    dead_by_layer: list[list[float]] = field(default_factory=list)
    saturated_by_layer: list[list[float]] = field(default_factory=list)

    def append(self, values: Mapping[str, Any]) -> None:
        """One entry, by the names of the fields."""
        for name in (*CURVES, *PARTS):
            getattr(self, name).append(values[name])


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    `error` is the metric at the best epoch, lower is better whatever the metric; `weights` `[parameters]` are those of
    that epoch, and `predictions` `[validation_rows, outputs]` (original units or probabilities) belong to them;
    `buffers` are the module's own beside its parameters (running means), from the same epoch.
    """

    request: Request
    curves: Curves
    ended: str
    error: float
    best_epoch: int
    epochs: int
    steps: int
    weights: "Tensor"
    predictions: numpy.ndarray
    buffers: "dict[str, Tensor]" = field(default_factory=dict)
