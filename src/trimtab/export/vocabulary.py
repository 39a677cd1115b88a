"""Vocabulary: what an exported model takes, column by column: the type of its cells, and the code of each label.

Knows the encoder of a model; it knows neither torch nor ONNX.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy
import polars

from trimtab.model.model import Model
from trimtab.table.categories import Labels
from trimtab.table.cells import MISSING_MARKS, rounded
from trimtab.table.clocks import texts_of_moments
from trimtab.table.encode import CellType, Encoder, Feature
from trimtab.table.spelling import as_values

FORMAT = 1
UNKNOWN = 0
_TRUTHS = ("true", "True", "TRUE", "false", "False", "FALSE", "0", "1")


def cell_type(feature: Feature) -> CellType:
    """The type of a feature's cells as an exported model takes them: that of its column, but numbers for true and false
    where some were missing, for which bool has no room."""
    may_be_missing = feature.labels is not None and feature.labels.has_missing
    return "number" if feature.type == "boolean" and may_be_missing else feature.type


# A model's ONNX, its PT2 and their vocabulary ask for the same labels in turn; a call takes some 20 ms.
@lru_cache(maxsize=64)
def spellings(labels: Labels) -> Mapping[str, int]:
    """The code of every way in which a label, or a missing one, may be written; all other text has the code 0.

    As the encoder reads them: "1.0" is the label 1, "True" is true, "NA" is missing unless it is a label.
    """
    texts = [*labels.labels, *(label.strip() for label in labels.labels)]
    numbers = [text for value in _numbers_among(labels) for text in (str(value), f"{value:g}")]
    candidates = [*texts, *(f"{text}.0" for text in texts), *numbers, *texts_of_moments(labels.labels)]
    candidates = list(dict.fromkeys([*candidates, *_TRUTHS, *MISSING_MARKS]))
    codes, _, _ = labels.entry_of(polars.Series(candidates, dtype=polars.String))
    return MappingProxyType({text: int(code) for text, code in zip(candidates, codes, strict=True) if code != UNKNOWN})


@lru_cache(maxsize=64)
def codes_of_cells(labels: Labels, cells: CellType) -> Mapping[Any, int]:
    """The code of each label as a cell of its type: text in every spelling, numbers by their value.

    A number with a fraction is there as the label says it and as each precision holds it.
    """
    if cells == "string":
        return spellings(labels)
    known: list[Any] = [False, True] if cells == "boolean" else [*_numbers_among(labels), 0.0, 1.0]
    if cells == "integer":
        exact = as_values(polars.Series(labels.labels, dtype=polars.String)).cast(polars.Int64, strict=False)
        known = [*exact.drop_nulls().to_list(), 0, 1]
    known = list(dict.fromkeys(known))
    codes, _, _ = labels.entry_of(polars.Series(known))
    return MappingProxyType({cell: int(code) for cell, code in zip(known, codes, strict=True) if code != UNKNOWN})


def rounded_codes(labels: Labels) -> dict[float, int]:
    """The code of each label as a number of the labels' own precision, where that is coarser than float64: cells are
    compared with these when they have been rounded to it. Nothing for other labels."""
    if labels.precision == "double":
        return {}
    known = rounded(numpy.array(_numbers_of(labels)), labels.precision).cast(polars.Float64)
    codes, _, _ = labels.entry_of(known)
    return {cell: int(code) for cell, code in zip(known, codes, strict=True) if code != UNKNOWN}


def code_of_missing(labels: Labels) -> int:
    codes, _, _ = labels.entry_of(polars.Series([None], dtype=polars.String))
    return int(codes[0])


def _numbers_among(labels: Labels) -> list[float]:
    """The numbers that labels are, and those that other precisions make of them."""
    exact = _numbers_of(labels)
    coarser = [rounded(numpy.array(exact), precision).cast(polars.Float64) for precision in ("single", "half")]
    return [*exact, *(value for values in coarser for value in values if math.isfinite(value))]


def _numbers_of(labels: Labels) -> list[float]:
    values = as_values(polars.Series(labels.labels, dtype=polars.String)).cast(polars.Float64, strict=False)
    return values.drop_nulls().to_list()


def vocabulary(model: Model) -> dict[str, Any]:
    """What a caller has to know of a model, as a plain document.

    `numbers` and `categories` are the columns in the order in which tensors take them, each with the `type` of its
    cells. A category has `values`, pairs of a cell of that type and its code, the code of all other cells (`unknown`)
    and that of a missing one; `codes` are those of cells written as text. A column of single (or half) precision says
    so in `precision`: a cell that is none of `values` is rounded to it and looked up again. Labels of `classes` are of
    the type they had.
    """
    numbers, categories = [], []
    for feature in model.encoder.features:
        about = {"name": feature.name, "type": cell_type(feature)}
        if feature.labels is not None:
            values = [list(pair) for pair in codes_of_cells(feature.labels, cell_type(feature)).items()]
            about |= {"codes": dict(spellings(feature.labels)), "values": values, "unknown": UNKNOWN}
            about |= {} if feature.labels.precision == "double" else {"precision": feature.labels.precision}
            categories.append({**about, "missing": code_of_missing(feature.labels)})
        elif feature.moments is not None:
            numbers.append({"name": feature.name, "kind": "date-time", "time_zone": feature.time_zone})
        else:
            numbers.append({**about, "kind": "number"})
    return {
        "kind": "trimtab vocabulary",
        "format": FORMAT,
        "task": model.task,
        "targets": list(model.target.names),
        "classes": list(model.target.classes),
        "numbers": numbers,
        "categories": categories,
    }


@dataclass(frozen=True)
class Scalings:
    """The scalings of all columns of numbers, times and spans side by side, float64 [columns] each."""

    center: numpy.ndarray
    scale: numpy.ndarray
    is_log: numpy.ndarray
    log_center: numpy.ndarray
    log_scale: numpy.ndarray

    @classmethod
    def of(cls, encoder: Encoder) -> "Scalings":
        def column(name: str) -> numpy.ndarray:
            return numpy.array([getattr(scaling, name) for scaling in encoder.scalings], dtype=numpy.float64)

        is_log = column("is_log").astype(bool)
        return cls(column("center"), column("scale"), is_log, column("log_center"), column("log_scale"))
