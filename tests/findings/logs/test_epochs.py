"""Rows of a log become an entry per evaluation."""

import numpy
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import OptionError
from trimtab.findings.logs.columns import Picks, columns_of
from trimtab.findings.logs.epochs import Trained, trained
from trimtab.findings.logs.log import Log


def log(**columns: list) -> Log:
    return Log("a log", polars.DataFrame(columns, schema=dict.fromkeys(columns, polars.Float64)))


def of(run: str | None = None, **columns: list) -> Trained:
    made = log(**columns)
    return trained(made, columns_of(made), run)


def test_train_and_validation_may_stand_on_different_rows() -> None:
    record = of(epoch=[0, 0, 1, 1], train_loss=[None, 3, None, 2], val_loss=[4, None, 3, None]).record
    assert record.epochs.tolist() == [0, 1]
    assert record.train_loss.tolist() == [3, 2]
    assert record.validation_loss.tolist() == [4, 3]


def test_losses_of_steps_are_averaged_over_the_epoch() -> None:
    record = of(epoch=[1, 1, 1, 2, 2], loss=[4, 2, None, 1, None], val_loss=[None, None, 5, None, 4]).record
    assert record.train_loss.tolist() == [3, 1]
    assert record.validation_loss.tolist() == [5, 4]


def test_epochs_in_fractions_end_at_their_evaluation() -> None:
    """As Hugging Face's Trainer tells them."""
    record = of(
        epoch=[0.5, 1.0, 1.0, 1.5, 2.0, 2.0], loss=[4, 2, None, 1, 1, None],
        eval_loss=[None, None, 5, None, None, 4],
    ).record  # fmt: skip
    assert record.epochs.tolist() == [1, 2]
    assert record.train_loss.tolist() == [3, 1]


def test_several_evaluations_an_epoch_are_counted_in_steps() -> None:
    found = of(
        epoch=[0, 0, 0, 0, 1, 1, 1, 1], step=[1, 2, 3, 4, 5, 6, 7, 8],
        loss=[1, None] * 4, val_loss=[None, 4, None, 3, None, 2, None, 1],
    )  # fmt: skip
    assert found.record.counts == "step"
    assert found.record.epochs.tolist() == [2, 4, 6, 8]
    assert "counted in steps" in found.notes[0]


def test_a_row_without_an_epoch_belongs_to_the_next_that_has_one() -> None:
    record = of(epoch=[None, 1, None, 2], lr=[0.1, None, 0.01, None], loss=[None, 3, None, 2]).record
    assert record.epochs.tolist() == [1, 2]
    assert record.rate.tolist() == [0.1, 0.01]


def test_rows_that_nothing_counts_are_counted() -> None:
    record = of(loss=[3, None, 2, None], val_loss=[None, 4, None, 3]).record
    assert record.epochs.tolist() == [1, 2]
    assert record.train_loss.tolist() == [3, 2]


def test_after_a_restart_the_later_part_counts() -> None:
    found = of(epoch=[1, 2, 3, 2, 3, 4], loss=[9, 8, 7, 6, 5, 4], val_loss=[9, 8, 7, 6, 5, 4])
    assert found.record.epochs.tolist() == [1, 2, 3, 4]
    assert found.record.validation_loss.tolist() == [9, 6, 5, 4]
    assert found.notes == ("Training was started again at epoch 2, after epoch 3: the later part counts from there.",)


def test_a_restart_shows_in_rows_of_their_own_too() -> None:
    found = of(
        epoch=[1, 1, 2, 2, 3, 2, 2, 3, 3], loss=[9, None, 8, None, 7, 6, None, 5, None],
        val_loss=[None, 9, None, 8, None, None, 6, None, 5],
    )  # fmt: skip
    assert found.record.train_loss.tolist() == [9, 6, 5]
    assert found.record.validation_loss.tolist() == [9, 6, 5]
    assert len(found.notes) == 1


def test_of_several_trainings_the_last_counts_or_the_one_that_is_named() -> None:
    columns = {"epoch": [1, 2, 3, 1, 2], "loss": [9, 8, 7, 6, 5]}
    last, first = of(**columns), of("1", **columns)
    assert last.record.train_loss.tolist() == [6, 5]
    assert "2 trainings" in last.notes[0]
    assert first.record.train_loss.tolist() == [9, 8, 7]
    with pytest.raises(OptionError, match="2 trainings"):
        of("3", **columns)


def test_an_epoch_that_is_told_twice_counts_once() -> None:
    found = of(epoch=[1, 2, 2, 3], val_loss=[4, 3, 2, 1])
    assert found.record.validation_loss.tolist() == [4, 2, 1]
    assert "more than once" in found.notes[0]


def test_a_loss_that_ends_as_no_number_was_lost() -> None:
    record = of(epoch=[1, 2, 3], loss=[2, 1, float("nan")], val_loss=[2, 1, None]).record
    assert record.train_loss.tolist() == [2, 1, numpy.inf]
    assert record.ended == "not finite"
    assert record.validation_loss is not None and numpy.isnan(record.validation_loss[2])


def test_nan_between_numbers_is_a_gap() -> None:
    """A frame of pandas has no other word for it."""
    record = of(
        epoch=[1, 1, 2, 2], loss=[3, float("nan"), 2, float("nan")], val_loss=[float("nan"), 4, float("nan"), 3]
    )
    assert record.record.validation_loss.tolist() == [4, 3]


def test_rows_in_no_order_are_sorted() -> None:
    found = of(epoch=[5, 1, 4, 2, 3, 6, 0, 9, 8, 7], loss=[5, 1, 4, 2, 3, 6, 0, 9, 8, 7])
    assert found.record.train_loss.tolist() == list(range(10))


def test_per_cent_become_shares() -> None:
    found = of(epoch=[1, 2], val_loss=[2, 1], val_accuracy=[50, 90])
    assert found.record.validation_metric.tolist() == [0.5, 0.9]
    assert "per cent" in found.notes[0]


def test_an_error_alone_is_what_training_makes_smaller() -> None:
    record = of(epoch=[1, 2], train_rmse=[2, 1], valid_rmse=[3, 2]).record
    assert record.validation_loss.tolist() == [3, 2]
    assert (record.metric, record.greater_is_better) == ("rmse", False)


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32), st.integers(-3, 6).map(float))


@given(rows=st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=12))
def test_any_rows_become_a_record(rows: list) -> None:
    columns = dict(zip(("epoch", "step", "loss", "val_loss"), map(list, zip(*rows, strict=True)), strict=False))
    record = of(**columns).record
    assert (numpy.diff(record.epochs) > 0).all()
    for curve in (record.train_loss, record.validation_loss):
        assert curve is None or len(curve) == len(record.epochs)


def test_picks_are_obeyed() -> None:
    made = log(t=[1, 2], a=[3, 2], b=[4, 3])
    found = columns_of(made, Picks(train="a", valid="B", epoch="t"))
    assert (found.train, found.valid, found.epoch) == ("a", "b", "t")
