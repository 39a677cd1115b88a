"""Callbacks and listeners as callers give them: functions and objects are told, answers of True are taken, everything
else is not."""

import numpy
import pytest

from trimtab.errors import OptionError
from trimtab.listeners.adapters import callbacks_as_listeners, observers_as_listeners
from trimtab.listeners.listener import Listener
from trimtab.listeners.listeners import Listeners


def told(callbacks):
    return Listeners(callbacks_as_listeners(callbacks))


class Quiet:
    def ended(self, run, result):
        result["changed"] = True


@pytest.mark.parametrize("given", [None, (), [], lambda values: None, [lambda values: None], Quiet(), {Quiet()}])
def test_what_may_be_given(given):
    listeners = told(given)
    result = {"ended": "all epochs"}
    listeners.started("run", {})
    assert not listeners.epoch_ended("run", {"epoch": 1})
    listeners.ended("run", result)
    assert result == {"ended": "all epochs"}, "listeners get a copy"


@pytest.mark.parametrize(("answer", "stops"), [(True, True), (numpy.bool_(True), True), (False, False), (1, False),
                                               ("yes", False), (None, False)])  # fmt: skip
def test_only_true_stops(answer, stops):
    assert told([lambda values: answer, lambda values: None]).epoch_ended("run", {}) is stops


@pytest.mark.parametrize("given", [5, "notify", [None], [lambda v: None, 3], Quiet, [Quiet]])
def test_what_may_not(given):
    with pytest.raises(OptionError, match="callbacks holds"):
        callbacks_as_listeners(given)


@pytest.mark.parametrize("given", [5, [None], Listener, Quiet(), type("Q", (), {"epoch_ended": print})()])
def test_what_may_not_be_given_as_listeners(given):
    with pytest.raises(OptionError, match="listeners holds"):
        observers_as_listeners(given)


def test_an_object_is_told_of_a_study_by_the_methods_it_has():
    heard = []
    observer = type("Observer", (), {"started": lambda self, out: heard.append(out), "notice": heard.append})()
    observer.notice = heard.append
    listeners = Listeners(observers_as_listeners([observer]))
    listeners.study_started("folder")
    listeners.notice("Mind this.")
    listeners.baseline("mean", "rmse", 1.0)
    assert heard == ["folder", "Mind this."] and listeners.notices == ["Mind this."] and not listeners.hear_runs


def test_a_listener_that_hears_nothing_where_it_is_given_belongs_elsewhere():
    class OfStudies(Listener):
        def notice(self, text):
            pass

    class OfRuns(Listener):
        def ended(self, run, result):
            pass

    with pytest.raises(OptionError, match="holds an OfStudies, which hears nothing of runs: give it as listeners="):
        callbacks_as_listeners(OfStudies())
    with pytest.raises(OptionError, match="listeners holds an OfRuns, which is told of epochs: give it as callbacks="):
        observers_as_listeners(OfRuns())


@pytest.mark.parametrize("door", [callbacks_as_listeners, observers_as_listeners])
def test_a_listener_hears_everything_by_whatever_door_it_came(door):
    class Diary(Listener):
        def __init__(self):
            self.heard = []

        def notice(self, text):
            self.heard.append(text)

        def epoch_ended(self, run, values):
            return values["epoch"] > 1

    diary = Diary()
    listeners = Listeners(door(diary))
    listeners.notice("Mind this.")
    assert listeners.hear_runs and diary.heard == ["Mind this."]
    assert [listeners.epoch_ended("run", {"epoch": epoch}) for epoch in (1, 2)] == [False, True]
