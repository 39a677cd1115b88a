"""Objective: what a step minimises, one of the losses by formula or a function of the caller's own.

Knows outputs, targets and weights of all lanes; it knows no networks, optimizers or data.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.training.config import Task
from trimtab.training.losses import LossCoefficients, classification_loss, regression_loss

log = logging.getLogger(__name__)
Outputs = Any
Targets = Tensor | tuple[Tensor, ...]
_TINY = 1e-30


@runtime_checkable
class Objective(Protocol):
    """A loss of all lanes at once; `mixes_rows` says that no batch of it may be padded."""

    @property
    def mixes_rows(self) -> bool: ...

    def __call__(
        self, outputs: Outputs, targets: Targets, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Float[Tensor, " lanes"], Outputs]:
        """Each lane's loss, and its derivative with respect to `outputs`, in their shape."""
        ...


@dataclass(frozen=True)
class FormulaLoss:
    """The losses that come with their derivatives."""

    task: Task

    @property
    def mixes_rows(self) -> bool:
        return False

    def __call__(
        self, outputs: Tensor, targets: Any, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Tensor, Tensor]:
        loss_of = classification_loss if self.task == "classification" else regression_loss
        return loss_of(outputs, targets, weights, coefficients)


@dataclass
class CustomLoss:
    """A function `f(output, target)` of one batch, taken to all lanes by vmap and to its derivative by autograd.

    `rows_are`: "given" where it gives one number (or several) per row, "averaged" where it gives the mean over rows of
    what it gives for each row alone, "mixed" where it gives one number that no row can be taken out of. `tree` is how
    the caller's targets hang together.
    """

    function: Callable[[Any, Any], Tensor]
    rows_are: str
    tree: Any = None
    is_mapped: bool = field(default=True, init=False)

    @property
    def mixes_rows(self) -> bool:
        return self.rows_are == "mixed"

    def __call__(
        self, outputs: Outputs, targets: Targets, weights: Tensor, coefficients: LossCoefficients
    ) -> tuple[Tensor, Outputs]:
        leaves, spec = pytree.tree_flatten(outputs)
        with torch.enable_grad():
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
            tree = self.arranged(targets)
            values = self._over_lanes(pytree.tree_unflatten(leaves, spec), tree, weights)
            slopes = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
        slopes = [torch.zeros_like(x) if s is None else s for s, x in zip(slopes, leaves, strict=True)]
        return values.detach(), pytree.tree_unflatten(slopes, spec)

    def arranged(self, targets: Targets) -> Any:
        """Targets as the caller gave them: a tensor, or a tuple or dict of them."""
        return targets if self.tree is None else pytree.tree_unflatten(list(targets), self.tree)

    def _over_lanes(self, outputs: Outputs, targets: Any, weights: Tensor) -> Tensor:
        if self.is_mapped:
            try:
                return torch.vmap(self._one_lane, randomness="different")(outputs, targets, weights)
            except (RuntimeError, ValueError) as error:
                self.is_mapped = False
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                log.warning("This loss is computed lane by lane, since vmap cannot take it: %s", reason)
        lanes = range(weights.shape[0])
        return torch.stack([self._real_rows(*(_at(part, i) for part in (outputs, targets, weights))) for i in lanes])

    def _one_lane(self, outputs: Outputs, targets: Any, weights: Tensor) -> Tensor:
        if self.rows_are == "mixed":
            return self.function(outputs, targets)
        values = torch.vmap(self._one_row)(outputs, targets) if self.rows_are == "averaged" else None
        if values is None:
            values = self.function(outputs, targets)
        values = values.reshape(values.shape[0], -1).mean(1)
        return (values * (weights / weights.sum().clamp_min(_TINY))).sum()

    def _one_row(self, output: Outputs, target: Any) -> Tensor:
        return self.function(*(pytree.tree_map(lambda x: x.unsqueeze(0), part) for part in (output, target)))

    def _real_rows(self, outputs: Outputs, targets: Any, weights: Tensor) -> Tensor:
        """The same for one lane without vmap, padding left out; row weights count where rows can be told apart."""
        real = weights > 0
        outputs, targets = (pytree.tree_map(lambda x: x[real], part) for part in (outputs, targets))
        values = self.function(outputs, targets)
        if values.dim() == 0:
            return values
        values = values.reshape(values.shape[0], -1).mean(1)
        return (values * weights[real]).sum() / weights[real].sum().clamp_min(_TINY)


def _at(tree: Any, lane: int) -> Any:
    return pytree.tree_map(lambda x: x[lane], tree)
