"""Several who listen are told as one: all of them, whatever one answers, and of an error every run under way."""

import pytest

from trimtab.listeners.listener import OF_RUNS, Listener, hears
from trimtab.listeners.listeners import Listeners


class Noting(Listener):
    def __init__(self, answer=None):
        self.answer, self.heard = answer, []

    def started(self, run, config):
        self.heard.append(("started", run))

    def epoch_ended(self, run, values):
        self.heard.append(("epoch", run))
        return self.answer

    def ended(self, run, result):
        self.heard.append(("ended", run))

    def failed(self, run, error):
        self.heard.append(("failed", run, str(error)))


def test_all_are_told_although_one_ends_the_run():
    first, second = Noting(True), Noting()
    assert Listeners([first, second]).epoch_ended("a", {"epoch": 1})
    assert first.heard == second.heard == [("epoch", "a")]


def test_of_an_error_the_runs_that_are_under_way_are_told_and_the_error_stays():
    class Raising(Noting):
        def failed(self, run, error):
            raise ValueError("another")

    noting = Noting()

    def break_off():
        with Listeners([Raising(), noting]) as listeners:
            for run in "ab":
                listeners.started(run, {})
            listeners.ended("a", {})
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        break_off()
    assert noting.heard[-1] == ("failed", "b", "full") and ("failed", "a", "full") not in noting.heard


def test_who_overrides_nothing_hears_nothing():
    assert not hears(Listener(), OF_RUNS) and hears(Noting(), OF_RUNS)
    assert not Listeners([Listener()]).hear_runs
