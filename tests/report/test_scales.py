"""Scales: round numbers where they belong, whatever an axis is given."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.report.scales import Linear, Logarithmic, Names, covering, covering_powers


def test_ticks_are_round_and_lie_where_they_say():
    scale = Linear(0.0, 10.0, 100.0, 200.0)
    assert scale.ticks() == [(0.0, "0"), (2.0, "2"), (4.0, "4"), (6.0, "6"), (8.0, "8"), (10.0, "10")]
    assert scale.place(2.5) == pytest.approx(125)


def test_an_axis_of_powers_has_powers_of_ten_or_numbers_between_them():
    assert [name for _, name in Logarithmic(0.001, 10.0, 0, 100).ticks()] == ["0.001", "0.01", "0.1", "1", "10"]
    assert [name for _, name in Logarithmic(4.5, 17.0, 0, 100).ticks()] == ["5", "10"]
    assert [name for _, name in Logarithmic(900, 6_000, 0, 100).ticks()] == ["1,000", "2,000", "5,000"]
    assert Logarithmic(0.01, 1.0, 0.0, 100.0).place(0.1) == pytest.approx(50)


def test_figures_that_would_not_fit_before_an_axis_have_powers():
    assert [name for _, name in Linear(0.0, 3e17, 0, 100).ticks()] == ["0", "1e17", "2e17", "3e17"]
    assert [name for _, name in covering_powers([1.0, 1e30], 0, 100).ticks()][1:3] == ["1e6", "1e12"]
    assert [name for _, name in Linear(2e-7, 6e-7, 0, 100, most=3).ticks()] == ["2e-7", "4e-7", "6e-7"]


def test_what_is_counted_has_whole_numbers_only():
    assert [name for _, name in covering([4.0, 6.0], 0, 100, room=0.0, is_count=True).ticks()] == ["4", "5", "6"]


def test_names_stand_in_the_middle_of_their_bands():
    scale = Names(["adam", "sgd"], 0.0, 100.0)
    assert [(scale.place(at), name) for at, name in scale.ticks()] == [(25.0, "adam"), (75.0, "sgd")]


@settings(max_examples=60)
@given(st.lists(st.floats(-1e12, 1e12), max_size=6))
def test_whatever_is_covered_lies_on_the_axis_and_its_ticks_are_few(values):
    scale = covering(values, 0.0, 400.0)
    assert all(-1e-6 <= scale.place(value) <= 400 + 1e-6 for value in values)
    ticks = [scale.place(value) for value, _ in scale.ticks()]
    assert len(ticks) <= 12 and ticks == sorted(ticks) and all(math.isfinite(at) for at in ticks)


@settings(max_examples=60)
@given(st.lists(st.floats(1e-12, 1e12), max_size=6))
def test_positive_numbers_are_covered_by_powers(values):
    scale = covering_powers(values, 0.0, 400.0)
    assert all(-1e-6 <= scale.place(value) <= 400 + 1e-6 for value in values)
    assert len(scale.ticks()) <= 12
