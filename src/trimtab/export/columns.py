"""Columns: what an exported model takes, column by column, and every way in which a label may be written.

Knows the encoder of a model; it knows neither torch nor ONNX.
"""

from dataclasses import dataclass
from typing import Any

import numpy
import polars

from trimtab.model import Model
from trimtab.table.categories import Labels
from trimtab.table.cells import MISSING_MARKS
from trimtab.table.encode import Encoder, Feature
from trimtab.table.numbers import Scaling

FORMAT = 1
UNKNOWN = 0
_TRUTHS = ("true", "True", "TRUE", "false", "False", "FALSE", "0", "1")


def spellings(labels: Labels) -> dict[str, int]:
    """The code of every way in which a label, or a missing one, may be written; all other text has the code 0.

    As the encoder reads them: "1.0" is the label 1, "True" is true, "NA" is missing.
    """
    texts = [*labels.labels, *(label.strip() for label in labels.labels)]
    candidates = list(dict.fromkeys([*texts, *(f"{text}.0" for text in texts), *_TRUTHS, *MISSING_MARKS]))
    codes, _, _ = labels.entry_of(polars.Series(candidates, dtype=polars.String))
    return {text: int(code) for text, code in zip(candidates, codes, strict=True) if code != UNKNOWN}


def vocabulary(model: Model) -> dict[str, Any]:
    """What a caller has to know of a model, as a plain document.

    `numbers` and `categories` are the columns in the order in which tensors take them; a category has its `codes`, the
    code of all other text (`unknown`) and that of a missing cell. Labels of `classes` are of the type they had.
    """
    numbers, categories = [], []
    for feature in model.encoder.features:
        if feature.labels is not None:
            missing = int(feature.labels.has_missing)
            codes = spellings(feature.labels)
            categories.append({"name": feature.name, "codes": codes, "unknown": UNKNOWN, "missing": missing})
        elif feature.moments is not None:
            numbers.append({"name": feature.name, "kind": "date-time", "time_zone": feature.time_zone})
        else:
            numbers.append({"name": feature.name, "kind": "number"})
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
    """The scalings of all columns of numbers and times side by side, float64 [columns] each."""

    center: numpy.ndarray
    scale: numpy.ndarray
    is_log: numpy.ndarray
    log_center: numpy.ndarray
    log_scale: numpy.ndarray

    @classmethod
    def of(cls, encoder: Encoder) -> "Scalings":
        scalings = [_scaling(feature) for feature in encoder.features if feature.is_continuous]

        def column(name: str) -> numpy.ndarray:
            return numpy.array([getattr(scaling, name) for scaling in scalings], dtype=numpy.float64)

        is_log = column("is_log").astype(bool)
        return cls(column("center"), column("scale"), is_log, column("log_center"), column("log_scale"))


def _scaling(feature: Feature) -> Scaling:
    return (feature.scaling or Scaling()) if feature.moments is None else feature.moments.elapsed
