"""Figures of what choices were worth say what the account says."""

from itertools import pairwise

import numpy
import pytest
from matplotlib.patches import Rectangle

from made_accounts import PATH, STOPPING, account
from trimtab.errors import OptionError
from trimtab.report.worth_figures import knob_figure, stopping_figure, waterfall_figure


def points(axes):
    """Where each line of the axes goes, [points, 2]."""
    return [numpy.asarray(line.get_xydata()) for line in axes.lines]


def names(axes):
    return [tick.get_text() for tick in axes.get_yticklabels()]


def test_the_way_has_a_bar_for_each_step_from_where_the_one_before_ended():
    (axes,) = waterfall_figure(account()).axes
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches if isinstance(bar, Rectangle)]
    assert bars == [(before.score, round(step.score - before.score, 6)) for before, step in pairwise(PATH)]
    assert names(axes) == [
        "the default MLP",
        "inputs periodic",
        "loss huber",
        "dropout 0.1",
        "the ensemble of 4 trials",
    ]
    assert [bar.get_alpha() for bar in axes.patches] == [1.0, 1.0, 0.35, 1.0], "noise is pale"


def test_each_choice_has_its_interval_and_what_diverged_has_none():
    (axes,) = knob_figure(account()).axes
    ends = [line[:, 0].tolist() for line in points(axes) if len(line) == 2]
    assert [0.42, 1.41] in ends and [-0.39, -0.03] in ends and len(names(axes)) == 7
    (width,) = [line for line in axes.lines if line.get_label() == "width=256"]
    assert numpy.asarray(width.get_xydata())[0, 0] == -0.21


def test_stopping_rules_lie_by_what_they_spend_and_score():
    (axes,) = stopping_figure(account()).axes
    assert [tuple(line[0].tolist()) for line in points(axes)] == [(stop.epochs, stop.score) for stop in STOPPING]


@pytest.mark.parametrize("draw", [waterfall_figure, knob_figure, stopping_figure])
def test_what_was_not_measured_says_how_it_is(draw):
    for nothing in (None, account(rows=(), path=(), stopping=())):
        with pytest.raises(OptionError, match="explain"):
            draw(nothing)
