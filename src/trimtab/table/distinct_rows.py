"""Equal rows become one row with their weights added, and all rows stand in one order.

So that weighing a row is the same as repeating it, a weight of 0 the same as leaving it out, and the order in which
rows are given means nothing. Knows cells and weights; it does not know which columns are targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.table.folds import FoldRows


@dataclass(frozen=True)
class DistinctRows:
    """Distinct rows, sorted by their cells, their weights (float64 [rows]), and the folds as places among them."""

    frame: pl.DataFrame
    weights: np.ndarray
    folds: tuple[FoldRows, ...] = ()


def distinct_rows(frame: pl.DataFrame, weights: np.ndarray, folds: Sequence[FoldRows] = ()) -> DistinctRows:
    """The rows of `frame` that have a weight and, where there are `folds`, a place in one of them.

    Equal rows stay apart where they are not in the same parts of the same folds.
    """
    parts = _parts(folds, frame.height) if folds else np.zeros(frame.height, dtype=np.int64)
    kept = np.flatnonzero((weights > 0) & (parts >= 0))
    if len(kept) == 0:
        return DistinctRows(frame[:0], weights[:0], tuple((kept, kept) for _ in folds))
    keys = _cells(frame[kept]).with_columns(
        pl.Series("part", parts[kept]),
        # Sorted too: in which order weights are added may show in the last bit of their sum.
        pl.Series("weight", weights[kept].astype(np.float64)),
    )
    ordered = keys.with_row_index("row").sort(keys.columns)
    order = kept[ordered["row"].to_numpy()]
    cells = pl.exclude("row", "weight")
    differs = ordered.select(pl.any_horizontal(cells.ne_missing(cells.shift()))).to_series().to_numpy()
    starts = np.flatnonzero(differs | (np.arange(len(order)) == 0))
    places = np.full(frame.height, -1, dtype=np.int64)
    places[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return DistinctRows(
        frame[order[starts]],
        np.add.reduceat(ordered["weight"].to_numpy(), starts),
        tuple((_distinct(places[train]), _distinct(places[valid])) for train, valid in folds),
    )


def _cells(frame: pl.DataFrame) -> pl.DataFrame:
    """The cells to sort by: labels as text, whose order is the same in every frame; nested cells tell no rows apart."""
    columns = [column for column in frame.iter_columns() if not (column.dtype.is_nested() or column.dtype == pl.Object)]
    labels = (pl.Categorical, pl.Enum)
    texts = [column.cast(pl.String) if isinstance(column.dtype, labels) else column for column in columns]
    return pl.DataFrame([column.alias(f"cell {i}") for i, column in enumerate(texts)])


def _parts(folds: Sequence[FoldRows], rows: int) -> np.ndarray:
    """int64 [rows]: one number for all rows that are in the same parts of the same folds, -1 for those in none."""
    membership = np.zeros((rows, len(folds)), dtype=np.int8)
    for number, (train, valid) in enumerate(folds):
        membership[train, number] += 1
        membership[valid, number] += 2
    parts = np.unique(membership, axis=0, return_inverse=True)[1].reshape(-1)
    return np.where(membership.any(axis=1), parts, -1)


def _distinct(places: np.ndarray) -> np.ndarray:
    return np.unique(places[places >= 0])
