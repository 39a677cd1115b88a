"""Probe: a network and a loss tried on the first rows, so that what cannot work is said before anything is trained.

Knows modules, examples and losses; it trains nothing and changes nothing.
"""

import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trimtab.errors import (
    ModuleError,
    NotFiniteError,
    ShapeError,
    did_you_mean,
    first_line,
)
from trimtab.networks.examples import Examples, converted
from trimtab.networks.networks import copied
from trimtab.text.wording import listed, with_article
from trimtab.training.programs.dropout import DROPOUT_KINDS
from trimtab.training.programs.program import ModuleUse
from trimtab.training.randomness import SeededGenerators

# Rows on which a network is tried before a run: enough to see whether outputs of one depend on others.
ROWS = 8
# Of whole numbers in targets so many are looked at, in targets of so many numbers at most (a guess, a tenth second).
MOST_VALUES, MOST_SEARCHED = 16, 2_000_000
# Combinations of types that inputs are tried in: three inputs of three types each. Each costs a call of the network.
MOST_TRIED = 27


@dataclass(frozen=True)
class Tried:
    """What a network made of some rows: those rows, its outputs, how it is to be called, in which dtype it takes each
    input, and whether running it draws random numbers that are not counted."""

    rows: Examples
    outputs: Any
    use: ModuleUse
    dtypes: tuple[torch.dtype, ...]
    draws: bool

    def prepared(self, examples: Examples) -> Examples:
        """Examples with inputs as the network takes them."""
        return converted(examples.in_order_of(self.use.names), input_dtypes=self.dtypes)


def tried(
    module: nn.Module, examples: Examples, *, own_dropout: bool, keeps_outputs: bool, told: dict[str, object]
) -> Tried:
    """Run `module` on some rows; raises ModuleError and ShapeError for what cannot work."""
    module = copied(module).cpu().eval()
    sparse = next((name for name, child in module.named_modules() if getattr(child, "sparse", False) is True), None)
    if sparse is not None:
        raise ModuleError(f"The gradient of {sparse} is sparse, which trimtab cannot take: make it with sparse=False.")
    use = ModuleUse(
        examples.names, own_dropout, keeps_outputs, as_dict=_wants_a_dict(module, examples.names), told=told
    )
    some = examples.taken(telling_rows(examples))
    failed: Exception | None = None
    for dtypes in _ways_to_cast(module, some.inputs):
        # Two rows at least, so that what a network makes of one row alone does not pass for the shape of its outputs.
        inputs = tuple(x if len(x) > 1 else torch.cat([x, x]) for x in converted(some, input_dtypes=dtypes).inputs)
        try:
            outputs = _called(module, use, inputs)
        except Exception as error:
            failed = failed or error
            continue
        _check_outputs(module, outputs, len(inputs[0]))
        use = replace(use, ranks=tuple(leaf.dim() for leaf in pytree.tree_leaves(outputs)))
        draws, mixes = _draws_and_mixes(module, use, inputs)
        kept = pytree.tree_map(lambda x: x.detach()[: some.rows], outputs)
        return Tried(some, kept, replace(use, mixes_rows=mixes), dtypes, draws)
    assert failed is not None
    raise _cannot_take(module, some.inputs, failed) from failed


def telling_rows(examples: Examples) -> Tensor:
    """Numbers of few rows that tell most: the first ones, and those in which a whole number of the targets comes first
    (labels may be sorted, and the first ones such as a loss leaves out) or a fraction is least or greatest."""
    rows = set(range(min(ROWS, examples.rows)))
    for target in examples.targets:
        if target.is_floating_point() and target.numel():
            # What stands for a gap (-9), or a mask of 0 and 1, lies at an end of the values.
            of_row = max(1, target.numel() // len(target))
            rows |= {int(place) // of_row for place in (target.argmin(), target.argmax())}
        if target.is_floating_point() or target.numel() > MOST_SEARCHED:
            continue
        by_row = target.flatten(1) if target.dim() > 1 else target.unsqueeze(1)
        values, firsts = by_row.flatten().unique(return_inverse=True)
        if 1 < len(values) <= by_row.shape[0]:
            places = torch.arange(by_row.numel())
            first = places.new_full((len(values),), by_row.numel()).scatter_reduce_(0, firsts, places, "amin")
            rows |= {int(place) // by_row.shape[1] for place in first[:MOST_VALUES]}
    return torch.tensor(sorted(rows))


def _ways_to_cast(module: nn.Module, inputs: tuple[Tensor, ...]) -> Iterator[tuple[torch.dtype, ...]]:
    """What inputs may have to become: floats those of the network, or what they are; whole numbers nothing, then the
    integers of an embedding, then floats."""
    own = (t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
    floats = tuple(dict.fromkeys(own)) or (torch.float32,)
    ways = [(*floats, x.dtype) if x.is_floating_point() else (x.dtype, torch.int64, *floats) for x in inputs]
    return itertools.islice(itertools.product(*(tuple(dict.fromkeys(way)) for way in ways)), MOST_TRIED)


def _draws_and_mixes(module: nn.Module, use: ModuleUse, inputs: tuple[Tensor, ...]) -> tuple[bool, bool]:
    """Whether training draws random numbers of its own, and whether a row's output, or what a buffer becomes, depends
    on the rows beside it."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, DROPOUT_KINDS):  # counted ones stand in their places
            layer.eval()
    parts = [use.arguments(tuple(x[: (len(x) + 1) // 2] for x in inputs)), use.arguments(inputs)]
    generators = SeededGenerators(0)
    try:
        with generators, torch.no_grad():
            alone, beside = (_called_from_here(module, *part) for part in parts)
        if generators.have_drawn:
            module.eval()
            with SeededGenerators(0), torch.no_grad():
                alone, beside = (_called_from_here(module, *part) for part in parts)
    except ModuleError:
        raise
    except Exception:  # said with all its reasons where it happens in training
        return generators.have_drawn, False
    pairs = zip(pytree.tree_leaves(alone), pytree.tree_leaves(beside), strict=True)
    return generators.have_drawn, not all(_begins_with(b, a) for a, b in pairs)


def _called_from_here(module: nn.Module, args: tuple, kwargs: dict) -> tuple[Any, list[Tensor]]:
    """What a call gives, and what it makes of the buffers, which it leaves as they were; raises ModuleError where it
    puts other tensors in their places."""
    own = dict(module.named_buffers())
    before = {name: buffer.clone() for name, buffer in own.items()}
    outputs = module(*args, **kwargs)
    now = dict(module.named_buffers())
    replaced = next((name for name, buffer in own.items() if now.get(name) is not buffer), None)
    if replaced is not None:
        raise ModuleError(
            f"{type(module).__name__} puts another tensor in the place of its buffer {replaced}, which would be lost "
            "after each call: change the buffer in place, as with += or copy_()."
        )
    after = [buffer.clone() for buffer in own.values()]
    for name, buffer in own.items():
        buffer.copy_(before[name])
    return outputs, after


def _begins_with(rows: Tensor, some: Tensor) -> bool:
    if some.dim() < rows.dim():  # a `squeeze()` took the dimension of a single row
        some = some.unsqueeze(0)
    if not rows.dim():
        return torch.allclose(some, rows, rtol=1e-3, atol=1e-4, equal_nan=True)
    return torch.allclose(some, rows[: len(some)], rtol=1e-3, atol=1e-4, equal_nan=True)


def _called(module: nn.Module, use: ModuleUse, inputs: tuple[Tensor, ...]) -> Any:
    args, kwargs = use.arguments(inputs)
    with torch.enable_grad(), SeededGenerators(0):
        return module(*args, **kwargs)


def _wants_a_dict(module: nn.Module, names: tuple[str, ...]) -> bool:
    """Whether inputs given by name are to be handed over as one dict, as `forward` has no arguments of these names."""
    parameters = _parameters(module)
    if not names or parameters is None:
        return False
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if len(parameters) > 1:
        _check_names(module, names, parameters, takes_any=takes_any)
    return not takes_any and not set(names) <= set(parameters)


def _parameters(module: nn.Module) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return None


def _check_names(
    module: nn.Module, names: tuple[str, ...], parameters: Mapping[str, inspect.Parameter], *, takes_any: bool
) -> None:
    """Raise ModuleError for inputs by name of which `forward` takes some and not the others, or wants more."""
    plain = [p for p in parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if not {p.name for p in plain} & set(names) and not takes_any:
        return
    unknown = [name for name in names if name not in parameters and not takes_any]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in names]
    if not unknown and not missing:
        return
    kind, takes = type(module).__name__, listed(p.name for p in plain)
    what = f"X has {listed(map(_quoted, unknown))}, which it does not take" if unknown else ""
    lacks = f"X lacks {listed(map(_quoted, missing))}" if missing else ""
    hint = did_you_mean(unknown[0], missing or [p.name for p in plain]) if unknown else ""
    raise ModuleError(f"{kind}.forward takes {takes}: {' and '.join(filter(None, (what, lacks)))}.{hint}")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _cannot_take(module: nn.Module, inputs: tuple[Tensor, ...], error: Exception) -> ModuleError:
    shapes = ", ".join(f"{list(x.shape)} {_named(x.dtype)}" for x in inputs)
    reason = first_line(error)
    hint = " Inputs of one dimension become columns with X[:, None]." if any(x.dim() == 1 for x in inputs) else ""
    own = sorted({_named(t.dtype) for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()})
    if "dtype" in reason and len(own) > 1:
        hint = f" Its own tensors are {listed(own)}, and are used as they are."
    return ModuleError(f"{type(module).__name__} cannot take inputs of shape {shapes}: {reason.rstrip('.')}.{hint}")


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_outputs(module: nn.Module, outputs: Any, rows: int) -> None:
    name = type(module).__name__
    leaves = pytree.tree_leaves(outputs)
    odd = [leaf for leaf in leaves if not isinstance(leaf, Tensor)]
    if not leaves or odd:
        what = with_article(type(outputs).__name__)
        holds = "" if not odd or odd[0] is outputs else f" that holds {with_article(type(odd[0]).__name__)}"
        raise ShapeError(f"{name} returned {what}{holds}: it must return a tensor, or several.")
    if any(leaf.is_complex() for leaf in leaves):
        raise ShapeError(f"{name} returned complex numbers: return their real and imaginary parts, or their size.")
    if not any(leaf.is_floating_point() for leaf in leaves):
        raise ShapeError(f"{name} returned whole numbers, which have no gradient: it must return floats.")
    for leaf in leaves:
        if leaf.dim() == 0 or leaf.shape[0] != rows:
            raise ShapeError(
                f"{name} returned shape {list(leaf.shape)} for {rows} rows: the first dimension must be rows."
            )
        if leaf.is_floating_point() and not bool(leaf.isfinite().all()):
            raise NotFiniteError(f"{name} gives NaN or infinity before any training: look at its initial weights.")
    if not any(leaf.requires_grad for leaf in leaves):
        raise ModuleError(
            f"No output of {name} has a gradient by its parameters, so that there is nothing to train: look in its "
            "forward for detach(), torch.no_grad(), .data, .item() or a way through numpy."
        )
