"""Who begins beside whom: the first trial of a search against the clock has what trains it for itself."""

from itertools import count
from types import SimpleNamespace

import pytest

from trimtab.tuning.baselines import default_mlp_config
from trimtab.tuning.search import Search

ROOM = 4


class Training:
    """Places with room for so many trials each: those that wait, of workers or of this process."""

    def __init__(self, places, workers):
        self.workers, self.active, self._places = (
            workers,
            {},
            [SimpleNamespace(pace=place, admit=self._admit) for place in range(places)],
        )

    def places(self):
        return self._places

    def given_back(self):
        return []

    def _admit(self, trial):
        self.active[trial.number] = trial


def begun(*, places=1, workers=(), active=0, tuned=0, max_trials=None):
    """How many trials begin when a search fills its places beside those that train."""
    search, numbers = Search.__new__(Search), count(active)

    class Admission:
        def __init__(self):
            self.left = ROOM

        def next(self, active, tuned):
            self.left -= 1
            return SimpleNamespace(number=next(numbers), values={}) if self.left >= 0 else None

    search.training, search.max_trials = Training(places, workers), max_trials
    search.training.active.update(dict.fromkeys(range(active)))
    search.ledger, search.flight = SimpleNamespace(tuned=tuned), SimpleNamespace(add_all=lambda begun: None)
    search.space, search._guessed = SimpleNamespace(guesses=(), domains={}), set()
    search._admissions = {place: Admission() for place in range(places)}
    search._refill()
    return len(search.training.active) - active


@pytest.mark.parametrize(
    ("asked", "trials"),
    [
        ({}, 1),
        ({"tuned": 1}, ROOM),
        ({"max_trials": 10}, ROOM),
        ({"places": 2, "workers": ("a", "b")}, 2 * ROOM),
        ({"workers": ("a", "b"), "active": 3}, ROOM),
    ],
    ids=["the first", "the others", "counted ones", "workers, of which none waits for another", "one that comes later"],
)
def test_the_first_trial_has_its_population_for_itself(asked, trials):
    assert begun(**asked) == trials


@pytest.mark.parametrize(
    ("tuned", "elapsed", "made"),
    [
        (0, 2.0, []),
        (1, 2.0, ["linear", "default_mlp"]),
        (0, 8.0, ["linear", "default_mlp"]),
        (1, 16.0, []),
    ],
    ids=["the first trial is waited for", "it is there", "but not for long", "too late"],
)
def test_baselines_follow_the_first_trial(tuned, elapsed, made, monkeypatch):
    search, found = Search.__new__(Search), []
    search.max_trials, search.baseline_names = None, {"linear", "default_mlp"}
    search.ledger = SimpleNamespace(tuned=tuned)
    search.budget = SimpleNamespace(seconds=15.0, elapsed=elapsed, is_over=lambda: elapsed > 15.0)
    search.engine = SimpleNamespace(populations={})
    monkeypatch.setattr(Search, "_default_mlp_config", lambda self: default_mlp_config("regression", rows=9, epochs=9))
    for name in ("linear", "default_mlp"):
        monkeypatch.setattr(Search, f"_run_{name}", lambda self, name=name: found.append(name))
    search._run_waiting_baselines()
    assert found == made


def test_a_default_mlp_that_comes_too_late_stays_for_the_next_call():
    search = Search.__new__(Search)
    search.max_trials, search.baseline_names = None, {"default_mlp"}
    search.budget = SimpleNamespace(is_over=lambda: True)
    search._run_default_mlp()
    assert search.baseline_names == {"default_mlp"}
