"""Seat: what is known here of a worker: the lanes it has, what they cost there, and what it is to be told next.

Knows trials and reports; it sends nothing.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.widths import lanes_of_a_population
from trimtab.training.programs.program import Program
from trimtab.tuning.pace import Costs
from trimtab.tuning.trainer import Steps
from trimtab.tuning.trial import ActiveTrial
from trimtab.tuning.worker import Report


@dataclass
class Occupied:
    """A population elsewhere: `lanes` by trial and fold, of `capacity` at most."""

    capacity: int
    lanes: set[tuple[int, int]] = field(default_factory=set)
    steps: Steps = field(default_factory=Steps)

    @property
    def free(self) -> int:
        return self.capacity - len(self.lanes)

    @property
    def lane_steps(self) -> int:
        return self.steps.lane_steps


class Elsewhere:
    """What is known here of the engine of a worker."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine, self._threads = engine, threads
        self.populations: dict[Structure, Occupied] = {}
        # Where it could not train so many lanes of a structure side by side, how many it is given now.
        self.most: dict[Structure, int] = {}

    @property
    def data(self) -> TrainingData:
        return self._engine.data

    def program(self, network: tuple) -> Program:
        return self._engine.program(network)

    def admit(self, trial: ActiveTrial) -> None:
        structure = Structure.of(trial.config)
        if structure not in self.populations:
            program = self.program(structure.network)
            width = lanes_of_a_population(program, structure, self.data, self._threads)
            self.populations[structure] = Occupied(self.most.get(structure, width))
        self.populations[structure].lanes |= {(trial.number, fold) for fold in range(trial.folds)}

    @property
    def lanes(self) -> int:
        """Networks that train there."""
        return sum(len(occupied.lanes) for occupied in self.populations.values())

    @property
    def trials(self) -> int:
        """How many it has."""
        return len({number for occupied in self.populations.values() for number, _ in occupied.lanes})

    def remove(self, number: int) -> None:
        for occupied in self.populations.values():
            occupied.lanes = {lane for lane in occupied.lanes if lane[0] != number}

    def narrow(self, structure: Structure) -> None:
        """It could not train as many lanes as it had: it gets half of them from now on, one trial's at least."""
        folds = len(self.data.folds)
        occupied = self.populations[structure]
        occupied.capacity = self.most[structure] = max(folds, len(occupied.lanes) // 2)


class _Share(Costs):
    """Those of a worker that gets no more than its share of the trials which may be in flight together (`most`; None:
    as many as there is work for), and none of a structure that others have opened and have places for: their steps are
    compiled already."""

    def __init__(self, elsewhere: Elsewhere, most: int | None, others: Callable[[], Iterable["_Share"]]) -> None:
        super().__init__(elsewhere)
        self._elsewhere, self._most, self._others = elsewhere, most, others

    def work_in_flight(self) -> float:
        return math.inf if self._has_its_share else super().work_in_flight()

    def has_room(self, structure: Structure, lanes: int) -> bool:
        if not super().has_room(structure, lanes):
            return False
        is_new = structure not in self._elsewhere.populations
        return not (
            is_new and self._elsewhere.trials and any(other.has_opened(structure, lanes) for other in self._others())
        )

    def has_opened(self, structure: Structure, lanes: int) -> bool:
        """Whether the structure trains there, and so many more lanes could."""
        occupied = self._elsewhere.populations.get(structure)
        return occupied is not None and bool(occupied.lanes) and occupied.free >= lanes and not self._has_its_share

    @property
    def _has_its_share(self) -> bool:
        return self._most is not None and self._elsewhere.trials >= self._most


class Seat:
    """A worker as a place for trials: what it has, and what it is to be told with its next orders.

    `all_active` are the trials of all workers, among which its own are, too, `most` so many at a time; `others` are the
    other seats.
    """

    def __init__(
        self, worker: int, engine: Engine, threads: int, all_active: dict[int, ActiveTrial], most: int | None,
        others: Callable[[], Iterable["Seat"]],
    ) -> None:  # fmt: skip
        self.worker, self._all_active = worker, all_active
        self.elsewhere = Elsewhere(engine, threads)
        self._pace = _Share(
            self.elsewhere, most, lambda: [seat._pace for seat in others() if seat is not self and not seat.is_leaving]
        )
        self.admitted: list[ActiveTrial] = []
        self.active: dict[int, ActiveTrial] = {}
        self.is_working = self.is_leaving = False
        self.sent = 0.0
        self.rungs_told = 0
        self.report = Report()

    @property
    def pace(self) -> Costs:
        return self._pace

    def admit(self, trial: ActiveTrial) -> None:
        self.elsewhere.admit(trial)
        self.admitted.append(trial)
        self.active[trial.number] = self._all_active[trial.number] = trial

    def note(self, report: Report) -> None:
        """How long things took, and how many steps were made, since the last report."""
        for structure, (seconds, steps) in report.spent.items():
            before = self.report.spent.get(structure, (0.0, 0))
            if steps > before[1]:
                self._pace.note(structure, seconds - before[0], steps - before[1])
        for structure, steps in report.steps.items():
            if structure in self.elsewhere.populations:
                self.elsewhere.populations[structure].steps = steps
        self.report = report

    def forget(self, number: int) -> None:
        self.active.pop(number, None)
        self.elsewhere.remove(number)
