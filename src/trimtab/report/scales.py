"""Scales: where numbers and names lie along an axis of a drawing, and which of them are written under it.

Knows numbers and lengths in pixels; it draws nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.text.layout import number

# Figures of an axis beyond these have powers of ten: written out they would not fit before it.
SMALLEST, LARGEST = 1e-4, 1e6


class Scale(Protocol):
    """One axis: `place` gives the pixel of a value, `ticks` what is written where."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...

    def place(self, value: float) -> float: ...

    def ticks(self) -> list[tuple[float, str]]: ...


@dataclass(frozen=True)
class Linear:
    """Numbers from `low` to `high` on the pixels from `start` to `end` (for what rises upwards, `start` is below);
    where they count something (`is_count`) only whole ones are written."""

    low: float
    high: float
    start: float
    end: float
    most: int = 6
    is_count: bool = False

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """About `most` round numbers: 1, 2 or 5 times a power of ten apart."""
        raw = (self.high - self.low) / max(self.most - 1, 1)
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= raw * 0.999)
        step = max(step, 1.0) if self.is_count else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        most = max(abs(first), abs(last)) * step
        if not SMALLEST <= most < LARGEST:
            digits = max(0, math.floor(math.log10(most) + 1e-9) - math.floor(math.log10(step) + 1e-9)) if most else 0
            return [(step * i, _power(step * i, digits)) for i in range(first, last + 1)]
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(step * i, f"{step * i + 0.0:,.{places}f}") for i in range(first, last + 1)]


@dataclass(frozen=True)
class Logarithmic:
    """Positive numbers from `low` to `high`, each power of ten as far apart as the next."""

    low: float
    high: float
    start: float
    end: float
    most: int = 6

    def place(self, value: float) -> float:
        low, high = math.log10(self.low), math.log10(self.high)
        return self.start + (math.log10(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Powers of ten; with fewer than three of them also 2 and 5 times these."""
        low, high = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        powers = [10.0**power for power in range(low, high + 1)]
        if len(powers) < 3:
            powers = [nice * 10.0**power for power in range(low - 1, high + 1) for nice in (1, 2, 5)]
            powers = [each for each in powers if self.low * 0.999 <= each <= self.high * 1.001]
        if len(powers) < 2:  # too short a stretch for any of them: evenly spaced numbers are as good there
            return Linear(self.low, self.high, self.start, self.end, self.most).ticks()
        shown = powers[:: 1 + (len(powers) - 1) // self.most]
        return [(each, short(each)) for each in shown]


@dataclass(frozen=True)
class Names:
    """Names side by side, each in a band of the same length; a value is a name's number."""

    names: Sequence[str]
    start: float
    end: float
    most: int = field(default=0, compare=False)

    @property
    def band(self) -> float:
        return (self.end - self.start) / max(len(self.names), 1)

    def place(self, value: float) -> float:
        return self.start + (value + 0.5) * self.band

    def ticks(self) -> list[tuple[float, str]]:
        return [(float(i), name) for i, name in enumerate(self.names)]


def clipped(value: float, low: float, high: float) -> float:
    """The value, or the end that it lies beyond."""
    return min(max(value, low), high)


def covering(
    values: Sequence[float], start: float, end: float, *, most: int = 6, room: float = 0.04, is_count: bool = False
) -> Linear:
    """A linear scale that shows all finite values, with a little room at both ends."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - max(0.5, abs(low) * 0.05), high + max(0.5, abs(high) * 0.05)
    beyond = room * (high - low)
    return Linear(low - beyond, high + beyond, start, end, most, is_count)


def covering_powers(values: Sequence[float], start: float, end: float, *, most: int = 6) -> Logarithmic:
    """A logarithmic scale that shows all positive values."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
    low, high = min(positive), max(positive)
    if high < low * 1.05:
        low, high = low / 2, high * 2
    return Logarithmic(low / (high / low) ** 0.03, high * (high / low) ** 0.03, start, end, most)


def covering_wide(
    values: Sequence[float], start: float, end: float, *, most: int = 6, wide: float = 20.0
) -> Linear | Logarithmic:
    """A scale of powers where positive values spread over more than a factor of `wide`, else a linear one."""
    is_wide = min(values) > 0 and max(values) > wide * min(values)
    return (covering_powers if is_wide else covering)(values, start, end, most=most)


def short(value: float) -> str:
    """A round number as briefly as can be: "0.001", "1e-7", "10,000"."""
    if abs(value) < 1 or value >= LARGEST:
        return _power(value, 0) if value >= LARGEST else f"{value:g}"
    text = number(value) if value < 1e4 else f"{value:,.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _power(value: float, digits: int) -> str:
    """ "1.5e6", "2e-7": with so many digits behind the point."""
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(power)}"
