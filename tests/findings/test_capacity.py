import dataclasses

import numpy
import pytest

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import capacity, duration
from trimtab.findings.finding import NotChecked
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

RISING = learning(100, floor=0.3) + 0.006 * numpy.maximum(0, epochs(100) - 40)
FLAT = {"floor": 0.8, "speed": 5}


def test_underfitting_is_flat_bad_and_alike_on_both():
    finding = found(capacity.underfitting, record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1)))
    assert finding.evidence["share"] == pytest.approx(0.83, abs=0.1)
    assert capacity.underfitting(healthy()) is None
    assert capacity.underfitting(record(noisy(learning(**FLAT)), noisy(1.3 * learning(**FLAT), seed=1))) is None


def test_rows_may_differ_by_chance_where_parameters_are_few():
    curves = record(noisy(learning(**FLAT)), noisy(1.15 * learning(**FLAT), seed=1))
    facts = {"train_rows": 256.0, "validation_rows": 200.0, "inputs": 8.0, "outputs": 1.0}
    assert capacity.underfitting(curves) is None
    for parameters, is_found in ((9.0, True), (5000.0, False)):
        small = dataclasses.replace(curves, facts={**facts, "parameters": parameters})
        assert (capacity.underfitting(small) is not None) == is_found
    many = dataclasses.replace(curves, facts={**facts, "parameters": 9.0, "train_rows": 5e4, "validation_rows": 5e4})
    assert capacity.underfitting(many) is None  # of so many rows a gap is none by chance


def test_a_network_that_could_learn_every_row_by_heart_does_not_underfit_because_rows_are_noisy():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    able = dataclasses.replace(curves, facts={"train_rows": 256.0, "parameters": 5000.0})
    assert capacity.underfitting(able) is None
    assert found(capacity.underfitting, dataclasses.replace(able, facts={"train_rows": 9e3, "parameters": 5000.0}))
    assert found(capacity.underfitting, dataclasses.replace(able, knobs={"dropout": 0.8}))  # it is held back
    assert found(capacity.underfitting, dataclasses.replace(curves, ended=ALL_EPOCHS))
    assert capacity.underfitting(dataclasses.replace(curves, ended=STOPPED_EARLY)) is None  # they may part yet


def test_what_is_bad_is_told_beside_a_constant_where_that_is_known():
    curves = {"train_metric": noisy(learning(**FLAT)), "validation_metric": noisy(learning(**FLAT), seed=1)}
    judged = record(learning(**FLAT), **curves, greater_is_better=False, metric="rmse", facts={"constant_error": 5.0})
    assert capacity.underfitting(judged) is None
    finding = found(capacity.underfitting, dataclasses.replace(judged, facts={"constant_error": 1.0}))
    assert "constant prediction" in finding.statement
    fitted_but_for_a_few = dataclasses.replace(judged, facts={"constant_error": 1.0, "usual_miss": 0.3})
    assert capacity.underfitting(fitted_but_for_a_few) is None
    assert found(capacity.underfitting, dataclasses.replace(judged, facts={"constant_error": 1.0, "usual_miss": 0.6}))


def test_where_one_epoch_is_most_of_what_is_learnt_it_is_told_beside_a_constant_for_validation_rows():
    flat = {"validation_metric": noisy(learning(**FLAT), seed=1), "greater_is_better": False, "metric": "rmse"}
    many = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=2), **flat)
    assert "training rows is still" in found(capacity.underfitting, many).statement
    assert capacity.underfitting(dataclasses.replace(many, facts={"constant_error": 5.0})) is None
    finding = found(capacity.underfitting, dataclasses.replace(many, facts={"constant_error": 1.2}))
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
    for rule in (capacity.capacity_too_small, capacity.underfitting):
        assert found(rule, small).remedy.change == change


def test_capacity_needs_the_size_of_the_network():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    assert isinstance(capacity.capacity_too_small(curves), NotChecked)
    small = dataclasses.replace(curves, facts={"parameters": 40, "train_rows": 1000})
    assert found(capacity.capacity_too_small, small).remedy.change["width"] == 128
    assert (
        capacity.capacity_too_small(dataclasses.replace(small, facts={"parameters": 9000, "train_rows": 1000})) is None
    )
    assert capacity.capacity_too_small(dataclasses.replace(small, knobs={"dropout": 0.8})) is None


def test_a_large_network_is_one_that_overfits():
    curves = record(noisy(learning(speed=30, floor=0.05)), noisy(RISING, seed=1), knobs={"width": 512},
                    facts={"parameters": 500_000, "train_rows": 100})  # fmt: skip
    assert found(capacity.capacity_too_large, curves).remedy.change == {"width": 128, "stop": 20}
    assert (
        capacity.capacity_too_large(dataclasses.replace(curves, facts={"parameters": 500, "train_rows": 100})) is None
    )
    narrow = dataclasses.replace(curves, knobs={"width": 16})
    assert found(capacity.capacity_too_large, narrow).remedy.change == {"width": 8, "stop": 20}
    fine = dataclasses.replace(healthy(), facts=curves.facts)
    assert capacity.capacity_too_large(fine) is None


def test_regularised_too_strongly_needs_something_that_holds_back():
    curves = record(noisy(learning(**FLAT)), noisy(learning(**FLAT), seed=1))
    assert isinstance(capacity.regularised_too_strongly(curves), NotChecked)
    strong = dataclasses.replace(curves, knobs={"dropout": 0.8, "optimizer": "adam"})
    finding = found(capacity.regularised_too_strongly, strong)
    assert finding.remedy.change == {"dropout": 0.1} and "dropout of 80 %" in finding.statement
    assert capacity.regularised_too_strongly(dataclasses.replace(curves, knobs={"dropout": 0.1})) is None
    assert capacity.regularised_too_strongly(dataclasses.replace(healthy(), knobs={"dropout": 0.8})) is None


def test_validation_below_training_under_dropout_is_healthy():
    curves = record(noisy(learning(floor=0.35)), noisy(learning(floor=0.25), seed=1), knobs={"dropout": 0.3})
    rules = (capacity.underfitting, duration.overfitting, capacity.regularised_too_strongly, duration.stopped_too_early)
    assert [rule(curves) for rule in rules] == [None] * 4
