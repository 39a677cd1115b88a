"""What is found about a table and the search over it is kept with the study, and read from there."""

import json
import time

import numpy
import polars
import pytest
import torch

import trimtab as tt
from trimtab.findings.data.before_training import before_training
from trimtab.findings.finding import Finding, Findings
from trimtab.listeners.listeners import Listeners
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.purse import Price, time_to_explain
from trimtab.studies.request import TableRequest
from trimtab.studies.table_findings import (
    Searched,
    after_search,
    boosted_tree,
    boosted_tree_seconds,
    joined,
    search_record,
    seconds_after,
    without,
)
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import TableWork
from trimtab.table.prepare import prepare
from trimtab.training.config import Config
from trimtab.training.metrics import metric_for
from trimtab.tuning.baselines import LINEAR
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.standing import WORSE
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.verdicts import LEARNT, NEIGHBOURS


@pytest.fixture(scope="module")
def table() -> polars.DataFrame:
    """Straight lines and steps that small networks do not find in three epochs, and a column that gives all away."""
    generator = numpy.random.default_rng(0)
    x = generator.normal(size=(240, 3))
    y = x[:, 0] + 2 * (x[:, 1] > 0) + 0.3 * generator.normal(size=240)
    return polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "settled": 2 * y, "y": y})


@pytest.fixture(scope="module")
def study(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("found") / "s"
    return tt.tune(table, "y", trials=2, epochs=3, width=8, depth=1, out=out, quiet=True)


def test_a_study_keeps_what_was_found_before_and_after_training(study):
    ids = [finding.id for finding in study.findings]
    assert "leakage" in ids, "before training"
    assert {"worse_than_baseline", "gain_within_noise"} & set(ids), "of three epochs"
    written = json.loads((study.out / "findings.json").read_text())
    assert [each["id"] for each in written["findings"]] == ids
    assert [each["id"] for each in study.summary()["findings"]] == ids
    assert [each.statement for each in tt.load(study.out).findings] == [each.statement for each in study.findings]
    checked_not = {each.id for each in study.findings.not_checked}
    assert "not_representative" in checked_not, "two trials leave no time for growing trees"


@pytest.mark.parametrize(("name", "itself"), [("linear", "linear"), ("", ""), (NEIGHBOURS, ""), (LEARNT, "")])
def test_a_model_of_one_part_is_a_baseline_only_where_that_is_one(study, table, name, itself):
    result = {**study.result, "ensemble": [{"trial": 1, "name": name, "share": 1.0}]}
    searched = Searched(result, numpy.zeros((240, 1)), (), ())
    record = search_record(prepare(table, target="y"), metric_for("rmse", "regression", 1), searched, None)
    assert record.is_itself == itself


def test_a_folder_without_findings_has_none(study, tmp_path):
    (tmp_path / "study.json").write_text((study.out / "study.json").read_text())
    from trimtab.findings.document import read
    from trimtab.tuning.folder import StudyFolder

    assert read(StudyFolder(tmp_path)) == Findings()


def test_boosted_trees_are_grown_on_the_same_folds_and_compared_out_of_fold(study, table):
    prepared, metric = prepare(table, target="y"), metric_for("rmse", "regression", 1)
    trees = boosted_tree(prepared, metric)
    truth = prepared.target_encoder.truth(prepared.development)
    assert trees.shape == truth.shape and numpy.sqrt(((trees - truth) ** 2).mean()) < 0.5 * truth.std()
    noise = truth + numpy.random.default_rng(0).normal(size=truth.shape) * truth.std()
    searched = Searched(study.result, noise, (), ())
    found = after_search(prepared, metric, searched, before_training(prepared, seconds=60), seconds=60)
    (worse,) = (each for each in found if each.id == "worse_than_baseline")
    assert "boosted tree" in worse.statement and worse.effect.is_measured
    assert study.result["gains"][LINEAR]["rmse"]["verdict"] in (WORSE, "alike", "better")


def test_what_is_judged_again_takes_the_place_of_what_was_said_before(study):
    one = next(iter(study.findings))
    both = joined(Findings((one,), ("fine",)), Findings((), ("fine", "well")))
    assert both.healthy == ("fine", "well") and isinstance(both.found[0], Finding)
    assert len(without(both, [one.id])) == 0


def test_growing_trees_may_take_half_of_the_time_for_counterfactuals():
    assert seconds_after(60.0, 30.0, None, explaining=0.15) == 4.5
    assert seconds_after(60.0, 30.0, None) == 3.0
    assert seconds_after(60.0, 1.0, None, explaining=0.15) == 1.0


def test_at_a_minute_trees_are_grown_on_tables_of_some_thousand_rows():
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame(rng.normal(size=(5_000, 10))).with_columns(y=polars.Series(rng.normal(size=5_000)))
    assert boosted_tree_seconds(prepare(frame, target="y")) < seconds_after(60.0, 30.0, None, explaining=0.15)


def test_trees_are_grown_when_the_first_network_is_there_where_counterfactuals_pay_for_them(table, tmp_path):
    def work_of(place, **options):
        call = Call.checked(
            trials=None, threads=1, device="cpu", out=None, resume=None, stop=None, abort=None, started=None,
            listeners=Listeners(), **options,
        )  # fmt: skip
        subject = TableSubject.of(TableRequest(table, "y"), prepare(table, target="y"), call.device)
        work = TableWork(subject, StudyFolder.create(tmp_path / place, {"data": None}), call)
        work.engine.close()
        work._model_saved = time.monotonic()  # nothing is to be saved
        weights = TrialWeights(torch.zeros(1, 1), numpy.zeros((len(subject.prepared.targets), 1)))
        for name in ("linear", "", ""):
            before = work.seconds_of_trees
            record = TrialRecord(0, name, {}, Config(), COMPLETE, 1.0, best_epochs=(1,), epochs=(2,), ended=("",))
            work.found_better(record, weights)
            assert (work.seconds_of_trees > before) == (call.explaining > 0 and name == "" and not before)
        kept = time_to_explain(call, Price(0.1, 0.08), folds=5)
        return kept, time_to_explain(call, Price(0.1, 0.08), folds=5, spent=work.seconds_of_trees)

    kept, left = work_of("minute", budget=60)
    assert kept == pytest.approx(9.0) and left < kept, "what trees took is no longer there for others"
    assert work_of("none", budget=60, counterfactuals=0) == (0.0, 0.0)
