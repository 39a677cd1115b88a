"""The purse: what may be begun, and what is left of it."""

import threading

import pytest
import torch

from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.purse import Purse, time_to_explain
from trimtab.tuning.budget import Budget


def test_trainings_that_are_counted_are_spent():
    purse = Purse(None, 10.0)
    assert purse.may_begin(10.0, 0.0)
    purse.spent(6.0, 1.0)
    assert purse.left == pytest.approx(4.0)
    assert not purse.may_begin(5.0, 0.0)


def test_of_what_is_left_half_is_begun_at_once():
    purse = Purse(None, 10.0)
    assert purse.may_begin(2.0, 2.0)
    assert not purse.may_begin(2.0, 4.0)


def test_what_was_measured_counts_and_not_what_was_expected():
    purse = Purse(60.0, None, each=20.0)
    assert purse.left < 3
    purse.spent(2.0, 1.0)
    assert purse.left > 50


def test_both_limits_hold():
    assert Purse(1e6, 3.0, each=1.0).left == 3.0
    assert Purse(1.0, 1e6, each=1.0).left < 1.0


def test_who_is_told_to_stop_begins_nothing():
    stop = threading.Event()
    purse = Purse(None, 10.0, told_to_stop=stop.is_set)
    assert not purse.is_over()
    stop.set()
    assert purse.is_over()
    assert not purse.may_begin(1.0, 0.0)


def test_time_is_kept_where_something_can_be_trained_in_it():
    call = Call(Budget(100.0), torch.device("cpu"), 1, explaining=0.15)
    assert time_to_explain(call, each=1.0) == pytest.approx(15.0)
    # Four trainings would not fit, one to its end does: stopping rules are read off it.
    assert time_to_explain(call, each=5.0, to_its_end=2.0) == pytest.approx(1.15 * 10.0 + 0.3)
    assert time_to_explain(call, each=5.0, to_its_end=2.0, spent=4.0) == 0.0
    assert time_to_explain(call, each=15.0) == 0.0
