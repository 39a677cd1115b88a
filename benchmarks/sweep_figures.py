"""The picture of the finders: full trainings by rate on some tables, and where each finder points. Knows standings."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import numpy
from matplotlib import pyplot
from matplotlib.axes import Axes

from engine_figures import COLOURS, FOLDER, MARKERS
from sweep_finders import NO_FINDER
from sweep_standing import Standing

SHOWN = ("mpg", "kin8nm", "taxis")
HIGHEST = 1.6  # standard deviations of the target; what is beyond is cut off
LOWEST_RATE = 1e-8


def save(standings: list[Standing]) -> Path:
    """Draw to `benchmarks/figures/learning_rates.png`."""
    chosen = [standing for standing in standings if standing.name in SHOWN] or standings[: len(SHOWN)]
    figure, grid = pyplot.subplots(
        len(chosen), 1, figsize=(8, 2.9 * len(chosen)), layout="constrained", sharex=True, squeeze=False
    )
    for axes, standing in zip(grid[:, 0], chosen, strict=True):
        _draw(axes, standing)
    grid[-1, 0].set_xlabel("learning rate")
    grid[0, 0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "learning_rates.png"
    figure.savefig(file, dpi=130)
    pyplot.close(figure)
    return file


def _draw(axes: Axes, standing: Standing) -> None:
    scores = numpy.array([standing.scores[rate] for rate in standing.grid])
    axes.fill_between(standing.grid, scores.min(1), scores.max(1), color="#888888", alpha=0.25, linewidth=0)
    axes.plot(standing.grid, scores.mean(1), color="#333333", linewidth=1.5, label="exhaustive search")
    looked = [each for each in standing.suggestions if each.finder != NO_FINDER]
    for suggestion, colour, marker in zip(looked, COLOURS, MARKERS, strict=False):
        if suggestion.rate is None:
            continue
        height = min(standing.mean(suggestion.rate), HIGHEST)
        axes.plot([suggestion.rate], [height], marker, color=colour, markersize=8, label=suggestion.finder,
                  clip_on=False, zorder=3)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(LOWEST_RATE, standing.grid[-1])
    least = scores.mean(1).min()
    axes.set_ylim(least - 0.05 * (HIGHEST - least), HIGHEST)
    axes.set_ylabel("validation RMSE,\nstandard deviations")
    axes.set_title(standing.name, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
