"""Pictures as PNGs, by matplotlib: white ground, colours that all eyes tell apart, names beside what they name.

Knows nothing of where the PNG goes. Touches no global state of matplotlib: no pyplot, no settings left behind.
"""

import io
import math
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from trimtab.text.chart import Chart, Charts, Heat, Line, Mark, Points
from trimtab.text.lettering import number

WIDTH, HEIGHT = 7.2, 3.8  # inches
DOTS_PER_INCH = 160  # twice what a screen has: pages show pictures at half their size
# Okabe and Ito (2008), the yellow left out: it is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
SETTINGS: Any = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "axes.edgecolor": "#666666", "figure.facecolor": "white",
}  # fmt: skip
LABEL_GAP = 13  # points between two names one below the other


def png_of(picture: Chart | Charts) -> bytes:
    """The picture as the bytes of a PNG file; the same picture gives the same bytes."""
    with mpl.rc_context(SETTINGS):
        figure = figure_of(picture)
        file = io.BytesIO()
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    return file.getvalue()


def figure_of(picture: Chart | Charts) -> Figure:
    count = len(picture.parts)
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, layout="constrained")
    shares_y = isinstance(picture, Charts) and picture.shares_y
    all_axes = figure.subplots(1, count, squeeze=False, sharey=shares_y)[0]
    named = [_draw(axes, part) for axes, part in zip(all_axes, picture.parts, strict=True)]
    # Once all is drawn: charts that share a range change it for those before them.
    for axes, names in zip(all_axes, named, strict=True):
        _name_series(axes, names)
    for axes in all_axes[1:] if shares_y else ():
        axes.set_ylabel("")
    return figure


# Name, colour and last place of a series.
Named = tuple[str, str, float, float]


def _draw(axes: Axes, picture: Chart) -> list[Named]:
    """Draw a chart but for the names of its series, which it gives."""
    axes.set_xlabel(picture.x)
    axes.set_ylabel(picture.y)
    axes.set_title(picture.title)
    heats = [layer for layer in picture.layers if isinstance(layer, Heat)]
    if heats:
        _draw_heat(axes, heats[0])
        return []
    for name in picture.log:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(_Between())
    if picture.y_names:
        axes.set_yticks(range(len(picture.y_names)), picture.y_names)
        axes.set_ylim(-0.5, len(picture.y_names) - 0.5)
    if picture.y_range:
        axes.set_ylim(*picture.y_range)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    return _draw_series(axes, picture)


class _Between(LogFormatter):
    """Names 2 and 5 between the powers of ten where an axis shows few of those."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        low, high = self.axis.get_view_interval() if self.axis else (1, 10)
        leading = value / 10 ** math.floor(math.log10(value))
        is_named = high / low < 30 and round(leading) in (2, 4, 5)
        return number(value) if is_named else ""


def _draw_series(axes: Axes, picture: Chart) -> list[Named]:
    """Draw all layers; gives those that are named at the right."""
    styles = zip(cycle(COLOURS), cycle(DASHES), strict=False)
    named = []
    for layer in picture.layers:
        if isinstance(layer, Points):
            colour = "#555555"
            is_few = len(layer.x) < 12
            alpha = 1.0 if is_few else 0.8 if len(layer.x) < 100 else 0.4
            axes.plot(layer.x, layer.y, "o", color=colour, markersize=6 if is_few else 4, alpha=alpha, zorder=3)
        elif isinstance(layer, Line):
            colour, dash = next(styles)
            axes.plot(layer.x, layer.y, linestyle=dash, color=colour, linewidth=1.8)
        elif isinstance(layer, Mark):
            _draw_mark(axes, layer)
            continue
        else:
            continue
        seen = numpy.isfinite(layer.x) & numpy.isfinite(layer.y)
        if layer.label and seen.any():
            last = numpy.flatnonzero(seen)[layer.x[seen].argmax()]
            named.append((layer.label, colour, layer.x[last], layer.y[last]))
    return named


def _draw_mark(axes: Axes, mark: Mark) -> None:
    axes.plot(mark.x, mark.y, "D", color="black", markersize=5, zorder=5)
    offset, sides = ((7, 7), ("left", "bottom")) if mark.side == "above" else ((-5, -7), ("right", "top"))
    axes.annotate(
        mark.label, (mark.x[0], mark.y[0]), xytext=offset, textcoords="offset points", ha=sides[0], va=sides[1],
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip


def _name_series(axes: Axes, named: list[Named]) -> None:
    """Write each name at the right of the axes, as high as its series ends, and none over another."""
    if not named:
        return
    height = axes.get_position().height * HEIGHT * 72  # points
    bottom, top = axes.get_ylim()
    to_axes = axes.transAxes.inverted()
    wanted = []
    for _, _, x, y in named:
        y = min(max(y, min(bottom, top)), max(bottom, top))
        wanted.append(float(to_axes.transform(axes.transData.transform((x, y)))[1]) * height)
    for (label, colour, _, _), place in zip(named, spread(wanted, LABEL_GAP, height), strict=True):
        axes.annotate(
            label, (1, place / height), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
            color=colour, va="center", annotation_clip=False,
        )  # fmt: skip


def spread(wanted: list[float], gap: float, height: float) -> list[float]:
    """Places as near as may be to those wanted, in their order, at least `gap` apart, between 0 and `height`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    free = 0.0
    for i in order:
        places[i] = max(wanted[i], free)
        free = places[i] + gap
    free = height
    for i in reversed(order):
        places[i] = min(places[i], free)
        free = places[i] - gap
    return places


def _draw_heat(axes: Axes, heat: Heat) -> None:
    values = numpy.where(numpy.isfinite(heat.values), heat.values, numpy.nan)
    norm = LogNorm() if heat.log else Normalize()
    image = axes.imshow(values, aspect="auto", cmap="cividis_r", norm=norm, interpolation="nearest")
    for row, column in numpy.argwhere(numpy.isnan(values)):
        axes.text(column, row, "×", ha="center", va="center", color="#999999")
    every = math.ceil(len(heat.columns) / 8)
    axes.set_xticks(range(0, len(heat.columns), every), heat.columns[::every])
    axes.set_yticks(range(len(heat.rows)), heat.rows)
    bar = axes.figure.colorbar(image, ax=axes, label=heat.label)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
