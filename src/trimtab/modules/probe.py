"""Probe: a network and a loss tried on the first rows, so that what cannot work is said before anything is trained.

Knows modules, examples and losses; it trains nothing and changes nothing.
"""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trimtab.errors import LabelError, LossError, ModuleError, NotFiniteError, ShapeError
from trimtab.modules.examples import Examples
from trimtab.training.config import Task
from trimtab.training.objective import CustomLoss
from trimtab.training.program import ModuleUse
from trimtab.training.randomness import SeededGenerators

ROWS = 8


@dataclass(frozen=True)
class Tried:
    """What a network made of the first rows: its outputs, how it is to be called, and whether its inputs had to be
    floats where whole numbers were given."""

    outputs: Any
    use: ModuleUse
    as_floats: bool

    def prepared(self, examples: Examples) -> Examples:
        """Examples with inputs as the network takes them."""
        if not self.as_floats:
            return examples
        return replace(examples, inputs=tuple(x.float() for x in examples.inputs))


def tried(module: nn.Module, examples: Examples, *, own_dropout: bool, keeps_outputs: bool) -> Tried:
    """Run `module` in evaluation mode on the first rows; raises ModuleError and ShapeError for what cannot work."""
    module = copy.deepcopy(module).eval()
    use = ModuleUse(examples.names, own_dropout, keeps_outputs, as_dict=_wants_a_dict(module, examples.names))
    first = tuple(x[:ROWS] for x in examples.inputs)
    whole = any(not x.is_floating_point() for x in first)
    try:
        outputs, as_floats = _called(module, use, first), False
    except Exception as error:
        if not whole:
            raise _cannot_take(module, first, error) from error
        try:
            outputs, as_floats = _called(module, use, tuple(x.float() for x in first)), True
        except Exception:
            raise _cannot_take(module, first, error) from error
    _check_outputs(module, outputs, len(first[0]))
    return Tried(outputs, use, as_floats)


def _called(module: nn.Module, use: ModuleUse, inputs: tuple[Tensor, ...]) -> Any:
    args, kwargs = use.arguments(inputs)
    with torch.no_grad(), SeededGenerators(0):
        return module(*args, **kwargs)


def _wants_a_dict(module: nn.Module, names: tuple[str, ...]) -> bool:
    """Whether inputs given by name are to be handed over as one dict, as `forward` has no arguments of these names."""
    if not names:
        return False
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return False
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return not takes_any and not set(names) <= set(parameters)


def _cannot_take(module: nn.Module, inputs: tuple[Tensor, ...], error: Exception) -> ModuleError:
    shapes = ", ".join(f"{list(x.shape)} {str(x.dtype).removeprefix('torch.')}" for x in inputs)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    hint = " Inputs of one dimension become columns with X[:, None]." if any(x.dim() == 1 for x in inputs) else ""
    return ModuleError(f"{type(module).__name__} cannot take inputs of shape {shapes}: {reason.rstrip('.')}.{hint}")


def _check_outputs(module: nn.Module, outputs: Any, rows: int) -> None:
    name = type(module).__name__
    leaves = pytree.tree_leaves(outputs)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ShapeError(f"{name} returned a {type(outputs).__name__}: it must return a tensor, or several.")
    for leaf in leaves:
        if leaf.dim() == 0 or leaf.shape[0] != rows:
            raise ShapeError(
                f"{name} returned shape {list(leaf.shape)} for {rows} rows: the first dimension must be rows."
            )
        if leaf.is_floating_point() and not bool(leaf.isfinite().all()):
            raise NotFiniteError(f"{name} gives NaN or infinity before any training: look at its initial weights.")


# -- targets of trimtab's own losses


def task_of(outputs: Any, targets: tuple[Tensor, ...], loss: str | None) -> Task:
    """Classification where whole-number targets stand against several outputs, unless a loss was named."""
    from trimtab.training.config import CLASSIFICATION_LOSSES

    if loss is not None:
        return "classification" if loss in CLASSIFICATION_LOSSES else "regression"
    target = targets[0]
    has_scores = isinstance(outputs, Tensor) and outputs.dim() == 2 and outputs.shape[1] > 1
    is_label = not target.is_floating_point() and (target.dim() == 1 or target.shape[1:] == (1,))
    return "classification" if is_label and has_scores and len(targets) == 1 else "regression"


def arranged_targets(outputs: Any, examples: Examples, task: Task, loss: str, name: str) -> Examples:
    """Examples with targets as the losses read them: float32 `[rows, outputs]`, or class numbers int64 `[rows]`."""
    if not isinstance(outputs, Tensor) or len(examples.targets) != 1:
        raise ShapeError(
            f'The loss "{loss}" reads one output and one target; the network returns several, or there are several '
            "targets: give a loss function f(output, target) of your own."
        )
    if outputs.dim() > 2:
        raise ShapeError(
            f'The loss "{loss}" reads outputs of shape [rows, outputs]; the network returns {_per_row(outputs)}: give '
            "a loss function f(output, target) of your own."
        )
    columns = outputs.shape[1] if outputs.dim() == 2 else 1
    target = examples.targets[0]
    if task == "classification":
        return replace(examples, targets=(_labels(target, columns, loss, name),))
    if target.dim() == 1:
        target = target.unsqueeze(1)
    if target.dim() != 2 or target.shape[1] != columns:
        raise ShapeError(
            f"y of {name}= has rows of shape {list(target.shape[1:])} and the network returns {_per_row(outputs)}: "
            "targets and outputs must be as many."
        )
    return replace(examples, targets=(target.float(),))


def _labels(target: Tensor, classes: int, loss: str, name: str) -> Tensor:
    if classes < 2:
        raise ShapeError(f'The loss "{loss}" needs one output per class; the network returns one: give it as many.')
    if target.dim() == 2 and target.shape[1] == 1:
        target = target.squeeze(1)
    if target.dim() != 1:
        raise ShapeError(
            f'y of {name}= has rows of shape {list(target.shape[1:])}: the loss "{loss}" reads one class number a row.'
        )
    if target.is_floating_point():
        odd = (target != target.round()).nonzero().flatten()
        if len(odd):
            place = int(odd[0])
            raise LabelError(
                f'y of {name}= holds {float(target[place]):g} at [{place}]: the loss "{loss}" reads class numbers 0 to '
                f"{classes - 1}. For numbers use a loss like mse."
            )
    labels = target.long()
    odd = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(odd):
        place = int(odd[0])
        raise LabelError(
            f"y of {name}= holds class {int(labels[place])} at [{place}]: the network has {classes} outputs, for "
            f"classes 0 to {classes - 1}."
        )
    return labels


def _per_row(outputs: Tensor) -> str:
    return f"{list(outputs.shape[1:])} per row"


# -- losses of the caller's own


def custom_loss(function: Callable[[Any, Any], Tensor], outputs: Any, examples: Examples) -> CustomLoss:
    """The caller's loss as an objective; raises LossError for a function that gives nothing to minimise."""
    examples = in_shape_of(outputs, examples)
    loss = CustomLoss(function, "given", examples.tree)
    targets = loss.arranged(examples.targets if examples.tree is not None else examples.targets[0])
    targets = pytree.tree_map(lambda y: y[:ROWS], targets)
    outputs = pytree.tree_map(lambda x: x.detach().requires_grad_(x.is_floating_point()), outputs)
    value = _value(function, outputs, targets)
    rows = len(pytree.tree_leaves(outputs)[0])
    if value.dim() > 0 and value.shape[0] != rows:
        raise LossError(
            f"The loss returned shape {list(value.shape)} for {rows} rows: it must return one number, or one per row."
        )
    if not value.requires_grad:
        raise LossError("The loss does not depend on the network's output: there is nothing to minimise.")
    if not bool(value.isfinite().all()):
        raise LossError("The loss is NaN or infinite on the first rows, before any training: look at its formula.")
    if value.dim() > 0:
        return loss
    each = [
        _value(function, *(pytree.tree_map(lambda x, i=i: x[i : i + 1], part) for part in (outputs, targets)))
        for i in range(rows)
    ]
    is_mean = all(v.numel() == 1 for v in each) and bool(
        torch.isclose(torch.stack([v.reshape(()) for v in each]).mean(), value, rtol=1e-4, atol=1e-6)
    )
    return CustomLoss(function, "averaged" if is_mean and rows > 1 else "mixed", examples.tree)


def _value(function: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
    try:
        value = function(outputs, targets)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
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
    if not isinstance(outputs, Tensor) or len(examples.targets) != 1:
        return examples
    target = examples.targets[0]
    differs = target.is_floating_point() and target.shape[1:] != outputs.shape[1:]
    if differs and target[:1].numel() == outputs[:1].numel():
        return replace(examples, targets=(target.reshape(len(target), *outputs.shape[1:]),))
    return examples
