"""What is wrong with a winner's training, and what became of the remedies that were tried beside it."""

import pytest

from trimtab.findings.finding import Effect, Finding, Findings, Remedy
from trimtab.findings.worth.account import Account, Row
from trimtab.studies.counterfactuals.alternatives import with_knobs
from trimtab.studies.training_findings import REMEDY, remedies, with_account
from trimtab.training.config import Config, Optimizer

FINDING = Finding(
    "learning_rate_too_large", "high", "The learning rate is too large.", {}, Effect("It costs something.", 0.1),
    Remedy("Lower it.", {"lr": 1e-4}, "--lr 0.0001", "lr=0.0001"),
)  # fmt: skip
WINNER = Config(network=(("width", 8),), optimizer=Optimizer("adam", 1e-2))


def account(*rows, greater_is_better=False):
    return Account({"error": 2.0}, "accuracy" if greater_is_better else "rmse", greater_is_better, rows)


def row(difference, low, high, verdict):
    return Row(REMEDY.format(FINDING.id), FINDING.remedy.flag, difference, low, high, verdict, 10)


def test_a_remedy_of_knobs_becomes_a_config_beside_the_winner():
    made = remedies(Findings((FINDING,)), WINNER)
    assert [each.config.optimizer.learning_rate for each in made] == [1e-4]
    assert dict(made[0].change) == {"lr": 1e-4}


@pytest.mark.parametrize("change", [{}, {"lr": 1e-2}, {"split": "time"}, {"lr": -1.0}, {"depth": 3}])
def test_what_changes_nothing_or_cannot_be_is_not_tried(change):
    finding = Finding("diverged", "high", "It diverged.", {}, Effect("All."), Remedy("Do something.", change))
    assert remedies(Findings((finding,)), WINNER) == []


def test_several_knobs_change_together():
    config = with_knobs(WINNER, {"lr": 0.1, "width": 16, "epochs": 7, "dropout": 0.2})
    assert config == Config(network=(("width", 16),), optimizer=Optimizer("adam", 0.1), epochs=7, dropout=0.2)


def test_what_helped_is_measured():
    tried = with_account(Findings((FINDING,)), account(row(-0.5, -0.8, -0.2, "better"))).found[0]
    assert tried.effect.is_measured
    assert tried.effect.share == pytest.approx(0.25)
    assert tried.severity == "high"
    assert (tried.remedy.tried.before, tried.remedy.tried.after) == (2.0, 1.5)
    assert (tried.remedy.tried.low, tried.remedy.tried.high) == (-0.8, -0.2)


def test_what_did_not_help_is_made_little_of():
    tried = with_account(Findings((FINDING,)), account(row(0.1, -0.3, 0.5, "alike"))).found[0]
    assert tried.severity == "low"
    assert "no gain" in tried.effect.text


def test_of_a_metric_that_is_better_when_greater_the_figures_turn():
    found = with_account(Findings((FINDING,)), account(row(-0.5, -0.8, -0.2, "better"), greater_is_better=True))
    tried = found.found[0].remedy.tried
    assert (tried.before, tried.after, tried.low, tried.high) == (-1.0, -0.5, 0.2, 0.8)


def test_what_was_not_reached_stays_as_it_is():
    findings = Findings((FINDING,))
    assert with_account(findings, account()) == findings
    assert with_account(findings, account(Row(REMEDY.format(FINDING.id), "--lr 0.0001"))) == findings
