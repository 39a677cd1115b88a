import dataclasses

import numpy

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import loss
from trimtab.findings.finding import Finding, NotChecked

RNG = numpy.random.default_rng(0)
TRUTH = RNG.normal(size=200)


def predictions(*, wild: int = 0, size: float = 30.0) -> numpy.ndarray:
    told = TRUTH + 0.3 * RNG.normal(size=200)
    told[:wild] += size
    return told


def test_a_few_rows_that_make_most_of_a_squared_loss_are_named():
    finding = loss.outliers_dominate_loss(TRUTH, predictions(wild=3), "mse")
    assert isinstance(finding, Finding) and sorted(finding.evidence["rows"]) == [0, 1, 2]
    assert finding.evidence["share_of_loss"] > 0.9 and finding.remedy.change == {"loss": "huber", "delta": 1.0}


def test_no_outliers_where_errors_are_even_or_the_loss_is_not_swayed():
    assert loss.outliers_dominate_loss(TRUTH, predictions(), "mse") is None
    assert loss.outliers_dominate_loss(TRUTH, predictions(wild=3), "mae") is None
    assert loss.outliers_dominate_loss(TRUTH, predictions(wild=60), "mse") is None
    heavy = TRUTH + RNG.laplace(size=200)
    assert loss.outliers_dominate_loss(TRUTH, heavy, "mse") is None
    assert isinstance(loss.outliers_dominate_loss(TRUTH[:5], TRUTH[:5], "mse"), NotChecked)


def test_residuals_that_grow_with_what_is_predicted_are_no_outliers():
    rng = numpy.random.default_rng(1)
    price = numpy.exp(rng.normal(0, 1.5, size=400))
    told = price * numpy.exp(0.3 * rng.normal(size=400))
    assert numpy.sort((told - price) ** 2)[-20:].sum() > 0.8 * ((told - price) ** 2).sum()
    assert loss.outliers_dominate_loss(price, told, "mse") is None
    cheap = numpy.argsort(told)[:3]  # a wrong label among rows that are told well
    price[cheap] += 100
    finding = loss.outliers_dominate_loss(price, told, "mse")
    assert isinstance(finding, Finding) and sorted(finding.evidence["rows"]) == sorted(cheap.tolist())


def judged(metric: str, **knobs) -> object:
    curve = noisy(learning(), seed=2)
    return record(learning(), learning(), validation_metric=curve, greater_is_better=False, metric=metric, knobs=knobs)


def test_a_loss_with_its_minimum_elsewhere_than_the_metric():
    rule = loss.loss_does_not_match_metric
    assert found(rule, judged("rmse", loss="quantile", tau=0.9)).remedy.change == {"loss": "mse"}
    assert found(rule, judged("mae", loss="quantile", tau=0.9)).remedy.change == {"loss": "mae"}
    assert rule(judged("mae", loss="quantile", tau=0.5)) is None
    assert rule(judged("rmse", loss="huber", delta=1.0)) is None
    smoothed = dataclasses.replace(judged("log_loss", loss="cross_entropy", label_smoothing=0.4), task="classification")
    assert found(rule, smoothed).remedy.change == {"loss": "cross_entropy", "label_smoothing": 0.0}


def test_a_loss_that_falls_while_the_metric_gets_worse():
    worse = noisy(0.3 + 0.002 * epochs(100))
    rule, falls = loss.loss_does_not_match_metric, noisy(1 - 0.005 * epochs(100))
    curves = record(falls, falls, validation_metric=worse, greater_is_better=False, metric="mae")
    assert found(rule, curves).evidence["worse"] > 0.05
    assert rule(dataclasses.replace(curves, validation_metric=falls)) is None
    assert isinstance(rule(healthy()), NotChecked)


def test_predictions_that_are_all_alike():
    facts = {"prediction_spread": 0.01, "constant_error": 1.0}
    flat = record(noisy(numpy.ones(30), 0.001), train_metric=numpy.ones(30), validation_metric=numpy.ones(30),
                  greater_is_better=False, metric="rmse", facts=facts)  # fmt: skip
    assert "same prediction" in found(loss.collapsed_to_constant, flat).statement
    assert loss.collapsed_to_constant(dataclasses.replace(flat, facts={**facts, "prediction_spread": 0.3})) is None


def test_a_loss_that_never_moves():
    still = record(noisy(numpy.ones(60), 0.001))
    assert found(loss.collapsed_to_constant, still).remedy.change == {"lr": 1e-3, "weight_decay": 0.0}
    lower = dataclasses.replace(still, knobs={"lr": 1e-4, "weight_decay": 0.0})
    assert found(loss.collapsed_to_constant, lower).remedy.change == {"lr": 1e-4 / 10}
    assert loss.collapsed_to_constant(healthy()) is None
    assert loss.collapsed_to_constant(record(1 - 1e-4 * epochs(60))) is None  # slow, but under way
