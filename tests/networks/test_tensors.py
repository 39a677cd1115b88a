"""Parameters and buffers of every shape, type and kind: trained, kept and given back as by a plain loop."""

import copy

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import trimtab as tt
from trimtab.errors import ModuleError
from trimtab.training.programs.dropout import CountedDropout, with_counted_dropout
from trimtab.training.programs.program import Layout
from trimtab.training.randomness import initialised, row_order

ROWS, BATCH, EPOCHS = 40, 16, 3
_generator = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=_generator)
Y = X.sum(1, keepdim=True) + 0.5


class Scalars(nn.Module):
    """A parameter and a buffer without dimensions."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(3, 1), nn.Parameter(torch.tensor(0.5))
        self.register_buffer("shift", torch.tensor(0.25))

    def forward(self, x):
        return self.layer(x) * self.scale + self.shift


class OneScalar(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return x.sum(1, keepdim=True) * self.weight


class Empty(nn.Module):
    """Parameters and buffers without numbers."""

    def __init__(self):
        super().__init__()
        self.none, self.layer, self.rows = (
            nn.Parameter(torch.zeros(0)),
            nn.Linear(3, 1),
            nn.Parameter(torch.zeros(2, 0)),
        )
        self.register_buffer("nothing", torch.zeros(0, 3))

    def forward(self, x):
        return self.layer(x) + self.none.sum() + self.rows.sum() + self.nothing.sum()


class Unused(Empty):
    """Parameters that the output does not depend on."""

    def __init__(self):
        super().__init__()
        self.idle, self.idle_number = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.layer(x)


class Counting(nn.Module):
    """Integer and boolean buffers, one of which counts the batches, and one that no state holds."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("kept", torch.tensor([True, False, True]))
        self.register_buffer("codes", torch.tensor([2, 1, 3], dtype=torch.int8))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("temperature", torch.tensor(2.0), persistent=False)

    def forward(self, x):
        if self.training:
            self.seen.add_(1)
            self.mean.lerp_(x.detach().mean(0), 0.1)
        return self.layer((x - self.mean) * self.kept * self.codes) / self.temperature


class Tied(nn.Module):
    """A weight, a buffer and a layer under two names each."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.again.weight = self.first.weight
        self.same = self.last
        self.register_buffer("shift", torch.ones(3))
        self.register_buffer("too", self.shift)

    def forward(self, x):
        if self.training:
            self.shift.mul_(0.9)
        hidden = torch.tanh(self.again(torch.tanh(self.first(x + self.too))))
        return self.same(hidden) + self.last(hidden * 0.5)


class Frozen(nn.Module):
    """Frozen parameters: floats, a number alone, whole numbers, and a half of what is tied."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(3, 4).requires_grad_(requires_grad=False), nn.Linear(4, 1)
        self.number = nn.Parameter(torch.tensor(0.5), requires_grad=False)
        self.codes = nn.Parameter(torch.tensor([1, 2, 1]), requires_grad=False)

    def forward(self, x):
        return self.last(torch.tanh(self.layer(x * self.codes))) + self.number


KINDS = [Scalars, OneScalar, Empty, Unused, Counting, Tied, Frozen]


def loop(module):
    """A plain loop by Adam, short last batch and all."""
    module = copy.deepcopy(module)
    optimizer, losses = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=0.02), []
    for epoch in range(EPOCHS):
        module.train()
        # A module whose buffers hang on the rows of a batch never trains on one that is not full.
        for rows in torch.from_numpy(row_order(ROWS, seed=0, fold=0, epoch=epoch)).split(BATCH)[: _batches(module)]:
            optimizer.zero_grad()
            mse_loss(module(X[rows]), Y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(float(mse_loss(module.eval()(X), Y)))
    return module, losses


def _batches(module):
    return 2 if isinstance(module, Counting) else 3


def assert_same_module(mine, theirs):
    own, others = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (mine, theirs))
    assert list(own) == list(others)
    for name, tensor in own.items():
        assert tensor.shape == others[name].shape and tensor.dtype == others[name].dtype, name
        torch.testing.assert_close(tensor, others[name], rtol=1e-4, atol=1e-6, msg=name)
        assert tensor.requires_grad == others[name].requires_grad


HOW = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.02}
DATA = (X, Y), (X, Y)


def one(module, way, folder):
    """The run of a module trained in some way, and all validation losses."""
    if way == "in lanes":
        return tt.sweep(module, *DATA, **HOW | {"lr": [0.02, 0.01]}, seeds=2).runs[0]
    if way == "own optimizer":
        return tt.fit(module, *DATA, **HOW, optimizer=lambda p, lr: torch.optim.Adam(p, lr=lr))
    if way == "own loss":
        return tt.fit(module, *DATA, **HOW, loss=lambda o, t: ((o - t) ** 2).mean())
    if way == "resumed":
        with pytest.raises(ZeroDivisionError):
            tt.fit(module, *DATA, **HOW, checkpoint=folder, callbacks=lambda v: None if v["epoch"] < 2 else 1 / 0)
        return tt.fit(module, *DATA, **HOW, checkpoint=folder)
    return tt.fit(module, *DATA, **HOW)


@pytest.mark.parametrize("way", ["alone", "in lanes", "own optimizer", "own loss", "resumed"])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_kind_are_trained_as_in_a_plain_loop(kind, way, tmp_path):
    module = initialised(kind, 0)
    before = copy.deepcopy(module.state_dict())
    expected, losses = loop(module)
    run = one(module, way, tmp_path)
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=1e-4)
    if run.best_epoch == EPOCHS:
        assert_same_module(run.module, expected)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    compile(run.code(), "script", "exec")


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_keeps_tensors_of_every_kind(kind, tmp_path):
    module = initialised(kind, 0)
    study = tt.tune(module, data=(X, Y), valid=(X, Y), space={"lr": [0.02, 0.01]}, batch_size=BATCH, epochs=2, trials=2,
                    budget="60s", out=tmp_path / "study")  # fmt: skip
    for each in (study, tt.load(tmp_path / "study", module)):
        with torch.no_grad():
            error = float(mse_loss(each.module(X), Y).sqrt())
        assert study.winner.error == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("kind", [Scalars, Empty, Tied])
def test_the_script_trains_them_too(kind):
    run = tt.fit(initialised(kind, 0), *DATA, **HOW)
    script: dict = {"__name__": "script"}
    exec(run.code(), script)  # noqa: S102 - what users are given to run
    _, score = script["train"](initialised(kind, 0), X, Y, X, Y)
    assert score == pytest.approx(run.score, rel=0.3)  # rows come in another order there


def test_a_compiled_step_takes_numbers_alone_empty_tensors_and_two_classes_of_one_output(monkeypatch):
    from trimtab.networks import runs

    classes = (X, (Y > 0.5).float()), (X, (Y > 0.5).float())
    runs_of = {}
    for compiling in (False, True):
        monkeypatch.setattr(runs, "_repays_compiling", lambda *arguments, compiling=compiling: compiling)
        options = HOW | {"lr": [0.02, 0.01], "loss": "bce"}
        runs_of[compiling] = tt.sweep(initialised(Together, 0), *classes, **options, seeds=1).runs
    for eager, compiled in zip(*runs_of.values(), strict=True):
        numpy.testing.assert_allclose(eager.curves["validation_loss"], compiled.curves["validation_loss"], rtol=1e-4)


class Together(Scalars):
    def __init__(self):
        super().__init__()
        self.none = nn.Parameter(torch.zeros(0))
        self.register_buffer("codes", torch.tensor([1, 2, 3]))

    def forward(self, x):
        return super().forward(x * self.codes) + self.none.sum()


def test_modules_with_nothing_to_train_say_so():
    class OnlyEmpty(nn.Module):
        def __init__(self):
            super().__init__()
            self.none = nn.Parameter(torch.zeros(0, 3))

        def forward(self, x):
            return x.sum(1, keepdim=True) + self.none.sum()

    cases = {
        "all of its 2 parameters are frozen": nn.Linear(3, 1).requires_grad_(requires_grad=False),
        "it has no parameters": nn.Flatten(),
        "its parameters hold no numbers": OnlyEmpty(),
    }
    for words, module in cases.items():
        for call in (tt.fit, lambda *a, **k: tt.sweep(*a, **k, lr=[0.1, 0.2])):
            with pytest.raises(ModuleError, match=words):
                call(module, (X, Y), None, epochs=1)


def test_a_dropout_layer_in_two_places_is_one_layer_and_draws_at_each_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Dropout(0.5)
            self.other = self.one

        def forward(self, x):
            return self.one(x), self.other(x)

    module, names = with_counted_dropout(Twice())
    assert names == ("one",) and module.other is module.one and isinstance(module.one, CountedDropout)
    first, second = module.train()(torch.ones(100, 10))
    assert not torch.equal(first, second)
    assert 0.3 < float((first == second).double().mean()) < 0.7


def test_a_flat_row_and_its_views_hold_the_same_numbers():
    layout = Layout.of(Together())
    tensors = {name: torch.randn(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)}
    flat = layout.flatten(tensors)
    for lanes in (flat, flat.repeat(4, 1)):
        for name, view in layout.views(lanes).items():
            assert view.shape == (*lanes.shape[:-1], *tensors[name].shape)
            assert torch.equal(view, tensors[name].expand_as(view))
