"""Names of curves: whose rows, what it is, and which way is better."""

import pytest

from trimtab.recording.names import direction_of, is_share, named


@pytest.mark.parametrize(
    ("name", "part", "kind", "what"),
    [
        ("loss", None, "loss", "loss"),
        ("val_loss", "validation", "loss", "loss"),
        ("valid/Loss", "validation", "loss", "loss"),
        ("eval_loss", "validation", "loss", "loss"),
        ("train_loss_epoch", "train", "loss", "loss"),
        ("trainLoss", "train", "loss", "loss"),
        ("Average loss", None, "loss", "loss"),
        ("val/box_loss", "validation", "loss", "box loss"),
        ("cross_entropy", None, "loss", "cross entropy"),
        ("train", "train", "loss", "loss"),
        ("training's l2", "train", "metric", "l2"),
        ("valid_1's l2", "validation", "metric", "l2"),
        ("validation_0-rmse", "validation", "metric", "rmse"),
        ("val_acc", "validation", "metric", "acc"),
        ("Test Accuracy", "test", "metric", "accuracy"),
        ("val_f1_macro", "validation", "metric", "f1 macro"),
        ("neg_log_loss", None, "metric", "neg loss"),
        ("lr", None, "learning_rate", "lr"),
        ("lr-Adam", None, "learning_rate", "lr adam"),
        ("learning_rate", None, "learning_rate", "learning rate"),
        ("x/lr0", None, "learning_rate", "x lr0"),
        ("Epoch", None, "epoch", "epoch"),
        ("trainer/global_step", None, "step", "trainer global step"),
        ("grad_norm", None, "gradient_norm", "grad norm"),
        ("eval_runtime", "validation", "other", "runtime"),
        ("eval_samples_per_second", "validation", "other", "samples per second"),
        ("best_val_loss", "validation", "other", "best loss"),
        ("val_wibble", "validation", "other", "wibble"),
    ],
)
def test_a_name_tells_whose_rows_and_what(name: str, part: str | None, kind: str, what: str) -> None:
    found = named(name)
    assert (found.part, found.kind, found.what) == (part, kind, what)


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "Acc@1", "roc_auc", "F1", "R^2", "mAP", "BLEU", "mIoU"])
def test_of_some_metrics_more_is_better(name: str) -> None:
    assert direction_of(name) is True


@pytest.mark.parametrize("name", ["loss", "RMSE", "wer", "perplexity", "error_rate", "log_loss", "mean_squared_error"])
def test_of_others_less_is_better(name: str) -> None:
    assert direction_of(name) is False


def test_the_longest_words_decide() -> None:
    assert direction_of("score") is True
    assert direction_of("brier_score") is False
    assert direction_of("accuracy_loss") is False
    assert direction_of("neg_mean_squared_error") is True


def test_of_a_name_that_says_nothing_nobody_knows() -> None:
    assert direction_of("wibble") is None


def test_shares_are_those_of_which_1_is_all() -> None:
    assert is_share("val_accuracy")
    assert not is_share("rmse")
