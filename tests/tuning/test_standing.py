"""Standing: paired differences in the direction that users read, honest about what is no evidence of its own."""

import numpy
import pytest

from trimtab.training.metrics import METRICS, all_scores, metrics_for
from trimtab.tuning.standing import JudgedRows, scores_of, standing

ROWS = 300


def regression(noise, shared=0.0, seed=0):
    """Truth, and predictions whose errors are `noise` of their own and `shared` of all."""
    rng = numpy.random.default_rng(seed)
    truth = rng.normal(size=(ROWS, 1))
    common = shared * rng.normal(size=(ROWS, 1))
    return JudgedRows(truth, numpy.ones(ROWS), numpy.arange(ROWS)), [
        truth + common + each * rng.normal(size=(ROWS, 1)) for each in noise
    ]


def test_a_small_difference_is_seen_where_both_err_on_the_same_rows():
    """Each lies inside the other's interval, and yet the difference is beyond noise."""
    rows, (good, bad) = regression((0.1, 0.4), shared=2.0)
    found = standing([good], {"linear": bad}, rows, METRICS["rmse"], seed=0)
    low, high = found.intervals["rmse"]
    assert low < scores_of(bad, rows, METRICS["rmse"])["rmse"] < high
    gain = found.gains["linear"]["rmse"]
    assert gain.verdict == "better" and 0 < gain.interval[0] < gain.better_by < gain.interval[1]
    other = standing([bad], {"linear": good}, rows, METRICS["rmse"], seed=0).gains["linear"]["rmse"]
    assert other.verdict == "worse" and other.better_by == pytest.approx(-gain.better_by)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_better_means_better_for_every_metric(task):
    rng = numpy.random.default_rng(1)
    if task == "regression":
        rows, (good, bad) = regression((0.2, 1.0))
        metric = METRICS["mae"]
    else:
        labels = rng.integers(0, 2, ROWS)
        rows, metric = JudgedRows(labels, numpy.ones(ROWS), numpy.arange(ROWS)), METRICS["log_loss"]
        noise = rng.normal(size=ROWS)
        ones = [1 / (1 + numpy.exp(-(sharp * (2 * labels - 1) + noise))) for sharp in (2.0, 0.2)]
        good, bad = (numpy.stack([1 - one, one], 1) for one in ones)
    found = standing([good], {"other": bad, "same": good}, rows, metric, seed=0)
    assert list(found.scores) == [each.name for each in metrics_for(metric.task, 2)]
    for name, score in all_scores(good, rows.truth, rows.weights, metric.task).items():
        assert found.scores[name] == pytest.approx(score)
        assert found.intervals[name][0] < score < found.intervals[name][1]
        assert found.gains["other"][name].verdict == "better"
        same = found.gains["same"][name]
        # Sums of the lanes may differ in their last bit.
        assert same.better_by == pytest.approx(0, abs=1e-12) and same.interval == pytest.approx((0, 0), abs=1e-12)
        greater = METRICS[name].greater_is_better
        difference = score - scores_of(bad, rows, metric)[name]
        assert found.gains["other"][name].better_by == pytest.approx(difference if greater else -difference)


def test_groups_and_copies_are_drawn_together():
    rows, (good, bad) = regression((0.9, 1.0))
    tenfold = JudgedRows(*(numpy.repeat(each, 10, axis=0) for each in (rows.truth, rows.weights, rows.units)))
    plain = standing([good], {"x": bad}, rows, METRICS["rmse"], seed=0)
    copied = standing([good.repeat(10, 0)], {"x": bad.repeat(10, 0)}, tenfold, METRICS["rmse"], seed=0)
    as_if_all_counted = JudgedRows(tenfold.truth, tenfold.weights, numpy.arange(10 * ROWS))
    wrong = standing([good.repeat(10, 0)], {"x": bad.repeat(10, 0)}, as_if_all_counted, METRICS["rmse"], seed=0)

    def width(ends):
        return ends[1] - ends[0]

    for pick in (lambda s: s.intervals["rmse"], lambda s: s.gains["x"]["rmse"].interval):
        assert width(pick(copied)) == pytest.approx(width(pick(plain)), rel=0.15)
        assert width(pick(wrong)) < 0.5 * width(pick(plain))


def test_one_group_gives_no_interval_and_no_verdict():
    rows, (good, bad) = regression((0.1, 2.0))
    alone = JudgedRows(rows.truth, rows.weights, numpy.zeros(ROWS, dtype=int))
    found = standing([good], {"x": bad}, alone, METRICS["rmse"], seed=0)
    assert found.intervals["rmse"] is None
    assert found.gains["x"]["rmse"].verdict == "unknown" and found.gains["x"]["rmse"].interval is None
    assert found.gains["x"]["rmse"].better_by > 1


def test_rows_that_somebody_did_not_predict_are_left_out_for_all():
    rows, (good, bad) = regression((0.5, 1.0))
    good[:40], bad[30:60] = numpy.nan, numpy.nan
    found = standing([good], {"x": bad}, rows, METRICS["rmse"], seed=0)
    rest = rows.where(numpy.arange(ROWS) >= 60)
    assert found.scores == pytest.approx(scores_of(good[60:], rest, METRICS["rmse"]))


def test_several_choices_stand_for_their_mean():
    rows, (one, two, other) = regression((0.5, 1.0, 0.8))
    found = standing([one, two], {"x": other}, rows, METRICS["rmse"], seed=0)
    singles = [scores_of(each, rows, METRICS["rmse"])["rmse"] for each in (one, two, other)]
    assert found.scores["rmse"] == pytest.approx(numpy.mean(singles[:2]))
    assert found.gains["x"]["rmse"].better_by == pytest.approx(singles[2] - numpy.mean(singles[:2]))
