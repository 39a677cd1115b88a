"""Two classes told by one output: the loss bce and its metrics, as torch and scikit-learn have them."""

import copy

import numpy
import pytest
import sklearn.metrics
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

import trimtab as tt
from trimtab.training.randomness import initialised, row_order

ROWS, HELD, BATCH, EPOCHS = 60, 40, 16, 4
_generator = numpy.random.default_rng(3)
X = _generator.normal(size=(ROWS + HELD, 3)).astype(numpy.float32)
Y = (X.sum(1) + _generator.normal(size=len(X)) > 0).astype(numpy.int64)
TRAIN, VALID = (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:])
HOW = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.05}


def net(outputs=1):
    return initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)), 0)


def loop(function, x=X[:ROWS], y=Y[:ROWS], epochs=EPOCHS):
    module = net()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    x, y = torch.from_numpy(x), torch.from_numpy(y).float()
    losses = []
    for epoch in range(epochs):
        for rows in torch.from_numpy(row_order(len(x), seed=0, fold=0, epoch=epoch)).split(BATCH):
            optimizer.zero_grad()
            function(module(x[rows])[:, 0], y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            held = module(torch.from_numpy(X[ROWS:]))[:, 0]
            losses.append(float(function(held, torch.from_numpy(Y[ROWS:]).float())))
    return module, losses


@pytest.mark.parametrize("name", ["bce", "binary_cross_entropy"])
@pytest.mark.parametrize("way", ["alone", "in lanes", "own optimizer"])
def test_bce_is_that_of_torch(name, way):
    losses = loop(binary_cross_entropy_with_logits)[1]
    if way == "in lanes":
        run = tt.sweep(net(), TRAIN, VALID, loss=name, **HOW | {"lr": [0.05, 0.1]}, seeds=2).runs[0]
    else:
        options = {"optimizer": torch.optim.Adam} if way == "own optimizer" else {}
        run = tt.fit(net(), TRAIN, VALID, loss=name, **HOW, **options)
    assert run.config.loss.name == "bce" and run.task == "classification"
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=1e-4)


FORMS = {
    "whole numbers": Y, "truth values": Y > 0, "floats": Y.astype(numpy.float32), "of 8 bits": Y.astype(numpy.uint8),
    "a column": Y[:, None], "a column of floats": Y[:, None].astype(numpy.float64),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flat", [False, True])
def test_labels_and_outputs_of_every_form(form, flat):
    y = FORMS[form]
    module = nn.Sequential(net(), nn.Flatten(0)) if flat else net()
    run = tt.fit(module, (X[:ROWS], y[:ROWS]), (X[ROWS:], y[ROWS:]), loss="bce", metric="accuracy", **HOW)
    expected = tt.fit(net(), TRAIN, VALID, loss="bce", metric="accuracy", **HOW)
    assert run.score == expected.score
    numpy.testing.assert_allclose(run.curves["validation_loss"], expected.curves["validation_loss"], rtol=1e-5)


def test_smoothing_class_weights_row_weights_and_focal():
    def smooth(logit, label):
        return binary_cross_entropy_with_logits(logit, 0.9 * label + 0.05)

    def weighted(logit, label):
        two = torch.stack([torch.zeros_like(logit), logit], 1)
        return cross_entropy(two, label.long(), weight=torch.tensor([1.0, 3.0]))

    for function, options in ((smooth, {"label_smoothing": 0.1}), (weighted, {"class_weights": (1, 3)})):
        run = tt.fit(net(), TRAIN, VALID, loss="bce", **HOW, **options)
        numpy.testing.assert_allclose(run.curves["validation_loss"], loop(function)[1], rtol=1e-4)
    plain = tt.fit(net(), TRAIN, VALID, loss="bce", **HOW)
    focal = tt.fit(net(), TRAIN, VALID, loss="focal", gamma=0.0, **HOW)
    numpy.testing.assert_allclose(focal.curves["validation_loss"], plain.curves["validation_loss"], rtol=1e-5)
    shares = (numpy.arange(ROWS) % 3).astype(float)
    own = tt.fit(net(), (*TRAIN, shares), VALID, **HOW,
                 loss=lambda o, t: binary_cross_entropy_with_logits(o[:, 0], t.float(), reduction="none"))  # fmt: skip
    run = tt.fit(net(), (*TRAIN, shares), VALID, loss="bce", **HOW)
    numpy.testing.assert_allclose(run.curves["train_loss"], own.curves["train_loss"], rtol=1e-4)


METRICS = {
    "log_loss": sklearn.metrics.log_loss,
    "accuracy": lambda y, p: sklearn.metrics.accuracy_score(y, p > 0.5),
    "balanced_accuracy": lambda y, p: sklearn.metrics.balanced_accuracy_score(y, p > 0.5),
    "f1": lambda y, p: sklearn.metrics.f1_score(y, p > 0.5),
    "roc_auc": sklearn.metrics.roc_auc_score,
}
LOSSES = {
    "bce": ("bce", Y, net),
    "a loss of logits": (nn.BCEWithLogitsLoss(), Y[:, None].astype(numpy.float32), net),
    "a loss of probabilities": (
        nn.BCELoss(),
        Y[:, None].astype(numpy.float32),
        lambda: nn.Sequential(net(), nn.Sigmoid()),
    ),
    "a loss of one dimension": (lambda o, t: binary_cross_entropy_with_logits(o.squeeze(-1), t.float()), Y, net),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("metric", METRICS)
def test_metrics_read_one_output_as_scikit_learn_does(metric, loss):
    function, y, make = LOSSES[loss]
    run = tt.fit(make(), (X[:ROWS], y[:ROWS]), (X[ROWS:], y[ROWS:]), loss=function, metric=metric, **HOW)
    with torch.no_grad():
        output = run.module(torch.from_numpy(X[ROWS:]))[:, 0].double()
    probability = output if loss == "a loss of probabilities" else output.sigmoid()
    assert run.score == pytest.approx(METRICS[metric](Y[ROWS:], probability.numpy()), rel=1e-6)


def test_a_search_and_a_sweep_over_losses_of_one_output(tmp_path):
    study = tt.tune(net(), TRAIN, valid=VALID, test=VALID, space={"loss": ["bce", "focal"], "lr": [0.05]}, trials=2,
                    metric="F1", epochs=3, budget="60s", out=tmp_path / "study")  # fmt: skip
    assert study.result["metric"] == "f1" and list(study.result["test"]) == [
        "log_loss", "accuracy", "balanced_accuracy", "f1", "roc_auc",
    ]  # fmt: skip
    with torch.no_grad():
        chosen = study.module(torch.from_numpy(X[ROWS:]))[:, 0] > 0
    assert study.result["test"]["f1"] == pytest.approx(sklearn.metrics.f1_score(Y[ROWS:], chosen))
    swept = tt.sweep(net(), TRAIN, VALID, loss=["bce", "focal"], epochs=3, seeds=2)
    assert swept.metric == "log_loss" and len(swept.runs) == 4


def test_losses_that_cannot_read_the_outputs_are_refused():
    cases = {
        'reads one output, the logit of class 1; the network returns 2.*"cross_entropy"': (net(2), "bce", Y),
        'needs one output per class.*loss="bce"': (net(1), "cross_entropy", Y),
        "holds class 2": (net(1), "bce", Y + 1),
        r"holds 0\.5.*for shares between 0 and 1": (net(1), "bce", Y * 0.5),
    }
    for words, (module, loss, y) in cases.items():
        with pytest.raises(tt.TrimtabError, match=words):
            tt.fit(module, (X, y), None, loss=loss, epochs=1)
    with pytest.raises(tt.ShapeError, match="needs one output per class"):
        tt.tune(net(), (X, Y), space={"loss": ["bce", "cross_entropy"]}, trials=1, budget="20s")


def test_the_default_stays_what_it_was_and_is_said(caplog):
    run = tt.fit(net(), TRAIN, VALID, epochs=1)
    assert run.config.loss.name == "mse" and 'With loss="bce"' in caplog.text
    caplog.clear()
    named = tt.fit(net(), TRAIN, VALID, metric="accuracy", epochs=1)
    assert named.config.loss.name == "bce" and "the loss is bce" in caplog.text
    caplog.clear()
    tt.fit(net(), (X, Y.astype(numpy.float32)), None, epochs=1)
    tt.fit(net(), (X, Y + 1), None, epochs=1)
    assert "bce" not in caplog.text


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_one_hot_labels_are_labels(dtype):
    labels = torch.from_numpy(Y + (X[:, 0] > 1))
    hot = one_hot(labels, 3).to(dtype)
    run = tt.fit(net(3), (X[:ROWS], hot[:ROWS]), (X[ROWS:], hot[ROWS:]), metric="accuracy", **HOW)
    expected = tt.fit(net(3), (X[:ROWS], labels[:ROWS]), (X[ROWS:], labels[ROWS:]), metric="accuracy", **HOW)
    assert run.config.loss.name == "cross_entropy" and run.task == "classification"
    assert run.curves.equals(expected.curves, null_equal=True)
    assert tt.fit(net(3), (X, hot.float()), None, epochs=1).config.loss.name == "mse"
    assert tt.fit(net(3), (X, hot.float()), None, loss="cross_entropy", epochs=1).task == "classification"
    counts = hot.clone().long()
    counts[0, 0] = 5
    assert tt.fit(net(3), (X, counts), None, epochs=1).config.loss.name == "mse"


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_the_script_trains_one_output_too(loss):
    run = tt.fit(net(), TRAIN, VALID, loss=loss, metric="f1", epochs=6, batch_size=0, lr=0.05)
    script: dict = {"__name__": "script"}
    exec(run.code(), script)  # noqa: S102 - what users are given to run
    x, y, xv, yv = (torch.from_numpy(part) for part in (*TRAIN, *VALID))
    module, score = script["train"](copy.deepcopy(net()), x, y, xv, yv)
    assert score == pytest.approx(run.score, abs=1e-6)
    torch.testing.assert_close(module[0].weight, run.module[0].weight, rtol=1e-3, atol=1e-5)


def test_validation_rows_of_one_class_are_refused_where_the_metric_needs_both():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(40) % 2).float()
    one = x[y == 1][:5], y[y == 1][:5]
    with pytest.raises(tt.DataError, match="roc_auc needs validation rows of both classes"):
        tt.fit(nn.Linear(3, 1), (x, y), one, loss="bce", metric="roc_auc", epochs=1)
    with pytest.raises(tt.DataError, match="roc_auc needs validation rows of both classes"):
        tt.tune(nn.Linear(3, 1), (x, y), valid=one, loss="bce", metric="roc_auc", space={"lr": [0.1, 0.01]}, trials=1)
