"""The rules on data: each finds its fault in a table made with it, and says nothing of the same table without."""

import json
import math
import re
from datetime import datetime, timedelta

import numpy
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.findings.data import copies, leakage, representative
from trimtab.findings.data.amount import evaluation_too_noisy, extrapolated, too_few_to_judge, too_little_data
from trimtab.findings.data.before_training import before_training
from trimtab.findings.data.classes import class_imbalance
from trimtab.findings.data.dependence import belongs_together
from trimtab.findings.data.label_noise import label_noise
from trimtab.findings.data.of_tensors import of_tensors
from trimtab.findings.data.relation import adjusted, features_carry_nothing
from trimtab.findings.data.scaling import unscaled_inputs, unscaled_target
from trimtab.findings.data.seconds import seconds_for
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.document import from_json, to_json
from trimtab.findings.finding import ALL_IDS, Finding, Findings, NotChecked
from trimtab.table.prepare import prepare

ROWS = 400


def frame(rows: int = ROWS, seed: int = 0, **more) -> polars.DataFrame:
    generator = numpy.random.default_rng(seed)
    a, b = generator.normal(size=(2, rows))
    label = generator.choice(["red", "green", "blue"], rows)
    y = a + numpy.sin(2 * b) + 0.7 * generator.normal(size=rows)
    return polars.DataFrame({"a": a, "b": b, "label": label, "y": y, **more})


def record(table: polars.DataFrame, *, with_test: bool = False, **options) -> TableRecord:
    return TableRecord.of_prepared(prepare(table, target="y", **options), with_test=with_test)


def found(outcome, name: str) -> Finding:
    assert isinstance(outcome, Finding), outcome
    assert outcome.id == name
    assert_readable(outcome)
    return outcome


def assert_readable(finding: Finding) -> None:
    assert finding.id in ALL_IDS and finding.severity in ("high", "medium", "low")
    texts = finding.statement, finding.effect.text, finding.remedy.text
    assert not any(re.search(r"\b(nan|inf|None)\b", text) for text in texts), texts
    assert from_json(json.loads(json.dumps(to_json(Findings((finding,)))))).found[0].statement == finding.statement


def test_a_healthy_table_has_no_finding_and_is_told_why():
    findings = before_training(prepare(frame(1_500), target="y"))
    assert [finding.statement for finding in findings] == []
    assert len(findings.healthy) >= 4


def test_the_rows_of_a_record_are_those_of_the_source():
    table = frame()
    whole, part = (TableRecord.of_prepared(prepare(table, target="y"), most_rows=most) for most in (10_000, 100))
    for each in (whole, part):
        assert table["y"].gather(each.rows).to_list() == each.targets[:, 0].tolist()
        assert table["a"].gather(each.rows).to_list() == each.columns[0].values.tolist()
    assert part.size == 100 and part.is_sample and not whole.is_sample
    assert all(not set(train) & set(valid) and max(train.max(), valid.max()) < 100 for train, valid in part.folds)


# -- unlike parts


def test_validation_rows_that_moved_are_named_with_their_column():
    table = frame(600)
    part = ["train"] * 400 + ["valid"] * 200
    moved = table.with_columns(part=polars.Series(part), a=polars.col("a") + polars.Series([0.0] * 400 + [1.5] * 200))
    finding = found(
        representative.differs_from_validation(record(moved, split="part", test="none")), "not_representative"
    )
    assert list(finding.evidence["columns"]) == ["a"] and finding.evidence["area_under_roc"] > 0.7
    same = record(table.with_columns(part=polars.Series(part)), split="part", test="none")
    assert "cannot tell" in str(representative.differs_from_validation(same))


def test_only_the_features_of_test_rows_are_compared():
    table = frame(600)
    part = polars.Series(["train"] * 300 + ["valid"] * 100 + ["test"] * 200)
    moved = table.with_columns(part=part, y=polars.col("y") + polars.Series([0.0] * 400 + [50.0] * 200))
    assert "cannot tell test" in str(representative.differs_from_others(record(moved, split="part", with_test=True)))
    other = table.with_columns(part=part, a=polars.col("a") + polars.Series([0.0] * 400 + [1.5] * 200))
    beside = representative.differs_from_others(record(other, split="part", with_test=True))
    assert found(beside, "not_representative").remedy.flag == '--drop "a"' and beside.remedy.code == "drop=['a']"
    none = representative.differs_from_others(record(table))
    assert isinstance(none, NotChecked)


def test_rows_near_in_time_that_give_each_other_away_ask_for_a_split_by_time():
    generator = numpy.random.default_rng(3)
    when = [datetime(2025, 1, 1) + timedelta(hours=i) for i in range(ROWS)]
    level = numpy.cumsum(generator.normal(size=ROWS))
    table = frame(when=when).with_columns(y=polars.col("y") + polars.Series(3 * level / level.std()))
    (finding,) = (each for each in belongs_together(record(table)) if isinstance(each, Finding))
    assert found(finding, "not_representative").remedy.flag == '--split "time:when"'
    assert not any(isinstance(each, Finding) for each in belongs_together(record(frame(when=when))))
    assert list(belongs_together(record(table, split="time:when"))) == []


def test_groups_that_give_themselves_away_ask_for_a_split_by_group():
    generator = numpy.random.default_rng(3)
    patient = generator.integers(0, 50, ROWS)
    level = generator.normal(size=50)[patient]
    names = {"patient": [f"p{i}" for i in patient]}
    table = frame(**names).with_columns(y=polars.col("y") + polars.Series(3 * level))
    (finding,) = (each for each in belongs_together(record(table)) if isinstance(each, Finding))
    assert found(finding, "not_representative").remedy.code == "split='group:patient'"
    assert not any(isinstance(each, Finding) for each in belongs_together(record(frame(**names))))


# -- leaks and copies


def test_a_column_made_from_the_target_is_a_leak_and_a_single_cause_is_none():
    table = frame()
    finding = found(leakage.tells_the_target(record(table.with_columns(total=(polars.col("y") / 3).exp()))), "leakage")
    assert list(finding.evidence["columns"]) == ["total"] and finding.severity == "high"
    twice = table.with_columns(y=polars.col("a"), other=polars.col("a") * 2)
    assert "No column" in str(leakage.tells_the_target(record(table)))
    assert isinstance(leakage.tells_the_target(record(twice.select("a", "y"))), NotChecked)


def test_a_moving_average_knows_the_future():
    table = frame(when=[datetime(2025, 1, 1) + timedelta(hours=i) for i in range(ROWS)])
    made = numpy.convolve(table["y"].to_numpy(), numpy.ones(3) / 3, mode="same")
    past = numpy.append(0.0, table["y"].to_numpy()[:-1])
    for split in ("time:when", "random"):
        future = record(table.with_columns(smooth=polars.Series(made)), split=split)
        assert "smooth" in found(leakage.knows_the_future(future), "leakage").statement
    assert isinstance(leakage.knows_the_future(record(table.with_columns(lag=past), split="time:when")), str)


def test_identifiers_that_the_user_took_in_are_named():
    table = frame(code=[f"x{i:04d}" for i in range(ROWS)])
    assert leakage.learns_identifiers(record(table)) is None
    assert found(leakage.learns_identifiers(record(table, category="code")), "leakage").evidence["columns"] == ["code"]


def test_copies_on_both_sides_are_found_and_those_that_are_kept_together_cost_nothing():
    table = frame()
    both = polars.concat([table, table[:120]])
    kept = copies.duplicate_rows(record(both))
    assert isinstance(kept, str) and "one side" in kept
    told_apart = both.with_columns(note=polars.Series([f"a note of some length, number {i}" for i in range(520)]))
    finding = found(copies.duplicate_rows(record(told_apart)), "duplicate_rows")
    assert finding.evidence["twins"] == len(set(finding.evidence["rows"])) or finding.evidence["twins"] > 20
    assert found(copies.copies_among(record(told_apart, with_test=True)), "duplicate_rows").evidence["part"] == "test"


def test_answers_that_are_alike_by_chance_are_no_copies():
    generator = numpy.random.default_rng(0)
    answers = {f"question {i}": generator.integers(0, 3, 1_000).astype(str) for i in range(4)}
    table = polars.DataFrame({**answers, "y": generator.integers(0, 2, 1_000).astype(str)})
    assert not isinstance(copies.duplicate_rows(record(table)), Finding)


# -- targets


def test_swapped_labels_are_found_with_their_rows():
    generator = numpy.random.default_rng(0)
    signal = generator.normal(size=2_000)
    probability = 1 / (1 + numpy.exp(-6 * signal))
    truth = (generator.random(2_000) < probability).astype(int)
    wrong = generator.random(2_000) < 0.08
    predictions = numpy.stack([1 - probability, probability], axis=1)
    clean, noisy = (
        TableRecord.of_arrays(signal[:, None], labels) for labels in (truth, numpy.where(wrong, 1 - truth, truth))
    )
    assert isinstance(label_noise(clean, predictions), str)
    rows = found(label_noise(noisy, predictions), "label_noise").evidence["rows"]
    assert numpy.mean(wrong[rows]) > 0.7 and len(rows) > 0.5 * wrong.sum()


@pytest.mark.parametrize("law", ["normal", "laplace", "standard_t"])
def test_targets_beyond_a_gap_are_found_and_heavy_tails_are_not(law):
    generator = numpy.random.default_rng(1)
    noise = generator.standard_t(4, 1_000) if law == "standard_t" else getattr(generator, law)(size=1_000)
    predictions = generator.normal(size=(1_000, 1)) * 5
    target = predictions[:, 0] + noise
    assert isinstance(label_noise(TableRecord.of_arrays(predictions, target), predictions), str)
    target[[7, 70, 700]] += [300, -4_000, 500]
    finding = found(label_noise(TableRecord.of_arrays(predictions, target), predictions), "label_noise")
    assert set(finding.evidence["rows"]) == {7, 70, 700} and finding.effect.share > 0.5


def test_an_imbalance_is_a_finding_only_for_what_it_costs():
    def of(rare: int, metric: str = ""):
        labels = ["no"] * (500 - rare) + ["yes"] * rare
        return class_imbalance(record(frame(500).with_columns(y=polars.Series(labels)), test="none"), metric=metric)

    assert isinstance(of(150), str) and isinstance(of(20), str)
    assert found(of(4), "class_imbalance").severity == "high"
    assert "accuracy" in found(of(20, "accuracy"), "class_imbalance").statement


def test_a_target_that_nothing_bears_on_is_told():
    table = frame()
    shuffled = table.with_columns(y=polars.col("y").shuffle(seed=1))
    assert found(features_carry_nothing(record(shuffled)), "features_carry_nothing").evidence["columns"] == 3
    assert isinstance(features_carry_nothing(record(table)), str)
    # No column alone tells an exclusive or.
    either = table.with_columns(y=(polars.col("a") * polars.col("b")).sign() + 0.1 * polars.col("y"))
    assert isinstance(features_carry_nothing(record(either)), str)
    assert isinstance(features_carry_nothing(record(shuffled), seconds=0), NotChecked)


# -- amounts and sizes


def test_a_learning_curve_that_falls_asks_for_rows_and_a_flat_one_does_not():
    generator = numpy.random.default_rng(0)
    folds = generator.normal(1, 0.05, (10, 1))
    noise = generator.normal(0, 0.01, (10, 3))
    falling = numpy.array([1.6, 1.25, 1.0]) * folds + noise
    finding = found(too_little_data([200, 400, 800], falling, metric="rmse"), "too_little_data")
    assert 0.1 < finding.evidence["gain"] < 0.25 and finding.evidence["low"] > 0
    assert isinstance(too_little_data([200, 400, 800], numpy.ones(3) * folds + noise, metric="rmse"), str)
    assert isinstance(too_little_data([200, 400, 800], falling[:1], metric="rmse"), NotChecked)


def test_the_gain_of_twice_the_rows_is_that_of_the_law():
    sizes = numpy.array([250, 500, 1000, 2000])
    truth = 0.5 + 8 * sizes**-0.5
    lines = truth[:3] * numpy.random.default_rng(0).normal(1, 0.002, (10, 3))
    gain = extrapolated([250, 500, 1000], lines)
    assert gain is not None
    assert gain.low < (truth[2] - truth[3]) / truth[2] < gain.high


def test_few_rows_to_judge_by_are_told_before_and_after():
    found(too_few_to_judge(40, task="regression", part="test"), "evaluation_too_noisy")
    assert isinstance(too_few_to_judge(2_000, task="classification", part="test"), str)
    found(evaluation_too_noisy({"linear": (0.01, -0.2, 0.22)}, metric="rmse", rows=40), "evaluation_too_noisy")
    for known in ((0.3, 0.1, 0.5), (0.0, -0.02, 0.02)):
        assert isinstance(evaluation_too_noisy({"linear": known}, metric="rmse", rows=40), str)


def test_tensors_that_are_not_scaled_are_told():
    generator = numpy.random.default_rng(0)
    inputs = generator.normal(size=(200, 3))
    plain = TableRecord.of_arrays(inputs, inputs[:, 0] + 1)
    assert isinstance(unscaled_inputs(plain), str) and isinstance(unscaled_target(plain), str)
    large = TableRecord.of_arrays(inputs * [1, 1, 1e4], inputs[:, 0] * 5e3)
    assert "input 2" in found(unscaled_inputs(large), "unscaled_inputs").statement
    found(unscaled_target(large), "unscaled_target")
    found(unscaled_inputs(TableRecord.of_arrays(inputs + numpy.array([0, 500, 0]), inputs[:, 0])), "unscaled_inputs")
    assert unscaled_target(TableRecord.of_arrays(inputs, (inputs[:, 0] > 0).astype(int))) is None


def test_tensors_of_ones_own_are_looked_at_without_training():
    generator = numpy.random.default_rng(0)
    inputs = generator.normal(size=(200, 3)) * [1, 1, 1e4]
    valid = (inputs[:50], inputs[:50, 0])
    found_ids = [finding.id for finding in of_tensors(inputs, inputs[:, 0], valid=valid)]
    assert sorted(found_ids) == ["duplicate_rows", "unscaled_inputs"]
    assert [each.id for each in of_tensors(inputs, inputs[:, 0], is_scaled_inside=True)] == []


# -- all of them


def test_p_values_are_adjusted_as_by_holm():
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_a_short_budget_leaves_out_what_takes_long_and_says_so():
    assert seconds_for(20) == 1.0 and seconds_for(3_600) == 5.0 and seconds_for(None, 3) < seconds_for(None, 100)
    table = frame(when=[datetime(2025, 1, 1) + timedelta(hours=i) for i in range(ROWS)])
    findings = before_training(prepare(table, target="y"), seconds=0.0)
    assert {each.id for each in findings.not_checked} >= {"leakage", "not_representative"}


@settings(max_examples=25)
@given(
    rows=st.integers(10, 60),
    columns=st.integers(1, 4),
    kind=st.sampled_from(["normal", "constant", "missing", "huge", "whole"]),
    is_class=st.booleans(),
    seed=st.integers(0, 5),
)
def test_any_table_gives_findings_or_none_and_never_an_error(rows, columns, kind, is_class, seed):
    generator = numpy.random.default_rng(seed)
    cells = generator.normal(size=(rows, columns))
    if kind == "constant":
        cells[:, 0] = 1.0
    if kind == "missing":
        cells[generator.random(cells.shape) < 0.7] = math.nan
    if kind == "huge":
        cells *= 1e300
    if kind == "whole":
        cells = numpy.round(cells)
    target = generator.integers(0, 3, rows) if is_class else generator.normal(size=rows)
    half = rows // 2
    about = TableRecord.of_arrays(cells[:half], target[:half], valid=(cells[half:], target[half:]), labels="abc")
    predictions = numpy.full((rows, 3), 1 / 3) if is_class else numpy.zeros((rows, 1))
    outcomes = [
        class_imbalance(about), copies.duplicate_rows(about), *leakage.checks(about), features_carry_nothing(about),
        representative.differs_from_validation(about), *belongs_together(about), label_noise(about, predictions),
        unscaled_target(about),
    ]  # fmt: skip
    for outcome in outcomes:
        assert outcome is None or isinstance(outcome, (Finding, NotChecked, str))
        if isinstance(outcome, Finding):
            assert_readable(outcome)
