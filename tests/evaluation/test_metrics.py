"""What describes a model is what scikit-learn makes of the same rows and weights."""

import numpy
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from trimtab.evaluation.metrics import F1, OF_TWO_CLASSES, PRECISION, RECALL, all_metrics, figures

ROWS = 80
_generator = numpy.random.default_rng(0)
TRUTH = _generator.integers(0, 2, ROWS)
# Rounded, so that there are ties.
CHANCE = numpy.clip(0.3 * TRUTH + _generator.uniform(0, 0.7, ROWS), 0, 1).round(1)
PREDICTION = numpy.stack([1 - CHANCE, CHANCE], axis=1)
WEIGHTS = _generator.integers(0, 4, ROWS).astype(float)
ORACLES = {
    "f1": lambda truth, chance, w: sklearn_metrics.f1_score(truth, chance > 0.5, sample_weight=w),
    "precision": lambda truth, chance, w: sklearn_metrics.precision_score(truth, chance > 0.5, sample_weight=w),
    "recall": lambda truth, chance, w: sklearn_metrics.recall_score(truth, chance > 0.5, sample_weight=w),
    "average_precision": lambda truth, chance, w: sklearn_metrics.average_precision_score(
        truth, chance, sample_weight=w
    ),
    "brier": lambda truth, chance, w: sklearn_metrics.brier_score_loss(truth, chance, sample_weight=w),
}


@pytest.mark.parametrize("weights", [numpy.ones(ROWS), WEIGHTS], ids=["equal rows", "weights"])
@pytest.mark.parametrize("metric", OF_TWO_CLASSES, ids=lambda metric: metric.name)
def test_the_figure_is_that_of_scikit_learn_and_its_interval_is_around_it(metric, weights) -> None:
    expected = ORACLES[metric.name](TRUTH, CHANCE, weights)
    (found,) = figures(metric, [PREDICTION], [TRUTH], weights, seed=0)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high
    assert figures(metric, [PREDICTION], [TRUTH], weights, seed=0) == [found]


@pytest.mark.parametrize("metric", OF_TWO_CLASSES, ids=lambda metric: metric.name)
def test_drawing_a_row_twice_is_giving_it_twice_the_weight(metric) -> None:
    lane = torch.as_tensor(PREDICTION)[None], torch.as_tensor(TRUTH)[None], torch.ones(1, ROWS, dtype=torch.float64)
    drawn = numpy.random.default_rng(1).integers(0, ROWS, ROWS)
    times = torch.as_tensor(numpy.bincount(drawn, minlength=ROWS), dtype=torch.float64)
    error = float(metric.reweighted(*lane)(times[None, None])[0, 0])
    assert metric.shown(error) == pytest.approx(ORACLES[metric.name](TRUTH[drawn], CHANCE[drawn], None))


def test_what_nobody_predicts_has_no_precision() -> None:
    never = numpy.tile([1.0, 0.0], (ROWS, 1))
    precision, recall, f1 = (figures(m, [never], [TRUTH], numpy.ones(ROWS), seed=0)[0] for m in (PRECISION, RECALL, F1))
    assert numpy.isnan([precision.value, precision.low, precision.high]).all()
    assert (recall.value, f1.value) == (0, 0)
    assert precision.to_json() == {"value": None, "low": None, "high": None}


def test_every_metric_of_a_search_is_among_those_that_describe_once() -> None:
    names = [metric.name for metric in all_metrics("classification", 2)]
    assert len(names) == len(set(names))
    assert set(names) >= {"log_loss", "accuracy", "balanced_accuracy", "roc_auc", *ORACLES}
    assert "average_precision" not in [metric.name for metric in all_metrics("classification", 3)]
    assert {"rmse", "mae", "r2"} <= {metric.name for metric in all_metrics("regression", 1)}
