"""Encoder: the features of a frame become tensors, by statistics and vocabulary of the training rows alone.

It holds no row of the data. Knows neither targets nor splits: the caller chooses the rows it is fitted on.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import ValidationError

from trimtab.errors import DataError, ModelError
from trimtab.table.bins import edges_as_encoded
from trimtab.table.categories import Labels
from trimtab.table.cells import as_moments, as_numbers, precision_of
from trimtab.table.frames import called_as, to_frame
from trimtab.table.moments import Moments, days, whole_seconds
from trimtab.table.numbers import Document, Scaling
from trimtab.table.schema import Column, Schema
from trimtab.table.spans import Span, spans_between
from trimtab.table.spelling import as_labels
from trimtab.text.wording import counted

CellType = Literal["string", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Encoded:
    """float32 [rows, numbers] and int64 [rows, embedded columns], and what should be said about the cells."""

    numbers: np.ndarray
    codes: np.ndarray
    notices: tuple[str, ...] = ()


class Feature(Document):
    """One column and its encoding: exactly one of `scaling`, `labels` and `moments`. `type` is that of its cells;
    `edges` are those of the bins of a continuous column, as it is encoded.
    """

    name: str
    type: CellType = "string"
    scaling: Scaling | None = None
    labels: Labels | None = None
    moments: Moments | None = None
    format: str | None = None
    time_zone: str | None = None
    has_indicator: bool = False
    edges: tuple[float, ...] = ()

    @property
    def is_continuous(self) -> bool:
        """It becomes one continuous column, the number or the time passed, and perhaps others that are not."""
        return self.labels is None

    @property
    def is_embedded(self) -> bool:
        return self.labels is not None and self.labels.kind == "embedding"

    @property
    def encoded_by(self) -> Scaling:
        """The scaling of its continuous column."""
        return (self.scaling if self.moments is None else self.moments.elapsed) or Scaling()

    def moments_of(self, column: pl.Series) -> tuple[pl.Series, int]:
        """The moments of a column of them, and how many cells are none."""
        return as_moments(column, self.format, self.time_zone)

    @property
    def other_names(self) -> tuple[str, ...]:
        """The columns of numbers beside the continuous one: one-hot, parts of the date, what was missing."""
        if self.labels is not None:
            return tuple(f"{self.name}: {label}" for label in self.labels.column_names)
        parts = () if self.moments is None else tuple(f"{self.name}: {part}" for part in self.moments.column_names)
        return (*parts, f"{self.name}: missing") if self.has_indicator else parts


class Encoder(Document):
    """The encodings of all features, in the order of the training table, and the spans between its moments."""

    features: tuple[Feature, ...]
    spans: tuple[Span, ...] = ()

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, schema: Schema, weights: np.ndarray | None = None, *, spans: bool = True
    ) -> "Encoder":
        """From the training rows in `frame`; `weights` [rows] count like repeated rows, 0 for nothing. `spans`: whether
        the time between two moments may be a column."""
        features = tuple(_fit_feature(frame[column.name], column, weights) for column in schema.features)
        dated = [feature for feature in features if feature.moments is not None]
        if not spans or len(dated) < 2:
            return cls(features=features)
        times = {feature.name: whole_seconds(feature.moments_of(frame[feature.name])[0]) for feature in dated}
        zones = {feature.name: feature.time_zone for feature in dated}
        return cls(features=features, spans=spans_between(times, zones, weights))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns a table must have."""
        return tuple(feature.name for feature in self.features)

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each column of `Encoded.numbers`: the continuous ones first, spans their last, then all others."""
        continuous = tuple(feature.name for feature in self.features if feature.is_continuous)
        spans = tuple(span.name for span in self.spans)
        return (*continuous, *spans, *(name for feature in self.features for name in feature.other_names))

    @property
    def n_continuous(self) -> int:
        """How many columns of `Encoded.numbers`, its first, are scaled numbers, times and spans."""
        return sum(feature.is_continuous for feature in self.features) + len(self.spans)

    @property
    def scalings(self) -> tuple[Scaling, ...]:
        """Those of the continuous columns, in their order."""
        of_features = (feature.encoded_by for feature in self.features if feature.is_continuous)
        return (*of_features, *(span.scaling for span in self.spans))

    @property
    def edges(self) -> tuple[tuple[float, ...], ...]:
        """Those of the bins of each continuous column; none where the encoder is of an older trimtab."""
        of_features = (feature.edges for feature in self.features if feature.is_continuous and feature.edges)
        return (*of_features, *(span.edges for span in self.spans))

    @property
    def n_numbers(self) -> int:
        return len(self.column_names)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The entries of each embedded column: the unknown's, the missing's when there is one, one per label."""
        return tuple(f.labels.entries for f in self.features if f.labels is not None and f.is_embedded)

    def encode(self, frame: Any) -> Encoded:
        """The rows of `frame`, any kind of frame, with the columns in any order and of any type.

        Raises DataError that lists every column that is not there.
        """
        frame = called_as(self.names, to_frame(frame))
        self._require_columns(frame)
        # Column after column, because that is how both sides of the work lie in memory; turned once at the end.
        numbers = np.empty((self.n_numbers, frame.height), dtype=np.float32)
        codes = np.empty((len(self.cardinalities), frame.height), dtype=np.int64)
        notices: list[str] = []
        read: dict[str, pl.Series] = {}
        continuous, other, code = 0, self.n_continuous, 0
        for feature in self.features:
            column = frame[feature.name]
            width = len(feature.other_names)
            others = numbers[other : other + width]
            if feature.labels is None:
                numbers[continuous] = _encode_values(feature, column, others, read, notices)
                continuous += 1
            elif feature.is_embedded:
                codes[code] = _entries(feature.name, feature.labels, column, notices)
                code += 1
            else:
                entries = _entries(feature.name, feature.labels, column, notices)
                others[:] = feature.labels.rows_of_entries().T[:, entries]
            other += width
        if self.spans:
            times = {name: whole_seconds(moments) for name, moments in read.items()}
            numbers[continuous : self.n_continuous] = [span.apply(times) for span in self.spans]
        return Encoded(np.ascontiguousarray(numbers.T), np.ascontiguousarray(codes.T), tuple(notices))

    def _require_columns(self, frame: pl.DataFrame) -> None:
        there = set(frame.columns)
        absent = [name for name in self.names if name not in there]
        if absent:
            listed = ", ".join(f'"{name}"' for name in absent)
            raise DataError(f"The table lacks {len(absent)} of the columns that the model was trained on: {listed}.")

    def to_json(self) -> dict:
        """A plain dict that `from_json` turns into an equal encoder."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, document: dict) -> "Encoder":
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"The model's encoding is damaged at {place or 'its root'}: {first['msg']}.") from error


def _fit_feature(column: pl.Series, about: Column, weights: np.ndarray | None) -> Feature:
    if about.role in ("category", "boolean"):
        labels = Labels.fit(as_labels(column), weights, precision=precision_of(column.dtype))
        return Feature(name=about.name, type=_cell_type_of_labels(about.dtype, column), labels=labels)
    if about.role == "date-time":
        zone = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
        moments, _ = as_moments(column, about.format, zone)
        absent = moments.is_null().to_numpy()
        fitted = Moments.fit(moments, weights)
        return Feature(
            name=about.name, moments=fitted, format=about.format, time_zone=zone,
            has_indicator=_counts(absent, weights), edges=edges_as_encoded(fitted.elapsed, days(moments), weights),
        )  # fmt: skip
    numbers, _ = as_numbers(column)
    absent, scaling = ~np.isfinite(numbers), Scaling.fit(numbers, weights)
    return Feature(
        name=about.name,
        # Durations and times of day are numbers here, of seconds; a column that is to be read as numbers too.
        type="integer" if _cell_type(about.dtype) == "integer" else "number",
        scaling=scaling,
        has_indicator=_counts(absent, weights),
        edges=edges_as_encoded(scaling, numbers, weights),
    )


def _cell_type_of_labels(dtype: str, column: pl.Series) -> CellType:
    """As `_cell_type`, but seconds for spans of time, and text for whole numbers that float64 would not tell apart."""
    if column.dtype == pl.Duration:
        return "number"
    most = column.max() if dtype == "UInt64" and column.dtype == pl.UInt64 else None
    if isinstance(most, int):
        return "integer" if most < 2**63 else "string"
    return _cell_type(dtype)


def _cell_type(dtype: str) -> CellType:
    """By the name that polars has for it; what int64 cannot hold is a number."""
    if dtype.startswith(("Int", "UInt")) and dtype not in ("UInt64", "Int128", "UInt128"):
        return "integer"
    if dtype.startswith(("Float", "Decimal", "Int", "UInt")):
        return "number"
    return "boolean" if dtype == "Boolean" else "string"


def _counts(rows: np.ndarray, weights: np.ndarray | None) -> bool:
    return bool(rows.any() if weights is None else (rows & (weights > 0)).any())


def _entries(name: str, labels: Labels, column: pl.Series, notices: list[str]) -> np.ndarray:
    entries, unseen, missing = labels.entry_of(column)
    if unseen:
        notices.append(f'"{name}": {counted(unseen, "row has", "rows have")} a label that training did not see.')
    if missing and not labels.has_missing:
        values = counted(missing, "value is", "values are")
        notices.append(f'"{name}": {values} missing, none were in training; taken as unknown labels.')
    return entries


def _encode_values(
    feature: Feature, column: pl.Series, others: np.ndarray, read: dict[str, pl.Series], notices: list[str]
) -> np.ndarray:
    """The continuous column; what else the feature becomes is written into `others`, moments as they are into
    `read`."""
    infinite = 0
    if feature.moments is not None:
        moments, unreadable = feature.moments_of(column)
        absent = moments.is_null().to_numpy()
        read[feature.name] = moments
        values, parts = feature.moments.apply(moments)
        others[: len(parts)] = parts
    else:
        numbers, unreadable = as_numbers(column)
        absent, infinite = ~np.isfinite(numbers), int(np.isinf(numbers).sum())
        values = feature.encoded_by.apply(numbers)
    if feature.has_indicator:
        others[-1] = absent
    if unreadable:
        kind = "numbers" if feature.moments is None else "dates"
        notices.append(f'"{feature.name}": {_count_as_missing(unreadable, f"not {kind}")}')
    if infinite:
        notices.append(f'"{feature.name}": {_count_as_missing(infinite, "infinite")}')
    missing = int(absent.sum()) - unreadable - infinite
    if missing and not feature.has_indicator:
        gaps = counted(missing, "value is", "values are")
        notices.append(f'"{feature.name}": {gaps} missing, none were in training; the median stands in.')
    return values


def _count_as_missing(values: int, what: str) -> str:
    if values == 1:
        what = {"not numbers": "not a number", "not dates": "not a date"}.get(what, what)
    return f"{counted(values, 'value is', 'values are')} {what}, and {'counts' if values == 1 else 'count'} as missing."
