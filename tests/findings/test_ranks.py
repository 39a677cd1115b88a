"""Tests by ranks give what scipy's give."""

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from trimtab.findings.ranks import average_ranks, kendall_p, sign_p, theil_sen

some = st.one_of(st.integers(0, 4).map(float), st.floats(-10, 10).map(lambda x: round(x, 3)))


@given(y=st.lists(some, min_size=3, max_size=40))
def test_kendalls_tau_with_time(y: list[float]) -> None:
    assume(len(set(y)) > 1)
    for rising in (True, False):
        expected = stats.kendalltau(range(len(y)), y, alternative="greater" if rising else "less").pvalue
        assert kendall_p(numpy.array(y), rising=rising) == pytest.approx(expected, abs=1e-9)


@given(count=st.integers(1, 60), above=st.integers(0, 60))
def test_the_sign_test(count: int, above: int) -> None:
    assume(above <= count)
    expected = stats.binomtest(above, count, alternative="greater").pvalue
    assert sign_p(above, count) == pytest.approx(expected, rel=1e-9)


@given(points=st.lists(st.tuples(some, some), min_size=2, max_size=20))
def test_the_slope_of_theil_and_sen(points: list[tuple[float, float]]) -> None:
    x, y = numpy.array(points).T
    assume(len(set(x)) > 1)
    with numpy.errstate(invalid="ignore"):  # of the interval, for two points
        expected = stats.theilslopes(y, x)[0]
    assert theil_sen(x, y) == pytest.approx(expected)


def test_large_samples() -> None:
    rising = numpy.arange(400.0)
    expected = stats.kendalltau(rising, rising, alternative="greater").pvalue
    assert kendall_p(rising, rising=True) == pytest.approx(expected)
    expected = stats.binomtest(5100, 10_000, alternative="greater").pvalue
    assert sign_p(5100, 10_000) == pytest.approx(expected, rel=1e-6)


@given(numbers=st.lists(some, min_size=1, max_size=40))
def test_ranks_where_equal_ones_share_theirs(numbers: list[float]) -> None:
    assert average_ranks(numpy.array(numbers)).tolist() == stats.rankdata(numbers).tolist()
