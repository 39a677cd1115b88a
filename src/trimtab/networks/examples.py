"""Examples: inputs and targets as a caller gives them (tensors, arrays, frames), made tensors.

Knows shapes, dtypes and row numbers; it knows no networks, losses, folds or loaders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.errors import DataError, NotFiniteError, ShapeError
from trimtab.text.wording import counted, listed, with_article

HOW_TO_GIVE = "Give (X, y) as tensors, arrays or frames, or a Dataset or DataLoader of such pairs."


@dataclass(frozen=True)
class Examples:
    """Rows to train on or to validate on.

    `inputs` are tensors `[rows, ...]`, called `names` where they were given by name, `in_tuple` where they came as a
    tuple; `targets` likewise, and `tree` is how they hang together where the caller gave several (None: one tensor).
    `weights` `[rows]` are floats. `batch_size` is that of the loader they came from, which `drops_last` where a batch
    that is not full is left out. `given_as` is the argument they came by, and `places` are the numbers of their rows
    there where some were left out: messages speak of them.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    weights: Tensor
    names: tuple[str, ...] = ()
    tree: Any = None
    batch_size: int | None = None
    drops_last: bool = False
    in_tuple: bool = False
    given_as: str = "train"
    places: Tensor | None = None

    @property
    def rows(self) -> int:
        return len(self.weights)

    def taken(self, rows: Tensor) -> "Examples":
        """Those of `rows` alone."""
        inputs, targets = (tuple(x[rows] for x in part) for part in (self.inputs, self.targets))
        places = rows if self.places is None else self.places[rows]
        return replace(self, inputs=inputs, targets=targets, weights=self.weights[rows], places=places)

    def place_of(self, row: int) -> int:
        """The number of a row in what the caller gave."""
        return row if self.places is None else int(self.places[row])

    def like(self, other: "Examples") -> "Examples":
        """These rows with inputs and targets in the order of `other`'s; raises DataError where both are not of the same
        kind."""
        part = self.arranged_as(other)
        mine, theirs = f"{part.given_as}=", f"{other.given_as}="
        for what, own, others in (("inputs", part.inputs, other.inputs), ("targets", part.targets, other.targets)):
            shapes, expected = ([tuple(x.shape[1:]) for x in part] for part in (own, others))
            if shapes != expected:
                raise ShapeError(
                    f"The {what} of {mine} have rows of shape {_listed(shapes)}, those of {theirs} of "
                    f"{_listed(expected)}: give both in the same form."
                )
            for x, y in zip(own, others, strict=True):
                if x.is_floating_point() and not y.is_floating_point() and not bool((x == x.round()).all()):
                    raise DataError(
                        f"The {what} of {mine} hold fractions, those of {theirs} whole numbers: give both as floats."
                    )
        return part

    def arranged_as(self, other: "Examples") -> "Examples":
        """With inputs and targets in the order in which `other` names them; raises DataError where they hang together
        otherwise."""
        if sorted(self.names) != sorted(other.names):
            raise self._arranged_otherwise(other, "inputs")
        return self.in_order_of(other.names).with_targets_as(other)

    def with_targets_as(self, other: "Examples") -> "Examples":
        """The same for the targets alone."""
        if self.tree == other.tree:
            return self
        targets = None
        if self.tree is not None and other.tree is not None:
            model = pytree.tree_unflatten([0] * other.tree.num_leaves, other.tree)
            targets = leaves_as(pytree.tree_unflatten(list(self.targets), self.tree), model)
        if targets is None:
            raise self._arranged_otherwise(other, "targets")
        return replace(self, targets=targets, tree=other.tree)

    def _arranged_otherwise(self, other: "Examples", what: str) -> DataError:
        both = f"{self.given_as}= and {other.given_as}="
        return DataError(f"The {what} of {both} are named or arranged differently: give both in the same form.")

    def in_order_of(self, names: tuple[str, ...]) -> "Examples":
        """With inputs in the order of `names`; raises DataError where they are called otherwise."""
        if self.names == names:
            return self
        if sorted(self.names) != sorted(names):
            mine, theirs = (listed(sorted(each)) or "not by name" for each in (self.names, names))
            raise DataError(
                f"The inputs of {self.given_as}= are given as {mine}, those to train on as {theirs}: give both alike."
            )
        return replace(self, names=names, inputs=tuple(self.inputs[self.names.index(name)] for name in names))

    def followed_by(self, other: "Examples") -> "Examples":
        """These rows and then `other`'s, which must be of the same kind."""
        other = other.like(self)
        dtypes = {"input_dtypes": tuple(x.dtype for x in self.inputs),
                  "target_dtypes": tuple(y.dtype for y in self.targets)}  # fmt: skip
        other = converted(other, **dtypes)
        inputs, targets = (
            tuple(torch.cat(pair) for pair in zip(mine, others, strict=True))
            for mine, others in ((self.inputs, other.inputs), (self.targets, other.targets))
        )
        return replace(self, inputs=inputs, targets=targets, weights=torch.cat([self.weights, other.weights]))


def converted(
    part: Examples,
    *,
    input_dtypes: tuple[torch.dtype, ...] | None = None,
    target_dtypes: tuple[torch.dtype, ...] | None = None,
) -> Examples:
    """Examples in other dtypes; raises DataError for numbers that are others in theirs."""
    inputs = _all_converted(part, "X", part.inputs, input_dtypes, part.names)
    return replace(part, inputs=inputs, targets=_all_converted(part, "y", part.targets, target_dtypes, ()))


def _all_converted(
    part: Examples,
    what: str,
    tensors: tuple[Tensor, ...],
    dtypes: tuple[torch.dtype, ...] | None,
    names: tuple[str, ...],
) -> tuple[Tensor, ...]:
    if dtypes is None:
        return tensors
    return tuple(
        x if x.dtype == dtype else _converted(part, x, dtype, _label(what, names, i, len(tensors)))
        for i, (x, dtype) in enumerate(zip(tensors, dtypes, strict=True))
    )


def _converted(part: Examples, tensor: Tensor, dtype: torch.dtype, label: str) -> Tensor:
    result = tensor.to(dtype)
    if dtype.is_floating_point:
        if tensor.is_floating_point() and torch.finfo(dtype).max < torch.finfo(tensor.dtype).max:
            lost = result.isinf() & tensor.isfinite()
            _refuse_odd(part, lost, label, f"a number too large for {_named(dtype)}")
        return result
    lost = result.to(torch.promote_types(tensor.dtype, dtype)) != tensor
    kind = "fractions" if tensor.is_floating_point() else "a number"
    _refuse_odd(part, lost, label, f"{kind} that the rows to train on, which are {_named(dtype)}, cannot hold")
    return result


def _refuse_odd(part: Examples, odd: Tensor, label: str, what: str) -> None:
    if bool(odd.any()):
        row, *place = odd.nonzero()[0].tolist()
        where = ", ".join(str(number) for number in (part.place_of(row), *place))
        raise NotFiniteError(f"{label} of {part.given_as}= holds {what}, first at [{where}].")


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def leaves_as(own: Any, model: Any) -> tuple[Any, ...] | None:
    """The leaves of `own` in the order of `model`'s, a dict's by their names; None where they hang together otherwise.

    pytree alone takes dicts of one content for different ones where they were written down in another order.
    """
    if isinstance(model, Mapping):
        if not isinstance(own, Mapping) or own.keys() != model.keys():
            return None
        pairs = [(own[key], model[key]) for key in model]
    elif isinstance(model, (tuple, list)):
        if type(own) is not type(model) or len(own) != len(model):
            return None
        pairs = list(zip(own, model, strict=True))
    else:
        return None if isinstance(own, (Mapping, tuple, list)) else (own,)
    leaves = [leaves_as(*pair) for pair in pairs]
    return None if None in leaves else tuple(leaf for each in leaves for leaf in each or ())


def from_pair(x: Any, y: Any, weights: Any = None, *, name: str = "train", is_batch: bool = False) -> Examples:
    """Examples of inputs `x` and targets `y`, a tuple or dict where there are several, and row weights.

    Both keep the order in which they are given.
    In a batch of more all weights may be 0.
    """
    names = tuple(str(key) for key in x) if isinstance(x, Mapping) else ()
    several = list(x.values()) if isinstance(x, Mapping) else list(x) if isinstance(x, tuple) else [x]
    inputs = tuple(_tensor(part, _label("X", names, i, len(several)), name) for i, part in enumerate(several))
    leaves, tree = [y], None
    if isinstance(y, (tuple, Mapping)):
        # Of a mapping that torch does not know, such as a tokenizer's, a dict is made.
        is_known = isinstance(y, tuple) or type(y) in pytree.SUPPORTED_NODES
        leaves, tree = pytree.tree_flatten(y if is_known else dict(y))
    targets = tuple(_tensor(part, "y" if tree is None else f"y[{i}]", name) for i, part in enumerate(leaves))
    if not inputs or not targets:
        raise DataError(f"{name}= holds no {'inputs' if not inputs else 'targets'}. {HOW_TO_GIVE}")
    rows = _rows_of(inputs, targets, names, name)
    own = torch.ones(rows, dtype=torch.float64) if weights is None else _weights(weights, rows, name)
    if not is_batch:
        check_weights(own, name)
    return Examples(inputs, targets, own, names, tree, in_tuple=isinstance(x, tuple), given_as=name)


def from_batch(batch: Any, name: str = "train") -> Examples:
    """A batch as a loader gives it, in the form of `from_pair`: (inputs, target) or (inputs, target, weights)."""
    if isinstance(batch, (tuple, list)) and len(batch) in (2, 3):
        x, target, *weights = batch
        parts = (tuple(part) if isinstance(part, list) else part for part in (x, target))
        return from_pair(*parts, *weights, name=name, is_batch=True)
    what = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else with_article(type(batch).__name__)
    raise DataError(
        f"A batch of {name}= is {what}: it must be (inputs, target) or (inputs, target, weights), with several inputs "
        "as a tuple in the first place, ((a, b), target)."
    )


def split_rows(rows: int, share: float, seed_number: int) -> tuple[Tensor, Tensor]:
    """Row numbers to train on and to validate on, drawn at random."""
    if not 0 < share < 1:
        raise DataError(f"valid= is {share!r}: give a share between 0 and 1, or (Xv, yv).")
    held = max(1, round(share * rows))
    if held >= rows:
        are = counted(rows, "row is", "rows are")
        raise DataError(f"{are} too few to set a share of {share:g} aside: give valid=(Xv, yv).")
    order = torch.from_numpy(numpy.random.default_rng(seed_number).permutation(rows))
    return order[held:].sort().values, order[:held].sort().values


def check_finite(part: Examples) -> None:
    """Raise NotFiniteError with the first place of a NaN or an infinity in inputs or targets."""
    groups = (("X", part.inputs, part.names), ("y", part.targets, ()))
    for what, tensors, names in groups:
        for i, tensor in enumerate(tensors):
            if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
                continue
            row, *place = (~tensor.isfinite()).nonzero()[0].tolist()
            value = "NaN" if bool(tensor[(row, *place)].isnan()) else "an infinity"
            where = ", ".join(str(number) for number in (part.place_of(row), *place))
            raise NotFiniteError(
                f"{_label(what, names, i, len(tensors))} of {part.given_as}= holds {value}, first at [{where}]: "
                "fill it in or leave it out."
            )


def check_weights(weights: Tensor, name: str) -> None:
    """Raise DataError where no row counts."""
    if not bool((weights > 0).any()):
        raise DataError(f"The weights of {name}= are all 0: at least one row has to count.")


# -- tensors


def _tensor(part: Any, label: str, name: str) -> Tensor:
    """Inputs or targets as a tensor `[rows, ...]`, in the dtype they were given in."""
    tensor = _any_tensor(part, label, name)
    if tensor.dim() == 0:
        raise ShapeError(f"{label} of {name}= is a single number: it needs one row per example.")
    if tensor.is_complex():
        raise DataError(f"{label} of {name}= holds complex numbers: give real and imaginary parts apart.")
    return tensor


def _any_tensor(part: Any, label: str, name: str) -> Tensor:
    if isinstance(part, Tensor):
        if part.layout is not torch.strided:
            raise DataError(f"{label} of {name}= is sparse: give it dense, as .to_dense() makes it.")
        return _widened(part.detach())
    if _is_frame(part):
        return _from_frame(part, label, name)
    if hasattr(part, "toarray"):
        raise DataError(f"{label} of {name}= is sparse: give it dense, as .toarray() makes it.")
    if isinstance(part, numpy.ma.MaskedArray):
        part = numpy.ma.filled(part.astype(numpy.float64), numpy.nan) if part.mask.any() else part.data
    try:
        array = numpy.asarray(part)
    except (ValueError, TypeError):
        raise DataError(f"{label} of {name}= has rows of different lengths: it cannot become one tensor.") from None
    if array.dtype.kind not in "biufc":
        kind = f"a {type(part).__name__}" if array.ndim == 0 else "text or objects"
        kind = f"values of type {array.dtype}" if array.dtype.kind not in "OUS" else kind
        hint = "class labels must be whole numbers 0, 1, ..." if label.startswith("y") else "numbers are needed"
        raise DataError(f"{label} of {name}= holds {kind}: {hint}.")
    return _from_array(array)


def _from_array(array: numpy.ndarray) -> Tensor:
    """A copy of an array, in a dtype that torch knows: what the caller changes later changes nothing here."""
    array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(numpy.float64)
    return _widened(torch.from_numpy(numpy.array(array, order="C")))


def _widened(tensor: Tensor) -> Tensor:
    """Whole numbers without sign, which torch hardly computes with, as such with one, or as floats where too large."""
    if tensor.dtype not in (torch.uint16, torch.uint32, torch.uint64):
        return tensor
    is_large = tensor.dtype == torch.uint64 and bool((tensor.view(torch.int64) < 0).any())
    return tensor.double() if is_large else tensor.long()


def _is_frame(part: Any) -> bool:
    import narwhals.stable.v2 as nw

    return (
        nw.dependencies.is_into_dataframe(part)
        or nw.dependencies.is_into_series(part)
        or nw.dependencies.is_polars_lazyframe(part)
    )


def _from_frame(part: Any, label: str, name: str) -> Tensor:
    import narwhals.stable.v2 as nw

    from trimtab.table.frames import to_frame

    frame = to_frame(part)
    text = [column for column, dtype in frame.schema.items() if not (dtype.is_numeric() or str(dtype) == "Boolean")]
    is_series = nw.dependencies.is_into_series(part)
    if text and label.startswith("y"):
        raise DataError(f"{label} of {name}= holds text or objects: class labels must be whole numbers 0, 1, ....")
    if text:
        raise DataError(
            f'{label} of {name}= has a column "{text[0]}" that does not hold numbers: encode it first, or let '
            "tt.tune(table, target=...) do it."
        )
    return _from_array(frame.to_series(0).to_numpy() if is_series else frame.to_numpy())


def _weights(weights: Any, rows: int, name: str) -> Tensor:
    own = _any_tensor(weights, "the weights", name)
    if own.is_complex() or own.numel() != rows:
        raise ShapeError(
            f"The third part of {name}= has the shape {list(own.shape)}, and weights are {rows} real numbers, one for "
            "each row. Several inputs stand as a tuple in the first place, ((a, b), target)."
        )
    own = own.double().flatten()
    if not bool((own.isfinite() & (own >= 0)).all()):
        raise DataError(f"The weights of {name}= must be numbers of at least 0.")
    return own


def _rows_of(inputs: tuple[Tensor, ...], targets: tuple[Tensor, ...], names: tuple[str, ...], name: str) -> int:
    counts = [(_label("X", names, i, len(inputs)), len(x)) for i, x in enumerate(inputs)]
    counts += [(_label("y", (), i, len(targets)), len(y)) for i, y in enumerate(targets)]
    rows = counts[0][1]
    odd = next((entry for entry in counts if entry[1] != rows), None)
    if odd is not None:
        raise ShapeError(
            f"{counts[0][0]} of {name}= has {rows} rows and {odd[0]} has {odd[1]}: both need the same number of rows."
        )
    if rows == 0:
        raise DataError(f"{name}= has no rows.")
    return rows


def _label(what: str, names: tuple[str, ...], place: int, count: int) -> str:
    if names:
        return f'{what}["{names[place]}"]'
    return what if count == 1 else f"{what}[{place}]"


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
