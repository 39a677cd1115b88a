"""Pictures as text, for terminals: one letter per place, plain ASCII, readable without colour.

Knows nothing of where the text goes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy
from rich.text import Text

from trimtab.text.chart import Chart, Charts, Heat, Layer, Line, Mark, Points

HEIGHT = 16  # lines: picture and caption fit a terminal of 24
LINE_LETTERS, POINT_LETTERS, MARK_LETTERS = "*+x=~%", "o.@", "ABCDEFGH"
SHADES = " .:-=+*#%@"
NOT_FINITE = "!"
# The difference of two numbers has to be a float, and that of an axis' ends more than a few units in the last place.
_BEYOND_DRAWING, _NARROWEST = 1e300, 1e-12
STYLES = ("blue", "red", "green", "magenta", "cyan", "yellow")


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on `places` places, evenly or by their logarithm."""

    low: float
    high: float
    places: int
    is_log: bool

    def place(self, values: numpy.ndarray) -> numpy.ndarray:
        """The place of each value as a float (0 is the first); NaN for what cannot stand on the axis."""
        low, high = self._ends()
        with numpy.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scaled = numpy.log10(values) if self.is_log else values
            return (scaled - low) / (high - low) * (self.places - 1)

    def ticks(self) -> list[float]:
        """About four round numbers."""
        low, high = self._ends()
        if self.is_log:
            powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
            return [10.0**power for power in powers][:: 1 + len(powers) // 6] or [self.low, self.high]
        raw = (high - low) / 4
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= raw)
        return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]

    def _ends(self) -> tuple[float, float]:
        return (math.log10(self.low), math.log10(self.high)) if self.is_log else (self.low, self.high)


def text_of(picture: Chart | Charts, width: int = 76) -> Text:
    """The picture as lines of at most `width` letters; parts stand below one another."""
    parts = [_part(part, width, y_range=_y_range(picture, part)) for part in picture.parts]
    return Text("\n\n").join(parts)


def _y_range(picture: Chart | Charts, part: Chart) -> tuple[float, float] | None:
    if part.y_range or isinstance(picture, Chart) or not picture.shares_y:
        return part.y_range
    ends = [_range(each, "y", each.y_range) for each in picture.parts]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _part(picture: Chart, width: int, y_range: tuple[float, float] | None) -> Text:
    heats = [layer for layer in picture.layers if isinstance(layer, Heat)]
    lines = [Text(picture.title)] if picture.title else []
    lines += _heat(heats[0], picture, width) if heats else _chart(picture, width, y_range)
    return Text("\n").join(lines)


def _chart(picture: Chart, width: int, y_range: tuple[float, float] | None) -> list[Text]:
    height = max(HEIGHT, 2 * len(picture.y_names) + 1) if not picture.y_names else 2 * len(picture.y_names) + 1
    y_axis = Axis(*_range(picture, "y", y_range), height, "y" in picture.log)
    names = _names(picture, y_axis)
    margin = max(map(len, names.values()), default=0)
    x_axis = Axis(*_range(picture, "x", None), width - margin - 2, "x" in picture.log)
    letters = numpy.full((height, x_axis.places), " ")
    styles = numpy.full((height, x_axis.places), "", dtype=object)
    keys = _keys(picture)
    # Points over lines, marks over both.
    depth: dict[type, int] = {Line: 0, Points: 1, Mark: 2}
    drawn = sorted(zip(picture.layers, keys, strict=True), key=lambda pair: depth[type(pair[0])])
    for layer, (letter, style) in drawn:
        for row, column in _places(layer, x_axis, y_axis):
            letters[height - 1 - row, column], styles[height - 1 - row, column] = letter, style
    lines = [Text(picture.y)] if picture.y else []
    for i in range(height):
        line = Text(names.get(height - 1 - i, "").rjust(margin) + " |")
        for letter, style in zip(letters[i], styles[i], strict=True):
            line.append(str(letter), style=style or None)
        line.rstrip()
        lines.append(line)
    lines.append(Text(" " * margin + " +" + "-" * x_axis.places))
    at = x_axis.place(numpy.array(x_axis.ticks()))
    lines.append(_below(dict(zip(at, map(number, x_axis.ticks()), strict=True)), margin + 2, width))
    return [*lines, _under(picture.x, margin + 2, x_axis.places), *_legend(picture, keys, width)]


def _range(picture: Chart, axis: str, given: tuple[float, float] | None) -> tuple[float, float]:
    """From where to where an axis goes: all that is finite, with a little room along y."""
    if given:
        return given
    if axis == "y" and picture.y_names:
        return -0.5, len(picture.y_names) - 0.5
    values = numpy.concatenate([getattr(layer, axis) for layer in picture.layers if not isinstance(layer, Heat)])
    values = values[(numpy.abs(values) < _BEYOND_DRAWING) & ((values > 0) | (axis not in picture.log))]
    if not len(values):
        return 1.0, 10.0
    low, high = float(values.min()), float(values.max())
    if high - low > max(_NARROWEST * max(abs(low), abs(high)), 1 / _BEYOND_DRAWING):
        return low, high
    if axis in picture.log:  # alike, but for what floats round
        return low / 2 or low, high * 2
    room = max(1.0, abs(low) * 1e-6)
    return low - room, high + room


def _names(picture: Chart, axis: Axis) -> dict[int, str]:
    """What stands before which row, counted from below."""
    if picture.y_names:
        places = axis.place(numpy.arange(len(picture.y_names), dtype=float))
        return {round(place): name for place, name in zip(places, picture.y_names, strict=True)}
    ticks = axis.ticks()
    return {round(place): number(tick) for place, tick in zip(axis.place(numpy.array(ticks)), ticks, strict=True)}


def _keys(picture: Chart) -> list[tuple[str, str]]:
    """Letter and colour of each layer."""
    letters: dict[type, Iterator[str]] = {
        Line: iter(LINE_LETTERS * 9), Points: iter(POINT_LETTERS * 9), Mark: iter(MARK_LETTERS * 9)
    }  # fmt: skip
    colours = iter(STYLES * 9)
    return [
        (next(letters[type(layer)]), "" if isinstance(layer, Points) else next(colours)) for layer in picture.layers
    ]


def _places(layer: Layer, x_axis: Axis, y_axis: Axis) -> list[tuple[int, int]]:
    """Rows (from below) and columns that a layer covers."""
    if isinstance(layer, Heat):
        return []
    x, y = (numpy.where(numpy.isfinite(at), at, numpy.nan) for at in (x_axis.place(layer.x), y_axis.place(layer.y)))
    if isinstance(layer, Line) and len(x) > 1:
        x, y = _joined(x, y)
    seen = numpy.isfinite(x) & numpy.isfinite(y)
    column, row = numpy.rint(x[seen]), numpy.rint(y[seen])
    inside = (column >= 0) & (column < x_axis.places) & (row >= 0) & (row < y_axis.places)
    return list(zip(row[inside].astype(int).tolist(), column[inside].astype(int).tolist(), strict=True))


def _joined(x: numpy.ndarray, y: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The places of a line, with enough of them between its corners to leave no gap."""
    pieces_x, pieces_y = [x[:1]], [y[:1]]
    for i in range(1, len(x)):
        longest = max(abs(x[i] - x[i - 1]), abs(y[i] - y[i - 1]))
        count = int(min(longest, 300)) + 1 if math.isfinite(longest) else 1
        pieces_x.append(numpy.linspace(x[i - 1], x[i], count + 1)[1:])
        pieces_y.append(numpy.linspace(y[i - 1], y[i], count + 1)[1:])
    return numpy.concatenate(pieces_x), numpy.concatenate(pieces_y)


def _below(texts: dict[float, str], margin: int, width: int) -> Text:
    """Texts under the places they belong to; one that would touch its neighbour is left out."""
    line = ""
    for place, text in texts.items():
        start = min(max(0, margin + round(place) - len(text) // 2), width - len(text))
        if not line or start > len(line):
            line = line.ljust(start) + text
    return Text(line)


def _under(name: str, margin: int, places: int) -> Text:
    return Text((" " * margin + name.center(places)).rstrip())


def _legend(picture: Chart, keys: list[tuple[str, str]], width: int) -> list[Text]:
    """Which letter is what, as many to a line as there is room for."""
    lines = [Text("  ")]
    for layer, (letter, style) in zip(picture.layers, keys, strict=True):
        if layer.label:
            entry = Text(letter, style=style).append(f" {layer.label}", style="default")
            if len(lines[-1]) > 2 and len(lines[-1]) + len(entry) + 3 > width:
                lines.append(Text("  "))
            lines[-1].append("   " if len(lines[-1]) > 2 else "").append_text(entry)
    return [line for line in lines if line.plain.strip()]


def _heat(heat: Heat, picture: Chart, width: int) -> list[Text]:
    margin = max(map(len, heat.rows))
    each = max(1, (width - margin - 2) // len(heat.columns))
    with numpy.errstate(divide="ignore", invalid="ignore"):
        values = numpy.log10(heat.values) if heat.log else heat.values
    finite = values[numpy.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    shades = numpy.nan_to_num((values - low) / ((high - low) or 1.0) * (len(SHADES) - 1), nan=0.0, posinf=0.0)
    lines = [Text(picture.y)] if picture.y else []
    for name, row, given in zip(heat.rows, shades, values, strict=True):
        letters = [
            SHADES[round(float(shade))] if math.isfinite(value) else NOT_FINITE
            for shade, value in zip(row, given, strict=True)
        ]
        lines.append(Text(name.rjust(margin) + " |" + "".join(letter * each for letter in letters) + "|"))
    places = {(i + 0.5) * each - 0.5: name for i, name in enumerate(heat.columns)}
    lines += [_below(places, margin + 2, width), _under(picture.x, margin + 2, each * len(heat.columns))]
    ends = [number(10**end if heat.log else end) for end in (low, high)]
    scale = f'{heat.label}: {ends[0]} "{SHADES}" {ends[1]}'
    return [*lines, Text(f"  {scale}" + (f"   {NOT_FINITE} not finite" if not numpy.isfinite(values).all() else ""))]


def number(value: float) -> str:
    """A short figure at an axis: 0.01, 250, 1e-06."""
    return f"{value:.6g}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.0e}"
