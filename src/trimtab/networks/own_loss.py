"""OwnLoss: a loss function of the caller's own tried on the first rows: what kind of number it gives, and the form in
which it takes the targets.

Knows outputs, targets and losses; it knows no networks and trains nothing.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from trimtab.errors import LossError, first_line
from trimtab.export.scripts.forms import assigned, places
from trimtab.networks.examples import Examples, converted, leaves_as
from trimtab.training.randomness import SeededGenerators
from trimtab.training.rules.objective import CustomLoss
from trimtab.training.warning import say_once

log = logging.getLogger(__name__)
Function = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class TargetForm:
    """What each target is when a loss reads it: its dtype, and the shape of its rows (None: as it was given)."""

    dtypes: tuple[torch.dtype, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    given: tuple[torch.dtype, ...]

    def lines(self, tree: Any) -> tuple[str, ...]:
        """Python that brings `target` beside its `output` into this form; `tree` is how targets hang together where
        they came as a tuple or dict."""
        if tree is None:
            shape, dtype = self.shapes[0], self.dtypes[0]
            cast = f"target = target.to({dtype})" if dtype != self.given[0] or dtype.is_floating_point else ""
            reshaped = "target = target.reshape(output.shape)" if shape is not None else ""
            return tuple(line for line in (cast, reshaped) if line)
        ways = zip(self.dtypes, self.given, self.shapes, strict=True)
        changes = [
            (f".to({dtype})" if dtype != given else "")
            + ("" if shape is None else f".reshape({', '.join(map(str, (-1, *shape)))})")
            for dtype, given, shape in ways
        ]
        if not any(changes):
            return ()
        steps = places(pytree.tree_unflatten([0] * len(changes), tree))
        leaves = [f"target{step}{change}" for step, change in zip(steps, changes, strict=True)]
        return assigned("target", pytree.tree_unflatten(leaves, tree))

    def applied(self, examples: Examples) -> Examples:
        """Examples with targets in this form."""
        part = converted(examples, target_dtypes=self.dtypes)
        shaped = (y if s is None else y.reshape(len(y), *s) for y, s in zip(part.targets, self.shapes, strict=True))
        return replace(part, targets=tuple(shaped))


@dataclass(frozen=True)
class OwnLoss:
    """The caller's loss as an objective, and the form in which it takes targets."""

    objective: CustomLoss
    form: TargetForm


def own_loss(function: Function, outputs: Any, examples: Examples, told: dict[str, object]) -> OwnLoss:
    """The caller's loss, from the `outputs` for `examples`, which are few; raises LossError for a function that gives
    nothing to minimise.

    Targets come as they were given, floats in the precision of the outputs. Only where the function cannot take them so
    (labels of 32 bits), or would compare every row with every other (`[rows]` and `[rows, 1]`, which torch broadcasts
    to `[rows, rows]`), they get the shape of the outputs, and that is said.
    """
    outputs, examples = _countable(outputs, examples)
    generators = SeededGenerators(0)
    with generators, torch.enable_grad():
        form = _form_for(function, outputs, examples, told)
        rows_are = _rows_are(function, outputs, form.applied(examples))
    loss = CustomLoss(function, rows_are, examples.tree, draws=generators.have_drawn, told=told)
    return OwnLoss(loss, form)


def _form_for(function: Function, outputs: Any, examples: Examples, told: dict[str, object]) -> TargetForm:
    """The first form of targets that the function takes without comparing every row with every other; the first that it
    takes at all where it does so in all of them."""
    refused: LossError | None = None
    comparing: TargetForm | None = None
    for form in _forms(outputs, examples):
        try:
            compares = _compares_rows(function, outputs, form.applied(examples))
        except LossError as error:
            refused = refused or error
            continue
        if not compares:
            reason = "it raises an error" if comparing is None else "it would compare every row with every other"
            _say_changed(examples, form.applied(examples), reason, told)
            return form
        comparing = comparing or form
    if comparing is not None:
        return comparing
    assert refused is not None
    raise refused


def _countable(outputs: Any, examples: Examples) -> tuple[Any, Examples]:
    """Of the rows so many that no other dimension has their number, by which rows are told from columns."""
    leaves = (*pytree.tree_leaves(outputs), *examples.targets)
    others = {size for x in leaves for size in x.shape[1:]}
    rows = len(leaves[0])
    count = next((n for n in range(rows, 1, -1) if n not in others), rows)
    return pytree.tree_map(lambda x: x[:count], outputs), examples.taken(torch.arange(count))


def _forms(outputs: Any, examples: Examples) -> Iterator[TargetForm]:
    """In which forms targets may come, the one they were given in first."""
    leaves = _alike(outputs, examples)
    floats = next(x.dtype for x in pytree.tree_leaves(outputs) if x.is_floating_point())
    as_given = tuple(floats if y.is_floating_point() else y.dtype for y in examples.targets)
    wide = tuple(floats if y.is_floating_point() else torch.int64 for y in examples.targets)
    shapes: list[tuple[tuple[int, ...] | None, ...]] = [(None,) * len(as_given)]
    if leaves is not None:
        own = tuple(None if y.shape == x.shape or _without_ones(y) != _without_ones(x) else tuple(x.shape[1:])
                    for x, y in zip(leaves, examples.targets, strict=True))  # fmt: skip
        shapes += [own] if any(shape is not None for shape in own) else []
    all_floats = (floats,) * len(as_given)
    for dtypes in dict.fromkeys((as_given, wide, all_floats)):
        for shape in shapes:
            yield TargetForm(dtypes, shape, tuple(y.dtype for y in examples.targets))


def _alike(outputs: Any, examples: Examples) -> list[Tensor] | None:
    """The outputs that stand against the targets one by one; None where they hang together otherwise."""
    leaves = pytree.tree_leaves(outputs)
    if len(leaves) == len(examples.targets) == 1:
        return leaves
    if examples.tree is None or len(leaves) != len(examples.targets):
        return None
    found = leaves_as(outputs, _arranged(examples))
    return None if found is None else list(found)


def _without_ones(x: Tensor) -> list[int]:
    return [size for size in x.shape[1:] if size != 1]


def _say_changed(examples: Examples, part: Examples, reason: str, told: dict[str, object]) -> None:
    """Say in which form the loss gets targets where it is one that they were not given in."""
    for given, became in zip(examples.targets, part.targets, strict=True):
        is_float = became.is_floating_point() and not given.is_floating_point()
        if given.shape == became.shape and not is_float:
            continue
        before, after = (", ".join(["rows", *map(str, x.shape[1:])]) for x in (given, became))
        kinds = (f"{str(x.dtype).removeprefix('torch.')} " if is_float else "" for x in (given, became))
        before, after = (f"{kind}[{shape}]" for kind, shape in zip(kinds, (before, after), strict=True))
        say_once(
            log, told,
            f"The loss gets y as {after}, like the network's outputs, since with y as {before} {reason}: give y so, to "
            "be sure.",
        )  # fmt: skip
        return


class _Watching(TorchDispatchMode):
    """Notes whether some operation gives a number for each pair of `rows`."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.has_pairs = rows, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, Tensor) and sum(size == self.rows for size in tensor.shape) > 1:
                self.has_pairs = True
        return result


def _compares_rows(function: Function, outputs: Any, examples: Examples) -> bool:
    # torch warns of such comparisons too, where it sees them; what is done about it is said in our own words.
    with warnings.catch_warnings(), _Watching(examples.rows) as watching:
        warnings.filterwarnings("ignore", message="Using a target size")
        _value(function, outputs, _arranged(examples))
    return watching.has_pairs


def _arranged(examples: Examples) -> Any:
    """Targets as the loss is given them."""
    if examples.tree is None:
        return examples.targets[0]
    return pytree.tree_unflatten(list(examples.targets), examples.tree)


def _rows_are(function: Function, outputs: Any, examples: Examples) -> str:
    """What `CustomLoss` has to know of the number that the function gives."""
    rows, targets = examples.rows, _arranged(examples)
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
    each = [_of_row(function, outputs, targets, i) for i in range(rows)]
    is_mean = all(v is not None and v.numel() == 1 for v in each) and bool(
        torch.isclose(torch.stack([v.reshape(()) for v in each if v is not None]).mean(), value, rtol=1e-4, atol=1e-6)
    )
    return "averaged" if is_mean and rows > 1 else "mixed"


def _of_row(function: Function, outputs: Any, targets: Any, row: int) -> Tensor | None:
    """What the function gives for one row alone; None where it takes none alone."""
    try:
        return _value(function, *(pytree.tree_map(lambda x: x[row : row + 1], part) for part in (outputs, targets)))
    except LossError:
        return None


def _value(function: Function, outputs: Any, targets: Any) -> Tensor:
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


def reads_logits(function: Function, outputs: Tensor, targets: Any) -> bool:
    """Whether the function takes any number as an output, and no probability, which lies between 0 and 1."""
    with SeededGenerators(0), torch.no_grad():
        for shift in (-3.0, 3.0):
            try:
                value = _value(function, torch.full_like(outputs, shift), targets)
            except LossError:
                return False
            if not bool(value.isfinite().all()):
                return False
    return True
