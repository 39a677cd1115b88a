import dataclasses

import numpy
import pytest

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import rate
from trimtab.findings.finding import NotChecked
from trimtab.findings.shapes import start_beside_constant

SWINGING = numpy.concatenate([[2.0, 1.6, 1.2], (0.5 + 0.3 * (-1.0) ** epochs(60))[3:]])


@pytest.mark.parametrize("end", [numpy.nan, numpy.inf])
def test_a_loss_that_is_lost_has_diverged(end):
    lost = record([1.0, 0.9, 5.0, 80.0, end, end, end], knobs={"lr": 0.5})
    finding = found(rate.diverged, lost)
    assert finding.remedy.change == {"gradient_clip": 1.0, "lr": 0.05} and finding.severity == "high"
    assert "nan" not in finding.statement
    assert found(rate.learning_rate_too_large, lost).remedy.flag == "--lr 0.05"


def test_a_run_that_was_lost_before_its_first_number():
    assert found(rate.diverged, record([numpy.nan], ended="not finite")).severity == "high"


def test_a_last_line_that_was_not_written_is_no_loss_that_is_lost():
    curve = noisy(learning(30))
    curve[-1] = numpy.nan
    assert rate.diverged(record(curve, learning(30))) is None
    both = learning(30)
    both[-1] = numpy.nan
    assert found(rate.diverged, record(curve, both))


def test_a_loss_that_ends_above_its_start_has_diverged_and_one_that_only_began_badly_has_not():
    assert found(rate.diverged, record(noisy(1.1 ** epochs(40)))).evidence["grown"] > 10
    assert rate.diverged(healthy()) is None
    missing = healthy().train_loss.copy()
    missing[50] = numpy.nan
    assert rate.diverged(record(missing)) is None


def test_a_warm_up_bump_is_healthy():
    bump = noisy(learning(60) + 0.6 * numpy.exp(-((epochs(60) - 12) ** 2) / 20))
    curves = record(bump, bump)
    rules = (rate.diverged, rate.learning_rate_too_large, rate.oscillating, rate.learning_rate_too_small)
    assert [rule(curves) for rule in rules] == [None] * 4


def test_a_late_start_after_a_flat_stretch_is_healthy():
    late = noisy(numpy.concatenate([numpy.full(30, 1.0), learning(70)]), 0.005)
    curves = record(late, late)
    rules = (rate.diverged, rate.learning_rate_too_large, rate.oscillating, rate.learning_rate_too_small, rate.plateau)
    assert all(not hasattr(rule(curves), "severity") for rule in rules)


def test_jumps_of_the_training_loss_are_steps_that_are_too_long():
    finding = found(rate.learning_rate_too_large, record(SWINGING, knobs={"lr": 1.0}))
    assert finding.remedy.code == "lr=0.1"
    assert found(rate.oscillating, record(SWINGING)).remedy.change["schedule"] == "cosine"
    assert rate.learning_rate_too_large(healthy()) is None and rate.oscillating(healthy()) is None


def test_an_update_that_changes_much_of_the_weights_is_too_long():
    updates = numpy.linspace(0.12, 0.01, 40)
    curves = record(noisy(learning(40)), signals={"update_ratio": updates}, knobs={"lr": 0.3})
    assert "12 %" in found(rate.learning_rate_too_large, curves).statement
    usual = dataclasses.replace(curves, signals={"update_ratio": updates / 3})
    assert rate.learning_rate_too_large(usual) is None
    pulled = dataclasses.replace(curves, knobs={"lr": 0.3, "weight_decay": 3.0})
    assert rate.learning_rate_too_large(pulled) is None  # decay makes updates long, not the rate


def test_jumps_of_a_few_validation_rows_are_none_of_it():
    curves = record(noisy(learning()), noisy(learning(floor=0.3), 0.4, seed=1))
    assert rate.learning_rate_too_large(curves) is None and rate.oscillating(curves) is None


def test_a_first_loss_far_above_the_next_ones_is_a_network_thrown_off():
    thrown, valid = noisy(learning(60)), noisy(learning(60, floor=0.28), seed=1)
    thrown[0] = 800.0
    finding = found(rate.learning_rate_too_large, record(thrown, valid))
    assert "throw the network off" in finding.statement and finding.evidence["first"] > 100
    slowly = record(noisy(1e6 * learning(60)), noisy(1e6 * learning(60, floor=0.28), seed=1))
    assert rate.learning_rate_too_large(slowly) is None  # a large loss is none of it, nor one that falls far at first
    fast = noisy(learning(60, speed=1, floor=0.01))
    assert rate.learning_rate_too_large(record(fast, fast)) is None


def test_a_loss_that_leaps_and_comes_back_shows_a_rate_that_is_too_large():
    train, valid = noisy(learning(60)), noisy(learning(60, floor=0.28), seed=1)
    train[20], valid[20] = 7.0, 2.0
    assert "leaps" in found(rate.learning_rate_too_large, record(train, valid)).statement
    assert rate.oscillating(record(train, valid)) is None and rate.diverged(record(train, valid)) is None
    alone = noisy(learning(60, floor=0.28), seed=1)
    assert rate.learning_rate_too_large(record(train, alone)) is None  # validation rows know nothing of it
    train[20] = 2e5
    assert "came back" in found(rate.diverged, record(train, valid)).statement


def test_kicks_now_and_then_are_a_training_that_does_not_settle():
    train, valid = noisy(learning(80)), noisy(learning(80, floor=0.28), seed=1)
    train[45::9] *= 2
    assert rate.oscillating(record(train, valid)) is None
    valid[45::9] *= 2
    assert found(rate.oscillating, record(train, valid)) and found(rate.learning_rate_too_large, record(train, valid))


def test_what_the_first_epochs_lost_is_no_measure_of_what_a_loss_may_swing_by():
    swinging = numpy.concatenate([[8e5, 40.0, 0.9], SWINGING[3:]])
    assert found(rate.oscillating, record(swinging, noisy(numpy.full(60, 0.5))))


def test_a_rate_is_too_small_where_training_creeps():
    creeping = noisy(1 - 0.004 * epochs(60), 0.001)
    finding = found(rate.learning_rate_too_small, record(creeping, knobs={"lr": 1e-5}))
    assert finding.remedy.change == {"lr": pytest.approx(1e-4)} and finding.evidence["pace"] > 0.8
    assert rate.learning_rate_too_small(healthy()) is None
    spent = record(creeping, rate=0.01 * (1 + numpy.cos(numpy.pi * epochs(60) / 60)) / 2)
    assert rate.learning_rate_too_small(spent) is None


def test_a_plateau_is_a_rate_that_was_spent_long_before_the_end():
    early = numpy.where(epochs(60) < 10, 0.01, 1e-6)
    finding = found(rate.plateau, record(noisy(learning(60)), rate=early))
    assert finding.evidence["from_epoch"] == 10
    assert rate.plateau(record(noisy(learning(60)), rate=numpy.where(epochs(60) < 50, 0.01, 1e-6))) is None
    assert isinstance(rate.plateau(healthy()), NotChecked)


def test_what_was_lost_on_its_way_and_swings_since_is_told_as_both():
    train = noisy(learning(80), 0.5)
    train[20] = 2e5
    curves = record(train)
    assert "came back" in found(rate.diverged, curves).statement and found(rate.oscillating, curves)
    lost = numpy.concatenate([SWINGING[:30], SWINGING[30:] * 1e3])
    assert found(rate.diverged, record(lost))
    assert "goes up and down by" in found(rate.oscillating, record(lost)).statement
    calm = record(numpy.concatenate([SWINGING[:30], noisy(1e3 + epochs(30))]))
    assert found(rate.diverged, calm) and rate.oscillating(calm) is None
    gone = record(numpy.append(lost, numpy.inf))
    assert found(rate.diverged, gone) and rate.oscillating(gone) is None


def test_small_swings_are_told_where_steps_are_long():
    train, valid = noisy(learning(60), 0.02), noisy(learning(60, floor=0.3), 0.1, seed=1)
    short, long = ({"update_ratio": numpy.full(60, share)} for share in (0.04, 0.055))
    assert rate.oscillating(record(train, valid, signals=short)) is None
    finding = found(rate.oscillating, record(train, valid, signals=long))
    assert "error on validation rows" in finding.statement and 0.05 < finding.evidence["jumps"] < 0.25
    other = found(rate.oscillating, record(valid, train, signals=long))
    assert "training loss" in other.statement
    # Updates are long, too, where decay pulls the weights to zero.
    assert rate.oscillating(record(train, valid, signals=long, knobs={"weight_decay": 1.0})) is None


def test_noise_of_small_batches():
    curves = record(noisy(learning(60), 0.3), knobs={"batch_size": 2})
    assert found(rate.batch_noise_too_high, curves).remedy.change == {"batch_size": 32}
    # As many steps of larger ones, and shorter steps.
    known = dataclasses.replace(curves, knobs={"batch_size": 2, "epochs": 20, "lr": 0.01, "optimizer": "adam"})
    change = found(rate.batch_noise_too_high, known).remedy.change
    assert change == {"batch_size": 32, "epochs": 320, "lr": pytest.approx(0.003)}
    known = dataclasses.replace(known, knobs=dict(known.knobs) | {"batch_size": 8, "lr": 1e-3})
    change = found(rate.batch_noise_too_high, known).remedy.change
    assert change == {"batch_size": 64, "epochs": 160, "lr": pytest.approx(1e-3 / 3)}
    assert rate.batch_noise_too_high(dataclasses.replace(curves, knobs={"batch_size": 64})) is None
    assert isinstance(rate.batch_noise_too_high(record(learning())), NotChecked)


def test_a_slow_optimizer_still_falls_at_the_end():
    curves = record(noisy(learning(40, speed=40)), knobs={"optimizer": "sgd"})
    assert found(rate.slow_optimizer, curves).remedy.change == {"optimizer": "adam", "lr": 0.001}
    assert rate.slow_optimizer(dataclasses.replace(curves, knobs={"optimizer": "adam"})) is None
    assert rate.slow_optimizer(dataclasses.replace(healthy(), knobs={"optimizer": "sgd"})) is None


def test_errors_on_training_rows_are_held_against_a_constant_on_training_rows():
    """Where a few rows lie far out, the parts differ in what a constant comes to."""
    high = noisy(1.8 * numpy.ones(40))
    facts = {"constant_error": 1.0, "train_constant_error": 1.9}
    judged = record(learning(40), train_metric=high, validation_metric=noisy(0.9 * numpy.ones(40), seed=1),
                    greater_is_better=False, metric="rmse", facts=facts)  # fmt: skip
    assert rate.diverged(judged) is None
    assert start_beside_constant(judged) == pytest.approx(0.95, abs=0.05)
    one_part = dataclasses.replace(judged, facts={"constant_error": 1.0})
    assert found(rate.diverged, one_part)
