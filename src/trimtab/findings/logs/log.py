"""Log: the numbers that somebody's training wrote down, row by row, by the names that they were given there.

Knows no formats, and gives no meaning to names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

STEP = "step"


@dataclass(frozen=True)
class Log:
    """What is written down of one training.

    Attributes:
        format: what was read, in words: "Lightning's metrics.csv".
        frame: columns of Float64, rows in the order in which they were written; null where a row has no number, NaN
            where it says that a number was none.
        run: what the training is called among several of one log; "" where there is one.
        notes: what should be said about the reading, a sentence each.
        known: fields of `TrainingRecord` that the format states beside curves: planned, kept, ended, knobs, metric,
            greater_is_better, by_layer.
        is_default: this one is meant where nobody says which of several; else the last is.
    """

    format: str
    frame: polars.DataFrame
    run: str = ""
    notes: tuple[str, ...] = ()
    known: Mapping[str, Any] = field(default_factory=dict)
    is_default: bool = False


@dataclass(frozen=True)
class Series:
    """One curve as loggers keep it: float64 `[values]`, each with the step at which it was told."""

    name: str
    steps: NDArray[numpy.float64]
    values: NDArray[numpy.float64]


def counted(steps: Sequence[float]) -> NDArray[numpy.float64]:
    """The steps of a curve; where whoever told it named none, and all are 0, its numbers are counted from 1 on."""
    told = numpy.array(steps, dtype=numpy.float64)
    is_uncounted = len(told) > 1 and told.min() == told.max()
    return numpy.arange(1.0, len(told) + 1) if is_uncounted else told


def frame_of_rows(rows: Iterable[Mapping[str, float]]) -> polars.DataFrame:
    """A frame of rows that need not have the same names."""
    columns: dict[str, tuple[list[int], list[float]]] = {}
    count = 0
    for row in rows:
        for name, value in row.items():
            places, values = columns.setdefault(name, ([], []))
            places.append(count)
            values.append(value)
        count += 1
    return polars.DataFrame([column_of(name, count, *filled) for name, filled in columns.items()])


def column_of(
    name: str,
    count: int,
    places: Sequence[int] | NDArray[numpy.int64],
    values: Sequence[float] | NDArray[numpy.float64],
) -> polars.Series:
    """`values` at their `places` in a column of so many rows, null elsewhere."""
    column = numpy.zeros(count)
    is_told = numpy.zeros(count, dtype=bool)
    column[places], is_told[places] = values, True
    return polars.Series(name, column).set(~polars.Series(is_told), None)


def frame_of_series(all_series: Sequence[Series]) -> polars.DataFrame:
    """A row for each step at which anything was told, with a column `step`.

    Of a curve whose steps go back the later part counts from there: a training that was started again.
    """
    settled = [_without_what_was_redone(series) for series in all_series]
    steps = numpy.unique(numpy.concatenate([series.steps for series in settled])) if settled else numpy.empty(0)
    columns = [
        column_of(series.name, len(steps), numpy.searchsorted(steps, series.steps), series.values)
        for series in settled
        if series.name != STEP
    ]
    return polars.DataFrame([polars.Series(STEP, steps), *columns])


def _without_what_was_redone(series: Series) -> Series:
    finite = numpy.isfinite(series.steps)
    steps, values = series.steps[finite], series.values[finite]
    if len(steps) < 2 or (numpy.diff(steps) > 0).all():
        return Series(series.name, steps, values)
    # A value stays where every later one has a greater step.
    from_behind = numpy.minimum.accumulate(steps[::-1])[::-1]
    stays = numpy.append(steps[:-1] < from_behind[1:], True)
    return Series(series.name, steps[stays], values[stays])
