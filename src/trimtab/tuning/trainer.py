"""Trainer: the trials that train on one engine: whose turn it is, which of them end at a rung, and when their steps are
compiled.

Knows lanes, trials and clocks; it proposes nothing, keeps no result and opens no files.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.listeners.listeners import Listeners
from trimtab.training.lanes.compilation import How
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.lanes.reports import RunReports
from trimtab.training.run import OUT_OF_BUDGET, Request, RunRecord
from trimtab.tuning.budget import Budget
from trimtab.tuning.halving import Halving
from trimtab.tuning.judge import Judge
from trimtab.tuning.pace import Costs, Pace
from trimtab.tuning.trial import ActiveTrial

# What runs of baselines are called; others go by the numbers of their trials.
_CALLED = {"default_mlp": "default MLP", "linear": "linear model"}


@dataclass(frozen=True)
class Steps:
    """Those that the lanes of a structure have made, by the names that a `Population` counts them under."""

    lane_steps: int = 0
    place_steps: int = 0
    compiled_steps: int = 0
    bfloat16_steps: int = 0

    def __add__(self, others: "Steps") -> "Steps":
        return Steps(**{name: steps + getattr(others, name) for name, steps in vars(self).items()})


class Place(Protocol):
    """Where trials may be admitted; its `pace` says what there is room for, and what it costs."""

    @property
    def pace(self) -> Costs: ...

    def admit(self, trial: ActiveTrial) -> None: ...


class Training(Protocol):
    """Where the trials of a search train: those that are `active`, by their numbers; `favoured` is the structure of the
    best so far, `lanes` are the networks that train at present."""

    active: dict[int, ActiveTrial]
    favoured: Structure | None
    runs_done: int

    @property
    def workers(self) -> tuple[str, ...]:
        """What each worker is at, in words; empty where this process trains."""
        ...

    @property
    def lanes(self) -> int: ...

    @property
    def lane_steps(self) -> int: ...

    @property
    def steps_elsewhere(self) -> Sequence[Steps]:
        """Those that other engines than that of this process have made, of each structure."""
        ...

    def places(self) -> Sequence[Place]:
        """Those that can take trials now."""
        ...

    def given_back(self) -> list[ActiveTrial]:
        """Trials that were admitted and could not be trained where they were: they are to begin anew."""
        ...

    def turn(self, in_order: Collection[int] = (), *, alone: bool = False) -> Iterable[ActiveTrial]:
        """Train for a while; the trials that are through. Those `in_order` come first, the first of them `alone`."""
        ...

    def beside_all(self, trial: ActiveTrial, deadline: float | None) -> Iterable[Iterable[ActiveTrial]]:
        """Begin a trial that goes beside all others and is cut short at the `deadline` (`time.monotonic()`); while this
        is gone through it trains, and the trials come out that are through, round by round."""
        ...

    def end_all(self) -> Iterable[ActiveTrial]:
        """Cut everything short that trains."""
        ...


class Trainer:
    """Trains what is admitted to `engine`, and gives each trial back when all of its runs have ended: what it gives is
    to be gone through, for it is done meanwhile, one trial after the other.

    `budget` is the clock of the search; with `max_trials` it decides nothing. `epochs` are those that suit the data,
    by which compiling is judged where the clock does not.
    """

    def __init__(
        self, engine: Engine, halving: Halving, budget: Budget, *, max_trials: int | None, epochs: int, seed: int,
        listeners: Listeners | None = None,
    ) -> None:  # fmt: skip
        self.engine, self.budget, self.max_trials, self.epochs, self.seed = engine, budget, max_trials, epochs, seed
        self.reports = RunReports(listeners)
        self.pace, self.judge = Pace(engine), Judge(halving)
        self.active: dict[int, ActiveTrial] = {}
        self.runs_done = 0
        self.workers: tuple[str, ...] = ()
        self.steps_elsewhere: Sequence[Steps] = ()
        # The structure of the best trial so far.
        self.favoured: Structure | None = None
        engine.compilation.how = self._how_to_compile

    def admit(self, trial: ActiveTrial) -> None:
        """Begin the runs of a trial, one on each fold."""
        population = self.engine.population(Structure.of(trial.config))
        self.active[trial.number] = trial
        requests = [Request(trial.number, trial.config, fold, self.seed) for fold in range(trial.folds)]
        self.engine.admit(population, requests)
        self.reports.admitted(requests, _names_of_runs(trial))

    def places(self) -> Sequence[Place]:
        return [self]

    def given_back(self) -> list[ActiveTrial]:
        return []

    def turn(self, in_order: Collection[int] = (), *, alone: bool = False) -> Iterator[ActiveTrial]:
        """One round of those whose turn it is (see `Pace.next_turn`); the trials that are through."""
        yield from self.advance(self.pace.next_turn(self.favoured, in_order, alone=alone))

    def advance(self, populations: Sequence[Population]) -> Iterator[ActiveTrial]:
        """A round of each, at the same time; the trials that are through."""
        if not populations:
            return
        before, steps = time.monotonic(), [population.lane_steps for population in populations]
        are_whole = self.engine.advance_together(populations)
        seconds = (time.monotonic() - before) / len(populations)
        for population, is_whole, so_far in zip(populations, are_whole, steps, strict=True):
            yield from self._advanced(population, seconds, so_far, is_whole=is_whole)

    def beside_all(self, trial: ActiveTrial, deadline: float | None) -> Iterator[Iterator[ActiveTrial]]:
        """Train it whose turn this is until its end, and others beside it as far as they do not keep it waiting."""
        self.admit(trial)
        population = self.engine.populations[Structure.of(trial.config)]
        while trial.number in self.active and not self.budget.is_over():
            yield self.advance(self.pace.with_others(population))
            if deadline is not None and time.monotonic() > deadline:
                yield self.end(population)

    def end(self, population: Population) -> Iterator[ActiveTrial]:
        """Cut all runs of a population short; the trials that are through by that."""
        yield from self._through(self.engine.retire(population, OUT_OF_BUDGET))

    def cut(self, numbers: Collection[int]) -> Iterator[ActiveTrial]:
        """Cut these trials short; those that are through by that."""
        for population in self.engine.populations.values():
            for lane in population.lanes:
                if lane.request.trial in numbers:
                    lane.ended = lane.ended or OUT_OF_BUDGET
            yield from self._through(self.engine.retire(population))

    def end_all(self) -> Iterator[ActiveTrial]:
        for population in self.engine.populations.values():
            yield from self.end(population)

    @property
    def lanes(self) -> int:
        return sum(len(population.lanes) for population in self.engine.populations.values())

    @property
    def lane_steps(self) -> int:
        return self.engine.lane_steps

    def _advanced(
        self, population: Population, seconds: float, steps: int, *, is_whole: bool
    ) -> Iterator[ActiveTrial]:  # fmt: skip
        self.pace.note(population.structure, seconds, population.lane_steps - steps)
        for lane in population.lanes:
            if trial := self.active.get(lane.request.trial):
                trial.seconds += seconds / len(population.lanes)
        self.reports.advanced(population.lanes)
        if is_whole or self.max_trials is None:
            self.judge.judge(population, self.active)
        else:
            # Half a round says nothing that the whole one would have said, even of a lane that it ends.
            for lane in population.lanes:
                lane.ended = OUT_OF_BUDGET
        yield from self._through(self.engine.retire(population))

    def _through(self, runs: Sequence[RunRecord]) -> Iterator[ActiveTrial]:
        """The trials of which these were the last runs."""
        for run in runs:
            self.runs_done += 1
            self.reports.ended(run, self.engine.judging.shown(run.error))
            trial = self.active[run.request.trial]
            trial.runs.append(run)
            if trial.is_done:
                yield self.active.pop(trial.number)

    # -- compiling

    def _how_to_compile(self, population: Population) -> How:
        """Beside a search against the clock, where it pays; before the first step, or not at all, where the number of
        trials is given: what a run comes to must not depend on when a compiler was ready, or on what lay on disk."""
        pays = self._repays_compiling(population.structure)
        if self.max_trials is None:
            return "beside" if pays else "found"
        return "wait" if pays else "never"

    def _repays_compiling(self, structure: Structure) -> bool:
        if self.max_trials is None:
            return self.pace.repays_compiling(structure, self.budget, is_best=structure == self.favoured)
        runs = self.max_trials * len(self.engine.data.folds)
        return self.pace.repays_compiling_planned(structure, runs, self.epochs)


def _names_of_runs(trial: ActiveTrial) -> list[str]:
    called = _CALLED.get(trial.name, trial.name) or f"trial {trial.number}"
    return [called] if trial.folds == 1 else [f"{called}, fold {fold + 1}" for fold in range(trial.folds)]
