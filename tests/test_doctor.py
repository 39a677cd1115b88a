"""tt.doctor: each kind of fault is made, found and mended; a healthy network has none; and nothing is left changed."""

import copy
import json
import math
from typing import Any

import polars
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import trimtab as tt
from process_state import nothing_left
from trimtab.checkups.rows import MOST_JUDGED, MOST_TRAINED

_generator = torch.Generator().manual_seed(0)
X = torch.randn(240, 4, generator=_generator)
Y = torch.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:3] + 0.1 * torch.randn(240, 1, generator=_generator)
LABELS = (X[:, 0] > 0).long() + (X[:, 0] > 0.7).long()
TRAIN, VALID = (X[:180], Y[:180]), (X[180:], Y[180:])
CLASSES, VALID_CLASSES = (X[:180], LABELS[:180]), (X[180:], LABELS[180:])
# A budget that no machine needs: what is tried follows from counts alone.
COUNTS: dict[str, Any] = {"steps": 50, "seeds": 3, "lr": 0.01, "budget": "10m"}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many by heart as these few units need for these rows, and few evaluations."""
    monkeypatch.setattr("trimtab.checkups.short_training.EVALUATIONS", 3)
    monkeypatch.setattr("trimtab.checkups.by_heart.STEPS", 60)
    monkeypatch.setattr("trimtab.checkups.by_heart.EVALUATE_EVERY", 20)


def net(outputs: int = 1, *end: nn.Module, hidden: type[nn.Module] = nn.ReLU, depth: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for place in range(depth):
        layers += [nn.Linear(24 if place else 4, 24), hidden()]
    return nn.Sequential(*layers, nn.Linear(24, outputs), *end)


class Wrapped(nn.Module):
    """A network whose outputs a function changes, in forward."""

    def __init__(self, inner: nn.Module, change: Any) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner(x))


class Detached(nn.Module):
    """Its body gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.beside = nn.Linear(4, 24), nn.Linear(24, 1), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x).detach())) + self.beside(x)


class Mean(nn.Module):
    """Sees nothing of its inputs but their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.mean(1, keepdim=True).expand(-1, 4))


class Two(nn.Module):
    """Takes two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(3, 24), nn.Linear(1, 24), nn.Linear(24, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.out(torch.relu(self.a(left) + self.b(right)))


def dead() -> nn.Module:
    module = net()
    with torch.no_grad():
        list(module.parameters())[3].fill_(-50.0)
    return module


def enormous() -> nn.Module:
    module = net()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(20)
    return module


def begins_at_zero() -> nn.Module:
    module = net()
    for parameter in list(module.parameters())[-2:]:
        nn.init.zeros_(parameter)
    return module


def doctor(module: Any, train: Any = TRAIN, valid: Any = VALID, **options: Any) -> tt.Checkup:
    return tt.doctor(module, train, valid, **COUNTS | options)


def found(checkup: tt.Checkup) -> dict[str, Any]:
    return {finding.id: finding for finding in checkup.findings}


SIZES = torch.tensor([1.0, 1000.0, 0.01, 50.0])
LARGE = tuple((x * SIZES + 3 * SIZES, y) for x, y in (TRAIN, VALID))
FAR = tuple((x, 200 * y + 1000) for x, y in (TRAIN, VALID))
BINARY = tuple((x, (x[:, 0] > 0).long()) for x, _ in (TRAIN, VALID))
SOFTMAX, SIGMOID = (Wrapped(net(3), lambda x: x.softmax(1)), Wrapped(net(), torch.sigmoid))
# What is wrong, the change that mends it, and the code of the remedy.
FAULTS: dict[str, tuple[Any, ...]] = {
    "inputs": (net(), LARGE, {}, "unscaled_inputs", "inputs scaled", "X = (X - X_train.mean(0)) / X_train.std(0)"),
    "target": (net(), FAR, {}, "unscaled_target", "target scaled", "y = (y - y_train.mean()) / y_train.std()"),
    "softmax": (net(3, nn.Softmax(1)), (CLASSES, VALID_CLASSES), {}, "double_softmax",
                "no activation at the end", "module[5] = nn.Identity()"),
    "softmax in forward": (SOFTMAX, (CLASSES, VALID_CLASSES), {"loss": nn.CrossEntropyLoss()},
                           "double_softmax", "no activation at the end", "return x  # in forward, without softmax"),
    "relu": (net(1, nn.ReLU()), (TRAIN, VALID), {}, "wrong_output_layer", "no activation at the end",
             "module[5] = nn.Identity()"),
    "sigmoid": (SIGMOID, (TRAIN, VALID), {}, "wrong_output_layer", "no activation at the end",
                "return x  # in forward, without sigmoid"),
    "sigmoid before bce": (net(1, nn.Sigmoid()), BINARY, {"loss": "bce"}, "wrong_output_layer",
                           "no activation at the end", "module[5] = nn.Identity()"),
    "raw outputs": (net(3), (CLASSES, VALID_CLASSES), {"loss": nn.NLLLoss()}, "wrong_output_layer",
                    "loss cross_entropy", 'loss="cross_entropy"'),
    "dead": (dead(), (TRAIN, VALID), {}, "dead_units", "dead layer made anew", "module[2].reset_parameters()"),
    "vanishing": (net(hidden=nn.Sigmoid, depth=6), (TRAIN, VALID), {}, "vanishing_gradients",
                  "SiLU for sigmoid and tanh", "nn.SiLU()"),
    "exploding": (enormous(), (TRAIN, VALID), {"lr": 0.003}, "exploding_gradients", "weights made anew",
                  "layer.reset_parameters()  # of each layer"),
    "rate too large": (net(), (TRAIN, VALID), {"lr": 3.0}, "learning_rate_too_large", "lr=0.03", "lr=0.03"),
    "rate too small": (net(), (TRAIN, VALID), {"lr": 1e-5}, "learning_rate_too_small", "lr=0.01", "lr=0.01"),
    "by heart": (Mean(), (TRAIN, VALID), {}, "capacity_too_small", "the control network", ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_its_remedy_helps(fault: str) -> None:
    module, (train, valid), options, name, change, code = FAULTS[fault]
    checkup = doctor(module, train, valid, **options)
    assert set(found(checkup)) == {name}
    finding = found(checkup)[name]
    assert code in finding.remedy.code
    assert finding.effect.is_measured
    assert change in finding.effect.text and "3 pairs" in finding.effect.text
    row = checkup.trials.filter((polars.col("change") == change) & (polars.col("verdict") == "better"))
    assert row["pairs"].to_list() == [3]
    trial = finding.remedy.tried
    if trial is not None:  # nothing had a number where training diverged
        assert trial.after < trial.before and trial.high < 0
        assert finding.effect.share == pytest.approx(1 - trial.after / trial.before)


@pytest.mark.parametrize(
    ("module", "train", "valid", "options"),
    [
        (net(), TRAIN, VALID, {}),
        (begins_at_zero(), TRAIN, VALID, {}),
        (net(3), CLASSES, VALID_CLASSES, {"loss": "cross_entropy"}),
        (net(3, nn.LogSoftmax(1)), CLASSES, VALID_CLASSES, {"loss": nn.NLLLoss()}),
        (Two(), ((X[:180, :3], X[:180, 3:]), Y[:180]), ((X[180:, :3], X[180:, 3:]), Y[180:]), {}),
        (nn.Linear(4, 1), (X, X[:, :1] + X[:, 3:] / 2), 0.2, {"lr": 0.03}),
    ],
    ids=["regression", "begins at zero", "classes", "log probabilities", "two inputs", "linear"],
)
def test_a_healthy_network_has_no_finding(module: nn.Module, train: Any, valid: Any, options: dict[str, Any]) -> None:
    checkup = doctor(module, train, valid, **options)
    assert (list(found(checkup)), checkup.status) == ([], 0)
    assert "Nothing wrong was found with this network before training" in str(checkup)
    assert all(check.id == "unscaled_target" for check in checkup.not_checked)
    assert checkup.by_heart is not None and checkup.by_heart.left < 0.5


def test_a_rate_is_no_remedy_for_a_target_that_is_not_scaled() -> None:
    train, valid = ((x, 200 * y) for x, y in (TRAIN, VALID))
    checkup = doctor(net(), train, valid, lr=1e-5)
    assert set(found(checkup)) == {"unscaled_target", "learning_rate_too_small"}
    assert "With target scaled and lr=0.01" in found(checkup)["unscaled_target"].effect.text
    assert found(checkup)["learning_rate_too_small"].remedy.change == {"lr": pytest.approx(0.01)}


def test_parameters_without_a_gradient_are_named() -> None:
    finding = found(doctor(Detached()))["vanishing_gradients"]
    assert finding.evidence["parameters"] == ["body.weight", "body.bias"]
    assert "module.body.requires_grad_(False)" in finding.remedy.code
    frozen = Detached()
    frozen.body.requires_grad_(False)
    assert "vanishing_gradients" not in found(doctor(frozen))


def test_what_a_loss_of_ones_own_means_is_not_guessed() -> None:
    checkup = doctor(net(), loss=lambda output, target: (output - target).abs().mean())
    assert {"wrong_output_layer", "unscaled_target", "capacity_too_small"} == {c.id for c in checkup.not_checked}
    assert checkup.metric == "validation loss"


def test_labels_of_shares_can_be_learnt_by_heart_too() -> None:
    train, valid = ((x, y.float()) for x, y in BINARY)
    checkup = doctor(Wrapped(net(), lambda x: x.squeeze(1)), train, valid, loss=nn.BCEWithLogitsLoss())
    assert list(found(checkup)) == []
    assert checkup.by_heart is not None and checkup.by_heart.left < 0.5


def test_nothing_is_left_changed() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm, self.drop = net(4), nn.BatchNorm1d(4), nn.Dropout(0.2)
            self.last = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.drop(self.norm(self.body(x))))

    module = Counting()
    module.train()
    module.body.eval()
    module.last(torch.ones(1, 4)).sum().backward()
    hook = module.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(module.state_dict())
    grads = [(p.grad, None if p.grad is None else p.grad.clone()) for p in module.parameters()]
    modes, inputs, targets = [m.training for m in module.modules()], LARGE[0][0].clone(), LARGE[0][1].clone()
    with nothing_left([module]):
        doctor(module, *LARGE, steps=20)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    for parameter, (grad, values) in zip(module.parameters(), grads, strict=True):
        assert parameter.grad is grad
        assert grad is None or values is None or torch.equal(grad, values)
    assert [m.training for m in module.modules()] == modes
    assert len(module._forward_hooks) == 1 and hook.id in module._forward_hooks
    assert torch.equal(inputs, LARGE[0][0]) and torch.equal(targets, LARGE[0][1])


def test_the_same_call_finds_the_same() -> None:
    one, other = (doctor(net(), *LARGE, steps=20) for _ in range(2))
    assert one.to_json() == other.to_json()


PLAIN = tuple((large, x[:, :1] + x[:, 3:]) for (large, _), (x, _) in zip(LARGE, (TRAIN, VALID), strict=True))


class Rows(IterableDataset):
    def __iter__(self) -> Any:
        return iter([(x.numpy(), y.numpy()) for x, y in zip(*PLAIN[0], strict=True)])


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        (tuple(part.numpy() for part in PLAIN[0]), 0.25),
        (DataLoader(TensorDataset(*PLAIN[0]), batch_size=20, shuffle=True), TensorDataset(*PLAIN[1])),
        (Rows(), PLAIN[1]),
        (PLAIN[0], None),
    ],
    ids=["arrays", "loader", "stream", "no validation rows"],
)
def test_rows_come_in_every_form(train: Any, valid: Any) -> None:
    checkup = doctor(net(), train, valid, steps=40)
    assert "unscaled_inputs" in found(checkup)
    assert checkup.train_rows == (135 if valid == 0.25 else 180)
    assert checkup.metric.startswith("training" if valid is None else "validation")
    assert any("the first 180 rows" in note for note in checkup.notes) == isinstance(train, Rows)


def test_of_many_rows_some_are_used_and_that_is_said() -> None:
    rows = 12_000
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    checkup = doctor(net(), (x, x[:, :1]), 0.25, steps=10)
    assert (checkup.train_rows, checkup.valid_rows) == (MOST_TRAINED, MOST_JUDGED)
    assert any("9,000" in note and "4,096" in note for note in checkup.notes)


@pytest.mark.parametrize(
    ("optimizer", "named", "rate"),
    [
        (torch.optim.AdamW, "adamw", 0.01),
        (lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9), "momentum", 0.05),
        (torch.optim.NAdam, "NAdam", 0.01),
    ],
    ids=["a class of torch", "a function of one", "another"],
)
def test_optimizers_of_torch_are_taken(optimizer: Any, named: str, rate: float) -> None:
    options = {} if rate == 0.01 else {"lr": None}
    checkup = doctor(net(), optimizer=optimizer, steps=10, **options)
    assert (checkup.optimizer, checkup.rate) == (named, rate)
    assert checkup.swept and "exploding_gradients" not in found(checkup)


def test_an_optimizer_without_a_rate_has_none_to_be_judged() -> None:
    checkup = doctor(net(), optimizer=lambda p: torch.optim.NAdam(p, lr=0.01), lr=None, steps=10)
    unchecked = {check.id: check.why for check in checkup.not_checked}
    assert checkup.rate is None
    assert "takes no lr" in unchecked["learning_rate_too_small"] and "learning_rate_too_large" in unchecked


def test_what_is_not_reached_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.checkups.examination.FOR_CHANGES", 0.0)
    checkup = doctor(net(), *LARGE)
    assert checkup.start is None and len(checkup.trials) == 0
    assert not found(checkup)["unscaled_inputs"].effect.is_measured
    assert {"capacity_too_small", "learning_rate_too_large"} <= {check.id for check in checkup.not_checked}
    assert "Not checked" in str(checkup)
    mild = doctor(net(), *((x + 1, y) for x, y in (TRAIN, VALID)))
    assert not found(mild) and "unscaled_inputs" in {check.id for check in mild.not_checked}


def test_an_answer_is_words_and_plain_data() -> None:
    checkup = doctor(net(), *LARGE, steps=40)
    assert repr(checkup) == "Checkup(Sequential: unscaled_inputs)"
    text = str(checkup)
    assert "with inputs scaled" in text and "the rate in question" in text and "nan" not in text.lower()
    assert all(len(line) <= 80 for line in text.splitlines())
    told = json.loads(json.dumps(checkup.to_json(), allow_nan=False))
    assert told["findings"][0]["id"] == "unscaled_inputs"
    assert told["trials"][0]["pairs"] == 3 and len(told["rates"]) == 7
    assert checkup.trials.columns[:4] == ["change", "metric", "before", "after"]
    assert math.isfinite(checkup.trials["low"][0])


class Raising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no way")


class RaisingInTraining(Raising):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else self.layer(x)


WRONG: dict[str, tuple[Any, Any, dict[str, Any], type[Exception], str]] = {
    "raises": (Raising(), TRAIN, {}, tt.ModuleError, "no way"),
    "raises in training": (RaisingInTraining(), TRAIN, {}, tt.ModuleError, "in training mode: no way"),
    "shape": (nn.Linear(5, 1), TRAIN, {}, tt.ModuleError, "cannot take inputs of shape"),
    "class": (net(2), CLASSES, {}, tt.LabelError, "holds class 2"),
    "outputs": (net(2), TRAIN, {}, tt.ShapeError, "as many outputs as there are targets"),
    "epochs": (net(), TRAIN, {"epochs": 3}, tt.OptionError, "epochs has no effect here"),
    "steps": (net(), TRAIN, {"steps": 1}, tt.OptionError, "steps"),
    "seeds": (net(), TRAIN, {"seeds": 1}, tt.OptionError, "seeds"),
    "budget": (net(), TRAIN, {"budget": "soon"}, tt.OptionError, "not a duration"),
    "no data": (net(), None, {}, tt.OptionError, "There is no data"),
    "loss": (net(), TRAIN, {"loss": "mce"}, tt.OptionError, "mce"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_looked_at_is_said_in_a_sentence(wrong: str) -> None:
    module, train, options, kind, words = WRONG[wrong]
    with pytest.raises(kind, match=words):
        doctor(module, train, 0.25, **options)
