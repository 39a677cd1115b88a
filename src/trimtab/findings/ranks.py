"""Ranks: tests by the order of numbers, and a slope that outliers do not bend.

scipy.stats has them all, and takes longer to load than a log takes to be read. Knows numbers alone, all of them finite.
"""

import math
from typing import Any

import numpy
from numpy.typing import NDArray

Numbers = NDArray[numpy.float64]
# As scipy has it: of larger samples without ties the normal approximation is used, whose error is small by then.
_MOST_EXACT_TREND, _MOST_EXACT_SHIFT = 33, 8


def theil_sen(x: Numbers, y: Numbers) -> float:
    """The median slope between any two points [Sen 1968]; `x` has at least two different values."""
    run, rise = x[:, None] - x, y[:, None] - y
    return float(numpy.median(rise[run > 0] / run[run > 0]))


def kendall_p(y: Numbers, *, rising: bool) -> float:
    """How likely numbers in no order would rise (or fall) as often as these do, by Kendall's tau with their place: the
    one-sided p, exact where no two are equal [Mann 1945; Kendall 1970]. At least three numbers, not all equal."""
    size = len(y)
    later = numpy.triu_indices(size, 1)
    steps = numpy.sign(y[later[1]] - y[later[0]])
    ups, downs = int((steps > 0).sum()), int((steps < 0).sum())
    against = downs if rising else ups
    if ups + downs == len(steps) and (size <= _MOST_EXACT_TREND or min(ups, downs) <= 1):
        return _share_of_orders(size, against)
    ties = numpy.unique(y, return_counts=True)[1].astype(float)
    pairs = size * (size - 1.0)
    variance = (pairs * (2 * size + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    return _above((ups + downs - 2 * against) / math.sqrt(variance))


def mann_whitney_p(low: Numbers, high: Numbers) -> float:
    """How likely two samples of one distribution would lie as far apart as these, `low` below `high`: the one-sided p
    of Mann and Whitney's U, exact where a sample is small and no two numbers are equal [Mann and Whitney 1947]."""
    ordered = numpy.sort(low)
    below = numpy.searchsorted(ordered, high, side="left") + numpy.searchsorted(ordered, high, side="right")
    u, (few, many) = float(below.sum()) / 2, sorted((len(low), len(high)))
    ties = numpy.unique(numpy.concatenate([low, high]), return_counts=True)[1].astype(float)
    if few <= _MOST_EXACT_SHIFT and (ties == 1).all():
        return _share_of_mixtures(few, many, few * many - int(u))
    size = few + many
    spread = few * many / 12 * (size + 1 - (ties**3 - ties).sum() / (size * (size - 1)))
    return _above((u - few * many / 2 - 0.5) / math.sqrt(spread)) if spread > 0 else 1.0


def _share_of_orders(size: int, inversions: int) -> float:
    """The share of all orders of so many numbers that have at most so many inversions."""
    shares = numpy.ones(1)
    for count in range(2, size + 1):
        shares = numpy.convolve(shares, numpy.full(count, 1 / count))[: inversions + 1]
    return min(1.0, float(shares.sum()))


def _share_of_mixtures(few: int, many: int, at_most: int) -> float:
    """The share of all mixtures of two samples of these sizes whose U is at most so large: the coefficients of the
    Gaussian binomial, product by product."""
    ways: NDArray[Any] = numpy.zeros(at_most + 1)
    ways[0] = 1
    for i in range(1, few + 1):
        ways[many + i :] -= ways[: max(0, len(ways) - many - i)].copy()
        for first in range(min(i, len(ways))):
            ways[first::i] = numpy.cumsum(ways[first::i])
    return min(1.0, float(ways.sum()) / math.comb(few + many, few))


def _above(z: float) -> float:
    """How much of the normal distribution lies above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))
