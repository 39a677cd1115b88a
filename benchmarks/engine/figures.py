"""The scaling benchmark's pictures: lines over logarithmic axes, labelled at their ends. Knows figures only."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

FOLDER = Path(__file__).parents[1] / "figures"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555")
MARKERS = ("o", "s", "^", "D", "v")
ROOM_FOR_LABELS = 0.2  # to the right of the last point, as a share of the lines' width
LEAST_DISTANCE = 0.05  # between two labels, as a share of the axis


@dataclass(frozen=True)
class Line:
    """Points `x`, `y` and the words at the line's right end."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Picture:
    """One question and its answer; `unity` draws the line y = 1, where both sides are equally fast."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    unity: bool = False

    def save(self) -> Path:
        """Draw to `benchmarks/figures/NAME.png`."""
        figure, axes = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
        for line, colour, marker in zip(self.lines, COLOURS, MARKERS, strict=False):
            axes.plot(line.x, line.y, color=colour, marker=marker, markersize=4, linewidth=1.5)
        if self.unity:
            axes.axhline(1, color="#888888", linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        values = sorted({value for line in self.lines for value in line.x})
        axes.set_xlim(values[0] / 1.2, values[-1] * (values[-1] / values[0]) ** ROOM_FOR_LABELS)
        axes.set_xticks(values, [f"{value:,.0f}" for value in values])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(self.x_label)
        axes.set_ylabel(self.y_label)
        axes.set_title(self.title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        self._label(axes, self.lines)
        FOLDER.mkdir(exist_ok=True)
        file = FOLDER / f"{self.name}.png"
        figure.savefig(file, dpi=150)
        pyplot.close(figure)
        return file

    @staticmethod
    def _label(axes: Axes, lines: list[Line]) -> None:
        """Name the lines at their right ends, each a line of text above the one below it."""
        low, high = (log10(bound) for bound in axes.get_ylim())
        floor = -inf
        for place in sorted(range(len(lines)), key=lambda place: lines[place].y[-1]):
            line = lines[place]
            floor = max(log10(line.y[-1]), floor + LEAST_DISTANCE * (high - low))
            axes.annotate(
                line.label, (line.x[-1], 10**floor), xytext=(9, 0), textcoords="offset points",
                color=COLOURS[place], va="center", annotation_clip=False,
            )  # fmt: skip
