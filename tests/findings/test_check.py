import math
import re
from dataclasses import replace

import numpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from made_curves import healthy, learning, noisy
from made_curves import record as made
from trimtab.findings.check import RULES, check
from trimtab.findings.finding import IDS, Effect, Finding, Remedy
from trimtab.findings.replays import replayed, replayed_between, stop_of
from trimtab.findings.training_record import TrainingRecord

NUMBERS = st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=64), st.sampled_from([0.0, 1.0, numpy.nan]))


@st.composite
def records(draw) -> TrainingRecord:
    """Any curves at all: of any length, constant, missing, infinite."""
    length = draw(st.integers(0, 40))

    def curve():
        one = st.lists(NUMBERS, min_size=length, max_size=length)
        same = NUMBERS.map(lambda value: [value] * length)
        return draw(st.one_of(st.none(), same, one).map(lambda v: None if v is None else numpy.array(v, dtype=float)))

    return TrainingRecord(
        numpy.cumsum(numpy.array(draw(st.lists(st.integers(1, 3), min_size=length, max_size=length)), dtype=float)),
        train_loss=curve(), validation_loss=curve(), train_metric=curve(), validation_metric=curve(),
        greater_is_better=draw(st.sampled_from([None, True, False])), metric=draw(st.sampled_from(["", "rmse"])),
        rate=curve(), kept=draw(st.sampled_from([None, 0, 3, numpy.nan])),
        ended=draw(st.sampled_from(["", "all epochs", "not finite"])),
    )  # fmt: skip


FAR = numpy.full(12, 8.98846567431158e307)


@settings(max_examples=60)
@example(TrainingRecord(numpy.arange(1.0, 13), FAR, FAR, FAR, numpy.zeros(12), greater_is_better=True))
@example(TrainingRecord(numpy.arange(1.0, 13), numpy.full(12, 5e-324), FAR, rate=numpy.full(12, 5e-324)))
@given(records())
def test_any_curve_gives_findings_or_none(record: TrainingRecord) -> None:
    for finding in check(record):
        assert "nan" not in finding.statement.lower() and "inf" not in finding.statement.split()
    replayed(record), replayed_between(record, record), stop_of(record)


OF_RECORDS = {name for family in ("duration", "rate", "loss", "network") for name in IDS[family]}


def test_every_finding_about_training_has_its_rule():
    # Outliers are told by residuals, which no record of curves has.
    assert set(RULES) == OF_RECORDS - {"outliers_dominate_loss"}


def test_a_healthy_training_has_none_and_is_told_why():
    findings = check(healthy())
    assert not findings.found and len(findings.healthy) >= 3
    assert "best_weights_not_restored" in {each.id for each in findings.not_checked}
    assert all(each.why for each in findings.not_checked)


def test_without_validation_rows_the_reason_is_told():
    reasons = {each.id: each.why for each in check(made(learning())).not_checked}
    assert reasons["overfitting"] == "no validation column"


def test_nothing_is_judged_of_no_epoch():
    findings = check(TrainingRecord(numpy.empty(0)))
    assert not findings.found and not findings.healthy and {each.id for each in findings.not_checked} == set(RULES)


def test_a_cause_comes_first_and_what_only_repeats_it_is_left_out():
    lost = check(made([1.0, 0.9, 5.0, 80.0, *[numpy.nan] * 10], [1.0] * 14))
    assert [each.id for each in lost][:2] == ["learning_rate_too_large", "diverged"]
    assert "overfitting" not in {each.id for each in lost}


def test_a_cause_is_as_grave_as_what_follows_from_it():
    """Units that such steps drive to their bounds let no gradient through: it is the rate that must change."""
    signals = {"update_ratio": numpy.full(40, 0.2), "gradient_norm": numpy.ones(40)}
    norms, saturated = numpy.tile([1e-3, 1e-3, 0.1, 0.1, 1.0, 1.0], (40, 1)), numpy.tile([0.5, 0.4], (40, 1))
    by_layer = {"gradient_norms": norms, "saturated_by_layer": saturated}
    found = check(made(noisy(learning(40)), signals=signals, by_layer=by_layer, knobs={"lr": 1.0})).found
    names = ["learning_rate_too_large", "saturated_activations", "vanishing_gradients"]
    assert [each.id for each in found] == names
    assert [each.severity for each in found] == ["high"] * 3
    alone = check(made(noisy(learning(40)), by_layer={"saturated_by_layer": saturated})).found
    assert [each.severity for each in alone] == ["medium"]


def test_what_other_rules_found_is_ranked_among_it():
    other = Finding("leakage", "high", "A column tells the target.", {}, Effect(""), Remedy(""))
    assert [each.id for each in check(healthy(), [other, None])] == ["leakage"]


# Every number stands beside what it counts, or beside the word that it numbers.
UNIT = re.compile(
    r"(epoch|layer|below|above) -?[\d.,]+|[\d.,]+ (%|epochs?|times|rows?|parameters?|classes|training rows?)"
)


def test_no_number_stands_without_its_unit():
    rising = learning(100, floor=0.3) + 0.006 * numpy.maximum(0, numpy.arange(100) - 40)
    overfit = made(noisy(learning(speed=30, floor=0.05)), noisy(rising, seed=1), kept=100, knobs={"width": 256},
                   facts={"parameters": 70_000, "train_rows": 100})  # fmt: skip
    creeping = made(1 - 0.004 * numpy.arange(60), 1 - 0.004 * numpy.arange(60), knobs={"optimizer": "sgd", "lr": 1e-5})
    swinging = made(0.5 + 0.3 * (-1.0) ** numpy.arange(60), knobs={"batch_size": 2})
    findings = [finding for record in (overfit, creeping, swinging) for finding in check(record)]
    assert len(findings) >= 8
    for finding in findings:
        assert not re.search(r"\d", UNIT.sub("", finding.statement)), finding.statement


@pytest.mark.parametrize("length", [1, 2, 4])
def test_nothing_is_called_healthy_of_what_is_too_short_to_be_judged(length):
    findings = check(healthy(length))
    assert not findings.found and not findings.healthy
    assert {each.id for each in findings.not_checked} == set(RULES)


def test_what_is_lost_at_once_is_found_in_any_length():
    findings = check(made([1.0, math.inf], [1.0, math.inf], ended="not finite"))
    assert "diverged" in {finding.id for finding in findings} and not findings.healthy


def test_a_log_that_counts_steps_is_told_in_steps():
    falling = 10.0 ** numpy.linspace(1, 0, 30)
    by_epochs, by_steps = (
        check(replace(made(falling, falling, counts=counts), epochs=100.0 * numpy.arange(1, 31))).found
        for counts in ("epoch", "step")
    )
    assert [each.id for each in by_epochs] == [each.id for each in by_steps] and by_steps
    assert "3,000 epochs" in by_epochs[0].statement
    assert "3,000 steps" in by_steps[0].statement and "epoch" not in by_steps[0].statement + by_steps[0].effect.text
