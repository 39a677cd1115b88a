"""Callbacks: functions and listeners are told, answers of True are taken, everything else is not."""

import numpy
import pytest

from trimtab.errors import OptionError
from trimtab.networks.listening import Listening


class Quiet:
    def ended(self, run, result):
        result["changed"] = True


@pytest.mark.parametrize("given", [None, (), [], lambda values: None, [lambda values: None], Quiet(), {Quiet()}])
def test_what_may_be_given(given):
    listening = Listening(given)
    result = {"ended": "all epochs"}
    listening.started("run", {})
    assert not listening.epoch_ended("run", {"epoch": 1})
    listening.ended("run", result)
    assert result == {"ended": "all epochs"}, "listeners get a copy"


@pytest.mark.parametrize(("answer", "stops"), [(True, True), (numpy.bool_(True), True), (False, False), (1, False),
                                               ("yes", False), (None, False)])  # fmt: skip
def test_only_true_stops(answer, stops):
    assert Listening([lambda values: answer, lambda values: None]).epoch_ended("run", {}) is stops


@pytest.mark.parametrize("given", [5, "notify", [None], [lambda v: None, 3], Quiet, [Quiet]])
def test_what_may_not(given):
    with pytest.raises(OptionError, match="callbacks holds"):
        Listening(given)
