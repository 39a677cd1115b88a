"""Admission: which trial begins when, and for how many epochs. Knows queue, pace and budget; it trains nothing."""

from collections.abc import Mapping

from trimtab.knobs.table import MANY_ROWS
from trimtab.training.lanes.population import Structure
from trimtab.tuning.budget import Budget
from trimtab.tuning.halving import RUNGS
from trimtab.tuning.pace import FEWEST_EPOCHS, Costs
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import ActiveTrial
from trimtab.tuning.trial_queue import TrialQueue

# Operations of one step of everything that trains at once: hundredths of a second of one core. With much more, trials
# would begin in great numbers before the first of them are judged (a guess).
WORK_IN_FLIGHT = 4e8
# A trial with less than this share of its epochs is not judged at rungs: the second of them is the last that says much.
FULL_ENOUGH = RUNGS[-1]
# Beside so many others, which keep two cores at work, none of these begins (a guess).
FEW = 2
# In the last tenth of a search nothing begins that cannot train for a few epochs (a guess).
LAST_SHARE = 0.1
# Of few rows the first trial has at most so many seconds, as far as can be told before anything was trained: something
# is to be there soon, and of so many trials one that is shorter is no loss (a guess).
SOON = 1.25


class Admission:
    """Hands out trials while there is room for them.

    With `max_trials` the clock decides nothing, and a trial waits for those that are `lag` before it.
    """

    def __init__(
        self, space: SearchSpace, pace: Costs, *, queue: TrialQueue, budget: Budget,
        max_trials: int | None, lag: int | None,
    ) -> None:  # fmt: skip
        self.space, self.pace, self.queue, self.budget = space, pace, queue, budget
        self.max_trials, self.lag, self.folds = max_trials, lag, len(pace.slots.data.folds)
        self.is_too_late = False

    def next(self, active: Mapping[int, ActiveTrial], tuned: int) -> ActiveTrial | None:
        """The next trial to train beside those that are `active`, after so many were `tuned`; None while there is no
        room for one, no time, or no configuration that was not tried."""
        upcoming = self.queue.next() if self._has_room(active, tuned) else None
        if upcoming is None:
            return None
        number, values = upcoming
        config = self.space.config(values)
        if not self.pace.has_room(Structure.of(config), self.folds):
            self.queue.put_back(number, values)
            return None
        epochs = config.epochs if self.max_trials is not None else self.pace.affordable_epochs(config, self.budget)
        if not (active or tuned) and self._is_soon_to_have_one:
            epochs = min(epochs, max(FEWEST_EPOCHS, int(SOON / self.pace.epoch_seconds(config))))
        if epochs < min(FEWEST_EPOCHS, config.epochs):
            if self.pace.work_in_flight() or self.budget.search_left < LAST_SHARE * self.budget.seconds:
                self.queue.leave(number, values)
                self.is_too_late = True
                return None
            epochs = max(1, epochs)
        is_short = epochs < FULL_ENOUGH * config.epochs
        if is_short and self._trials_here >= FEW:
            # Beside others it would be too short to tell anything: those end sooner without it.
            self.queue.put_back(number, values)
            return None
        if epochs < config.epochs:
            config = self.space.config({**values, "epochs": epochs}, may_shorten=True)
        # The last trials have no time for a full run: a rung would judge them by how little they had.
        return ActiveTrial(number, "", dict(values), config, self.folds, may_be_pruned=not is_short)

    @property
    def _is_soon_to_have_one(self) -> bool:
        return self.max_trials is None and self.pace.slots.data.most_training_rows < MANY_ROWS

    @property
    def _trials_here(self) -> int:
        return sum(len(each.lanes) for each in self.pace.slots.populations.values()) // self.folds

    def _has_room(self, active: Mapping[int, ActiveTrial], tuned: int) -> bool:
        if self.is_too_late and self.pace.work_in_flight():
            return False
        if self.queue.is_empty:
            return False
        if self.max_trials is not None and tuned + len(active) >= self.max_trials:
            return False
        number = self.queue.number
        if self.lag is not None and min(active, default=number) <= number - self.lag:
            return False
        return self.pace.work_in_flight() < WORK_IN_FLIGHT
