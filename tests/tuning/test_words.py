"""What is said of a trial is what its runs did."""

from dataclasses import replace

import pytest

from trimtab.training.config import Config, Loss
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.words import config_in_words, course_in_words, cut_of, network_in_words, trial_in_words


def record(ended, epochs, best, planned=76):
    return TrialRecord(1, "", {}, Config(epochs=planned), COMPLETE, 1.0, ended=ended, best_epochs=best, epochs=epochs)


@pytest.mark.parametrize(
    ("ended", "epochs", "best", "words"),
    [
        (("stopped early",), (18,), (14,), "stopped early after 18 of 76 epochs, best at epoch 14"),
        (("stopped early",) * 3, (18, 40, 22), (14, 36, 14),
         "stopped early after 18 to 40 of 76 epochs, best at epochs 14 to 36"),
        (("all epochs",) * 2, (76, 76), (70, 76), "trained for all 76 epochs, best at epochs 70 to 76"),
        (("all epochs", "stopped early"), (76, 30), (70, 26),
         "trained for 30 to 76 of 76 epochs, best at epochs 26 to 70"),
        (("out of budget",) * 2, (12, 12), (12, 12), "cut short after 12 of 76 epochs, best at epoch 12"),
        (("pruned",), (8,), (8,), "pruned after 8 of 76 epochs, best at epoch 8"),
        (("not finite",), (2,), (0,), "not finite after 2 of 76 epochs"),
        (("stopped early",), (), (14,), "planned for 76 epochs, best at epoch 14"),
    ],
)  # fmt: skip
def test_how_long_a_trial_trained(ended, epochs, best, words):
    assert course_in_words(record(ended, epochs, best)) == words
    assert trial_in_words(record(ended, epochs, best)).endswith(f"; {words}")


def test_what_predicts_the_same_for_every_row():
    mean = replace(record((), (), ()), name="mean")
    classes = replace(mean, config=replace(mean.config, loss=Loss("cross_entropy")))
    assert trial_in_words(mean) == "the mean of the target, whatever the row says"
    assert trial_in_words(classes) == "the share of each class, whatever the row says"


def test_a_trial_that_ran_out_of_time_says_how_far_it_came():
    assert cut_of(record(("out of budget", "all epochs"), (12, 76), (12, 70))) == {"epochs": 44, "planned": 76}
    assert cut_of(record(("stopped early",), (12,), (8,))) is None


def test_one_epoch():
    assert course_in_words(record(("all epochs",), (1,), (1,), planned=1)) == "trained for one epoch, best at epoch 1"


def test_what_a_linear_network_does_not_have_is_not_told():
    network = (("activation", "relu"), ("depth", 0), ("inputs", "periodic"), ("width", 64))
    config = Config(network=network, dropout=0.3, loss=Loss("huber", 0.5))
    assert network_in_words(config) == "no hidden layer"
    assert "dropout" not in config_in_words(config) and "delta 0.5" in config_in_words(config)
    deep = Config(network=(*network[:1], ("depth", 2), *network[2:]), dropout=0.3)
    assert "dropout 0.3" in config_in_words(deep) and "periodic" in config_in_words(deep)
