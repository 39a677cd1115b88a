from dataclasses import replace

import numpy
import polars
import pytest
import torch

from trimtab.errors import StudyError
from trimtab.training.config import Config, Loss, Optimizer
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, FAILED, PRUNED, TrialRecord, TrialWeights
from trimtab.tuning.writer import TrialStore, TrialWriter

SPACE = space_for("regression", "rmse", rows=800, columns=8, fixed={})


def weights(value=1.0):
    return TrialWeights(torch.full((5, 7), value), numpy.full((20, 1), value, dtype=numpy.float32))


def record(number, error, state=COMPLETE):
    values = SPACE.draw(numpy.random.default_rng(number))
    return TrialRecord(
        number, "", values, SPACE.config(values), state, error, (error,) * 5, (3,) * 5, ("pruned",) * 5, 0.5
    )


@pytest.fixture
def folder(tmp_path):
    return StudyFolder.create(tmp_path / "study", {"data": "x.csv"})


def test_a_config_survives_its_document():
    loss = Loss("focal", 2.0, class_weights=(1.0, 2.0))
    config = Config((("width", 3), ("activation", "relu")), (("sigma", 0.2),), loss, Optimizer("lion"))
    assert Config.from_json(config.to_json()) == config


def test_what_the_writer_stores_comes_back_the_same(folder):
    writer = TrialWriter(folder, SPACE, url=None, greater_is_better=False, earlier=[])
    records = [record(3, 0.5), record(1, 0.25), record(2, float("inf"), FAILED)]
    for item in records:
        writer.put(item, weights(item.number) if item.state == COMPLETE else None, [])
    writer.close()
    store = TrialStore(folder, url=None, greater_is_better=False)
    assert store.trials() == sorted(records, key=lambda r: r.number)
    assert torch.equal(folder.load_weights(3).parameters, weights(3).parameters)
    assert folder.load_weights(2) is None
    assert not any(trial.state.name == "RUNNING" for trial in store.study.trials)


def test_only_the_best_weights_are_kept(folder, monkeypatch):
    monkeypatch.setattr("trimtab.tuning.writer.KEPT_TRIALS", 3)
    writer = TrialWriter(folder, SPACE, url=None, greater_is_better=False, earlier=[])
    for number in range(8):
        writer.put(record(number, abs(number - 5) + 1.0), weights(), [])
    writer.close()
    assert sorted(int(p.stem) for p in folder.runs.glob("*.safetensors")) == [4, 5, 6]
    assert len(TrialStore(folder, url=None, greater_is_better=False).trials()) == 8


def kept(folder, records, earlier=(), monkeypatch=None, **limits):
    for name, value in limits.items():
        monkeypatch.setattr(f"trimtab.tuning.writer.{name}", value)
    writer = TrialWriter(folder, SPACE, url=None, greater_is_better=False, earlier=list(earlier))
    for each in records:
        writer.put(each, weights(), [])
    writer.close()
    return sorted(int(p.stem) for p in folder.runs.glob("*.safetensors"))


@pytest.mark.parametrize("limits", [{"KEPT_TRIALS": 4}, {"KEPT_BYTES": 1700}])
def test_what_a_study_shows_is_never_dropped(folder, monkeypatch, limits):
    """Baselines, however bad; the best finished trial, however many pruned ones look better; and what the last result
    refers to, in a resumed study too."""
    baselines = [replace(record(number, 100.0), name=name) for number, name in enumerate(("mean", "linear"))]
    finished, pruned = record(2, 50.0), [record(number, 10.0 + number, PRUNED) for number in range(3, 9)]
    assert kept(folder, [*baselines, finished, *pruned], monkeypatch=monkeypatch, **limits)[:3] == [0, 1, 2]
    result = {"winner": 2, "ensemble": [{"trial": 2, "share": 0.5}, {"trial": 3, "share": 0.5}]}
    folder.write("study.json", folder.read("study.json") | {"result": result})
    better = [record(number, 1.0) for number in range(20, 30)]
    earlier = [*baselines, finished, *pruned]
    after = kept(folder, better, earlier, monkeypatch=monkeypatch, **limits)
    assert after[:4] == [0, 1, 2, 3] and 20 in after and len(after) < 8


def test_an_error_while_writing_reaches_whoever_waits_for_it(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "save_weights", full)
    writer = TrialWriter(folder, SPACE, url=None, greater_is_better=False, earlier=[])
    writer.put(record(0, 1.0), weights(), [])
    with pytest.raises(OSError, match="No space left"):
        writer.close()


def test_accuracy_is_stored_as_users_read_it(folder):
    writer = TrialWriter(folder, SPACE, url=None, greater_is_better=True, earlier=[])
    writer.put(record(0, 0.2), weights(), [])
    writer.close()
    study = TrialStore(folder, url=None, greater_is_better=True).study
    assert study.best_value == pytest.approx(0.8) and study.direction.name == "MAXIMIZE"


def test_parts_of_curves_are_merged_without_doubles(folder):
    part = polars.DataFrame({"trial": [1, 1], "fold": [0, 0], "epoch": [1, 2], "train_loss": [0.5, 0.4]})
    folder.save_curves(part)
    folder.save_curves(part)
    folder.save_curves(part.with_columns(trial=2))
    folder.merge_curves()
    assert folder.read_curves().height == 4 and folder.read_curves(2)["trial"].to_list() == [2, 2]
    assert (folder.path / "curves.parquet").exists() and not list(folder.curves.glob("*.parquet"))


def test_a_folder_that_holds_something_is_not_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(StudyError, match="not empty"):
        StudyFolder.create(tmp_path / "mine", {})
    with pytest.raises(StudyError, match="is a file"):
        StudyFolder.create(tmp_path / "mine" / "letter.txt", {})


def test_what_is_no_study_or_a_newer_one_says_so(tmp_path, folder):
    with pytest.raises(StudyError, match="not a study folder"):
        StudyFolder.open(tmp_path)
    folder.write("study.json", {"kind": "trimtab study", "format": 99})
    with pytest.raises(StudyError, match="newer trimtab"):
        StudyFolder.open(folder.path)
    (folder.path / "study.json").write_text("{half")
    with pytest.raises(StudyError, match="cannot be read"):
        StudyFolder.open(folder.path)
