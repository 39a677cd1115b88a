"""JsonRows: logs of one object per evaluation: JSON lines, a list of objects, an object per epoch.

W&B's history, fairseq's and Detectron2's metrics.json, logs of one's own.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy
import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import Log, column_of
from trimtab.findings.logs.table import logs_of

_PLAIN = {int, float, type(None)}
_LOOKED_AT = 20  # lines by which JSON lines are told from other text (a guess)


def read(content: Content) -> list[Log] | None:
    """The log in rows of JSON; None where the content is something else."""
    document = content.document
    if isinstance(document, list):
        rows = [row for row in document if isinstance(row, dict)]
        return rows_as_logs(rows, "a JSON list") if rows and 2 * len(rows) > len(document) else None
    if isinstance(document, dict):
        rows = _rows_by_epoch(document)
        if rows:
            return rows_as_logs(rows, "a JSON document")
    rows = _lines(content.text)
    return rows_as_logs(rows, "JSON lines") if rows else None


def rows_as_logs(rows: Sequence[Mapping[str, Any]], form: str) -> list[Log] | None:
    """Rows of numbers, and of texts that tell parts or trainings apart; what lies deeper is called "train/loss"."""
    frame = _frame([_flat(row) for row in rows])
    return logs_of(frame, form) if frame.width else None


def number_in(value: Any) -> float | None:
    """A number, also one that is written as text ("9.306"), and also one that says that it is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _rows_by_epoch(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{"1": {"loss": 0.5}, "2": ...}."""
    inner = {number_in(name.lower().removeprefix("epoch").strip(" _-")): row for name, row in document.items()}
    if None in inner or not all(isinstance(row, dict) for row in inner.values()):
        return []
    return [{"epoch": epoch, **row} for epoch, row in sorted(inner.items(), key=lambda pair: pair[0] or 0.0)]


def _lines(text: str) -> list[dict[str, Any]]:
    """The objects in lines of JSON; a line that is none (cut off, a warning between) is left out."""
    if "{" not in text:
        return []
    lines = [line for line in text.splitlines() if line.lstrip().startswith("{")]
    first = [object_in(line) for line in lines[:_LOOKED_AT]]
    others = sum(bool(line.strip()) for line in text[: 1 << 16].splitlines()[: 2 * _LOOKED_AT]) - len(first)
    if not lines or sum(row is not None for row in first) < max(1, len(first) // 2) or others > 2 * len(first):
        return []
    try:
        rows = json.loads(f"[{','.join(lines)}]")  # one call is several times as fast as one a line
    except (ValueError, RecursionError):
        rows = map(object_in, lines)
    return [row for row in rows if isinstance(row, dict)]


def object_in(line: str) -> dict[str, Any] | None:
    """The object that a line of JSON is; None where it is something else, or cut off."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if dict not in map(type, row.values()):
        return row
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{inner}": number for inner, number in value.items() if not isinstance(number, dict)}
        else:
            flat[name] = value
    return flat


def _frame(rows: Sequence[Mapping[str, Any]]) -> polars.DataFrame:
    names: dict[str, Any] = {}
    for row in rows:
        names |= row
    columns = [_column(name, [row.get(name) for row in rows]) for name in names]
    return polars.DataFrame([column for column in columns if column is not None])


def _column(name: str, values: Sequence[Any]) -> polars.Series | None:
    """The numbers among the values, or their texts where they are mostly texts without a number; None of others."""
    if set(map(type, values)) <= _PLAIN:
        places = [place for place, value in enumerate(values) if value is not None]
        numbers: list[Any] = list(values) if len(places) == len(values) else [values[place] for place in places]
        with suppress(OverflowError):  # a whole number beyond all floats is none
            return column_of(name, len(values), places, numpy.array(numbers, dtype=float)) if places else None
    read = [number_in(value) for value in values]
    places = [place for place, number in enumerate(read) if number is not None]
    if places:
        return column_of(name, len(values), places, [number for number in read if number is not None])
    texts = [value if isinstance(value, str) else None for value in values]
    is_text = 2 * sum(text is not None for text in texts) > len(values)
    return polars.Series(name, texts, dtype=polars.String) if is_text else None
