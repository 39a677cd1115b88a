"""TargetEncoder: what is to be predicted, standardised for training or numbered as classes; and the way back.

Knows neither features nor splits.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import ValidationError

from trimtab.errors import DataError, ModelError
from trimtab.table.cells import FLOATS, FloatKind, as_numbers, precision_of
from trimtab.table.frames import called_as, to_frame
from trimtab.table.numbers import Document
from trimtab.table.spelling import are_numbers, as_labels, as_values, find_labels
from trimtab.text.wording import counted

Label = bool | int | float | str
# Of the range of a target, what predictions may lie beyond it: a network far from what it has seen says anything, and a
# row of which that is so may weigh more than all others (a guess; RealMLP's end at the range itself).
BEYOND, LARGEST = 0.1, sys.float_info.max


class TargetEncoder(Document):
    """The targets' names, and their mean and scale (regression) or classes (classification, in sorted order).

    `classes` are of the type they had in the table; `labels` are the same as text. Those of a text file are what it
    says ("007", "1e3", "True"), and numbers only where these are written as they stand there. `precision` is that of
    the target's column, where classes are numbers. `factors` are what the probabilities of the classes are multiplied
    by before the greatest is predicted, where the metric of a search gained by that; empty elsewhere. `low` and `high`
    are between what each network's predictions lie; empty where they may be anything.
    """

    task: Literal["regression", "classification"]
    names: tuple[str, ...]
    classes: tuple[Label, ...] = ()
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    precision: FloatKind = "double"
    factors: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        names: tuple[str, ...],
        task: str,
        *,
        weights: np.ndarray | None = None,
        may_be_constant: bool = False,
        is_bounded: bool = False,
    ) -> "TargetEncoder":
        """From training rows whose targets are all there; `weights` [rows] count like repeated rows.

        Numbers that are all one and the same raise DataError, unless they `may_be_constant`. `is_bounded`: predictions
        are to lie within the range of these rows, and a tenth of it beyond.
        """
        if task == "classification":
            return cls._fit_classes(frame[names[0]])
        means, scales, lows, highs = [], [], [], []
        for name in names:
            values = _finite(frame[name])[0]
            mean, scale = _mean_and_scale(values, weights)
            if scale == 0 and not may_be_constant:
                raise DataError(f'The target "{name}" has one and the same value in every row: nothing can be learnt.')
            means.append(mean)
            scales.append(scale or 1.0)
            if is_bounded:
                low, high = _bounds(values if weights is None else values[weights > 0])
                lows.append(low)
                highs.append(high)
        told = {"mean": tuple(means), "scale": tuple(scales), "low": tuple(lows), "high": tuple(highs)}
        return cls(task="regression", names=names, **told)

    @classmethod
    def _fit_classes(cls, column: pl.Series) -> "TargetEncoder":
        labels = as_labels(column)
        is_number = column.dtype.is_numeric() or column.dtype == pl.Boolean
        values = column if is_number else labels
        distinct = pl.DataFrame({"label": labels, "value": values}).drop_nulls("label").unique("label").sort("label")
        if is_number:
            distinct = distinct.sort("value")
        elif are_numbers(distinct["label"]):
            distinct = distinct.sort(as_values(distinct["label"]).cast(pl.Float64))
        if distinct.height < 2:
            only = f' "{distinct["label"][0]}"' if distinct.height else ""
            raise DataError(f'The target "{column.name}" has one class only{only}: there is nothing to tell apart.')
        names = tuple(distinct["label"].to_list())
        is_real = column.dtype.is_decimal() or column.dtype.is_float()
        # 0.1 of single precision is 0.1, not the nearest of its numbers.
        classes = tuple(map(float, names)) if is_real else tuple(distinct["value"].to_list())
        return cls(
            task="classification",
            names=(column.name,),
            classes=classes if len(set(classes)) == len(names) else names,
            labels=names,
            precision=precision_of(column.dtype),
        )

    def with_labels(self, given: np.ndarray) -> "TargetEncoder":
        """The same with the caller's labels in the place of those it was fitted on, one for one.

        Those that a document of JSON has no type for are told as a table's are: moments, bytes and others by their
        text, exact decimals as numbers.
        """
        texts = [label.decode(errors="backslashreplace") if isinstance(label, bytes) else label for label in given]
        column = to_frame(np.array(texts, dtype=object) if given.dtype.kind not in "mM" else given).to_series()
        labels = as_labels(column).to_list()
        is_told_apart = None not in labels and len(set(labels)) == len(labels)
        if not is_told_apart:
            labels = [str(label) for label in texts]
        has_type = column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String)
        classes = column.to_list() if has_type and not column.dtype.is_decimal() else labels
        if is_told_apart and (column.dtype.is_decimal() or column.dtype.is_float()):
            classes = [float(label) for label in labels]
        told = {"classes": tuple(classes), "labels": tuple(labels), "precision": precision_of(column.dtype)}
        return self.model_copy(update=told)

    @property
    def outputs(self) -> int:
        """How many columns a network has to return."""
        return len(self.classes) if self.task == "classification" else len(self.names)

    def usable(self, frame: pl.DataFrame) -> np.ndarray:
        """bool [rows]: every target is there, finite, and (classification) one of the classes."""
        if self.task == "classification":
            return self._class_numbers(frame) >= 0
        return np.logical_and.reduce([np.isfinite(_finite(frame[name])[0]) for name in self.names])

    def is_there(self, frame: pl.DataFrame) -> np.ndarray:
        """bool [rows]: every target is there, whether or not it can be used."""
        if self.task == "classification":
            return ~find_labels(frame[self.names[0]], self.labels, self.precision)[1]
        return has_target(frame, self.names, self.task)[0]

    def encode(self, frame: Any) -> np.ndarray:
        """float32 [rows, outputs], standardised, or int64 [rows] class numbers. Raises DataError for other rows."""
        frame = called_as(self.names, to_frame(frame))
        absent = [name for name in self.names if name not in frame.columns]
        if absent:
            raise DataError(f"The table lacks the target: {', '.join(absent)}.")
        usable = self.usable(frame)
        if not usable.all():
            rows = counted(int((~usable).sum()), "row has", "rows have")
            raise DataError(f"{rows} no usable target ({', '.join(self.names)}).")
        truth = self.truth(frame)
        if self.task == "classification":
            return truth
        mean, scale = np.array(self.mean), np.array(self.scale)
        return np.clip((truth / 4 - mean / 4) / (scale / 4), -3e38, 3e38).astype(np.float32)

    def truth(self, frame: pl.DataFrame) -> np.ndarray:
        """What predictions are compared with: values in original units, float64 [rows, targets], or class numbers."""
        if self.task == "classification":
            return self._class_numbers(frame)
        return np.stack([_finite(frame[name])[0] for name in self.names], axis=1)

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """What `raw` [rows, outputs], probabilities or values in original units, predicts: labels [rows] in their
        original type, or values [rows] (several targets: [rows, targets])."""
        if self.task == "classification":
            return array_of(self.classes, self.precision)[self.decided(raw)]
        return raw[:, 0] if len(self.names) == 1 else raw

    def written(self, raw: np.ndarray) -> np.ndarray:
        """As `decode`, for a file: labels of half precision, of which text has other digits, in single."""
        if self.task == "classification" and self.precision == "half":
            return array_of(self.classes, "single")[self.decided(raw)]
        return self.decode(raw)

    def weighed(self, raw: np.ndarray) -> np.ndarray:
        """Of `raw` [rows, classes], probabilities, what decides: of each row the greatest is predicted."""
        return raw * np.array(self.factors) if self.factors else raw

    def decided(self, raw: np.ndarray) -> np.ndarray:
        """int64 [rows]: the numbers of the classes that these probabilities [rows, classes] predict."""
        return self.weighed(raw).argmax(axis=1)

    def _class_numbers(self, frame: pl.DataFrame) -> np.ndarray:
        return find_labels(frame[self.names[0]], self.labels, self.precision)[0]

    def to_json(self) -> dict:
        """A plain dict that `from_json` turns into an equal target encoder."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: dict) -> "TargetEncoder":
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"The model's target is damaged at {place or 'its root'}: {first['msg']}.") from error


def array_of(classes: Sequence[Label], precision: FloatKind = "double") -> np.ndarray:
    """The classes as an array of the type that they have, none of them changed by the others: objects where no other
    type holds them all."""
    kinds = {bool if isinstance(label, (bool, np.bool_)) else type(label) for label in classes}
    if kinds == {float}:
        return np.array(classes, dtype=FLOATS[precision])
    array = np.array(classes)
    # numpy makes floats of integers that need 64 bits, with and without a sign, and text of what is mixed.
    kept = len(kinds) == 1 and (kinds != {int} or array.dtype.kind in "iuO")
    if kept or (array.dtype.kind in "iuf" and array.tolist() == list(classes)):
        return array
    is_unsigned = kinds == {int} and min(classes) >= 0 and max(classes) < 2**64  # type: ignore[type-var]
    array = np.empty(len(classes), dtype=np.uint64 if is_unsigned else object)
    array[:] = list(classes)
    return array


def has_target(frame: pl.DataFrame, names: tuple[str, ...], task: str) -> tuple[np.ndarray, int]:
    """bool [rows]: the targets are there; and how many were infinite, which counts as missing."""
    if task == "classification":
        column = frame[names[0]]
        infinite = int(column.is_infinite().sum() or 0) if column.dtype.is_float() else 0
        return as_labels(column).is_not_null().to_numpy(), infinite
    numbers = [_finite(frame[name]) for name in names]
    return np.logical_and.reduce([np.isfinite(values) for values, _ in numbers]), sum(count for _, count in numbers)


def _finite(column: pl.Series) -> tuple[np.ndarray, int]:
    numbers, _ = as_numbers(column)
    infinite = np.isinf(numbers)
    return np.where(infinite, np.nan, numbers), int(infinite.sum())


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Between what predictions are to lie: the range of the values, and a part of it beyond."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    beyond = BEYOND * high - BEYOND * low
    return max(low - beyond, -LARGEST), min(high + beyond, LARGEST)


def _mean_and_scale(values: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Mean and standard deviation, of values as large as float64 has them; the scale is 0 when all are equal."""
    weights = np.ones(len(values)) if weights is None else weights.astype(np.float64)
    values, weights = values[weights > 0], weights[weights > 0]
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or values.min() == values.max():
        return float(values[0]) if len(values) else 0.0, 0.0
    # Divided by a power of two, so that nothing overflows and nothing is rounded.
    unit = math.ldexp(1.0, math.frexp(largest)[1] - 1)
    shares = weights / weights.sum()
    small = values / unit
    mean = float((shares * small).sum())
    deviation = float(np.sqrt((shares * (small - mean) ** 2).sum()))
    return mean * unit, deviation * unit
