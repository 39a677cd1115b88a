"""Numbers made fit for a network: centred, robustly scaled, heavy tails drawn in, smoothly clipped to (-3, 3).

x -> z = (x - median) / interquartile range -> z / sqrt(1 + (z / 3)^2) [Holzmüller et al. 2024, arXiv:2407.04491].
Where many values stand far out or most are one and the same, asinh(z), scaled again, comes in between.
All in float64, finite for every float64. Knows arrays only.
"""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

# How far out the quantile `_TAIL_SHARE` may lie, in interquartile ranges from the median, before asinh comes in: that
# of a normal distribution lies at 2.4, and beyond 20 are columns that spread over orders of magnitude. Where most
# values are one and the same, the range is what is typical for the others. Guesses.
HEAVY_TAIL = 20.0
HEAVY_TAIL_OF_ZERO_INFLATED = 5.0
_TAIL_SHARE = 0.999
_CLIP = 3.0  # of the same source as the formula
# Far beyond what the smooth clip can tell apart, far below where its square would overflow.
_LARGEST = 1e100
_LARGEST_SCALE = float(np.finfo(np.float64).max)


class Document(BaseModel):
    """A part of what a saved model knows of its table: frozen, plain numbers and text, checked when read back."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scaling(Document):
    """How one column of numbers is moved and scaled. A scale of 0 stands for a column that did not vary."""

    center: float = 0.0
    scale: float = 0.0
    is_log: bool = False
    log_center: float = 0.0
    log_scale: float = 1.0

    @classmethod
    def fit(cls, values: np.ndarray, weights: np.ndarray | None = None) -> "Scaling":
        """The scaling of `values` (float64, NaN and infinities count as missing); weights are like repeated rows."""
        ordered, cumulative = _ordered(values, weights)
        if len(ordered) == 0:
            return cls()
        median, low, high = quantiles(ordered, cumulative, (0.5, 0.25, 0.75))
        half_range = ordered[-1] / 2 - ordered[0] / 2
        if half_range == 0:
            return cls(center=median)
        spread = _difference(high, low)
        if spread == 0:
            return cls._fit_zero_inflated(ordered, cumulative, median, half_range)
        return cls._fit_heavy(ordered, cumulative, median, spread, HEAVY_TAIL) or cls(center=median, scale=spread)

    @classmethod
    def _fit_zero_inflated(cls, ordered, cumulative, median: float, half_range: float) -> "Scaling":
        """Half of the values or more are one value: the scale is how far the others typically lie from it."""
        distance = np.abs(ordered / 2 - median / 2)
        others = distance > 0
        weights = _weights_of(cumulative)
        weights = None if weights is None else weights[others]
        typical = min(2 * quantiles(*_ordered(distance[others], weights), (0.5,))[0], _LARGEST_SCALE)
        heavy = cls._fit_heavy(ordered, cumulative, median, typical, HEAVY_TAIL_OF_ZERO_INFLATED)
        return heavy or cls(center=median, scale=half_range)

    @classmethod
    def _fit_heavy(cls, ordered, cumulative, center: float, scale: float, limit: float) -> "Scaling | None":
        if np.abs(_moved(ordered[[0, -1]], center, scale)).max() <= limit:
            return None
        z = _moved(ordered, center, scale)
        tail = quantiles(*_ordered(np.abs(z), _weights_of(cumulative)), (_TAIL_SHARE,))[0]
        if tail <= limit:
            return None
        logs = np.arcsinh(z)
        median, low, high, first, last = quantiles(logs, cumulative, (0.5, 0.25, 0.75, 0.01, 0.99))
        # A tail that is long even as logarithm would end up where the clip is flat.
        log_scale = max(high - low, (last - first) / 4) or (logs[-1] - logs[0]) / 2
        return cls(center=center, scale=scale, is_log=True, log_center=median, log_scale=log_scale)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 in (-3, 3) for float64 `values`; NaN and infinities become 0, the median's place."""
        if self.scale == 0:
            return np.zeros(len(values), dtype=np.float32)
        z = _moved(np.where(np.isfinite(values), values, self.center), self.center, self.scale)
        if self.is_log:
            z = (np.arcsinh(z) - self.log_center) / self.log_scale
            z[~np.isfinite(values)] = 0.0
        return (z / np.sqrt(1 + (z / _CLIP) ** 2)).astype(np.float32)


def quantiles(ordered: np.ndarray, cumulative: np.ndarray | None, shares: Sequence[float]) -> list[float]:
    """Quantiles of sorted values whose weights sum up to `cumulative` (None: each counts once): the inverse of the
    distribution function, the mean of both neighbours at its jumps [Hyndman & Fan 1996, type 2]. So weighing a row is
    the same as repeating it."""
    total = len(ordered) if cumulative is None else float(cumulative[-1])
    last, slack = len(ordered) - 1, 1e-12 * total
    found = []
    for share in shares:
        if cumulative is None:
            lower, upper = math.ceil(share * total - slack) - 1, math.floor(share * total + slack)
        else:
            lower, upper = np.searchsorted(cumulative, (share * total - slack, share * total + slack)).tolist()
        lower, upper = min(max(lower, 0), last), min(upper, last)
        found.append(float(ordered[lower] / 2 + ordered[upper] / 2) if upper > lower else float(ordered[lower]))
    return found


def _ordered(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The finite values of positive weight, sorted, and the running sum of their weights."""
    is_used = np.isfinite(values)
    if weights is None:
        return np.sort(values[is_used]), None
    is_used &= weights > 0
    values, weights = values[is_used], weights[is_used].astype(np.float64)
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def _weights_of(cumulative: np.ndarray | None) -> np.ndarray | None:
    return None if cumulative is None else np.diff(cumulative, prepend=0.0)


def _difference(high: float, low: float) -> float:
    return min(2 * (high / 2 - low / 2), _LARGEST_SCALE)


def _moved(values: np.ndarray, center: float, scale: float) -> np.ndarray:
    with np.errstate(over="ignore"):
        # Quarters, because the difference of two large float64 may be none.
        return np.clip((values / 4 - center / 4) / max(scale / 4, 5e-324), -_LARGEST, _LARGEST)
