"""Ordering: whether the numbers of a column say anything of the target, as those of an identifier do not.

By ranks alone, so that units, outliers and the shape of the relation do not count. Knows arrays only.
"""

import numpy as np
import polars as pl

# Standard deviations beyond which chance is ruled out: about one identifier in a hundred is kept (a guess).
_BEYOND_CHANCE = 2.5
# The values are cut into tenths, so that a valley is seen too; of fewer rows in each, mean ranks say little. Guesses.
_PARTS = 10
_FEWEST_IN_A_PART = 5


def says_something(values: np.ndarray, target: np.ndarray, *, is_class: bool) -> bool:
    """Whether `values` [rows], all different, and `target` [rows] (float64, or class numbers) go together.

    For numbers: the rank correlation, or how the target's ranks differ between tenths of the values (so that a valley
    counts too). For classes: how the ranks of the values differ between classes [Kruskal & Wallis 1952].
    """
    there = np.isfinite(target)
    ranks, target = _ranks(values[there]), target[there]
    if len(target) < 3:
        return False
    if is_class:
        return _differ(ranks, target.astype(np.int64))
    ranks_of_target = _ranks(target)
    correlation = _correlation(ranks, ranks_of_target)
    if abs(correlation) * np.sqrt(len(target) - 1) > _BEYOND_CHANCE:
        return True
    parts = min(_PARTS, len(target) // _FEWEST_IN_A_PART)
    return _differ(ranks_of_target, ((ranks - 1) * parts // len(target)).astype(np.int64))


def _differ(ranks: np.ndarray, groups: np.ndarray) -> bool:
    """Whether the mean ranks of groups differ by more than chance: H of Kruskal and Wallis, whose distribution (chi
    squared) is made a normal one by its cube root [Wilson & Hilferty 1931]."""
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=ranks)[counts > 0] / counts[counts > 0]
    counts = counts[counts > 0]
    free, spread = len(counts) - 1, float(((ranks - ranks.mean()) ** 2).sum())
    if free == 0 or spread == 0:
        return False
    h = (len(ranks) - 1) * float((counts * (means - ranks.mean()) ** 2).sum()) / spread
    deviation = 2 / (9 * free)
    return ((h / free) ** (1 / 3) - (1 - deviation)) / np.sqrt(deviation) > _BEYOND_CHANCE


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    return pl.Series(values).rank("average").to_numpy().astype(np.float64)
