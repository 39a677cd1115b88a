"""How a curve moves: its noise, its level, its trend and whether the trend is more than noise.

Robust throughout, since curves have spikes. Knows numbers alone, all of them finite.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from trimtab.findings.ranks import kendall_p, theil_sen

Numbers = NDArray[numpy.float64]

# Neighbouring epochs are alike, and a test of trends takes entries for independent ones: it is given the medians of so
# many stretches. 12 tell a trend at p = 0.001 where ten or so of them rise (exact distribution of Kendall's tau).
STRETCHES = 12
_FEWEST = 5  # below, no order of entries is rarer than 5 % [Mann 1945]


@dataclass(frozen=True)
class Trend:
    """By how much a curve rises from one end of a stretch to the other, by the Theil-Sen slope, and the p of Kendall's
    tau with time, one-sided in the direction of the slope: rules ask for one direction [Mann 1945; Sen 1968]."""

    change: float
    p: float


class Stretched(NamedTuple):
    """The medians of some stretches of a curve, in order."""

    x: Numbers
    y: Numbers


def stretched(x: Numbers, y: Numbers, most: int = STRETCHES) -> Stretched:
    """Medians of at most `most` stretches of equal length."""
    if len(y) <= most:
        return Stretched(x, y)
    parts = numpy.array_split(numpy.arange(len(y)), most)
    return Stretched(
        numpy.array([numpy.median(x[part]) for part in parts]), numpy.array([numpy.median(y[part]) for part in parts])
    )


def trend(x: Numbers, y: Numbers) -> Trend:
    """The trend of a stretch; none (0, p = 1) where it has fewer than five entries or is constant."""
    x, y = stretched(x, y)
    if len(y) < _FEWEST or numpy.ptp(y) == 0 or numpy.ptp(x) == 0:
        return Trend(0.0, 1.0)
    with numpy.errstate(all="ignore"):
        scale = float(numpy.abs(y).max())  # slopes of numbers near the largest floats would overflow
        slope = theil_sen(x, y / scale) * scale
        p = kendall_p(y, rising=slope >= 0)
    change = slope * float(numpy.ptp(x))
    return Trend(change if math.isfinite(change) else 0.0, p if math.isfinite(p) else 1.0)


def noise(y: Numbers) -> float:
    """The standard deviation of an entry around its neighbours, by the median of second differences: a smooth curve has
    none, and single spikes count little. 0 below four entries."""
    if len(y) < 4:
        return 0.0
    with numpy.errstate(all="ignore"):
        second = numpy.abs(y[2:] - 2 * y[1:-1] + y[:-2])
        # Of independent noise of deviation s, second differences have s times the root of 1 + 4 + 1; 1.4826 makes a
        # median deviation a standard one.
        sd = 1.4826 * float(numpy.median(second)) / math.sqrt(6)
    return sd if math.isfinite(sd) else 0.0


def smooth(y: Numbers, width: int) -> Numbers:
    """Running medians of `width` entries, fewer at both ends."""
    if width < 2 or len(y) < 3:
        return y
    half = min(width // 2, (len(y) - 1) // 2)
    padded = numpy.pad(y, half, constant_values=math.nan)
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    medians = numpy.median(windows, axis=1)  # several times as fast, and without a number where a window ends early
    medians[:half], medians[-half:] = (numpy.nanmedian(part, axis=1) for part in (windows[:half], windows[-half:]))
    return medians


def level_at_end(y: Numbers, share: float = 0.1) -> float:
    """The median of the last entries, a tenth of all and at least three."""
    return float(numpy.median(y[-max(3, int(len(y) * share)) :]))


def level_at_start(y: Numbers) -> float:
    """The first entry: curves fall fastest there, so that a median would hide the start."""
    return float(y[0])
