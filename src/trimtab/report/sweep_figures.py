"""Figures of sweeps: the score by value of one knob, and of two. Knows frames of numbers; it knows no networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import polars

from trimtab.report.figures import BLUE, GREEN, GREY, ORANGE, log_where_wide, new_figure, say_in_the_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Values are read off a logarithmic axis where they spread over more than this.
WIDE = 20.0


def values_figure(
    table: polars.DataFrame,
    knobs: Sequence[str],
    *,
    best: int | None,
    alike: Sequence[int],
    edge: float | None,
    metric: str | None,
) -> "Figure":
    """Which value is best: mean and spread over seeds of the best epoch's score, and the last epoch's mean.

    `best` is a row of `table`, `alike` are those that cannot be told apart from it.
    """
    knob = knobs[0]
    figure, axes = new_figure()
    places, is_number = _places(table, knob)
    order = numpy.argsort(places, kind="stable")
    sound = table["best"].is_finite().to_numpy()
    shown = [i for i in order if sound[i]]
    at, low, mean, high = places[shown], *(table[name].to_numpy()[shown] for name in ("best_low", "best", "best_high"))
    if is_number:
        axes.fill_between(at, low, high, color=ORANGE, alpha=0.2, linewidth=0)
    else:  # names have no way from one to the next
        axes.errorbar(at, mean, [mean - low, high - mean], fmt="none", color=ORANGE)
    axes.plot(at, mean, "o-" if is_number else "o", color=ORANGE, linewidth=1.8, markersize=4, label="best epoch")
    ended = [i for i in shown if numpy.isfinite(table["final"][int(i)]) and not table["diverged"][int(i)]]
    last = table["final"].to_numpy()[ended]
    axes.plot(places[ended], last, "--" if is_number else "x", color=BLUE, linewidth=1.4, label="last epoch")
    if is_number and places.min() > 0 and places.max() / places.min() > WIDE:
        axes.set_xscale("log")
    if not is_number:
        axes.set_xticks(places, _names(table[knob], knob))
        axes.set_xlim(-0.6, len(table) - 0.4)
    log_where_wide(axes, table.select("best").filter(sound))
    if axes.get_yscale() == "linear":
        _leave_out_the_worst(axes, mean)
    if best is not None:
        _mark_best(axes, places, table["best"].to_numpy(), best, alike, is_number=is_number)
    if edge is not None:
        _mark_edge(axes, edge)
    for i in (i for i in order if not sound[i] and not is_number):
        axes.annotate(
            _why_empty(table, int(i)), (places[i], 0.03), xycoords=("data", "axes fraction"), color=GREY, ha="center"
        )
    if not shown:
        say_in_the_middle(axes, "every value diverged" if (table["diverged"] > 0).all() else "no value has a score")
    axes.set(xlabel=knob, ylabel=metric or "validation loss", title=f"What {knob} is worth")
    axes.legend(frameon=False)
    return figure


def _places(table: polars.DataFrame, knob: str) -> tuple[numpy.ndarray, bool]:
    """Where each value stands on the axis, and whether it is one of numbers: not where all rows are written as 0."""
    is_number = table.schema[knob].is_numeric() and len(table) > 1 and not _has_all_rows(table, knob)
    return table[knob].to_numpy() if is_number else numpy.arange(len(table)), is_number


def _has_all_rows(table: polars.DataFrame, knob: str) -> bool:
    return knob == "batch_size" and 0 in table[knob].to_list()


def _names(values: Sequence[Any] | polars.Series, knob: str) -> list[str]:
    return ["all rows" if value == 0 and knob == "batch_size" else _short(value) for value in values]


def _mark_best(
    axes: "Axes", places: numpy.ndarray, scores: numpy.ndarray, best: int, like: Sequence[int], *, is_number: bool
) -> None:
    if is_number and len(like) > 1:
        # The stretch around the best that has nothing else in it.
        order = numpy.argsort(places, kind="stable").tolist()
        first = last = order.index(best)
        while first > 0 and order[first - 1] in like:
            first -= 1
        while last < len(order) - 1 and order[last + 1] in like:
            last += 1
        axes.axvspan(float(places[order[first]]), float(places[order[last]]), color=GREEN, alpha=0.12, linewidth=0)
    if len(like) > 1:
        axes.plot(
            places[[*like]], scores[[*like]], "o", color=GREEN, markersize=9, fillstyle="none", label="like the best"
        )
    axes.plot([places[best]], [scores[best]], "o", color=GREEN, markersize=8, zorder=5, label="best")


def _mark_edge(axes: "Axes", edge: float) -> None:
    axes.axvline(edge, color=GREY, linestyle=":", linewidth=1)
    axes.annotate("diverges beyond", (edge, 0.97), xycoords=("data", "axes fraction"), color=GREY, fontsize=8,
                  xytext=(4, 0), textcoords="offset points", va="top")  # fmt: skip


def _leave_out_the_worst(axes: "Axes", scores: numpy.ndarray) -> None:
    """A few useless values would press all others onto one line."""
    if len(scores) > 5:
        low, high = numpy.quantile(scores, [0.0, 0.85])
        if scores.max() - low > 4 * (high - low) > 0:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.6 * (high - low))


def pairs_figure(
    table: polars.DataFrame,
    knobs: Sequence[str],
    *,
    best: int | None,
    alike: Sequence[int],
    edge: float | None,
    metric: str | None,
) -> "Figure":
    """Which pair is best: a map of the mean score over both knobs; what diverged or has no score stays empty."""
    from matplotlib.colors import LogNorm, Normalize

    first, second = knobs
    rows, columns = (table[name].unique(maintain_order=True).to_list() for name in (first, second))
    scores = numpy.full((len(rows), len(columns)), numpy.nan)
    for row in table.iter_rows(named=True):
        if not row["diverged"] and numpy.isfinite(row["best"]):
            scores[rows.index(row[first]), columns.index(row[second])] = row["best"]
    figure, axes = new_figure()
    axes.grid(visible=False)
    finite = scores[numpy.isfinite(scores)]
    is_wide = len(finite) and finite.min() > 0 and finite.max() / finite.min() > 10
    norm = (LogNorm if is_wide else Normalize)(finite.min(), finite.max()) if len(finite) else None
    image = axes.imshow(scores, aspect="auto", cmap="cividis", norm=norm, origin="lower")
    figure.colorbar(image, ax=axes, label=metric or "validation loss")
    axes.set_facecolor("#F2F2F2")
    axes.set_xticks(range(len(columns)), _names(columns, second), rotation=45 if len(columns) > 6 else 0)
    axes.set_yticks(range(len(rows)), _names(rows, first))
    marked = [(i, "o", 6, "none") for i in alike if i != best] + ([(best, "*", 14, "full")] if best is not None else [])
    for i, mark, size, fill in marked:
        at = columns.index(table[second][i]), rows.index(table[first][i])
        axes.plot(*at, mark, color=ORANGE, markersize=size, fillstyle=fill)
    axes.set(xlabel=second, ylabel=first, title=f"star: best; rings: like it; grey: {_why_grey(table)}")
    return figure


def _why_empty(table: polars.DataFrame, row: int) -> str:
    return "diverged" if table["diverged"][row] else "no score"


def _why_grey(table: polars.DataFrame) -> str:
    without = table.filter(~polars.col("best").is_finite() & (polars.col("diverged") == 0))
    return "diverged or no score" if len(without) else "diverged"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)[:24]
