"""Judge: which trials of a population end at a rung. Knows lanes, their trials and what others had come to."""

from collections.abc import Mapping

from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.population import Population
from trimtab.training.run import NOT_FINITE, PRUNED
from trimtab.tuning.halving import Halving
from trimtab.tuning.trial import ActiveTrial


class Judge:
    """Ends the lanes of trials that are not worth their further training, by `halving`."""

    def __init__(self, halving: Halving) -> None:
        self.halving = halving

    def judge(self, population: Population, active: Mapping[int, ActiveTrial]) -> None:
        """Prune the trials of `population` that reached a rung and are not among its best."""
        by_trial: dict[int, list[Lane]] = {}
        for lane in population.lanes:
            by_trial.setdefault(lane.request.trial, []).append(lane)
        # In the order of the trials: what one comes to at a rung counts for those behind it.
        for number in sorted(by_trial):
            self._judge_trial(active[number], by_trial[number])

    def _judge_trial(self, trial: ActiveTrial, lanes: list[Lane]) -> None:
        if any(lane.ended == NOT_FINITE for lane in lanes):
            _end(lanes)  # without one of its folds a trial has no score
            return
        alive = [lane for lane in lanes if not lane.ended]
        if not trial.may_be_pruned or not alive:
            return
        errors = [lane.error for lane in lanes] + [run.error for run in trial.runs]
        epoch, epochs = alive[0].epoch, trial.config.epochs
        if not self.halving.goes_on(trial.number, trial.rung_errors, epoch=epoch, epochs=epochs, errors=errors):
            _end(alive)


def _end(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.ended = lane.ended or PRUNED
