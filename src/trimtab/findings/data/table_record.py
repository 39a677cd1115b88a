"""TableRecord: the rows of a table as the rules on data read them, before they are encoded for a network.

Knows prepared tables and tensors; it knows no rule, and reads no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy
import polars
from numpy.typing import NDArray

from trimtab.table.cells import as_moments, as_numbers
from trimtab.table.folds import FoldRows
from trimtab.table.spelling import as_labels

if TYPE_CHECKING:  # whoever has arrays alone reads no table
    from trimtab.table.prepared import Prepared
    from trimtab.table.schema import Column as SchemaColumn

Kind = Literal["number", "category", "date", "text", "identifier"]
Rows = NDArray[numpy.int64]

_KINDS: dict[str, Kind] = {
    "number": "number", "category": "category", "boolean": "category", "date-time": "date", "text": "text",
    "identifier": "identifier", "split": "category",
}  # fmt: skip
_ORDERED = ("number", "date")
# Rows that the rules look at: beyond these, what they say changes in the third digit (a guess).
MOST_ROWS = 20_000
# Cells that are held at once, 32 MB, and the rows of a table with very many columns.
MOST_CELLS, FEWEST_OF_MANY = 4_000_000, 2_000
MISSING = -1


@dataclass(frozen=True)
class Column:
    """One column: float64 [rows] of numbers, or of moments in seconds, NaN where missing; or int64 [rows] of label
    numbers, -1 where missing. `is_feature`: the network reads it; `by_word`: the user said what it is taken for."""

    name: str
    kind: Kind
    values: NDArray[Any]
    is_feature: bool = True
    by_word: bool = False
    distinct: int = 0

    @property
    def is_ordered(self) -> bool:
        return self.kind in _ORDERED

    @property
    def missing(self) -> NDArray[numpy.bool_]:
        return numpy.isnan(self.values) if self.is_ordered else self.values == MISSING

    def at(self, rows: Rows) -> "Column":
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class TableRecord:
    """The rows that a network is trained on and judged by while it is chosen, none of the test's.

    Attributes:
        columns: those of the table but target, weight and those without a second value.
        targets: float64 [rows, outputs] in original units, or int64 [rows] class numbers.
        target_names: what is predicted.
        labels: the classes by number.
        rows: int64 [rows], their numbers in the source, counted from 0 as in `predictions.parquet`.
        places: int64 [rows], their places among all rows that the network is trained on and judged by.
        weights: float64 [rows].
        folds: places among these rows to train on and to validate on.
        units: int64 [rows]: rows of one number are no evidence of their own.
        split: how the folds were drawn: random, time, group, column or given.
        split_column: the column they were drawn by, "" without one.
        of_rows: the rows of which these are a sample; as many as these where they are all.
        other: the features of rows to compare with, in the same numbers: those of the test, or new ones.
        other_units: int64 [rows] of `other`, as `units`.
    """

    columns: tuple[Column, ...]
    targets: NDArray[Any]
    target_names: tuple[str, ...] = ("target",)
    labels: tuple[str, ...] = ()
    rows: Rows = field(default_factory=lambda: numpy.zeros(0, dtype=numpy.int64))
    places: Rows = field(default_factory=lambda: numpy.zeros(0, dtype=numpy.int64))
    weights: NDArray[numpy.float64] = field(default_factory=lambda: numpy.zeros(0))
    folds: tuple[FoldRows, ...] = ()
    units: Rows = field(default_factory=lambda: numpy.zeros(0, dtype=numpy.int64))
    split: str = "random"
    split_column: str = ""
    of_rows: int = 0
    other: tuple[Column, ...] = ()
    other_units: Rows = field(default_factory=lambda: numpy.zeros(0, dtype=numpy.int64))

    @property
    def task(self) -> str:
        return "regression" if self.targets.dtype.kind == "f" else "classification"

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.is_feature)

    @property
    def size(self) -> int:
        return len(self.targets)

    @property
    def is_sample(self) -> bool:
        return self.of_rows > self.size

    @classmethod
    def of_prepared(
        cls, prepared: "Prepared", *, with_test: bool = False, most_rows: int = MOST_ROWS, seed: int = 0
    ) -> "TableRecord":
        """The development rows of a prepared table, or `most_rows` of them, and beside them the features of the test
        rows where they may be looked at."""
        frame, places = prepared.development, numpy.arange(prepared.development.height)
        most_rows = min(most_rows, max(FEWEST_OF_MANY, MOST_CELLS // max(1, len(prepared.schema.columns))))
        if len(places) > most_rows:
            places = numpy.sort(numpy.random.default_rng(seed).choice(places, most_rows, replace=False))
            frame = frame[places]
        other, units = prepared.test if with_test else None, prepared.test_units
        if other is not None and other.height > most_rows:
            taken = numpy.random.default_rng(seed).choice(other.height, most_rows, replace=False)
            other, units = other[taken], units[taken]
        columns, others = _columns(frame, prepared.schema.columns, other)
        target = prepared.target_encoder
        return cls(
            columns=columns,
            targets=target.truth(frame),
            target_names=tuple(prepared.schema.targets),
            labels=target.labels,
            rows=prepared.development_rows[places],
            places=places,
            weights=prepared.weights[places].astype(numpy.float64),
            folds=_folds_within(prepared.folds, places, prepared.development.height),
            units=prepared.units[places],
            split=prepared.split.kind,
            split_column=_split_column(prepared),
            of_rows=prepared.development.height,
            other=others,
            other_units=units if others else units[:0],
        )

    @classmethod
    def of_arrays(
        cls, inputs: NDArray[Any], targets: NDArray[Any], *, valid: tuple[NDArray[Any], NDArray[Any]] | None = None,
        labels: Sequence[str] = (),
    ) -> "TableRecord":  # fmt: skip
        """Tensors of one's own as a table: `inputs` float [rows, columns], `targets` float [rows] or [rows, outputs],
        or int [rows] classes; with rows to validate on, of which one fold is made."""
        inputs, targets = numpy.asarray(inputs, dtype=numpy.float64), numpy.asarray(targets)
        trained = len(inputs)
        if valid is not None:
            inputs = numpy.concatenate([inputs, numpy.asarray(valid[0], dtype=numpy.float64)])
            targets = numpy.concatenate([targets, numpy.asarray(valid[1])])
        is_class = targets.dtype.kind in "iub"
        targets = targets.astype(numpy.int64) if is_class else targets.astype(numpy.float64).reshape(len(targets), -1)
        every = numpy.arange(len(inputs))
        flat = inputs.reshape(len(inputs), -1)
        columns = tuple(Column(f"input {i}", "number", flat[:, i]) for i in range(flat.shape[1]))
        count = int(targets.max(initial=0)) + 1 if is_class else 0
        return cls(
            columns, targets, labels=tuple(labels) or tuple(map(str, range(count))), rows=every,
            places=every, weights=numpy.ones(len(inputs)), units=every, split="given", of_rows=len(inputs),
            folds=() if valid is None else ((every[:trained], every[trained:]),),
        )  # fmt: skip


def _split_column(prepared: "Prepared") -> str:
    """The column that the split reads, which a schema marks; the time stays a feature."""
    reserved = [column.name for column in prepared.schema.columns if column.role == "split"]
    return reserved[0] if reserved else ""


def _folds_within(folds: Sequence[FoldRows], places: Rows, rows: int) -> tuple[FoldRows, ...]:
    """The folds as places among those of a sample; a fold of which a part has no row in it is left out."""
    if len(places) == rows:
        return tuple(folds)
    place = numpy.full(rows, MISSING)
    place[places] = numpy.arange(len(places))
    within = [tuple(place[part][place[part] >= 0] for part in fold) for fold in folds]
    return tuple((train, valid) for train, valid in within if len(train) and len(valid))


def _columns(
    frame: polars.DataFrame, about: "Sequence[SchemaColumn]", other: polars.DataFrame | None
) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    here, there = [], []
    for column in about:
        kind, is_nested = _KINDS.get(column.role), frame[column.name].dtype.is_nested()
        if kind is None or is_nested or frame[column.name].dtype in (polars.Object, polars.Binary):
            continue
        is_feature = column.role in ("number", "category", "boolean", "date-time")
        beside = other[column.name] if other is not None and column.name in other.columns else None
        values, others = _values(frame[column.name], kind, column.format, beside)
        by_word = column.reason.startswith("--")
        here.append(Column(column.name, kind, values, is_feature, by_word, column.distinct))
        if others is not None:
            there.append(Column(column.name, kind, others, is_feature, by_word, column.distinct))
    return tuple(here), tuple(there)


def _values(
    cells: polars.Series, kind: Kind, form: str | None, other: polars.Series | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if kind == "number":
        return _numbers(cells), None if other is None else _numbers(other)
    if kind == "date":
        return _moments(cells, form), None if other is None else _moments(other, form)
    labels = as_labels(cells)
    joined = labels if other is None else polars.concat([labels, as_labels(other).alias(labels.name)])
    numbers = joined.rank("dense").cast(polars.Int64).fill_null(0).to_numpy() - 1
    return (numbers, None) if other is None else (numbers[: len(cells)], numbers[len(cells) :])


def _numbers(cells: polars.Series) -> NDArray[numpy.float64]:
    values = as_numbers(cells)[0].astype(numpy.float64)
    return numpy.where(numpy.isfinite(values), values, numpy.nan)


def _moments(cells: polars.Series, form: str | None) -> NDArray[numpy.float64]:
    zone = cells.dtype.time_zone if isinstance(cells.dtype, polars.Datetime) else None
    moments = as_moments(cells, form, zone)[0]
    return (
        moments.cast(polars.Datetime("us")).to_physical().cast(polars.Float64).fill_null(float("nan")).to_numpy() / 1e6
    )
