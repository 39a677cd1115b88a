"""TrainingData: the tensors that every lane reads, and the folds that say which rows each of them trains on.

Knows no columns, files or lanes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.knobs.knob import Task
from trimtab.training.rules.objective import FormulaLoss, Objective, Targets

# What the one output of a network for two classes says of class 1.
OneOutput = Literal["logit", "probability"]


@dataclass(frozen=True)
class Fold:
    """Row numbers (int64) to train on and to validate on; without any of the latter no epoch is better than another."""

    train: Int[Tensor, " train_rows"]
    validation: Int[Tensor, " validation_rows"]


@dataclass(frozen=True)
class TrainingData:
    """What a population trains on.

    `inputs` are tensors of `[rows, ...]`, handed to the module in this order. `targets` are floats `[rows, outputs]`
    (scaled) or int64 `[rows]` class numbers, `weights` floats in the precision that losses are computed in; where a
    loss of the caller's own reads them, targets are what they gave. `outputs` are the columns of a prediction: where
    two classes are told by one output of the network, `one_output` says what it is. `mean` and `scale` `[outputs]` lead
    from scaled targets to original units, `bounds` `[2, outputs]` are between what predictions lie there (None:
    anywhere). `cardinalities` are the entries of each column of category codes, where there are such columns. `loss` is
    a loss of the caller's own, in the place of those that configs name; only it reads `more_targets`, and with it
    `outputs` is 0 where the network's outputs are no predictions.
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
    one_output: OneOutput | None = None
    bounds: Float[Tensor, "2 outputs"] | None = None

    @property
    def objective(self) -> Objective:
        return self.loss or FormulaLoss(self.task, is_of_logit=self.one_output == "logit")

    @property
    def columns(self) -> int:
        """Outputs of the network."""
        return 1 if self.one_output else self.outputs

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
        if self.one_output == "logit":
            return torch.cat([(-outputs).sigmoid(), outputs.sigmoid()], dim=-1)
        if self.one_output == "probability":
            return torch.cat([1 - outputs, outputs], dim=-1)
        if self.task == "classification":
            return outputs.softmax(-1)
        values = outputs * self.scale + self.mean
        # What is infinite is told as that: a training has diverged.
        return values if self.bounds is None else torch.where(values.isinf(), values, values.clamp(*self.bounds))

    def truth(self, rows: Tensor) -> Tensor:
        """Targets of `rows` as the metric reads them: class numbers, or original units in float64."""
        return self.truth_of(self.targets[rows])

    def truth_of(self, targets: Tensor) -> Tensor:
        """The same of targets `[lanes, rows, ...]`."""
        if self.task == "classification":
            # A loss of the caller's own may want labels as floats, or in a column.
            return (targets.squeeze(-1) if self.targets.dim() > 1 else targets).long()
        columns = targets.unsqueeze(-1) if self.targets.dim() == 1 else targets
        return columns.double() * self.scale + self.mean

    def mapped(self, change: Callable[[Any], Any]) -> "TrainingData":
        """The same with `change` of every tensor, such as one that moves it elsewhere."""
        folds = tuple(Fold(change(fold.train), change(fold.validation)) for fold in self.folds)
        several = {name: tuple(change(x) for x in getattr(self, name)) for name in ("inputs", "more_targets")}
        others = {name: change(getattr(self, name)) for name in ("targets", "weights", "mean", "scale")}
        bounds = None if self.bounds is None else change(self.bounds)
        return replace(self, folds=folds, bounds=bounds, **several, **others)

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
