"""TargetEncoder: standardised or numbered, and back to what the user knows."""

import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError, ModelError
from trimtab.table.target import TargetEncoder, array_of


def test_numbers_are_standardised():
    frame = pl.DataFrame({"y": np.random.default_rng(0).normal(1000, 50, 500)})
    encoded = TargetEncoder.fit(frame, ("y",), "regression").encode(frame)
    assert (encoded.shape, encoded.dtype) == ((500, 1), np.float32)
    assert encoded.mean() == pytest.approx(0, abs=1e-5)
    assert encoded.std() == pytest.approx(1, abs=1e-5)


def test_several_targets_keep_their_order():
    frame = pl.DataFrame({"b": [1.0, 2, 3], "a": [10.0, 30, 20]})
    target = TargetEncoder.fit(frame, ("a", "b"), "regression")
    assert (target.outputs, target.mean) == (2, (20.0, 2.0))
    values = target.encode(frame) * np.array(target.scale) + np.array(target.mean)
    np.testing.assert_allclose(target.decode(values), [[10, 1], [30, 2], [20, 3]], rtol=1e-6)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_every_finite_target_is_standardised_or_refused(values):
    frame = pl.DataFrame({"y": values})
    try:
        encoded = TargetEncoder.fit(frame, ("y",), "regression").encode(frame)
    except DataError:
        assert np.ptp(np.array(values) / 4) < 1e-290 or len(set(values)) == 1
        return
    assert np.isfinite(encoded).all()
    assert np.abs(encoded).max() < 10


def test_a_weight_is_a_repeated_row():
    frame = pl.DataFrame({"y": [1.0, 5, 6, 9]})
    weighted = TargetEncoder.fit(frame, ("y",), "regression", weights=np.array([2, 0, 1, 3]))
    repeated = TargetEncoder.fit(frame[[0, 0, 2, 3, 3, 3]], ("y",), "regression")
    assert weighted.mean == pytest.approx(repeated.mean)
    assert weighted.scale == pytest.approx(repeated.scale)


def test_bounds_are_the_range_of_rows_that_count_and_a_tenth_of_it_beyond():
    frame = pl.DataFrame({"a": [0.0, 10.0, 5.0, 1e9], "b": [-1.7e308, 1.7e308, 0.0, 0.0]})
    weights = np.array([1.0, 2.0, 1.0, 0.0])
    bounded = TargetEncoder.fit(frame, ("a", "b"), "regression", weights=weights, is_bounded=True)
    assert (bounded.low[0], bounded.high[0]) == (-1, 11)
    assert np.isfinite([*bounded.low, *bounded.high]).all() and bounded.high[1] > 1.7e308
    assert TargetEncoder.from_json(bounded.to_json()) == bounded
    free = TargetEncoder.fit(frame, ("a",), "regression")
    assert free.low == free.high == ()
    before = {name: value for name, value in free.to_json().items() if name not in ("low", "high")}
    assert TargetEncoder.from_json(before) == free


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([10, 9, 100, 9], [9, 10, 100]),
        (["b", "a", "c", "a"], ["a", "b", "c"]),
        ([True, False, True, True], [False, True]),
        (["'1'", "'-1'", "'1'", "'1'"], ["'-1'", "'1'"]),
        ([2.0, 1.0, 2.0, 1.0], [1.0, 2.0]),
        (["none", "minor", "none", "major"], ["major", "minor", "none"]),
    ],
)
def test_classes_are_sorted_and_keep_their_type(values, classes):
    frame = pl.DataFrame({"y": values})
    target = TargetEncoder.fit(frame, ("y",), "classification")
    assert list(target.classes) == classes
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    numbers = target.encode(frame)
    assert numbers.dtype == np.int64
    assert target.decode(np.eye(len(classes))[numbers]).tolist() == values


def test_classes_are_matched_whatever_type_they_come_in():
    target = TargetEncoder.fit(pl.DataFrame({"y": [1, 2, 3]}), ("y",), "classification")
    for other in ([3.0, 1.0], ["3", "1"], ["3.0", " 1 "]):
        assert target.encode(pl.DataFrame({"y": other})).tolist() == [2, 0]


def test_rows_without_a_usable_target_are_refused():
    target = TargetEncoder.fit(pl.DataFrame({"y": ["a", "b"]}), ("y",), "classification")
    assert target.usable(pl.DataFrame({"y": ["a", "c", None]})).tolist() == [True, False, False]
    with pytest.raises(DataError, match="2 rows have no usable target"):
        target.encode(pl.DataFrame({"y": ["a", "c", None]}))
    with pytest.raises(DataError, match="lacks the target"):
        target.encode(pl.DataFrame({"x": [1]}))


@pytest.mark.parametrize(
    ("values", "task"),
    [([1.5, 2.5, 9.0], "regression"), (["a", "b", "b"], "classification"), ([True, False, True], "classification")],
)
def test_what_is_saved_is_the_same(values, task):
    target = TargetEncoder.fit(pl.DataFrame({"y": values}), ("y",), task)
    again = TargetEncoder.from_json(json.loads(json.dumps(target.to_json())))
    assert again == target
    assert [type(label) for label in again.classes] == [type(label) for label in target.classes]
    with pytest.raises(ModelError, match="damaged at task"):
        TargetEncoder.from_json(target.to_json() | {"task": "ranking"})


@pytest.mark.parametrize(
    ("column", "classes", "dtype"),
    [
        (pl.Series([0.1, 0.2], dtype=pl.Float32), (0.1, 0.2), np.float32),
        (pl.Series([0.1, 0.2]).cast(pl.Float16), (0.1, 0.2), np.float16),
        (pl.Series([1, 2**63, 2**63 + 1], dtype=pl.UInt64), (1, 2**63, 2**63 + 1), np.uint64),
        (pl.Series([2**53, 2**53 + 1]), (2**53, 2**53 + 1), np.int64),
        (pl.Series([Decimal("12345678901234567.01"), Decimal("12345678901234567.02")]),
         ("12345678901234567.01", "12345678901234567.02"), np.str_),
    ],
)  # fmt: skip
def test_classes_are_shown_shortly_and_predicted_in_the_type_of_the_column(column, classes, dtype):
    target = TargetEncoder.fit(column.to_frame("y"), ("y",), "classification")
    assert target.classes == classes
    target = TargetEncoder.from_json(json.loads(json.dumps(target.to_json())))
    decoded = target.decode(np.eye(len(classes)))
    assert np.issubdtype(decoded.dtype, dtype)
    if column.dtype.is_numeric() and not column.dtype.is_decimal():
        assert (decoded == column.to_numpy()).all()
    served = [column, pl.Series(target.labels), column.cast(pl.Float64)] if column.dtype.is_float() else [column]
    for cells in served:
        assert target.encode(cells.to_frame("y")).tolist() == list(range(len(classes)))


MIXED = [(1, "a"), (1, 2.5), (2**53 + 1, 0.5)]


@pytest.mark.parametrize(
    "classes", [(-1, 2**63, 2**63 + 1), (1, 2**63), (2**70, 3), (True, False), ("a", "b"), *MIXED], ids=str
)
def test_no_class_is_changed_by_the_others(classes):
    array = array_of(classes)
    assert array.tolist() == list(classes)
    assert array.dtype.kind != "f" or all(float(label) == label for label in classes)
