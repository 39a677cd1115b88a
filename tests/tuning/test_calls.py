"""Calls: what a resumed study says of its time and its test rows is true of all of it."""

import pytest

from trimtab.tuning import calls
from trimtab.tuning.folder import StudyFolder


@pytest.fixture
def folder(tmp_path):
    return StudyFolder.create(tmp_path / "study", {"data": "x.csv"})


def test_seconds_and_uses_add_up_over_calls(folder):
    calls.begin(folder)
    calls.note(folder, tested=True)
    calls.note(folder, seconds=12.5)
    assert calls.in_all(folder) == {"calls": 1, "seconds_in_all": 12.5, "cut_off": 0, "test_uses": 1}
    calls.begin(folder)  # and killed
    calls.begin(folder)
    calls.note(folder, seconds=3.0, tested=True)
    assert calls.in_all(folder) == {"calls": 3, "seconds_in_all": 15.5, "cut_off": 1, "test_uses": 2}
    assert folder.read("study.json")["asked"] == {"data": "x.csv"}


def test_a_call_without_test_rows_uses_none(folder):
    calls.begin(folder)
    calls.note(folder, seconds=1.0)
    assert calls.in_all(folder)["test_uses"] == 0


def test_a_study_from_before_calls_were_counted_had_one(folder):
    result = {"seconds": 40.0, "test": {"rmse": 1.0}}
    folder.write("study.json", folder.read("study.json") | {"result": result})
    calls.begin(folder)
    calls.note(folder, seconds=2.0, tested=True)
    assert calls.in_all(folder) == {"calls": 2, "seconds_in_all": 42.0, "cut_off": 0, "test_uses": 2}
