"""distinct_rows: weighing a row is repeating it, in whatever order rows come."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.table.distinct_rows import distinct_rows

NAN = float("nan")
CELLS = st.tuples(st.sampled_from([0.0, 1.0, -2.5, NAN, None]), st.sampled_from(["x", "y", None]))


def frame_of(cells) -> pl.DataFrame:
    numbers, labels = zip(*cells, strict=True)
    return pl.DataFrame({"n": pl.Series(numbers, dtype=pl.Float64), "l": pl.Series(labels, dtype=pl.Categorical)})


def same(one, other):
    ours, theirs = (side.frame.with_columns(pl.col("l").cast(pl.String)) for side in (one, other))
    assert ours.equals(theirs)
    assert np.array_equal(one.weights, other.weights)
    assert all(
        np.array_equal(a, b) for f, g in zip(one.folds, other.folds, strict=True) for a, b in zip(f, g, strict=True)
    )


@given(cells=st.lists(CELLS, min_size=1, max_size=12), data=st.data())
@settings(max_examples=60)
def test_a_row_of_weight_n_is_the_row_n_times_in_any_order_within_its_part(cells, data):
    rows = len(cells)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    fold = np.array(data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))
    order = np.array(data.draw(st.permutations(range(times.sum()))), dtype=np.int64)

    def folds_of(numbers):
        return [(np.flatnonzero(numbers != i), np.flatnonzero(numbers == i)) for i in range(3)]

    weighted = distinct_rows(frame_of(cells), times.astype(float), folds_of(fold))
    repeated = np.repeat(np.arange(rows), times)[order]
    same(distinct_rows(frame_of(cells)[repeated], np.ones(len(repeated)), folds_of(fold[repeated])), weighted)
    assert weighted.weights.sum() == times.sum()
    for train, valid in weighted.folds:
        assert not set(train.tolist()) & set(valid.tolist())
        assert len(train) + len(valid) == weighted.frame.height


def test_equal_rows_become_one_and_unequal_ones_stay():
    cells = [(1.0, "x"), (NAN, "x"), (1.0, "x"), (None, "x"), (NAN, "x"), (0.0, None), (-0.0, None)]
    whole = distinct_rows(frame_of(cells), np.array([1, 2, 3, 4, 5, 0.5, 0.25]))
    found = {str(row): weight for row, weight in zip(whole.frame.rows(), whole.weights, strict=True)}
    assert sorted(found.values()) == [0.75, 4, 4, 7]
    assert found["(1.0, 'x')"] == 4 and found["(None, 'x')"] == 4 and found["(nan, 'x')"] == 7


def test_fractions_are_added_in_one_order():
    weights = np.array([0.1, 0.2, 0.3, 1e-9, 0.7])
    frame = frame_of([(1.0, "x")] * 5)
    sums = {float(distinct_rows(frame, weights[np.roll(np.arange(5), k)]).weights[0]) for k in range(5)}
    assert len(sums) == 1


def test_labels_are_sorted_as_text_whatever_their_first_appearance():
    one, other = (pl.DataFrame({"l": pl.Series(labels, dtype=pl.Categorical)}) for labels in (["b", "a"], ["a", "b"]))
    assert (
        distinct_rows(one, np.ones(2)).frame["l"].to_list()
        == distinct_rows(other, np.ones(2)).frame["l"].to_list()
        == ["a", "b"]
    )


def test_rows_of_no_fold_and_cells_that_cannot_be_compared_are_no_obstacle():
    frame = pl.DataFrame({"n": [3.0, 1.0, 2.0, 1.0], "list": [[1], [2], [3], [2]]})
    whole = distinct_rows(frame, np.ones(4), [(np.array([0, 1]), np.array([3]))])
    assert whole.frame["n"].to_list() == [1.0, 1.0, 3.0]
    train, valid = whole.folds[0]
    assert whole.frame["n"][train].to_list() == [1.0, 3.0] and whole.frame["n"][valid].to_list() == [1.0]
    nothing = distinct_rows(frame, np.zeros(4), [(np.array([0, 1]), np.array([3]))])
    assert nothing.frame.height == 0 and nothing.frame.schema == frame.schema and len(nothing.folds[0][0]) == 0
