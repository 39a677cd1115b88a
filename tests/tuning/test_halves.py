"""Halves: every row on one side, units whole, both sides alike, and another division each time."""

import numpy
import pytest

from trimtab.tuning.halves import divisions, halves


@pytest.mark.parametrize("rows", [2, 3, 10, 101])
def test_rows_are_halved_and_every_division_is_another(rows):
    found = halves(numpy.arange(rows), numpy.zeros(rows), times=20, seed=0)
    assert all(abs(2 * half.sum() - rows) <= 1 for half in found)
    assert len({half.tobytes() for half in found}) > (1 if rows < 10 else 15)


def test_units_stay_whole():
    units = numpy.random.default_rng(0).integers(0, 9, 60)
    for half in halves(units, numpy.arange(60), times=5, seed=0):
        assert len(set(zip(units, half, strict=True))) == len(set(units))
        assert 0 < half.sum() < 60


def test_both_halves_hold_every_class_and_alike_values():
    labels = numpy.array([0] * 40 + [1] * 4 + [2] * 2)
    values = numpy.random.default_rng(1).normal(size=46) ** 3
    for half in halves(numpy.arange(46), labels, times=5, seed=0):
        assert set(labels[half]) == set(labels[~half]) == {0, 1, 2}
    for half in halves(numpy.arange(46), values, times=5, seed=0):
        assert abs(numpy.median(values[half]) - numpy.median(values[~half])) < 0.3


def test_where_a_choice_is_dear_it_is_made_once():
    assert divisions(1000) > 1 == divisions(10**9)
