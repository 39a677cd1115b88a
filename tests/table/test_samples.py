"""prepare_samples: what a caller chose is kept, and rows that are equal count as one."""

import numpy as np
import polars as pl
import pytest

from trimtab.errors import DataError
from trimtab.table.samples import prepare_samples, sample_weights

ROWS = 60


def features(rows=ROWS, **columns):
    return pl.DataFrame({"a": np.random.default_rng(0).normal(size=rows), **columns})


def ready(frame, y, *, weights=None, names=("target",), task="regression", cv=None, seed=0):
    weights = np.ones(frame.height) if weights is None else weights
    return prepare_samples(frame, y, weights, names=list(names), task=task, cv=cv, seed=seed)


def numbers(rows=ROWS):
    return np.random.default_rng(1).normal(size=rows)


def test_all_rows_train_and_are_judged_once():
    prepared = ready(features(), numbers())
    assert prepared.test is None and prepared.numbers.shape == (ROWS, 1) and len(prepared.folds) == 10
    assert sorted(np.concatenate([valid for _, valid in prepared.folds]).tolist()) == list(range(ROWS))


def test_numbers_stay_features_whatever_they_look_like():
    frame = features(id=list(range(ROWS)), one=[7.0] * ROWS, text=[str(i) for i in range(ROWS)], none=[None] * ROWS)
    prepared = ready(frame, numbers())
    assert prepared.encoder.names == ("a", "id", "one", "text")
    assert np.array_equal(prepared.numbers[:, 2], np.zeros(ROWS))


def test_copies_of_a_row_are_one_row_on_one_side():
    frame, y = features(20), numbers(20)
    prepared = ready(pl.concat([frame] * 3), np.tile(y, 3))
    assert prepared.numbers.shape == (20, 1) and prepared.weights.tolist() == [3.0] * 20
    for train, valid in prepared.folds:
        assert not set(train.tolist()) & set(valid.tolist())


def test_names_of_targets_and_weights_make_room_for_features():
    prepared = ready(features(target=numbers(), weight=numbers()), numbers(), names=["target"])
    assert prepared.target_encoder.names == ("target_",)
    assert prepared.encoder.names == ("a", "target", "weight")


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_the_number_of_folds_may_be_chosen(folds):
    assert len(ready(features(), numbers(), cv=folds).folds) == folds
    assert len(ready(features(6_000), numbers(6_000), cv=folds).folds) == folds


def test_folds_that_are_given_stand_and_rows_in_none_of_them_are_left_out():
    frame, y = features(), numbers()
    pairs = [(np.arange(20), np.arange(20, 30)), (np.arange(10, 30), np.arange(40, 45))]
    prepared = ready(frame, y, cv=pairs)
    assert prepared.numbers.shape == (35, 1)
    place = {value: i for i, value in enumerate(prepared.development["target"].to_list())}
    for (train, valid), (expected_train, expected_valid) in zip(prepared.folds, pairs, strict=True):
        assert {place[value] for value in y[expected_train]} == set(train.tolist())
        assert {place[value] for value in y[expected_valid]} == set(valid.tolist())


def test_a_fold_left_without_rows_is_said():
    weights = np.ones(ROWS)
    weights[20:30] = 0
    with pytest.raises(DataError, match=r"Fold 0 .* no usable row to validate on"):
        ready(features(), numbers(), weights=weights, cv=[(np.arange(20), np.arange(20, 30))])


@pytest.mark.parametrize(
    ("y", "task"),
    [([1.0, 2.0], "regression"), ([3.0, 3.0], "regression"), ([0, 1], "classification"), ([0, 1, 2], "classification")],
)
def test_two_rows_are_enough_whatever_they_hold(y, task):
    prepared = ready(features(len(y)), np.array(y), task=task)
    for train, valid in prepared.folds:
        assert len(train) and len(valid)


def test_one_row_left_of_copies_is_judged_by_itself():
    prepared = ready(pl.DataFrame({"a": [1.0, 1.0]}), np.array([2.0, 2.0]))
    assert [(t.tolist(), v.tolist()) for t, v in prepared.folds] == [([0], [0])]
    assert prepared.target_encoder.mean == (2.0,) and prepared.target_encoder.scale == (1.0,)


@pytest.mark.parametrize(
    ("weights", "match"),
    [([1.0] * 3, "shape"), ([[1.0]] * 4, "shape"), ([1, 1, 1, -1], "negative"), ([1, 1, 1, np.nan], "missing"),
     ([0] * 4, "zero")],
)  # fmt: skip
def test_what_are_no_weights_is_refused(weights, match):
    with pytest.raises(DataError, match=match):
        sample_weights(weights, 4)


def test_one_weight_stands_for_all_rows():
    assert sample_weights(2, 3).tolist() == [2.0, 2.0, 2.0] and sample_weights(None, 2).tolist() == [1.0, 1.0]
