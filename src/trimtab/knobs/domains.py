"""Domains: the numbers that a knob can be at all, and the values that are drawn of one before anything is known.

Knows no knob and no sampler; random numbers come from the generator that is handed in.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import OptionError

if TYPE_CHECKING:  # looking at what a knob may be loads no numpy
    import numpy

Value = str | int | float
LOW, HIGH = "low", "high"


@dataclass(frozen=True)
class Bounds:
    """The numbers that a knob can be at all: from `low`, which is left out where `is_open`, to `high`."""

    low: float = 0.0
    high: float = math.inf
    is_open: bool = False
    is_whole: bool = False

    def require(self, name: str, value: object) -> None:
        """Raise OptionError unless `value`, called `name`, is a finite number within these bounds."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not self.low <= float(value) <= self.high or (self.is_open and value == self.low):  # type: ignore[arg-type]
            low = f"above {self.low:g}" if self.is_open else f"at least {self.low:g}"
            high = "" if math.isinf(self.high) else f" and at most {self.high:g}"
            raise OptionError(f"{name} is {value!r}: it must be a number {low}{high}.")

    def whole(self, name: str, value: Any) -> int:
        """`value`, called `name`, as a whole number; raises OptionError where it is none, or too low."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value != int(value) or value < self.low:
            raise OptionError(f"{name} is {value!r}: it must be a whole number of at least {self.low:g}.")
        return int(value)

    def describe(self) -> str:
        return f"from {self.low:g} on" if math.isinf(self.high) else f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of a few values; `weights` say how often each is drawn before anything has been learnt."""

    values: tuple[Value, ...]
    weights: tuple[float, ...]

    def draw(self, rng: "numpy.random.Generator") -> Value:
        total = sum(self.weights)
        return self.values[rng.choice(len(self.values), p=[weight / total for weight in self.weights])]

    def describe(self) -> str:
        return ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number between `low` and `high`, on a logarithmic scale where `log`; `center` is drawn most before learning.

    `spread` is the standard deviation of the logarithm; what is drawn beyond the ends is put at them.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    center: float | None = None
    spread: float = 1.0

    def draw(self, rng: "numpy.random.Generator") -> Value:
        if self.log:
            center = self.center or math.sqrt(self.low * self.high)
            value = math.exp(rng.normal(math.log(center), self.spread))
        else:
            value = rng.uniform(self.low, self.high)
        return self._within(value)

    def beside(self, value: float, shares: float) -> Value:
        """The number that lies so many shares of the range above `value`, on the range's own scale."""
        is_by_factors = self.log and value > 0
        moved = value * (self.high / self.low) ** shares if is_by_factors else value + shares * (self.high - self.low)
        return self._within(moved)

    def _within(self, value: float) -> Value:
        value = min(self.high, max(self.low, value))
        return round(value) if self.integer else float(value)

    def describe(self) -> str:
        return f"{self.low:g} to {self.high:g}"


Domain = Choice | Range


def holds(domain: Domain, value: Value) -> bool:
    """Whether the domain has this value."""
    if isinstance(domain, Choice):
        return value in domain.values
    return isinstance(value, (int, float)) and domain.low <= value <= domain.high


def held(values: Mapping[str, Value], domains: Mapping[str, Domain]) -> dict[str, Value]:
    """Those of `values` that the domains of their knobs have."""
    return {name: value for name, value in values.items() if name in domains and holds(domains[name], value)}
