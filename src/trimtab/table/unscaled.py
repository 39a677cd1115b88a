"""Unscaled: a prepared table's numbers and targets in the units of the table, all else as it was prepared.

Knows prepared tables; what becomes of them stands elsewhere.
"""

import numpy as np
import polars as pl

from trimtab.table.cells import as_moments, as_numbers
from trimtab.table.encode import Encoder, Feature
from trimtab.table.moments import days, whole_seconds
from trimtab.table.numbers import Scaling

# What float32 holds, with room for a network's first layer.
_LARGEST = 1e30


def has_scaling(encoder: Encoder) -> bool:
    """Whether any column is moved and scaled."""
    return any(_scaling(feature).scale for feature in encoder.features if feature.is_continuous)


def numbers_unscaled(encoder: Encoder, frame: pl.DataFrame, encoded: np.ndarray) -> np.ndarray:
    """float32 [rows, numbers]: `encoded`, what `encoder` makes of `frame`, with the continuous columns in their own
    units: numbers as they are, moments in days since 1970, spans in days, the median where one is missing. A column
    that did not vary remains 0."""
    numbers = encoded.copy()
    continuous = [feature for feature in encoder.features if feature.is_continuous]
    columns = [(_scaling(feature), _values(feature, frame[feature.name])) for feature in continuous]
    moments = {f.name: _moments(f, frame[f.name]) for f in continuous if f.moments is not None and encoder.spans}
    times = {name: whole_seconds(column) for name, column in moments.items()}
    columns += [(span.scaling, span.days(times)) for span in encoder.spans]
    for place, (scaling, column) in enumerate(columns):
        if scaling.scale:
            known = np.where(np.isfinite(column), column, scaling.center)
            numbers[:, place] = np.clip(known, -_LARGEST, _LARGEST)
    return numbers


def _scaling(feature: Feature) -> Scaling:
    return (feature.scaling if feature.moments is None else feature.moments.elapsed) or Scaling()


def _values(feature: Feature, column: pl.Series) -> np.ndarray:
    """float64 [rows], NaN where there is none."""
    if feature.moments is None:
        return as_numbers(column)[0]
    return days(_moments(feature, column))


def _moments(feature: Feature, column: pl.Series) -> pl.Series:
    return as_moments(column, feature.format, feature.time_zone)[0]
