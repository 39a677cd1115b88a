"""The rules on a search: by figures and intervals alone."""

import pytest

from trimtab.findings.finding import Finding, NotChecked
from trimtab.findings.search import (
    Compared,
    SearchRecord,
    checks,
    gain_within_noise,
    no_better_than_the_mean,
    search_edge,
    worse_than_baseline,
)  # fmt: skip
from trimtab.knobs.domains import HIGH, LOW
from trimtab.tuning.notices import Edge
from trimtab.tuning.standing import ALIKE, BETTER, UNKNOWN, WORSE, Gain

GOOD = {"mean": 0.9, "linear": 0.4, "default_mlp": 0.1, "boosted_tree": 0.08}


def record(
    noise: float = 0.03, trials: int = 40, edges: tuple[Edge, ...] = (), is_itself: str = "", **better_by: float
):
    compared = {}
    for name, middle in better_by.items():
        low, high = middle - noise, middle + noise
        verdict = BETTER if low > 0 else WORSE if high < 0 else ALIKE
        compared[name] = Compared(Gain(middle, (low, high), verdict), 2.0, 200)
    return SearchRecord("rmse", False, compared, trials=trials, edges=edges, is_itself=is_itself)


def test_a_search_that_gained_has_no_finding_and_is_told_why():
    outcomes = list(checks(record(**GOOD)))
    assert not any(isinstance(each, (Finding, NotChecked)) for each in outcomes)
    assert any(
        "better than the mean of the training rows, a linear model and a boosted tree" in str(e) for e in outcomes
    )


@pytest.mark.parametrize("name", ["mean", "linear", "boosted_tree"])
def test_a_baseline_that_beats_the_network_is_named_plainly(name):
    found = worse_than_baseline(record(**GOOD | {name: -0.2}))
    assert isinstance(found, Finding) and "beats the network" in found.statement
    assert "10.0 % [8.5 %, 11.5 %]" in found.statement and found.effect.share == pytest.approx(0.1)
    assert found.effect.is_measured and list(found.evidence["compared"]) == [name]


def test_what_lies_within_noise_is_no_loss():
    assert isinstance(worse_than_baseline(record(**GOOD | {"boosted_tree": -0.02})), str)
    assert isinstance(worse_than_baseline(record()), NotChecked)


def test_a_search_without_gain_over_the_default_is_told():
    alike, worse = (gain_within_noise(record(**GOOD | {"default_mlp": by})) for by in (0.02, -0.2))
    assert isinstance(alike, Finding) and "1.0 % [-0.5 %, 2.5 %] on 200 rows" in alike.statement
    assert isinstance(worse, Finding) and worse.severity == "medium"
    assert worse.effect.text.startswith("The default network would have been the better choice")
    assert alike.effect.text.startswith("The default network does as well")
    itself = gain_within_noise(record(is_itself="linear", mean=0.9, linear=0.0))
    assert isinstance(itself, Finding) and "a linear model" in itself.statement
    nothing = Compared(Gain(None, None, UNKNOWN), 2.0, 200)
    assert isinstance(gain_within_noise(SearchRecord("rmse", False, {"default_mlp": nothing})), NotChecked)


def test_a_network_that_is_no_better_than_the_mean_has_learnt_nothing():
    found = no_better_than_the_mean(record(mean=0.01))
    assert isinstance(found, Finding) and found.id == "features_carry_nothing"
    assert no_better_than_the_mean(record(mean=0.5)) is None


def test_each_knob_at_the_edge_is_a_finding_with_its_flag():
    found = search_edge(record(edges=(Edge("width", 256, HIGH), Edge("lr", 1.02e-5, LOW))))
    assert [(each.remedy.flag, each.severity) for each in found if isinstance(each, Finding)] == [
        ("--width VALUE", "low"), ("--lr VALUE", "low"),
    ]  # fmt: skip
    assert "a smaller value may be better" in found[1].statement  # type: ignore[union-attr]


def test_columns_from_which_a_baseline_learns_carry_something():
    assert no_better_than_the_mean(record(mean=0.01, linear=-0.5)) is None
