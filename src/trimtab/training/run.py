"""RunRecord: what remains of one config trained once on one fold with one seed.

Knows no trials and no files: curves, the best epoch, and why it ended.
"""

from dataclasses import dataclass, field

import numpy
from torch import Tensor

from trimtab.training.config import Config

STOPPED_EARLY = "stopped early"
ALL_EPOCHS = "all epochs"
NOT_FINITE = "not finite"
PRUNED = "pruned"
OUT_OF_BUDGET = "out of budget"
CURVES = ("epoch", "train_loss", "validation_loss", "validation_metric", "learning_rate", "gradient_norm")


@dataclass(frozen=True)
class Request:
    """One run to be made: `trial` is the caller's own number for the config."""

    trial: int
    config: Config
    fold: int
    seed: int


@dataclass
class Curves:
    """The signals of a run, one entry per evaluated epoch; `validation_metric` is the metric as users read it."""

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)

    def append(self, *values: float) -> None:
        for name, value in zip(CURVES, values, strict=True):
            getattr(self, name).append(value)


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
    weights: Tensor
    predictions: numpy.ndarray
    buffers: dict[str, Tensor] = field(default_factory=dict)
