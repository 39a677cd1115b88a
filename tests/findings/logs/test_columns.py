"""Which column of a log is which curve."""

import polars
import pytest

from trimtab.errors import OptionError
from trimtab.findings.logs.columns import Columns, Picks, columns_of
from trimtab.findings.logs.log import Log


def found(*names: str, **picks: object) -> Columns:
    frame = polars.DataFrame({name: [1.0, 2.0, 3.0] for name in names})
    return columns_of(Log("a log", frame), Picks(**picks))  # type: ignore[arg-type]


def test_keras_names() -> None:
    columns = found("epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate")
    assert (columns.train, columns.valid, columns.metric) == ("loss", "val_loss", "val_accuracy")
    assert (columns.train_metric, columns.rate, columns.greater_is_better) == ("accuracy", "learning_rate", True)


def test_a_metric_without_a_part_is_that_of_validation_where_losses_have_one() -> None:
    """As fastai writes them."""
    columns = found("epoch", "train_loss", "valid_loss", "accuracy")
    assert (columns.train_metric, columns.validation_metric) == (None, "accuracy")
    assert "accuracy" in columns.notes[0]


def test_the_test_part_stands_in_for_validation_and_that_is_said() -> None:
    columns = found("epoch", "loss", "test_loss")
    assert columns.valid == "test_loss"
    assert "test_loss" in columns.notes[0]
    assert found("loss", "test_loss", "val_loss").valid == "val_loss"


def test_test_rows_judge_nothing_where_there_are_validation_rows() -> None:
    assert found("train_loss", "val_loss", "test_acc").metric is None
    assert found("train_loss", "test_loss", "test_acc").metric == "test_acc"


def test_the_plainest_loss_is_taken_and_its_like_beside_it() -> None:
    columns = found("epoch", "train/box_loss", "train/loss", "val/box_loss", "val/loss")
    assert (columns.train, columns.valid) == ("train/loss", "val/loss")
    assert set(columns.unused) == {"train/box_loss", "val/box_loss"}
    columns = found("train/obj_loss", "train/box_loss", "val/box_loss")
    assert (columns.train, columns.valid) == ("train/box_loss", "val/box_loss")


def test_means_over_epochs_come_before_single_steps() -> None:
    assert found("train_loss_step", "train_loss_epoch", "val_loss").train == "train_loss_epoch"


def test_half_a_judgement_comes_after_a_whole_one() -> None:
    columns = found("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "val/box_loss", "train/box_loss")
    assert columns.metric == "metrics/mAP50(B)"
    assert found("val_recall").metric == "val_recall"


def test_times_and_bests_are_no_curves() -> None:
    columns = found("epoch", "train_runtime", "best_val_loss", "eval_samples_per_second")
    assert (columns.train, columns.valid, columns.metric) == (None, None, None)


def test_a_metric_may_be_named_by_its_column_or_by_what_it_is() -> None:
    names = ("epoch", "loss", "val_loss", "acc", "val_acc", "auc", "val_auc")
    for metric in ("auc", "val_auc"):
        columns = found(*names, metric=metric)
        assert (columns.train_metric, columns.validation_metric) == ("auc", "val_auc")


def test_of_a_metric_that_nobody_knows_the_direction_must_be_told() -> None:
    columns = found("loss", "val_loss", "val_wibble")
    assert (columns.metric, columns.unknown) == (None, ("val_wibble",))
    with pytest.raises(OptionError, match="greater"):
        found("loss", "val_loss", "val_wibble", metric="val_wibble")
    told = found("loss", "val_loss", "val_wibble", metric="val_wibble", greater_is_better=True)
    assert (told.validation_metric, told.greater_is_better) == ("val_wibble", True)


def test_columns_that_are_pointed_at_may_be_a_metric() -> None:
    columns = found("epoch", "train_acc", "val_acc", train="train_acc", valid="val_acc")
    assert (columns.train_loss, columns.train_metric, columns.validation_metric) == (None, "train_acc", "val_acc")
    assert (columns.train, columns.valid, columns.metric) == ("train_acc", "val_acc", "val_acc")


def test_a_direction_alone_is_that_of_the_metric() -> None:
    columns = found("loss", "val_loss", "val_score", greater_is_better=False)
    assert (columns.valid, columns.metric, columns.greater_is_better) == ("val_loss", "val_score", False)
    columns = found("loss", "val_loss", greater_is_better=True)
    assert (columns.valid, columns.metric, columns.greater_is_better) == ("val_loss", None, None)
    assert found("a", "b", greater_is_better=True).valid is None


def test_of_sets_that_are_counted_the_first_is_the_training_rows() -> None:
    columns = found("validation_0-rmse", "validation_1-rmse")
    assert (columns.train, columns.valid) == ("validation_0-rmse", "validation_1-rmse")
    assert found("validation_0-rmse").valid == "validation_0-rmse"


def test_a_pick_that_is_no_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match='Did you mean "train_loss"'):
        found("epoch", "train_loss", train="trian_loss")


def test_what_is_told_once_is_no_curve() -> None:
    frame = polars.DataFrame({"loss": [3.0, 2, 1, None], "train_loss": [None, None, None, 2.0]})
    assert columns_of(Log("a log", frame)).train == "loss"
