"""The figure of a search: the score over its trials, and what each knob that was turned yielded.

Knows trials and their values; it knows no networks and no files.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

from trimtab.errors import OptionError
from trimtab.report.figures import BLUE, GREEN, GREY, LOG_FROM, ORANGE, new_axes, say_in_the_middle
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pictures of knobs in a row: at the usual width more could not be read.
COLUMNS = 4
# Scores worse than this many times the distance from the best to the median are drawn at the edge.
FURTHEST = 3.0
_BASELINES = {"mean": "mean", "linear": "linear model", "default_mlp": "default MLP"}


def search_figure(trials: Sequence[TrialRecord], *, metric: str, greater_is_better: bool, winner: int) -> "Figure":
    """Above, each trial's score in the order in which they began and the best so far; below, by each knob's value."""
    shown = [trial for trial in trials if math.isfinite(trial.error)]
    if not shown:
        raise OptionError("No trial of the study has a finite score yet: there is nothing to draw.")
    scores = {trial.number: 1 - trial.error if greater_is_better else trial.error for trial in shown}
    tuned = [trial for trial in shown if not trial.name]
    knobs = [name for name in dict.fromkeys(name for trial in tuned for name in trial.values) if _varies(name, tuned)]
    lines = -(-len(knobs) // COLUMNS)
    figure, grid = new_axes(lines)
    _draw_course(grid[0], shown, scores, greater_is_better=greater_is_better, winner=winner)
    judged = [scores[trial.number] for trial in tuned or shown]
    bounds = _bounds(judged, greater_is_better=greater_is_better)
    grid[0].set(xlabel="trial, in the order in which they began", ylabel=metric, ylim=bounds)
    for axes, knob in zip(grid[1:], knobs, strict=False):
        _draw_knob(axes, knob, tuned, scores, winner)
        axes.set(xlabel=knob, ylim=bounds)
    for place, axes in enumerate(grid[1:]):
        axes.set_visible(place < len(knobs))
        if place % COLUMNS == 0:
            axes.set_ylabel(metric)
    return figure


def _varies(name: str, trials: Sequence[TrialRecord]) -> bool:
    return len({trial.values[name] for trial in trials if name in trial.values}) > 1


def _bounds(scores: list[float], *, greater_is_better: bool) -> tuple[float, float]:
    """Between the best score and what is clearly bad: one trial that diverged must not flatten all others."""
    best, middle = (max if greater_is_better else min)(scores), float(numpy.median(scores))
    worst = (min if greater_is_better else max)(scores)
    furthest = best + FURTHEST * (middle - best)
    edge = (max(worst, furthest) if greater_is_better else min(worst, furthest)) if middle != best else worst
    margin = 0.06 * abs(edge - best) or 0.05 * abs(best) or 0.05
    low, high = sorted((best, edge))
    return low - margin, high + margin


def _draw_course(
    axes: "Axes", trials: Sequence[TrialRecord], scores: dict[int, float], *, greater_is_better: bool, winner: int
) -> None:
    tuned = [trial for trial in trials if not trial.name]
    kinds = (("finished", COMPLETE, BLUE, "o"), ("ended early, as worse than others", PRUNED, GREY, "x"))
    for label, state, colour, mark in kinds:
        some = [(t.number, scores[t.number]) for t in tuned if t.state == state]
        if some:
            axes.plot(*zip(*some, strict=True), mark, color=colour, markersize=4, label=label)
    finished = [(t.number, scores[t.number]) for t in tuned if t.state == COMPLETE]
    if finished:
        numbers, values = zip(*finished, strict=True)
        best = numpy.maximum if greater_is_better else numpy.minimum
        axes.step(numbers, best.accumulate(values), where="post", color=ORANGE, linewidth=1.8, label="best so far")
    if winner in scores:
        axes.plot([winner], [scores[winner]], "*", color=ORANGE, markersize=13, zorder=5, label="the best")
    last = max(trial.number for trial in trials)
    for trial in trials:
        if trial.name:
            axes.axhline(scores[trial.number], color=GREY, linewidth=0.9, linestyle=":")
            axes.annotate(f" {_BASELINES.get(trial.name, trial.name)}", (last, scores[trial.number]), color=GREEN,
                          fontsize=8, va="bottom", ha="right", annotation_clip=True)  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2)


def _draw_knob(axes: "Axes", knob: str, trials: Sequence[TrialRecord], scores: dict[int, float], winner: int) -> None:
    some = [trial for trial in trials if knob in trial.values]
    values: list[Any] = [trial.values[knob] for trial in some]
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if is_number:
        places = [float(value) for value in values]
        if min(places) > 0 and max(places) / min(places) > LOG_FROM:
            axes.set_xscale("log")
    else:
        # In the order of what they yielded at best, so that the reader sees a ranking.
        names = sorted(set(map(str, values)), key=lambda name: min(
            trial.error for trial, value in zip(some, values, strict=True) if str(value) == name))  # fmt: skip
        spread = numpy.random.default_rng(0).uniform(-0.12, 0.12, len(values))
        places = [names.index(str(value)) + float(aside) for value, aside in zip(values, spread, strict=True)]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axes.set_xlim(-0.5, len(names) - 0.5)
    if not places:
        say_in_the_middle(axes, "nothing tried")
    for trial, place in zip(some, places, strict=True):
        is_best = trial.number == winner
        colour = ORANGE if is_best else BLUE if trial.state == COMPLETE else GREY
        axes.plot([place], [scores[trial.number]], "*" if is_best else "o" if trial.state == COMPLETE else "x",
                  color=colour, markersize=11 if is_best else 3.5, zorder=5 if is_best else 2)  # fmt: skip
