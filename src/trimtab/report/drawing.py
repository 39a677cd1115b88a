"""Drawing: a picture as SVG, with two axes, marks that say what they stand for, and colours that the page decides.

Knows pixels, scales and classes of a style sheet; it knows nothing of what is drawn.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from trimtab.report.scales import Names, Scale, clipped

# Pixels: what a letter of the pictures' text takes in the mean, and the height of a line of it (12 px of a sans serif).
LETTER, LINE = 6.6, 16.0
# Pixels that a name under an axis has at least: one that would lie over the name before it is left out.
NAME = 130.0
# Pixels above and below every picture, from which on it does not matter how far a curve leaves it.
FAR = 1e6


def width_of(text: str) -> float:
    """About how wide a text is, in pixels."""
    return LETTER * len(text)


def cut(text: str, room: float) -> str:
    """The text, or as much of it as has room in so many pixels; its whole stands in a mark's words and the table."""
    letters = max(2, int(room / LETTER))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def room_for(scale: Scale) -> float:
    """Pixels that the numbers of an axis at the left take, with the gap before the line."""
    return max((width_of(name) for _, name in scale.ticks()), default=0.0) + 12


def element(tag: str, text: str = "", **attributes: object) -> str:
    """One element, its numbers rounded to a tenth of a pixel; `class_` and the like lose their underscore."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None and value != ""
    )
    return f"<{tag}{written}>{text}</{tag}>" if text else f"<{tag}{written}/>"


def tip(text: str) -> str:
    """What a mark says when it is pointed at; readers of screens and pages without scripts have it too."""
    return element("title", escape(text)) if text else ""


class Drawing:
    """A picture of so many pixels; everything is added in the order in which it is painted."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        self.width, self.height, self.alt = width, height, alt
        self._parts: list[str] = []

    def add(self, *parts: str) -> None:
        self._parts.extend(parts)

    def text(self, x: float, y: float, text: str, *, class_: str = "", anchor: str = "") -> None:
        self.add(element("text", escape(text), x=x, y=y, class_=class_, text_anchor=anchor))

    def row_name(self, name: str, left: float, y: float, *, above: float | None = None) -> None:
        """What a row is called: before it, or where there is little room `above` it; cut where it would leave the
        picture."""
        if above is None:
            self.text(left - 10, y, cut(name, left - 14), class_="label", anchor="end")
        else:
            self.text(left, above, cut(name, self.width - 16), class_="label", anchor="start")

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        self.add(element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_))

    def bar(self, x1: float, y1: float, x2: float, y2: float, class_: str, said: str = "") -> None:
        """A rectangle between two corners, in whichever order."""
        left, top = min(x1, x2), min(y1, y2)
        self.add(element("rect", tip(said), x=left, y=top, width=abs(x2 - x1), height=abs(y2 - y1), class_=class_))

    def dot(self, x: float, y: float, class_: str, said: str = "", radius: float = 4.0, run: str = "") -> None:
        self.add(element("circle", tip(said), cx=x, cy=y, r=radius, class_=class_, data_run=run))

    def curve(
        self,
        points: Iterable[tuple[float, float]],
        class_: str,
        said: str = "",
        run: str = "",
        within: tuple[float, float] = (-1e9, 1e9),
    ) -> None:
        """Points joined in their order, as far as they are on the pixels `within` (from the top to the bottom), with
        gaps where one is no number; `run` is the number by which a script knows them."""
        pieces: list[str] = []
        end = None
        for before, after in pairwise(points):
            piece = _between(before, after, *within)
            if piece is None:
                continue
            first, last = piece
            pieces += ([] if first == end else ["M{:.1f},{:.1f}".format(*first)]) + ["L{:.1f},{:.1f}".format(*last)]
            end = last
        if pieces:
            self.add(element("path", tip(said), d="".join(pieces), class_=f"curve {class_}", data_run=run))

    def area(self, points: Sequence[tuple[float, float]], class_: str, said: str = "") -> None:
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z"
        self.add(element("path", tip(said), d=path, class_=f"area {class_}"))

    def axis_below(self, scale: Scale, y: float, title: str, *, top: float | None = None) -> None:
        """Numbers under the line at `y`, with faint lines up to `top`; the title stands at the right below them."""
        last = -1e9
        self.line(scale.start, y, scale.end, y, "axis")
        for value, whole in scale.ticks():
            x = scale.place(value)
            name = cut(whole, max(scale.band - LETTER, NAME)) if isinstance(scale, Names) else whole
            half = width_of(name) / 2
            x = min(x, scale.end + LETTER - half) if isinstance(scale, Names) else x
            if x - half < last:
                continue
            last = x + half + LETTER
            if top is not None:
                self.line(x, top, x, y, "grid")
            self.text(x, y + LINE, name, class_="tick", anchor="middle")
        self.text(scale.end, y + 2.2 * LINE, title, class_="title", anchor="end")

    def axis_left(self, scale: Scale, x: float, title: str, *, right: float | None = None) -> None:
        """Numbers before the line at `x`, with faint lines to `right`; the title stands above: it is read first."""
        for value, name in scale.ticks():
            y = scale.place(value)
            if right is not None and not isinstance(scale, Names):
                self.line(x, y, right, y, "grid")
            self.text(x - 6, y + 4, name, class_="tick", anchor="end")
        self.line(x, scale.start, x, scale.end, "axis")
        if title:
            self.text(0, min(scale.start, scale.end) - 10, title, class_="title")

    def svg(self, class_: str = "") -> str:
        """The whole as one element that scales with the page."""
        body = "".join(self._parts)
        box = f"0 0 {_value(self.width)} {_value(self.height)}"
        return element(
            "svg",
            tip(self.alt) + body,
            class_=class_,
            viewBox=box,
            width=self.width,
            role="img",
            aria_label=self.alt,
            xmlns="http://www.w3.org/2000/svg",
        )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escape(str(value), quote=True)


def _between(
    before: tuple[float, float], after: tuple[float, float], top: float, bottom: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The part of a line from one point to the next that is between two heights; None where none of it is."""
    if not all(map(math.isfinite, (*before, *after))):
        return None
    # Of heights far beyond the picture no digit is left for those within.
    (x, y), (to_x, to_y) = ((at, clipped(height, -FAR, FAR)) for at, height in (before, after))
    if y == to_y:
        return (before, after) if top <= y <= bottom else None
    shares = sorted(((top - y) / (to_y - y), (bottom - y) / (to_y - y)))
    first, last = max(0.0, shares[0]), min(1.0, shares[1])
    if first >= last:
        return None
    begin = before if first == 0 else (x + first * (to_x - x), y + first * (to_y - y))
    end = after if last == 1 else (x + last * (to_x - x), y + last * (to_y - y))
    return begin, end
