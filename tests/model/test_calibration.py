"""Intervals and sets of classes: they hold the truth as often as was asked, and are as wide as errors are."""

import math

import numpy
import pytest

from trimtab.errors import OptionError
from trimtab.model.calibration import MOST_SCORES, Calibration, Scores, TargetErrors

RNG = numpy.random.default_rng(0)


def numbers(rows: int, seed: int = 0):
    """Predictions whose errors grow tenfold from one end to the other, and are skewed."""
    rng = numpy.random.default_rng(seed)
    told = rng.uniform(0, 1, size=(rows, 1))
    return told, told + (0.1 + told) * (rng.gamma(2.0, size=(rows, 1)) - 2)


def calibrated(told, truth, weights=None, units=None) -> Calibration:
    weights = numpy.ones(len(told)) if weights is None else weights
    found = Calibration.of_numbers(told, truth, weights, numpy.arange(len(told)) if units is None else units)
    assert found is not None
    return found


@pytest.mark.parametrize("rows", [60, 400, 5_000])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
def test_intervals_hold_the_truth_as_often_as_was_asked(rows, share):
    covered = []
    for seed in range(30):
        told, truth = numbers(rows + 2_000, seed)
        low, high = calibrated(told[:rows], truth[:rows]).bounds(told[rows:], share)
        covered.append(float(((low <= truth[rows:]) & (truth[rows:] <= high)).mean()))
    error = numpy.std(covered) / math.sqrt(len(covered))
    assert share - 0.01 - 2 * error < numpy.mean(covered) < share + 2 / rows + 0.01 + 2 * error


def test_they_are_wide_where_errors_are_large_and_lie_where_these_lie():
    told, truth = numbers(5_000)
    known = calibrated(told, truth)
    low, high = known.bounds(numpy.array([[0.05], [0.95]]), 0.9)
    width = (high - low)[:, 0]
    assert 4 < width[1] / width[0] < 9  # 0.15 and 1.05 are the true spreads
    assert (high[:, 0] - [0.05, 0.95] > [0.05, 0.95] - low[:, 0]).all()  # errors reach further up
    beyond, _ = known.bounds(numpy.array([[-1e6], [1e6]]), 0.9)
    assert numpy.isfinite(beyond).all()


def test_each_end_leaves_out_as_many_rows_as_the_other():
    told, truth = numbers(20_000)
    low, high = calibrated(told, truth).bounds(told, 0.9)
    assert (truth < low).mean() == pytest.approx(0.05, abs=0.003) == pytest.approx((truth > high).mean(), abs=0.003)


def test_few_rows_give_the_exact_ranks_of_conformal_prediction():
    told, truth = numpy.zeros((19, 1)), numpy.arange(1.0, 20.0).reshape(-1, 1)
    low, high = calibrated(told, truth).bounds(numpy.zeros((1, 1)), 0.9)
    assert (low.item(), high.item()) == pytest.approx((1.0, 19.0))  # of 19 the first and the last, of 20 with a new one
    low, high = calibrated(told, truth).bounds(numpy.zeros((1, 1)), 0.5)
    assert (low.item(), high.item()) == pytest.approx((5.0, 15.0))
    with pytest.raises(OptionError, match=r"19 rows were predicted .* of at most 0.9\. Give less, or train on more"):
        calibrated(told, truth).bounds(numpy.zeros((1, 1)), 0.95)
    with pytest.raises(OptionError, match=r"1 row was .* which tell none: train on more rows"):
        calibrated(told[:1], truth[:1]).bounds(numpy.zeros((1, 1)), 0.5)


@pytest.mark.parametrize("share", [0, 1, -0.5, 90, math.nan, True, "0.9"])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(OptionError, match=r"such as 0\.9"):
        calibrated(*numbers(50)).bounds(numpy.zeros((1, 1)), share)


def test_rows_no_fold_judged_and_rows_of_no_weight_say_nothing():
    told, truth = numbers(100)
    odd = numpy.where(numpy.arange(100) < 50, 1e6, truth[:, 0]).reshape(-1, 1)
    some = told.copy()
    some[:50] = numpy.nan
    assert calibrated(some, odd) == calibrated(told[50:], truth[50:])
    weights = (numpy.arange(100) >= 50).astype(float)
    assert calibrated(told, odd, weights) == calibrated(told[50:], truth[50:])
    assert Calibration.of_numbers(numpy.full((5, 1), numpy.nan), truth[:5], numpy.ones(5), numpy.arange(5)) is None
    assert Calibration.of_classes(numpy.full((5, 2), numpy.nan), numpy.zeros(5), numpy.ones(5), numpy.arange(5)) is None


def test_weights_count_like_repeated_rows_and_copies_are_no_evidence_of_their_own():
    told, truth = numbers(60)
    weights = RNG.integers(1, 4, 60).astype(float)
    repeated = numpy.repeat(numpy.arange(60), weights.astype(int))
    once, often = calibrated(told, truth, weights), calibrated(told[repeated], truth[repeated], units=repeated)
    assert once.rows == pytest.approx(often.rows) and once.rows < 60
    for ends, others in zip(once.bounds(told, 0.8), often.bounds(told, 0.8), strict=True):
        numpy.testing.assert_allclose(ends, others, rtol=0.1)


def test_many_scores_are_thinned_out_and_levels_stay():
    values = numpy.sort(RNG.normal(size=50_000))
    scores = Scores.of(values, numpy.ones(50_000))
    assert len(scores.values) == MOST_SCORES
    for share in (0.5, 0.9, 0.99):
        assert scores.above(share) == pytest.approx(numpy.quantile(values, share), abs=0.01)
        assert scores.below(share) == pytest.approx(numpy.quantile(values, 1 - share), abs=0.01)
    assert scores.above(1.0) == values[-1]


def test_exact_predictions_have_intervals_of_no_width():
    told = numpy.linspace(0, 1, 200).reshape(-1, 1)
    low, high = calibrated(told, told).bounds(told, 0.9)
    numpy.testing.assert_array_equal(low, high)
    assert all(size > 0 for size in TargetErrors.of(told[:, 0], told[:, 0], numpy.ones(200)).sizes)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_sets_hold_the_true_class_as_often_as_was_asked(share):
    rng = numpy.random.default_rng(1)
    chances = rng.dirichlet(numpy.full(4, 0.6), size=12_000)
    truth = (chances.cumsum(1) > rng.random((12_000, 1))).argmax(1)
    known = Calibration.of_classes(chances[:2_000], truth[:2_000], numpy.ones(2_000), numpy.arange(2_000))
    assert known is not None
    sets = known.sets(chances[2_000:], share)
    held = float(sets[numpy.arange(10_000), truth[2_000:]].mean())
    assert sets[numpy.arange(10_000), chances[2_000:].argmax(1)].all()
    alone = float((chances[2_000:].argmax(1) == truth[2_000:]).mean())  # the likeliest class is always there
    assert max(share - 0.02, alone - 1e-9) <= held <= max(share + 0.02, alone + 0.02)
    assert sets.sum(1).mean() <= known.sets(chances[2_000:], 0.99).sum(1).mean()
