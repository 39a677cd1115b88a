"""Runs whose metric gave no number although training did not diverge."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

import trimtab as tt
from trimtab.training.metrics import METRICS
from trimtab.training.unscored import words_of_unscored

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
LABELS = np.repeat([1, 0], [20, 40])


class Rows(IterableDataset):
    def __init__(self, first, last):
        self.places = range(first, last)

    def __iter__(self):
        return ((X[place], LABELS[place]) for place in self.places)


def test_rows_of_one_class_are_said_of_where_they_are_only_read():
    with pytest.raises(tt.OptionError, match=r"roc_auc gave nan for every epoch.*hold one class only"):
        tt.fit(nn.Linear(3, 2), Rows(0, 40), Rows(40, 60), metric="roc_auc", epochs=2)


def test_a_constant_target_has_an_r2_all_the_same():
    constant = X[40:], np.ones(20, dtype=np.float32)
    for optimizer in ("sgd", torch.optim.SGD):
        run = tt.fit(
            nn.Linear(3, 1), (X[:40], X[:40, 0]), constant, metric="r2", epochs=2, lr=0.01, optimizer=optimizer
        )
        assert run.ended == "all epochs" and run.score == 0


def test_the_sentence_says_what_was_given_and_what_to_do():
    words = words_of_unscored(METRICS["mae"], [float("nan"), float("inf"), float("nan")], "all 2 runs")
    assert words.startswith("The metric mae gave inf or nan for every epoch of all 2 runs, although the losses are")
    assert "one class" not in words
