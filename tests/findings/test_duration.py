import dataclasses

import numpy
import pytest

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import duration
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
    for rule in (duration.overfitting, duration.underfitting):
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


FLAT = {"floor": 0.8, "speed": 5}


def test_underfitting_is_flat_bad_and_alike_on_both():
    finding = found(duration.underfitting, record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1)))
    assert finding.evidence["share"] == pytest.approx(0.83, abs=0.1)
    assert duration.underfitting(healthy()) is None
    assert duration.underfitting(record(noisy(learning(**FLAT)), noisy(1.3 * learning(**FLAT), seed=1))) is None


def test_rows_may_differ_by_chance_where_parameters_are_few():
    curves = record(noisy(learning(**FLAT)), noisy(1.15 * learning(**FLAT), seed=1))
    facts = {"train_rows": 256.0, "validation_rows": 200.0, "inputs": 8.0, "outputs": 1.0}
    assert duration.underfitting(curves) is None
    for parameters, is_found in ((9.0, True), (5000.0, False)):
        small = dataclasses.replace(curves, facts={**facts, "parameters": parameters})
        assert (duration.underfitting(small) is not None) == is_found
    many = dataclasses.replace(curves, facts={**facts, "parameters": 9.0, "train_rows": 5e4, "validation_rows": 5e4})
    assert duration.underfitting(many) is None  # of so many rows a gap is none by chance


def test_a_network_that_could_learn_every_row_by_heart_does_not_underfit_because_rows_are_noisy():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    able = dataclasses.replace(curves, facts={"train_rows": 256.0, "parameters": 5000.0})
    assert duration.underfitting(able) is None
    assert found(duration.underfitting, dataclasses.replace(able, facts={"train_rows": 9e3, "parameters": 5000.0}))
    assert found(duration.underfitting, dataclasses.replace(able, knobs={"dropout": 0.8}))  # it is held back
    assert found(duration.underfitting, dataclasses.replace(curves, ended=ALL_EPOCHS))
    assert duration.underfitting(dataclasses.replace(curves, ended=STOPPED_EARLY)) is None  # they may part yet


def test_what_is_bad_is_told_beside_a_constant_where_that_is_known():
    curves = {"train_metric": noisy(learning(**FLAT)), "validation_metric": noisy(learning(**FLAT), seed=1)}
    judged = record(learning(**FLAT), **curves, greater_is_better=False, metric="rmse", facts={"constant_error": 5.0})
    assert duration.underfitting(judged) is None
    finding = found(duration.underfitting, dataclasses.replace(judged, facts={"constant_error": 1.0}))
    assert "constant prediction" in finding.statement
    fitted_but_for_a_few = dataclasses.replace(judged, facts={"constant_error": 1.0, "usual_miss": 0.3})
    assert duration.underfitting(fitted_but_for_a_few) is None
    assert found(duration.underfitting, dataclasses.replace(judged, facts={"constant_error": 1.0, "usual_miss": 0.6}))


def test_where_one_epoch_is_most_of_what_is_learnt_it_is_told_beside_a_constant_for_validation_rows():
    flat = {"validation_metric": noisy(learning(**FLAT), seed=1), "greater_is_better": False, "metric": "rmse"}
    many = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=2), **flat)
    assert "training rows is still" in found(duration.underfitting, many).statement
    assert duration.underfitting(dataclasses.replace(many, facts={"constant_error": 5.0})) is None
    finding = found(duration.underfitting, dataclasses.replace(many, facts={"constant_error": 1.2}))
    assert "error on validation rows is still 67 % of that of a constant prediction" in finding.statement


@pytest.mark.parametrize(
    ("knobs", "change"),
    [
        ({}, {"width": 128, "depth": 2}),
        ({"width": 16, "depth": 1}, {"width": 128, "depth": 2}),
        ({"width": 128, "depth": 2}, {"width": 256, "depth": 3}),
        ({"width": 512.0, "depth": 0}, {"width": 1024, "depth": 2}),
    ],
)
def test_a_larger_network_is_larger_than_the_one_there_is(knobs, change):
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1), knobs=knobs)
    small = dataclasses.replace(curves, facts={"parameters": 40, "train_rows": 1000})
    for rule in (duration.capacity_too_small, duration.underfitting):
        assert found(rule, small).remedy.change == change


def test_capacity_needs_the_size_of_the_network():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    assert isinstance(duration.capacity_too_small(curves), NotChecked)
    small = dataclasses.replace(curves, facts={"parameters": 40, "train_rows": 1000})
    assert found(duration.capacity_too_small, small).remedy.change["width"] == 128
    assert (
        duration.capacity_too_small(dataclasses.replace(small, facts={"parameters": 9000, "train_rows": 1000})) is None
    )
    assert duration.capacity_too_small(dataclasses.replace(small, knobs={"dropout": 0.8})) is None


def test_a_large_network_is_one_that_overfits():
    curves = record(noisy(learning(speed=30, floor=0.05)), noisy(RISING, seed=1), knobs={"width": 512},
                    facts={"parameters": 500_000, "train_rows": 100})  # fmt: skip
    assert found(duration.capacity_too_large, curves).remedy.change == {"width": 128, "stop": 20}
    assert (
        duration.capacity_too_large(dataclasses.replace(curves, facts={"parameters": 500, "train_rows": 100})) is None
    )
    narrow = dataclasses.replace(curves, knobs={"width": 16})
    assert found(duration.capacity_too_large, narrow).remedy.change == {"width": 8, "stop": 20}
    fine = dataclasses.replace(healthy(), facts=curves.facts)
    assert duration.capacity_too_large(fine) is None


def test_regularised_too_strongly_needs_something_that_holds_back():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    assert isinstance(duration.regularised_too_strongly(curves), NotChecked)
    strong = dataclasses.replace(curves, knobs={"dropout": 0.8, "optimizer": "adam"})
    finding = found(duration.regularised_too_strongly, strong)
    assert finding.remedy.change == {"dropout": 0.1} and "dropout of 80 %" in finding.statement
    assert duration.regularised_too_strongly(dataclasses.replace(curves, knobs={"dropout": 0.1})) is None
    assert duration.regularised_too_strongly(dataclasses.replace(healthy(), knobs={"dropout": 0.8})) is None


def test_validation_below_training_under_dropout_is_healthy():
    curves = record(noisy(learning(floor=0.35)), noisy(learning(floor=0.25), seed=1), knobs={"dropout": 0.3})
    rules = (duration.underfitting, duration.overfitting, duration.regularised_too_strongly, duration.stopped_too_early)
    assert [rule(curves) for rule in rules] == [None] * 4
