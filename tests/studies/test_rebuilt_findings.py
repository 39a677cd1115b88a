"""What is wrong with a study is told of its folder alone: of one that was finished as it was, of one that was not by
what is there."""

import json
import shutil
import threading

import numpy
import polars
import pytest
from torch import nn

import trimtab as tt
from trimtab.errors import StudyError
from trimtab.findings.check import RULES, check
from trimtab.findings.document import document_of
from trimtab.findings.finding import IDS
from trimtab.studies.rebuilt_findings import records_of_trial
from trimtab.tuning.folder import StudyFolder


@pytest.fixture(scope="module")
def table() -> polars.DataFrame:
    generator = numpy.random.default_rng(0)
    x = generator.normal(size=(80, 3))
    y = x[:, 0] + 2 * (x[:, 1] > 0) + 0.3 * generator.normal(size=80)
    return polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "settled": 2 * y, "y": y})


@pytest.fixture(scope="module")
def study(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("found") / "s"
    return tt.tune(
        table, "y", trials=1, epochs=60, width=8, depth=1, lr=0.01, out=out, quiet=True, counterfactuals=0, seed=1
    )


def not_checked(findings):
    return {each.id: each.why for each in findings.not_checked}


def test_a_finished_study_is_read_as_it_was_and_its_winner_is_diagnosed_by_all_that_was_known(study):
    assert tt.load(study.out).findings == study.findings
    folder = StudyFolder(study.out)
    noted = document_of(folder)["facts"]
    assert noted["trial"] == study.winner.number and len(noted["folds"]) == len(study.winner.ended)
    assert {"constant_error", "parameters", "train_rows", "prediction_spread"} <= set(noted["folds"][0])
    diagnosed = tt.diagnose(study.out)
    record = records_of_trial(folder, study.winner, noted["folds"])[0]
    assert diagnosed.record.facts == record.facts == noted["folds"][0]
    assert diagnosed.findings == check(record)


def unfinished(study, folder, *, with_rows=True):
    """The folder as a kill leaves it before there is a result."""
    shutil.copytree(study.out, folder)
    document = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(document | {"result": None}))
    found = json.loads((folder / "findings.json").read_text())
    if with_rows:
        kept = {name: found[name] for name in ("findings", "healthy", "not_checked")}
        kept["findings"] = [each for each in kept["findings"] if each["id"] in IDS["data"]]
        (folder / "findings.json").write_text(json.dumps(kept))
    else:
        (folder / "findings.json").unlink()
    return tt.load(folder)


def test_of_an_unfinished_study_the_curves_and_what_was_found_before_training_tell(study, tmp_path):
    found = unfinished(study, tmp_path / "s").findings
    assert "leakage" in {each.id for each in found}
    missing = not_checked(found)
    assert "not finished" in missing["search_edge"] and "targets are not kept" in missing["outliers_dominate_loss"]
    assert "leakage" not in missing and "overfitting" not in missing
    assert not {each.id for each in found} & set(IDS["search"])


def test_what_the_folder_does_not_tell_is_named(study, tmp_path):
    opened = unfinished(study, tmp_path / "s", with_rows=False)
    missing = not_checked(opened.findings)
    assert set(IDS["data"]) <= set(missing) and "rows are not kept" in missing["leakage"]
    (tmp_path / "s" / "curves.parquet").unlink()
    missing = not_checked(tt.load(tmp_path / "s").findings)
    assert set(RULES) <= set(missing) and not tt.load(tmp_path / "s").findings.healthy


def test_a_search_that_is_stopped_at_once_leaves_what_it_had_found(table, tmp_path):
    abort = threading.Event()

    class Stops(tt.Listener):
        def progress(self, progress):
            if progress.trials_done >= 1:
                abort.set()

    with pytest.raises(StudyError, match="Stopped at once"):
        tt.tune(table, "y", trials=1, epochs=4, width=8, depth=1, out=tmp_path / "s", abort=abort, listeners=[Stops()])
    found = tt.load(tmp_path / "s").findings
    assert "leakage" in {each.id for each in found} and "search_edge" in not_checked(found)


def test_networks_of_ones_own_too(tmp_path):
    generator = numpy.random.default_rng(0)
    x = generator.normal(size=(100, 3)).astype(numpy.float32) * numpy.float32([1, 1, 1e4])
    study = tt.tune(
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), data=(x, x[:, :1]),
        space={"lr": [1e-3, 1e-2]}, epochs=8, trials=2, out=tmp_path / "s", counterfactuals=0, quiet=True,
    )  # fmt: skip
    assert tt.load(study.out).findings == study.findings
    found = unfinished(study, tmp_path / "again").findings
    assert "unscaled_inputs" in {each.id for each in found}
    assert {each.id for each in found} >= {each.id for each in study.findings if each.id in IDS["duration"]}
