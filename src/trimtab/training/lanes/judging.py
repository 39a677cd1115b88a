"""Judging: by what runs are judged, how often, and on which rows; and what comes of looking at outputs so.

Knows outputs, targets and metrics of lanes side by side (a run by itself is one lane); it knows no networks and keeps
no weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.objective import Outputs, Targets


@dataclass(frozen=True)
class LaneScores:
    """What each lane came to on some rows: its loss, the metric's error (the loss where there is no metric) and the
    score, float64 `[lanes]`, lower is better, that tells its best epoch; predictions `[lanes, rows, outputs]` in
    original units, where its outputs are any."""

    losses: Tensor
    errors: Tensor
    scores: Tensor
    predictions: Tensor | None


@dataclass(frozen=True)
class Judging:
    """Runs are judged by `metric`, or by their own validation loss where it is None, every `every` epochs (0: as often
    as costs little), and on up to `training_rows` training rows too; or on the rows of each fold that are `beside`
    them, whose metric is then noted in the place of that on training rows.

    `by_loss`: the metric is noted, and the validation loss tells each run's best epoch all the same.
    """

    metric: Metric | None
    by_loss: bool = False
    every: int = 0
    training_rows: int = 0
    beside: tuple[Tensor, ...] = ()

    def judged(
        self, data: TrainingData, outputs: Outputs, targets: Targets, weights: Tensor, losses: LossCoefficients
    ) -> LaneScores:
        """Outputs of lanes `[lanes, rows, ...]` beside the targets of their rows, as `data` reads both; rows of weight
        0 count for nothing."""
        of_lanes, _ = data.objective(outputs, targets, weights, losses)
        predictions = data.predictions(outputs) if data.outputs else None
        errors = of_lanes.double()
        if self.metric is not None and predictions is not None:
            truth = data.truth_of(targets if isinstance(targets, Tensor) else targets[0])
            errors = self.metric.error(predictions, truth, weights.double())
        return LaneScores(of_lanes, errors, self._scores(errors, of_lanes.double()), predictions)

    def _scores(self, errors: Tensor, losses: Tensor) -> Tensor:
        """The metric; the validation loss where there is none, where it is to rule, and where the metric says nothing,
        as roc_auc does of a fold in which one of the two classes is missing."""
        if self.by_loss or self.metric is None:
            return losses
        return torch.where(errors.isfinite(), errors, losses if self.metric.is_binary_only else torch.nan)

    def shown(self, error: float) -> float:
        """The figure users read."""
        return error if self.metric is None else self.metric.shown(error)
