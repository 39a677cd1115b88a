"""A note on an edge is made where looking beyond it may help, and only on what the winner's training read."""

import pytest

from trimtab.tuning.notices import edges
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, TrialRecord

SPACES = {
    "regression": space_for("regression", "rmse", rows=800, columns=8, fixed={}),
    "classification": space_for("classification", "log_loss", rows=800, columns=8, fixed={}),
}
INSIDE = {
    "loss": "mse", "delta": 0.7, "gamma": 1.3, "label_smoothing": 0.07, "optimizer": "adamw", "lr": 0.003,
    "schedule": "cosine", "batch_size": 64, "epochs": 150, "width": 64, "depth": 2, "activation": "silu",
    "inputs": "scaled", "sigma": 0.2, "dropout": 0.2, "weight_decay": 0.01,
}  # fmt: skip


def notices(task="regression", ended=("all epochs",) * 5, trials=40, **news):
    space = SPACES[task]
    usual = INSIDE | ({"loss": "cross_entropy"} if task == "classification" else {}) | news
    values = {name: usual[name] for name in space.domains}
    record = TrialRecord(0, "", values, space.config(values), COMPLETE, 1.0, ended=ended)
    return [edge.words for edge in edges(record, space, trials=trials)]


def test_a_winner_at_the_edge_is_said_with_the_flag_to_change():
    assert "--width" in notices(width=256)[0] and "(256)" in notices(width=256)[0]
    assert "--lr" in notices(lr=0.99)[0] and "beyond" in notices(lr=0.99)[0]
    assert "below" in notices(lr=1.01e-5)[0]
    (about_epochs,) = notices(epochs=SPACES["regression"].domains["epochs"].high)
    assert "--epochs" in about_epochs


def test_a_winner_inside_its_ranges_is_not_remarked_on():
    for task in SPACES:
        assert notices(task) == []


@pytest.mark.parametrize(
    ("task", "at_the_edge", "read_with"),
    [
        ("regression", {"delta": 3.0}, {"loss": "huber"}),
        ("regression", {"sigma": 1.0}, {"inputs": "periodic"}),
        ("classification", {"gamma": 3.0}, {"loss": "focal"}),
        ("classification", {"label_smoothing": 0.2}, {"loss": "cross_entropy"}),
    ],
)
def test_a_knob_that_the_winner_does_not_use_is_not_remarked_on(task, at_the_edge, read_with):
    (name,) = at_the_edge
    unread = {"loss": "focal"} if name == "label_smoothing" else {}
    assert len(notices(task, **at_the_edge, **read_with)) == 1
    assert notices(task, **at_the_edge, **unread) == []


@pytest.mark.parametrize(
    "values", [{"batch_size": 128}, {"batch_size": 32}, {"width": 32}, {"depth": 1}, {"weight_decay": 1e-6}]
)
def test_an_edge_by_design_is_not_remarked_on(values):
    assert notices(**values) == []


def test_the_best_of_a_few_is_at_an_edge_by_chance():
    assert notices(trials=2, lr=0.99, width=256) == []


def test_more_epochs_are_not_asked_for_where_every_run_stopped_before():
    assert notices(ended=("stopped early",) * 5, epochs=SPACES["regression"].domains["epochs"].high) == []
