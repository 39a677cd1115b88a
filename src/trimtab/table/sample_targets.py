"""What a caller gives as a target beside an array of features: labels of one kind as they are, or numbers.

Labels keep their type and value: text, whole numbers, true and false, moments, spans of time, exact decimals, bytes and
whatever else has a text of its own. Knows no features, and nothing of what is trained.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Integral
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.table.frames import is_missing
from trimtab.text.wording import counted, listed

# The first that a label is an instance of names its kind: to Python, True is an integer and a moment is a day.
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("bytes", (bytes,)),
    ("true and false", (bool, np.bool_)),
    ("spans of time", (timedelta, np.timedelta64)),
    ("numbers", (int, float, np.integer, np.floating)),
    ("exact decimals", (Decimal,)),
    ("moments", (datetime, np.datetime64)),
    ("days", (date,)),
    ("times of day", (time,)),
)
_COLLECTIONS = (list, tuple, set, frozenset, dict, np.ndarray)
_READ_AS_NUMBERS = ("numbers", "true and false", "exact decimals", "text", "bytes")


def target_labels(y: Any) -> np.ndarray:
    """The labels [rows], or [rows, columns] of what has columns: numpy's own types where it has them, else objects.

    Raises DataError where labels are missing or of several kinds, which have no order among each other.
    """
    if nw.dependencies.is_into_dataframe(y):
        return np.column_stack([target_labels(column) for column in _columns(y)])
    array = _as_array(y)
    if array.dtype.kind in "mM":
        _refuse_gaps(int(np.isnat(array).sum()))
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: a label is text, a whole number, or true and false.")
    if array.dtype.kind == "T" or (array.dtype == object and array.ndim == 1):
        return _of_one_kind(array.tolist())
    return array


def target_numbers(y: Any) -> np.ndarray:
    """The numbers [rows] or [rows, targets], as their caller has them: objects and digits are left to be read.

    Raises DataError for what is no number: moments, spans of time, labels.
    """
    if nw.dependencies.is_into_dataframe(y):
        return np.column_stack([target_numbers(column) for column in _columns(y)])
    array = _as_array(y)
    if array.dtype.kind in "mMc":
        raise DataError(_no_numbers({"m": "spans of time", "M": "moments"}.get(array.dtype.kind, "complex numbers")))
    if array.dtype != object:
        return array
    cells = [np.nan if is_missing(cell) else cell for cell in array.flat]
    if any(isinstance(cell, _COLLECTIONS) for cell in cells):
        raise DataError("y holds several numbers in a cell: give an array [rows, targets], a row of it for each cell.")
    strange = {kind for cell in cells if (kind := _kind_of(cell)) not in _READ_AS_NUMBERS}
    if strange:
        raise DataError(_no_numbers(listed(sorted(strange))))
    return _objects(cells).reshape(array.shape)


def are_said_to_be_labels(y: Any) -> bool:
    """Whether the type of `y` says that its numbers are labels, with fractions or without."""
    return hasattr(_categorical(y), "codes")


def refuse_fractions(labels: np.ndarray) -> None:
    """Raises DataError for floats that are no whole numbers: a quantity, as far as anyone can tell."""
    if labels.dtype.kind != "f" or not (broken := labels[labels != np.round(labels)]).size:
        return
    raise DataError(
        f"Unknown label type: y holds numbers with fractions, such as {broken[0]}. TrimtabRegressor predicts numbers; "
        "where each of them is a label, give them as text or as a pandas category."
    )


def numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct labels in sorted order, and the place of each row's label among them, int64 [rows]."""
    if labels.dtype != object:
        return np.unique(labels, return_inverse=True)
    try:
        distinct = sorted(set(labels))
    except TypeError:  # they have no order of their own, as the members of an Enum
        distinct = sorted(set(labels), key=str)
    place = {label: number for number, label in enumerate(distinct)}
    return _objects(distinct), np.array([place[label] for label in labels], dtype=np.int64)


def _columns(y: Any) -> list:
    frame = nw.from_native(y, eager_only=True)
    return [frame[name].to_native() for name in frame.columns]


def _as_array(y: Any) -> np.ndarray:
    categorical = _categorical(y)
    if hasattr(categorical, "codes"):
        known, codes = np.asarray(categorical.categories), np.asarray(categorical.codes)
        if not (codes < 0).any():
            return known[codes]
        return _objects([*known, None])[codes]  # the code of a gap is -1: the last place
    if nw.dependencies.is_pandas_series(y) or nw.dependencies.is_pandas_index(y):
        return np.asarray(y, dtype=None if isinstance(y.dtype, np.dtype) else object)
    if nw.dependencies.is_into_series(y):
        return _of_polars(nw.from_native(y, series_only=True).to_polars())
    if isinstance(y, (list, tuple)) and not all(isinstance(cell, str) for cell in y):
        # numpy would make text of all where some is text.
        return np.asarray(y) if any(isinstance(cell, _COLLECTIONS) for cell in y) else _objects(y)
    return np.asarray(y)


def _categorical(y: Any) -> Any:
    """pandas' categories and codes, which a series, an index and a bare Categorical hold in places of their own."""
    return getattr(y, "cat", None) if hasattr(getattr(y, "cat", None), "codes") else y


def _of_polars(column: pl.Series) -> np.ndarray:
    is_naive = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None
    is_wide = str(column.dtype).endswith("128")
    has_numpys_type = column.dtype.is_float() or column.dtype.is_integer() or column.dtype in (pl.Date, pl.Duration)
    if (has_numpys_type or is_naive) and not is_wide and not column.null_count():
        return column.to_numpy()
    return _objects(column.to_list())


def _of_one_kind(labels: list) -> np.ndarray:
    _refuse_gaps(sum(is_missing(label) for label in labels))
    examples: dict[str, Any] = {}
    for label in labels:
        examples.setdefault(_kind_of(label), label)
    if len(examples) > 1:
        raise DataError(
            f"y mixes {listed(examples)}, such as {listed(repr(label) for label in examples.values())}, which have no "
            "order among each other: give labels of one kind, such as [str(label) for label in y]."
        )
    kind, example = next(iter(examples.items()), ("text", ""))
    _require_text_of_its_own(kind, example)
    if kind == "true and false":
        return np.array(labels, dtype=bool)
    if kind == "numbers":
        return _numbers(labels)
    is_of_numpy = all(isinstance(label, (np.datetime64, np.timedelta64)) for label in labels)
    return np.array(labels) if labels and is_of_numpy else _objects(labels)


def _numbers(labels: list) -> np.ndarray:
    """As int64, uint64 or float64, whichever tells all of them apart; whole numbers beyond these stay objects."""
    if all(isinstance(label, Integral) for label in labels):
        whole = [int(label) for label in labels]
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= min(whole) and max(whole) <= np.iinfo(dtype).max:
                return np.array(whole, dtype=dtype)
        return _objects(whole)
    changed = [label for label in labels if isinstance(label, Integral) and _as_float(label) != label]
    if changed:
        raise DataError(
            f"y mixes fractions and whole numbers as large as {changed[0]}, which are not told apart as fractions: "
            "give whole numbers, or text."
        )
    return np.array(labels, dtype=np.float64)


def _as_float(number: Integral) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _kind_of(label: Any) -> str:
    return next((kind for kind, types in _KINDS if isinstance(label, types)), type(label).__name__)


def _require_text_of_its_own(kind: str, example: Any) -> None:
    """What a model's document calls the labels is their text."""
    is_plain = type(example).__str__ is object.__str__ and type(example).__repr__ is object.__repr__
    if is_plain or isinstance(example, _COLLECTIONS) or type(example).__hash__ is None:
        raise DataError(f"y holds labels of the type {kind}: give text, numbers, or true and false.")


def _refuse_gaps(missing: int) -> None:
    if missing:
        raise DataError(f"y lacks {counted(missing, 'label')}: leave out the rows that have none.")


def _no_numbers(kind: str) -> str:
    if kind.startswith("complex"):
        return "Complex data not supported: give the real and the imaginary parts of y as two targets."
    if kind == "spans of time":
        return f"y holds {kind}, where numbers are needed: give them in one unit, such as y.dt.total_seconds()."
    return f"y holds {kind}, where numbers are needed: TrimtabClassifier takes labels."


def _objects(cells: Sequence) -> np.ndarray:
    """A 1-D array of the cells, which numpy leaves as they are."""
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array
