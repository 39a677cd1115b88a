import dataclasses

import numpy
import pytest

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import capacity, duration
from trimtab.findings.finding import NotChecked
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

RISING = learning(100, floor=0.3) + 0.006 * numpy.maximum(0, epochs(100) - 40)


def test_overfitting_is_a_rise_of_validation_while_training_falls():
    finding = found(duration.overfitting, record(noisy(learning(speed=30, floor=0.05)), noisy(RISING, seed=1)))
    assert "validation rows gets worse" in finding.statement and "estimated" in finding.effect.text
    assert 35 <= finding.evidence["best_epoch"] <= 55 and finding.evidence["rise"] > 0.5
    assert finding.remedy.flag == "--weight-decay 0.1 --optimizer adamw --patience 20"


@pytest.mark.parametrize(
    "train",
    [noisy(RISING), numpy.full(100, 0.5)],
    ids=["rises too: not by heart", "stands still"],
)
def test_no_overfitting_where_training_does_not_get_better(train):
    assert duration.overfitting(record(train, noisy(RISING, seed=1))) is None


def test_a_gap_alone_is_no_overfitting():
    assert duration.overfitting(record(noisy(learning(floor=0.1)), noisy(learning(floor=0.3), seed=1))) is None


def test_a_rise_within_noise_is_none():
    slight = learning(100, floor=0.3) + 0.0002 * numpy.maximum(0, epochs(100) - 40)
    both = record(noisy(learning(speed=30)), noisy(slight, 0.05, seed=1))
    assert duration.overfitting(both) is None and duration.trained_too_long(both) is None


def test_without_validation_rows_nothing_is_judged():
    for rule in (duration.overfitting, capacity.underfitting):
        assert rule(record(learning())) == NotChecked(rule.__name__, "no validation column")


def test_what_trained_too_long_costs_depends_on_whose_weights_are_used():
    curves = record(noisy(learning(speed=30, floor=0.05)), noisy(RISING, seed=1))
    unknown = found(duration.trained_too_long, curves)
    assert "if the last weights are used" in unknown.statement and unknown.severity == "high"
    kept = found(duration.trained_too_long, dataclasses.replace(curves, kept=unknown.evidence["best_epoch"]))
    assert kept.severity == "low" and "only cost time" in kept.statement and kept.effect.share == 0
    last = found(duration.trained_too_long, dataclasses.replace(curves, kept=100))
    assert last.severity == "high" and "if the last" not in last.statement
    assert kept.remedy.change == {"stop": 20} and kept.remedy.flag == "--patience 20"


def test_a_rise_within_the_patience_of_early_stopping_is_none():
    curves = record(
        noisy(learning(60, speed=20, floor=0.05)), noisy(RISING[:60], seed=1), ended="stopped early", kept=40
    )
    assert duration.trained_too_long(curves) is None and duration.overfitting(curves) is None


def test_a_patience_that_ran_out_is_seen_where_nobody_tells_of_it():
    best = int(numpy.argmin(noisy(RISING, 0.002, seed=1)))
    for after, is_found in ((25, False), (33, True), (20, True)):  # 20 more make 60 epochs, as one plans them
        valid = noisy(RISING, 0.002, seed=1)[: best + after + 1]
        curves = record(noisy(learning(100, speed=30, floor=0.05))[: best + after + 1], valid)
        assert (duration.overfitting(curves) is not None) == is_found


def test_double_descent_is_healthy():
    hump = 0.2 + 0.2 * numpy.sin(numpy.linspace(0, numpy.pi, 40))
    twice = numpy.concatenate([learning(40, speed=8), hump, 0.19 - 0.0005 * epochs(80)])
    curves = record(noisy(learning(160)), noisy(twice, seed=1))
    assert duration.trained_too_long(curves) is None and duration.overfitting(curves) is None


def test_best_weights_not_restored_needs_to_know_which_were_kept():
    curves = record(noisy(learning(speed=30, floor=0.05)), noisy(RISING, seed=1))
    assert isinstance(duration.best_weights_not_restored(curves), NotChecked)
    assert duration.best_weights_not_restored(dataclasses.replace(curves, kept=42)) is None
    finding = found(duration.best_weights_not_restored, dataclasses.replace(curves, kept=100))
    assert finding.evidence["kept"] == 100 and finding.evidence["rise"] > 0.5


def test_stopped_too_early_where_validation_still_falls():
    finding = found(
        duration.stopped_too_early, record(noisy(learning(20, speed=15)), noisy(learning(20, speed=15), seed=1))
    )
    assert finding.remedy.change == {"epochs": 80} and finding.effect.share > 0.08
    assert found(duration.stopped_too_early, record([1, 0.8, 0.64, 0.5, 0.4], [1.1, 0.9, 0.7, 0.6, 0.5]))


def test_a_fall_is_told_beside_where_it_began_so_that_it_is_never_of_more_than_all_there_is():
    steep = 10.0 ** numpy.linspace(3, 0, 30)
    finding = found(duration.stopped_too_early, record(noisy(steep, 1e-3), noisy(steep, 1e-3, seed=1)))
    assert 0.5 < finding.effect.share < 1 and finding.evidence["fall"] == finding.effect.share


def test_validation_rows_that_hardly_show_it_are_believed_where_training_rows_surely_learn():
    valid = numpy.array([0.53, 0.535, 0.52, 0.49, 0.47])
    falls, stands = record([1.0, 0.8, 0.64, 0.5, 0.4], valid), record([1.0, 0.8, 0.84, 0.81, 0.82], valid)
    assert found(duration.stopped_too_early, falls) and duration.stopped_too_early(stands) is None


def test_a_short_plan_is_told_by_a_steep_fall_of_training_rows_that_five_epochs_cannot_make_sure():
    train, valid = numpy.array([0.66, 0.6, 0.51, 0.53, 0.5]), numpy.array([0.7, 0.62, 0.56, 0.6, 0.54])
    planned = record(train, valid, ended=ALL_EPOCHS)
    assert found(duration.stopped_too_early, planned).remedy.change == {"epochs": 20}
    assert duration.stopped_too_early(record(train, valid)) is None  # it may have been stopped for a reason
    slow = record(0.5 + (train - 0.5) / 10, valid, ended=ALL_EPOCHS)
    assert duration.stopped_too_early(slow) is None


def test_no_stop_is_early_after_many_epochs_without_a_better_one():
    falls = noisy(numpy.r_[learning(60, speed=30), numpy.full(20, 1.02 * learning(60, speed=30)[-1])], 0.002)
    curves = record(falls, falls, ended=STOPPED_EARLY)
    shorter = record(falls[:61], falls[:61], ended=STOPPED_EARLY)
    assert duration.stopped_too_early(curves) is None and found(duration.stopped_too_early, shorter)


def test_no_stop_is_early_where_the_curve_is_flat_or_the_rate_is_spent():
    assert duration.stopped_too_early(healthy()) is None
    falling = record(noisy(learning(20, speed=15)), noisy(learning(20, speed=15), seed=1))
    cosine = dataclasses.replace(falling, rate=0.01 * (1 + numpy.cos(numpy.pi * epochs(20) / 20)) / 2)
    assert duration.stopped_too_early(cosine) is None
