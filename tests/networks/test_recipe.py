"""The knobs as they are typed become a config, or are refused."""

import numpy
import pytest
import torch
from torch import nn

from trimtab.errors import OptionError, UnknownKnobError
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import DEFAULTS, EarlyStopping, check_against, recipe, refuse_idle, split_knobs
from trimtab.training.config import Group, Listed, Schedule, Stopping


def test_nothing_given_is_the_defaults():
    plain = recipe({}).config
    assert (plain.optimizer.name, plain.optimizer.learning_rate, plain.batch_size, plain.epochs) == (
        "adam",
        1e-3,
        32,
        100,
    )
    assert plain.schedule.name == "constant" and plain.stopping.name == "none" and plain.optimizer.weight_decay == 0
    assert recipe(dict.fromkeys(DEFAULTS)).config == plain and recipe({}).given == frozenset()


def test_numbers_of_numpy_and_torch_are_numbers():
    given = {"lr": numpy.float32(0.5), "epochs": numpy.int64(3), "batch_size": torch.tensor(4), "stop": numpy.int32(2)}
    config = recipe(given).config
    assert (config.optimizer.learning_rate, config.epochs, config.batch_size) == (0.5, 3, 4)
    assert type(config.epochs) is int and config.stopping == Stopping("patience", 2)


def test_every_form_of_a_rule():
    assert recipe({"stop": EarlyStopping(rule="up", patience=2, strip=3)}).config.stopping == Stopping(
        "up", 2, 0.0, 5.0, 3
    )
    assert recipe({"schedule": Schedule("step", factor=0.5)}).config.schedule.factor == 0.5
    assert recipe({"groups": Group("*.bias")}).config.groups == (Group("*.bias"),)
    assert recipe({"class_weights": numpy.array([1, 2], numpy.float32)}).config.loss.class_weights == (1.0, 2.0)
    assert recipe({"optimizer": "gd", "batch_size": 8}).config.batch_size == 0
    assert [recipe(knobs).asked_rows for knobs in ({}, {"batch_size": 8}, {"optimizer": "gd"})] == [None, 8, 0]


def test_knobs_go_to_the_factory_that_takes_them():
    networks = Networks(lambda width, dropout=0.1: nn.Linear(width, 1))
    assert split_knobs(networks, {"width": numpy.int64(3), "dropout": 0.5, "lr": 1}) == (
        {"width": 3, "dropout": 0.5}, {"lr": 1},
    )  # fmt: skip
    anything = Networks(lambda **knobs: nn.Linear(1, 1))
    assert split_knobs(anything, {"depth": 3, "lr": 1}) == ({"depth": 3}, {"lr": 1})
    with pytest.raises(UnknownKnobError, match='Did you mean "width"'):
        split_knobs(networks, {"widht": 3})
    network, _ = split_knobs(anything, {"layers": ([3], [4, 5])})
    assert Listed.undone(network["layers"]) == ([3], [4, 5]) and hash(network["layers"])
    with pytest.raises(OptionError, match="layers is"):
        split_knobs(anything, {"layers": ({3}, {4})})


def test_what_a_module_cannot_follow():
    module = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))
    check_against(recipe({"dropout": 0.2, "groups": [Group("0.*")], "class_weights": (1, 2, 3)}), module, classes=3)
    cases = [
        (nn.Linear(2, 3), {"dropout": 0.2}, 3, "no nn.Dropout layer"),
        (module, {"class_weights": (1, 2)}, 3, "2 numbers, and there are 3"),
        (module, {"class_weights": (1, 2)}, 0, "numbers are predicted"),
        (module, {"label_smoothing": 0.1}, 0, "numbers are predicted"),
        (module, {"groups": [Group("0.*"), Group("1.*")]}, 0, 'called like "1'),
    ]
    for network, knobs, classes, words in cases:
        with pytest.raises(OptionError, match=words):
            check_against(recipe(knobs), network, classes=classes)


def test_a_knob_is_idle_where_none_of_the_runs_reads_it():
    refuse_idle([recipe({"loss": "mse", "delta": 2.0}), recipe({"loss": "huber", "delta": 2.0})])
    refuse_idle([recipe({"optimizer": torch.optim.SGD, "momentum": 0.9})])
    for knobs in ({"delta": 2.0}, {"gamma": 1.0, "loss": "mae"}, {"momentum": 0.9, "optimizer": "adagrad"},
                  {"second_decay": 0.9, "optimizer": "sgd"}, {"epsilon": 1e-3, "optimizer": "lion"}):  # fmt: skip
        with pytest.raises(OptionError, match="is read by"):
            refuse_idle([recipe(knobs)])


@pytest.mark.parametrize("name", ["lr", "weight_decay", "momentum", "delta", "dropout", "averaging", "gradient_clip"])
@pytest.mark.parametrize("value", ["much", [1.0], True, float("nan")])
def test_what_is_no_number_is_refused_by_its_name(name, value):
    with pytest.raises(OptionError) as caught:
        recipe({name: value, "loss": "huber"})
    assert len(str(caught.value)) < 120
