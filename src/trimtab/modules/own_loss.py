"""OwnLoss: a loss function of the caller's own tried on the first rows, and what kind of number it gives.

Knows outputs, targets and losses; it knows no networks and trains nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.errors import LossError, first_line
from trimtab.modules.examples import Examples
from trimtab.training.objective import CustomLoss
from trimtab.training.randomness import SeededGenerators

ROWS = 8


def custom_loss(function: Callable[[Any, Any], Tensor], outputs: Any, examples: Examples, told: dict) -> CustomLoss:
    """The caller's loss as an objective, from the `outputs` for the first rows of `examples`; raises LossError for a
    function that gives nothing to minimise."""
    generators = SeededGenerators(0)
    with generators, torch.enable_grad():
        rows_are = _rows_are(function, outputs, in_shape_of(outputs, examples))
    return CustomLoss(function, rows_are, examples.tree, draws=generators.have_drawn, told=told)


def _rows_are(function: Callable[[Any, Any], Tensor], outputs: Any, examples: Examples) -> str:
    """What `CustomLoss` has to know of the number that the function gives."""
    rows = len(pytree.tree_leaves(outputs)[0])
    leaves = [y[:rows] for y in examples.targets]
    targets = leaves[0] if examples.tree is None else pytree.tree_unflatten(leaves, examples.tree)
    outputs = pytree.tree_map(lambda x: x.detach().requires_grad_(x.is_floating_point()), outputs)
    value = _value(function, outputs, targets)
    if value.dim() > 0 and value.shape[0] != rows:
        raise LossError(
            f"The loss returned shape {list(value.shape)} for {rows} rows: it must return one number, or one per row."
        )
    if not value.requires_grad:
        raise LossError("The loss does not depend on the network's output: there is nothing to minimise.")
    if not bool(value.isfinite().all()):
        raise LossError("The loss is NaN or infinite on the first rows, before any training: look at its formula.")
    if value.dim() > 0:
        return "given"
    each = [
        _value(function, *(pytree.tree_map(lambda x, i=i: x[i : i + 1], part) for part in (outputs, targets)))
        for i in range(rows)
    ]
    is_mean = all(v.numel() == 1 for v in each) and bool(
        torch.isclose(torch.stack([v.reshape(()) for v in each]).mean(), value, rtol=1e-4, atol=1e-6)
    )
    return "averaged" if is_mean and rows > 1 else "mixed"


def _value(function: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
    try:
        value = function(outputs, targets)
    except Exception as error:
        reason = first_line(error)
        shapes = [list(x.shape) for x in pytree.tree_leaves((outputs, targets))]
        raise LossError(
            f"The loss function raised {type(error).__name__} for outputs and targets of shapes {shapes}: {reason}"
        ) from error
    if not isinstance(value, Tensor):
        raise LossError(f"The loss returned a {type(value).__name__}: it must return a tensor.")
    return value


def in_shape_of(outputs: Any, examples: Examples) -> Examples:
    """Examples whose targets have the shape of the outputs where they differ only by dimensions of one: `[rows]` and
    `[rows, 1]` would be broadcast against each other to `[rows, rows]`."""
    if isinstance(outputs, dict):
        outputs = dict(sorted(outputs.items(), key=str))
    leaves, spec = pytree.tree_flatten(outputs)
    is_alike = len(leaves) == len(examples.targets) and (len(leaves) == 1 or spec == examples.tree)
    if not is_alike:
        return examples
    targets = (
        y.reshape(len(y), *x.shape[1:]) if _without_ones(y) == _without_ones(x) else y
        for x, y in zip(leaves, examples.targets, strict=True)
    )
    return replace(examples, targets=tuple(targets))


def _without_ones(x: Tensor) -> list[int]:
    return [size for size in x.shape[1:] if size != 1]
