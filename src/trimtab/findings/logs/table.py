"""Table: a log of rows and columns: CSV and TSV of any framework, printed tables, frames of any library.

Lightning's metrics.csv, fastai's history.csv, Keras' CSVLogger, Ultralytics' results.csv, CatBoost's *_error.tsv.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import Log
from trimtab.recording.names import PARTS, named, plain

_SEPARATORS = ",\t;|"
_LOOKED_AT = 30  # lines by which a table is told from text (a guess)
_NUMBER = re.compile(r"\s*[-+]?(?:\d[\d.]*(?:,\d+)?(?:e[-+]?\d+)?%?|\.\d+|nan|inf(?:inity)?)\s*", re.IGNORECASE)
_MISSING = ("", "none", "null", "na", "n/a", "-", "--", "<na>")
# What a column of text may be called that tells trainings apart, parts of the data, or curves.
_OF_RUNS = {"run", "run_id", "run_name", "experiment", "trial", "fold", "seed", "model", "model_name", "name"}
_OF_CURVES = {"metric", "metric_name", "tag", "key", "name", "variable", "measure"}
_OF_VALUES = {"value", "metric_value", "score"}


def read(content: Content) -> list[Log] | None:
    """The log in a table with a line of names; None where the text is no such table."""
    lines = _first_lines(content.text)
    separator = _separator(lines)
    if separator is None:
        return _read_printed(content, lines)
    frame = _parsed(_without_marks(content.text), separator)
    return logs_of(frame, _format(frame.columns, separator)) if frame is not None else None


def read_frame(data: Any) -> list[Log]:
    """The log in a frame of any library, or in a dict of lists; raises DataError where it is no table."""
    from trimtab.table.frames import to_frame  # takes as long to load as a short log to be read

    return logs_of(to_frame(data), f"{'dict' if isinstance(data, dict) else 'frame'} of columns")


def logs_of(frame: polars.DataFrame, form: str) -> list[Log]:
    """One log, or one per training that a column of text or numbers tells apart."""
    frame = frame.rename({name: name.strip() for name in frame.columns} if _are_distinct(frame.columns) else {})
    texts = _texts(frame)
    frame = _curves_side_by_side(frame, texts)
    runs = _columns_of_runs(frame)
    if not runs:
        return [Log(form, _numbers(_parts_side_by_side(frame, texts)))]
    parts = frame.with_columns(polars.col(runs).cast(polars.String)).partition_by(runs, maintain_order=True)
    names = ["/".join(part.select(runs).row(0)) for part in parts]
    return [
        Log(form, _numbers(_parts_side_by_side(part.drop(runs), texts)), run=name)
        for name, part in zip(names, parts, strict=True)
    ]


# -- text


def _first_lines(text: str) -> list[str]:
    lines = text[: 1 << 16].splitlines()[: _LOOKED_AT * 4]
    return [line for line in lines if line.strip()][:_LOOKED_AT]


def _separator(lines: Sequence[str]) -> str | None:
    """What parts the cells, where there is a line of names above lines of numbers."""
    if len(lines) < 2 or lines[0].lstrip()[:1] in ("{", "["):
        return None
    for separator in _SEPARATORS:
        rows = list(csv.reader(lines, delimiter=separator))
        names, *cells = rows
        is_named = not any(_NUMBER.fullmatch(name) for name in names if name.strip())
        if len(names) < 2 or not (is_named or all(_NUMBER.fullmatch(name) for name in names)):
            continue
        told = [cell for row in cells for cell in row if cell.strip().lower() not in _MISSING]
        numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in told)
        fits = sum(len(row) == len(names) for row in cells)
        if told and numbers >= 0.4 * len(told) and fits >= 0.7 * len(cells):
            return separator
    return None


def _without_marks(text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines and lines[0].startswith("#"):  # numpy.savetxt marks the line of names
        return "".join([lines[0].lstrip("# "), *lines[1:]])
    return text


def _parsed(text: str, separator: str) -> polars.DataFrame | None:
    """All cells as text; a last line that was cut off lacks its last cells, or is left out where it has a piece."""
    last = text.rpartition("\n")[2]
    if last and last.count(separator) < text.partition("\n")[0].count(separator):
        text = text[: len(text) - len(last)]
    if separator != "," and "." not in text:
        text = text.replace(",", ".")  # decimal commas
    is_named = not _NUMBER.fullmatch(text.partition("\n")[0].partition(separator)[0])
    try:
        frame = polars.read_csv(
            io.BytesIO(text.encode()), separator=separator, infer_schema_length=0, truncate_ragged_lines=True,
            comment_prefix="#", ignore_errors=True, has_header=is_named,
        )  # fmt: skip
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException):
        return None
    if not is_named:
        return frame.rename({name: str(i + 1) for i, name in enumerate(frame.columns)})
    # The line of names stands again where a training was begun anew.
    first = frame.columns[0]
    return frame.filter(polars.col(first).is_null() | (polars.col(first) != first))


def _read_printed(content: Content, lines: Sequence[str]) -> list[Log] | None:
    """A table that skorch, fastai, spaCy and others print: names and numbers with blanks between them.

    A table of numbers alone has its columns numbered from 1 on.
    """
    found: list[list[str]] = []
    for names in _headings(lines):
        found = found or [line.split() for line in content.text.splitlines()]
        kept = [cells for cells in found if len(cells) == len(names) and _NUMBER.fullmatch(cells[0])]
        numbers = sum(_NUMBER.fullmatch(cell) is not None for cells in kept for cell in cells)
        if len(kept) > 1 and len(set(names)) == len(names) and numbers >= 0.5 * len(names) * len(kept):
            columns = {name: [cells[i] for cells in kept] for i, name in enumerate(names)}
            return logs_of(polars.DataFrame(columns), "a printed table")
    return None


def _headings(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lists of names that a table may have: words, or what two blanks part ("LOSS NER")."""
    for line in lines:
        for names in (line.lstrip("# ").split(), re.split(r"\s{2,}", line.strip("# "))):
            known = sum(named(name).kind != "other" for name in names)
            if known >= 2 and known >= len(names) / 3 and not any(map(_NUMBER.fullmatch, names)):
                yield names
    if lines and all(len(line.split()) > 1 and all(map(_NUMBER.fullmatch, line.split())) for line in lines):
        yield [str(i + 1) for i in range(len(lines[0].split()))]


def _format(names: Sequence[str], separator: str) -> str:
    there = {name.strip() for name in names}
    if {"epoch", "step"} <= there and any(name.startswith(("train", "val", "lr-")) for name in there):
        return "Lightning's metrics.csv"
    if {"epoch", "train_loss", "valid_loss", "time"} <= there:
        return "fastai's history.csv"
    if any(name.startswith("metrics/mAP") for name in there):
        return "Ultralytics' results.csv"
    return "a TSV file" if separator == "\t" else "a CSV file"


# -- columns


def _are_distinct(names: Sequence[str]) -> bool:
    return len({name.strip() for name in names}) == len(names)


def _numbers(frame: polars.DataFrame) -> polars.DataFrame:
    """The columns that hold numbers, as Float64."""
    columns = [_as_numbers(column) for column in frame.iter_columns()]
    return polars.DataFrame([column for column in columns if column is not None])


def _as_numbers(column: polars.Series) -> polars.Series | None:
    if column.dtype.is_numeric() or column.dtype == polars.Boolean:
        return column.cast(polars.Float64)
    if column.dtype == polars.Null:
        return None
    if column.dtype != polars.String:
        return None
    numbers = column.cast(polars.Float64, strict=False)
    if numbers.null_count() > column.null_count():
        text = column.str.strip_chars().str.strip_chars_end("%")
        numbers = text.cast(polars.Float64, strict=False)
        missing = int(text.filter(numbers.is_null() & text.is_not_null()).str.to_lowercase().is_in(_MISSING).sum())
    else:
        missing = 0
    told = len(column) - column.null_count() - missing
    # A cell or two of other text (a line that was cut) do not spoil a column.
    return numbers if told and numbers.is_not_null().sum() >= 0.5 * told else None


def _texts(frame: polars.DataFrame) -> list[str]:
    texts = frame.select(polars.selectors.by_dtype(polars.String, polars.Categorical, polars.Enum))
    return [column.name for column in texts.iter_columns() if _as_numbers(column) is None]


def _columns_of_runs(frame: polars.DataFrame) -> list[str]:
    """The columns that tell trainings apart: of several values, each of which comes with rows of its own."""
    found = []
    for name in frame.columns:
        told = frame[name].drop_nulls()
        if plain(name) in _OF_RUNS and len(told) == frame.height and 1 < told.n_unique() <= max(2, frame.height // 2):
            found.append(name)
    return found


def _parts_side_by_side(frame: polars.DataFrame, texts: Sequence[str]) -> polars.DataFrame:
    """A column "phase" of train and val makes of "loss" the columns train_loss and val_loss."""
    for name in texts:
        if name not in frame.columns:
            continue
        parts = frame[name].cast(polars.String).str.strip_chars().str.to_lowercase()
        distinct = parts.drop_nulls().unique(maintain_order=True).to_list()
        if not distinct or not set(distinct) <= set(PARTS):
            continue
        columns = []
        for column in frame.drop(name).iter_columns():
            if named(column.name).kind in ("epoch", "step", "learning_rate"):
                columns.append(column)
                continue
            for part in distinct:
                is_other = (parts != part).fill_null(True)
                columns.append(column.set(is_other, None).alias(f"{part}_{column.name}"))
        return polars.DataFrame(columns)
    return frame


def _curves_side_by_side(frame: polars.DataFrame, texts: Sequence[str]) -> polars.DataFrame:
    """Columns "metric" and "value" make a column of each curve."""
    names = [name for name in texts if plain(name) in _OF_CURVES]
    values = [name for name in frame.columns if plain(name) in _OF_VALUES]
    if len(names) != 1 or len(values) != 1:
        return frame
    which = frame[names[0]].cast(polars.String)
    rest = frame.drop(names[0], values[0])
    curves = [
        frame[values[0]].set((which != curve).fill_null(True), None).alias(curve)
        for curve in which.drop_nulls().unique(maintain_order=True).to_list()
        if curve not in rest.columns
    ]
    return rest.with_columns(curves)
