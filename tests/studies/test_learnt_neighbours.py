"""Networks that learn nothing but whom to ask: what they find, what they take, and what becomes of them in a study."""

import json
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy
import polars
import pytest
import torch

import trimtab as tt
from trimtab.listeners.listeners import Listeners
from trimtab.model.model import build
from trimtab.model.tensors import training_data
from trimtab.studies import learnt_neighbours
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.ensemble import ensemble_of_table
from trimtab.studies.learnt_neighbours import (
    LESSONS,
    SHARE_OF_ASKING,
    SHARE_OF_BUDGET,
    SHARE_OF_TRYING,
    Allowance,
    affordable,
    is_promising,
    learnt,
    lessons_for,
    seconds_to_ask,
    seconds_wanted,
)
from trimtab.studies.request import TableOptions
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import LESSON_TRIED_AT, TRIED_BESIDE, TableWork
from trimtab.table.prepare import prepare
from trimtab.training.metrics import METRICS
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.progress import Progress
from trimtab.tuning.scoring import Scoring
from trimtab.tuning.trial import TrialRecord, TrialWeights
from trimtab.tuning.verdicts import LEARNT, ensemble_in_words

pytestmark = pytest.mark.usefixtures("few_epochs")
ROWS = 240
PROGRESS = Progress("searching", 1.0, 0, 0, 0, None, None, 0.0)
TINY = {"width": 16, "depth": 1, "activation": "relu"}


def table(kind="numbers"):
    """What a row is worth jumps along one of its columns; the others, as wide, say nothing."""
    rng = numpy.random.default_rng(3)
    x = rng.normal(size=(ROWS, 5))
    level = numpy.sin(5 * x[:, 0])
    y = 10 * level if kind == "numbers" else numpy.array(["low", "high"])[(level > 0).astype(int)]
    return polars.DataFrame({f"x{i}": x[:, i] for i in range(5)} | {"y": y})


def material(kind="numbers"):
    prepared = prepare(table(kind), target="y", test="none")
    return training_data(prepared, torch.device("cpu")), partial(build, prepared.encoder, prepared.target_encoder)


def taught(kind="numbers", allowance=None, lessons=None, **options):
    data, make = material(kind)
    allowance = Allowance(rows=1_000_000) if allowance is None else allowance
    metric = METRICS["rmse" if kind == "numbers" else "log_loss"]
    lessons = LESSONS[data.task][:lessons]
    return data, learnt(lessons, data, make, metric, allowance, **{"threads": 1, "seed": 0, **options})


@pytest.fixture
def shorter(monkeypatch):
    monkeypatch.setattr(learnt_neighbours, "USUAL_STEPS", 80)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_each_lesson_gives_a_candidate_judged_on_rows_that_taught_it_nothing(kind, shorter):
    data, found = taught(kind, allowance=Allowance(rows=1e9))
    assert [each.place for each in found] == list(range(len(LESSONS[data.task])))
    for each in found:
        assert each.record is None and each.predictions.shape == (ROWS, data.outputs)
        assert numpy.isfinite(each.predictions).all() and len(each.reaches) == len(each.parameters) == len(data.folds)
    truth = data.truth(torch.arange(ROWS)).numpy()
    if kind == "numbers":
        errors = [numpy.sqrt(((each.predictions - truth) ** 2).mean()) for each in found]
        assert min(errors) < 0.6 * truth.std()
    else:
        assert max((each.predictions.argmax(1) == truth).mean() for each in found) > 0.8


def test_what_is_counted_in_rows_depends_on_neither_clock_nor_threads(shorter):
    _, alone = taught(threads=1, lessons=2)
    _, beside = taught(threads=2, lessons=2)
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one.parameters, other.parameters) and (one.predictions == other.predictions).all()
    assert not torch.equal(taught(seed=1, lessons=1)[1][0].parameters, alone[0].parameters)


def test_the_first_lessons_have_the_rows_that_are_allowed(shorter):
    data, make = material()
    pupil = learnt_neighbours._Pupil(0, LESSONS["regression"][0], make, Scoring(data, METRICS["rmse"]), 0)
    _, found = taught(allowance=Allowance(rows=1.9 * pupil.rows_wanted))
    assert [each.place for each in found] == [0, 1]


def test_too_little_time_and_too_few_rows_teach_nothing(shorter):
    assert taught(allowance=Allowance(seconds=0.0))[1] == []
    assert taught(allowance=Allowance(rows=100))[1] == []
    assert taught(is_over=lambda: True)[1] == [] and taught(lessons=0)[1] == []
    data, make = material()
    lonely = replace(data, folds=(replace(data.folds[0], train=data.folds[0].train[:1]),))
    assert learnt(LESSONS["regression"], lonely, make, METRICS["rmse"], Allowance(), threads=1, seed=0) == []


def test_who_is_told_to_end_keeps_what_was_found(shorter):
    calls = iter(range(10_000))
    _, found = taught(is_over=lambda: next(calls) > 40, lessons=1)
    assert len(found) == 1, "a look had been taken by then"


def test_counted_trials_allow_a_share_of_what_they_saw():
    data, _ = material()
    records = [SimpleNamespace(epochs=(3, 4)), SimpleNamespace(epochs=())]
    some = replace(data, folds=data.folds[:2])
    rows = [len(fold.train) for fold in some.folds]
    assert Allowance.beside(records, some) == Allowance(rows=0.25 * (3 * rows[0] + 4 * rows[1]))
    assert TrialRecord.__dataclass_fields__.keys() >= {"epochs"}


def test_the_time_that_is_kept_is_what_they_take_or_a_share(shorter):
    data, make = material()
    lessons = LESSONS["regression"]
    assert seconds_wanted((), data, make, METRICS["rmse"], threads=1) == (0, 0)
    least, wanted = seconds_wanted(lessons[:1], data, make, METRICS["rmse"], threads=1)
    assert 0 < least < wanted < 60
    prepared = prepare(table(), target="y")
    assert affordable(lessons, prepared, 60.0) == lessons and affordable(lessons, prepared, 0.0) == ()
    large = SimpleNamespace(
        folds=[(range(40_000), range(10_000))], targets=range(50_000), test=SimpleNamespace(height=10_000),
        schema=SimpleNamespace(task="regression"),
    )  # fmt: skip
    assert affordable(lessons, large, 1.5 * seconds_to_ask(large) / SHARE_OF_ASKING) == lessons[:1]


def test_what_is_held_still_holds_for_them_too():
    lessons = lessons_for("regression", {"width": 16, "inputs": "scaled"})
    assert [dict(each.network) for each in lessons] == [
        {"width": 16, "depth": depth, "activation": "silu", "inputs": "scaled"} for depth in (1, 1, 2, 1, 1, 2)
    ]
    assert lessons_for("classification", {}) == LESSONS["classification"]
    for held in ({"loss": "mae"}, {"depth": 0}, {"width": 16, "epochs": 4}):
        assert lessons_for("regression", held) == ()


# -- in a study


def tune(out, **options):
    return tt.tune(table(), "y", out=out, **{"trials": 2, "threads": 1, "quiet": True, **TINY, **options})


@pytest.fixture
def long_lessons(monkeypatch, shorter):
    monkeypatch.setattr(learnt_neighbours, "SHARE_OF_ROWS", 1e3)


def test_they_predict_where_they_are_better_and_the_study_says_so(tmp_path, long_lessons):
    study = tune(tmp_path / "study")
    own = [each for each in study.result["ensemble"] if each["name"] == LEARNT]
    assert own and all(each["trial"] is None for each in own)
    assert sum(each["share"] for each in study.result["ensemble"]) == pytest.approx(1)
    assert "learnt to ask" in ensemble_in_words(study.result) and "None" not in ensemble_in_words(study.result)
    assert study.model.rows_remembered == study.result["rows_remembered"] > 0
    assert any("--no-neighbours" in notice for notice in study.notices)
    plain = tune(tmp_path / "plain", neighbours=False)
    assert study.result["test"]["rmse"] < 0.8 * plain.result["test"]["rmse"]
    assert plain.model.rows_remembered == 0
    # What the mean is worth is told of all that is in it.
    folder, request = StudyFolder(study.out), TableOptions(data=table(), target="y").request(None)[0]
    subject = TableSubject.of(request, request.prepared(), torch.device("cpu"))
    found = ensemble_of_table(subject, folder, study.winner, study.result["ensemble"])
    assert study.winner.error - found.beside.value == pytest.approx(study.result["validation"]["rmse"], rel=1e-3)
    assert "nearest training rows" in found.words
    # What is written down of it is read again: by a call that goes on, and by whoever writes the winner as a script.
    assert json.loads((study.out / "study.json").read_text())["result"]["ensemble"] == study.result["ensemble"]
    again = tt.tune(table(), resume=study.out, trials=3, threads=1, quiet=True)
    assert any(each["name"] == LEARNT for each in again.result["ensemble"])
    study.export(python=tmp_path / "script.py")
    assert "nearest training rows" in (tmp_path / "script.py").read_text()


@pytest.mark.parametrize("options", [{"single": True}, {"neighbours": False}, {"split": "time:x0"}])
def test_where_nothing_is_remembered_nothing_is_learnt(options, tmp_path, long_lessons, monkeypatch):
    monkeypatch.setattr(learnt_neighbours, "learnt", lambda *a, **k: pytest.fail("nobody asked for it"))
    monkeypatch.setattr(learnt_neighbours, "seconds_wanted", lambda *a, **k: pytest.fail("nobody asked for it"))
    if "neighbours" in options:
        tune(tmp_path / "study", **options)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            learnt_neighbours, "learnt", lambda *a, networks, **k: [] if not networks else pytest.fail("asked")
        )
        tune(tmp_path / "study", **options)


def test_a_first_lesson_tells_whether_they_are_worth_their_time(shorter):
    data, make = material()
    truth = data.truth(torch.arange(ROWS)).numpy()
    noise = numpy.random.default_rng(0).normal(size=(3, ROWS, 1))
    options = {"threads": 1, "seed": 0}

    def asked(*found, seconds=60.0):
        return is_promising(LESSONS["regression"], data, make, METRICS["rmse"], found, seconds=seconds, **options)

    mean = numpy.full_like(truth, truth.mean())
    assert asked(mean, mean + noise[0])
    assert not asked(truth + 0.1 * noise[0], truth + 0.1 * noise[1]), "what is nearly right already gains nothing by it"
    assert asked(truth, truth, seconds=0.0), "nothing was seen that speaks against it"


def work_on(folder, monkeypatch, wanted=(0.1, 100.0)):
    """The work of a call of 5 s that has found a few trials."""
    monkeypatch.setattr(learnt_neighbours, "seconds_wanted", lambda *a, **k: wanted)
    call = Call.checked(
        budget=5, trials=None, threads=1, device="cpu", out=folder, resume=None, stop=None, abort=None,
        started=time.monotonic(), listeners=Listeners(), counterfactuals=0,
    )  # fmt: skip
    request = TableOptions(data=table(), target="y").request(None)[0]
    subject = TableSubject.of(request, request.prepared(), torch.device("cpu"))
    kept = StudyFolder(folder)
    kept.runs.mkdir(parents=True)
    for number in range(4):
        kept.save_weights(
            number, TrialWeights(torch.zeros(5, 2), numpy.full((len(subject.data.targets), 1), number / 8))
        )
    return TableWork(subject, kept, call)


def test_where_a_share_of_the_budget_teaches_nothing_no_time_is_kept(tmp_path, monkeypatch):
    work = work_on(tmp_path / "s", monkeypatch, (1.1, 9.0))
    assert (work.lessons, work.seconds_to_learn) == ((), 0.0)
    assert work.call.budget.reserve == work.all_rows.finishing


@pytest.mark.parametrize("is_worth_it", [True, False])
def test_a_budget_keeps_time_for_them_and_the_search_has_what_they_are_not_worth(tmp_path, monkeypatch, is_worth_it):
    tried = []

    def promising(lessons, data, make, metric, found, **options):
        tried.append((len(found), options["seconds"]))
        return is_worth_it

    monkeypatch.setattr(learnt_neighbours, "is_promising", promising)
    work = work_on(tmp_path / "s", monkeypatch)
    budget, finishing = work.call.budget, work.all_rows.finishing
    assert work.seconds_to_learn == work.all_rows.before == pytest.approx(SHARE_OF_BUDGET * 5)
    assert budget.reserve == pytest.approx(finishing + SHARE_OF_BUDGET * 5)
    for share, done in ((0.1, 9), (0.4, 2), (0.4, 9), (0.5, 12)):
        work.progressed(replace(PROGRESS, share=share, trials_done=done))
        assert len(tried) == (share >= LESSON_TRIED_AT and done >= TRIED_BESIDE), "once, and beside something"
    assert tried == [(4, SHARE_OF_TRYING * 5)]
    assert len(work.lessons) == (len(LESSONS["regression"]) if is_worth_it else 0)
    assert budget.reserve == pytest.approx(finishing + (SHARE_OF_BUDGET * 5 if is_worth_it else 0))
    assert work.all_rows.before == work.seconds_to_learn == (pytest.approx(SHARE_OF_BUDGET * 5) if is_worth_it else 0)
