"""Losses of the caller's own: the same curves as the built-in of that name, rows never broadcast against rows."""

import copy
import logging

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader

import trimtab as tt
from trimtab.errors import LossError
from trimtab.networks.examples import from_pair
from trimtab.networks.own_loss import own_loss
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


def loop(function, form=lambda y: y, epochs=4, batch=BATCH, rows=ROWS, module=None, dtype=torch.float32):
    """A plain loop by SGD over the batches of a run, the short last one among them; the module and the losses of its
    epochs on the rows behind."""
    module = (net() if module is None else copy.deepcopy(module)).to(dtype)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    x, y, losses = torch.from_numpy(X).to(dtype), form(torch.from_numpy(Y).to(dtype)), []
    for epoch in range(epochs):
        for chosen in torch.from_numpy(row_order(rows, seed=0, fold=0, epoch=epoch)).split(batch):
            optimizer.zero_grad()
            function(module(x[chosen]), y[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(float(function(module(x[rows:]), y[rows:])))
    return module, losses


def correlation(output, target):
    """1 - Pearson's: no row can be taken out of it."""
    both = torch.stack([output.squeeze(-1), target.reshape(-1)])
    return 1 - torch.corrcoef(both)[0, 1]


@pytest.mark.parametrize("loss", [root_mean_square, correlation])
@pytest.mark.parametrize("how", ["fit", "alone", "in lanes", "resumed"])
def test_a_number_that_mixes_rows_is_minimised_as_a_plain_loop_does(loss, how, tmp_path):
    module, losses = loop(loss, lambda y: y[:, None])
    options = {"batch_size": BATCH, "epochs": 4, "loss": loss, "lr": 0.05, "optimizer": "sgd"}
    data = (X[:ROWS], Y[:ROWS, None]), (X[ROWS:], Y[ROWS:, None])
    if how == "in lanes":
        run = tt.sweep(net(), *data, **options | {"lr": [0.05, 0.01]}, seeds=2).runs[0]
    elif how == "alone":
        run = tt.fit(net(), *data, **options | {"optimizer": lambda p, lr: torch.optim.SGD(p, lr=lr)})
    elif how == "resumed":
        stopping = {"checkpoint": tmp_path, **options}
        with pytest.raises(ZeroDivisionError):
            tt.fit(net(), *data, **stopping, callbacks=lambda values: None if values["epoch"] < 2 else 1 / 0)
        run = tt.fit(net(), *data, **stopping)
    else:
        run = tt.fit(net(), *data, **options)
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=1e-4)
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


def seen_by(loss, targets, weights=None, how="fit", module=None):
    """Shapes and dtypes of all targets that a run gives its loss, and how they hang together; without the rows."""
    seen = set()

    def noting(output, target):
        leaves, tree = pytree.tree_flatten(target)
        seen.add((tuple((tuple(leaf.shape[1:]), str(leaf.dtype)) for leaf in leaves), str(tree)))
        return loss(output, target)

    part = [pytree.tree_map(lambda y, s=s: y[s], targets) for s in (slice(ROWS), slice(ROWS, None))]
    train = (X[:ROWS], part[0]) if weights is None else (X[:ROWS], part[0], weights)
    options = {"loss": noting, "batch_size": BATCH, "epochs": 2}
    module = module or net()
    if how == "fit":
        tt.fit(module, train, (X[ROWS:], part[1]), **options)
    elif how == "alone":
        tt.fit(module, train, (X[ROWS:], part[1]), **options, optimizer=torch.optim.Adam)
    elif how == "in lanes":
        tt.sweep(module, train, (X[ROWS:], part[1]), **options, lr=[0.01, 0.02], seeds=2)
    else:
        data = pytree.tree_map(torch.as_tensor, (X[:ROWS], part[0]))
        held = pytree.tree_map(torch.as_tensor, (X[ROWS:], part[1]))
        loaders = [DataLoader(list(zip(x, *_columns(y), strict=True)), batch_size=BATCH, collate_fn=_collated(y))
                   for x, y in (data, held)]  # fmt: skip
        tt.fit(module, *loaders, **{**options, "epochs": 1})
    return seen


def _columns(targets):
    return pytree.tree_leaves(targets)


def _collated(targets):
    tree = pytree.tree_flatten(targets)[1]

    def collate(items):
        x, *leaves = (torch.stack(part) for part in zip(*items, strict=True))
        return x, pytree.tree_unflatten(leaves, tree)

    return collate


FORMS = {
    "one dimension": (Y, lambda o, t: ((o.squeeze(-1) - t) ** 2).mean()),
    "a column": (Y[:, None], lambda o, t: ((o - t) ** 2).mean()),
    "a column, one number a row": (Y[:, None], lambda o, t: ((o - t) ** 2)[:, 0]),
    "two columns": (numpy.stack([Y, 2 * Y], 1), lambda o, t: ((o - t) ** 2).mean()),
    "three dimensions": (Y[:, None, None], lambda o, t: ((o.unsqueeze(-1) - t) ** 2).mean()),
    "truth values": (Y > 0, lambda o, t: torch.where(t, -o[:, 0], o[:, 0]).exp().mean()),
    "labels of 8 bits": ((Y > 0).astype(numpy.uint8), lambda o, t: ((o[:, 0] - t) ** 2).mean()),
    "labels of 32 bits": ((Y > 0).astype(numpy.int32), lambda o, t: ((o[:, 0] - t) ** 2).mean()),
    "labels": ((Y > 0).astype(numpy.int64), lambda o, t: ((o[:, 0] - t) ** 2).mean()),
    "a tuple": ((Y, (Y > 0)[:, None]), lambda o, t: ((o[:, 0] - t[0]) ** 2).mean() + (o * t[1]).mean()),
    "a dict": ({"b": Y, "a": LABELS}, lambda o, t: ((o[:, 0] - t["b"]) ** 2 + t["a"]).mean()),
}


@pytest.mark.parametrize("how", ["fit", "alone", "in lanes", "loaders"])
@pytest.mark.parametrize("form", FORMS)
def test_targets_reach_a_loss_as_they_were_given(form, how):
    targets, loss = FORMS[form]
    leaves, tree = pytree.tree_flatten(targets)
    given = tuple((y.shape[1:], f"torch.{y.dtype}") for y in leaves), str(tree)
    assert seen_by(loss, targets, how=how) == {given}


@pytest.mark.parametrize("how", ["fit", "alone", "in lanes"])
def test_targets_keep_their_form_under_weights(how):
    targets, loss = FORMS["one dimension"]
    assert seen_by(loss, targets, weights=numpy.arange(ROWS) + 1.0, how=how) == {((((), "torch.float32"),), "*")}


@pytest.mark.parametrize("how", ["fit", "alone", "in lanes"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_of_one_dimension_trains_as_a_plain_loop_does(how, dtype):
    loss = FORMS["one dimension"][1]
    module, losses = loop(loss, dtype=dtype)
    options = {"batch_size": BATCH, "epochs": 4, "loss": loss, "lr": 0.05, "optimizer": "sgd"}
    given, data = net().to(dtype), ((X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:]))
    if how == "in lanes":
        run = tt.sweep(given, *data, **options | {"lr": [0.01, 0.05]}, seeds=1).runs[1]
    elif how == "alone":
        run = tt.fit(given, *data, **options | {"optimizer": torch.optim.SGD})
    else:
        run = tt.fit(given, *data, **options)
    exact = 1e-4 if dtype == torch.float32 else 1e-12
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=exact)
    torch.testing.assert_close(run.module[0].weight, module[0].weight, rtol=exact, atol=exact / 100)


def test_only_what_would_compare_every_row_with_every_other_gets_the_shape_of_the_outputs(caplog):
    shapes = set()

    def broadcasting(output, target):
        shapes.add(tuple(target.shape[1:]))
        return ((output - target) ** 2).mean()

    run = fit(broadcasting)
    assert (1,) in shapes and "y as [rows, 1], like the network's outputs" in caplog.text
    assert_same_curves(run, fit("mse"))
    caplog.clear()

    def pairs(output, target):
        """Contrasts rows with rows on purpose."""
        return ((output - output.T) - (target[:, None] - target[None, :])).square().mean()

    run = fit(pairs, optimizer="sgd", lr=0.05)
    numpy.testing.assert_allclose(run.curves["validation_loss"], loop(pairs)[1], rtol=1e-4)
    assert "like the network" not in caplog.text


def test_labels_of_the_first_rows_that_are_ignored_are_no_reason_to_refuse():
    labels = LABELS.copy()
    labels[:30] = -100
    loss = nn.CrossEntropyLoss()
    run = fit(loss, labels, net(3), batch_size=0, epochs=2)
    module, optimizer = net(3), None
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(2):
        optimizer.zero_grad()
        loss(module(torch.from_numpy(X[:ROWS])), torch.from_numpy(labels[:ROWS])).backward()
        optimizer.step()
    assert run.best_epoch == 2
    torch.testing.assert_close(run.module[0].weight, module[0].weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 20.0])), nn.CrossEntropyLoss(ignore_index=2)]
)
@pytest.mark.parametrize("how", ["fit", "in lanes"])
def test_a_mean_that_looks_like_one_over_rows_on_the_first_of_them_is_none(loss, how):
    """Sorted by class, the first rows say nothing of what a loss makes of others."""
    order = numpy.argsort(LABELS[:ROWS], kind="stable")
    x, y = X[:ROWS][order], LABELS[:ROWS][order]
    options = {"loss": loss, "batch_size": 20, "epochs": 3, "optimizer": "sgd", "lr": 0.05}
    if how == "fit":
        run = tt.fit(net(3), (x, y), (x, y), **options)
    else:
        run = tt.sweep(net(3), (x, y), (x, y), **options | {"lr": [0.05, 0.01]}, seeds=2).runs[0]
    module = net(3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    for epoch in range(3):
        for rows in torch.from_numpy(row_order(ROWS, seed=0, fold=0, epoch=epoch)).split(20):
            optimizer.zero_grad()
            loss(module(tx[rows]), ty[rows]).backward()
            optimizer.step()
    torch.testing.assert_close(run.module[0].weight, module[0].weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("part", ["train", "valid"])
@pytest.mark.parametrize("how", [{}, {"optimizer": torch.optim.Adam}])
def test_weights_that_a_loss_cannot_count_are_refused(part, how):
    weighted = numpy.arange(ROWS) + 1.0 if part == "train" else numpy.arange(20) + 1.0
    train, valid = [X[:ROWS], Y[:ROWS, None]], [X[ROWS:], Y[ROWS:, None]]
    (train if part == "train" else valid).append(weighted)
    with pytest.raises(tt.OptionError, match=f"rows of {part}= have weights.* one number for each row"):
        tt.fit(net(), tuple(train), tuple(valid), loss=root_mean_square, epochs=1, **how)
    (train if part == "train" else valid)[-1] = numpy.full(len(weighted), 3.0)
    assert tt.fit(net(), tuple(train), tuple(valid), loss=root_mean_square, epochs=1, **how).epochs == 1


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
    found = own_loss(loss, net()(torch.from_numpy(X[:8])), from_pair(X[:8], Y[:8]), {}).objective
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


def of_one_dimension(output, target):
    return ((output.squeeze(-1) - target) ** 2).mean()


@pytest.mark.parametrize("loss", [of_one_dimension, own_mean, root_mean_square, nn.MSELoss()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_script_gives_the_loss_its_targets_in_the_same_form(loss, dtype):
    module = net().to(dtype)
    run = fit(loss, module=module, batch_size=0, epochs=3)
    script: dict = {"__name__": "script"}
    exec(run.code(), script)  # noqa: S102 - what users are given to run
    parts = (torch.from_numpy(part) for part in (X[:ROWS], Y[:ROWS], X[ROWS:], Y[ROWS:]))
    x, y, xv, yv = (part.to(dtype) if i % 2 == 0 else part for i, part in enumerate(parts))
    trained, score = script["train"](module, x, y, xv, yv)
    assert score == pytest.approx(run.score, rel=1e-5)
    torch.testing.assert_close(trained[0].weight, run.module[0].weight, rtol=1e-4, atol=1e-6)


def test_rows_that_a_loss_leaves_out_are_found_wherever_they_stand():
    x, y = torch.randn(300, 3), torch.randn(300)
    y[-6:] = -9.0  # what stands for a gap

    def masked(output, target):
        counts = (target > -9).float()
        return ((output[:, 0] - target) ** 2 * counts).sum() / counts.sum().clamp_min(1)

    with pytest.raises(tt.OptionError, match="no row can be told from the others"):
        tt.fit(nn.Linear(3, 1), (x, y, torch.rand(300) + 0.1), None, loss=masked, epochs=1)
