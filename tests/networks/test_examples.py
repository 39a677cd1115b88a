"""Examples: what callers give as rows, and how messages count them."""

from collections import OrderedDict, UserDict

import hypothesis
import numpy
import pytest
import torch
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from trimtab.errors import DataError, NotFiniteError, ShapeError
from trimtab.networks.examples import check_finite, converted, from_batch, from_pair, split_rows

X, Y = numpy.arange(12.0).reshape(6, 2), numpy.arange(6.0)


def test_everything_stays_in_the_dtype_it_was_given_in():
    part = from_pair({"b": X, "a": X.astype(numpy.int16)}, (Y > 2, Y.astype(numpy.uint8), Y.astype(numpy.float16)))
    assert part.names == ("b", "a") and part.rows == 6
    assert [x.dtype for x in part.inputs] == [torch.float64, torch.int16]
    assert [y.dtype for y in part.targets] == [torch.bool, torch.uint8, torch.float16]


def test_another_dtype_is_refused_where_numbers_would_become_others():
    part = from_pair(X, (Y, Y.astype(numpy.int64)))
    single = converted(part, input_dtypes=(torch.float32,), target_dtypes=(torch.float32, torch.int8))
    assert single.inputs[0].dtype == torch.float32 and torch.equal(single.targets[1].long(), part.targets[1])
    large = from_pair(numpy.where(X == 3, 1e300, X), (Y + 0.5, Y.astype(numpy.int64) * 100), name="valid")
    with pytest.raises(NotFiniteError, match=r"X of valid= holds a number too large for float32, first at \[1, 1\]"):
        converted(large, input_dtypes=(torch.float32,))
    with pytest.raises(NotFiniteError, match=r"y\[0\] of valid= holds fractions .* int64, cannot hold, first at \[0\]"):
        converted(large, target_dtypes=(torch.int64, torch.int64))
    with pytest.raises(NotFiniteError, match=r"y\[1\] of valid= holds a number .* int8, cannot hold, first at \[2\]"):
        converted(large, target_dtypes=(torch.float64, torch.int8))


def test_what_the_caller_changes_later_changes_nothing():
    x, y = X.copy(), Y.copy()
    part = from_pair(x, y)
    x[:], y[:] = -1, -1
    assert torch.equal(part.inputs[0], torch.from_numpy(X).float()) and float(part.targets[0].sum()) == Y.sum()


def test_numbers_without_sign_beyond_those_with_one_stay_what_they_are():
    large = numpy.array([2**63, 1], dtype=numpy.uint64)
    for given in (large, torch.from_numpy(large)):
        assert from_pair(given[:, None], Y[:2]).inputs[0][:, 0].tolist() == [2.0**63, 1.0]


def test_masked_numbers_are_missing_and_unmasked_ones_are_numbers():
    masked = numpy.ma.masked_array(X, mask=X == 5)
    with pytest.raises(NotFiniteError, match=r"first at \[2, 1\]"):
        check_finite(from_pair(masked, Y))
    check_finite(from_pair(numpy.ma.masked_array(X), Y))


def test_rows_are_counted_as_the_caller_counts_them():
    part = from_pair(X, numpy.where(Y == 4, numpy.inf, Y), name="valid").taken(torch.tensor([1, 4, 5]))
    assert [part.place_of(i) for i in range(3)] == [1, 4, 5]
    assert part.taken(torch.tensor([2])).place_of(0) == 5
    with pytest.raises(NotFiniteError, match=r"y of valid= holds an infinity.*first at \[4\]"):
        check_finite(part)
    with pytest.raises(NotFiniteError, match=r'X\["b"\] of train= holds an infinity'):
        check_finite(from_pair({"a": X, "b": numpy.where(X == 3, numpy.inf, X)}, Y))


@hypothesis.given(rows=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 10))
def test_a_share_takes_every_row_once_and_leaves_some_on_both_sides(rows, share, seed):
    hypothesis.assume(round(share * rows) < rows)
    kept, held = (part.tolist() for part in split_rows(rows, share, seed))
    assert kept and held and sorted(kept + held) == list(range(rows))
    assert len(held) == max(1, round(share * rows))
    assert kept == sorted(kept) and held == sorted(held)
    assert split_rows(rows, share, seed)[0].tolist() == kept


def test_parts_of_another_kind_do_not_follow():
    whole = from_pair((X, X.astype(int)), Y)
    assert whole.followed_by(from_pair((X[:2], X[:2].astype(float)), Y[:2], name="valid")).rows == 8
    cases = [
        (from_pair((X, X + 0.5), Y, name="valid"), DataError, "hold fractions"),
        (from_pair(X, Y, name="valid"), ShapeError, r"valid= have rows of shape \[2\]"),
        (from_pair({"a": X, "b": X}, Y, name="valid"), DataError, "named or arranged differently"),
        (from_pair((X, X), (Y, Y), name="valid"), DataError, "named or arranged differently"),
        (from_pair((X, X), X, name="valid"), ShapeError, "targets of valid="),
    ]
    for other, kind, words in cases:
        with pytest.raises(kind, match=words):
            whole.followed_by(other)


def test_names_are_put_in_order():
    train, valid = from_pair({"a": X, "b": Y}, Y), from_pair({"b": Y, "a": X}, Y, name="valid")
    joined = train.followed_by(valid)
    assert joined.names == ("a", "b") and [x.shape for x in joined.inputs] == [(12, 2), (12,)]


def test_targets_keep_the_order_and_the_kind_they_are_given_in():
    for given in ({"z": Y, "a": X}, OrderedDict(z=Y, a=X), {10: Y, 2: X}, {"z": {"y": Y, "b": X}, "a": Y}):
        part = from_pair(X, given)
        back = pytree.tree_unflatten(list(part.targets), part.tree)
        assert type(back) is type(given) and list(back) == list(given)
        numpy.testing.assert_array_equal(pytree.tree_leaves(back)[0], Y)
    assert list(pytree.tree_unflatten([0, 1], from_pair(X, UserDict(z=Y, a=X)).tree)) == ["z", "a"]


def test_targets_that_are_named_in_another_order_are_put_in_that_of_the_first():
    train = from_pair(X, {"z": Y, "a": {"c": Y + 1, "b": Y + 2}})
    valid = from_pair(X, OrderedDict(a={"b": Y + 2, "c": Y + 1}, z=Y), name="valid").like(train)
    assert valid.tree == train.tree
    for own, other in zip(valid.targets, train.targets, strict=True):
        numpy.testing.assert_array_equal(own, other)
    for odd in ({"z": Y, "b": Y}, {"z": Y, "a": Y}, (Y, Y, Y), {"z": Y, "a": {"c": Y, "b": (Y,)}}):
        with pytest.raises(DataError, match="targets of valid= and train= are named or arranged differently"):
            from_pair(X, odd, name="valid").like(train)


def test_batches_are_inputs_targets_and_weights_as_pairs_are():
    batch = from_batch([torch.ones(3, 2), torch.ones(3), torch.tensor([0.0, 1.0, 2.0])])
    assert len(batch.inputs) == 1 and batch.targets[0].shape == (3,) and batch.weights.tolist() == [0, 1, 2]
    both = from_batch([[torch.ones(3, 2), torch.ones(3)], torch.zeros(3)])
    assert len(both.inputs) == 2 and both.weights.tolist() == [1, 1, 1]
    assert len(from_batch([torch.ones(3), [torch.ones(3), torch.zeros(3)]]).targets) == 2
    for given in (torch.ones(3), {"x": 1}, [torch.ones(3)], [torch.ones(3)] * 4):
        with pytest.raises(DataError, match="must be"):
            from_batch(given)
