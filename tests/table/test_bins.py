"""Bins: edges that share the rows out equally, and leave to a value that fills a bin its own."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trimtab.table.bins import MOST_BINS, ROWS_LOOKED_AT, edges_of, looked_at

NORMAL = np.random.default_rng(0).normal(size=6_000)


def rows_in_bins(values, edges):
    return np.histogram(values.astype(np.float32), np.array(edges, dtype=np.float32))[0]


def test_each_bin_holds_about_as_many_rows():
    edges = edges_of(NORMAL)
    counts = rows_in_bins(NORMAL, edges)
    assert len(edges) == MOST_BINS + 1
    assert counts.min() > 0.9 * len(NORMAL) / MOST_BINS and counts.max() < 1.1 * len(NORMAL) / MOST_BINS


def test_few_values_are_all_edges():
    assert edges_of(np.array([3.0, 1.0, 1.0, 2.0])) == (1.0, 2.0, 3.0)


def test_a_value_that_fills_a_bin_leaves_the_others_to_the_other_values():
    values = np.where(np.arange(6_000) % 10 > 0, 0.0, 5.0 + NORMAL)  # nine in ten are 0
    edges = edges_of(values)
    assert edges[0] == 0.0 and len(edges) >= MOST_BINS - 1
    others = rows_in_bins(values[values != 0], edges[2:])
    assert others.max() < 3 * len(values) / 10 / MOST_BINS


def test_of_many_rows_some_tell():
    many = np.repeat(NORMAL, 10)
    rows = looked_at(np.arange(len(many)))
    assert ROWS_LOOKED_AT / 2 < len(rows) <= ROWS_LOOKED_AT
    assert np.allclose(edges_of(many[rows]), edges_of(NORMAL), atol=0.2)
    assert len(looked_at(np.arange(7))) == 7 and len(looked_at(np.arange(0))) == 0


def test_weights_count_like_repeated_rows():
    weights = np.random.default_rng(1).integers(0, 4, len(NORMAL))
    assert edges_of(NORMAL, weights) == pytest.approx(edges_of(np.repeat(NORMAL, weights)), abs=0.1)
    assert max(edges_of(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 0.0]))) == 2.0


@pytest.mark.parametrize(("values", "edges"), [([], (-1.0, 1.0)), ([2.0, 2.0], (1.0, 3.0))])
def test_a_column_that_tells_nothing_has_one_bin_all_the_same(values, edges):
    assert edges_of(np.array(values, dtype=float)) == edges


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-3, 3, width=32) | st.sampled_from([0.0, 1.0])))
def test_any_values_have_rising_edges_from_the_lowest_to_the_highest(values):
    edges = edges_of(values)
    assert 2 <= len(edges) <= 2 * MOST_BINS + 1
    assert all(low < high for low, high in pairwise(edges))
    if len(np.unique(values)) > 1:
        assert (edges[0], edges[-1]) == (values.min(), values.max())
