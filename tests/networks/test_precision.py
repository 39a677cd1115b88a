"""Networks of any precision train in it: as plain loops do, to all digits that it has."""

import copy

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import trimtab as tt
from trimtab.training.randomness import initialised, row_order

ROWS, BATCH, EPOCHS = 40, 16, 3
_generator = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=_generator, dtype=torch.float64)
Y = X.sum(1, keepdim=True) + 0.1
LABELS = (Y[:, 0] > 0).long()
SWEPT = {"lr": [0.02, 0.01], "seeds": 2}


def net(outputs=1):
    return initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)), 0)


class Mixed(nn.Module):
    """Parameters of two precisions."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 1).double()

    def forward(self, x):
        return self.last(torch.tanh(self.first(x.float())).double())


def loop(module, make_optimizer, loss=mse_loss, x=X, y=Y):
    module = copy.deepcopy(module)
    optimizer, losses = make_optimizer(module.parameters()), []
    for epoch in range(EPOCHS):
        for rows in torch.from_numpy(row_order(len(x), seed=0, fold=0, epoch=epoch)).split(BATCH):
            optimizer.zero_grad()
            loss(module(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(float(loss(module(x), y)))
    return module, losses


def trained(module, way, x=X, y=Y, optimizer="adam", **options):
    how = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.02, "optimizer": optimizer, **options}
    if way == "in lanes":
        return tt.sweep(module, (x, y), (x, y), **how | SWEPT).runs[0]
    return tt.fit(module, (x, y), (x, y), **how)


def assert_trains_like(expected, run, rtol):
    module, losses = expected
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=rtol)
    for mine, theirs in zip(run.module.parameters(), module.parameters(), strict=True):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=rtol, atol=rtol)


OPTIMIZERS = {
    "adam": (lambda p: torch.optim.Adam(p, lr=0.02), {}),
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.02), {}),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True), {}),
    "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.02), {}),
    "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.02), {}),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1), {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("way", ["alone", "in lanes"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float64_has_all_its_digits_with_every_optimizer(optimizer, way):
    make, options = OPTIMIZERS[optimizer]
    module = net().double()
    assert_trains_like(loop(module, make), trained(module, way, optimizer=optimizer, **options), rtol=1e-11)


LOSSES = {
    "mse": (mse_loss, Y, 1),
    "mae": (nn.functional.l1_loss, Y, 1),
    "huber": (lambda o, t: nn.functional.huber_loss(o, t, delta=0.3), Y, 1),
    "cross_entropy": (cross_entropy, LABELS, 2),
    "bce": (lambda o, t: nn.functional.binary_cross_entropy_with_logits(o[:, 0], t.to(o.dtype)), LABELS, 1),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_float64_has_all_its_digits_with_every_loss(loss, own):
    function, y, outputs = LOSSES[loss]
    module = net(outputs).double()
    options = {"delta": 0.3} if loss == "huber" and not own else {}
    run = trained(module, "in lanes", y=y, loss=function if own else loss, **options)
    assert_trains_like(loop(module, OPTIMIZERS["adam"][0], function, y=y), run, rtol=1e-11)


def test_float64_with_an_optimizer_of_ones_own_weights_averaging_groups_and_clipping():
    module = net().double()
    make = OPTIMIZERS["adam"][0]
    run = trained(module, "alone", optimizer=lambda p, lr: torch.optim.Adam(p, lr=lr))
    assert_trains_like(loop(module, make), run, rtol=1e-13)
    shares = (torch.arange(ROWS) % 3 + 0.1).double()
    how = {
        "epochs": 2,
        "batch_size": BATCH,
        "averaging": 0.9,
        "gradient_clip": 0.1,
        "groups": [tt.Group("0.*", rate=0.1)],
    }
    weighted = tt.fit(module, (X, Y, shares), (X, Y), **how)
    alone = tt.fit(module, (X, Y, shares), (X, Y), **how, loss=lambda o, t: (o - t) ** 2)
    assert weighted.score == pytest.approx(alone.score, rel=1e-12)
    with torch.no_grad():
        assert float(mse_loss(weighted.module(X), Y)) == pytest.approx(weighted.score, rel=1e-14)


def test_a_network_that_fits_exactly_is_fitted_to_the_last_digit():
    # Columns at right angles, of mean square 1: gradient descent of rate 1/2 is there at once.
    x = torch.linalg.qr(torch.cat([torch.ones(ROWS, 1), X], dim=1)).Q[:, 1:] * ROWS**0.5
    y = x.sum(1, keepdim=True) + 0.1
    module = initialised(lambda: nn.Linear(3, 1), 0).double()
    run = tt.fit(module, (x, y), None, epochs=4, optimizer="gd", lr=0.5, metric="rmse")
    with torch.no_grad():
        real = float(((run.module(x) - y) ** 2).mean())
    assert real < 1e-28 and run.score == pytest.approx(real**0.5, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_inputs_and_targets_follow_the_network(dtype):
    single = trained(net(), "alone", X.to(dtype).numpy(), Y.to(dtype).numpy())
    assert_trains_like(loop(net(), OPTIMIZERS["adam"][0], x=X.to(dtype).float(), y=Y.to(dtype).float()), single, 1e-4)
    double = trained(net().double(), "alone", X.to(dtype).numpy(), Y.to(dtype).numpy())
    expected = loop(net().double(), OPTIMIZERS["adam"][0], x=X.to(dtype).double(), y=Y.to(dtype).double())
    assert_trains_like(expected, double, 1e-11)


def test_numbers_that_a_network_cannot_hold_are_refused_where_they_stand():
    large = torch.where(X[4, 1] == X, 1e300, X)
    with pytest.raises(tt.NotFiniteError, match=r"X of train= holds a number too large for float32, first at \[4, 1\]"):
        tt.fit(net(), (large, Y), None)
    with pytest.raises(tt.NotFiniteError, match=r"y of valid= holds a number too large for float32, first at \[4, 0\]"):
        tt.fit(net(), (X, Y), (X, torch.where(Y[4] == Y, 1e300, Y)))


@pytest.mark.parametrize("way", ["alone", "in lanes", "own optimizer"])
@pytest.mark.parametrize("kind", ["bfloat16", "float16", "mixed"])
def test_other_precisions_compute_in_their_own_and_what_is_scored_is_what_is_given_back(kind, way, caplog):
    module = initialised(Mixed, 0) if kind == "mixed" else net().to(getattr(torch, kind))
    before = [p.dtype for p in module.parameters()]
    options = {"optimizer": torch.optim.Adam} if way == "own optimizer" else {}
    run = trained(module, way, metric="rmse", **options)
    assert [p.dtype for p in run.module.parameters()] == before
    with torch.no_grad():
        output = run.module(X if kind == "mixed" else X.to(before[0])).double()
    error = float(((output - Y.to(before[0] if kind != "mixed" else torch.float64)) ** 2).mean().sqrt())
    assert run.score == pytest.approx(error, rel=1e-3)
    make = OPTIMIZERS["adam"][0]
    expected = loop(module, make) if kind == "mixed" else loop(net(), make, x=X.float(), y=Y.float())
    assert run.score**2 == pytest.approx(expected[1][-1], rel=1e-5 if kind == "mixed" else 0.03)
    assert len([r for r in caplog.records if "as it was given; between the steps" in r.message]) == 1


def test_a_search_of_every_precision_and_its_module_from_the_folder(tmp_path):
    for i, module in enumerate((net().double(), net().bfloat16(), initialised(Mixed, 0))):
        study = tt.tune(module, data=(X, Y), valid=(X, Y), space={"lr": [0.02, 0.01]}, epochs=2, trials=2, budget="60s",
                        out=tmp_path / str(i))  # fmt: skip
        loaded = tt.load(study.out, module).module
        assert [p.dtype for p in loaded.parameters()] == [p.dtype for p in module.parameters()]
        with torch.no_grad():
            own = loaded(X.bfloat16() if i == 1 else X).double()
        error = float(((own - (Y.bfloat16() if i == 1 else Y)) ** 2).mean().sqrt())
        assert study.winner.error == pytest.approx(error, rel=1e-13 if i == 0 else 1e-3)
        assert study.result["validation"]["rmse"] == pytest.approx(study.winner.error, rel=1e-13 if i == 0 else 1e-6)


def test_complex_numbers_are_refused_in_one_sentence():
    class Turning(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)
            self.register_buffer("turn", torch.tensor(1j))

        def forward(self, x):
            return (self.layer(x) * self.turn).imag

    assert_trains_like(loop(net := initialised(Turning, 0), OPTIMIZERS["adam"][0], x=X.float(), y=Y.float()),
                       trained(net, "alone", X.float(), Y.float()), 1e-4)  # fmt: skip
    cases = {
        "complex parameters": (nn.Linear(3, 1, dtype=torch.complex64), X, Y, tt.ModuleError),
        "X of train= holds complex": (nn.Linear(3, 1), X * 1j, Y, tt.DataError),
        "y of train= holds complex": (nn.Linear(3, 1), X, Y * 1j, tt.DataError),
        "returned complex numbers": (nn.Sequential(nn.Linear(3, 1), _Turned()), X, Y, tt.ShapeError),
    }
    for words, (module, x, y, kind) in cases.items():
        with pytest.raises(kind, match=words):
            tt.fit(module, (x, y), None, epochs=1)


class _Turned(nn.Module):
    def forward(self, x):
        return x * 1j
