"""The picture of the finders: full trainings by rate on some tables, and where each finder points. Knows standings."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import numpy
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.engine.figures import COLOURS, FOLDER, MARKERS
from benchmarks.sweep.finders import NO_FINDER
from benchmarks.sweep.standing import Standing

SHOWN = ("mpg", "kin8nm", "taxis")
TICKS = (1.0, 1.1, 1.3, 2.0, 4.0)
LOWEST, HIGHEST = 0.96, 6.0  # times the best; what is beyond is cut off
LOWEST_RATE = 1e-8


def save(standings: list[Standing]) -> Path:
    """Draw to `benchmarks/figures/learning_rates.png`."""
    chosen = [standing for standing in standings if standing.name in SHOWN] or standings[: len(SHOWN)]
    figure, grid = pyplot.subplots(
        len(chosen), 1, figsize=(8, 2.7 * len(chosen) + 0.6), layout="constrained", sharex=True, squeeze=False
    )
    for axes, standing in zip(grid[:, 0], chosen, strict=True):
        _draw(axes, standing)
    grid[-1, 0].set_xlabel("learning rate")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "learning_rates.png"
    figure.savefig(file, dpi=130)
    pyplot.close(figure)
    return file


def _draw(axes: Axes, standing: Standing) -> None:
    """The mean over seeds, least and greatest around it, relative to the best mean."""
    best = standing.mean(standing.best)
    scores = numpy.array([standing.scores[rate] for rate in standing.grid]) / best
    axes.fill_between(standing.grid, scores.min(1), scores.max(1), color="#888888", alpha=0.25, linewidth=0)
    axes.plot(standing.grid, scores.mean(1), color="#333333", linewidth=1.5, label="exhaustive search")
    looked = [each for each in standing.suggestions if each.finder != NO_FINDER]
    for suggestion, colour, marker in zip(looked, COLOURS, MARKERS, strict=False):
        height = numpy.nan if suggestion.rate is None else min(standing.mean(suggestion.rate) / best, HIGHEST)
        axes.plot([suggestion.rate or numpy.nan], [height], marker, color=colour, markeredgecolor="white", markersize=9,
                  label=suggestion.finder, clip_on=False, zorder=3)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(LOWEST_RATE, standing.grid[-1])
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set_yticks([], minor=True)
    axes.set_ylabel("validation RMSE,\ntimes the best")
    axes.set_title(standing.name, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
