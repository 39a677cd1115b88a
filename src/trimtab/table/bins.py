"""The edges of the bins of a column of numbers: between them what a network learns of the number is linear.

Each bin holds about as many rows as any other; a value that fills a bin alone, as 0 does in many columns, is an edge of
its own, and leaves the other bins to the other values. Knows arrays and their scaling.
"""

import numpy as np

from trimtab.table.numbers import Scaling

# Where piecewise-linear encodings are tuned [Gorishniy et al. 2022, 2203.05556]: with 32 bins one network was up to
# 1.5 % worse on tables of 5,000 rows and more, with 16 up to 4 %. On tables below 1,000 rows 24 were better than 48 as
# often as not (benchmarks/RESULTS.md, "Inputs"): bins of fewer rows than these would be learnt by heart (a guess).
MOST_BINS, FEWEST_BINS, ROWS_OF_A_BIN = 48, 12, 30
# Rows that edges are drawn from, evenly taken of more: where a bin of one in 48 ends is known to 5 % of its rows then.
ROWS_LOOKED_AT = 20_000


def edges_as_encoded(scaling: Scaling, values: np.ndarray, weights: np.ndarray | None) -> tuple[float, ...]:
    """The edges of the bins of `values` [rows] as they are encoded; NaN and infinities are missing."""
    rows = looked_at(np.flatnonzero(np.isfinite(values)))
    return edges_of(scaling.apply(values[rows]), None if weights is None else weights[rows])


def looked_at(rows: np.ndarray) -> np.ndarray:
    """Those of row numbers that edges are drawn from."""
    return rows[:: max(1, -(-len(rows) // ROWS_LOOKED_AT))]


def edges_of(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, ...]:
    """The edges of the bins of `values` [rows], finite ones: rising, at least two, exact as float32. Weights count like
    repeated rows."""
    most = max(FEWEST_BINS, min(MOST_BINS, len(values) // ROWS_OF_A_BIN))
    weights = np.ones(len(values)) if weights is None else weights.astype(np.float64)
    distinct, place = np.unique(values[weights > 0].astype(np.float32), return_inverse=True)
    counts = np.bincount(place, weights=weights[weights > 0])
    if len(distinct) > most:
        distinct = _chosen(distinct, counts, most)
    if len(distinct) < 2:
        middle = float(distinct[0]) if len(distinct) else 0.0
        return middle - 1.0, middle + 1.0
    return tuple(float(value) for value in distinct)


def _chosen(distinct: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """Of rising values, the lowest and highest, those that fill a bin alone, and those that share the rest equally."""
    fills = np.zeros(len(distinct), dtype=bool)
    while True:
        share = counts[~fills].sum() / max(1, most - fills.sum())
        more = ~fills & (counts >= share)
        if not more.any() or fills.sum() + more.sum() >= most:
            break
        fills |= more
    running = np.cumsum(np.where(fills, share, counts))
    ends = np.searchsorted(running, running[-1] * np.arange(1, most) / most)
    chosen = fills.copy()
    chosen[[0, -1, *np.minimum(ends, len(distinct) - 1)]] = True
    return distinct[chosen]
