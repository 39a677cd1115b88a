"""Continuous batching: admit, step, evaluate, retire, refill.

Knows configs, folds and lanes; it knows no trials, tables, files or clocks. Whoever calls decides what is admitted and
what is pruned; `should_stop` is asked before every step.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy
import torch
from torch import Tensor

from trimtab.errors import OptionError
from trimtab.knobs.knob import CUSTOM
from trimtab.training.compiling.compiler import Compiler
from trimtab.training.compiling.libraries import Compiled
from trimtab.training.compiling.replayed import Replays
from trimtab.training.data import TrainingData
from trimtab.training.lanes import plans
from trimtab.training.lanes.compilation import Compilation, may_be_traced
from trimtab.training.lanes.crew import Crew
from trimtab.training.lanes.judging import Judging, LaneScores
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.lanes.precision import FLOAT32, Precision, multiplying
from trimtab.training.lanes.signals import ALL_SIGNALS, Signals
from trimtab.training.lanes.tile import Stretch, Tile, Worker, tiles_of
from trimtab.training.lanes.widths import lanes_at_once, lanes_of_a_population, threads_worth_it
from trimtab.training.programs.program import Activity, Program
from trimtab.training.programs.step import Batches, Features
from trimtab.training.randomness import own_draws
from trimtab.training.run import OUT_OF_BUDGET, Request, RunRecord

# Lanes below which a replayed step takes hardly less time (two threads for 5 lanes took as long as one, for 20 half).
LANES_OF_A_REPLAY = 5


class Engine:
    """Trains runs of many structures over one data set, each structure as one population.

    Networks come from `modules`; runs are judged as `judging` says. Where no fold has validation rows, nothing is
    chosen: a run keeps the weights that it ends with, and its error is its training loss. When steps are compiled
    `compilation` decides, `precision` how precisely their products are made, and `signals` what is noted of runs.

    Where the modules or the loss draw random numbers of their own, the engine works uncompiled, in one thread and lane
    by lane, with generators that follow from a lane's seed and epoch: what a run draws depends on no other run.
    """

    def __init__(
        self,
        data: TrainingData,
        modules: Modules,
        judging: Judging,
        *,
        threads: int = 1,
        compilation: Compilation | None = None,
        precision: Precision = FLOAT32,
        signals: Signals = ALL_SIGNALS,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.data, self.modules, self.judging, self.should_stop = data, modules, judging, should_stop
        self.threads = 1 if modules.draw else threads
        self.compilation, self.precision, self.signals = compilation or Compilation(), precision, signals
        self.compiler, self.crew = Compiler(threads=self.threads), Crew(self.threads)
        self.populations: dict[Structure, Population] = {}
        # A compiled step reads numbers row by row, whatever way a tensor lies.
        inputs = tuple(x.contiguous() for x in data.inputs)
        weights = torch.cat([data.weights, data.weights.new_zeros(1)])
        self.rows = Batches(inputs, data.targets.contiguous(), weights, data.more_targets)

    def population(self, structure: Structure, lanes: int | None = None) -> Population:
        """The population of `structure`, opened on first use with `lanes` places (default: `width`)."""
        if structure not in self.populations:
            programs = self.modules.programs(structure.network, self.data.device, self.threads)
            population = self.populations[structure] = Population(
                structure, programs[0], self.data, lanes or self.width(structure),
                epochs_per_round=self.judging.every, training_rows=self.judging.training_rows,
                beside=self.judging.beside,
            )  # fmt: skip
            population.workers = [Worker(program) for program in programs]
            if not self.modules.draw and not population.program.calls_module and may_be_traced(population):
                population.replays = Replays()
        return self.populations[structure]

    @property
    def lane_steps(self) -> int:
        """Steps that all lanes have made."""
        return sum(population.lane_steps for population in self.populations.values())

    def program(self, network: tuple) -> Program:
        return self.modules.programs(network, self.data.device)[0]

    def width(self, structure: Structure) -> int:
        """Lanes that a population of `structure` has of itself."""
        return lanes_of_a_population(self.program(structure.network), structure, self.data, self.threads)

    def admit(self, population: Population, requests: Iterable[Request]) -> None:
        """Start each request in a free lane, from the weights that `modules` gives."""
        for request in requests:
            if request.config.optimizer.name == CUSTOM:
                raise OptionError(
                    "An optimizer of your own cannot train lanes side by side: its runs train one by one."
                )
            population.admit(request, *self.modules.weights(population.program, request))

    def advance(self, population: Population) -> bool:
        """Train every lane for one round (an epoch, or several short ones) and evaluate; False when told to stop."""
        return self._advanced(population, *self._arranged(population))

    def advance_together(self, populations: Sequence[Population]) -> list[bool]:
        """The same of several, at the same time, each in one thread: of such as `may_go_beside` others."""
        if len(populations) == 1:
            return [self.advance(populations[0])]
        arranged = [(population, *self._arranged(population)) for population in populations]
        return self.crew.together([partial(self._advanced, *each) for each in arranged])

    def may_go_beside(self, population: Population) -> bool:
        """Whether one thread can step its lanes without Python's lock while others step those of other populations."""
        return population.compiled is None and self._replays(population) is not None

    def is_narrow(self, population: Population) -> bool:
        """Whether it is such a one, with so few lanes that more threads would step them no faster."""
        return self.may_go_beside(population) and self._threads_of(population) == 1

    def _arranged(self, population: Population) -> tuple[Compiled | None, Features]:
        population.arrange()
        compiled, features = self._way(population)
        self._divide(population, compiled)
        return compiled, features

    def _advanced(self, population: Population, compiled: Compiled | None, features: Features) -> bool:
        with multiplying(self.precision.of(population)):
            is_whole = self._train(population, compiled, features)
        if not is_whole and all(lane.curves.epoch for lane in population.lanes):
            return False
        for lane in population.lanes:
            lane.epoch = min(lane.epoch + population.epochs_per_round, lane.request.epochs)
        with multiplying("high"):
            self._evaluate(population)
        return is_whole

    def whole_runs(self, several: Sequence[tuple[Population, Iterable[Request]]]) -> list[RunRecord]:
        """The runs of all requests, as many at once as each population has places, and narrow populations side by side,
        the first ones first; what had not ended by itself when the engine was told to stop is left out."""
        at_work, records = [(population, deque(requests)) for population, requests in several], []
        while at_work:
            first = at_work[: self.threads]
            for population, waiting in first:
                self.admit(population, [waiting.popleft() for _ in range(min(population.free, len(waiting)))])
            narrow = [population for population, _ in first if self.is_narrow(population)]
            now = narrow if first[0][0] in narrow else [first[0][0]]
            are_whole = self.advance_together(now)
            for population, is_whole in zip(now, are_whole, strict=True):
                if is_whole:
                    records += self.retire(population)
            if not all(are_whole):
                # A first round that was cut off may look like the end of a short run.
                for population, _ in at_work:
                    self.retire(population, OUT_OF_BUDGET)
                break
            at_work = [(population, waiting) for population, waiting in at_work if waiting or population.lanes]
        return records

    def retire(self, population: Population, reason: str = "") -> list[RunRecord]:
        """Take the lanes that have ended (all of them, with `reason`, if one is given) out of the population."""
        records = []
        for place in reversed(range(len(population.lanes))):
            lane = population.lanes[place]
            lane.ended = lane.ended or reason
            if lane.ended:
                records.append(population.record(place))
                population.remove(place)
        return sorted(records, key=lambda record: (record.request.trial, record.request.fold))

    def close(self) -> None:
        """End the threads, and what is still being compiled; the engine may be used again all the same."""
        try:
            self.compiler.close()
        finally:
            self.crew.close()

    # -- training

    def _way(self, population: Population) -> tuple[Compiled | None, Features]:
        """The compiled step that serves this population's lanes, if there is one, and what a step has to do."""
        needed = population.features | self.signals.features
        compiled = None if self.modules.draw else self.compilation.step(population, needed, self.compiler)
        return compiled, needed if compiled is None else compiled.features

    def _divide(self, population: Population, compiled: Compiled | None) -> None:
        """Lay the lanes out in tiles for the coming round; mostly they lie as they did."""
        is_exact = compiled is not None and compiled.fixed is not None
        if compiled is not None and compiled.fixed is not None:
            at_once = compiled.fixed[0]
        else:
            at_once = 1 if self.modules.draw else lanes_at_once(population)
        threads = self.threads if compiled is not None else self._threads_of(population)
        if population.is_changed or (at_once, threads) != population.tiled_for:
            population.tiles = tiles_of(population, at_once, 0 if is_exact else threads)
            population.is_changed, population.tiled_for = False, (at_once, threads)
            population.optimizers = population.coefficients(0, len(population.lanes)).optimizers
        if self.modules.draw:
            for tile, lane in zip(population.tiles, population.lanes, strict=True):
                tile.generators = own_draws(lane.request.seed, lane.epoch)

    def _threads_of(self, population: Population) -> int:
        """How many threads step its lanes while nothing is compiled."""
        threads = threads_worth_it(population, self.threads)
        if self._replays(population) is None:
            return threads
        return max(threads, min(self.threads, len(population.lanes) // LANES_OF_A_REPLAY))

    def _train(self, population: Population, compiled: Compiled | None, features: Features) -> bool:
        """Take every lane through a round; whether all of it was made."""
        population.totals.zero_()
        replays = self._replays(population) if compiled is None else None
        epochs, lanes = population.epochs_per_round, population.lanes
        own = numpy.array([lane.steps_of(epochs) for lane in lanes])
        population.place_steps += population.capacity * int(own.max())
        for window in plans.windows(lanes, epochs):
            plan = plans.plan(
                lanes, population.optimizers, population.orders, epochs, window, self.data.device,
                population.program.dropouts,
            )  # fmt: skip
            steps = numpy.clip(own - window[0], 0, window[1] - window[0])
            stretch = Stretch(plan, steps, self.rows, compiled, replays, features, self._stops)
            made = self.crew.over(population.tiles, population.workers, partial(Tile.train, stretch=stretch))
            if not self._count_steps(population, steps, made):
                return False
        return True

    def _replays(self, population: Population) -> Replays | None:
        """Where a population's steps are written down, if they can be."""
        replays = population.replays
        return None if replays is None or replays.are_impossible else replays

    def _stops(self) -> bool:
        return self.crew.gives_up or self.should_stop()

    def _count_steps(self, population: Population, planned: numpy.ndarray, made: list[int]) -> bool:
        """Add the steps that were made to every lane's count; whether those were all that were planned."""
        done = numpy.concatenate([numpy.full(len(t), m) for t, m in zip(population.tiles, made, strict=True)])
        done = numpy.minimum(done, planned)
        for lane, steps in zip(population.lanes, done.tolist(), strict=True):
            lane.step += steps
        count = int(done.sum())
        population.lane_steps += count
        population.compiled_steps += count * (population.compiled is not None)
        population.bfloat16_steps += count * (self.precision.of(population) == "medium")
        return bool((done == planned).all())

    # -- evaluating

    def _evaluate(self, population: Population) -> None:
        """Judge every lane, keep the weights of those that just did their best, and note what there is to know."""
        lanes = population.lanes
        if not population.is_judged:
            self._note_training(population)
            return
        pieces = self.crew.over(population.tiles, population.workers, self._judged)
        scores, errors, losses = (
            torch.cat([getattr(judged, name) for judged, _ in pieces]).tolist()
            for name in ("scores", "errors", "losses")
        )
        idle = [lane.step == lane.evaluated_step for lane in lanes]  # told to stop before the first step
        noted = self._noted(population, [activity for _, activity in pieces])
        noted |= {"validation_loss": losses, "validation_metric": [self.judging.shown(error) for error in errors]}
        for place, lane in enumerate(lanes):
            values = {name: column[place] for name, column in noted.items()}
            lane.note(values, scores[place], may_end=not idle[place])

    def _note_training(self, population: Population) -> None:
        """Where no rows judge, a run is as good as its training loss, and its weights are those it ends with."""
        noted = self._noted(population, [])
        nothing = dict.fromkeys(("validation_loss", "validation_metric"), math.nan)
        population.keep_best(0, numpy.ones(len(population.lanes), dtype=bool), None)
        for place, lane in enumerate(population.lanes):
            values = {name: column[place] for name, column in noted.items()}
            lane.error, lane.best_epoch = values["train_loss"], lane.epoch
            lane.note(values | nothing, lane.error)

    def _judged(self, tile: Tile, worker: Worker) -> tuple[LaneScores, tuple[Activity, ...]]:
        """The tile on its lanes' validation rows; predictions are large, and dropped once the best of them are kept."""
        population, watch = tile.population, not self.signals.only_losses
        judged, activity = tile.judged(worker, self.rows.inputs, population.validation, self.judging, watch=watch)
        before = torch.tensor([lane.error for lane in tile.lanes], dtype=torch.float64)
        population.keep_best(tile.first, (judged.scores.cpu() < before).numpy(), judged.predictions)
        return replace(judged, predictions=None), activity

    def _noted(self, population: Population, activities: list[tuple[Activity, ...]]) -> dict[str, list]:
        """The signals of all lanes since their last evaluation by name, and the metric on rows that they train on."""
        count = len(population.lanes)
        ratios = torch.cat([tile.update_ratio for tile in population.tiles])
        noted = self.signals.noted(
            population.lanes, population.totals[:count], population.first[:count], ratios, activities
        )
        return noted | {"train_metric": self._on_training_rows(population)}

    def _on_training_rows(self, population: Population) -> list[float]:
        """The metric of every lane on rows that it trains on, in evaluation mode; NaN where nobody asked."""
        part = population.training
        if part is None:
            return [math.nan] * len(population.lanes)

        def errors(tile: Tile, worker: Worker) -> Tensor:
            return tile.judged(worker, self.rows.inputs, part, self.judging)[0].errors

        pieces = self.crew.over(population.tiles, population.workers, errors)
        return [self.judging.shown(error) for error in torch.cat(pieces).tolist()]
