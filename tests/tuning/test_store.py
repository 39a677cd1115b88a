import json
import shutil

import numpy
import optuna
import pytest

from trimtab.errors import StudyError
from trimtab.training.run import Curves, Request, RunRecord
from trimtab.tuning.flight import Flight, Flying, in_flight
from trimtab.tuning.folder import StudyFolder, locked
from trimtab.tuning.space import space_for
from trimtab.tuning.store import MOST_POINTS, TrialStore, _mean_curve, begun, document_of, record_of
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.writer import TrialWriter

SPACE = space_for("regression", "rmse", rows=800, columns=8, fixed={})


def record(number, error=1.0):
    values = SPACE.draw(numpy.random.default_rng(number))
    return TrialRecord(number, "", values, SPACE.config(values), COMPLETE, error, rung_errors=(2.0, 1.5))


def stored(folder, *records, url=None):
    begun(folder, url=url, greater_is_better=False, asked={})
    writer = TrialWriter(folder, SPACE, url=url, greater_is_better=False, earlier=[])
    for each in records:
        writer.put(each, None, [])
    writer.close()


@pytest.fixture
def shared(tmp_path):
    return f"sqlite:///{tmp_path / 'shared.db'}"


def test_a_record_survives_its_document_and_an_older_one_lacks_what_it_did_not_note():
    assert record_of(json.loads(json.dumps(document_of(record(3))))) == record(3)
    older = {name: value for name, value in document_of(record(3)).items() if name not in ("rung_errors", "cuts")}
    assert record_of(json.loads(json.dumps(older))).rung_errors == ()


def test_folders_of_one_name_in_one_database_are_two_studies(tmp_path, shared):
    one, two = (StudyFolder.create(tmp_path / name / "houses", {}) for name in ("a", "b"))
    stored(one, record(0), record(1), url=shared)
    stored(two, record(0, error=7.0), url=shared)
    read = [TrialStore(folder, url=shared, greater_is_better=False).trials() for folder in (one, two)]
    assert read == [[record(0), record(1)], [record(0, error=7.0)]]


def test_a_study_made_with_other_data_is_not_gone_on_with(tmp_path, shared):
    folder = StudyFolder.create(tmp_path / "s", {"fingerprint": "abc"})
    stored(folder, record(0), url=shared)
    document = folder.read("study.json")
    folder.write("study.json", document | {"asked": {"fingerprint": "other"}})
    with pytest.raises(StudyError, match="was made with other data"):
        TrialStore(folder, url=shared, greater_is_better=False)


def test_only_trials_that_the_folder_wrote_are_its_own(tmp_path, shared):
    folder = StudyFolder.create(tmp_path / "s", {})
    stored(folder, record(0), url=shared)
    shutil.copytree(folder.path, tmp_path / "copy")
    stored(StudyFolder.open(tmp_path / "copy"), record(1), url=shared)
    assert TrialStore(folder, url=shared, greater_is_better=False).trials() == [record(0)]
    with pytest.raises(StudyError, match="Another copy of .*/s has gone on .* added 1 trial"):
        begun(folder, url=shared, greater_is_better=False, asked={})


def test_a_database_that_has_lost_the_study_is_an_error_and_an_empty_one_is_not(tmp_path, shared):
    folder = StudyFolder.create(tmp_path / "s", {})
    assert begun(folder, url=shared, greater_is_better=False, asked={}) == []
    stored(folder, record(0), url=shared)
    (folder.path / "runs" / "0.safetensors").touch()
    with pytest.raises(StudyError, match="has no study trimtab-"):
        TrialStore(folder, url=f"sqlite:///{tmp_path / 'new.db'}", greater_is_better=False)
    for name in optuna.get_all_study_names(shared):
        optuna.delete_study(study_name=name, storage=shared)
    with pytest.raises(StudyError, match="has no study trimtab-"):
        begun(folder, url=shared, greater_is_better=False, asked={})


def test_older_folders_adopt_from_a_shared_database_what_is_theirs_alone(tmp_path, shared):
    optuna.create_study(study_name="houses", storage=shared)
    new = StudyFolder.create(tmp_path / "houses", {})
    new.write("study.json", {name: value for name, value in new.read("study.json").items() if name != "store"})
    begun(new, url=shared, greater_is_better=False, asked={})
    assert new.study_name(new.read("study.json")) != "houses"


def test_a_database_that_cannot_be_read_is_one_sentence(tmp_path):
    folder = StudyFolder.create(tmp_path / "s", {})
    (folder.path / "study.db").write_text("no database" * 100)
    with pytest.raises(StudyError, match="cannot be (opened|used): .*not a database"):
        TrialStore(folder, url=None, greater_is_better=False)


def test_what_is_in_flight_is_known_until_it_is_stored(tmp_path):
    folder = StudyFolder.create(tmp_path / "s", {})
    flight = Flight(folder)
    flight.add(3, {"lr": 0.1})
    flight.add(4, {"lr": 0.2})
    flight.cut(record(4))
    flight.add(4, record(4).values)
    assert in_flight(folder, []) == [Flying(3, {"lr": 0.1}), Flying(4, record(4).values, record(4))]
    assert [each.number for each in in_flight(folder, [record(3)])] == [4] and 3 in flight
    flight.stored(3)
    flight.stored(4)
    assert in_flight(folder, []) == [] and 3 not in flight


def test_of_many_in_flight_not_each_that_is_stored_is_written_and_all_are_in_the_end(tmp_path, monkeypatch):
    folder = StudyFolder.create(tmp_path / "s", {})
    flight, written = Flight(folder), []
    monkeypatch.setattr(StudyFolder, "write", lambda self, name, content: written.append(len(content)))
    flight.add_all([(number, {"lr": 0.1}) for number in range(100)])
    for number in range(90):
        flight.stored(number)
    assert written[0] == 100 and len(written) < 40
    flight.close()
    assert written[-1] == 10


def test_other_tools_find_a_curve_of_few_points_from_its_first_to_its_last():
    def run(epochs):
        curves = Curves(
            epoch=list(range(1, epochs + 1)), validation_metric=[1 / epoch for epoch in range(1, epochs + 1)]
        )
        return RunRecord(Request(0, SPACE.config(record(0).values), 0, 0), curves, "", 0.1, 1, epochs, 1, None, None)

    for epochs in (0, 1, 2, 15, 16, 17, 400):
        curve = _mean_curve([run(epochs), run(epochs + 3)])
        assert len(curve) == min(epochs, MOST_POINTS)
        assert not epochs or (min(curve), max(curve)) == (1, epochs)


def test_a_lock_keeps_others_out_and_is_no_content(tmp_path):
    with locked(tmp_path / "s"):
        with pytest.raises(StudyError, match="Another search is at work"), locked(tmp_path / "s"):
            pass
        StudyFolder.create(tmp_path / "s", {})
    with locked(tmp_path / "s"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="cannot be written"), locked(tmp_path / "file"):
        pass
