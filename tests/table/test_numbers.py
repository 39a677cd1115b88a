"""Scaling: robust, finite for every float64, and blind to the difference between a weight and a repeated row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trimtab.table.numbers import Scaling, quantiles

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


def test_the_median_goes_to_zero_and_the_interquartile_range_to_one():
    values = np.random.default_rng(0).normal(50, 7, 10_001)
    scaling = Scaling.fit(values)
    assert scaling.center == np.median(values)
    assert scaling.scale == pytest.approx(np.subtract(*np.quantile(values, [0.75, 0.25])), rel=1e-3)
    z = (values - scaling.center) / scaling.scale
    np.testing.assert_allclose(scaling.apply(values), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_half_the_range_is_the_scale_where_most_values_are_equal():
    scaling = Scaling.fit(np.array([0.0] * 90 + [1.0] * 10))
    np.testing.assert_allclose(scaling.apply(np.array([0.0, 1.0])), [0, 2 / np.sqrt(1 + 4 / 9)], rtol=1e-6)


def test_heavy_tails_are_told_apart_after_scaling():
    values = np.exp(np.random.default_rng(0).normal(0, 3, 5_000))
    scaling = Scaling.fit(values)
    assert scaling.is_log
    shown = scaling.apply(np.quantile(values, [0.5, 0.9, 0.99, 0.999]))
    assert (np.diff(shown) > 0.2).all()


def test_ordinary_numbers_are_not_moved_through_a_logarithm():
    generator = np.random.default_rng(0)
    for values in (generator.normal(size=2000), generator.uniform(size=2000), generator.exponential(size=2000)):
        assert not Scaling.fit(values).is_log


def test_the_rare_large_values_of_a_zero_inflated_column_are_told_apart():
    generator = np.random.default_rng(0)
    values = np.where(generator.random(5000) < 0.92, 0, np.exp(generator.normal(8, 1.5, 5000)))
    scaling = Scaling.fit(values)
    assert scaling.is_log
    shown = scaling.apply(np.array([0.0, np.e**7, np.e**8, np.e**9, np.e**11]))
    assert shown[0] == 0
    assert (np.diff(shown) > 0.1).all()


@given(arrays(np.float64, st.integers(0, 40), elements=ANY_FLOAT), arrays(np.float64, 20, elements=ANY_FLOAT))
def test_every_float64_becomes_a_finite_float32_below_three(training, later):
    scaling = Scaling.fit(training)
    shown = scaling.apply(np.concatenate([training, later, [1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan]]))
    assert shown.dtype == np.float32
    assert np.isfinite(shown).all()
    assert np.abs(shown).max() <= 3


@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)),
    st.data(),
)
def test_larger_numbers_are_never_shown_as_smaller(training, data):
    scaling = Scaling.fit(training)
    low, high = sorted(data.draw(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))))
    shown = scaling.apply(np.array([low, high]))
    assert shown[0] <= shown[1]


@given(arrays(np.float64, 12, elements=st.floats(-1e3, 1e3)), arrays(np.int64, 12, elements=st.integers(0, 4)))
def test_a_weight_is_a_repeated_row(values, weights):
    weighted = Scaling.fit(values, weights.astype(np.float64))
    repeated = Scaling.fit(np.repeat(values, weights))
    assert weighted.model_dump() == pytest.approx(repeated.model_dump())


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)), st.floats(0.01, 0.99))
def test_quantiles_are_those_of_numpy(values, share):
    ordered = np.sort(values)
    expected = np.quantile(ordered, share, method="averaged_inverted_cdf")
    assert quantiles(ordered, None, [share])[0] == pytest.approx(expected)


def test_missing_and_infinite_values_take_the_place_of_the_median():
    for values in (np.arange(50.0), np.exp(np.random.default_rng(0).normal(0, 4, 500))):
        scaling = Scaling.fit(np.append(values, [np.nan, np.inf]))
        assert scaling == Scaling.fit(values)
        assert (scaling.apply(np.array([np.nan, np.inf, -np.inf])) == 0).all()


def test_a_column_that_does_not_vary_says_nothing():
    assert (Scaling.fit(np.full(20, 7.5)).apply(np.array([7.5, 0, 1e300])) == 0).all()
    assert (Scaling.fit(np.full(20, np.nan)).apply(np.array([1.0])) == 0).all()
