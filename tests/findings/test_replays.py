import numpy
import pytest

from trimtab.findings.replays import HINDSIGHT, RULES, Replay, replayed, replayed_between, stop_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.training.config import Stopping
from trimtab.training.rules.stopping import make

EPOCHS = numpy.arange(1.0, 201.0)


def record(validation, train=None, epochs=EPOCHS, **more):
    validation = numpy.asarray(validation, dtype=float)
    train = numpy.exp(-epochs / 20) + 0.1 if train is None else train
    return TrainingRecord(epochs, train_loss=train, validation_loss=validation, **more)


def by_rule(replays) -> dict[str, Replay]:
    return {each.rule: each for each in replays}


VALLEY = (EPOCHS - 60) ** 2 / 3600 + 1  # best at epoch 60, four times as bad in the end


def test_patience_stops_so_many_epochs_after_the_best_and_keeps_it():
    found = by_rule(replayed(record(VALLEY)))
    for patience in (5, 10, 20, 50, 100):
        assert found[f"patience {patience}"] == Replay(f"patience {patience}", 60 + patience, 60, 1.0)
    assert found["no stopping"] == Replay("no stopping", 200, 60, 1.0)
    assert found[HINDSIGHT] == Replay(HINDSIGHT, 60, 60, 1.0)
    assert found["GL 5"].kept == 60 and 60 < found["GL 5"].epochs < found["patience 50"].epochs


def test_a_bump_deceives_short_patience_alone():
    bump = numpy.where((EPOCHS > 20) & (EPOCHS < 35), 0.5, 0.0) + 2 - EPOCHS / 200
    found = by_rule(replayed(record(bump)))
    assert found["patience 10"].kept == 20 and found["patience 20"].kept == 200
    assert found["patience 10"].score == pytest.approx(1.9) and found["patience 20"].score == pytest.approx(1.0)


@pytest.mark.parametrize("name", RULES)
def test_a_replay_is_what_the_rule_does_in_training(name):
    rng = numpy.random.default_rng(3)
    errors, losses = VALLEY + 0.05 * rng.normal(size=200), numpy.exp(-EPOCHS / 20) + 0.1
    rule, spent = make(RULES[name]), 200
    for epoch, loss, error in zip(EPOCHS, losses, errors, strict=True):
        if rule.should_stop(int(epoch), loss, error):
            spent = int(epoch)
            break
    found = by_rule(replayed(record(errors, losses)))[name]
    assert found.epochs == spent and found.score == errors[:spent].min()


def test_the_metric_decides_and_is_shown_as_users_read_it():
    accuracy = 0.9 - VALLEY / 10
    metric = record(numpy.ones(200), validation_metric=accuracy, greater_is_better=True, metric="accuracy")
    assert by_rule(replayed(metric))["patience 5"] == Replay("patience 5", 65, 60, pytest.approx(0.8))


def test_one_half_decides_and_the_other_scores_and_then_they_swap():
    later = (EPOCHS - 80) ** 2 / 3600 + 1
    found = by_rule(replayed_between(record(VALLEY), record(later)))
    kept = found["patience 5"]
    assert (kept.epochs, kept.kept) == (75, 70)
    assert kept.score == pytest.approx((later[59] + VALLEY[79]) / 2)
    assert found[HINDSIGHT] == Replay(HINDSIGHT, 70, 70, 1.0)


def test_epochs_of_any_step_and_curves_without_numbers():
    every_tenth = record(VALLEY[9::10], train=VALLEY[9::10], epochs=EPOCHS[9::10])
    assert by_rule(replayed(every_tenth))["patience 20"] == Replay("patience 20", 80, 60, 1.0)
    assert replayed(TrainingRecord(EPOCHS)) == () and stop_of(TrainingRecord(EPOCHS)) is None
    nothing = by_rule(replayed(record(numpy.full(200, numpy.nan))) or replayed(record([1.0] * 200)))
    assert nothing["patience 5"].kept == 1


def test_quotients_need_errors_above_zero_and_the_progress_rule_a_training_loss():
    below = by_rule(replayed(record(VALLEY - 2)))
    assert not any(name.startswith(("GL", "PQ")) for name in below) and "UP 2" in below
    no_losses = TrainingRecord(EPOCHS, validation_loss=VALLEY)
    assert not any(name.startswith("PQ") for name in by_rule(replayed(no_losses)))


def test_steps_count_by_evaluations():
    steps = record(VALLEY, epochs=EPOCHS * 500, counts="step")
    assert by_rule(replayed(steps))["patience 5"] == Replay("patience 5", 32_500, 30_000, 1.0)


def test_where_to_stop_and_what_it_gains():
    stop = stop_of(record(VALLEY))
    assert stop is not None and (stop.epoch, stop.saved) == (60, 140)
    assert stop.gain == pytest.approx(VALLEY[-1] - 1) and stop.share == pytest.approx(VALLEY[-1] - 1)
    kept = stop_of(record(VALLEY, kept=60))
    assert kept is not None and kept.gain == 0 and kept.saved == 140


def test_thresholds_are_those_of_the_paper():
    assert RULES["GL 5"] == Stopping("gl", threshold=5) and RULES["UP 4"].strip == 5
