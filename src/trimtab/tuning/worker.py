"""Worker: a trainer somewhere else, which is told what to train and says what became of it.

Few messages go to and fro: orders with trials to begin, reports with those that are through, and what trials come to at
rungs, which every worker is told. Knows lanes and clocks; it knows nothing of how messages travel.
"""

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from trimtab.errors import TrimtabError, first_line
from trimtab.listeners.listener import Listener
from trimtab.listeners.listeners import Listeners
from trimtab.machine import lanes_in_threads
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Structure
from trimtab.training.run import RunRecord
from trimtab.tuning.budget import NO_LIMIT, Budget
from trimtab.tuning.halving import Halving
from trimtab.tuning.trainer import Steps, Trainer
from trimtab.tuning.trial import ActiveTrial

# Who has something to tell does not tell it before so many seconds: a handful of messages in a second is enough (a
# guess).
SECONDS_BEFORE_NEWS = 0.1

# Makes the engine of a worker, of the rows that it trains on: (data, threads, should_stop).
EngineOf = Callable[[TrainingData, int, Callable[[], bool]], Engine]


@dataclass(frozen=True)
class Recruit:
    """What a worker begins with, which is sent once: the rows (as numpy arrays, which several workers of a machine
    read in one place), what makes an engine of them, and what holds for the whole search."""

    data: TrainingData
    engine_of: EngineOf
    threads: int
    device: str
    lag: int | None
    max_trials: int | None
    epochs: int
    seed: int
    hears_runs: bool = False

    @classmethod
    def of(cls, data: TrainingData, engine_of: EngineOf, **asked: Any) -> "Recruit":
        return cls(data.mapped(lambda tensor: tensor.numpy(force=True)), engine_of, **asked)

    def tensors(self) -> TrainingData:
        """The rows, on the device that is trained on."""
        with warnings.catch_warnings():
            # What several workers read cannot be written, and nobody writes into what is trained on.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
            return self.data.mapped(lambda array: torch.as_tensor(array).to(self.device))


@dataclass(frozen=True)
class Rung:
    """What a trial came to at a rung, and that of which it is."""

    number: int
    rung: int
    error: float


@dataclass(frozen=True)
class Orders:
    """What a worker does in the coming `seconds`: it begins `trials`, cuts those short that are `cut`, all of them
    where it `is_last`, and ends runs that somebody wants ended (`unwanted`, by name).

    `search_left` and `afterwards` are those of the search's clock, `rungs` what others came to since it was last told,
    `favoured` the structure of the best trial, `in_order` trials that come before others.
    """

    seconds: float
    search_left: float
    afterwards: float = 0.0
    trials: tuple[ActiveTrial, ...] = ()
    rungs: tuple[Rung, ...] = ()
    cut: frozenset[int] = frozenset()
    unwanted: frozenset[str] = frozenset()
    in_order: frozenset[int] = frozenset()
    favoured: Structure | None = None
    is_last: bool = False


@dataclass
class Report:
    """What became of orders: trials that are `through`, what others came to at `rungs`, seconds and lane-steps `spent`
    on each structure and the `steps` of it since the worker began, what happened to runs (`events`), and how long it
    `worked`. Where it `failed` it has lost what it was training, and says why.
    """

    through: list[ActiveTrial] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    spent: Mapping[Structure, tuple[float, int]] = field(default_factory=dict)
    steps: Mapping[Structure, Steps] = field(default_factory=dict)
    events: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    worked: float = 0.0
    failed: str = ""


class Worker:
    """Works through orders, one after the other; `stop` may be called meanwhile, from another thread."""

    def __init__(self, recruit: Recruit) -> None:
        self._is_stopped = threading.Event()
        self._budget = Budget(NO_LIMIT, reserve=0.0)
        self._halving = Halving(lag=recruit.lag)
        self._events = _Events()
        self._told: dict[int, int] = {}
        self._engine = recruit.engine_of(recruit.tensors(), recruit.threads, self._should_stop)
        self._trainer = Trainer(
            self._engine, self._halving, self._budget, max_trials=recruit.max_trials, epochs=recruit.epochs,
            seed=recruit.seed, listeners=Listeners((self._events,)) if recruit.hears_runs else None,
        )  # fmt: skip

    def stop(self) -> None:
        """Let whatever trains stand where it is; what comes after that are the last orders."""
        self._is_stopped.set()

    def work(self, orders: Orders) -> Report:
        """Follow orders. Raises what a caller has to mend; what only this machine cannot do, the report says."""
        began, report = time.monotonic(), Report()
        try:
            with lanes_in_threads():
                self._follow(orders, report, began)
        except TrimtabError:
            raise
        except Exception as error:  # memory that is used up, a device that is gone
            report.failed = f"{type(error).__name__}: {first_line(error)}"
            self._begin_anew()
        report.spent = self._trainer.pace.spent
        report.steps = {structure: _steps_of(each) for structure, each in self._engine.populations.items()}
        report.events = self._events.taken()
        report.worked = time.monotonic() - began
        return report

    def close(self) -> None:
        self._engine.close()

    def _should_stop(self) -> bool:
        return self._is_stopped.is_set() or self._budget.is_over()

    def _follow(self, orders: Orders, report: Report, began: float) -> None:
        budget, trainer = self._budget, self._trainer
        budget.afterwards = orders.afterwards
        budget.seconds = budget.elapsed + orders.search_left + orders.afterwards
        trainer.favoured = orders.favoured
        self._events.unwanted |= orders.unwanted
        for each in orders.rungs:
            self._halving.seen[each.rung][each.number] = each.error
        for trial in orders.trials:
            trainer.admit(trial)
        report.through += trainer.cut(orders.cut) if orders.cut else []
        while trainer.active and not self._should_stop():
            report.through += trainer.turn(orders.in_order)
            took = time.monotonic() - began
            if took >= orders.seconds or (report.through and took >= SECONDS_BEFORE_NEWS):
                break
        if orders.is_last:
            report.through += trainer.end_all()
        self._note_rungs(report)
        for trial in report.through:
            trial.runs = [_on_the_processor(run) for run in trial.runs]

    def _note_rungs(self, report: Report) -> None:
        """What trials came to at rungs since it was last said."""
        for trial in [*self._trainer.active.values(), *report.through]:
            said = self._told.get(trial.number, 0)
            report.rungs += [Rung(trial.number, i, error) for i, error in enumerate(trial.rung_errors) if i >= said]
            self._told[trial.number] = len(trial.rung_errors)
        for trial in report.through:
            del self._told[trial.number]

    def _begin_anew(self) -> None:
        """Without what was being trained: its tensors may be what there was too little memory for."""
        self._trainer.active.clear()
        self._engine.populations.clear()
        self._told.clear()


class _Events(Listener):
    """What happens to runs, kept until it is taken; `unwanted` runs end at their next epoch."""

    def __init__(self) -> None:
        self.unwanted: set[str] = set()
        self._kept: list[tuple[str, str, Mapping[str, Any]]] = []

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._kept.append(("started", run, config))

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        self._kept.append(("epoch_ended", run, values))
        return run in self.unwanted

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        self._kept.append(("ended", run, result))

    def taken(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        kept, self._kept = self._kept, []
        return kept


def _on_the_processor(run: RunRecord) -> RunRecord:
    """What a device holds cannot be sent."""
    buffers = {name: value.cpu() for name, value in run.buffers.items()}
    return replace(run, weights=run.weights.cpu(), buffers=buffers)


def _steps_of(population: Any) -> Steps:
    return Steps(**{name: getattr(population, name) for name in Steps.__dataclass_fields__})
