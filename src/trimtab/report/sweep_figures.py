"""Figures of sweeps: the score by value of one knob, and of two. Knows frames of numbers; it knows no networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import polars

from trimtab.report.figures import BLUE, GREEN, GREY, ORANGE, log_where_wide, new_figure

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
    alike: Sequence[Any],
    edge: float | None,
    metric: str | None,
) -> "Figure":
    """Which value is best: mean and spread over seeds of the best epoch's score, and the last epoch's mean."""
    knob = knobs[0]
    figure, axes = new_figure()
    shown = table.filter(polars.col("best").is_finite())
    is_number = table.schema[knob].is_numeric()
    places = shown[knob].to_numpy() if is_number else numpy.arange(len(shown))
    if is_number:
        axes.fill_between(places, shown["best_low"], shown["best_high"], color=ORANGE, alpha=0.2, linewidth=0)
    if not is_number:  # names have no way from one to the next
        axes.errorbar(places, shown["best"], [shown["best"] - shown["best_low"], shown["best_high"] - shown["best"]],
                      fmt="none", color=ORANGE)  # fmt: skip
    axes.plot(
        places, shown["best"], "o-" if is_number else "o", color=ORANGE, linewidth=1.8, markersize=4, label="best epoch"
    )
    trained = shown.filter(polars.col("final").is_finite() & (polars.col("diverged") == 0))
    at = trained[knob].to_numpy() if is_number else numpy.flatnonzero((shown["diverged"] == 0).to_numpy())
    axes.plot(
        at[: len(trained)], trained["final"], "--" if is_number else "x", color=BLUE, linewidth=1.4, label="last epoch"
    )
    if is_number and len(places) and places.min() > 0 and places.max() / places.min() > WIDE:
        axes.set_xscale("log")
    if not is_number:
        axes.set_xticks(places, [str(value) for value in shown[knob]])
    _mark(axes, table, knob, best, alike, edge, is_number=is_number)
    log_where_wide(axes, shown.select("best"))
    if axes.get_yscale() == "linear":
        _leave_out_the_worst(axes, shown)
    axes.set(xlabel=knob, ylabel=metric or "validation loss", title=f"What {knob} is worth")
    axes.legend(frameon=False)
    return figure


def _mark(
    axes: "Axes",
    table: polars.DataFrame,
    knob: str,
    best: int | None,
    alike: Sequence[Any],
    edge: float | None,
    *,
    is_number: bool,
) -> None:
    if best is not None and is_number:
        axes.axvspan(min(alike), max(alike), color=GREEN, alpha=0.12, linewidth=0, label="cannot be told apart")
    if best is not None:
        place = table[knob][best] if is_number else best
        axes.plot([place], [table["best"][best]], "o", color=GREEN, markersize=8, zorder=5, label="best")
    if edge is not None:
        axes.axvline(edge, color=GREY, linestyle=":", linewidth=1)
        axes.annotate("diverges beyond", (edge, 0.97), xycoords=("data", "axes fraction"), color=GREY, fontsize=8,
                      xytext=(4, 0), textcoords="offset points", va="top")  # fmt: skip


def _leave_out_the_worst(axes: "Axes", shown: polars.DataFrame) -> None:
    """A few useless values would press all others onto one line."""
    scores = shown["best"].to_numpy()
    if len(scores) > 5:
        low, high = numpy.quantile(scores, [0.0, 0.85])
        if scores.max() - low > 4 * (high - low) > 0:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.6 * (high - low))


def pairs_figure(
    table: polars.DataFrame,
    knobs: Sequence[str],
    *,
    best: int | None,
    alike: Sequence[Any],
    edge: float | None,
    metric: str | None,
) -> "Figure":
    """Which pair is best: a map of the mean score over both knobs; what diverged stays empty."""
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
    axes.set_xticks(range(len(columns)), [_short(value) for value in columns], rotation=45 if len(columns) > 6 else 0)
    axes.set_yticks(range(len(rows)), [_short(value) for value in rows])
    if best is not None:
        place = columns.index(table[second][best]), rows.index(table[first][best])
        axes.plot(*([at] for at in place), "*", color=ORANGE, markersize=14)
    axes.set(xlabel=second, ylabel=first, title="star: best; grey: diverged")
    return figure


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
