"""Times by which rows are sorted: whole numbers, moments, or text in which these are written in one format.

Knows a column; what is cut where time moves on is for `folds`.
"""

import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.table.cells import (
    MISSING_NUMBER_MARKS,
    MOMENT_FORMATS,
    as_moments,
    as_numbers,
    holds_text,
    parse_moments,
    read_moments,
    without_marks,
)
from trimtab.text.wording import counted


def times_of(column: pl.Series, notices: list[str]) -> np.ndarray:
    """float64 or int64 [rows] to sort by; a row without time counts as the earliest."""
    if holds_text(column.dtype):
        moments, form = read_moments(_without_gaps(column))
        column = column if form is None else moments
    if column.dtype.is_temporal() or column.dtype.is_integer() or column.dtype.is_decimal():
        missing = column.null_count()
        times = _places_in_order(column)
    else:
        numbers, unreadable = as_numbers(column)
        if unreadable:
            raise _not_times(column)
        missing = int(np.isnan(numbers).sum())
        times = np.where(np.isnan(numbers), -np.inf, numbers)
    if missing and missing == len(column):
        raise DataError(f'--split time:{column.name}: no row has a time in "{column.name}".')
    if missing:
        rows, counts = counted(missing, "row has", "rows have"), "counts" if missing == 1 else "count"
        notices.append(f'{rows} no time in "{column.name}", and {counts} as the earliest.')
    return times


def _without_gaps(column: pl.Series) -> pl.Series:
    text = column.cast(pl.String).to_frame()
    return text.select(without_marks(pl.col(column.name), extra=MISSING_NUMBER_MARKS)).to_series()


def _places_in_order(column: pl.Series) -> np.ndarray:
    """int64 [rows] that stand in the order of the cells, 0 where one is missing: as float64, times that are nanoseconds
    apart would be one."""
    return column.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def _not_times(column: pl.Series) -> DataError:
    """The error for text in which some cell is no time, or cells are times in several formats."""
    text = _without_gaps(column).drop_nulls()
    moments = as_moments(text, None, None)[0]
    start = f"--split time:{column.name}: the column holds"
    strange = text.filter(moments.is_null() & text.cast(pl.Float64, strict=False).is_null())
    if len(strange):
        return DataError(f'{start} cells that are not times, such as "{strange[0]}".')
    others = text.filter(moments.is_null())
    if others.is_empty():
        read = [parse_moments(text, form) for form in MOMENT_FORMATS]
        best = min(read, key=lambda found: found.null_count())
        text, others = text.filter(best.is_not_null()), text.filter(best.is_null())
    else:
        text = text.filter(moments.is_not_null())
    return DataError(
        f'{start} times in several formats, such as "{text[0]}" and "{others[0]}": write all of them in one.'
    )
