"""tt.tune over networks of the caller's own."""

import json
import threading

import numpy
import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.networks.datasets import Datasets


@pytest.fixture(scope="module")
def rows():
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(240, 4)).astype("float32")
    return x, x[:, 0] * x[:, 1] + 0.1 * rng.normal(size=240)


def make(width, depth=1, mixes=False):
    layers = [nn.Linear(4, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    if mixes:
        layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(*layers, nn.Linear(width, 1))


SPACE = {"width": [4, 16], "depth": [1, 2], "lr": (1e-3, 1e-1, "log"), "loss": ["mse", "huber"]}


@pytest.fixture(scope="module")
def study(rows, tmp_path_factory):
    return tt.tune(make, data=rows, space=SPACE, trials=6, epochs=8, out=tmp_path_factory.mktemp("studies") / "one")


def test_a_study_has_trials_curves_and_the_best_network_as_it_was_scored(study, rows):
    assert study.result["trials"] == len(study.trials) == 6
    assert set(study.curves["trial"]) == set(range(6))
    assert study.winner.error == min(trial.error for trial in study.trials if trial.state == "complete")
    assert not study.module.training
    assert set(study.winner.values) == set(SPACE)
    valid = Datasets.read(rows, 0.2, seed=0, batch_size=None).valid  # they follow from data and seed
    with torch.no_grad():
        predicted = study.module(valid.inputs[0])[:, 0]
    rmse = float((predicted - valid.targets[0]).square().mean().sqrt())
    assert rmse == pytest.approx(study.result["validation"]["rmse"], rel=1e-5) == study.winner.error


def test_knobs_that_the_factory_takes_shape_the_network_and_the_others_the_training(study):
    config = study.winner.config
    assert dict(config.network) == {name: study.winner.values[name] for name in ("width", "depth")}
    assert config.optimizer.learning_rate == study.winner.values["lr"]
    assert config.loss.name == study.winner.values["loss"]
    assert config.epochs == 8


def test_the_same_seed_and_trials_give_the_same_study(study, rows, tmp_path):
    again = tt.tune(make, data=rows, space=SPACE, trials=6, epochs=8, out=tmp_path / "again")
    assert [trial.values for trial in again.trials] == [trial.values for trial in study.trials]
    assert [trial.error for trial in again.trials] == [trial.error for trial in study.trials]
    for mine, theirs in zip(again.module.parameters(), study.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_study_is_loaded_with_the_factory_and_says_so_without(study, rows):
    loaded = tt.load(study.out, make)
    x = torch.tensor(rows[0][:5])
    assert torch.equal(loaded.module(x), study.module(x))
    with pytest.raises(tt.StudyError, match=r"tt\.load\(path, factory\)"):
        _ = tt.load(study.out).module
    with pytest.raises(tt.StudyError, match=r"study\.module"):
        _ = study.model
    assert len(repr(study)) < 300


def test_a_study_goes_on_and_refuses_other_data_or_another_space(rows, tmp_path):
    first = tt.tune(make, data=rows, space=SPACE, trials=2, epochs=3, out=tmp_path / "s")
    more = tt.tune(make, data=rows, space=SPACE, trials=5, epochs=3, resume=tmp_path / "s")
    assert [t.values for t in more.trials[:2]] == [t.values for t in first.trials]
    assert len(more.trials) == 5
    with pytest.raises(tt.StudyError, match="other data"):
        tt.tune(make, data=(rows[0] + 1, rows[1]), space=SPACE, trials=6, resume=tmp_path / "s")
    with pytest.raises(tt.StudyError, match="another space"):
        tt.tune(make, data=rows, space={"width": [4]}, trials=6, resume=tmp_path / "s")


def test_running_means_are_kept_with_the_weights(rows, tmp_path):
    study = tt.tune(
        lambda width: make(width, mixes=True),
        data=rows,
        space={"width": [4, 8]},
        trials=2,
        epochs=6,
        out=tmp_path / "s",
    )
    means = study.module[2].running_mean
    assert bool((means != 0).any())
    loaded = tt.load(study.out, lambda width: make(width, mixes=True))
    assert torch.equal(loaded.module[2].running_mean, means)


def test_classes_are_judged_by_log_loss_and_test_rows_once_at_the_end(rows, tmp_path):
    x, y = rows
    labels = (y > 0).astype(int) + (y > 1)
    study = tt.tune(
        lambda width: nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)),
        data=(x[:200], labels[:200]), test=(x[200:], labels[200:]), space={"width": [8, 16], "lr": [0.01, 0.03]},
        trials=3, epochs=10, out=tmp_path / "s",
    )  # fmt: skip
    assert study.result["metric"] == "log_loss"
    logits = study.module(torch.tensor(x[200:]))
    expected = nn.functional.cross_entropy(logits, torch.tensor(labels[200:])).item()
    assert study.result["test"]["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_loss_of_ones_own_is_what_trials_are_judged_by_where_outputs_are_several(rows, tmp_path):
    class Spread(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.hidden, self.mean, self.scale = nn.Linear(4, width), nn.Linear(width, 1), nn.Linear(width, 1)

        def forward(self, x):
            hidden = torch.tanh(self.hidden(x))
            return self.mean(hidden)[:, 0], self.scale(hidden)[:, 0]

    def surprise(output, target):
        mean, scale = output
        return 0.5 * (scale + (target - mean).square() * torch.exp(-scale))

    study = tt.tune(Spread, data=rows, space={"width": [4, 8]}, loss=surprise, trials=2, epochs=5, out=tmp_path / "s")
    assert study.result["metric"] is None
    assert study.result["validation"] == {"loss": study.winner.error}
    assert "a loss of your own" in study.words


def test_a_budget_is_kept_and_a_stop_finishes_with_the_best_so_far(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.tuning.pace.Pace.repays_compiling", lambda *_, **__: False)  # it ends before that
    stop, ended = threading.Event(), []

    class Stopper:
        def ended(self, run, result):
            ended.append(run)
            if len(ended) == 3:
                stop.set()

    study = tt.tune(make, data=rows, space=SPACE, budget="60s", stop=stop, callbacks=[Stopper()], out=tmp_path / "s")
    assert study.result["seconds"] < 50 and study.result["trials"] >= 3
    assert json.loads((study.out / "inflight.json").read_text()) == []


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"space": {"widht": [1, 2]}}, tt.UnknownKnobError, 'Did you mean "width"'),
        ({"space": {}}, tt.OptionError, "space is empty"),
        ({"space": [1]}, tt.OptionError, "space is a list"),
        ({"space": {"width": 4}}, tt.OptionError, "Give a knob with one fixed value as width=..."),
        ({"space": {"width": [4], "lr": (1, 0.1)}}, tt.OptionError, "the low end must be lower"),
        ({"space": {"width": [4], "lr": (0, 0.1, "log")}}, tt.OptionError, "above 0 on a logarithmic scale"),
        ({"space": {"width": [4], "lr": (0.1, 1, "lgo")}}, tt.OptionError, 'only "log" is known'),
        ({"space": {"width": [4, 4]}}, tt.OptionError, "a value twice"),
        ({"space": {"width": [4], "loss": [nn.MSELoss()]}}, tt.OptionError, "Give anything else as loss="),
        ({"space": {"width": [4], "loss": ["mse", "cross_entropy"]}}, tt.OptionError, "cross_entropy"),
        ({"space": {"width": [4], "lr": [0.1]}, "lr": 0.2}, tt.OptionError, "in space and also fixed"),
        ({"space": {"width": [4, "wide"]}}, tt.FactoryError, "factory(width='wide'), raised TypeError"),
        ({"space": {"depth": [1]}}, tt.FactoryError, "width"),
        ({"space": {"width": [4]}, "target": "y"}, tt.OptionError, "target= belongs to tables"),
        ({"space": {"width": [4]}, "data": None}, tt.OptionError, "There is no data"),
        ({"space": {"width": [4]}, "test": 3}, tt.OptionError, "test="),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_sentence_before_anything_is_trained(rows, tmp_path, given, error, words):
    with pytest.raises(error) as caught:
        tt.tune(make, **{"data": rows, "trials": 2, "epochs": 2, "out": tmp_path / "s", **given})
    assert words in str(caught.value)


def one_knob(width):
    return make(width)


def test_every_configuration_of_a_small_space_is_tried_once(rows, tmp_path):
    study = tt.tune(one_knob, data=rows, space={"width": [2, 4, 8]}, trials=50, epochs=2, out=tmp_path / "s")
    assert sorted(trial.values["width"] for trial in study.trials) == [2, 4, 8]


def test_several_structures_share_the_trials(rows, tmp_path):
    space = {"width": [2, 4, 8, 16], "lr": (1e-3, 1e-1, "log")}
    study = tt.tune(one_knob, data=rows, space=space, trials=15, epochs=2, out=tmp_path / "s")
    assert len(study.trials) == 15 and len({trial.values["width"] for trial in study.trials}) > 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimizer": torch.optim.Adam}, "name one of them, or train with your own by tt.fit or tt.sweep"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"trials": True}, "trials is True"),
        ({"metric": 5}, 'Unknown metric "5"'),
        ({"space": {5: [1]}}, "space holds 5"),
        ({"space": {"width": [4], "lr": (0.1, float("inf"))}}, "both ends must be finite"),
        ({"space": {"width": [4], "lr": [None, 0.1]}}, "lr may be None in space"),
        ({"precision": "z"}, "precision= belongs to tables"),
        ({"test": 0.3}, "test= of networks of your own is (X, y)"),
        ({"test": (numpy.zeros((5, 3), "float32"), numpy.zeros(5, "float32"))}, "The inputs of test= have rows of"),
        ({"test": (numpy.zeros((5, 4), "float32"), numpy.zeros((5, 2), "float32"))}, "test="),
    ],
)
def test_what_would_go_wrong_later_is_said_before_the_search(rows, tmp_path, given, words):
    with pytest.raises(tt.TrimtabError) as caught:
        tt.tune(one_knob, **{"data": rows, "space": {"width": [4]}, "trials": 1, "out": tmp_path / "s", **given})
    assert words in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_when_a_run_stops_is_a_knob_too(rows, tmp_path):
    for stop in (3, tt.EarlyStopping(patience=3)):
        how = {"space": {"width": [4]}, "trials": 1, "epochs": 4, "out": tmp_path / repr(stop)[:5]}
        study = tt.tune(one_knob, data=rows, stop=stop, **how)
        assert study.winner.config.stopping.patience == 3


def test_a_study_goes_on_only_with_the_network_and_the_knobs_it_was_made_with(rows, tmp_path):
    def other(width):
        return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))

    asked = {"data": rows, "space": {"width": [4, 8]}, "trials": 1, "epochs": 2, "loss": "mse"}
    tt.tune(one_knob, **asked, out=tmp_path / "s")
    for changed, what in (({"loss": "mae"}, "loss"), ({"epochs": 3}, "epochs"), ({"lr": 0.1}, "lr")):
        with pytest.raises(tt.StudyError, match=f"made otherwise .*{what} was"):
            tt.tune(one_knob, **{**asked, **changed}, resume=tmp_path / "s")
    with pytest.raises(tt.StudyError, match="made otherwise .*the network"):
        tt.tune(other, **asked, resume=tmp_path / "s")
    assert len(tt.tune(one_knob, **{**asked, "trials": 2}, resume=tmp_path / "s").trials) == 2


def test_a_study_goes_on_only_with_functions_that_do_the_same(rows, tmp_path):
    def factory(slope):
        return lambda width: nn.Sequential(nn.Linear(4, width), nn.LeakyReLU(slope), nn.Linear(width, 1))

    def powered(exponent):
        return lambda output, target: ((output.reshape(-1) - target.reshape(-1)).abs() ** exponent).mean()

    # At the least width both make the same network.
    late = lambda width: one_knob(width) if width < 8 else nn.Sequential(one_knob(width), nn.Tanh())  # noqa: E731
    asked = {"data": rows, "space": {"width": [4, 8]}, "trials": 1, "epochs": 2, "loss": powered(2)}
    tt.tune(factory(0.1), **asked, out=tmp_path / "s")
    with pytest.raises(tt.StudyError, match=r"made otherwise .*loss.exponent was 2 and is 3"):
        tt.tune(factory(0.1), **{**asked, "loss": powered(3)}, resume=tmp_path / "s")
    with pytest.raises(tt.StudyError, match=r"made otherwise .*slope was 0.1 and is 0.2"):
        tt.tune(factory(0.2), **asked, resume=tmp_path / "s")
    tt.tune(one_knob, **asked, out=tmp_path / "t")
    with pytest.raises(tt.StudyError, match=r"made otherwise \(the function of networks differs"):
        tt.tune(late, **asked, resume=tmp_path / "t")
    assert len(tt.tune(factory(0.1), **{**asked, "trials": 2, "loss": powered(2)}, resume=tmp_path / "s").trials) == 2


def test_a_study_of_networks_that_draw_by_themselves_goes_on_as_if_it_had_not_been_interrupted(rows, tmp_path):
    class Drawing(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first, self.last = nn.Linear(4, width), nn.Linear(width, 1)

        def forward(self, x):
            return self.last(nn.functional.dropout(torch.relu(self.first(x)), 0.3, self.training))

    asked = {"data": rows, "space": {"width": [4], "lr": [0.01, 0.02, 0.04, 0.08]}, "epochs": 3}
    whole = tt.tune(Drawing, **asked, trials=4, out=tmp_path / "whole")
    tt.tune(Drawing, **asked, trials=1, out=tmp_path / "parts")
    for trials in (3, 4):
        parts = tt.tune(Drawing, **asked, trials=trials, resume=tmp_path / "parts")
    assert {t.values["lr"]: t.error for t in parts.trials} == {t.values["lr"]: t.error for t in whole.trials}


def test_a_script_keeps_the_dropout_that_the_function_was_called_with(rows, tmp_path):
    def dropping(dropout):
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))

    study = tt.tune(dropping, data=rows, space={"dropout": [0.3]}, trials=1, epochs=2, out=tmp_path / "s")
    code = study.code()
    assert "Dropout(p=0.3" in code and "layer.p" not in code and "0.2" in code
    turned = tt.tune(
        lambda width: dropping(0.5), data=rows, space={"width": [1], "dropout": [0.3]}, trials=1, epochs=2,
        out=tmp_path / "t",
    )  # fmt: skip
    assert "layer.p = 0.3" in turned.code()


def test_values_that_are_lists_are_searched_as_lists_of_lists(rows, tmp_path):
    def stacked(hidden):
        return nn.Sequential(*(nn.Linear(a, b) for a, b in zip((4, *hidden), (*hidden, 1), strict=True)))

    x, y = rows
    classes = {"data": (x, (y > 0).astype("int64")), "epochs": 1, "seed": 1}
    space = {"hidden": [[2], [2, 2]], "class_weights": [[1.0, 3.0], [1.0, 1.0]], "groups": [[tt.Group("*.bias")], []]}
    two = lambda hidden: nn.Sequential(stacked(hidden), nn.Linear(1, 2))  # noqa: E731
    study = tt.tune(two, **classes, space=space, trials=8, out=tmp_path / "s")
    found = {(t.config.network, t.config.loss.class_weights, len(t.config.groups)) for t in study.trials}
    assert len(found) == 8
    again = tt.load(tmp_path / "s", two)
    assert len(again.module[0]) == len(dict(again.winner.config.network)["hidden"]) + 1
    with pytest.raises(tt.StudyError, match="another space"):
        tt.tune(two, **classes, space=space | {"class_weights": [[1.0, 2.0], [1.0, 1.0]]}, resume=tmp_path / "s")
    one = tt.tune(
        two, **classes, space={"class_weights": [1.0, 3.0], "lr": [0.1]}, hidden=(2,), trials=1, out=tmp_path / "t"
    )
    assert one.winner.config.loss.class_weights == (1.0, 3.0) and len(one.module[0]) == 2
