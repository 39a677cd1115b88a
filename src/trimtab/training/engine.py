"""Continuous batching: admit, step, evaluate, retire, refill.

Knows configs, folds and lanes; it knows no trials, tables, files or clocks. Whoever calls decides what is admitted and
what is pruned; `should_stop` is asked before every step.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy
import torch
from torch import nn

from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric
from trimtab.training.mlp_program import program_for
from trimtab.training.population import Lane, Population, Structure
from trimtab.training.program import Program
from trimtab.training.randomness import initialised, number_from
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, STOPPED_EARLY, Request, RunRecord
from trimtab.training.shard import Plan, Shard, Trained, shards_of

Result = TypeVar("Result")
Factory = Callable[..., nn.Module]
MAX_LANES = 64
OPERATIONS_AT_ONCE = 4e8
STEPS_PER_ROUND = 12


class Engine:
    """Trains runs of many structures over one data set, each structure as one population."""

    def __init__(
        self,
        data: TrainingData,
        metric: Metric,
        factory: Factory,
        *,
        threads: int = 1,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.data, self.metric, self.factory, self.should_stop = data, metric, factory, should_stop
        self.populations: dict[Structure, Population] = {}
        self.threads = threads
        self.lane_steps = 0
        self._programs: dict[tuple, Program] = {}

    def population(self, structure: Structure, lanes: int | None = None) -> Population:
        """The population of `structure`, opened on first use with `lanes` places (default: what stays in cache)."""
        if structure not in self.populations:
            program = self.program(structure.network)
            capacity = lanes or self.width(structure)
            self.populations[structure] = Population(structure, program, self.data, capacity)
        return self.populations[structure]

    def program(self, network: tuple) -> Program:
        if network not in self._programs:
            module = initialised(lambda: self.factory(**dict(network)), seed=0)
            self._programs[network] = program_for(module.to(self.data.device))
        return self._programs[network]

    def width(self, structure: Structure) -> int:
        """Lanes that together make a step worth its overhead, a multiple of the folds: a rule, not a measurement."""
        folds = len(self.data.folds)
        batch = structure.batch_size or max(len(fold.train) for fold in self.data.folds)
        operations = 6 * batch * max(1, self.program(structure.network).layout.size)
        return max(folds, self.threads, int(min(MAX_LANES, OPERATIONS_AT_ONCE // operations)) // folds * folds)

    def admit(self, population: Population, requests: Iterable[Request]) -> None:
        """Start each request in a free lane, from weights that follow from its seed and fold."""
        for request in requests:
            seed = number_from("run", request.seed, request.fold)
            module = initialised(partial(self.factory, **request.config.module_arguments), seed)
            weights = population.program.layout.flatten(dict(module.named_parameters()))
            population.admit(request, weights.to(self.data.device))

    def advance(self, population: Population) -> bool:
        """Train every lane for one round (an epoch, or several short ones) and evaluate; False when told to stop."""
        if population.is_changed:
            population.shards = shards_of(population, self.threads)
            population.is_changed = False
        epochs = self.epochs_per_round(population)
        plan = self._plan(population, epochs)
        trained = self._on_shards(population, lambda shard: shard.train(plan, self.should_stop))
        is_whole = self._count_steps(population, plan, trained)
        if not is_whole and all(lane.curves.epoch for lane in population.lanes):
            return False
        for lane in population.lanes:
            lane.epoch = min(lane.epoch + epochs, lane.request.config.epochs)
        self._evaluate(population, plan, trained)
        return is_whole

    @staticmethod
    def epochs_per_round(population: Population) -> int:
        return -(-STEPS_PER_ROUND // max(lane.batches for lane in population.lanes))

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

    def _plan(self, population: Population, epochs: int) -> Plan:
        rows, is_real = population.rows_of_epochs(epochs)
        factors = numpy.stack([lane.schedule.factors(lane.step, len(rows)) for lane in population.lanes])
        peaks = numpy.array([lane.request.config.optimizer.learning_rate for lane in population.lanes])
        device = self.data.device
        row_index = torch.from_numpy(rows).to(device)
        return Plan(
            row_index,
            self.data.weights[row_index] * torch.from_numpy(is_real).to(device),
            torch.from_numpy(factors.T * peaks).to(device),
            torch.from_numpy(is_real.any(axis=2).sum(axis=0)).to(device),
        )

    def _on_shards(self, population: Population, work: Callable[[Shard], Result]) -> list[Result]:
        """What `work` gives for each shard, each in a thread of its own."""
        if len(population.shards) == 1:
            return [work(population.shards[0])]
        with ThreadPoolExecutor(len(population.shards), thread_name_prefix="trimtab-lanes") as pool:
            return list(pool.map(work, population.shards))

    def _count_steps(self, population: Population, plan: Plan, trained: list[Trained]) -> bool:
        """Add the steps that were made to every lane's count; whether that was all of them."""
        is_whole = True
        for shard, result in zip(population.shards, trained, strict=True):
            for place in range(shard.first, shard.last):
                own = int(plan.own_steps[place])
                made = min(result.steps, own)
                population.lanes[place].step += made
                population.lane_steps += made
                self.lane_steps += made
                is_whole = is_whole and made == own
        return is_whole

    def _evaluate(self, population: Population, plan: Plan, trained: list[Trained]) -> None:
        pieces = self._on_shards(population, lambda shard: shard.validate())
        outputs, rows, weight, losses = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        predictions = self.data.predictions(outputs)
        errors = self.metric.error(predictions, self.data.truth(rows), weight.double()).tolist()
        improved = numpy.array([e < lane.error for e, lane in zip(errors, population.lanes, strict=True)])
        population.keep_best(improved, predictions)
        train_losses = torch.cat([result.train_loss for result in trained]).tolist()
        norms = torch.cat([result.gradient_norm for result in trained]).tolist()
        rates = plan.rates[-1].tolist()
        signals = zip(population.lanes, errors, losses.tolist(), train_losses, norms, rates, strict=True)
        for place, (lane, error, loss, train_loss, norm, rate) in enumerate(signals):
            if improved[place]:
                lane.error, lane.best_epoch = error, lane.epoch
            lane.curves.append(lane.epoch, train_loss, loss, self.metric.shown(error), rate, norm)
            lane.schedule.observe(error)
            lane.ended = self._why_ended(lane, error, train_loss)

    @staticmethod
    def _why_ended(lane: Lane, error: float, train_loss: float) -> str:
        if not (numpy.isfinite(error) and numpy.isfinite(train_loss)):
            return NOT_FINITE
        if lane.epoch >= lane.request.config.epochs:
            return ALL_EPOCHS
        return STOPPED_EARLY if lane.stopping.should_stop(lane.epoch, train_loss, error) else ""
