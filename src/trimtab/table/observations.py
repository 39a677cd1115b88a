"""Observations: rows that can be learnt from or scored on, with a target and a weight above 0; the others are counted.

Knows targets and weights only.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.table.cells import as_numbers
from trimtab.table.sources import Source
from trimtab.table.target import TargetEncoder, has_target
from trimtab.table.task import choose_task
from trimtab.text.wording import counted


@dataclass(frozen=True)
class Observations:
    """The rows that can be learnt from, their numbers in the source, and their weights (float64 [rows]).

    `labelled` are all rows that have a target, `labelled_rows` their numbers in the source, and `counts` (bool) tells
    which of them are usable: those with a weight too.
    """

    frame: pl.DataFrame
    rows: np.ndarray
    weights: np.ndarray
    labelled: pl.DataFrame
    labelled_rows: np.ndarray
    counts: np.ndarray
    without_target: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class ScorableTest:
    """The test rows that can be scored (perhaps none), their places among those given, and their weights (float64)."""

    frame: pl.DataFrame
    places: np.ndarray
    weights: np.ndarray
    notices: tuple[str, ...]


def keep_observed(source: Source, *, task: str, weight: str | None, minimum_rows: int) -> Observations:
    """The usable rows of the source. Raises DataError when they are fewer than `minimum_rows`."""
    frame, names = source.frame, ", ".join(f'"{name}"' for name in source.targets)
    chosen = choose_task(frame, source.targets, task)
    there, infinite = has_target(frame, source.targets, chosen.task)
    if not there.any():
        how = "infinite or missing" if infinite else "missing"
        raise DataError(f"The target {names} is {how} in every row: nothing can be learnt.")
    notices = []
    if infinite:
        values, rest = ("value", "is infinite, and counts") if infinite == 1 else ("values", "are infinite, and count")
        notices.append(f"{infinite:,} {values} of the target {names} {rest} as missing.")
    if not there.all():
        notices.append(_without_target(there, "row"))
    weights = row_weights(frame, weight)
    is_light = there & (weights == 0)
    if is_light.any():
        rows_are = counted(int(is_light.sum()), "row has weight 0, and is", "rows have weight 0, and are")
        notices.append(f"{rows_are} left out.")
    rows = np.flatnonzero(there & (weights > 0))
    if len(rows) < minimum_rows:
        raise DataError(
            f"Only {counted(len(rows), 'row')} can be learnt from (a target that is there"
            f"{', a weight above 0' if weight else ''}): at least {minimum_rows} are needed."
        )
    labelled = frame if there.all() else frame.filter(pl.Series(there))
    counts = weights[there] > 0
    kept = labelled if counts.all() else labelled.filter(pl.Series(counts))
    return Observations(
        kept, rows, weights[rows], labelled, np.flatnonzero(there), counts, int((~there).sum()), tuple(notices)
    )


def row_weights(frame: pl.DataFrame, weight: str | None) -> np.ndarray:
    """float64 [rows], ones when there is no weight column. Raises DataError for what is no weight."""
    if weight is None:
        return np.ones(frame.height)
    numbers, unreadable = as_numbers(frame[weight])
    wrong = ~np.isfinite(numbers) | (numbers < 0)
    if wrong.any():
        what, rows = "text" if unreadable else "missing, negative or infinite", counted(int(wrong.sum()), "row")
        raise DataError(f'The weight "{weight}" is {what} in {rows}: give finite numbers from 0 on.')
    if not (numbers > 0).any():
        raise DataError(f'The weight "{weight}" is 0 in every row: nothing can be learnt.')
    # Only ratios matter; float32 and sums of squares have to hold the largest.
    return numbers / numbers.max() if numbers.max() > 1e30 else numbers


def keep_scorable(frame: pl.DataFrame, weights: np.ndarray, target: TargetEncoder, said: str) -> ScorableTest:
    """The test rows whose target is there, of a class that training knows, and whose weight is above 0."""
    notices = [said] if said else []
    there = target.is_there(frame)
    known = there & target.usable(frame)
    if not there.all():
        notices.append(_without_target(there, "test row"))
    unknown = int((there & ~known).sum())
    if unknown:
        is_one, is_class = unknown == 1, target.task == "classification"
        text, are = ("holds text", "is") if is_one else ("hold text", "are")
        what = f"{are} of a class that no training row has" if is_class else f"{text} as target"
        notices.append(f"{counted(unknown, 'test row')} {what}, and {are} left out of the score.")
    kept = known & (weights > 0)
    scorable = frame if kept.all() else frame.filter(pl.Series(kept))
    return ScorableTest(scorable, np.flatnonzero(kept), weights[kept], tuple(notices))


def _without_target(there: np.ndarray, row: str) -> str:
    without = int((~there).sum())
    rest = "has no target, and is" if without == 1 else "have no target, and are"
    return f"{without:,} of {counted(len(there), row)} {rest} left out."


def count_copies(train: pl.DataFrame, test: pl.DataFrame, columns: list[str]) -> int:
    """How many test rows stand in the training table as well, equal in all `columns`."""
    dtypes, dtypes_of_test = train.schema, test.schema
    usable = [name for name in columns if not dtypes[name].is_nested() and dtypes[name] != pl.Object]
    if any(dtypes[name] != dtypes_of_test[name] for name in usable):
        return 0
    hashes = [frame.select(usable).hash_rows(seed=1).to_numpy() for frame in (train, test)]
    return int(np.isin(hashes[1], hashes[0]).sum())
