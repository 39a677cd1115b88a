"""Metrics of the caller's own: they rule runs as the named ones do, and nothing about them is guessed."""

import numpy
import pandas
import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.training.metrics import METRICS
from trimtab.training.randomness import initialised

ROWS = 60
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS, 3)).astype(numpy.float32)
Y = X.sum(1) + 0.3 * _generator.normal(size=ROWS).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64) + (Y > 1)
TRAIN, VALID = (X[:40], Y[:40]), (X[40:], Y[40:])


def net(outputs=1):
    return initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs)), 0)


def root_mean_square(prediction, truth):
    return numpy.sqrt(((prediction - truth) ** 2).mean())


def explained(prediction, truth):
    return 1 - ((prediction - truth) ** 2).mean() / truth.var()


def share_right(probability, label):
    return (probability.argmax(1) == label).mean()


def weighted_size(prediction, truth, weight):
    return numpy.average(abs(prediction - truth), weights=weight)


SAME = {
    "rmse": (tt.Metric(root_mean_square, greater_is_better=False), TRAIN, VALID, 1),
    "r2": (tt.Metric(explained, name="share explained", greater_is_better=True), TRAIN, VALID, 1),
    "accuracy": (tt.Metric(share_right, greater_is_better=True), (X[:40], LABELS[:40]), (X[40:], LABELS[40:]), 3),
    "mae": (tt.Metric(weighted_size, greater_is_better=False), (*TRAIN, numpy.arange(40) + 1.0),
            (*VALID, numpy.arange(20) + 1.0), 1),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
@pytest.mark.parametrize("name", SAME)
def test_a_metric_of_ones_own_rules_a_run_as_the_named_one(name, optimizer):
    metric, train, valid, outputs = SAME[name]
    how = {"epochs": 6, "lr": 0.05, "batch_size": 16, "optimizer": optimizer, "stop": 2}
    own = tt.fit(net(outputs), train, valid, metric=metric, **how)
    named = tt.fit(net(outputs), train, valid, metric=name, **how)
    assert own.metric == metric.name and own.best_epoch == named.best_epoch and own.epochs == named.epochs
    assert own.score == pytest.approx(named.score, rel=1e-6)
    for column in ("validation_metric", "train_metric"):
        numpy.testing.assert_allclose(own.curves[column], named.curves[column], rtol=1e-5)


def test_it_reads_numbers_as_columns_and_classes_as_probabilities():
    seen = {}

    def noting(prediction, truth):
        seen[len(seen)] = (
            type(prediction),
            prediction.shape[1:],
            truth.shape[1:],
            truth.dtype.kind,
            float(prediction.sum()),
        )
        return 0.0

    metric = tt.Metric(noting, greater_is_better=False)
    for y, outputs in ((Y, 1), (numpy.stack([Y, Y], 1), 2), (LABELS, 3)):
        tt.fit(net(outputs), (X, y), None, metric=metric, epochs=1)
    forms = list(dict.fromkeys(entry[:4] for entry in seen.values()))
    array = numpy.ndarray
    assert forms == [(array, (), (), "f"), (array, (2,), (2,), "f"), (array, (3,), (), "i")]
    assert seen[len(seen) - 1][4] == pytest.approx(ROWS)
    binary = tt.Metric(lambda p, t: ((p[:, 1] > 0.5) == t).mean(), name="right", greater_is_better=True)
    assert tt.fit(net(), (X, LABELS > 0), None, loss="bce", metric=binary, epochs=1).score <= 1


def test_sweeps_and_searches_compare_by_it(tmp_path):
    metric, train, valid, _ = SAME["r2"]
    swept = tt.sweep(net(), train, valid, metric=metric, lr=[1e-4, 0.05], epochs=5, seeds=2)
    named = tt.sweep(net(), train, valid, metric="r2", lr=[1e-4, 0.05], epochs=5, seeds=2)
    assert swept.best == named.best == {"lr": 0.05} and swept.metric == "share explained"
    losses = tt.sweep(net(), train, valid, metric=metric, loss=["mse", "mae"], epochs=2, seeds=1)
    assert losses.metric == "share explained"
    how = {"space": {"lr": [1e-4, 0.05]}, "trials": 2, "epochs": 5, "budget": "60s"}
    study = tt.tune(net(), train, valid=valid, test=valid, metric=metric, out=tmp_path / "study", **how)
    assert study.result["metric"] == "share explained" and study.winner.values == {"lr": 0.05}
    assert study.result["test"]["share explained"] == pytest.approx(study.result["test"]["r2"], rel=1e-6)
    assert study.result["validation"]["share explained"] == pytest.approx(1 - study.winner.error, rel=1e-6)
    assert tt.load(tmp_path / "study", net()).winner.values == {"lr": 0.05}
    other = tt.Metric(explained, name="another", greater_is_better=True)
    with pytest.raises(tt.StudyError, match="another metric"):
        tt.tune(net(), train, valid=valid, metric=other, resume=tmp_path / "study", **how)
    assert (
        len(tt.tune(net(), train, valid=valid, metric=metric, resume=tmp_path / "study", **how | {"trials": 2}).trials)
        == 2
    )


def test_a_checkpoint_asks_for_the_same_name(tmp_path):
    metric = tt.Metric(root_mean_square, greater_is_better=False)
    tt.fit(net(), TRAIN, VALID, metric=metric, epochs=2, checkpoint=tmp_path)
    tt.fit(net(), TRAIN, VALID, metric=metric, epochs=2, checkpoint=tmp_path)
    with pytest.raises(tt.CheckpointError):
        tt.fit(net(), TRAIN, VALID, metric="rmse", epochs=2, checkpoint=tmp_path)


def test_a_loss_of_ones_own_beside_it_and_the_script():
    metric = SAME["r2"][0]
    run = tt.fit(
        net(), TRAIN, VALID, loss=lambda o, t: ((o[:, 0] - t) ** 2).mean(), metric=metric, epochs=3, batch_size=0
    )
    named = tt.fit(net(), TRAIN, VALID, metric="r2", epochs=3, batch_size=0)
    assert run.score == pytest.approx(named.score, rel=1e-5)
    script: dict = {"__name__": "script"}
    exec(run.code(), script)  # noqa: S102 - what users are given to run
    x, y, xv, yv = (torch.from_numpy(part) for part in (*TRAIN, *VALID))
    assert script["train"](net(), x, y, xv, yv)[1] == pytest.approx(run.score, rel=1e-5)


REFUSED = {
    "a function alone": (root_mean_square, r"say which way is better, as tt\.Metric\(function, greater_is_better"),
    "a function that raises": (
        tt.Metric(lambda p, t: 1 / 0, name="broken", greater_is_better=True),
        r"The metric broken raised ZeroDivisionError for prediction and truth of shapes \[\[20\], \[20\]\]",
    ),
    "no number": (
        tt.Metric(lambda p, t: p, name="rows", greater_is_better=True),
        "gave ndarray where it must give one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_metric_is_said_in_one_sentence(case):
    metric, words = REFUSED[case]
    with pytest.raises(tt.OptionError, match=words):
        tt.fit(net(), TRAIN, VALID, metric=metric, epochs=1)


def test_what_makes_no_metric():
    for given, words in (
        ({"function": 5, "greater_is_better": True}, "give a function"),
        ({"function": numpy.mean, "greater_is_better": "yes"}, "True or False"),
        ({"function": lambda p, t: 0, "greater_is_better": True}, "needs a name"),
        ({"function": explained, "greater_is_better": True, "name": "R2"}, '"R2" is a metric of trimtab'),
    ):
        with pytest.raises(tt.OptionError, match=words):
            tt.Metric(**given)
    with pytest.raises(TypeError):
        tt.Metric(explained)


def test_weights_that_it_cannot_count_and_tables_are_refused():
    metric = SAME["rmse"][0]
    with pytest.raises(
        tt.OptionError, match="rows of train= have weights, and the metric root_mean_square is not told"
    ):
        tt.fit(net(), (*TRAIN, numpy.arange(40) + 1.0), VALID, metric=metric, epochs=1)
    table = pandas.DataFrame(numpy.column_stack([X, Y]), columns=list("abcy"))
    for given in (metric, root_mean_square):
        with pytest.raises(tt.OptionError, match="metric is a function.*tables by the name of a metric"):
            tt.tune(table, "y", metric=given, trials=1)
        with pytest.raises(tt.OptionError, match="metric is a function"):
            tt.TrimtabRegressor(metric=given, trials=1).fit(X, Y)


def squared(prediction, truth):
    return ((prediction - truth) ** 2).mean()


def squared_of_large(prediction, truth):
    return squared(prediction, truth) if abs(prediction).max() > 1 else numpy.nan


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_that_never_gives_a_number_is_named_and_not_taken_for_divergence(value, optimizer):
    told = []

    class Listener:
        def ended(self, run, result):
            told.append("ended")

        def failed(self, run, error):
            told.append(str(error))

    metric = tt.Metric(lambda p, t: float(value), name="odd", greater_is_better=True)
    with pytest.raises(tt.OptionError, match=f"Your metric odd gave {value} for every epoch, although the losses are"):
        tt.fit(net(), TRAIN, VALID, metric=metric, epochs=2, optimizer=optimizer, callbacks=Listener())
    assert len(told) == 1 and "Your metric odd" in told[0]


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_epochs_without_a_number_are_never_the_best_and_end_no_run(optimizer, caplog):
    figures = iter([float("nan"), 3.0, float("-inf"), float("inf"), 2.0, float("nan")])

    def odd(prediction, truth):
        return next(figures) if len(truth) == 20 else 0.0

    metric = tt.Metric(odd, greater_is_better=False)
    run = tt.fit(net(), TRAIN, VALID, metric=metric, epochs=6, optimizer=optimizer)
    assert (run.ended, run.epochs, run.best_epoch, run.score) == ("all epochs", 6, 5, 2.0)
    assert caplog.text.count("The metric odd gave nan in an epoch") == 1


def test_losses_that_are_no_numbers_are_still_divergence():
    metric = tt.Metric(squared, greater_is_better=False)
    run = tt.fit(net(), TRAIN, VALID, metric=metric, epochs=5, lr=1e20, optimizer="sgd")
    assert run.ended == "not finite" and run.best_epoch == 0


def test_a_sweep_tells_values_without_a_score_from_those_that_diverge():
    metric = tt.Metric(squared_of_large, name="odd", greater_is_better=False)
    how = {"epochs": 10, "seeds": 1, "optimizer": "sgd"}
    swept = tt.sweep(net(), TRAIN, VALID, metric=metric, lr=[1e-6, 0.1, 1e20], **how)
    assert swept.table["diverged"].to_list() == [0, 0, 1] and swept.best == {"lr": 0.1} and swept.edge == 0.1
    assert numpy.isnan(swept.table["best"][0])
    assert "Not compared, for odd gave no number for them: 1e-06." in swept.words
    never = tt.Metric(lambda p, t: numpy.nan, name="never", greater_is_better=False)
    both = tt.sweep(net(), TRAIN, VALID, metric=never, lr=[1e-6, 1e20], **how)
    assert both.words.startswith("Every value of lr diverged, or never gave no number for it (1e-06).")
    with pytest.raises(tt.OptionError, match="Your metric never gave nan for every epoch of all 2 runs"):
        tt.sweep(net(), TRAIN, VALID, metric=never, lr=[1e-6, 0.1], **how)


def test_a_search_names_the_metric_that_scores_no_trial(tmp_path):
    never = tt.Metric(lambda p, t: numpy.nan, name="never", greater_is_better=True)
    how = {"epochs": 3, "quiet": True, "valid": VALID}
    space = {"lr": [1e-3, 1e-2]}
    with pytest.raises(tt.StudyError, match="Your metric never gave nan for every epoch of all 2 trials"):
        tt.tune(net(), TRAIN, metric=never, space=space, trials=2, out=tmp_path / "two", **how)
    # Nobody waits for the end of a budget to hear it.
    with pytest.raises(tt.OptionError, match="Your metric never gave nan for every epoch of the first 8 trials"):
        tt.tune(net(), TRAIN, metric=never, space={"lr": (1e-3, 1e-2)}, trials=500, out=tmp_path / "many", **how)
    some = tt.Metric(squared_of_large, name="odd", greater_is_better=False)
    study = tt.tune(
        net(), TRAIN, metric=some, space={"lr": [1e-7, 0.1]}, optimizer="sgd", trials=2, out=tmp_path / "some",
        **how | {"epochs": 10},
    )  # fmt: skip
    assert study.winner.values == {"lr": 0.1}
    assert any("odd gave no number in any epoch of 1 of the 2 trials" in notice for notice in study.notices)
    with pytest.raises(tt.StudyError, match="No trial was finished: training diverged in all that were tried"):
        tt.tune(net(), TRAIN, space={"lr": [1e20, 1e21]}, optimizer="sgd", trials=2, out=tmp_path / "lost", **how)


def test_named_metrics_are_none_of_ones_own():
    assert all(metric.own is None for metric in METRICS.values())
