"""Controls: what can be turned in an experiment, and the values that a page sends for it, checked.

Knows numbers and names; it knows no experiment.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.errors import OptionError

Values = Mapping[str, Any]
# What one can place by hand, and how far from the origin: more is no longer seen, and no longer trained in a moment.
MOST_POINTS, FARTHEST = 400, 1e3


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high`; `scale` "log" moves by factors, `whole` has no fractions. One that is `instant` is
    read off what was trained already, so that nothing is trained again."""

    name: str
    label: str
    low: float
    high: float
    usual: float
    scale: str = "linear"
    whole: bool = False
    hint: str = ""
    instant: bool = False
    kind: str = "slider"

    def read(self, given: Any) -> float:
        is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
        if not is_number or not self.low <= given <= self.high:
            raise OptionError(f"{self.label} is {given!r}: it must be a number from {self.low:g} to {self.high:g}.")
        return round(given) if self.whole else float(given)


@dataclass(frozen=True)
class Menu:
    """One of `options`, each by its name and what it is called."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    usual: str
    hint: str = ""
    instant: bool = False
    kind: str = "menu"

    def read(self, given: Any) -> str:
        names = [name for name, _ in self.options]
        if given not in names:
            raise OptionError(f"{self.label} is {given!r}: it must be one of {', '.join(names)}.")
        return given


@dataclass(frozen=True)
class Points:
    """Points placed by hand, each an x and a y."""

    name: str
    label: str
    usual: Sequence[tuple[float, float]]
    hint: str = ""
    instant: bool = False
    kind: str = "points"

    def read(self, given: Any) -> list[tuple[float, float]]:
        if not isinstance(given, list) or not 2 <= len(given) <= MOST_POINTS:
            raise OptionError(f"{self.label} must be a list of 2 to {MOST_POINTS} points.")
        return [self._point(each) for each in given]

    def _point(self, each: Any) -> tuple[float, float]:
        is_pair = isinstance(each, list | tuple) and len(each) == 2
        if not is_pair or not all(_is_near(number) for number in each):
            raise OptionError(f"{self.label} has {each!r}: a point is two numbers of up to {FARTHEST:g} either way.")
        return float(each[0]), float(each[1])


@dataclass(frozen=True)
class Cloud:
    """Points of two classes out of a table of one's own, each an x, a y and 0 or 1; none until one is read, which then
    is chosen in the control called `menu`."""

    name: str
    label: str
    menu: str
    usual: Sequence[tuple[float, float, int]] = ()
    hint: str = ""
    instant: bool = False
    kind: str = "cloud"

    def read(self, given: Any) -> list[tuple[float, float, int]]:
        if not isinstance(given, list | tuple) or len(given) > MOST_POINTS:
            raise OptionError(f"{self.label} must be a list of at most {MOST_POINTS} points.")
        return [self._point(each) for each in given]

    def _point(self, each: Any) -> tuple[float, float, int]:
        is_triple = isinstance(each, list | tuple) and len(each) == 3
        if not is_triple or not all(_is_near(number) for number in each[:2]) or each[2] not in (0, 1):
            raise OptionError(f"{self.label} has {each!r}: a point is two numbers of up to {FARTHEST:g}, and 0 or 1.")
        return float(each[0]), float(each[1]), int(each[2])


def _is_near(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= FARTHEST


Control = Slider | Menu | Points | Cloud


def read(controls: Sequence[Control], text: str) -> dict[str, Any]:
    """The value of every control, out of the JSON object that a page sends; what it leaves out has its usual one.

    Raises OptionError for what is no such object, for a name that is none of a control's, and for a value that it
    cannot have.
    """
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise OptionError("The values are no JSON object.") from None
    if not isinstance(given, dict):
        raise OptionError("The values are no JSON object.")
    by_name = {control.name: control for control in controls}
    if unknown := [name for name in given if name not in by_name]:
        raise OptionError(f'There is no control "{unknown[0]}": there are {", ".join(by_name)}.')
    return {name: control.read(given.get(name, usual(control))) for name, control in by_name.items()}


def usual(control: Control) -> Any:
    """The value that a control begins with, as JSON has it."""
    return [list(point) for point in control.usual] if isinstance(control, Points | Cloud) else control.usual


def described(control: Control) -> dict[str, Any]:
    """What a page draws a control of."""
    return asdict(control) | {"usual": usual(control)}
