"""The purse: what may be begun, and what is left of it."""

import threading
from dataclasses import replace

import pytest
import torch

from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.purse import (
    SHARE_OF_SEARCH,
    Price,
    Purse,
    fewest_trainings,
    purse_of,
    time_to_explain,
)
from trimtab.training.config import Config
from trimtab.tuning.budget import Budget


def test_trainings_that_are_counted_are_spent():
    purse = Purse(None, 10.0)
    assert purse.may_begin(10.0, 0.0)
    purse.spent(6.0, 1.0)
    assert purse.left == pytest.approx(4.0)
    assert not purse.may_begin(5.0, 0.0)


def test_of_what_is_left_half_is_begun_at_once():
    purse = Purse(None, 20.0)
    assert purse.may_begin(4.0, 4.0)
    assert not purse.may_begin(4.0, 6.0)


def test_what_was_measured_counts_and_not_what_was_expected():
    purse = Purse(60.0, None, Price(20.0))
    assert purse.left < 3
    purse.spent(2.0, 1.0)
    assert purse.left > 50


def test_both_limits_hold():
    assert Purse(1e6, 3.0, Price(1.0)).left == 3.0
    assert Purse(1.0, 1e6, Price(1.0)).left < 1.0


def test_who_is_told_to_stop_begins_nothing():
    stop = threading.Event()
    purse = Purse(None, 10.0, told_to_stop=stop.is_set)
    assert not purse.is_over()
    stop.set()
    assert purse.is_over()
    assert not purse.may_begin(1.0, 0.0)


def test_time_is_kept_where_something_can_be_trained_in_it():
    call = Call(Budget(100.0), torch.device("cpu"), 1, explaining=0.15)
    assert time_to_explain(call, Price(1.0, 0.8), folds=5) == pytest.approx(15.0)
    # Beside one training to its end, off which stopping rules are read, there is no time for two more.
    price, replay = Price(4.0, 3.2), 1.15 * (4.0 * 2.0 + 3.2) + 0.3
    assert time_to_explain(call, price, folds=5, longer=2.0) == pytest.approx(replay)
    # And where that is too long, on fewer folds.
    assert time_to_explain(call, price, folds=5, longer=2.0, spent=3.0) == pytest.approx(12.0)
    assert time_to_explain(call, price, folds=5, longer=2.0, spent=8.0) == 0.0
    assert time_to_explain(call, Price(15.0, 12.0), folds=5) == 0.0


def test_a_pass_costs_more_the_more_steps_it_makes_and_trainings_what_they_took_without_them():
    config = Config(epochs=100, batch_size=32)  # of 320 rows: 1,000 steps, 1 s
    assert Price.of(config, 320, 4.0) == Price(pytest.approx(SHARE_OF_SEARCH * 3.5), pytest.approx(1.0))
    assert Price.of(replace(config, batch_size=0), 320, 4.0) == Price(
        pytest.approx(SHARE_OF_SEARCH * 3.95), pytest.approx(0.1)
    )
    # A training that took hardly longer than its steps' price took something of its own all the same.
    assert Price.of(config, 320, 0.8) == Price(pytest.approx(SHARE_OF_SEARCH * 0.4), pytest.approx(1.0))


def test_fewer_folds_want_more_trainings():
    assert [fewest_trainings(folds) for folds in (1, 3, 5, 10)] == [8.0, 4.0, 2.0, 2.0]


def test_a_pass_has_a_price_beside_that_of_its_trainings():
    purse = Purse(60.0, None, Price(10.0, 10.0))
    assert purse.left == pytest.approx(60 / 11.5 - 1, abs=0.01) and purse.of_pass == 1.0
    # What took as long as expected costs what it did; what took half of that, half of it.
    purse.spent(2.0, 30.0)
    assert purse.price == Price(pytest.approx(10.0), pytest.approx(10.0))
    purse.spent(2.0, 15.0)
    assert purse.price == Price(pytest.approx(5.0), pytest.approx(5.0))


def test_what_trainings_and_passes_take_is_what_fits_into_it():
    price = Price(2.0, 3.0)
    assert price.trainings(price.seconds(4.0)) == pytest.approx(4.0)
    assert price.seconds(4.0, passes=2) - price.seconds(4.0) == pytest.approx(1.15 * 3.0)


def test_the_last_few_trainings_are_begun_together():
    assert Purse(None, 5.0).may_begin(1.0, 4.0)
    assert not Purse(None, 50.0).may_begin(10.0, 20.0)


def test_what_the_end_did_not_need_goes_into_it():
    call = Call(Budget(100.0), torch.device("cpu"), 1, explaining=0.15)
    call.budget.afterwards = 0.0
    call.budget.started -= 80.0
    purse = purse_of(call, Price(1.0, 0.8), trials=10)
    assert purse.seconds == pytest.approx(15.0)
    call.budget.started -= 10.0
    assert purse_of(call, Price(1.0, 0.8), trials=10).seconds == pytest.approx(9.7, abs=0.1)
    assert purse_of(call, Price(1.0, 0.8), trials=10, spent=12.0).seconds == pytest.approx(3.0)
