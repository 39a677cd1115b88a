"""When a trial begins, and for how many epochs."""

from types import SimpleNamespace

import numpy
import pytest

from trimtab.knobs.table import MANY_ROWS
from trimtab.tuning.admission import FEW, SOON, WORK_IN_FLIGHT, Admission
from trimtab.tuning.budget import Budget
from trimtab.tuning.pace import FEWEST_EPOCHS
from trimtab.tuning.space import space_for

SPACE = space_for("regression", "rmse", rows=500, columns=8, fixed={})
FOLDS = 5


class Queue:
    """Trials of the first guess, and what was put back or left."""

    def __init__(self):
        self.number, self.is_empty, self.back, self.left = 0, False, [], []
        self.values = SPACE.draw(numpy.random.default_rng(0)) | {"epochs": 100}

    def next(self):
        self.number += 1
        return self.number, dict(self.values)

    def put_back(self, number, values):
        self.back.append(number)

    def leave(self, number, values):
        self.left.append(number)


def admission(epochs, trials, *, max_trials=None, work=1.0, elapsed=0.0, rows=10_000, of_an_epoch=0.01):
    """Of a place in which so many trials train and a config may have so many epochs, and its queue."""
    slots = SimpleNamespace(
        data=SimpleNamespace(folds=[None] * FOLDS, most_training_rows=rows),
        populations={"one": SimpleNamespace(lanes=[None] * FOLDS * trials)},
    )
    pace = SimpleNamespace(
        slots=slots, has_room=lambda structure, lanes: True, affordable_epochs=lambda config, budget: epochs,
        work_in_flight=lambda: work * trials, epoch_seconds=lambda config: of_an_epoch,
    )  # fmt: skip
    budget, queue = Budget(100, reserve=0.0), Queue()
    budget.started -= elapsed
    made = Admission(SPACE, pace, queue=queue, budget=budget, max_trials=max_trials, lag=None)  # type: ignore[arg-type]
    return made, queue


@pytest.mark.parametrize(
    ("epochs", "trials", "begins", "may_be_pruned"),
    [(100, 5, 100, True), (60, 5, 60, True), (20, FEW - 1, 20, False), (20, FEW, None, None), (20, 7, None, None)],
)
def test_what_would_be_too_short_waits_until_few_train_beside_it(epochs, trials, begins, may_be_pruned):
    made, queue = admission(epochs, trials)
    trial = made.next({}, 0)
    if begins is None:
        assert trial is None and queue.back == [1] and not made.is_too_late
    else:
        assert trial.config.epochs == begins and trial.may_be_pruned == may_be_pruned
        assert not queue.back and len(trial.values) == len(SPACE.domains)


def test_where_trials_are_counted_all_have_all_of_their_epochs():
    made, _ = admission(3, 7, max_trials=9)
    trial = made.next({}, 0)
    assert trial.config.epochs == 100 and trial.may_be_pruned
    assert made.next(dict.fromkeys(range(5)), 4) is None


def test_what_has_no_time_for_a_few_epochs_is_left_and_nothing_begins_beside_others_any_more():
    made, queue = admission(2, 1)
    assert made.next({}, 0) is None and queue.left == [1] and made.is_too_late
    assert made.next({}, 0) is None and queue.number == 1
    made, queue = admission(2, 0)
    assert made.next({}, 0).config.epochs == 2, "alone it may, while there is time for more than the end"
    made, queue = admission(2, 0, elapsed=95.0)
    assert made.next({}, 0) is None and queue.left == [1]


@pytest.mark.parametrize(
    ("rows", "seconds", "max_trials", "first"),
    [
        (500, SOON / 20, None, 20),
        (500, SOON / 300, None, 100),
        (500, SOON, None, FEWEST_EPOCHS),
        (MANY_ROWS, SOON / 20, None, 100),
        (500, SOON / 20, 9, 100),
    ],
)
def test_the_first_trial_of_few_rows_is_there_soon(rows, seconds, max_trials, first):
    made, _ = admission(100, 0, rows=rows, of_an_epoch=seconds, max_trials=max_trials)
    trial = made.next({}, 0)
    assert trial.config.epochs == first
    assert made.next({1: trial}, 0).config.epochs == made.next({}, 1).config.epochs == 100


def test_there_is_room_for_so_much_work():
    made, _ = admission(100, 2, work=WORK_IN_FLIGHT)
    assert made.next({}, 0) is None
