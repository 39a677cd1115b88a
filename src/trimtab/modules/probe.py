"""Probe: a network and a loss tried on the first rows, so that what cannot work is said before anything is trained.

Knows modules, examples and losses; it trains nothing and changes nothing.
"""

import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trimtab.errors import LabelError, ModuleError, NotFiniteError, OptionError, ShapeError, first_line
from trimtab.modules.examples import Examples
from trimtab.modules.networks import copied
from trimtab.training.config import Task
from trimtab.training.dropout import DROPOUT_KINDS
from trimtab.training.metrics import Metric
from trimtab.training.program import ModuleUse
from trimtab.training.randomness import SeededGenerators

ROWS = 8
MOST_TRIED = 27


@dataclass(frozen=True)
class Tried:
    """What a network made of the first rows: its outputs, how it is to be called, what each input has to become first
    (None: nothing), and whether running it draws random numbers that are not counted."""

    outputs: Any
    use: ModuleUse
    casts: tuple[torch.dtype | None, ...]
    draws: bool

    def prepared(self, examples: Examples) -> Examples:
        """Examples with inputs as the network takes them."""
        pairs = zip(examples.inputs, self.casts, strict=True)
        return replace(examples, inputs=tuple(x if dtype is None else x.to(dtype) for x, dtype in pairs))


def tried(
    module: nn.Module, examples: Examples, *, own_dropout: bool, keeps_outputs: bool, told: dict[str, object]
) -> Tried:
    """Run `module` on the first rows; raises ModuleError and ShapeError for what cannot work."""
    module = copied(module).cpu().eval()
    sparse = next((name for name, child in module.named_modules() if getattr(child, "sparse", False) is True), None)
    if sparse is not None:
        raise ModuleError(f"The gradient of {sparse} is sparse, which trimtab cannot take: make it with sparse=False.")
    use = ModuleUse(
        examples.names, own_dropout, keeps_outputs, as_dict=_wants_a_dict(module, examples.names), told=told
    )
    # Two rows at least, so that what a network makes of one row alone does not pass for the shape of its outputs.
    first = tuple(x[:ROWS] if len(x) > 1 else torch.cat([x, x]) for x in examples.inputs)
    failed: Exception | None = None
    for casts in _ways_to_cast(first):
        inputs = tuple(x if dtype is None else x.to(dtype) for x, dtype in zip(first, casts, strict=True))
        try:
            outputs = _called(module, use, inputs)
        except Exception as error:
            failed = failed or error
            continue
        _check_outputs(module, outputs, len(first[0]))
        use = replace(use, ranks=tuple(leaf.dim() for leaf in pytree.tree_leaves(outputs)))
        draws, mixes = _draws_and_mixes(module, use, inputs)
        kept = pytree.tree_map(lambda x: x[: len(examples.inputs[0])], outputs)
        return Tried(kept, replace(use, mixes_rows=mixes), casts, draws)
    assert failed is not None
    raise _cannot_take(module, first, failed) from failed


def _ways_to_cast(inputs: tuple[Tensor, ...]) -> Iterator[tuple[torch.dtype | None, ...]]:
    """What inputs of whole numbers may have to become: nothing, then the integers of an embedding, then floats."""
    ways = [(None,) if x.is_floating_point() else (None, *({torch.int64} - {x.dtype}), torch.float32) for x in inputs]
    return itertools.islice(itertools.product(*ways), MOST_TRIED)


def _draws_and_mixes(module: nn.Module, use: ModuleUse, inputs: tuple[Tensor, ...]) -> tuple[bool, bool]:
    """Whether training draws random numbers of its own, and whether a row's output hangs on the rows beside it."""
    module.train()
    own = dict(module.named_buffers())
    for layer in module.modules():
        if isinstance(layer, DROPOUT_KINDS):  # counted ones stand in their places
            layer.eval()
    parts = [use.arguments(tuple(x[: (len(x) + 1) // 2] for x in inputs)), use.arguments(inputs)]
    generators = SeededGenerators(0)
    try:
        with generators, torch.no_grad():
            alone, beside = (module(*args, **kwargs) for args, kwargs in parts)
        if generators.have_drawn:
            with SeededGenerators(0), torch.no_grad():
                alone, beside = (module.eval()(*args, **kwargs) for args, kwargs in parts)
    except Exception:  # said with all its reasons where it happens in training
        return generators.have_drawn, False
    now = dict(module.named_buffers())
    replaced = next((name for name, buffer in own.items() if now.get(name) is not buffer), None)
    if replaced is not None:
        raise ModuleError(
            f"{type(module).__name__} puts another tensor in the place of its buffer {replaced}, which would be lost "
            "after each call: change the buffer in place, as with += or copy_()."
        )
    pairs = zip(pytree.tree_leaves(alone), pytree.tree_leaves(beside), strict=True)
    return generators.have_drawn, not all(_begins_with(b, a) for a, b in pairs)


def _begins_with(rows: Tensor, some: Tensor) -> bool:
    if some.dim() < rows.dim():  # a `squeeze()` took the dimension of a single row
        some = some.unsqueeze(0)
    return torch.allclose(some, rows[: len(some)], rtol=1e-3, atol=1e-4, equal_nan=True)


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
    reason = first_line(error)
    hint = " Inputs of one dimension become columns with X[:, None]." if any(x.dim() == 1 for x in inputs) else ""
    hint = " Networks are trained in float32, whatever they were." if "dtype" in reason and not hint else hint
    return ModuleError(f"{type(module).__name__} cannot take inputs of shape {shapes}: {reason.rstrip('.')}.{hint}")


def _check_outputs(module: nn.Module, outputs: Any, rows: int) -> None:
    name = type(module).__name__
    leaves = pytree.tree_leaves(outputs)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ShapeError(f"{name} returned a {type(outputs).__name__}: it must return a tensor, or several.")
    if not any(leaf.is_floating_point() for leaf in leaves):
        raise ShapeError(f"{name} returned whole numbers, which have no gradient: it must return floats.")
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


def arranged_targets(outputs: Any, examples: Examples, task: Task, loss: str) -> Examples:
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
        return replace(examples, targets=(_labels(examples, columns, f'The loss "{loss}"'),))
    if target.dim() == 1:
        target = target.unsqueeze(1)
    if target.dim() != 2 or target.shape[1] != columns:
        hint = ' Class numbers are given as whole numbers, or with loss="cross_entropy".' if columns > 1 else ""
        raise ShapeError(
            f"y of {examples.given_as}= has rows of shape {list(examples.targets[0].shape[1:])} and the network "
            f"returns {_per_row(outputs)}: targets and outputs must be as many.{hint}"
        )
    return replace(examples, targets=(target.float(),))


def _labels(examples: Examples, classes: int, reader: str) -> Tensor:
    """Targets as class numbers; `reader` is what reads them, for messages."""
    target, name = examples.targets[0], examples.given_as
    if classes < 2:
        raise ShapeError(f"{reader} needs one output per class; the network returns one: give it as many.")
    if target.dim() == 2 and target.shape[1] == 1:
        target = target.squeeze(1)
    if target.dim() != 1:
        raise ShapeError(
            f"y of {name}= has rows of shape {list(target.shape[1:])}: {reader} reads one class number a row."
        )
    if target.is_floating_point() and (odd := (target != target.round()).nonzero().flatten()).numel():
        row = int(odd[0])
        raise LabelError(
            f"y of {name}= holds {float(target[row]):g} at [{examples.place_of(row)}]: {reader} reads class numbers "
            f"0 to {classes - 1}. For numbers use a loss like mse."
        )
    labels = target.long()
    if (odd := ((labels < 0) | (labels >= classes)).nonzero().flatten()).numel():
        row = int(odd[0])
        raise LabelError(
            f"y of {name}= holds class {int(labels[row])} at [{examples.place_of(row)}]: the network has {classes} "
            f"outputs, for classes 0 to {classes - 1}."
        )
    return labels


def check_for_metric(outputs: Any, examples: Examples, metric: Metric) -> None:
    """Raise where `metric` cannot compare the outputs with the targets of a loss of the caller's own."""
    target, columns = examples.targets[0], outputs.shape[1] if outputs.dim() == 2 else 1
    if metric.task == "classification":
        _labels(examples, columns, f'metric="{metric.name}"')
        if target.is_floating_point() or target.dim() > 1:
            raise OptionError(f'metric="{metric.name}" reads class numbers: give y as whole numbers of shape [rows].')
    elif len(examples.targets) > 1 or target.shape[1:] != outputs.shape[1:]:
        raise OptionError(
            f'metric="{metric.name}" compares outputs with targets one by one: the network returns '
            f"{_per_row(outputs)}, and y has {list(target.shape[1:])}. Leave it out, or give a network with as many."
        )


def _per_row(outputs: Tensor) -> str:
    return f"{list(outputs.shape[1:])} per row"
