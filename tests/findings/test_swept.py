"""The rules on a sweep: by values, errors and counts alone."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.findings.checked import together
from trimtab.findings.finding import Effect, Finding, Findings, NotChecked, Remedy
from trimtab.findings.swept import (
    SweptRecord,
    checks,
    diverged,
    gain_within_noise,
    search_edge,
    without_what_was_tried,
)

RATES = [1e-4, 1e-3, 1e-2, 1e-1]


def swept(values, errors, *, knob="lr", lost=None, alike=None, runs=3, **more):
    errors = [float(each) for each in errors]
    best = min(range(len(errors)), key=errors.__getitem__) if any(map(math.isfinite, errors)) else None
    alike = ([] if best is None else [best]) if alike is None else alike
    lost = lost or [0] * len(errors)
    named = [{knob: each} if not isinstance(each, dict) else each for each in values]
    return SweptRecord(named, errors, lost, runs, best, alike, **more)


def ids(record):
    return [finding.id for finding in together(checks(record))]


def test_a_sweep_with_its_best_inside_has_no_finding_and_is_told_why():
    found = together(checks(swept(RATES, [3, 1, 2, 4])))
    assert not found.found and not found.not_checked
    assert any("lies within" in reason for reason in found.healthy)
    assert "3 values of lr are measurably worse than the best." in found.healthy


@pytest.mark.parametrize(("errors", "side", "code"), [
    ([4, 3, 2, 1], "larger", "lr=[1, 10, 100]"), ([1, 2, 3, 4], "smaller", "lr=[1e-05, 1e-06, 1e-07]"),
])  # fmt: skip
def test_the_best_at_an_end_is_told_with_the_values_beyond_it(errors, side, code):
    (found,) = search_edge(swept(RATES, errors))
    assert isinstance(found, Finding) and found.severity == "medium"
    assert f"a {side} one may be better" in found.statement and found.remedy.code == code
    assert found.remedy.flag.startswith("--knob lr --values ")


def test_an_end_of_values_that_are_alike_is_told_more_softly_and_of_all_that_are_alike_not_at_all():
    (found,) = search_edge(swept(RATES, [4, 3, 1.1, 1], alike=[2, 3]))
    assert isinstance(found, Finding) and found.severity == "low"
    assert search_edge(swept(RATES, [1.3, 1.2, 1.1, 1], alike=[0, 1, 2, 3])) == []


@pytest.mark.parametrize(("knob", "values"), [
    ("dropout", [0.0, 0.2, 0.4]), ("batch_size", [0, 64, 32]), ("stop", [1, 5, 9]), ("epochs", [1, 2, 4])
])  # fmt: skip
def test_beyond_what_a_knob_can_be_nothing_lies(knob, values):
    record = swept(values, [1, 2, 3], knob=knob)
    assert not any(isinstance(each, Finding) and each.remedy.code[-2] == "0" for each in search_edge(record))
    if knob != "stop":
        assert "can be" in str(search_edge(record)[0])


def test_names_and_two_values_have_no_end():
    assert search_edge(swept(["mse", "mae", "huber"], [1, 2, 3], knob="loss")) == []
    assert search_edge(swept([1e-3, 1e-2], [2, 1])) == []


def test_of_two_knobs_each_has_its_ends():
    values = [{"lr": rate, "width": width} for rate in (0.1, 0.01, 0.001) for width in (8, 16, 32)]
    errors = [3.0] * 9
    errors[5] = 1.0  # the rate in the middle, the largest width
    found = [each for each in search_edge(swept(values, errors)) if isinstance(each, Finding)]
    assert [each.evidence["knob"] for each in found] == ["width"] and found[0].remedy.code == "width=[64, 128, 256]"


def test_one_value_beyond_the_edge_shows_it_and_more_are_lost_time():
    assert "that is how the edge is seen" in str(diverged(swept(RATES, [2, 1, 1.5, math.inf], lost=[0, 0, 0, 3])))
    found = diverged(swept(RATES, [1, math.inf, math.inf, math.inf], lost=[0, 3, 3, 3]))
    assert isinstance(found, Finding) and found.evidence["needless"] == 6 and found.severity == "low"
    assert "75 % of the runs diverged (9 of 12), 6 of them" in found.statement
    found = diverged(swept([1e-4, 3e-4, *RATES[1:]], [2, 1, *[math.inf] * 3], lost=[0, 0, 3, 3, 3]))
    assert isinstance(found, Finding) and "from 0.0001 to 0.0003" in found.remedy.text
    assert found.remedy.code == "lr=[0.0001, 0.0003]" and found.remedy.flag.endswith("--values 0.0001,0.0003")


def test_along_each_of_two_knobs_there_is_an_edge():
    values = [{"optimizer": name, "lr": rate} for name in ("adam", "sgd") for rate in (0.1, 1.0, 10.0)]
    errors = [1.0, 2.0, math.inf, 2.0, math.inf, math.inf]
    assert isinstance(diverged(swept(values, errors, lost=[0, 0, 3, 0, 3, 0])), str)
    found = diverged(swept(values, errors, lost=[0, 0, 3, 0, 3, 3]))
    assert isinstance(found, Finding) and found.evidence["needless"] == 3


def test_where_nothing_trains_smaller_rates_are_named():
    found = diverged(swept([10.0, 100.0], [math.inf, math.inf], lost=[3, 3]))
    assert isinstance(found, Finding) and found.severity == "high"
    assert "6 of 6 runs" in found.statement and found.remedy.code == "lr=[0.001, 0.01, 0.1, 1]"
    other = diverged(swept(["mse", "mae"], [math.inf, math.inf], knob="loss", lost=[3, 3]))
    assert isinstance(other, Finding) and other.remedy.change == {"lr": 1e-4}


def test_values_that_cannot_be_told_apart_gain_nothing():
    found = gain_within_noise(swept(["mse", "mae"], [1.04, 1.0], knob="loss", alike=[0, 1], metric="rmse"))
    assert isinstance(found, Finding) and "differ by 4 % in rmse, over 3 runs of each" in found.statement
    assert found.remedy.flag == "--seeds 12"
    alone = gain_within_noise(swept(RATES, [4, 3, 2, 1], runs=1, is_noise_known=False))
    assert isinstance(alone, NotChecked) and "more seeds" in alone.why
    assert isinstance(gain_within_noise(swept(RATES, [4, 3, 1.1, 1], alike=[2, 3])), str)


def test_a_remedy_that_was_swept_is_no_longer_told():
    def finding(name, **change):
        return Finding(name, "high", "Said.", {}, Effect("It costs."), Remedy("Change it.", change))

    record = swept(RATES, [4, 3, 2, 1])
    found = Findings((
        finding("learning_rate_too_large", lr=0.01), finding("learning_rate_too_small", lr=1.0),
        finding("oscillating", lr=0.03, schedule="cosine"), finding("overfitting"),
    ))  # fmt: skip
    left = without_what_was_tried(found, record)
    assert [each.id for each in left] == ["learning_rate_too_small", "oscillating", "overfitting"]
    assert left.healthy == ("What learning_rate_too_large would change was tried: lr 0.01 is no better.",)


numbers = st.one_of(st.floats(), st.sampled_from([0.0, math.inf, math.nan, 1e-300, 1e300]))
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-5, 500), st.sampled_from(["mse", "mae", True])
)


@settings(max_examples=60)
@given(data=st.data(), knob=st.sampled_from(["lr", "loss", "dropout", "batch_size", "own"]), size=st.integers(1, 6))
def test_any_sweep_gives_findings_or_none_and_never_an_error(data, knob, size):
    chosen = data.draw(st.lists(values, min_size=size, max_size=size))
    errors = data.draw(st.lists(numbers, min_size=size, max_size=size))
    lost = data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    places = [i for i in range(size) if math.isfinite(errors[i]) and lost[i] < 2]
    best = min(places, key=errors.__getitem__, default=None)
    record = SweptRecord([{knob: each} for each in chosen], errors, lost, 2, best, places[:2])
    for finding in together(checks(record)):
        assert "nan" not in finding.statement.lower()
