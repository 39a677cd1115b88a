"""Training rows that predict, as a study's best networks remember them: where they help, and where they do not."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy
import polars
import pytest
import torch

import trimtab as tt
from trimtab.model.tensors import training_data
from trimtab.studies.counterfactuals.ensemble import ensemble_of_table
from trimtab.studies.remembering import MOST_ROWS, REACHES, SHARE_OF_BUDGET, affordable, recalled, seconds_to_recall
from trimtab.studies.request import TableOptions
from trimtab.studies.table_subject import TableSubject
from trimtab.table.prepare import prepare
from trimtab.training.config import Config
from trimtab.training.metrics import METRICS
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.verdicts import NEIGHBOURS, ensemble_in_words

pytestmark = pytest.mark.usefixtures("few_epochs")
GROUPS, EACH = 40, 6
TINY = {
    "epochs": 12, "width": 16, "depth": 1, "activation": "relu", "inputs": "scaled", "batch_size": 64,
    "optimizer": "adamw", "lr": 0.01, "dropout": 0.0,
}  # fmt: skip


def table(kind="numbers"):
    """Rows that nearly repeat: of each place there are several, and what a place is worth follows from nothing."""
    rng = numpy.random.default_rng(3)
    places, level = rng.normal(size=(GROUPS, 2)), rng.normal(size=GROUPS)
    group = numpy.arange(GROUPS * EACH) % GROUPS
    x = places[group] + 1e-3 * rng.normal(size=(GROUPS * EACH, 2))
    y = 10 * level[group] + 0.1 * rng.normal(size=len(group))
    classes = numpy.array(["low", "high"])[(level[group] > 0).astype(int)]
    return polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y if kind == "numbers" else classes})


def tune(frame, out, **options):
    return tt.tune(frame, "y", out=out, **{"trials": 2, "threads": 1, "quiet": True, **TINY, **options})


@pytest.fixture(scope="module")
def study(tmp_path_factory, few_epochs):
    return tune(table(), tmp_path_factory.mktemp("remembering") / "study")


def test_rows_that_nearly_repeat_are_remembered(study, tmp_path):
    plain = tune(table(), tmp_path / "without", neighbours=False)
    assert study.result["test"]["rmse"] < 0.5 * plain.result["test"]["rmse"]
    entries = study.result["ensemble"]
    remembered = [each for each in entries if each["name"] == NEIGHBOURS]
    assert remembered and sum(each["share"] for each in entries) == pytest.approx(1)
    assert study.model.rows_remembered == study.result["rows_remembered"] > 0.5 * GROUPS * EACH
    assert plain.model.rows_remembered == 0 == plain.result["rows_remembered"]
    assert not any(each["name"] == NEIGHBOURS for each in plain.result["ensemble"])
    assert any("training rows" in notice and "--no-neighbours" in notice for notice in study.notices)
    assert "the neighbours in the last hidden layer of trial" in ensemble_in_words(study.result)
    # The choice is judged out of fold, by what other rows say, and so is the model without a test part.
    judged = study.result["validation"]["rmse"]
    assert 0.3 * study.result["test"]["rmse"] < judged < 0.6 * plain.result["validation"]["rmse"]


def test_classes_are_remembered_too(tmp_path):
    study = tune(table("classes"), tmp_path / "study")
    assert study.model.rows_remembered > 0 and study.result["test"]["log_loss"] < 0.3
    assert study.model.predict_proba(table("classes")).sum(1) == pytest.approx(1)


def test_a_study_that_is_gone_on_with_keeps_to_what_was_asked(tmp_path):
    tune(table(), tmp_path / "study", neighbours=False)
    again = tt.tune(table(), resume=tmp_path / "study", trials=3, threads=1, quiet=True)
    assert again.model.rows_remembered == 0
    document = json.loads((tmp_path / "study" / "study.json").read_text())
    assert document["asked"]["neighbours"] is False
    # An older study has not said anything.
    del document["asked"]["neighbours"]
    (tmp_path / "study" / "study.json").write_text(json.dumps(document))
    older = tt.tune(table(), resume=tmp_path / "study", trials=4, threads=1, quiet=True)
    assert older.model.rows_remembered > 0


def test_what_the_ensemble_is_worth_counts_what_is_remembered(study):
    folder, request = StudyFolder(study.out), TableOptions(data=table(), target="y").request(None)[0]
    subject = TableSubject.of(request, request.prepared(), torch.device("cpu"))
    found = ensemble_of_table(subject, folder, study.winner, study.result["ensemble"])
    assert study.winner.error - found.beside.value == pytest.approx(study.result["validation"]["rmse"], rel=1e-3)
    kept = sorted(path.name for path in (study.out / "runs").glob("neighbours-*"))
    numbers = {each["trial"] for each in study.result["ensemble"] if each["name"] == NEIGHBOURS}
    assert kept == sorted(f"neighbours-{number}.safetensors" for number in numbers)


def test_where_one_part_has_judged_all_rows_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.table.folds.MOST_ROWS_FOR_FOLDS", 40)
    study = tune(table(), tmp_path / "study", epochs=60)
    assert study.result["of_all_rows"]
    assert study.model.rows_remembered == len(prepare(table(), target="y").development)
    refitted = tune(table(), tmp_path / "refitted", epochs=60, refit=True)
    assert refitted.model.rows_remembered == GROUPS * EACH


@pytest.mark.parametrize("options", [{"single": True}, {"depth": 0}, {"split": "time:t"}])
def test_what_has_no_use_for_neighbours_has_none(options, tmp_path):
    frame = table().with_columns(t=numpy.arange(GROUPS * EACH))
    if "depth" in options:
        options = {**dict.fromkeys(("width", "activation", "inputs", "dropout")), **options}
    assert tune(frame, tmp_path / "study", **options).model.rows_remembered == 0


def test_networks_of_ones_own_have_none():
    with pytest.raises(tt.OptionError, match="neighbours= belongs to tables"):
        tt.tune(lambda: torch.nn.Linear(2, 1), (numpy.ones((9, 2)), numpy.ones(9)), neighbours=False, trials=1)


# -- out of fold


def candidates(data, program, number=3):
    generator = torch.Generator().manual_seed(0)
    size, folds = program.layout.size, len(data.folds)
    result = []
    for place in range(number):
        record = TrialRecord(place, "", {}, Config(), COMPLETE, 1.0 + place, best_epochs=(1,), ended=("all epochs",))
        weights = TrialWeights(
            torch.randn(folds, size, generator=generator), numpy.zeros((data.rows, data.outputs), numpy.float32)
        )
        result.append((record, weights))
    return result


@pytest.fixture
def material():
    from trimtab.model.model import build

    prepared = prepare(table(), target="y", test="none")
    network = {"width": 8, "depth": 1, "activation": "tanh", "inputs": "scaled"}
    program = MLPProgram(build(prepared.encoder, prepared.target_encoder, network))
    return training_data(prepared, torch.device("cpu")), program


def test_a_row_has_no_say_in_what_is_recalled_of_it(material):
    data, program = material
    found = recalled(candidates(data, program), data, lambda record: program, METRICS["rmse"])
    assert [each.record.number for each in found] == [0, 1] and all(set(each.reaches) < set(REACHES) for each in found)
    changed = data.targets.clone()
    changed[5] += 100.0
    other = replace(data, targets=changed)
    again = recalled(candidates(other, program, 1), other, lambda record: program, METRICS["rmse"])
    difference = numpy.abs(again[0].predictions - found[0].predictions)[:, 0]
    if again[0].reaches == found[0].reaches:
        assert difference[5] == 0 and difference.max() > 1
    beside = next(place for place in range(len(difference)) if place % GROUPS == 5 and place != 5)
    assert difference[beside] > 1, "a row that nearly repeats it hears of it"


def test_nothing_is_recalled_without_time(material):
    data, program = material
    some = candidates(data, program)
    assert recalled(some, data, lambda record: program, METRICS["rmse"], is_over=lambda: True) == []
    one = recalled(some, data, lambda record: program, METRICS["rmse"], networks=1)
    assert [each.record.number for each in one] == [0]


@pytest.mark.parametrize(
    ("rows", "folds", "seconds", "networks"),
    [
        (1_000, 5, 3.0, 2), (15_000, 5, 3.0, 0), (15_000, 1, 3.0, 2), (30_000, 1, 3.0, 0), (30_000, 1, 6.0, 1),
        (30_000, 1, 60.0, 2), (60_000, 1, 1e9, 0), (1_000, 5, float("inf"), 2),
    ],
)  # fmt: skip
def test_as_many_networks_are_looked_at_as_there_is_time_for(rows, folds, seconds, networks):
    """So many training rows, and a quarter of them to test on."""
    parts, test = [(range(rows * 4 // 5), range(rows // 5))] * folds, SimpleNamespace(height=rows // 4)
    prepared = SimpleNamespace(folds=parts, targets=range(rows), test=test)
    assert affordable(prepared, seconds / SHARE_OF_BUDGET) == networks
    if networks < 2 and seconds_to_recall(prepared) < seconds:
        assert networks == 1 or rows * 4 // 5 > MOST_ROWS


def test_study_folders_keep_what_was_recalled_of_the_last_choice_alone(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.runs.mkdir()
    folder.save_recalled({"3": numpy.ones((4, 1)), "learnt-0": numpy.zeros((4, 1))})
    folder.save_recalled({"learnt-0": numpy.ones((4, 1))})
    assert folder.load_recalled("3") is None and (folder.load_recalled("learnt-0") == 1).all()
