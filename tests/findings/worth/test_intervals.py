"""Intervals of many comparisons: what they cover, how variances are pooled, and what diverged."""

import math

import numpy
import pytest
import torch
from scipy import stats

from trimtab.findings.worth.intervals import (
    ALIKE,
    ALPHA,
    BETTER,
    MOST_FREEDOM,
    WORSE,
    Paired,
    Prior,
    differences,
    level,
    row_variance_of,
)
from trimtab.training.metrics import metric_for

FOLDS, REPETITIONS, OVERLAP = 5, 2, 0.25


def cross_validated(rng, comparisons, *, repetitions=REPETITIONS, spreads=1.0):
    """Differences of scores as repeated folds give them: of zero mean, correlated as their training parts overlap."""
    pairs = FOLDS * repetitions
    shared = math.sqrt(OVERLAP / (1 + OVERLAP))
    own = math.sqrt(1 / (1 + OVERLAP))
    noise = shared * rng.normal(size=(comparisons, 1)) + own * rng.normal(size=(comparisons, pairs))
    return [Paired.over_folds(row, OVERLAP) for row in spreads * noise]


def test_without_any_difference_one_study_in_twenty_claims_one_at_most():
    rng, studies = numpy.random.default_rng(0), 200
    spreads = numpy.exp(rng.normal(0, 0.5, size=(20, 1)))
    claimed = sum(
        any(
            each.verdict != ALIKE for each in differences(cross_validated(rng, 20, spreads=spreads), level=level(20, 0))
        )
        for _ in range(studies)
    )
    assert claimed / studies <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / studies)


def test_all_looks_together_spend_what_one_may():
    assert sum(20 * level(20, look) for look in range(50)) <= ALPHA


def test_a_single_comparison_is_the_corrected_resampled_t_test():
    values = numpy.array([0.3, 0.5, 0.1, 0.4, 0.7])
    found = differences([Paired.over_folds(values, OVERLAP)], level=0.05)[0]
    half = stats.t.ppf(0.975, 4) * math.sqrt(values.var(ddof=1) * (1 / 5 + OVERLAP))
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half))
    assert found.pairs == 5


@pytest.mark.parametrize(("shift", "verdict"), [(9.0, WORSE), (-9.0, BETTER), (0.0, ALIKE)])
def test_the_verdict_is_the_sign_of_the_interval(shift, verdict):
    values = numpy.array([-1.0, 0.0, 1.0, 0.5, -0.5]) + shift
    assert differences([Paired.over_folds(values, OVERLAP)], level=0.05)[0].verdict == verdict


def test_what_diverged_is_worse_and_has_no_figure():
    found = differences([Paired.over_folds(numpy.array([1.0, math.inf, 2.0]), OVERLAP)], level=0.05)[0]
    assert found.verdict == WORSE
    assert math.isnan(found.value)


def test_one_pair_alone_tells_nothing_from_chance():
    found = differences([Paired.over_rows(numpy.array([3.0]), 0.0, 100)], level=0.05)[0]
    assert (found.low, found.high, found.verdict) == (-math.inf, math.inf, ALIKE)


def test_variances_that_are_much_alike_count_together():
    alike = cross_validated(numpy.random.default_rng(0), 30)
    prior = Prior.of(alike)
    assert prior.freedom > 5
    assert prior.variance == pytest.approx(1 / (1 + OVERLAP), rel=0.2)
    pooled, alone = differences(alike, level=0.001), [differences([each], level=0.001)[0] for each in alike]
    assert numpy.median([f.high - f.low for f in pooled]) < 0.9 * numpy.median([f.high - f.low for f in alone])


def test_variances_far_apart_are_not_made_alike():
    spreads = numpy.exp(numpy.random.default_rng(2).normal(0, 2.0, size=(30, 1)))
    far_apart = cross_validated(numpy.random.default_rng(1), 30, spreads=spreads)
    assert Prior.of(far_apart).freedom < 3
    assert Prior.of(cross_validated(numpy.random.default_rng(1), 3)).freedom == 0
    assert Prior.of(cross_validated(numpy.random.default_rng(1), 30)).freedom <= MOST_FREEDOM


def test_rows_and_seeds_add_up_on_one_validation_part():
    values = numpy.array([0.1, 0.3, 0.2])
    narrow, wide = (differences([Paired.over_rows(values, rows, 200)], level=0.05)[0] for rows in (0.0, 0.01))
    assert narrow.value == pytest.approx(wide.value)
    assert wide.high - wide.low > 0
    # With much more variance over rows than over seeds, two hundred rows' degrees of freedom count, and not two.
    huge = differences([Paired.over_rows(values, 1.0, 200)], level=0.05)[0]
    assert huge.high - huge.value == pytest.approx(stats.t.ppf(0.975, 199) * math.sqrt(1.0 + 0.01 / 3), rel=1e-2)


def test_more_rows_tell_a_difference_better():
    def variance(rows):
        rng = numpy.random.default_rng(0)
        truth = torch.from_numpy(rng.normal(size=(rows, 1)))
        ours, theirs = ([truth.numpy() + 0.1 * rng.normal(size=(rows, 1))] for _ in range(2))
        metric = metric_for("rmse", "regression", 1)
        return row_variance_of(ours, theirs, truth, torch.ones(rows), metric, units=None, seed=0)

    assert variance(1600) < variance(100) / 4
    assert variance(100) > 0
