"""Objective: what a step minimises, one of the losses by formula or a function of the caller's own.

Knows outputs, targets and weights of all lanes; it knows no networks, optimizers or data.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.errors import LossError, first_line
from trimtab.knobs.knob import Task
from trimtab.training.rules.losses import LossCoefficients, classification_loss, logit_loss, regression_loss
from trimtab.training.warning import say_once

log = logging.getLogger(__name__)
Outputs = Any
Targets = Tensor | tuple[Tensor, ...]
_TINY = 1e-30  # instead of a sum of weights that is 0: such rows count for nothing


@runtime_checkable
class Objective(Protocol):
    """A loss of all lanes at once; one that `reads_whole` batches has to be given them without padding."""

    @property
    def reads_whole(self) -> bool: ...

    def __call__(
        self, outputs: Outputs, targets: Targets, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Float[Tensor, " lanes"], Outputs]:
        """Each lane's loss, and its derivative with respect to `outputs`, in their shape."""
        ...


@dataclass(frozen=True)
class FormulaLoss:
    """The losses that come with their derivatives; of two classes `is_of_logit` where a network gives one logit."""

    task: Task
    is_of_logit: bool = False

    @property
    def reads_whole(self) -> bool:
        return False

    def __call__(
        self, outputs: Tensor, targets: Any, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Tensor, Tensor]:
        loss_of = classification_loss if self.task == "classification" else regression_loss
        return (logit_loss if self.is_of_logit else loss_of)(outputs, targets, weights, coefficients)


@dataclass
class CustomLoss:
    """A function `f(output, target)` of one batch, taken to all lanes by vmap and to its derivative by autograd.

    `rows_are`: "given" where it gives one number (or several) per row, "averaged" where it gives the mean over rows of
    what it gives for each row alone, "mixed" where it gives one number that no row can be taken out of. `tree` is how
    the caller's targets hang together; `draws` says that the function draws random numbers.
    """

    function: Callable[[Any, Any], Tensor]
    rows_are: str
    tree: Any = None
    draws: bool = False
    told: dict[str, object] = field(default_factory=dict)
    is_mapped: bool = field(default=True, init=False)

    @property
    def reads_whole(self) -> bool:
        return True

    @property
    def mixes_rows(self) -> bool:
        """Whether weights of rows cannot count in it."""
        return self.rows_are == "mixed"

    def __call__(
        self, outputs: Outputs, targets: Targets, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Tensor, Outputs]:
        leaves, spec = pytree.tree_flatten(outputs)
        with torch.enable_grad():
            leaves = [leaf.detach().requires_grad_(leaf.is_floating_point()) for leaf in leaves]
            tree = self.arranged(targets)
            values = self._over_lanes(pytree.tree_unflatten(leaves, spec), tree, weights)
            reached = [leaf for leaf in leaves if leaf.requires_grad]
            slopes = iter(torch.autograd.grad(values.sum(), reached, allow_unused=True))
        slopes = [next(slopes) if leaf.requires_grad else None for leaf in leaves]
        slopes = [torch.zeros_like(x) if s is None else s for s, x in zip(slopes, leaves, strict=True)]
        return values.detach(), pytree.tree_unflatten(slopes, spec)

    def arranged(self, targets: Targets) -> Any:
        """Targets as the caller gave them: a tensor, or a tuple or dict of them."""
        if self.tree is None:
            return targets
        # One alone comes as it is, in a dict or tuple of one too: a list of it would be a list of its lanes.
        return pytree.tree_unflatten([targets] if isinstance(targets, Tensor) else list(targets), self.tree)

    def _over_lanes(self, outputs: Outputs, targets: Any, weights: Tensor) -> Tensor:
        lanes = weights.shape[0]
        reason = ""
        counted = weights > 0
        by_row = self.rows_are == "averaged" and not bool((counted & (weights == weights[:, :1])).all())
        is_mapped = self.is_mapped and (lanes > 1 or by_row)
        if is_mapped and (self.rows_are != "mixed" or bool(counted.all())):
            try:
                one_lane = partial(self._one_lane, by_row=by_row)
                return torch.vmap(one_lane, randomness="different")(outputs, targets, weights)
            except Exception as error:  # the caller's own code may raise anything
                reason = first_line(error)
        each = [self._alone(*(_at(part, i) for part in (outputs, targets, weights))) for i in range(lanes)]
        if reason:
            self.is_mapped = False
            say_once(log, self.told, f"This loss is computed lane by lane, since vmap cannot take it: {reason}")
        return torch.stack(each)

    def _one_lane(self, outputs: Outputs, targets: Any, weights: Tensor, *, by_row: bool) -> Tensor:
        if by_row:
            return _weighted(torch.vmap(self._one_row)(outputs, targets), weights)
        values = self.function(outputs, targets)
        return values if values.dim() == 0 else _weighted(values, weights)

    def _one_row(self, output: Outputs, target: Any) -> Tensor:
        return self.function(*(pytree.tree_map(lambda x: x.unsqueeze(0), part) for part in (output, target)))

    def _alone(self, outputs: Outputs, targets: Any, weights: Tensor) -> Tensor:
        """The same for one lane without vmap, padding left out."""
        real = weights > 0
        if not bool(real.all()):
            outputs, targets = (pytree.tree_map(lambda x: x[real], part) for part in (outputs, targets))
            weights = weights[real]
        if not len(weights):  # no row of this batch counts
            return sum((leaf.sum() for leaf in pytree.tree_leaves(outputs)), weights.sum())
        reads = self._value if self._reads_whole(weights) else self._row_by_row
        values = reads(outputs, targets)
        return values if values.dim() == 0 else _weighted(values, weights)

    def _reads_whole(self, weights: Tensor) -> bool:
        """Whether what the function gives for a batch is what is wanted: not where a mean counts rows differently."""
        if self.rows_are != "averaged":
            return True
        real = weights[weights > 0]
        return bool((real == real[:1]).all())

    def _row_by_row(self, outputs: Outputs, targets: Any) -> Tensor:
        rows = range(len(pytree.tree_leaves(outputs)[0]))
        at = (tuple(pytree.tree_map(lambda x, i=i: x[i : i + 1], part) for part in (outputs, targets)) for i in rows)
        return torch.stack([self._value(*row) for row in at])

    def _value(self, outputs: Outputs, targets: Any) -> Tensor:
        try:
            return self.function(outputs, targets)
        except Exception as error:
            raise LossError(f"The loss function raised {type(error).__name__}: {first_line(error)}") from error


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over rows of what a loss gave for each."""
    values = values.reshape(values.shape[0], -1).mean(1)
    return (values * (weights / weights.sum().clamp_min(_TINY))).sum()


def _at(tree: Any, lane: int) -> Any:
    return pytree.tree_map(lambda x: x[lane], tree)
