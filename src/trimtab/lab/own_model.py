"""What the lab asks of a model: a row, a table, and what a row is made of.

Knows frames and models; it knows no study and no requests.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import polars

from trimtab.errors import ModelError, OptionError
from trimtab.model.model import Model
from trimtab.table.frames import fits_text
from trimtab.text.layout import number
from trimtab.text.wording import listed

# Categories that are offered for a column at most; more are typed.
MOST_OFFERED = 60
# Of rows whose truth the bounds hold that are told.
SHARE = 0.9


def predicted_row(model: Model, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the model says of a row: its columns, bounds in words, notices."""
    if not isinstance(row, Mapping) or not all(isinstance(v, str | int | float | bool | None) for v in row.values()):
        raise OptionError("A row is an object of columns and their values.")
    frame = polars.DataFrame({name: [value] for name, value in row.items()})
    told, notices = model.predict_frame(frame)
    bounds = bounds_in_words(model, frame)
    return {"prediction": json.loads(told.write_json())[0], "bounds": bounds, "notices": list(notices)}


def beside_columns(model: Model, frame: polars.DataFrame) -> tuple[str, tuple[str, ...]]:
    """The columns of a table that text can hold and what is predicted for its rows, as CSV; what there is to be said.

    Where the table has a column of such a name already, the model's is called `..._of_model`.
    """
    told, notices = model.predict_frame(frame)
    kept = frame.select(name for name, kind in frame.schema.items() if fits_text(kind))
    taken = {*kept.columns, *told.columns}
    told = told.rename({name: _free(name, taken) for name in told.columns if name in kept.columns})
    return polars.concat([kept, told], how="horizontal").write_csv(), notices


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_of_model"
    return name


def bounds_in_words(model: Model, frame: polars.DataFrame) -> str:
    """Where the truth of a single row lies, as far as the model knows; "" where it does not."""
    try:
        known = model.calibrated(SHARE)
        raw, _ = model.raw(frame)
        ends = known.sets(raw, SHARE) if model.task == "classification" else known.bounds(raw, SHARE)
    except (ModelError, OptionError):
        return ""
    if model.task == "classification":
        labels = [label for label, belongs in zip(model.target.labels, ends[0], strict=True) if belongs]
        return f"Sets of classes like this one hold the true class in nine of ten rows: {listed(labels, 'or')}"
    names = [f"{name} " if len(model.target.names) > 1 else "" for name in model.target.names]
    told = [
        f"{name}between {number(float(low))} and {number(float(high))}"
        for name, low, high in zip(names, ends[0][0], ends[1][0], strict=True)
    ]
    return f"Bounds like these hold the truth in nine of ten rows: {listed(told)}"


def input_of(column: polars.Series, *, is_number: bool) -> dict[str, Any]:
    """What a page needs to let one choose a value of a column: its range, or the values that there are."""
    if is_number:
        known = column.cast(polars.Float64, strict=False).drop_nulls()
        known = known.filter(known.is_finite())
        if len(known):
            low, middle, high = (float(each) for each in (known.min(), known.median(), known.max()))  # type: ignore[arg-type]
            whole = bool((known == known.round()).all())
            usual = round(middle) if whole else middle
            return {"name": column.name, "kind": "number", "low": low, "usual": usual, "high": high, "whole": whole}
    known = column.drop_nulls().cast(polars.String)
    values = known.unique(maintain_order=True).sort().to_list()
    usual = known.mode().sort()[0] if values else ""
    return {
        "name": column.name, "kind": "text", "values": values if len(values) <= MOST_OFFERED else [], "usual": usual,
    }  # fmt: skip
