"""TrialRecord: one config over all its folds, and what remains of it.

Knows no Optuna and no files: what a trial is, not where it is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy
import torch
from torch import Tensor

from trimtab.knobs.domains import Value
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.run import NOT_FINITE, OUT_OF_BUDGET, Curves, RunRecord

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.

    `values` are the knobs the search turned (empty for a baseline, which has a `name` instead). `error` is the study's
    metric over all out-of-fold predictions, lower is better; `seconds` its share of the training time. `epochs` are
    those that each fold trained (empty where none were, or nobody noted them); `cuts` are, for each fold, the epochs
    after which a plateau schedule cut the rate (empty where the schedule is another).
    `rung_errors` are the means over the folds at each rung that was reached.
    """

    number: int
    name: str
    values: Mapping[str, Value]
    config: Config
    state: str
    error: float
    fold_errors: tuple[float, ...] = ()
    best_epochs: tuple[int, ...] = ()
    ended: tuple[str, ...] = ()
    seconds: float = 0.0
    cuts: tuple[tuple[int, ...], ...] = ()
    rung_errors: tuple[float, ...] = ()
    epochs: tuple[int, ...] = ()

    @property
    def is_unscored(self) -> bool:
        """Whether its metric gave no number, although training did not diverge."""
        return self.state == FAILED and not {NOT_FINITE, OUT_OF_BUDGET} & set(self.ended)

    @property
    def best_epoch(self) -> int:
        return round(sum(self.best_epochs) / len(self.best_epochs)) if self.best_epochs else 0


@dataclass(frozen=True)
class TrialWeights:
    """What a trial learnt: `[folds, parameters]`, and its predictions `[rows, outputs]` out of fold.

    Predictions are in original units or probabilities; rows that were never in a validation part are NaN. `buffers` are
    the networks' own tensors beside their parameters (running means), `[folds, ...]`.
    """

    parameters: Tensor
    predictions: numpy.ndarray
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


def rate_cuts(curves: Curves) -> tuple[int, ...]:
    """The evaluated epochs after which the rate fell, with which a schedule that listens to scores can be replayed."""
    rates = zip(curves.epoch, pairwise(curves.learning_rate), strict=False)
    return tuple(epoch for epoch, (before, after) in rates if after < before)


def out_of_fold(data: TrainingData, pieces: Sequence[numpy.ndarray]) -> numpy.ndarray:
    """Predictions `[rows, outputs]` from those of the folds' validation rows: NaN for rows of no such part, and
    the mean for rows of several, which folds that a caller gives may have."""
    total, count = numpy.zeros((data.rows, data.outputs)), numpy.zeros((data.rows, 1))
    for fold, piece in zip(data.folds, pieces, strict=True):
        rows = fold.validation.numpy(force=True)
        total[rows] += piece
        count[rows] += 1
    return (total / numpy.where(count, count, numpy.nan)).astype(
        numpy.float64 if data.weights.dtype == torch.float64 else numpy.float32
    )


@dataclass
class ActiveTrial:
    """A trial whose runs still train; `rung_errors` are those of the rungs it has reached."""

    number: int
    name: str
    values: dict[str, Value]
    config: Config
    folds: int
    may_be_pruned: bool = True
    seconds: float = 0.0
    rung_errors: list[float] = field(default_factory=list)
    runs: list[RunRecord] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return len(self.runs) == self.folds
