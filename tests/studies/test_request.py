"""Requests: what is asked of a study, from the options of a caller and from the study's own document."""

import json
from dataclasses import FrozenInstanceError

import polars
import pytest

import trimtab as tt
from trimtab.studies.request import NetworksRequest, TableOptions, TableRequest
from trimtab.table.asked import USUAL_TEST_SHARE
from trimtab.tuning.folder import StudyFolder

FRAME = polars.DataFrame({"a": [1.0], "y": [2.0]})


def folder_of(request, path, **more):
    """A study's folder that knows what was asked."""
    asked = request.document() | {"trials": None} | more
    return StudyFolder.create(path, json.loads(json.dumps(asked)))


def test_what_nobody_said_is_as_usual_and_nothing_can_be_changed_later():
    request, notices = TableOptions(data="t.csv", target="y", drop="a,b", refit=True).request(None)
    assert request == TableRequest("t.csv", "y", drop="a,b", refit=True) and notices == []
    assert (request.task, request.split, request.seed, request.test) == ("auto", "random", 0, USUAL_TEST_SHARE)
    with pytest.raises(FrozenInstanceError):
        request.seed = 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "There is no data"),
        ({"data": "t.csv", "space": {"lr": [1]}}, "space= belongs to networks"),
        ({"data": "t.csv", "valid": 0.2}, "valid= belongs to networks"),
        ({"data": "t.csv", "split": 3}, "split= is 3: it must be a text"),
        ({"data": "t.csv", "precision": "low"}, "precision.*low"),
        ({"data": "t.csv", "seed": 0.5}, "seed"),
    ],
)
def test_options_that_say_nothing_usable_are_refused(options, says):
    with pytest.raises(tt.OptionError, match=says):
        TableOptions(**options).request(None)


def test_a_study_that_is_gone_on_with_is_asked_for_what_it_was_and_what_is_said_besides(tmp_path):
    before = TableRequest("t.csv", "y", split="group:g", seed=3, drop=("a", "b"), fixed={"loss": "mae"}, metric="mae")
    folder = folder_of(before, tmp_path / "s")
    after, notices = TableOptions(drop="a,b", fixed={"lr": 0.1}, single=True).request(folder)
    assert (after.split, after.seed, after.metric, after.target) == ("group:g", 3, "mae", "y")
    assert dict(after.fixed) == {"loss": "mae", "lr": 0.1} and after.single and not after.refit
    assert str(after.data).endswith("t.csv") and after.test == USUAL_TEST_SHARE
    [notice] = notices
    assert "lr at 0.1" in notice
    assert set(after.changes()) < set(after.document())


@pytest.mark.parametrize("said", [{"seed": 4}, {"target": "z"}, {"split": "random"}, {"test": 0.5}, {"metric": "rmse"}])
def test_its_data_split_and_metric_stay(said, tmp_path):
    folder = folder_of(TableRequest("t.csv", "y", split="group:g", seed=3, metric="mae"), tmp_path / "s")
    with pytest.raises(tt.StudyError, match="a resumed study keeps its data, split and metric"):
        TableOptions(**said).request(folder)


def test_a_frame_is_to_be_given_again(tmp_path):
    folder = folder_of(TableRequest(FRAME, "y"), tmp_path / "s")
    with pytest.raises(tt.StudyError, match="was made from a frame: give the same data again"):
        TableOptions().request(folder)
    assert TableOptions(data=FRAME).request(folder)[0].data is FRAME


def test_a_study_of_networks_is_not_gone_on_with_as_that_of_a_table(tmp_path):
    folder = folder_of(TableRequest("t.csv", "y"), tmp_path / "s", kind="module")
    with pytest.raises(tt.StudyError, match="networks of your own: resume it with the function"):
        TableOptions().request(folder)


def test_networks_are_judged_by_a_share_or_by_rows_of_their_own():
    made = NetworksRequest.checked(
        make=None, data=FRAME, valid="auto", test="none", space=None, fixed={}, metric=None, seed=None, storage=None
    )
    assert made.share == 0.2 and made.test is None and made.seed is None and made.space == {}
    assert NetworksRequest(None, FRAME, valid=(1, 2)).share is None
