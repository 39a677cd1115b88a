import numpy
import pytest

from trimtab.errors import OptionError
from trimtab.knobs.domains import Choice
from trimtab.knobs.table import ACTIVATIONS, KNOBS
from trimtab.tuning.proposer import Proposer
from trimtab.tuning.space import check_fixed, is_guess, natural_epochs, space_for

TASKS = {"regression": "rmse", "classification": "log_loss"}


def space(task="regression", **fixed):
    return space_for(task, TASKS[task], rows=800, columns=8, fixed=fixed)


@pytest.mark.parametrize("task", TASKS)
def test_every_draw_makes_a_config_and_lies_within_its_domain(task):
    rng = numpy.random.default_rng(0)
    searched = space(task)
    for _ in range(200):
        values = searched.draw(rng)
        config = searched.config(values)
        assert config.epochs == values["epochs"]
        for name, domain in searched.domains.items():
            if isinstance(domain, Choice):
                assert values[name] in domain.values
            else:
                assert domain.low <= values[name] <= domain.high


FIXED = {
    "loss": "huber", "delta": 0.5, "optimizer": "lion", "lr": 0.0123, "schedule": "step", "batch_size": 48, "epochs": 7,
    "patience": 3, "width": 24, "depth": 1, "activation": "tanh", "inputs": "scaled", "sigma": 0.7, "dropout": 0.25,
    "weight_decay": 0.033,
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_knob_stands_still_and_reaches_the_config(name):
    values = {"loss": "huber"} if name == "delta" else {}
    searched = space(**values, **{name: FIXED[name]})
    assert name not in searched.domains
    config = searched.config(searched.draw(numpy.random.default_rng(0)))
    found = {
        "loss": config.loss.name, "delta": config.loss.parameter, "optimizer": config.optimizer.name,
        "lr": config.optimizer.learning_rate, "schedule": config.schedule.name, "batch_size": config.batch_size,
        "epochs": config.epochs, "patience": config.stopping.patience, "dropout": config.dropout,
        "weight_decay": config.optimizer.weight_decay, **config.module_arguments,
    }  # fmt: skip
    assert found[name] == FIXED[name]


def test_the_knobs_of_a_classification_reach_its_loss():
    smoothed = space("classification", loss="cross_entropy", label_smoothing=0.15)
    assert smoothed.config(smoothed.draw(numpy.random.default_rng(0))).loss.label_smoothing == 0.15
    focal = space("classification", loss="focal", gamma=1.5)
    assert focal.config(focal.draw(numpy.random.default_rng(0))).loss.parameter == 1.5
    quantile = space(loss="quantile", tau=0.9)
    assert quantile.config(quantile.draw(numpy.random.default_rng(0))).loss.parameter == 0.9


def test_every_knob_says_what_it_means_in_one_sentence():
    for knob in KNOBS.values():
        assert 10 < len(knob.meaning) < 120 and "." not in knob.meaning.replace("e.g.", "")


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"los": "mae"}, 'Did you mean "loss"'),
        ({"loss": "hubre"}, 'Did you mean "huber"'),
        ({"loss": "cross_entropy"}, "mse, mae"),
        ({"optimizer": "adma"}, 'Did you mean "adam'),
        ({"lr": 0}, "number above 0"),
        ({"lr": "fast"}, "must be a number"),
        ({"lr": float("nan")}, "must be a number"),
        ({"width": 0}, "whole number"),
        ({"depth": 1.5}, "whole number"),
        ({"epochs": "many"}, "whole number"),
        ({"dropout": 1.5}, "at most 0.95"),
        ({"activation": "swish"}, ", ".join(ACTIVATIONS)),
    ],
    ids=str,
)
def test_a_knob_that_cannot_be_says_what_can(fixed, message):
    with pytest.raises(OptionError) as error:
        check_fixed(fixed, "regression")
    assert message in str(error.value)


def test_auto_leaves_a_knob_to_the_search():
    assert check_fixed({"loss": "auto", "lr": None}, "regression") == {}


def test_more_rows_mean_fewer_epochs():
    epochs = [natural_epochs(rows) for rows in (10, 500, 5_000, 50_000, 10**7)]
    assert epochs == sorted(epochs, reverse=True) and epochs[-1] >= 10


def test_searches_begin_with_what_was_learnt_for_as_many_rows_and_wide_tables_without_bins():
    def begins_with(**case):
        return space_for("regression", "rmse", fixed={}, **case).guesses

    few, many, wide = (begins_with(rows=r, columns=c) for r, c in ((500, 9), (5_000, 9), (5_000, 150)))
    assert few != many and all(len(guesses) >= 8 for guesses in (few, many, wide))
    assert "piecewise" in {guess["inputs"] for guess in many} - {guess["inputs"] for guess in wide}
    assert {guess["batch_size"] for guess in many} <= {64, 128, 256}
    assert {guess["epochs"] / natural_epochs(5_000) for guess in many} != {1.0}


def test_what_is_tried_first_lies_within_what_is_searched():
    for task, metric in (("regression", "rmse"), ("regression", "mae"), ("classification", "log_loss")):
        for rows in (100, 1_999, 20_000, 300_000):
            space = space_for(task, metric, rows=rows, columns=10, fixed={})
            kept = Proposer(space, seed=0).guesses
            for guess, given in zip(kept, space.guesses, strict=True):
                differing = {name for name in guess if name in given and guess[name] != given[name]}
                assert differing <= ({"loss"} if task == "classification" else set()), (task, rows, differing)


def test_wide_tables_are_seldom_given_more_than_scaled_inputs():
    wide = space_for("regression", "rmse", rows=5_000, columns=500, fixed={}).domains["inputs"]
    assert isinstance(wide, Choice) and wide.weights[wide.values.index("scaled")] > 0.8


def test_what_is_tried_first_is_known_again_also_where_knobs_are_held_still():
    for fixed in ({}, {"inputs": "scaled", "lr": 0.01}):
        space = space_for("regression", "rmse", rows=500, columns=8, fixed=fixed)
        assert all(is_guess(space, guess) for guess in Proposer(space, seed=0).guesses)
        rng = numpy.random.default_rng(0)
        assert not any(is_guess(space, space.draw(rng)) for _ in range(20))
