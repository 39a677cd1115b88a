"""A chart as data: points, lines, marks and heat maps over labelled axes, and the words for those who cannot see it.

Knows no way of drawing: `painting` makes a PNG of it, `lettering` a text, and a `picture` shows itself by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy

LogAxes = Literal["", "x", "y", "xy"]


def _numbers(values: Any) -> numpy.ndarray:
    """Anything with numbers in it (list, array, tensor, column) as one row of them."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return numpy.asarray(values, dtype=float).reshape(-1)


@dataclass(frozen=True)
class _Series:
    """What lies at x and y and may have a name."""

    x: Any
    y: Any

    def __post_init__(self) -> None:
        x, y = _numbers(self.x), _numbers(self.y)
        if len(x) != len(y):
            raise ValueError(f"A {type(self).__name__} has {len(x)} places along x and {len(y)} along y.")
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)


@dataclass(frozen=True)
class Points(_Series):
    """Separate points."""

    label: str = ""


@dataclass(frozen=True)
class Line(_Series):
    """Points joined in their order."""

    label: str = ""


@dataclass(frozen=True)
class Mark(_Series):
    """One place to look at, with its name at the upper right of it, or at the lower left."""

    label: str
    side: Literal["above", "below"] = "above"


@dataclass(frozen=True)
class Heat:
    """A table of numbers as shades: `values[row][column]`, light where low; what is not finite is crossed out."""

    values: Any
    rows: Sequence[str]
    columns: Sequence[str]
    label: str
    log: bool = False

    def __post_init__(self) -> None:
        values = numpy.asarray(self.values, dtype=float)
        if values.shape != (len(self.rows), len(self.columns)):
            raise ValueError(f"A Heat of {len(self.rows)} rows and {len(self.columns)} columns has {values.shape}.")
        object.__setattr__(self, "values", values)


Layer = Points | Line | Mark | Heat


@dataclass(frozen=True)
class Chart:
    """Layers over one pair of axes, `x` and `y` being what stands along them, with the unit.

    `alt` says what there is to see. `log` names the axes that are logarithmic; `y_range` cuts off what lies outside;
    `y_names` stand at y = 0, 1, 2, ... in the place of numbers.
    """

    layers: Sequence[Layer]
    x: str
    y: str
    alt: str
    title: str = ""
    log: LogAxes = ""
    y_range: tuple[float, float] | None = None
    y_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("A picture needs words for those who cannot see it: alt=...")

    @property
    def parts(self) -> tuple["Chart", ...]:
        return (self,)


@dataclass(frozen=True)
class Charts:
    """Charts that are compared with each other; they share the range of y where `shares_y`."""

    parts: Sequence[Chart]
    shares_y: bool = field(default=True, kw_only=True)

    @property
    def alt(self) -> str:
        return " ".join(part.alt for part in self.parts)
