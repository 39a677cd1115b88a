"""Who begins beside whom: the first trial of a search against the clock has what trains it for itself."""

from itertools import count
from types import SimpleNamespace

import pytest

from trimtab.tuning.search import Search

ROOM = 4


class Training:
    """Places with room for so many trials each."""

    def __init__(self, places):
        self.active, self._places = {}, [SimpleNamespace(pace=place, admit=self._admit) for place in range(places)]

    def places(self):
        return self._places

    def given_back(self):
        return []

    def _admit(self, trial):
        self.active[trial.number] = trial


def begun(*, places=1, tuned=0, max_trials=None):
    """How many trials train after a search has filled its places."""
    search, numbers = Search.__new__(Search), count()

    class Admission:
        def __init__(self):
            self.left = ROOM

        def next(self, active, tuned):
            self.left -= 1
            return SimpleNamespace(number=next(numbers), values={}) if self.left >= 0 else None

    search.training, search.max_trials = Training(places), max_trials
    search.ledger, search.flight = SimpleNamespace(tuned=tuned), SimpleNamespace(add_all=lambda begun: None)
    search.space, search._guessed = SimpleNamespace(guesses=(), domains={}), set()
    search._admissions = {place: Admission() for place in range(places)}
    search._refill()
    return len(search.training.active)


@pytest.mark.parametrize(
    ("asked", "trials"),
    [
        ({}, 1),
        ({"tuned": 1}, ROOM),
        ({"max_trials": 10}, ROOM),
        ({"places": 2}, 2 * ROOM),
    ],
    ids=["the first", "the others", "counted ones", "workers, of which none waits for another"],
)
def test_the_first_trial_has_its_population_for_itself(asked, trials):
    assert begun(**asked) == trials
