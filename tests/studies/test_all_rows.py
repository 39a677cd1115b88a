"""How much is trained once more on all rows depends on the time there is, where time may decide anything."""

import time
from types import SimpleNamespace

import pytest

from trimtab.studies import refit
from trimtab.studies.all_rows import MOST_RESERVED, MOST_UNASKED, AllRows
from trimtab.studies.reserve import ALONE
from trimtab.training.config import Config
from trimtab.tuning.budget import Budget
from trimtab.tuning.trial import COMPLETE, TrialRecord


def record(number=3, name="", seconds=2.0):
    ended = {"best_epochs": (20,), "epochs": (20,), "ended": ("all epochs",)}
    return TrialRecord(number, name, {}, Config(), COMPLETE, 1.0, seconds=seconds, **ended)


def all_rows(budget, *, latest=4, finishing=2.0, before=0.0, kind="time", folds=5, **options):
    data = SimpleNamespace(rows=100, folds=[SimpleNamespace(train=range(100))])
    engine = SimpleNamespace(data=data, populations={})
    prepared = SimpleNamespace(split=SimpleNamespace(latest=latest, kind=kind), folds=[None] * folds)
    options = {"single": False, "refits": False, "is_timed": True, **options}
    options |= {"seed": 0, "finishing": finishing, "before": before, "say": print}
    return AllRows(prepared, engine, None, budget, **options)  # type: ignore[arg-type]


ONE_PART = {"latest": None, "kind": "random", "folds": 1}


@pytest.mark.parametrize(
    ("left", "options", "networks"),
    [
        (100.0, {}, refit.NETWORKS), (17.0, {}, 2), (9.0, {}, 1), (0.1, {}, 1),
        (0.1, {"is_timed": False}, refit.NETWORKS), (100.0, {"latest": None}, 1), (100.0, {"single": True}, 1),
    ],
)  # fmt: skip
def test_each_trial_has_as_many_networks_as_there_is_time_for(left, options, networks):
    members = [(record(1, "linear"), 0.2), (record(3), 0.5), (record(4), 0.3)]  # 2 x 3 s for a network of each
    assert all_rows(Budget(60), **options)._networks_each(members, left) == networks


@pytest.mark.parametrize(
    ("options", "trial", "seconds"),
    [
        ({}, record(seconds=0.1), 2.0 + 15 * 0.1 * ALONE),
        ({"single": True}, record(seconds=0.1), 2.0 + 2 * 0.1 * ALONE),
        ({"latest": None}, record(), 2.0), ({"latest": None, "single": True}, record(), 2.0 + 2.0 * ALONE),
        ({"latest": None, "refits": True}, record(seconds=0.5), 2.0 + 4 * 0.5 * ALONE),
        ({"latest": None, "refits": True}, record(1, "linear", 0.5), 2.0 + 0.5),
        ({}, record(seconds=50.0), MOST_RESERVED * 60), ({"finishing": 30.0}, record(), 30.0),
        (ONE_PART, record(seconds=0.5), 2.0 + 4 * 0.5 * ALONE),
        (ONE_PART, record(seconds=MOST_UNASKED * 60 / 4 / ALONE + 0.1), 2.0),
        ({**ONE_PART, "kind": "column"}, record(), 2.0), ({**ONE_PART, "folds": 5}, record(), 2.0),
        ({**ONE_PART, "refits": True}, record(), 2.0 + 4 * 2.0 * ALONE),
    ],
)  # fmt: skip
def test_the_time_for_it_is_kept_while_the_search_runs(options, trial, seconds):
    budget = Budget(60, started=time.monotonic())
    all_rows(budget, **options).reserve_for(trial)
    assert budget.reserve == pytest.approx(seconds)


@pytest.mark.parametrize(("trial", "seconds"), [(record(), 24.0), (record(seconds=100), 24.0)])
def test_what_comes_before_it_has_its_time_beside(trial, seconds):
    """However much is kept for trainings on all rows: the most is two fifths of the budget."""
    alone, beside = (Budget(60, started=time.monotonic()) for _ in range(2))
    all_rows(alone).reserve_for(trial)
    all_rows(beside, before=6.0).reserve_for(trial)
    assert beside.reserve == pytest.approx(alone.reserve + 6.0) and alone.reserve <= seconds


def test_without_a_limit_nothing_is_kept():
    budget = Budget(float("inf"), reserve=1.5)
    all_rows(budget).reserve_for(record())
    assert budget.reserve == 1.5


@pytest.mark.parametrize(
    ("seconds", "trained"), [(100, [4, 3, 5]), (58, [4, 5]), (52.5, []), (None, [4, 3, 5])]
)  # fmt: skip
def test_of_one_part_that_has_judged_those_are_trained_that_there_is_time_for(seconds, trained, monkeypatch):
    """One and a half times what they took in the search: 3 s, 15 s and 0.75 s; the heaviest comes first."""
    taken = {3: 10.0, 4: 2.0, 5: 0.5}
    budget = Budget(float("inf") if seconds is None else seconds, started=time.monotonic() - 50)
    told, each = [], all_rows(budget, **ONE_PART)
    monkeypatch.setattr(each, "_trained", lambda members, data, networks, until: told.extend(members))
    monkeypatch.setattr(each, "chosen_model", lambda chosen: "model")
    members = tuple((record(n, seconds=s), share) for (n, s), share in zip(taken.items(), (0.3, 0.5, 0.2), strict=True))
    assert each.scored_model(SimpleNamespace(trials=tuple(sorted(members, key=lambda each: -each[1]))), []) == "model"
    assert [one.number for one, _ in told] == trained
    budget.stop.set()
    each.scored_model(SimpleNamespace(trials=tuple(sorted(members, key=lambda each: -each[1]))), [])
    assert len(told) == len(trained), "somebody waits for the end"
