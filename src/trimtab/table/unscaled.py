"""Unscaled: a prepared table's numbers and targets in the units of the table, all else as it was prepared.

Knows prepared tables; what becomes of them stands elsewhere.
"""

import numpy as np
import polars as pl

from trimtab.table.cells import as_numbers
from trimtab.table.encode import Encoder
from trimtab.table.moments import days, whole_seconds

# What float32 holds, with room for a network's first layer.
_LARGEST = 1e30


def has_scaling(encoder: Encoder) -> bool:
    """Whether any column is moved and scaled."""
    return any(scaling.scale for scaling in encoder.scalings)


def numbers_unscaled(encoder: Encoder, frame: pl.DataFrame, encoded: np.ndarray) -> np.ndarray:
    """float32 [rows, numbers]: `encoded`, what `encoder` makes of `frame`, with the continuous columns in their own
    units: numbers as they are, moments in days since 1970, spans in days, the median where one is missing. A column
    that did not vary remains 0."""
    numbers = encoded.copy()
    continuous = [feature for feature in encoder.features if feature.is_continuous]
    moments = {f.name: f.moments_of(frame[f.name])[0] for f in continuous if f.moments is not None}
    columns = [days(moments[f.name]) if f.name in moments else as_numbers(frame[f.name])[0] for f in continuous]
    times = {name: whole_seconds(column) for name, column in moments.items()}
    columns += [span.days(times) for span in encoder.spans]
    for place, (scaling, column) in enumerate(zip(encoder.scalings, columns, strict=True)):
        if scaling.scale:
            known = np.where(np.isfinite(column), column, scaling.center)
            numbers[:, place] = np.clip(known, -_LARGEST, _LARGEST)
    return numbers
