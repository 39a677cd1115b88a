"""The script of a run of a network of the caller's own: it trains what tt.fit trained."""

import functools
import io
import json
import re
from collections import namedtuple
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, TensorDataset

import trimtab as tt
from trimtab.export.scripts.source_code import source_of, source_of_module
from trimtab.knobs.table import CLASSIFICATION_LOSSES, OPTIMIZERS, REGRESSION_LOSSES, SCHEDULES, STOPPING_RULES
from trimtab.training.config import Group, Schedule, Stopping
from trimtab.training.randomness import row_order

EXPONENT = 1.5


class Gate(nn.Module):
    """A part of a network of our own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width) * EXPONENT)

    def forward(self, x):
        return x * torch.sigmoid(self.weight)


class Gated(nn.Module):
    """A network of our own with a part of our own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(3, width), Gate(width), nn.Linear(width, 1)

    def forward(self, x):
        return self.last(self.gate(numpy.pi * torch.tanh(self.first(x)))).squeeze(1)


def rows(count: int = 80, classes: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, 3, generator=generator)
    y = x[:, 0] * 2 - x[:, 1].square() + 0.1 * torch.randn(count, generator=generator)
    return x, (y if not classes else torch.bucketize(y, torch.linspace(-2, 2, classes + 1)[1:-1]))


def network(outputs: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs))


def script_of(run: tt.Run, module: nn.Module, **more: Any) -> str:
    """What `run.code()` gives, for the network as it was before training."""
    return replace(run, module=module, **more).code()


def train_of(script: str, **copied: Any) -> Any:
    names: dict[str, Any] = {"__name__": "script", **copied}
    exec(compile(script, "train.py", "exec"), names)  # noqa: S102
    return names


def assert_trains_alike(module: nn.Module, knobs: dict[str, Any], classes: int = 0, tolerance: float = 1e-3) -> str:
    """With all rows in each step nothing is left to chance: weights and score are those of tt.fit."""
    train, valid = rows(80, classes), rows(50, classes)
    knobs = {"epochs": 8, "lr": None if callable(knobs.get("optimizer")) else 0.02} | knobs
    run = tt.fit(module, train=train, valid=valid, batch_size=0, **knobs)
    script = script_of(run, module)
    trained, score = train_of(script)["train"](module, *train, *valid)
    assert score == pytest.approx(run.score, rel=tolerance)
    for own, found in zip(trained.parameters(), run.module.parameters(), strict=True):
        torch.testing.assert_close(own, found, rtol=tolerance, atol=tolerance)
    return script


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer(optimizer):
    assert_trains_alike(network(), {"optimizer": optimizer, "weight_decay": 0.01})


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_schedule(schedule):
    given = Schedule("plateau", factor=0.5, patience=1) if schedule == "plateau" else schedule
    assert_trains_alike(network(), {"schedule": given, "lr": 0.2})


STOPPING = {
    "none": Stopping("none"),
    "patience": Stopping("patience", patience=3),
    "gl": Stopping("gl", threshold=1.0),
    "pq": Stopping("pq", threshold=0.5, strip=3),
    "up": Stopping("up", patience=1, strip=2),
    "patience with a least improvement": Stopping("patience", patience=3, min_improvement=0.2),
}


@pytest.mark.parametrize("name", dict.fromkeys((*STOPPING_RULES, *STOPPING)))
def test_each_stopping_rule(name):
    train, valid = rows(20), rows(50)
    epochs = 20 if name == "none" else 400
    run = tt.fit(network(), train=train, valid=valid, batch_size=0, epochs=epochs, lr=0.3, stop=STOPPING[name])
    assert run.ended == ("all epochs" if name == "none" else "stopped early")
    names = train_of(script_of(run, network()))
    _, score = names["train"](network(), *train, *valid)
    assert score == pytest.approx(run.score, rel=0.02)


@pytest.mark.parametrize(
    "knobs",
    [
        *({"loss": name} for name in REGRESSION_LOSSES),
        {"loss": "huber", "delta": 0.3},
        {"loss": "quantile", "tau": 0.7},
        {"metric": "rmse"},
        {"metric": "r2"},
        {"gradient_clip": 0.1},
        {"averaging": 0.9},
        {"weight_decay": 0.3, "optimizer": "adamw", "decay_course": "linear"},
        {"weight_decay": 0.3, "decay_course": "cosine", "groups": (Group("*.bias", decay=0.0),)},
        {"groups": (Group("*.bias", rate=0.0), Group("2.*", rate=2.0, decay=0.0)), "weight_decay": 0.1},
        {"evaluate_every": 4, "stop": 6},
    ],
    ids=lambda knobs: " ".join(map(str, knobs.values())),
)
def test_each_knob_of_a_regression(knobs):
    assert_trains_alike(network(), knobs)


@pytest.mark.parametrize(
    "knobs",
    [
        *({"loss": name} for name in CLASSIFICATION_LOSSES),
        {"label_smoothing": 0.2},
        {"class_weights": (1.0, 2.0, 5.0)},
        {"class_weights": (1.0, 2.0, 5.0), "label_smoothing": 0.2},
        {"loss": "focal", "gamma": 1.5},
        {"loss": "focal", "class_weights": (1.0, 2.0, 5.0), "label_smoothing": 0.1},
        {"metric": "log_loss"},
        {"metric": "balanced_accuracy"},
    ],
    ids=lambda knobs: " ".join(map(str, knobs.values())),
)
def test_each_knob_of_a_classification(knobs):
    assert_trains_alike(network(3), knobs, classes=3)


def test_two_classes_by_the_area_under_the_curve():
    assert_trains_alike(network(2), {"metric": "roc_auc"}, classes=2)


def smooth(output, target):
    """A loss of our own, one number for each row."""
    return (output - target).abs() ** EXPONENT


@pytest.mark.parametrize(
    "loss",
    [smooth, lambda o, t: ((o - t) ** 2).mean(), nn.SmoothL1Loss(beta=0.5), nn.functional.l1_loss],
    ids=["function", "lambda", "layer", "of torch"],
)
def test_losses_of_the_callers_own(loss):
    assert_trains_alike(network(), {"loss": loss})


class Summed(nn.Module):
    """A network without a bias before what takes it away: its gradient would be rounding, which Adam makes steps of."""

    def __init__(self, *, normalises: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8, bias=False), nn.Linear(8, 1)
        self.norm = nn.BatchNorm1d(8) if normalises else nn.Identity()

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))


def summed(*, normalises: bool) -> nn.Module:
    torch.manual_seed(0)
    return Summed(normalises=normalises)


def assert_trains_alike_in_batches(
    module: nn.Module, knobs: dict[str, Any], train: Any, valid: Any, *, count: int = 70, batch: int = 32
) -> str:
    """In batches too the script trains what tt.fit trained, if it sees the rows in the order that the run saw them."""
    settings = {"epochs": 5, "lr": 0.02} | ({"batch_size": batch} if isinstance(train, tuple) else {}) | knobs
    run = tt.fit(module, train=train, valid=valid, **settings)
    script = script_of(run, module)
    orders = (torch.from_numpy(row_order(count, seed=0, fold=0, epoch=epoch)) for epoch in range(settings["epochs"]))
    names = train_of(script.replace("torch.randperm(len(y))", "next(ORDERS)"))
    names["ORDERS"] = orders
    rows_of = [*rows(count), *valid[:2]]
    if isinstance(train, tuple) and len(train) == 3:
        rows_of += [train[2], valid[2] if len(valid) == 3 else torch.ones(len(valid[1]))]
    trained, score = names["train"](module, *rows_of)
    assert score == pytest.approx(run.score, rel=1e-3)
    own, found = trained.state_dict(), run.module.state_dict()
    for name in found:
        torch.testing.assert_close(own[name], found[name], rtol=1e-3, atol=1e-3)
    return script


BIASES = (Group("last.bias", rate=0.2), Group("first.*", decay=0.0))
IN_BATCHES = {
    "nothing more": {},
    "averaging": {"averaging": 0.9},
    "averaging, clipping and groups": {
        "averaging": 0.8, "gradient_clip": 0.3, "groups": BIASES, "weight_decay": 0.2, "optimizer": "adamw"},
    "averaging, a plan and a course": {
        "averaging": 0.8, "schedule": "one_cycle", "weight_decay": 0.2, "decay_course": "cosine", "metric": "r2"},
    "averaging and an own optimizer": {"averaging": 0.8, "optimizer": torch.optim.RMSprop, "schedule": "cosine"},
    "clipping and an own optimizer": {"gradient_clip": 0.1, "optimizer": torch.optim.SGD, "lr": 0.5},
    "a plateau seen every other epoch": {
        "schedule": Schedule("plateau", factor=0.3, patience=3), "evaluate_every": 2, "epochs": 16, "lr": 0.3},
    "progress seen every other epoch": {
        "stop": Stopping("pq", threshold=0.2, strip=4), "evaluate_every": 2, "epochs": 30, "lr": 0.1},
    "progress seen less often than a strip": {
        "stop": Stopping("pq", threshold=0.2, strip=2), "evaluate_every": 3, "epochs": 30, "lr": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("normalises", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("case", IN_BATCHES)
def test_each_knob_in_batches(case, normalises):
    assert_trains_alike_in_batches(summed(normalises=normalises), IN_BATCHES[case], rows(70), rows(50))


WEIGHTS, JUDGING = torch.linspace(0.1, 3.0, 70), torch.linspace(2.0, 0.5, 50)


@pytest.mark.parametrize(
    ("knobs", "valid"),
    [
        *(({"loss": name}, (*rows(50), JUDGING)) for name in REGRESSION_LOSSES),
        ({}, rows(50)),
        ({"metric": "rmse"}, (*rows(50), JUDGING)),
        ({"metric": "r2", "averaging": 0.9, "gradient_clip": 0.5}, (*rows(50), JUDGING)),
        ({"loss": nn.MSELoss()}, (*rows(50), JUDGING)),
        ({"loss": nn.L1Loss(reduction="none"), "groups": BIASES}, rows(50)),
        ({"stop": Stopping("pq", threshold=0.2, strip=2), "epochs": 30, "lr": 0.1}, (*rows(50), JUDGING)),
    ],
    ids=lambda given: " ".join(map(str, given.values())) if isinstance(given, dict) else str(len(given)),
)
def test_weights_of_rows(knobs, valid):
    train = (*rows(70), WEIGHTS)
    script = assert_trains_alike_in_batches(summed(normalises=False), knobs, train, valid)
    assert "the weights w, wv of the rows" in script


def test_weights_of_rows_and_classes():
    x, y = rows(70, 3)
    valid = (*rows(50, 3), JUDGING)
    run = tt.fit(network(3), (x, y, WEIGHTS), valid, batch_size=0, epochs=5, lr=0.02, class_weights=(1.0, 2.0, 3.0),
                 metric="log_loss", label_smoothing=0.1)  # fmt: skip
    _, score = train_of(script_of(run, network(3)))["train"](network(3), x, y, *valid[:2], WEIGHTS, JUDGING)
    assert score == pytest.approx(run.score, rel=1e-3)


def test_weights_of_rows_and_a_share_of_them():
    x, y = rows(60)
    weights = torch.linspace(0.1, 2.0, 60)
    run = tt.fit(network(), train=(x, y, weights), valid=0.25, epochs=10, batch_size=0, lr=0.02, seed=5)
    names = train_of(script_of(run, network()))
    _, score = names["train"](network(), *names["split"](x, y, weights))
    assert score == pytest.approx(run.score, rel=1e-3)


@pytest.mark.parametrize("knobs", [{}, {"averaging": 0.8, "schedule": "cosine"}], ids=str)
def test_a_loader_that_drops_its_last_batch(knobs):
    loader = DataLoader(TensorDataset(*rows(70)), batch_size=32, drop_last=True)
    script = assert_trains_alike_in_batches(summed(normalises=False), knobs, loader, rows(50))
    assert "if len(rows) < BATCH" in script
    kept = DataLoader(TensorDataset(*rows(70)), batch_size=32)
    assert "continue" not in assert_trains_alike_in_batches(summed(normalises=False), knobs, kept, rows(50))


def test_fewer_rows_than_a_batch_are_a_batch():
    knobs = {"schedule": "cosine"}
    assert_trains_alike_in_batches(summed(normalises=True), knobs, rows(20), rows(50), count=20)


def test_courses_of_dropout_in_any_kind_of_layer():
    module = nn.Sequential(
        nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 4, 1), nn.Dropout1d(0.5), nn.Flatten(), nn.Linear(4, 1)
    )
    run = tt.fit(module, train=rows(70), valid=rows(40), epochs=6, dropout=0.3, dropout_course="linear")
    trained, _ = train_of(script_of(run, module))["train"](module, *rows(70), *rows(40))
    assert trained[2].p < 0.3


def test_a_score_of_nothing_or_below_is_no_division():
    knobs = {"loss": lambda o, t: (o - t).abs().mean() - 5, "epochs": 30, "lr": 0.3}
    for rule in ("gl", "pq"):
        assert_trains_alike_in_batches(
            summed(normalises=False), knobs | {"stop": Stopping(rule, threshold=1.0, strip=3)}, rows(70), rows(50)
        )


def half_rate(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.5)


@pytest.mark.parametrize(
    "optimizer",
    [
        half_rate,
        lambda p: torch.optim.RMSprop(p, lr=0.01),
        torch.optim.Adam,
        functools.partial(torch.optim.SGD, lr=0.1),
        functools.partial(torch.optim.LBFGS, lr=0.1, max_iter=3),
    ],
    ids=["function", "lambda", "class", "partial", "one that computes the loss itself"],
)
def test_optimizers_of_the_callers_own(optimizer):
    assert_trains_alike(network(), {"optimizer": optimizer})


def test_a_network_of_the_callers_own_brings_its_classes():
    script = assert_trains_alike(Gated(), {})
    assert script.index("class Gate(") < script.index("class Gated(")
    assert "EXPONENT = 1.5" in script
    assert "import numpy\n" in script
    assert "Gated()  # with the arguments that you gave it" in script


def test_a_network_of_torchs_layers_is_written_out():
    layers = nn.Sequential(
        nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Sequential(nn.LayerNorm(12), nn.Dropout(0.25), nn.GELU("tanh"), nn.Linear(12, 1, bias=False)),
    )  # fmt: skip
    expression = source_of_module(layers).expression
    assert "nn.Dropout(p=0.25" in expression
    rebuilt = eval(expression, {"nn": nn})  # noqa: S307
    assert repr(rebuilt) == repr(layers)
    assert source_of_module(nn.MultiheadAttention(8, 2)).expression == ""


def test_layers_that_mix_rows_get_no_short_batch_and_dropout_is_set():
    module = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    train, valid = rows(70), rows(40)
    run = tt.fit(module, train=train, valid=valid, epochs=6, dropout=0.1, batch_size=32)
    script = script_of(run, module)
    assert "layer.p = 0.1" in script
    assert "if len(rows) < BATCH" in script
    _, score = train_of(script)["train"](module, *train, *valid)
    assert score == pytest.approx(run.score, rel=0.5)
    kept = script_of(tt.fit(module, train=train, valid=valid, epochs=1, batch_size=32), module)
    assert "layer.p" not in kept


def test_courses_of_dropout():
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    train, valid = rows(70), rows(40)
    run = tt.fit(module, train=train, valid=valid, epochs=6, dropout=0.3, dropout_course="flat_cosine")
    trained, _ = train_of(script_of(run, module))["train"](module, *train, *valid)
    assert trained[1].p < 0.3


def test_a_share_of_the_rows_is_the_same_share():
    x, y = rows(60)
    run = tt.fit(network(), train=(x, y), valid=0.25, epochs=30, batch_size=0, lr=0.02, seed=5)
    names = train_of(script_of(run, network()))
    parts = names["split"](x, y)
    assert [len(part) for part in parts] == [45, 45, 15, 15]
    _, score = names["train"](network(), *parts)
    assert score == pytest.approx(run.score, rel=1e-3)


# -- several inputs and targets


class Mixed(nn.Module):
    """A network with two inputs, by place or by name, that gives two outputs or their sum."""

    def __init__(self, *, gives_two: bool, normalises: bool = False) -> None:
        super().__init__()
        # What is normalised has no bias: its gradient would be rounding, which Adam makes steps of.
        self.a, self.b = nn.Linear(2, 4, bias=not normalises), nn.Linear(1, 4, bias=False)
        self.gives_two = gives_two
        self.norm, self.last = nn.BatchNorm1d(4) if normalises else nn.Identity(), nn.Linear(4, 2)

    def forward(self, a, b):
        first, second = self.last(torch.tanh(self.norm(self.a(a) + self.b(b)))).split(1, dim=1)
        return {"first": first, "second": second} if self.gives_two else first + second


class OfADict(Mixed):
    """The same with one dict of inputs, under names that are none in Python."""

    def forward(self, inputs):
        return super().forward(inputs["a {0}"], inputs['"b"'])


def mixed(kind: type[Mixed] = Mixed, **how: bool) -> nn.Module:
    torch.manual_seed(0)
    return kind(**how)


INPUTS = {
    "one": lambda x: x,
    "a tuple of one": lambda x: (x,),
    "a tuple": lambda x: (x[:, :2], x[:, 2:]),
    "a dict": lambda x: {"b": x[:, 2:], "a": x[:, :2]},
    "one dict": lambda x: {"a {0}": x[:, :2], '"b"': x[:, 2:]},
}
Pair = namedtuple("Pair", "second first")
TARGETS = {
    "one": lambda y: torch.stack([y, -y], dim=1),
    "a tuple": lambda y: (y[:, None], -y[:, None]),
    "a dict": lambda y: {"second": -y[:, None].double(), "first": y.double()},
    "a dict of one": lambda y: {"both": torch.stack([y, -y], dim=1)},
    "a nest": lambda y: {"both": [y[:, None], (-y[:, None],)]},
    "a named tuple": lambda y: Pair(-y[:, None], y[:, None]),
}


def squares_of_all(output, target):
    """Squares of one tensor or two, however they are arranged."""
    if isinstance(output, dict):
        output = torch.cat([output["first"], output["second"]], dim=1)
    if hasattr(target, "_fields"):
        target = [target.first, target.second]
    elif isinstance(target, dict):
        target = target["both"] if "both" in target else [target["first"].reshape(-1, 1), target["second"]]
    if not isinstance(target, torch.Tensor):
        first, second = target
        target = torch.cat([first, second if isinstance(second, torch.Tensor) else second[0]], dim=1)
    return (output - target.to(output.dtype)) ** 2


def mean_square(output, target):
    """The same as one number."""
    return squares_of_all(output, target).mean()


# What a script asks to be copied from one's own code.
COPIED = {"Mixed": Mixed, "squares_of_all": squares_of_all}


def as_given(inputs: str, targets: str, count: int, weights: torch.Tensor | None = None) -> tuple[Any, ...]:
    x, y = rows(count)
    return (INPUTS[inputs](x), TARGETS[targets](y), *(() if weights is None else (weights,)))


def network_for(inputs: str, **how: bool) -> nn.Module:
    if inputs in ("one", "a tuple of one"):
        return network(2 if how.get("gives_two") else 1)
    return mixed(OfADict if inputs == "one dict" else Mixed, **how)


def assert_trains_alike_of_several(
    module: nn.Module, train: tuple[Any, ...], valid: Any, *, count: int, given: Any = None, **knobs: Any
) -> str:
    """The script, given the rows as the run was given them and in the order of its batches, trains what it trained."""
    settings = {"epochs": 3, "lr": 0.05, "batch_size": 16} | knobs
    run = tt.fit(module, train=given or train, valid=valid, **settings)
    script = script_of(run, module)
    assert max(map(len, script.splitlines())) <= 120
    names = train_of(re.sub(r"torch\.randperm\(len\(.*?\)\)(?=\.split)", "next(ORDERS)", script), **COPIED)
    names["ORDERS"] = (torch.from_numpy(row_order(count, seed=0, fold=0, epoch=i)) for i in range(settings["epochs"]))
    if isinstance(valid, float):
        parts = names["split"](*train)
    else:
        weights = [part[2] if len(part) == 3 else torch.ones(len(part[0])) for part in (train, valid)]
        parts = [*train[:2], *valid[:2], *(weights if len(train) == 3 else [])]
    trained, score = names["train"](module, *parts)
    assert score == pytest.approx(run.score, rel=1e-4)
    for own, found in zip(trained.state_dict().values(), run.module.state_dict().values(), strict=True):
        torch.testing.assert_close(own, found, rtol=1e-3, atol=1e-4)
    return script


PAIRS = [*(("one", targets) for targets in TARGETS), *((inputs, "a dict") for inputs in INPUTS if inputs != "one"),
         ("a dict", "one"), ("a tuple", "one"), ("a tuple", "a tuple")]  # fmt: skip


@pytest.mark.parametrize(("inputs", "targets"), PAIRS)
def test_several_inputs_and_targets(inputs, targets):
    module = network_for(inputs, gives_two=True)
    train, valid = as_given(inputs, targets, 40), as_given(inputs, targets, 24)
    script = assert_trains_alike_of_several(module, train, valid, count=40, loss=squares_of_all)
    assert ("def taken(" in script) == ((inputs, targets) != ("one", "one"))


@pytest.mark.parametrize("loss", [squares_of_all, mean_square])
@pytest.mark.parametrize(("inputs", "targets"), [("a tuple", "a dict"), ("a dict", "a named tuple"), ("one", "a nest")])
@pytest.mark.parametrize("is_split", [True, False], ids=["a share", "rows of their own"])
def test_several_inputs_and_targets_with_weights(inputs, targets, loss, is_split):
    train = as_given(inputs, targets, 40, torch.linspace(0.1, 3.0, 40))
    valid = 0.25 if is_split else as_given(inputs, targets, 24, torch.linspace(2.0, 0.5, 24))
    count = 30 if is_split else 40
    module = network_for(inputs, gives_two=True)
    assert_trains_alike_of_several(module, train, valid, count=count, loss=loss)


@pytest.mark.parametrize(("inputs", "targets"), [("a tuple", "one"), ("a dict", "a tuple"), ("one", "a dict")])
def test_several_inputs_and_targets_and_a_share_of_them(inputs, targets):
    module = network_for(inputs, gives_two=True, **({} if inputs == "one" else {"normalises": True}))
    train = as_given(inputs, targets, 40)
    script = assert_trains_alike_of_several(module, train, 0.25, count=30, loss=mean_square, schedule="cosine")
    assert ("a last batch that is short is left out" in script) == (inputs != "one")


@pytest.mark.parametrize(
    ("inputs", "knobs"),
    [
        ("a tuple", {}),
        ("a tuple", {"loss": "bce", "metric": "accuracy"}),
        ("a tuple of one", {"metric": "rmse"}),
        ("a dict", {"loss": "huber", "metric": "r2"}),
        ("a dict", {"loss": nn.MSELoss(), "metric": "rmse"}),
        ("one dict", {"metric": "rmse"}),
    ],
    ids=str,
)
def test_several_inputs_with_losses_and_metrics_that_have_a_name(inputs, knobs):
    module, parts = network_for(inputs, gives_two=False), []
    for count in (40, 24):
        x, y = rows(count)
        parts.append((INPUTS[inputs](x), (y > 0).long() if knobs.get("loss") == "bce" else y[:, None]))
    assert_trains_alike_of_several(module, *parts, count=40, **knobs)


@pytest.mark.parametrize("loss", ["mse", nn.MSELoss()], ids=["by name", "own"])
def test_a_target_by_itself_in_a_dict(loss):
    parts = [(x, {"y": y[:, None]}) for x, y in (rows(40), rows(24))]
    if loss != "mse":
        loss = lambda output, target: (output - target["y"]) ** 2  # noqa: E731
    for valid in (parts[1], 0.25):
        count = 40 if valid != 0.25 else 30
        assert_trains_alike_of_several(network(), parts[0], valid, count=count, loss=loss, metric="rmse")


def converted(given: Any, dtype: torch.dtype) -> Any:
    return pytree.tree_map(lambda x: (4 * x).to(dtype), given)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.float16])
def test_inputs_are_cast_as_in_the_run(inputs, dtype):
    module = network_for(inputs, gives_two=False)
    train, valid = ((converted(x, dtype), y) for x, y in (as_given(inputs, "one", count) for count in (40, 24)))
    train, valid = ((x, y[:, :1]) for x, y in (train, valid))
    assert ".to(torch.float32)" in assert_trains_alike_of_several(module, train, valid, count=40)


def test_inputs_of_the_right_type_are_left_alone_and_those_of_the_validation_rows_are_not():
    train, valid = as_given("a dict", "a dict", 40), as_given("a dict", "a dict", 24)
    how = {"count": 40, "loss": mean_square}
    assert "X = " not in assert_trains_alike_of_several(network_for("a dict", gives_two=True), train, valid, **how)
    valid = {name: x.double() if name == "a" else x for name, x in valid[0].items()}, valid[1]
    script = assert_trains_alike_of_several(network_for("a dict", gives_two=True), train, valid, **how)
    assert 'Xv = {"b": Xv["b"], "a": Xv["a"].to(torch.float32)}' in script


class Items(Dataset):
    """Rows one by one, in dicts."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        return tuple({name: values[row] for name, values in part.items()} for part in self.parts)


def test_a_loader_of_several_that_drops_its_last_batch():
    parts = as_given("a dict", "a dict", 40)
    loader = DataLoader(Items(parts), batch_size=16, drop_last=True)
    module, valid = mixed(gives_two=True), as_given("a dict", "a dict", 24)
    how = {"count": 40, "given": loader, "loss": mean_square, "schedule": "cosine", "batch_size": None}
    script = assert_trains_alike_of_several(module, parts, valid, **how)
    assert 'if len(rows) < BATCH and len(rows) < len(y["second"]):' in script


def test_a_script_says_in_which_form_it_takes_rows():
    run = tt.fit(mixed(gives_two=True), as_given("a dict", "a tuple", 40), 0.25, epochs=1, loss=squares_of_all)
    assert '    X: {"b": tensor, "a": tensor}\n    y: (tensor, tensor)\n' in run.code()


def test_a_study_knows_the_form_of_its_rows(tmp_path):
    data = as_given("a dict", "a tuple", 40)
    how = {"space": {"lr": (0.01, 0.1, "log")}, "loss": squares_of_all, "epochs": 2, "trials": 2, "valid": 0.25}
    found = tt.tune(lambda: mixed(gives_two=True), data=data, out=tmp_path / "study", quiet=True, **how)
    again = tt.load(tmp_path / "study", lambda: mixed(gives_two=True))
    for study in (found, again):
        script = study.code()
        assert "loss(network(**taken(X, rows)), taken(y, rows)).backward()" in script
        assert "y: (tensor, tensor)" in script
    document = json.loads((tmp_path / "study" / "study.json").read_text())
    for name in ("inputs", "targets", "outputs"):
        del document["asked"]["reading"][name]
    (tmp_path / "study" / "study.json").write_text(json.dumps(document))
    assert "It is not known whether X or y are several tensors" in again.code()


def test_what_cannot_be_written_down_is_marked():
    class Closed:
        """A loss that is an object, whose source says nothing of its state."""

        def __call__(self, output, target):
            return ((output - target) ** 2).mean()

    assert source_of(Closed()).expression == ""
    namespace: dict[str, Any] = {}
    exec("first = lambda o, t: o - t; second = lambda o, t: t - o", namespace)  # noqa: S102
    assert source_of(namespace["first"]).expression == ""
    run = tt.fit(network(), train=rows(40), valid=rows(20), epochs=2, loss=Closed())
    script = script_of(run, network())
    assert "Put your loss here" in script
    compile(script, "train.py", "exec")


def test_names_from_around_are_told():
    helper = smooth
    source = source_of(lambda output, target: helper(output, target).mean())
    assert source.needs == ("helper",)
    run = tt.fit(network(), train=rows(40), valid=rows(20), epochs=2, loss=lambda o, t: helper(o, t).mean())
    assert "Copy these from your own code: helper" in script_of(run, network())


def test_a_script_run_as_it_stands_asks_for_the_data():
    run = tt.fit(network(), train=rows(40), valid=rows(20), epochs=2)
    script = script_of(run, network())
    with pytest.raises(SystemExit, match="Put your rows into data"):
        exec(compile(script, "train.py", "exec"), {"__name__": "__main__"})  # noqa: S102
    x, y = rows(40)
    printed = io.StringIO()
    filled = script.replace('    raise SystemExit("Put your rows into data() first.")', "    return X, y, X, y")
    with redirect_stdout(printed):
        exec(compile(filled, "train.py", "exec"), {"__name__": "__main__", "X": x, "y": y})  # noqa: S102
    assert printed.getvalue().startswith("best loss on validation rows: ")


def test_a_script_is_short_and_needs_no_trimtab():
    run = tt.fit(network(), train=rows(40), valid=rows(20), epochs=2)
    script = script_of(run, network())
    assert len(script.splitlines()) < 70
    assert script.startswith("# How trimtab ")
    assert "trimtab" not in script.split("\n", 3)[3]
    longest = script_of(run, network(), share=0.2, evaluate_every=3)
    assert max(map(len, longest.splitlines())) <= 120
