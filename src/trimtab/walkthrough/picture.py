"""Picture: a chart that shows itself as the last line of a cell, as a PNG where matplotlib is there, else as text."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from trimtab.text.chart import Chart, Charts
from trimtab.text.lettering import text_of


@dataclass(frozen=True, repr=False)
class Picture(Chart):
    """A `Chart` that is shown."""

    def __repr__(self) -> str:
        return text_of(self).plain

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return _bundle(self)


@dataclass(frozen=True, repr=False)
class SideBySide(Charts):
    """`Charts` that are shown."""

    def __repr__(self) -> str:
        return text_of(self).plain

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return _bundle(self)


def _bundle(picture: Chart | Charts) -> tuple[dict, dict]:
    """What a notebook shows, and what it knows about it."""
    data: dict[str, Any] = {"text/plain": text_of(picture).plain}
    if find_spec("matplotlib") is None:
        return data, {}
    from trimtab.walkthrough.painting import DOTS_PER_INCH, WIDTH, png_of

    # Twice as many dots as are shown, for screens that have them.
    width = round(WIDTH * DOTS_PER_INCH / 2)
    return data | {"image/png": png_of(picture)}, {"image/png": {"alt": picture.alt, "width": width}}
