"""Tests by ranks give what scipy's give."""

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from trimtab.findings.ranks import kendall_p, mann_whitney_p, theil_sen

some = st.one_of(st.integers(0, 4).map(float), st.floats(-10, 10).map(lambda x: round(x, 3)))


@given(y=st.lists(some, min_size=3, max_size=40))
def test_kendalls_tau_with_time(y: list[float]) -> None:
    assume(len(set(y)) > 1)
    for rising in (True, False):
        expected = stats.kendalltau(range(len(y)), y, alternative="greater" if rising else "less").pvalue
        assert kendall_p(numpy.array(y), rising=rising) == pytest.approx(expected, abs=1e-9)


@given(low=st.lists(some, min_size=1, max_size=12), high=st.lists(some, min_size=1, max_size=30))
def test_mann_and_whitneys_u(low: list[float], high: list[float]) -> None:
    assume(len({*low, *high}) > 1)
    expected = stats.mannwhitneyu(low, high, alternative="less").pvalue
    assert mann_whitney_p(numpy.array(low), numpy.array(high)) == pytest.approx(expected, abs=1e-9)


@given(points=st.lists(st.tuples(some, some), min_size=2, max_size=20))
def test_the_slope_of_theil_and_sen(points: list[tuple[float, float]]) -> None:
    x, y = numpy.array(points).T
    assume(len(set(x)) > 1)
    assert theil_sen(x, y) == pytest.approx(stats.theilslopes(y, x)[0])


def test_large_samples() -> None:
    rng = numpy.random.default_rng(0)
    low, high = rng.normal(size=5), rng.normal(0.5, size=9000)
    expected = stats.mannwhitneyu(low, high, alternative="less").pvalue
    assert mann_whitney_p(low, high) == pytest.approx(expected, rel=1e-6)
    rising = numpy.arange(400.0)
    assert kendall_p(rising, rising=True) == pytest.approx(
        stats.kendalltau(rising, rising, alternative="greater").pvalue
    )
    assert mann_whitney_p(numpy.zeros(3), numpy.zeros(3)) == 1
