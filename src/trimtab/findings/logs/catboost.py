"""CatBoost: what it writes into its `train_dir`: catboost_training.json, learn_error.tsv and test_error.tsv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars

from trimtab.findings.logs import table
from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import number_in
from trimtab.findings.logs.log import Log, frame_of_rows

_FORM = "CatBoost's training log"
_ERRORS = {"learn_error.tsv": "learn", "test_error.tsv": "test"}


def read(content: Content) -> list[Log] | None:
    """The log in catboost_training.json, or in the tables of errors; None where the content is something else."""
    document = content.document
    if isinstance(document, dict) and isinstance(document.get("iterations"), list):
        return _read_json(document)
    if content.path is not None and content.text.startswith("iter\t"):
        return _read_tables(content.path)
    return None


def _read_json(document: dict[str, Any]) -> list[Log] | None:
    meta = document.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    names = {
        part: [metric.get("name", "") for metric in meta.get(f"{part}_metrics") or () if isinstance(metric, dict)]
        for part in ("learn", "test")
    }
    rows = []
    for entry in document["iterations"]:
        if isinstance(entry, dict):
            row = {"iteration": number_in(entry.get("iteration"))}
            for part, metrics in names.items():
                row |= _numbers(part, metrics or ["loss"], entry.get(part))
            rows.append({name: value for name, value in row.items() if value is not None})
    planned = meta.get("iteration_count")
    known = {"planned": planned} if isinstance(planned, int) else {}
    return [Log(_FORM, frame_of_rows(rows), known=known)] if rows else None


def _numbers(part: str, metrics: Sequence[str], values: Any) -> dict[str, float | None]:
    if not isinstance(values, list):
        return {}
    return {f"{part}/{metric}": number_in(value) for metric, value in zip(metrics, values, strict=False)}


def _read_tables(path: Path) -> list[Log] | None:
    """The errors on both parts, whichever of the files was named."""
    frames = []
    for name, part in _ERRORS.items():
        file = path.with_name(name)
        logs = table.read(Content.at(file)) if file.is_file() else None
        if logs:
            frame = logs[0].frame
            frames.append(frame.rename({column: f"{part}/{column}" for column in frame.columns if column != "iter"}))
    if not frames:
        return None
    whole = frames[0] if len(frames) == 1 else frames[0].join(frames[1], on="iter", how="full", coalesce=True)
    return [Log(_FORM, whole.select(polars.all().cast(polars.Float64)))]
