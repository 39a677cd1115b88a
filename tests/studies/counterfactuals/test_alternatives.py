"""Alternatives of a winner: each differs in exactly one knob, and one value of each knob comes first."""

from dataclasses import replace

import pytest

from trimtab.findings.worth.account import AT_WINNERS_RATE
from trimtab.knobs.domains import Choice
from trimtab.studies.counterfactuals.alternatives import Variable, alternatives_of, with_rate
from trimtab.studies.counterfactuals.path import along, choices
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.tuning.baselines import default_mlp_config
from trimtab.tuning.space import constants_of, knobs_of

NETWORK = (("activation", "silu"), ("depth", 2), ("inputs", "periodic"), ("width", 64))
OF_TABLE = Variable("regression", constants_of, is_table=True)


def winner(**changes):
    config = Config(
        network=NETWORK, initial=(("sigma", 0.2),), loss=Loss("huber", 0.8),
        optimizer=Optimizer("adamw", 3e-3, weight_decay=0.02), schedule=Schedule("cosine"),
        stopping=Stopping("patience", patience=30), batch_size=64, epochs=100, dropout=0.1,
    )  # fmt: skip
    return replace(config, **changes)


def changed(alternative, config):
    """The knobs in which it differs, those that go with another one left out."""
    now, then = knobs_of(config), knobs_of(alternative.config)
    names = {name for name in now.keys() | then.keys() if now.get(name) != then.get(name)}
    return names - {"delta", "second_decay", "sigma"} if len(names) > 1 else names


def test_each_differs_from_the_winner_in_its_knob_alone():
    for each in alternatives_of(winner(), OF_TABLE):
        if each.rows != "all" or each.preparation:
            assert each.config == winner()
            continue
        expected = {"optimizer"} if each.knob == AT_WINNERS_RATE else {each.knob}
        differing = changed(each, winner())
        if each.knob == "optimizer":
            differing -= {"lr"}  # its own rate is looked for
        if each.value == "gd":
            differing -= {"batch_size"}
        if each.knob == "loss" and each.config.loss.name == "huber":
            expected = {"delta"}
        assert differing == expected, each.name


def test_every_knob_is_there_and_no_alternative_twice():
    found = alternatives_of(winner(), OF_TABLE)
    assert {each.knob for each in found} >= {
        "loss", "optimizer", "lr", "epochs", "schedule", "width", "depth", "batch_size", "inputs", "activation",
        "dropout", "weight_decay", "rows",
    }  # fmt: skip
    assert len({each.name for each in found}) == len(found)


def test_a_change_says_how_to_train_so():
    by_name = {each.name: dict(each.change) for each in alternatives_of(winner(), OF_TABLE)}
    assert by_name["loss=huber (delta 0.3)"] == {"loss": "huber", "delta": 0.3}
    assert by_name["epochs=50"] == {"epochs": 50}
    assert by_name[f"{AT_WINNERS_RATE}=sgd"] == {"optimizer": "sgd"}
    assert by_name["rows=half"] == {}


def test_one_value_of_each_knob_comes_first():
    first = []
    for each in alternatives_of(winner(), OF_TABLE):
        # Half of the rows and a quarter go together.
        if each.knob in first and each.knob != "rows":
            break
        first.append(each.knob)
    first = list(dict.fromkeys(first))
    assert len(first) == len({each.knob for each in alternatives_of(winner(), OF_TABLE)})
    assert first[:4] == ["loss", "optimizer", "lr", "epochs"]


def test_other_optimizers_look_for_a_rate_of_their_own():
    sgd = next(each for each in alternatives_of(winner(), OF_TABLE) if each.name == "optimizer=sgd")
    assert min(sgd.rates) < constants_of("sgd")["lr"] < max(sgd.rates)
    found = with_rate(sgd, 0.07)
    assert found.config.optimizer.learning_rate == 0.07
    assert found.rates == ()
    fixed = next(each for each in alternatives_of(winner(), OF_TABLE) if each.name == f"{AT_WINNERS_RATE}=sgd")
    assert fixed.config.optimizer.learning_rate == 3e-3


@pytest.mark.parametrize("knob", ["loss", "lr", "rows"])
def test_only_one_knob_where_one_is_asked_for(knob):
    assert {each.knob for each in alternatives_of(winner(), OF_TABLE, (knob,))} == {knob}


def test_of_classes_labels_are_smoothed_or_not():
    config = winner(loss=Loss("cross_entropy", label_smoothing=0.1))
    found = alternatives_of(config, replace(OF_TABLE, task="classification"))
    assert [each.value for each in found if each.knob == "label_smoothing"] == [0.0]
    assert {each.config.loss.name for each in found} == {"cross_entropy", "focal"}


def test_a_linear_model_has_no_units_to_change():
    config = winner(network=(("activation", "relu"), ("depth", 0), ("inputs", "scaled"), ("width", 1)))
    knobs = {each.knob for each in alternatives_of(config, OF_TABLE)}
    assert not knobs & {"width", "depth", "activation", "inputs", "dropout"}


def test_without_weight_decay_adam_and_adamw_are_one():
    config = winner(optimizer=Optimizer("adam", 1e-3))
    assert "optimizer=adamw" not in {each.name for each in alternatives_of(config, OF_TABLE)}


def test_networks_of_ones_own_have_the_values_of_their_space():
    config = Config(network=(("hidden", 16), ("norm", True)))
    variable = Variable(
        "regression", constants_of, is_table=False, has_dropout=False, has_losses=False,
        domains={"hidden": Choice((8, 16, 32), (1.0,) * 3), "lr": Choice((1e-3, 1e-2), (1.0,) * 2)},
    )  # fmt: skip
    found = alternatives_of(config, variable)
    assert [each.value for each in found if each.knob == "hidden"] == [8, 32]
    assert not {each.knob for each in found} & {"loss", "dropout", "width"}


def test_the_path_leads_from_the_beginner_to_the_winner():
    beginner = default_mlp_config("regression", rows=500, epochs=200)
    steps = choices(beginner, winner())
    configs = along(beginner, steps)
    assert configs[0] == beginner
    assert configs[-1] == winner()
    assert len({repr(config) for config in configs}) == len(configs)
    assert {step.knob for step in steps} >= {"loss", "optimizer", "lr", "schedule", "inputs", "width", "dropout"}


def test_what_is_the_same_is_no_step_of_the_path():
    beginner = default_mlp_config("regression", rows=500, epochs=200)
    same = replace(beginner, optimizer=replace(beginner.optimizer, learning_rate=0.5))
    assert [step.knob for step in choices(beginner, same)] == ["lr"]
    assert choices(beginner, beginner) == []
