"""Figures of what choices were worth, for notebooks and scripts: the way to the result, each knob, stopping rules.

Knows accounts; drawn by matplotlib (an extra).
"""

from itertools import pairwise
from typing import TYPE_CHECKING

from trimtab.errors import OptionError
from trimtab.findings.worth import words
from trimtab.findings.worth.account import Account
from trimtab.findings.worth.intervals import BETTER, WORSE
from trimtab.report.figures import BLUE, GREEN, GREY, ORANGE, new_figure
from trimtab.text.layout import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches that a line of a figure takes, and those around all of them.
LINE, AROUND = 0.28, 1.1
COLOURS = {BETTER: GREEN, WORSE: ORANGE}


def waterfall_figure(account: Account | None) -> "Figure":
    """From the beginner's network to the result, one choice after the other; what cannot be told from noise is pale."""
    if account is None or len(account.path) < 2:
        raise OptionError("The way to the result was not measured: study.explain(budget=) walks it first.")
    steps = account.path
    figure, axes = new_figure()
    figure.set_figheight(AROUND + LINE * len(steps))
    axes.plot([steps[0].score], [0], "o", color=BLUE)
    for place, (before, step) in enumerate(pairwise(steps), 1):
        change = step.score - before.score
        is_sure = step.low is not None and step.high is not None and not step.low <= 0 <= step.high
        colour = GREY if not is_sure else GREEN if (change > 0) == account.greater_is_better else ORANGE
        axes.barh(place, change, left=before.score, height=0.6, color=colour, alpha=1.0 if is_sure else 0.35)
        axes.annotate(f" {change:+.3g}", (max(step.score, before.score), place), va="center", fontsize=9, color=colour)
    _name(axes, ["the default MLP", *(words.named(step.knob, step.value) for step in steps[1:])])
    axes.margins(x=0.15)
    axes.set_xlabel(account.metric or "validation loss")
    return figure


def knob_figure(account: Account | None) -> "Figure":
    """Each choice beside the winner's: the difference in error, with the interval that holds together with the rest."""
    rows = [] if account is None else [row for row in account.reached if row.low is not None and row.high is not None]
    if account is None or not rows:
        raise OptionError("Nothing was measured of what each choice was worth: study.explain(budget=) does so first.")
    figure, axes = new_figure()
    figure.set_figheight(AROUND + LINE * len(rows))
    for place, row in enumerate(rows):
        colour = COLOURS.get(row.verdict, GREY)
        axes.plot([row.low or 0.0, row.high or 0.0], [place, place], color=colour, linewidth=2)
        face = colour if row.verdict in COLOURS else "white"
        axes.plot([row.difference or 0.0], [place], "o", color=colour, markerfacecolor=face, label=row.name)
    axes.axvline(0.0, color=GREY, linewidth=0.9)
    _name(axes, [words.named(row.knob, row.value) for row in rows])
    axes.set_xlabel(f"difference in {words.measure(account)}: above 0, worse than the winner")
    return figure


def stopping_figure(account: Account | None) -> "Figure":
    """What each stopping rule would have spent and scored."""
    if account is None or not account.stopping:
        raise OptionError("Stopping rules were not replayed: study.explain(budget=) does so first.")
    figure, axes = new_figure()
    for stop in account.stopping:
        is_hindsight = stop.rule == words.HINDSIGHT
        axes.plot([stop.epochs], [stop.score], "*" if is_hindsight else "o", color=ORANGE if is_hindsight else BLUE,
                  label=f"{stop.rule}: {number(stop.score)}")  # fmt: skip
        axes.annotate(f" {stop.rule}", (stop.epochs, stop.score), fontsize=8, va="bottom", color=GREY)
    axes.margins(x=0.15, y=0.12)
    axes.set(xlabel="epochs spent", ylabel=f"{account.metric or 'validation loss'} of the epoch kept")
    return figure


def _name(axes: "Axes", names: list[str]) -> None:
    """Names beside the lines, the first on top."""
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
