"""What each column is worth to a model, and how its predictions move with one: it predicts, and trains nothing.

Permutation importance [Breiman 2001]: by how much the error grows when one column's values are dealt out anew among
the rows; individual conditional expectation and its mean, partial dependence [Friedman 2001; Goldstein et al. 2015].
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy
import polars

# Rows that are predicted at most, deals of one column, draws of the bootstrap over rows: three together keep within
# `SECONDS` on a model of twenty networks, and intervals are known to some per cent.
ROWS, DEALS, DRAWS = 400, 4, 400
SECONDS = 0.8  # of processor time, over all cores: a page is written in under three
# Values of a column at which the prediction is looked at, of numbers and of labels or dates; rows whose own course is
# drawn.
STEPS, LABELS, COURSES = 24, 8, 24


class Predicts(Protocol):
    """What is asked of a model."""

    def raw(self, frame: polars.DataFrame) -> tuple[numpy.ndarray, tuple[str, ...]]: ...


@dataclass(frozen=True)
class Importance:
    """By how much the error grows without a column's information, with an interval over rows that holds together with
    those of all other columns in 95 % of tables."""

    column: str
    grows: float
    low: float
    high: float


@dataclass(frozen=True)
class Dependence:
    """How the prediction moves with one column: `values` of it (numbers, or labels), the `mean` prediction [values]
    over rows, and the `courses` [rows, values] of some of them."""

    column: str
    values: Sequence[float] | Sequence[str]
    mean: numpy.ndarray
    courses: numpy.ndarray
    is_number: bool


def importances(
    model: Predicts,
    frame: polars.DataFrame,
    truth: numpy.ndarray,
    columns: Sequence[str],
    *,
    is_classes: bool,
    weights: numpy.ndarray | None = None,
    seed: int = 0,
) -> tuple[list[Importance], list[str]]:
    """Those of `columns`, the greatest first, and the columns that there was no time for.

    `frame` has the model's columns, `truth` is float [rows, targets] or the numbers of classes [rows]. The error is the
    root of the mean square, or the log loss of classes; `weights` [rows] count like repeated rows.
    """
    mass = numpy.ones(frame.height) if weights is None else weights.astype(float)
    generator = numpy.random.default_rng(seed)
    chosen = numpy.sort(generator.permutation(numpy.flatnonzero(mass > 0))[:ROWS])
    if not len(chosen):
        return [], list(columns)
    rows, truth, mass = frame[chosen], truth[chosen], mass[chosen]
    plain = _row_errors(model.raw(rows)[0], truth, is_classes=is_classes)
    # The first prediction in a process loads much of torch, which would leave nothing for the columns.
    ends = time.process_time() + SECONDS
    drawn = generator.integers(0, len(chosen), (DRAWS, len(chosen)))
    # Of sixty columns three would seem to be worth something by chance [Bonferroni 1936].
    beyond = NormalDist().inv_cdf(1 - 0.025 / max(1, len(columns)))
    found, left = [], []
    for column in columns:
        if time.process_time() > ends:
            left.append(column)
            continue
        deals = [rows.with_columns(rows[column].gather(generator.permutation(len(chosen)))) for _ in range(DEALS)]
        dealt = model.raw(polars.concat(deals))[0].reshape(DEALS, len(chosen), -1)
        errors = numpy.mean([_row_errors(each, truth, is_classes=is_classes) for each in dealt], axis=0)
        grows = _error(errors, mass, is_classes) - _error(plain, mass, is_classes)
        spread = _error(errors[drawn], mass[drawn], is_classes) - _error(plain[drawn], mass[drawn], is_classes)
        half = beyond * float(spread.std())
        found.append(Importance(column, float(grows), float(grows - half), float(grows + half)))
    return sorted(found, key=lambda each: -each.grows), left


def dependence(
    model: Predicts, frame: polars.DataFrame, column: str, output: int, *, seed: int = 0
) -> Dependence | None:
    """How output number `output` moves with `column`; None where it has one value."""
    generator = numpy.random.default_rng(seed)
    rows = frame[numpy.sort(generator.permutation(frame.height)[:100])]
    there = frame[column].drop_nulls()
    is_number = there.dtype.is_numeric() and there.n_unique() > 2
    if there.dtype.is_temporal():
        places = numpy.linspace(0, len(there) - 1, LABELS).astype(int)
        values = there.sort().gather(places).unique(maintain_order=True)
    elif is_number:
        numbers = there.cast(polars.Float64)
        values = numpy.unique(numpy.quantile(numbers.to_numpy(), numpy.linspace(0.01, 0.99, STEPS), method="nearest"))
    else:
        values = there.value_counts(sort=True)[column].head(LABELS).sort()
    if len(values) < 2:
        return None
    listed = values.tolist() if isinstance(values, numpy.ndarray) else values.to_list()
    tables = [rows.with_columns(polars.lit(value, dtype=there.dtype).alias(column)) for value in listed]
    predicted = model.raw(polars.concat(tables))[0][:, output].reshape(len(values), rows.height).T
    shown = listed if is_number else [str(value).removesuffix(" 00:00:00") for value in listed]
    return Dependence(column, shown, predicted.mean(axis=0), predicted[:COURSES], is_number)


def _row_errors(raw: numpy.ndarray, truth: numpy.ndarray, *, is_classes: bool) -> numpy.ndarray:
    """What each row adds: the squared error (mean over targets), or minus the log of the probability of its class."""
    if is_classes:
        return -numpy.log(numpy.clip(raw[numpy.arange(len(truth)), truth.astype(int).reshape(-1)], 1e-12, 1.0))
    return ((raw - truth.reshape(len(raw), -1)) ** 2).mean(axis=1)


def _error(rows: numpy.ndarray, weights: numpy.ndarray, is_classes: bool) -> numpy.ndarray:
    # Of few rows, chance may draw those alone that count for next to nothing.
    mean = (rows * weights).sum(axis=-1) / numpy.maximum(weights.sum(axis=-1), 1e-300)
    return mean if is_classes else numpy.sqrt(mean)
