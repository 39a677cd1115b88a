"""Pace: what a structure costs, counted before it was measured and measured after, and the epochs a trial can afford;
and whose turn it is by that.

Knows populations and clocks; it proposes nothing.
"""

import math
from collections.abc import Collection, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Protocol

from trimtab.training.config import Config
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.programs.program import Program
from trimtab.tuning.budget import Budget

# A trial may take this share of a search's time, so that several can follow one another. A guess.
SHARE_OF_A_TRIAL = 0.2
# Of fewer epochs nothing is learnt that tells one config from another. A guess.
FEWEST_EPOCHS = 4
# Lane-steps of a structure after which its own pace counts, and not what its size lets expect; and what remains, at
# each round, of the weight of those before: some ten rounds count, for a step may become quicker. Guesses.
STEPS_TO_TRUST, FADING = 500, 0.9
# What compiling a step beside a search takes where nothing was compiled yet, and the share of the time that the step
# then saves (benchmarks/engine: 24 to 29 s, on slower machines 60 to 90, and two to ten times less time a step, of
# which half is left for what is not compiled).
SECONDS_OF_COMPILING, SHARE_SAVED = 25.0, 0.5
# A structure is to have had so much of the time before it is compiled: many are tried and pruned in less. A guess.
SECONDS_BEFORE_COMPILING = 1.0
# For searches of a given number of trials: what a typical machine needs (100 GFLOP/s), and how many structures share
# the trials (three to six are opened in a minute).
SECONDS_PER_OPERATION, STRUCTURES_OF_A_SEARCH = 1e-11, 5


# Who goes beside another may take so many times as long for its round (a guess); and what calling a step costs beside
# its lanes, in operations of theirs: 0.6 ms.
SLOWER, OPERATIONS_OF_CALLING = 2.0, 3e7
# How much more work the structure of the best trial gets than any other (a guess).
FAVOUR = 2.0


class Slots(Protocol):
    """An engine, or what is known of one elsewhere: how many lanes train in it, of which structure, on which rows."""

    @property
    def data(self) -> TrainingData: ...
    @property
    def populations(self) -> Mapping[Structure, "Occupied"]: ...

    def program(self, network: tuple) -> Program: ...


class Occupied(Protocol):
    """A population: its lanes, and how many more it has places for."""

    @property
    def lanes(self) -> Sized: ...
    @property
    def free(self) -> int: ...


class Costs:
    """How long things take in these `slots`, on that machine and in this study."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._costs: dict[Structure, float] = {}
        self._spent: dict[Structure, _Spent] = {}

    def note(self, structure: Structure, seconds: float, steps: int) -> None:
        """A round of `structure` made so many lane-steps in so long."""
        self._spent.setdefault(structure, _Spent()).add(seconds, steps)

    @property
    def spent(self) -> dict[Structure, tuple[float, int]]:
        """Seconds and lane-steps of each structure so far."""
        return {structure: (spent.seconds, spent.steps) for structure, spent in self._spent.items()}

    def cost(self, structure: Structure) -> float:
        """Operations of one lane-step: products, the optimizer's passes, and the overhead of calling both."""
        if structure not in self._costs:
            size = self.slots.program(structure.network).layout.size
            batch = structure.batch_size or self.slots.data.most_training_rows
            self._costs[structure] = operations_of_step(size, batch)
        return self._costs[structure]

    def begin_like(self, other: "Costs") -> None:
        """Take for a beginning what was measured elsewhere; what is measured here counts for more with each round."""
        self._spent = {structure: replace(spent) for structure, spent in other._spent.items()}

    def has_room(self, structure: Structure, lanes: int) -> bool:
        """Whether so many more lanes of a structure have places."""
        population = self.slots.populations.get(structure)
        return population is None or population.free >= lanes

    def work_in_flight(self) -> float:
        """Operations of one step of everything that trains at present."""
        return sum(self.cost(s) * len(p.lanes) for s, p in self.slots.populations.items())

    def affordable_epochs(self, config: Config, budget: Budget) -> int:
        """Epochs this config may have: what a fifth of the search pays for, and what fits in the time that is left, so
        that a plan ends at a rate of zero and is not cut. What is in flight takes an equal part of it: half of it, at
        first, for half of that will be pruned before its end, and all of it near the end, where nothing is.
        """
        structure, epoch_seconds = Structure.of(config), self.epoch_seconds(config)
        a_share = SHARE_OF_A_TRIAL * (budget.seconds - budget.reserve) / epoch_seconds
        in_flight = self.work_in_flight() / self.cost(structure)
        staying = 1.0 - 0.5 * max(0.0, budget.search_left) / (budget.seconds - budget.reserve)
        what_is_left = budget.search_left / (epoch_seconds * (staying * in_flight / len(self.slots.data.folds) + 1))
        return int(min(config.epochs, max(a_share, FEWEST_EPOCHS), what_is_left))

    def epoch_seconds(self, config: Config) -> float:
        """What an epoch of all folds takes by itself."""
        # Folds that grow differ in their steps: all of a trial's together count, and what is in flight as a mean one.
        return _steps(self.slots.data.folds, config.batch_size) * self._lane_step_seconds(Structure.of(config))

    def _lane_step_seconds(self, structure: Structure) -> float:
        spent = self._spent.get(structure)
        if spent is not None and spent.steps > STEPS_TO_TRUST:
            return spent.seconds_per_step
        done = sum(self.cost(s) * spent.recent_steps for s, spent in self._spent.items())
        seconds = sum(spent.recent_seconds for spent in self._spent.values())
        return self.cost(structure) * seconds / done if done else 1e-3


class Pace(Costs):
    """How long things take on an engine of this process, and whose turn it is."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.engine = engine

    def next_turn(
        self, favoured: Structure | None, in_order: Collection[int] = (), *, alone: bool = False
    ) -> list[Population]:
        """The population with lanes that has had the least work so far, the `favoured` one's counting half; before them
        those that train trials `in_order`, the first of these first. Where one thread is enough for it, others go with
        it that need no more, unless it is to go `alone`. Nobody where nothing trains.

        Work is counted, not timed, so that the order repeats.
        """

        def rank(population: Population) -> tuple[float, float]:
            numbers = (lane.request.trial for lane in population.lanes)
            first = min((float(number) for number in numbers if number in in_order), default=math.inf)
            work = population.lane_steps * self.cost(population.structure)
            return first, work / (FAVOUR if population.structure == favoured else 1.0)

        ranked = sorted(self._training(), key=rank)
        return ranked[:1] if alone else self.together(ranked)

    def with_others(self, population: Population) -> list[Population]:
        """A population whose turn it is, and those that may go beside it."""
        return self.together([population, *(each for each in self._training() if each is not population)])

    def _training(self) -> list[Population]:
        return [each for each in self.engine.populations.values() if each.lanes]

    def together(self, ranked: Sequence[Population]) -> list[Population]:
        """The first of these, and those that may go beside it without that it has to wait for them."""
        if not ranked or not self.engine.is_narrow(ranked[0]):
            return list(ranked[:1])
        most = SLOWER * self._cost_of_a_round(ranked[0])
        others = [
            each for each in ranked[1:] if self.engine.may_go_beside(each) and self._cost_of_a_round(each) <= most
        ]
        return [ranked[0], *others][: self.engine.threads]

    def _cost_of_a_round(self, population: Population) -> float:
        steps = population.epochs_per_round * max(lane.batches for lane in population.lanes)
        return steps * (OPERATIONS_OF_CALLING + len(population.lanes) * self.cost(population.structure))

    def repays_compiling(self, structure: Structure, budget: Budget, *, is_best: bool = False) -> bool:
        """Whether a compiled step would win back, in what is left of the search, the time that compiling takes; where
        the structure `is_best` so far, in what its choices are explained in, too."""
        spent = self._spent.get(structure, _Spent())
        everything = sum(each.seconds for each in self._spent.values())
        if spent.seconds < SECONDS_BEFORE_COMPILING or not everything:
            return False
        compiling = self.engine.compiler.usual_seconds(SECONDS_OF_COMPILING)
        searching = budget.search_left - compiling
        to_come = spent.seconds / everything * max(0.0, searching)
        if is_best and searching > 0:
            to_come += budget.afterwards
        return SHARE_SAVED * to_come > compiling / self.engine.threads

    def repays_compiling_planned(self, structure: Structure, runs: int, epochs: int) -> bool:
        """The same for a search of a given number of runs, from what they hold and never from a clock."""
        folds = self.engine.data.folds
        steps = runs / STRUCTURES_OF_A_SEARCH * epochs * _steps(folds, structure.batch_size) / len(folds)
        return SHARE_SAVED * steps * self.cost(structure) * SECONDS_PER_OPERATION > SECONDS_OF_COMPILING


def operations_of_step(parameters: int, batch: int) -> float:
    """Those of one step of one lane: its products, the optimizer's passes, and the overhead of calling both (guesses
    that put structures in their order)."""
    return 6.0 * parameters * batch + 40.0 * parameters + 2e5


def _steps(folds: Sequence[Fold], batch_size: int) -> int:
    """Steps of one epoch of all folds together."""
    return sum(-(-len(fold.train) // (batch_size or len(fold.train))) for fold in folds)


@dataclass
class _Spent:
    """Seconds and lane-steps of one structure; the recent ones fade, since a step may become quicker."""

    seconds: float = 0.0
    steps: int = 0
    recent_seconds: float = 0.0
    recent_steps: float = 0.0

    def add(self, seconds: float, steps: int) -> None:
        self.seconds, self.steps = self.seconds + seconds, self.steps + steps
        self.recent_seconds = FADING * self.recent_seconds + seconds
        self.recent_steps = FADING * self.recent_steps + steps

    @property
    def seconds_per_step(self) -> float:
        return self.recent_seconds / max(1.0, self.recent_steps)
