"""What the caller hands over, made into frames: a file, any frame, (X, y), or (train, valid, test) frames.

Knows the shapes data comes in, and nothing of roles, splits or encoding.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trimtab.errors import DataError, OptionError
from trimtab.table.cells import as_moments, as_numbers, narrowed, settle_types, shortest
from trimtab.table.frames import called_as, column_called, label_columns, to_frame
from trimtab.table.read import read_table
from trimtab.table.spelling import LABEL_WORDS, as_written, without_missing
from trimtab.text.wording import counted

PART_COLUMN = "trimtab_part"


@dataclass(frozen=True)
class Source:
    """One frame with its text settled, what it is called, and which columns are targets.

    `formats` says how moments were written. `parts` is the column that tells rows of three frames apart, if any.
    `texts` are the columns that came as text and are none in `frame`, as they came; `knows_types`: a cell of text was
    text by intent, not for want of types as in a CSV file. `categories` are columns of numbers that came as labels.
    """

    frame: pl.DataFrame
    targets: tuple[str, ...]
    name: str
    formats: dict[str, str]
    parts: str | None = None
    notices: tuple[str, ...] = ()
    texts: Mapping[str, pl.Series] = field(default_factory=dict)
    knows_types: bool = True
    categories: tuple[str, ...] = ()

    def labels_of(self, column: pl.Series, rows: np.ndarray) -> pl.Series:
        """`column` of `frame[rows]`, or the text it came as where that is what its labels are."""
        if column.name not in self.texts:
            return column
        return as_written(
            column, self.texts[column.name][rows], knows_types=self.knows_types, as_numbers=column.name in self.targets
        )


def open_source(data: Any, target: str | Sequence[str] | None, labels: Sequence[str] = ()) -> Source:
    """The source of `data`; "a,b" names two targets unless it is itself the name of a column. The text of columns that
    are `labels` is kept.

    Raises DataError for what is no table, OptionError when the target is not named.
    """
    targets = tuple(_names(target, "--target"))
    name, parts, notices, written = "data", None, (), None
    if isinstance(data, (str, Path)):
        read = read_table(data)
        frame, notices, name, written = read.frame, read.notices, _stem(Path(data)), read.written
    elif isinstance(data, tuple) and len(data) == 2:
        frame, targets = _features_and_target(data[0], data[1], targets, _names(labels, "--category"))
    elif isinstance(data, tuple) and len(data) == 3:
        frame, parts = _three_parts(data), PART_COLUMN
    elif isinstance(data, tuple):
        raise DataError(f"A tuple of {len(data)} is not a table: give (X, y) or (train, valid, test).")
    else:
        frame = to_frame(data)
    _require_some_rows(frame, name)
    _refuse_patterns(frame.columns)
    targets = tuple(column_names(targets, frame, "--target"))
    if not targets:
        listed = ", ".join(frame.columns[:12]) + (", ..." if frame.width > 12 else "")
        raise OptionError(f"Which column is to be predicted? Name it with --target. The columns are: {listed}.")
    labels = column_names(labels, frame, "--category")
    settled, formats = settle_types(frame)
    came = frame if written is None else written
    settled = _with_words(settled, came)
    kept = {*targets, *labels, *settled.select(pl.col(pl.Boolean)).columns}
    dtypes = settled.schema  # polars makes it anew at every look
    categories = tuple(name for name in _labelled(data) if name in dtypes and name not in targets)
    texts = {
        column.name: column
        for column in came.iter_columns()
        if column.name in kept and column.dtype == pl.String != dtypes[column.name]
    }
    return Source(settled, targets, name, formats, parts, notices, texts, written is None, categories)


def _labelled(data: Any) -> tuple[str, ...]:
    frames = data[:1] if isinstance(data, tuple) else [data]
    return tuple(name for frame in frames for name in label_columns(frame))


def _with_words(settled: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Text as it came, and in it "NA" as a label (Namibia), unless it stands alone or marks gaps among numbers too."""
    before = came.schema  # polars makes it anew at every look
    others = [name for name, dtype in settled.schema.items() if before[name] == pl.String != dtype]
    is_mark = (
        bool(others)
        and came.select(pl.any_horizontal(pl.col(others).str.strip_chars().is_in(LABEL_WORDS).any())).item()
    )
    columns = []
    for column in settled.select(pl.col(pl.String)).iter_columns():
        text = came[column.name]
        has_words = column.null_count() < len(column) and not is_mark
        columns.append(without_missing(text) if has_words else text.set(column.is_null(), None))
    return settled.with_columns(columns)


def column_names(given: Any, frame: pl.DataFrame, option: str) -> list[str]:
    """The columns that `given` names: a sequence of names, or one text, which may be "a,b" unless it is itself the name
    of a column. Raises OptionError for what is no name."""
    names, there = _names(given, option), frame.columns
    if len(names) == 1 and column_called(names[0], there) not in there:
        names = [part.strip() for part in names[0].split(",") if part.strip()]
    return [column_called(name, there) for name in names]


def _names(given: Any, option: str) -> list[str]:
    several = isinstance(given, Iterable) and not isinstance(given, str)
    names: list[Any] = [] if given is None else list(given) if several else [given]
    if not all(isinstance(name, str) for name in names):
        raise OptionError(f'{option} is {given!r}: give the names of columns, as "a,b" or a list.')
    return names


def _refuse_patterns(names: Sequence[str]) -> None:
    for name in names:
        if name.startswith("^") and name.endswith("$"):
            raise DataError(f'The column "{name}" is named like a pattern for many columns: give it another name.')


def open_test(test: Any, source: Source, needed: Sequence[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The separate test table, its columns of the types of the training table.

    Raises DataError that lists the `needed` columns it lacks.
    """
    read = read_table(test) if isinstance(test, (str, Path)) else None
    frame = called_as(needed, read.frame if read else to_frame(test))
    name = Path(test).name if isinstance(test, (str, Path)) else "The test table"
    there = set(frame.columns)
    absent = [column for column in needed if column not in there]
    if absent:
        listed = ", ".join(f'"{column}"' for column in absent[:20])
        raise DataError(
            f"{name} has other columns than the training table: it lacks {listed}. Give a table with the same columns."
        )
    _require_some_rows(frame, name)
    dtypes = source.frame.schema
    kept = [column for column in dtypes if column in there]
    columns = {column: _like(frame[column], dtypes[column], source.formats.get(column)) for column in kept}
    return pl.DataFrame(columns), read.notices if read else ()


def test_share(test: Any) -> float | None:
    """The share that `test` asks for; None when it is a table. Raises OptionError for a number outside (0, 1)."""
    if isinstance(test, str):
        try:
            test = float(test)
        except ValueError:
            return None
    if isinstance(test, (bool, np.bool_)) or not isinstance(test, (int, float, np.integer, np.floating)):
        return None
    if not (math.isfinite(test) and 0 < test < 1):
        raise OptionError(
            f'{test:g} is not a share of the rows: give --test a number between 0 and 1, a file, or "none".'
        )
    return float(test)


def _like(column: pl.Series, dtype: pl.DataType, form: str | None) -> pl.Series:
    """The column with the type it has in training, where its cells say so."""
    if column.dtype == dtype or column.dtype != pl.String:
        return column
    if dtype.is_integer():
        whole = column.str.strip_chars().cast(dtype, strict=False)
        if whole.null_count() == column.null_count():
            return whole
    if dtype.is_numeric():
        numbers, unreadable = as_numbers(column)
        return column if unreadable else pl.Series(column.name, numbers, nan_to_null=True).cast(dtype, strict=False)
    if isinstance(dtype, pl.Datetime):
        moments, unreadable = as_moments(column, form, None)
        return column if unreadable else moments
    return settle_types(column.to_frame())[0].to_series()


def _features_and_target(
    x: Any, y: Any, targets: tuple[str, ...], labels: Sequence[str]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    is_array = not hasattr(x, "columns")
    features, answers = to_frame(x), to_frame(y, prefix="target")
    if is_array:
        # Every column of an array is a feature by intent: as a float it is never taken for an identifier.
        whole = pl.selectors.integer() - pl.selectors.by_name(*labels, require_all=False)
        features = features.cast({whole: pl.Float64})  # type: ignore[dict-item]
    if features.height != answers.height:
        raise DataError(
            f"X has {counted(features.height, 'row')} and y has {answers.height}: give one target for each row."
        )
    if targets and len(targets) != answers.width:
        named = counted(len(targets), "target is", "targets are")
        raise OptionError(f"y has {counted(answers.width, 'column')}, and {named} named.")
    if not targets:
        plain = answers.columns == ["target0"]
        targets = ("target",) if plain or answers.columns == ["target"] else tuple(answers.columns)
    twice = sorted(set(targets) & set(features.columns))
    if twice:
        raise DataError(f'The target "{twice[0]}" is also a column of X: leave it out of X or rename it.')
    answers.columns = list(targets)
    return pl.concat([features, answers], how="horizontal"), targets


def _three_parts(data: tuple) -> pl.DataFrame:
    """Train, valid and test frames below each other, with a column that says which is which (None is no part)."""
    frames = []
    for part, name in zip(data, ("train", "valid", "test"), strict=True):
        if part is None:
            continue
        frame = to_frame(part)
        if frames and set(frame.columns) != set(frames[0].columns) - {PART_COLUMN}:
            other = sorted(set(frame.columns) ^ (set(frames[0].columns) - {PART_COLUMN}))
            raise DataError(f"The {name} frame has other columns than the train frame: {', '.join(other[:10])}.")
        frames.append(frame.with_columns(pl.lit(name).alias(PART_COLUMN)))
    if data[0] is None:
        raise DataError("The first of (train, valid, test) must be a frame: there is nothing to train on.")
    frames = [frame.select(frames[0].columns) for frame in frames]
    try:
        return narrowed(pl.concat(_without_loss(frames), how="vertical_relaxed"))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return pl.concat([frame.select(pl.all().cast(pl.String, strict=False)) for frame in frames])


def _without_loss(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """The frames with the columns widened of which polars would make other numbers where it makes one type of several:
    0.1 of single precision stays 0.1, and integers stay integers."""
    schemas = [frame.schema for frame in frames]  # polars makes them anew at every look
    for name in schemas[0]:
        dtypes = {schema[name] for schema in schemas}
        if len(dtypes) > 1 and all(dtype.is_integer() for dtype in dtypes):
            frames = [frame.cast({name: pl.Int128}) for frame in frames]
        elif len(dtypes) > 1 and any(dtype.is_float() for dtype in dtypes):
            frames = [frame.with_columns(shortest(frame[name]).alias(name)) for frame in frames]
    return frames


def _require_some_rows(frame: pl.DataFrame, name: str) -> None:
    if frame.width == 0:
        raise DataError(f"{name} has no columns.")
    if frame.height == 0:
        raise DataError(f"{name} has columns but no rows.")


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name
