"""Ranks: tests by the order of numbers alone, and a slope that outliers do not bend.

scipy.stats has them all, and takes longer to load than a log takes to be read, or a table to be checked. Knows numbers
alone, all of them finite.
"""

import math

import numpy
from numpy.typing import NDArray

Numbers = NDArray[numpy.float64]
# As scipy has it: of larger samples without ties the normal approximation is used, whose error is small by then.
_MOST_EXACT = 33


def average_ranks(numbers: Numbers) -> Numbers:
    """The place of each among all of them, from 1; equal ones share the mean of theirs."""
    _, place, counts = numpy.unique(numbers, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


def rank_shares(columns: Numbers) -> Numbers:
    """The ranks in each of the `columns` [numbers, columns], between 0 and 1: a few huge numbers would drown all others
    in a sum of squares."""
    return numpy.stack([average_ranks(column) / len(column) for column in columns.T], axis=1)


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
    if ups + downs == len(steps) and (size <= _MOST_EXACT or min(ups, downs) <= 1):
        return _share_of_orders(size, against)
    ties = numpy.unique(y, return_counts=True)[1].astype(float)
    pairs = size * (size - 1.0)
    variance = (pairs * (2 * size + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    return _above((ups + downs - 2 * against) / math.sqrt(variance))


def sign_p(above: int, count: int) -> float:
    """How likely so many of `count` coins, or more, would show heads: the one-sided p of the sign test."""
    logs = numpy.concatenate([[0.0], numpy.log(numpy.arange(1, count + 1)).cumsum()])  # of factorials
    heads = numpy.arange(above, count + 1)
    return min(1.0, float(numpy.exp(logs[count] - logs[heads] - logs[count - heads] - count * math.log(2)).sum()))


def _share_of_orders(size: int, inversions: int) -> float:
    """The share of all orders of so many numbers that have at most so many inversions."""
    shares = numpy.ones(1)
    for count in range(2, size + 1):
        shares = numpy.convolve(shares, numpy.full(count, 1 / count))[: inversions + 1]
    return min(1.0, float(shares.sum()))


def _above(z: float) -> float:
    """How much of the normal distribution lies above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))
