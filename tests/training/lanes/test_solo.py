"""A run by itself follows the rules of a lane, and the caller's optimizer moves it as it moves a plain loop."""

import functools
import logging

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import trimtab as tt
from trimtab.training.randomness import initialised, row_order

ROWS, BATCH, EPOCHS = 48, 16, 4
_generator = numpy.random.default_rng(2)
X = _generator.normal(size=(ROWS + 16, 3)).astype(numpy.float32)
Y = (X.sum(1) + 0.2 * _generator.normal(size=len(X))).astype(numpy.float32)
CURVES = (
    "train_loss",
    "train_metric",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "update_ratio",
    "dead_units",
)


def net():
    return initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)), 0)


def dropping():
    return initialised(lambda: nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)), 0)


def fit(optimizer, module=None, **options):
    module = net() if module is None else module
    return tt.fit(module, (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:]), optimizer=optimizer,
                  **{"batch_size": BATCH, "epochs": EPOCHS, **options})  # fmt: skip


def weights(run_or_module):
    module = getattr(run_or_module, "module", run_or_module)
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def plain_loop(make, module, *, closure=False, batch=BATCH, epochs=EPOCHS):
    optimizer = make(list(module.parameters()))
    x, y = torch.from_numpy(X), torch.from_numpy(Y)[:, None]
    for epoch in range(epochs):
        for rows in torch.from_numpy(row_order(ROWS, seed=0, fold=0, epoch=epoch)).split(batch):

            def gradient(rows=rows):
                optimizer.zero_grad()
                loss = mse_loss(module(x[rows]), y[rows])
                loss.backward()
                return loss

            if closure:
                optimizer.step(gradient)
            else:
                gradient()
                optimizer.step()
    return module


def assert_same_curves(one, other):
    for name in CURVES:
        numpy.testing.assert_allclose(one.curves[name], other.curves[name], rtol=1e-4)
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-4, atol=1e-6)


ALIKE = {
    "sgd": (torch.optim.SGD, {"lr": 0.05}),
    "momentum": (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9), {"lr": 0.02}),
    "adam": (torch.optim.Adam, {"lr": 0.02}),
    "adamw": (lambda params, lr, weight_decay: torch.optim.AdamW(params, lr, weight_decay=weight_decay),
              {"lr": 0.02, "weight_decay": 0.1}),
    "rmsprop": (functools.partial(torch.optim.RMSprop, eps=1e-8), {"lr": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.05}),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("how", [{}, {"schedule": "cosine", "gradient_clip": 0.5, "evaluate_every": 3}])
def test_an_optimizer_of_torchs_own_is_the_built_in_of_that_name(name, how):
    factory, settings = ALIKE[name]
    assert_same_curves(fit(factory, **settings, **how), fit(name, **settings, **how))


@pytest.mark.parametrize("how", [
    {"averaging": 0.9}, {"schedule": "one_cycle"}, {"dropout": 0.3, "dropout_course": "linear"}, {"stop": 1, "lr": 0.4},
    {"schedule": tt.Schedule("plateau", patience=0, factor=0.1), "lr": 0.4, "epochs": 8}, {"batch_size": 0},
    {"metric": "rmse"},
])  # fmt: skip
def test_every_rule_of_a_lane_holds_for_a_run_by_itself(how):
    how = {"lr": 0.02, **how}
    own, named = (fit(optimizer, dropping(), **how) for optimizer in (torch.optim.Adam, "adam"))
    assert_same_curves(own, named)
    assert (own.best_epoch, own.epochs, own.ended, own.metric) == (
        named.best_epoch, named.epochs, named.ended, named.metric,
    )  # fmt: skip
    assert own.score == pytest.approx(named.score, rel=1e-4)


def test_batch_norm_of_a_run_by_itself():
    make = lambda: nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))  # noqa: E731
    own, named = (fit(o, initialised(make, 0), lr=0.05, batch_size=20) for o in (torch.optim.SGD, "sgd"))
    assert_same_curves(own, named)
    for name, value in own.module.state_dict().items():
        torch.testing.assert_close(value, named.module.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_an_optimizer_that_asks_for_the_loss_again_and_again():
    make = lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=4)  # noqa: E731
    run = fit(make, batch_size=0)
    expected = plain_loop(make, net(), closure=True, batch=ROWS)
    assert run.best_epoch == EPOCHS
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-3, atol=1e-5)
    searching = fit(lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"), batch_size=0, epochs=8)
    assert searching.score < 0.2


def test_parameter_groups_keep_their_own_rates_which_a_schedule_multiplies():
    def factory(parameters):
        return torch.optim.SGD([{"params": parameters[:2], "lr": 0.1}, {"params": parameters[2:], "lr": 0.01}])

    run = fit(factory, schedule="cosine")
    steps = EPOCHS * 3
    factors = [0.5 * (1 + numpy.cos(numpy.pi * (3 * epoch - 1) / steps)) for epoch in (1, 2, 3, 4)]
    numpy.testing.assert_allclose(run.curves["learning_rate"], [0.1 * f for f in factors], rtol=1e-6)
    groups = [tt.Group("0.*", rate=1.0), tt.Group("2.*", rate=0.1)]
    expected = fit("sgd", lr=0.1, schedule="cosine", groups=groups)
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)


def test_a_factory_gets_what_it_takes_and_keeps_what_it_sets_itself():
    def rates(optimizer, **options):
        return fit(optimizer, epochs=1, **options).curves["learning_rate"].to_list()

    assert rates(functools.partial(torch.optim.SGD, lr=0.3)) == [0.3]
    assert rates(functools.partial(torch.optim.SGD, lr=0.3), lr=0.2) == [0.2]
    assert rates(lambda p: torch.optim.SGD(p, lr=0.4)) == [0.4]
    assert rates(lambda p, **settings: torch.optim.SGD(p, nesterov=False, **settings), lr=0.5) == [0.5]
    assert rates(torch.optim.LBFGS) == [1.0]
    assert rates(lambda p, lr: torch.optim.SGD(p, lr=lr)) == [1e-3]
    momentum = fit(torch.optim.SGD, lr=0.02, momentum=0.9)
    assert_same_curves(momentum, fit("momentum", lr=0.02, momentum=0.9))


class Plain(torch.optim.Optimizer):
    """SGD as people write it who have never heard of closures."""

    def __init__(self, parameters, lr=0.05):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])


class Ignoring(Plain):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])


class Elsewhere(Plain):
    """Puts its parameters into new memory."""

    @torch.no_grad()
    def step(self, closure):
        closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data - group["lr"] * p.grad


class Rateless(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for p in self.param_groups[0]["params"]:
            p.add_(p.grad, alpha=-0.05)
        return loss


@pytest.mark.parametrize("optimizer", [Plain, Ignoring, Elsewhere, Rateless])
def test_optimizers_of_every_make_are_plain_sgd(optimizer):
    run = fit(optimizer)
    expected = plain_loop(lambda p: torch.optim.SGD(p, lr=0.05), net())
    assert run.best_epoch == EPOCHS
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)


def test_that_runs_train_one_by_one_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        tt.sweep(net(), (X, Y), optimizer=[torch.optim.SGD, torch.optim.Adam, "sgd"], seeds=2, epochs=1)
    assert [r.message for r in caplog.records] == ["With an optimizer of your own, runs train one after the other."]


@pytest.mark.parametrize(
    ("optimizer", "options", "words"),
    [
        (lambda p: 1 / 0, {}, "raised ZeroDivisionError"),
        (lambda p: None, {}, "gave a NoneType"),
        (lambda p: torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), {}, "over other parameters"),
        (torch.optim.SparseAdam, {}, "SparseAdam failed in its step"),
        (lambda p: torch.optim.SGD(p, lr=0.1), {"lr": 0.1}, "lr has no effect"),
        (torch.optim.Adam, {"momentum": 0.5}, "momentum has no effect"),
        (torch.optim.Adam, {"second_decay": 0.5}, "second_decay has no effect"),
        (torch.optim.SGD, {"groups": [tt.Group("*", rate=0.5)]}, "groups has no effect"),
        (torch.optim.SGD, {"decay_course": "linear"}, "decay_course has no effect"),
    ],
)
def test_what_an_optimizer_cannot_follow_is_refused(optimizer, options, words):
    with pytest.raises(tt.OptionError, match=words) as caught:
        fit(optimizer, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lr", [1e20, 1.5])
def test_a_run_by_itself_that_diverges_ends_and_keeps_its_best(lr):
    run, named = (fit(optimizer, lr=lr, epochs=150, batch_size=0) for optimizer in (torch.optim.SGD, "sgd"))
    assert run.ended == named.ended == "not finite"
    assert (run.best_epoch, run.epochs) == (named.best_epoch, named.epochs)
