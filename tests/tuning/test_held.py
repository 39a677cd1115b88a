"""What is held still is part of what was asked: who may be the model, and what is said of those who may not."""

import pytest

from trimtab.training.config import Config, Loss
from trimtab.training.metrics import METRICS
from trimtab.tuning.baselines import BASELINES, DEFAULT_MLP, LINEAR, MEAN, default_mlp_config, linear_config
from trimtab.tuning.held import best_of, broken, held_of, may_be_model, words_of_better, words_of_less_than_held
from trimtab.tuning.trial import COMPLETE, FAILED, TrialRecord


def record(number, name="", error=1.0, state=COMPLETE, **config):
    configs = {
        MEAN: linear_config("regression"), LINEAR: linear_config("regression"),
        DEFAULT_MLP: default_mlp_config("regression", rows=100, epochs=50),
    }  # fmt: skip
    network = (("activation", "relu"), ("depth", 3), ("inputs", "scaled"), ("width", 64))
    own = Config(network=network, loss=Loss("huber", 0.5), epochs=20)
    return TrialRecord(number, name, {}, configs.get(name, own), state, error, **config)


@pytest.mark.parametrize(
    ("held", "who"),
    [
        ({}, {MEAN, LINEAR, DEFAULT_MLP}),
        ({"depth": 0}, {MEAN, LINEAR}),
        ({"depth": 0, "loss": "mse"}, {MEAN, LINEAR}),
        ({"loss": "mse"}, {MEAN, LINEAR, DEFAULT_MLP}),
        ({"dropout": 0.0, "label_smoothing": 0}, {MEAN, LINEAR, DEFAULT_MLP}),
        ({"depth": 2}, {DEFAULT_MLP}),
        ({"width": 128, "activation": "relu", "lr": 1e-3, "optimizer": "adam"}, {DEFAULT_MLP}),
        # What stands in a linear model's config, and is no knob of what is solved.
        ({"width": 1}, set()), ({"epochs": 1}, set()), ({"lr": Config().optimizer.learning_rate}, {DEFAULT_MLP}),
        ({"optimizer": Config().optimizer.name, "depth": 0}, set()),
        ({"depth": 1}, set()), ({"loss": "mae"}, set()), ({"delta": 0.5}, set()), ({"lr": 0.01}, set()),
        ({"dropout": 0.1}, set()), ({"weight_decay": 0.1}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)  # fmt: skip
def test_a_baseline_may_be_the_model_where_it_has_all_that_is_held(held, who):
    assert {name for name in BASELINES if may_be_model(record(0, name), held)} == who
    assert may_be_model(record(3), held)


def test_a_trial_of_the_search_lacks_what_it_has_otherwise_and_may_be_shorter():
    assert broken(record(3), {"depth": 1, "width": 64, "epochs": 40, "sigma": 0.1}) == ["depth"]
    assert broken(record(3), {"epochs": 10}) == ["epochs"]


def test_what_was_named_without_a_value_is_not_held():
    assert held_of({"depth": None, "loss": "auto", "width": 8}) == {"width": 8}


def test_the_best_is_finished_has_a_figure_and_keeps_what_is_held():
    trials = [
        record(0, MEAN, error=float("nan")), record(1, LINEAR, error=0.1), record(2, state=FAILED, error=0.0),
        record(3, error=0.5), record(4, error=0.3),
    ]  # fmt: skip
    assert best_of(trials, {"depth": 3}) is trials[4] and best_of(trials, {}) is trials[1]
    assert best_of(trials[:3], {"depth": 3}) is None


def test_a_yardstick_that_is_better_is_told_with_what_keeps_it_from_being_the_model():
    yardsticks = [record(0, MEAN, error=9.0), record(2, DEFAULT_MLP, error=0.4), record(1, LINEAR, error=0.2)]
    texts = words_of_better(yardsticks, {"depth": 0, "weight_decay": 0.1}, METRICS["rmse"], 0.5)
    assert texts == [
        "The linear model, which does not keep weight_decay as asked for, is better: validation rmse 0.2000 against "
        "0.5000. Without --weight-decay it may be the model.",
        "The default MLP, which has none of the fixed values, is better: validation rmse 0.4000 against 0.5000.",
    ]
    greater = words_of_better(yardsticks, {"depth": 1}, METRICS["r2"], 0.7)
    assert len(greater) == 1
    assert greater[0].endswith("is better: validation r2 0.8000 against 0.7000. Without --depth it may be the model.")
    assert not words_of_better(yardsticks, {"depth": 1}, METRICS["rmse"], float("nan"))


def test_members_that_have_less_than_is_held_are_named():
    texts = words_of_less_than_held([record(3), record(1, LINEAR)], {"depth": 1, "epochs": 40})
    assert texts == [
        "Trial 3 in the model is of an earlier call and has another value of depth than is held now.",
        "The time was enough for 20 of the 40 epochs that were asked for: give a larger --budget, or --trials alone.",
    ]
    assert not words_of_less_than_held([record(3), record(4)], {"depth": 3, "epochs": 20})
