"""TrainingData: the tensors that every lane reads, and the folds that say which rows each of them trains on.

Knows no columns, files or lanes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.training.config import Task
from trimtab.training.objective import FormulaLoss, Objective, Targets


@dataclass(frozen=True)
class Fold:
    """Row numbers (int64) to train on and to validate on; without any of the latter no epoch is better than another."""

    train: Int[Tensor, " train_rows"]
    validation: Int[Tensor, " validation_rows"]


@dataclass(frozen=True)
class TrainingData:
    """What a population trains on.

    `inputs` are tensors of `[rows, ...]`, handed to the module in this order. `targets` are float32 `[rows, outputs]`
    (scaled) or int64 `[rows]` class numbers. `mean` and `scale` `[outputs]` lead from scaled targets to original units.
    `cardinalities` are the entries of each column of category codes, where there are such columns. `loss` is a loss of
    the caller's own, in the place of those that configs name; only it reads `more_targets`, and with it `outputs` is 0
    where the network's outputs are no predictions.
    """

    task: Task
    inputs: tuple[Tensor, ...]
    targets: Tensor
    weights: Float[Tensor, " rows"]
    folds: tuple[Fold, ...]
    outputs: int
    mean: Float[Tensor, " outputs"]
    scale: Float[Tensor, " outputs"]
    cardinalities: tuple[int, ...] = ()
    loss: Objective | None = None
    more_targets: tuple[Tensor, ...] = ()

    @property
    def objective(self) -> Objective:
        return self.loss or FormulaLoss(self.task)

    @property
    def device(self) -> torch.device:
        return self.targets.device

    @property
    def rows(self) -> int:
        return self.targets.shape[0]

    @property
    def most_training_rows(self) -> int:
        """Those of the largest fold: of folds that grow, the one most like a training on all rows."""
        return max(len(fold.train) for fold in self.folds)

    def predictions(self, outputs: Tensor) -> Tensor:
        """Network outputs `[..., outputs]` as class probabilities or values in original units, in float64."""
        outputs = outputs.double()
        if self.loss is not None and outputs.dim() == 2:  # one number per row, left just as it came
            outputs = outputs.unsqueeze(-1)
        return outputs.softmax(-1) if self.task == "classification" else outputs * self.scale + self.mean

    def truth(self, rows: Tensor) -> Tensor:
        """Targets of `rows` as the metric reads them: class numbers, or original units in float64."""
        return self.truth_of(self.targets[rows])

    def truth_of(self, targets: Tensor) -> Tensor:
        """The same of targets `[lanes, rows, ...]`."""
        if self.task == "classification":
            return targets
        columns = targets.unsqueeze(-1) if self.targets.dim() == 1 else targets
        return columns.double() * self.scale + self.mean

    def gather(self, rows: Int[Tensor, "lanes batch"]) -> tuple[Tensor, ...]:
        """Each input's rows as `[lanes, batch, ...]`."""
        return gathered(self.inputs, rows)

    def targets_of(self, rows: Int[Tensor, "lanes batch"]) -> Targets:
        """Targets of `rows` as the objective reads them, `[lanes, batch, ...]`."""
        return (self.targets[rows], *(t[rows] for t in self.more_targets)) if self.more_targets else self.targets[rows]


def gathered(inputs: tuple[Tensor, ...], rows: Int[Tensor, "lanes batch"]) -> tuple[Tensor, ...]:
    """The `rows` of each of `inputs` as `[lanes, batch, ...]`."""
    flat = rows.reshape(-1)
    return tuple(x.index_select(0, flat).view(*rows.shape, *x.shape[1:]) for x in inputs)
