"""How a script reads its table, and how cells become numbers, labels and moments there.

Looks at the table as the script will, so that a script holds only what this table needs; where the table is not there,
what any table may need. Knows no encoding and no network.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars

from trimtab.export.scripts.literals import indented, literal, table
from trimtab.table.cells import (
    MISSING_MARKS,
    TIME_OF_DAY,
)
from trimtab.table.read import Written, how_written
from trimtab.table.spelling import find_labels

IN_MEMORY = "table.parquet"
_DECIMAL_COMMA = r"^([+-]?\d+),(\d)"
_WHOLE = r'str.replace(r"^\+?(-?\d+)\.0*$", "$1")'
_DECIMALS = r'str.replace(r"^\+?(-?\d+\.\d*?[1-9])0+$", "$1")'
_TRUTHS = 'replace({"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"})'


@dataclass(frozen=True)
class Reading:
    """`statement` makes `table` from the file at `path`; `frame` is what it made here, None where there is no file.

    `is_text`: every cell comes as text. `was_in_memory`: the study was given a frame, and nobody knows a file.
    """

    path: str
    statement: str
    is_text: bool
    frame: polars.DataFrame | None
    was_in_memory: bool = False

    @classmethod
    def of(cls, path: str | None, rows: int | None = None) -> "Reading":
        """How to read the table at `path` so that its rows are the study's, which counts so many `rows` in it."""
        if path is None:
            return cls(IN_MEMORY, "table = polars.read_parquet(TABLE)", False, None, was_in_memory=True)
        if not Path(path).exists():
            return cls(path, "table = polars.read_csv(TABLE, infer_schema=False)", True, None)
        written = how_written(path)
        name, options = _call(written)
        frame = getattr(polars, name)(path, **options)
        given = "".join(f", {key}={literal(value)}" for key, value in options.items())
        statement = f"table = polars.{name}(TABLE{given})"
        names = None if written.dialect is None else list(written.dialect.names)
        if names is not None and frame.columns != names:
            frame.columns = names
            statement += f"\n{table('table.columns', names)}"
        is_text = written.kind == "delimited"
        if rows is not None and frame.height != rows:
            statement, frame = _without_blank_lines(path, statement, frame, options if is_text else None, rows)
        return cls(path, statement, is_text, frame)


def _without_blank_lines(
    path: str, statement: str, frame: polars.DataFrame, options: dict[str, Any] | None, rows: int
) -> tuple[str, polars.DataFrame]:
    """The statement, and what it makes, for a file with blank lines: to trimtab they are no rows, to polars empty ones.

    In text, a line of separators alone is a row all the same, and can be told from a blank one in the text only.
    """
    filled = frame.filter(~polars.all_horizontal(polars.all().is_null()))
    if filled.height == rows or options is None:
        dropped = "table = table.filter(~polars.all_horizontal(polars.all().is_null()))  # blank lines are no rows"
        return f"{statement}\n{dropped}", filled
    with Path(path).open("rb") as file:
        read = polars.read_csv(b"".join(line for line in file if line.strip(b"\r\n")), **options)
    read.columns = frame.columns
    lines = 'lines = b"".join(line for line in open(TABLE, "rb") if line.strip(b"\\r\\n"))  # blank lines are no rows'
    return f"{lines}\n{statement.replace('(TABLE', '(lines', 1)}", read


def _call(written: Written) -> tuple[str, dict[str, Any]]:
    """The function of polars that reads such a file, and its options."""
    if written.dialect is None:
        return {
            "parquet": ("read_parquet", {}),
            "arrow": ("read_ipc", {}),
            "json lines": ("read_ndjson", {"infer_schema_length": None}),
            "excel": ("read_excel", {"engine": "calamine", "infer_schema_length": None}),
        }[written.kind]
    options: dict[str, Any] = {"infer_schema": False}
    if written.dialect.separator != ",":
        options["separator"] = written.dialect.separator
    if not written.is_utf8:
        options["encoding"] = "cp1252"
    if not written.has_quotes:
        options["quote_char"] = None
    return "read_csv", options


def durations(reading: Reading, numbers: Iterable[str], labels: Iterable[str]) -> str:
    """Statements that turn columns of durations into seconds, and times of day too where they are `numbers`; where they
    are `labels`, into text."""
    lines = []
    for name in dict.fromkeys([*numbers, *labels]):
        dtype = None if reading.frame is None else reading.frame.schema[name]
        cell = f"table[{literal(name)}]"
        if dtype == polars.Duration:
            lines.append(f"table = table.with_columns({cell}.dt.total_microseconds() / 1e6)")
        elif dtype == polars.Time and name not in numbers:
            lines.append(f"table = table.with_columns({cell}.dt.to_string({literal(TIME_OF_DAY)}))")
        elif dtype == polars.Time:
            lines.append(f"table = table.with_columns({cell}.cast(polars.Int64) / 1e9)")
    return "\n".join(lines)


def number_function(reading: Reading, names: Sequence[str]) -> str:
    """`def number(name)`: a column as float64."""
    cells = "table[name]"
    if reading.is_text:
        cells += ".str.strip_chars()"
        if reading.frame is not None and any(
            reading.frame[name].str.strip_chars().str.contains(_DECIMAL_COMMA).any() for name in names
        ):
            cells += f'.str.replace(r"{_DECIMAL_COMMA}", "$1.$2")'
    return f'''\
def number(name):
    """A column as float64, NaN where there is no number."""
    return {cells}.cast(polars.Float64, strict=False).to_numpy()
'''


def label_function(reading: Reading, known: Mapping[str, Sequence[str]]) -> str:
    """`def label(name)`: a column as text, the labels as the study has them; `known` are those of each column that is
    asked for."""
    spellings = _Spellings.in_file(reading.frame, known) if reading.frame is not None else _Spellings.anywhere(known)
    replaced = ["replace(SPELLINGS.get(name, {}))"] if spellings.others else []
    as_text = [] if reading.is_text else ["cast(polars.String)"]
    cells = ".".join(["table[name]", *as_text, *replaced, *spellings.steps])
    lines = [f"text = {cells}"] if spellings.marks else [f"return {cells}"]
    lines += ["return text.set(text.is_in(MISSING), None)"] if spellings.marks else []
    tables = [table("MISSING", spellings.marks)] if spellings.marks else []
    if spellings.others:
        tables.append("# Other ways in which labels are written in this file.")
        tables.append(table("SPELLINGS", spellings.others))
    body = indented("\n".join(['"""A column as text, null where missing."""', *lines]))
    return "\n".join([*tables, *(["", ""] if tables else []), f"def label(name):\n{body}\n"])


@dataclass(frozen=True)
class _Step:
    """A method of a column of text as code, and what it does."""

    code: str
    apply: Callable[[polars.Series], polars.Series]


_STRIPPED = _Step("str.strip_chars()", lambda text: text.str.strip_chars())
_STEPS = (
    _STRIPPED,
    _Step(_WHOLE, lambda text: text.str.replace(r"^\+?(-?\d+)\.0*$", "$1")),
    _Step(_DECIMALS, lambda text: text.str.replace(r"^\+?(-?\d+\.\d*?[1-9])0+$", "$1")),
    _Step(_TRUTHS, lambda text: text.replace({"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"})),
)


@dataclass(frozen=True)
class _Spellings:
    """What has to be done so that cells are the study's labels: steps for all columns, marks of missing cells, and by
    column the text that is left to replace."""

    steps: tuple[str, ...]
    marks: list[str]
    others: dict[str, dict[str, str]]

    @classmethod
    def in_file(cls, frame: polars.DataFrame, known: Mapping[str, Sequence[str]]) -> "_Spellings":
        """Only what occurs in this file."""
        asked = {name: _asked(frame[name], labels) for name, labels in known.items()}
        every = polars.concat(asked.values())
        steps: list[_Step] = []
        text = every["text"]
        for step in _STEPS:
            after = step.apply(text)
            is_right, was_right = after == every["label"], text == every["label"]
            if (is_right & ~was_right).any() and not (was_right & ~is_right).any():
                steps.append(step)
                text = after
        is_mark = every["label"].is_null() & text.is_not_null()
        labels = set(every["label"].drop_nulls())
        marks = [mark for mark in MISSING_MARKS if mark in set(text.filter(is_mark)) and mark not in labels]
        others = {name: _left(pairs, steps, marks) for name, pairs in asked.items()}
        return cls(tuple(step.code for step in steps), marks, {name: left for name, left in others.items() if left})

    @classmethod
    def anywhere(cls, known: Mapping[str, Sequence[str]]) -> "_Spellings":
        """What any file may need."""
        every = polars.Series([label for labels in known.values() for label in labels], dtype=polars.String)
        occurs = {_WHOLE: every.str.contains(r"^-?\d+$").any(), _TRUTHS: every.is_in(["true", "false"]).any()}
        steps = [
            step for step in _STEPS if occurs.get(step.code, step is _STRIPPED) and step.apply(every).equals(every)
        ]
        marks = [mark for mark in MISSING_MARKS if mark not in set(every)]
        return cls(tuple(step.code for step in steps), marks, {})


def _asked(column: polars.Series, labels: Sequence[str]) -> polars.DataFrame:
    """Each text of a column beside the label that it is, null for none."""
    distinct = column.unique()
    places, is_missing = find_labels(distinct, labels)
    names = polars.Series([*labels, None], dtype=polars.String).gather(polars.Series(places) % (len(labels) + 1))
    text = _text(distinct)
    return polars.DataFrame({"text": text, "label": names}).filter(
        text.is_not_null() & polars.Series((places >= 0) | is_missing)
    )


def _text(column: polars.Series) -> polars.Series:
    """The text that the script has of a column's cells, before it does anything with it."""
    if column.dtype == polars.Duration:
        column = column.dt.total_microseconds() / 1e6
    return column.dt.to_string(TIME_OF_DAY) if column.dtype == polars.Time else column.cast(polars.String)


def _left(pairs: polars.DataFrame, steps: Sequence[_Step], marks: Sequence[str]) -> dict[str, str]:
    """What the steps leave to do in a column: text and what stands for it, a missing mark for what is missing."""
    text = pairs["text"]
    for step in steps:
        text = step.apply(text)
    is_done = (text == pairs["label"]).fill_null(False) | (pairs["label"].is_null() & text.is_in(marks))
    left = pairs.filter(~is_done).sort("text")
    return dict(left.iter_rows())


def moment_statements(reading: Reading, name: str, form: str | None, zone: str | None, result: str) -> list[str]:
    """Statements that set `result` to a column of date-times as naive ones, null where there is none; `name` is the
    expression for its name, `form` how they are written where they came as text, `zone` their time zone else."""
    if form is None:
        if zone is None:
            return [f'{result} = table[{name}].cast(polars.Datetime("us"))']
        local = f"table[{name}].dt.convert_time_zone({literal(zone)}).dt.replace_time_zone(None)"
        return [f'{result} = {local}.cast(polars.Datetime("us"))']
    text = f"table[{name}].str.strip_chars()"
    if "%H" not in form:
        return [f'{result} = {text}.str.to_date({literal(form)}, strict=False).cast(polars.Datetime("us"))']
    options = 'strict=False, time_unit="us"'
    if "z" not in form:
        return [f"{result} = {text}.str.to_datetime({literal(form)}, {options})"]
    return [
        f'text = {text}.str.replace("Z$", "+00:00")',
        f'{result} = text.str.to_datetime({literal(form)}, {options}, time_zone="UTC").dt.replace_time_zone(None)',
    ]
