"""How a script reads its table, and how cells become numbers, labels and moments there.

Looks at the table as the script will, so that a script holds only what this table needs; where the table is not there,
what any table may need. Knows no encoding and no network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars

from trimtab.export.scripts.literals import literal, table
from trimtab.table.cells import MISSING_MARKS
from trimtab.table.read import Written, how_written
from trimtab.table.spelling import as_labels

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
    def of(cls, path: str | None) -> "Reading":
        if path is None:
            return cls(IN_MEMORY, "polars.read_parquet(TABLE)", False, None, was_in_memory=True)
        if not Path(path).exists():
            return cls(path, "polars.read_csv(TABLE, infer_schema=False)", True, None)
        written = how_written(path)
        name, options = _call(written)
        frame = getattr(polars, name)(path, **options)
        statement = f"polars.{name}(TABLE{''.join(f', {key}={literal(value)}' for key, value in options.items())})"
        names = None if written.dialect is None else list(written.dialect.names)
        if names is not None and frame.columns != names:
            frame.columns = names
            statement += f"\n{table('table.columns', names)}"
        return cls(path, statement, written.kind == "delimited", frame)


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


def durations(reading: Reading, names: Iterable[str]) -> str:
    """Statements that turn columns of durations and times of day among `names` into seconds."""
    lines = []
    for name in names:
        dtype = None if reading.frame is None else reading.frame.schema[name]
        cell = f"table[{literal(name)}]"
        if dtype == polars.Duration:
            lines.append(f"table = table.with_columns({cell}.dt.total_microseconds() / 1e6)")
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


def label_function(reading: Reading, names: Sequence[str], labels: Iterable[str]) -> str:
    """`def label(name)`: a column as text in one form; `labels` are those the study knows."""
    marks, steps = _spellings(reading, names, list(labels))
    cells = "table[name].str.strip_chars()" if reading.is_text else "table[name].cast(polars.String).str.strip_chars()"
    cells = ".".join([cells, *steps])
    if not marks:
        return f'def label(name):\n    """A column as text, null where missing."""\n    return {cells}\n'
    return f'''\
{table("MISSING", marks)}


def label(name):
    """A column as text, null where missing."""
    text = {cells}
    return text.set(text.is_in(MISSING), None)
'''


def _spellings(reading: Reading, names: Sequence[str], labels: list[str]) -> tuple[list[str], list[str]]:
    """Marks of missing cells that occur, and what has to be done so that "1.0" is the label 1, and "True" is true."""
    if reading.frame is None:
        known = polars.Series(labels, dtype=polars.String)
        has_whole, has_truths = known.str.contains(r"^-?\d+$").any(), known.is_in(["true", "false"]).any()
        return list(MISSING_MARKS), ([_WHOLE] if has_whole else []) + ([_TRUTHS] if has_truths else [])
    marks: set[str] = set()
    steps: set[str] = set()
    for name in names:
        column = reading.frame[name].unique()
        text, canonical = column.cast(polars.String).str.strip_chars(), as_labels(column)
        marks |= set(text.filter(text.is_in(MISSING_MARKS)).to_list())
        other = canonical.filter((text != canonical).fill_null(False))
        truths = other.is_in(["true", "false"])
        steps |= {_TRUTHS} if truths.any() else set()
        steps |= {_WHOLE} if other.filter(~truths).str.contains(r"^-?\d+$").any() else set()
        steps |= {_DECIMALS} if other.filter(~truths).str.contains(r"\.").any() else set()
    return [mark for mark in MISSING_MARKS if mark in marks], [s for s in (_WHOLE, _DECIMALS, _TRUTHS) if s in steps]


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
