"""Figures of runs and sweeps for notebooks and scripts, drawn by matplotlib (an extra).

Each answers one question. Knows frames of numbers; it knows no networks and no files.
"""

from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people who see colours differently can tell apart; lines differ in dashes too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"
# Inches: matplotlib's width, a little flatter, so that two stand on a page.
SIZE = (6.4, 3.8)
# Where the largest value is so many times the smallest, a linear axis would show the small ones as one (a guess).
LOG_FROM = 50.0


def new_figure(columns: int = 1) -> tuple["Figure", Any]:
    """A figure that belongs to nobody's global state, and its axes."""
    figure = _empty(SIZE[0] * columns, SIZE[1])
    axes = figure.subplots(1, columns)
    for each in [axes] if columns == 1 else axes:
        _plain(each)
    return figure, axes


def new_axes(lines: int, columns: int = 4) -> tuple["Figure", list["Axes"]]:
    """A figure with wide axes above and `lines` of `columns` small ones below, and all its axes."""
    figure = _empty(2.6 * columns, SIZE[1] * 0.9 + 2.5 * lines)
    grid = figure.add_gridspec(lines + 1, columns, height_ratios=[SIZE[1] * 0.9, *[2.5] * lines])
    axes = [figure.add_subplot(grid[0, :])]
    axes += [figure.add_subplot(grid[line + 1, column]) for line in range(lines) for column in range(columns)]
    for each in axes:
        _plain(each)
    return figure, axes


def _empty(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionError('Pictures need matplotlib: pip install "trimtab[plot]".') from None
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)


def curves_figure(curves: polars.DataFrame, *, metric: str | None, best_epoch: float, title: str) -> "Figure":
    """How long was right: the score on training and on validation rows by epoch, the best epoch marked.

    `metric` names what the curves show; None is the loss. What is NaN in all epochs is not drawn, nor a training loss
    beside a metric, on whose axis it would have no place.
    """
    figure, axes = new_figure()
    is_judged = metric is not None or curves["train_metric"].is_not_nan().any()
    train = "train_metric" if is_judged else "train_loss"
    lines = [(train, BLUE, "--", "training"), ("validation_metric", ORANGE, "-", "validation")]
    for column, colour, dashes, label in lines:
        told = curves.filter(polars.col(column).is_not_nan())
        # A point by itself, or between epochs that were not evaluated, is no line.
        marks = {"marker": "."} if 0 < len(told) < max(2, len(curves)) else {}
        if len(told):
            axes.plot(told["epoch"], told[column], dashes, color=colour, linewidth=1.8, label=label, **marks)
    found = curves.filter(polars.col("epoch") == best_epoch)
    if len(found):
        score = found["validation_metric"][0]
        axes.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":")
        axes.plot([best_epoch], [score], "o", color=ORANGE, markersize=7, zorder=5)
        # Above the axes, at the end of the dotted line: within them it would lie on the curves of some run.
        low, high = axes.get_xlim()
        side = (best_epoch - low) / (high - low)
        axes.annotate(
            f"best: {score:.4g} at epoch {best_epoch}", (best_epoch, 1.0), xycoords=("data", "axes fraction"),
            textcoords="offset points", xytext=(0, 3), color=GREY, fontsize=9, va="bottom", annotation_clip=False,
            ha="left" if side < 1 / 3 else "right" if side > 2 / 3 else "center",
        )  # fmt: skip
    if not curves["validation_metric"].is_finite().any():
        say_in_the_middle(axes, "not finite from the first evaluation on")
    log_where_wide(axes, curves.select(train, "validation_metric"))
    axes.set(xlabel="epoch", ylabel=metric or "loss")
    axes.set_title(title, pad=20)
    if axes.lines:
        axes.legend(frameon=False)
    return figure


def say_in_the_middle(axes: "Axes", sentence: str) -> None:
    """For axes on which there is nothing to draw."""
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", color=GREY)


def log_where_wide(axes: "Axes", columns: polars.DataFrame) -> None:
    """A logarithmic axis where positive values spread over more than a factor of fifty."""
    values = [v for name in columns.columns for v in columns[name].to_list() if v is not None and v == v]
    finite = [v for v in values if abs(v) != float("inf")]
    if finite and min(finite) > 0 and max(finite) / min(finite) > LOG_FROM:
        axes.set_yscale("log")
