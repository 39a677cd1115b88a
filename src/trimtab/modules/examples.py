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

HOW_TO_GIVE = "Give (X, y) as tensors, arrays or frames, or a Dataset or DataLoader of such pairs."


@dataclass(frozen=True)
class Examples:
    """Rows to train on or to validate on.

    `inputs` are tensors `[rows, ...]`, called `names` where they were given by name; `targets` likewise, and `tree` is
    how they hang together where the caller gave several (None: one tensor). `weights` float32 `[rows]`. `batch_size` is
    that of the loader they came from.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    weights: Tensor
    names: tuple[str, ...] = ()
    tree: Any = None
    batch_size: int | None = None

    @property
    def rows(self) -> int:
        return len(self.weights)

    def taken(self, rows: Tensor) -> "Examples":
        """Those of `rows` alone."""
        inputs, targets = (tuple(x[rows] for x in part) for part in (self.inputs, self.targets))
        return replace(self, inputs=inputs, targets=targets, weights=self.weights[rows])

    def followed_by(self, other: "Examples") -> "Examples":
        """These rows and then `other`'s, which must be of the same kind."""
        for what, mine, others in (("inputs", self.inputs, other.inputs), ("targets", self.targets, other.targets)):
            shapes, theirs = ([tuple(x.shape[1:]) for x in part] for part in (mine, others))
            if shapes != theirs:
                raise ShapeError(
                    f"The {what} of valid= have rows of shape {_listed(theirs)}, those of train= of {_listed(shapes)}: "
                    "give both in the same form."
                )
        if self.names != other.names:
            raise DataError(f"The inputs of valid= are called {other.names}, those of train= {self.names}.")
        joined = (
            tuple(torch.cat([a, b.to(a.dtype)]) for a, b in zip(mine, others, strict=True))
            for mine, others in ((self.inputs, other.inputs), (self.targets, other.targets))
        )
        inputs, targets = joined
        return replace(self, inputs=inputs, targets=targets, weights=torch.cat([self.weights, other.weights]))


def from_pair(x: Any, y: Any, weights: Any = None, *, name: str = "train") -> Examples:
    """Examples of inputs `x` and targets `y`, a tuple or dict where there are several, and row weights."""
    names = tuple(str(key) for key in x) if isinstance(x, Mapping) else ()
    several = list(x.values()) if isinstance(x, Mapping) else list(x) if isinstance(x, tuple) else [x]
    inputs = tuple(_tensor(part, _label("X", names, i, len(several)), name) for i, part in enumerate(several))
    tree = None
    if isinstance(y, (tuple, Mapping)):
        leaves, tree = pytree.tree_flatten(dict(y) if isinstance(y, Mapping) else y)
    else:
        leaves = [y]
    targets = tuple(_target(part, "y" if tree is None else f"y[{i}]", name) for i, part in enumerate(leaves))
    if not inputs or not targets:
        raise DataError(f"{name}= holds no {'inputs' if not inputs else 'targets'}. {HOW_TO_GIVE}")
    rows = _rows_of(inputs, targets, names, name)
    own = torch.ones(rows) if weights is None else _weights(weights, rows, name)
    return Examples(inputs, targets, own, names, tree)


def from_batch(batch: Any) -> Examples:
    """A batch as a loader gives it: the last part is the target, what comes before it the inputs."""
    if isinstance(batch, (tuple, list)) and len(batch) >= 2:
        *inputs, target = batch
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        return from_pair(tuple(x) if isinstance(x, list) else x, tuple(target) if isinstance(target, list) else target)
    raise DataError(f"A batch of train= is a {type(batch).__name__}: it must be (inputs, target).")


def split(all_examples: Examples, share: float, seed_number: int) -> tuple[Tensor, Tensor]:
    """Row numbers to train on and to validate on, drawn at random."""
    if not 0 < share < 1:
        raise DataError(f"valid= is {share!r}: give a share between 0 and 1, or (Xv, yv).")
    rows = all_examples.rows
    held = max(1, round(share * rows))
    if held >= rows:
        raise DataError(f"There are {rows} rows: too few to set a share of {share:g} aside. Give valid=(Xv, yv).")
    order = torch.from_numpy(numpy.random.default_rng(seed_number).permutation(rows))
    return order[held:].sort().values, order[:held].sort().values


def check_finite(part: Examples, name: str) -> None:
    """Raise DataError with the first place of a NaN or an infinity in inputs or targets."""
    groups = (("X", part.inputs, part.names), ("y", part.targets, ()))
    for what, tensors, names in groups:
        for i, tensor in enumerate(tensors):
            if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
                continue
            place = tuple((~tensor.isfinite()).nonzero()[0].tolist())
            value = "NaN" if bool(tensor[place].isnan()) else "an infinity"
            label = _label(what, names, i, len(tensors))
            where = ", ".join(str(number) for number in place)
            raise NotFiniteError(f"{label} of {name}= holds {value}, first at [{where}]: fill it in or leave it out.")


# -- tensors


def _tensor(part: Any, label: str, name: str) -> Tensor:
    """One input as a tensor `[rows, ...]`: floats as float32, everything else as it is."""
    tensor = _any_tensor(part, label, name)
    if tensor.dim() == 0:
        raise ShapeError(f"{label} of {name}= is a single number: it needs one row per example.")
    if tensor.is_complex():
        raise DataError(f"{label} of {name}= holds complex numbers: give real and imaginary parts apart.")
    return tensor.float() if tensor.is_floating_point() else tensor


def _target(part: Any, label: str, name: str) -> Tensor:
    """Targets: floats as float32, whole numbers and truth values as int64."""
    tensor = _tensor(part, label, name)
    return tensor if tensor.is_floating_point() else tensor.long()


def _any_tensor(part: Any, label: str, name: str) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach()
    if _is_frame(part):
        return _from_frame(part, label, name)
    try:
        array = numpy.asarray(part)
    except (ValueError, TypeError):
        raise DataError(f"{label} of {name}= has rows of different lengths: it cannot become one tensor.") from None
    if array.dtype.kind not in "biuf":
        kind = "text or objects" if array.dtype.kind in "OUS" else f"values of type {array.dtype}"
        hint = (
            "class labels must be whole numbers 0, 1, ..." if label.startswith("y") else "encode them as numbers first"
        )
        raise DataError(f"{label} of {name}= holds {kind}: {hint}.")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(numpy.int64)
    return torch.from_numpy(numpy.array(array, order="C"))  # a copy: what the caller changes later changes nothing here


def _is_frame(part: Any) -> bool:
    import narwhals.stable.v2 as nw

    return nw.dependencies.is_into_dataframe(part) or nw.dependencies.is_into_series(part)


def _from_frame(part: Any, label: str, name: str) -> Tensor:
    from trimtab.table.frames import to_frame

    frame = to_frame(part)
    text = [column for column, dtype in frame.schema.items() if not (dtype.is_numeric() or str(dtype) == "Boolean")]
    if text:
        raise DataError(
            f'{label} of {name}= has a column "{text[0]}" that is no number: encode it first, or let '
            "tt.tune(table, target=...) do it."
        )
    is_series = not hasattr(part, "columns")
    array = frame.to_series(0).to_numpy() if is_series else frame.to_numpy()
    return torch.from_numpy(numpy.array(array, order="C"))


def _weights(weights: Any, rows: int, name: str) -> Tensor:
    own = _any_tensor(weights, "the weights", name).float().flatten()
    if len(own) != rows:
        raise ShapeError(f"The weights of {name}= are {len(own)}, its rows {rows}.")
    if not bool((own.isfinite() & (own >= 0)).all()) or not bool((own > 0).any()):
        raise DataError(f"The weights of {name}= must be numbers of at least 0, and some above 0.")
    return own


def _rows_of(inputs: tuple[Tensor, ...], targets: tuple[Tensor, ...], names: tuple[str, ...], name: str) -> int:
    counts = [(_label("X", names, i, len(inputs)), len(x)) for i, x in enumerate(inputs)]
    counts += [(_label("y", (), i, len(targets)), len(y)) for i, y in enumerate(targets)]
    rows = counts[0][1]
    odd = next((entry for entry in counts if entry[1] != rows), None)
    if odd is not None:
        raise ShapeError(f"{counts[0][0]} of {name}= has {rows} rows and {odd[0]} has {odd[1]}: they must be as many.")
    if rows == 0:
        raise DataError(f"{name}= has no rows.")
    return rows


def _label(what: str, names: tuple[str, ...], place: int, count: int) -> str:
    if names:
        return f'{what}["{names[place]}"]'
    return what if count == 1 else f"{what}[{place}]"


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
