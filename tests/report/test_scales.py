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
    assert Logarithmic(0.01, 1.0, 0.0, 100.0).place(0.1) == pytest.approx(50)


def test_names_stand_in_the_middle_of_their_bands():
    scale = Names(["adam", "sgd"], 0.0, 100.0)
    assert [(scale.place(at), name) for at, name in scale.ticks()] == [(25.0, "adam"), (75.0, "sgd")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), max_size=6))
def test_whatever_is_covered_lies_on_the_axis_and_its_ticks_are_few(values):
    scale = covering(values, 0.0, 400.0)
    assert all(-1e-6 <= scale.place(value) <= 400 + 1e-6 for value in values)
    ticks = [scale.place(value) for value, _ in scale.ticks()]
    assert len(ticks) <= 12 and ticks == sorted(ticks) and all(math.isfinite(at) for at in ticks)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-12, 1e12), max_size=6))
def test_positive_numbers_are_covered_by_powers(values):
    scale = covering_powers(values, 0.0, 400.0)
    assert all(-1e-6 <= scale.place(value) <= 400 + 1e-6 for value in values)
    assert len(scale.ticks()) <= 12
