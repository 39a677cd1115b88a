"""Which values are like the best: the true best is among them in 95 cases of 100, however many there are."""

import numpy
import pytest
import torch

from trimtab.networks.comparison import Predicted, compare, metric_of_loss
from trimtab.training.config import Loss
from trimtab.training.metrics import METRICS

DRAWS = 600


def covered(values, repeats, spread, *, noise=0.02, shared=0.3, seed=0):
    """How often the true best is called the best or like it, how often it looks best, and the share of values alike."""
    generator = numpy.random.default_rng(seed)
    found = numpy.zeros(3)
    for _ in range(DRAWS):
        true = 1 + spread * numpy.abs(generator.normal(size=values)) if spread else numpy.ones(values)
        paired = shared * generator.normal(size=(1, repeats))  # the same seed is easy or hard for every value
        errors = true[:, None] + paired + noise * generator.normal(size=(values, repeats))
        result = compare(errors, numpy.zeros(values, bool))
        best = int(true.argmin()) if spread else 0
        found += best in result.alike, best == result.best, len(result.alike) / values
    return found / DRAWS


@pytest.mark.parametrize("repeats", [2, 3, 8])
@pytest.mark.parametrize("values", [2, 6, 24])
def test_the_best_of_equal_values_is_left_out_once_in_twenty(values, repeats):
    share, _, _ = covered(values, repeats, 0.0)
    assert 0.92 < share < 0.98


@pytest.mark.parametrize("values", [2, 24])
def test_the_true_best_is_hardly_ever_left_out_and_far_values_are(values):
    share, found, alike = covered(values, 3, 0.3)
    assert share > 0.95 and found > 0.5 and alike < (0.4 if values > 2 else 0.8)
    none, _, size = covered(values, 3, 3.0)
    assert none > 0.95 and size < (0.1 if values > 2 else 0.6)


def test_pairs_tell_apart_what_is_hidden_in_the_spread_of_seeds():
    generator = numpy.random.default_rng(0)
    seeds = generator.normal(size=5)
    errors = numpy.stack([10 + seeds, 10.1 + seeds + 0.01 * generator.normal(size=5)])
    result = compare(errors, numpy.zeros(2, bool))
    assert result.best == 0 and result.alike == (0,)


def test_a_value_that_spreads_more_than_the_others_is_judged_by_its_own_spread():
    """What five values near each other spread tells nothing of a sixth whose runs end anywhere."""
    errors = numpy.array([[0.060, 0.084, 0.078]]) + numpy.array([[0.0], [0.001], [0.0005], [0.0015], [0.0012]])
    errors += 0.001 * numpy.random.default_rng(0).normal(size=errors.shape)
    wild = numpy.array([[0.041, 0.132, 0.095]])
    calm = wild.mean() + errors[:1] - errors[:1].mean()
    assert 5 in compare(numpy.concatenate([errors, wild]), numpy.zeros(6, bool)).alike
    assert 5 not in compare(numpy.concatenate([errors, calm]), numpy.zeros(6, bool)).alike


RATES = numpy.array(
    [[6.362, 6.845, 5.992, 6.593, 6.138], [6.031, 6.369, 5.589, 6.245, 5.495], [5.661, 5.775, 5.25, 6.306, 5.085],
     [5.806, 5.556, 4.886, 6.162, 4.989], [5.807, 5.994, 5.227, 6.445, 4.97], [16.406, 8.589, 6.806, 7.375, 7.859],
     [16.324, 16.773, 20.682, 17.262, 17.015]]
)  # fmt: skip


@pytest.mark.parametrize("swept", [(3, 5), (3, 0), (3, 5, 0), (1, 2, 3, 4, 5, 6), range(7)])
def test_a_value_that_is_worse_each_time_is_told_apart_whatever_else_was_swept(swept):
    """Concrete, a rate per line and a fold per column: the fifth of 0.1 went astray."""
    rows = list(swept)
    result = compare(RATES[rows], numpy.zeros(len(rows), bool))
    assert rows[result.best] == 3
    assert {rows[i] for i in result.alike} <= {1, 2, 3, 4}
    assert {rows[i] for i in result.alike} >= {2, 3} & set(rows)


def test_what_failed_is_neither_best_nor_alike():
    errors = numpy.array([[1.0, 1.1], [0.1, 0.1], [1.05, 1.0], [numpy.nan, 1.0], [numpy.inf, numpy.inf]])
    result = compare(errors, numpy.array([False, True, False, False, False]))
    assert result.best == 2 and set(result.alike) == {0, 2}
    assert compare(errors, numpy.ones(5, bool)) == compare(errors[3:], numpy.zeros(2, bool))
    assert compare(errors[3:], numpy.zeros(2, bool)).best is None


def test_equal_errors_are_alike_and_one_value_is_itself():
    assert compare(numpy.ones((3, 2)), numpy.zeros(3, bool)).alike == (0, 1, 2)
    assert compare(numpy.ones((1, 2)), numpy.zeros(1, bool)).alike == (0,)
    assert compare(numpy.array([[1.0], [2.0]]), numpy.zeros(2, bool)).alike == (0,)


def predicted(rows, noises, *, metric=METRICS["rmse"], seed=0):
    """Predictions of a truth of zeros with so much noise each."""
    generator = numpy.random.default_rng(seed)
    predictions = [[generator.normal(scale=noise, size=(rows, 1)).astype(numpy.float32)] for noise in noises]
    truth, weights = torch.zeros(rows, 1, dtype=torch.float64), torch.ones(rows)
    errors = numpy.array([[float(metric.error(torch.from_numpy(p[0])[None], truth[None], weights[None])[0])]
                          for p in predictions])  # fmt: skip
    return errors, Predicted(predictions, [truth], [weights], metric)


def test_few_validation_rows_tell_less_than_many():
    for rows, alike in ((20, (0, 1)), (20_000, (0,))):
        errors, shown = predicted(rows, (1.0, 1.1))
        order = numpy.argsort(errors[:, 0])
        result = compare(errors, numpy.zeros(2, bool), shown)
        assert {0} <= set(result.alike) and set(alike) >= set(result.alike)
        assert result.best == order[0] and len(result.alike) == len(alike)


def test_the_loss_of_rows_stands_in_for_a_metric():
    generator = numpy.random.default_rng(0)
    outputs = torch.from_numpy(generator.normal(size=(2, 30, 3)))
    labels = torch.from_numpy(generator.integers(0, 3, (2, 30)))
    weights = torch.from_numpy(generator.uniform(0.5, 1, (2, 30)))
    metric = metric_of_loss(Loss("cross_entropy"), "classification")
    expected = [
        float((torch.nn.functional.cross_entropy(o, y, reduction="none") * w).sum() / w.sum())
        for o, y, w in zip(outputs, labels, weights, strict=True)
    ]
    torch.testing.assert_close(metric.error(outputs.softmax(2), labels, weights),
                               torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)  # fmt: skip
    truth = torch.from_numpy(generator.normal(size=(2, 30, 3)))
    huber = metric_of_loss(Loss("huber", 0.5), "regression").error(outputs, truth, torch.ones(2, 30))
    own = torch.nn.functional.huber_loss(outputs, truth, delta=0.5, reduction="none").mean((1, 2))
    torch.testing.assert_close(huber, own, rtol=1e-5, atol=1e-6)
