"""Losses of the caller's own: the same curves as the built-in of that name, rows never broadcast against rows."""

import logging

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import trimtab as tt
from trimtab.errors import LossError
from trimtab.modules.examples import from_pair
from trimtab.modules.own_loss import own_loss
from trimtab.training.randomness import initialised, row_order

ROWS, BATCH = 50, 16
_generator = numpy.random.default_rng(1)
X = _generator.normal(size=(ROWS + 20, 3)).astype(numpy.float32)
Y = (X.sum(1) + 0.2 * _generator.normal(size=len(X))).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64) + (Y > 1)
CURVES = ("train_loss", "validation_loss", "gradient_norm")


def net(outputs=1):
    return initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)), 0)


def fit(loss, y=Y, module=None, weights=None, **options):
    train = (X[:ROWS], y[:ROWS]) if weights is None else (X[:ROWS], y[:ROWS], weights)
    how = {"batch_size": BATCH, "epochs": 4, "lr": 0.02, **options}
    return tt.fit(net() if module is None else module, train, (X[ROWS:], y[ROWS:]), loss=loss, **how)


def assert_same_curves(one, other):
    for name in CURVES:
        numpy.testing.assert_allclose(one.curves[name], other.curves[name], rtol=1e-4)


def own_mean(output, target):
    return ((output - target) ** 2).mean()


def by_row(output, target):
    return ((output - target) ** 2)[:, 0]


def by_row_and_column(output, target):
    return (output - target) ** 2


def refused_by_vmap(output, target):
    return ((output - target) ** 2).mean() * (1.0 if float(output.detach().sum()) < 1e30 else 0.0)


def root_mean_square(output, target):
    return ((output - target) ** 2).mean().sqrt()


MEANS = [nn.MSELoss(), nn.MSELoss(reduction="none"), own_mean, by_row, by_row_and_column, refused_by_vmap]


@pytest.mark.parametrize("loss", MEANS, ids=lambda loss: getattr(loss, "__name__", str(loss)))
@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_a_mean_square_of_ones_own_is_mse(loss, optimizer):
    assert_same_curves(fit(loss, optimizer=optimizer), fit("mse"))


@pytest.mark.parametrize("loss", [own_mean, by_row, refused_by_vmap])
@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_row_weights_count_as_they_do_in_mse(loss, optimizer):
    weights = _generator.uniform(0, 2, ROWS) * (numpy.arange(ROWS) % 4 > 0)
    assert_same_curves(fit(loss, weights=weights, optimizer=optimizer), fit("mse", weights=weights))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="none"), cross_entropy])
def test_a_cross_entropy_of_ones_own_is_cross_entropy(loss):
    own, named = (fit(each, LABELS, net(3), metric="accuracy") for each in (loss, "cross_entropy"))
    assert_same_curves(own, named)
    assert own.score == named.score and own.metric == "accuracy" and own.task == "classification"


def test_smoothing_and_class_weights_of_ones_own():
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert_same_curves(fit(smooth, LABELS, net(3)), fit("cross_entropy", LABELS, net(3), label_smoothing=0.1))
    # A mean weighted by class mixes the rows of a batch: a short last batch is left out.
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    whole = {"batch_size": 25}
    named = fit("cross_entropy", LABELS, net(3), class_weights=(1, 2, 3), **whole)
    assert_same_curves(fit(weighted, LABELS, net(3), **whole), named)


def test_a_number_that_mixes_rows_is_minimised_as_a_plain_loop_does():
    run = fit(root_mean_square, optimizer="sgd", lr=0.05)
    module = net()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    x, y = torch.from_numpy(X), torch.from_numpy(Y)[:, None]
    for epoch in range(4):
        # Three whole batches of 16: the last two of 50 rows are left out.
        for rows in torch.from_numpy(row_order(ROWS, seed=0, fold=0, epoch=epoch)).split(BATCH)[:3]:
            optimizer.zero_grad()
            root_mean_square(module(x[rows]), y[rows]).backward()
            optimizer.step()
    assert run.best_epoch == 4
    torch.testing.assert_close(run.module[0].weight, module[0].weight, rtol=1e-4, atol=1e-6)


def test_what_vmap_refuses_is_computed_lane_by_lane_and_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        sweep = tt.sweep(net(), (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:]), loss=refused_by_vmap, lr=[0.01, 0.02, 0.05],
                         seeds=2, epochs=2, batch_size=BATCH, threads=2)  # fmt: skip
    assert len([r for r in caplog.records if "lane by lane" in r.message]) == 1
    single = fit(refused_by_vmap, epochs=2)
    numpy.testing.assert_allclose(sweep.runs[2].curves["train_loss"], single.curves["train_loss"], rtol=1e-4)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
@pytest.mark.parametrize("flat", [False, True])
def test_one_number_a_row_is_never_broadcast_against_rows(shape, dtype, flat):
    y = (Y > 0).astype(dtype).reshape(shape)
    module = nn.Sequential(net(), nn.Flatten(0)) if flat else net()

    def loss(output, target):
        assert output.shape == target.shape
        return (output - target.float()) ** 2

    assert_same_curves(fit(loss, y, module), fit("mse", y, net()))


def test_targets_in_a_dict_take_the_shapes_of_outputs_in_a_dict():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            both = self.layer(x)
            return {"b": both[:, 1:], "a": both[:, 0]}

    def loss(output, target):
        assert all(output[name].shape == target[name].shape for name in "ab")
        return ((output["a"] - target["a"]) ** 2).mean() + ((output["b"] - target["b"]) ** 2).mean()

    examples = from_pair(X, {"a": Y[:, None], "b": Y})
    outputs = Two()(torch.from_numpy(X))
    assert [tuple(y.shape) for y in in_shape_of(outputs, examples).targets] == [(len(X),), (len(X), 1)]
    train, valid = ((X[part], {"b": Y[part], "a": Y[part][:, None]}) for part in (slice(ROWS), slice(ROWS, None)))
    run = tt.fit(Two(), train, valid, loss=loss, epochs=30, lr=0.05)
    assert run.score < 0.5


def test_shapes_that_differ_by_more_than_ones_are_left_to_the_loss():
    outputs = torch.zeros(len(X), 2, 3)
    assert in_shape_of(outputs, from_pair(X, numpy.zeros((len(X), 6)))).targets[0].shape == (len(X), 6)
    assert in_shape_of(outputs, from_pair(X, numpy.zeros((len(X), 2, 1, 3)))).targets[0].shape == (len(X), 2, 3)
    assert in_shape_of(torch.zeros(len(X), 3), from_pair(X, LABELS)).targets[0].shape == (len(X),)


@pytest.mark.parametrize(
    ("loss", "rows_are", "draws"),
    [
        (own_mean, "averaged", False),
        (by_row, "given", False),
        (root_mean_square, "mixed", False),
        (lambda o, t: ((o - t) ** 2).sum(), "mixed", False),
        (lambda o, t: (o - t) ** 2 * torch.rand(1), "given", True),
    ],
)
def test_what_a_loss_gives_is_found_out_on_the_first_rows(loss, rows_are, draws):
    before = torch.get_rng_state()
    outputs = net()(torch.from_numpy(X[:8]))
    found = custom_loss(loss, outputs, from_pair(X, Y), {})
    assert (found.rows_are, found.draws) == (rows_are, draws)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_metric_reads_what_a_loss_of_ones_own_predicts():
    run = fit(own_mean, metric="rmse")
    with torch.no_grad():
        error = run.module(torch.from_numpy(X[ROWS:]))[:, 0] - torch.from_numpy(Y[ROWS:])
    assert run.score == pytest.approx(float(error.square().mean().sqrt()), rel=1e-5)
    with pytest.raises(tt.LabelError, match=r"class 7 at \[3\]"):
        fit(nn.CrossEntropyLoss(ignore_index=7), numpy.where(numpy.arange(len(Y)) == 3, 7, LABELS), net(3),
            metric="accuracy")  # fmt: skip
    with pytest.raises(LossError):
        fit(lambda o, t: mse_loss(o, t, reduction="none").mean(dim=0)[:0])
