"""Runs: named recipes trained to their end, in the lanes of a population or, where that cannot be, one by one.

Knows recipes, lanes and listeners; it knows nothing of how results are shown, and proposes nothing.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from trimtab.errors import OptionError
from trimtab.listeners.listener import Listener
from trimtab.listeners.listeners import Listeners
from trimtab.networks.batches import RunBatches
from trimtab.networks.differences import differences
from trimtab.networks.divergence import is_unscored
from trimtab.networks.fitting import Fitting
from trimtab.networks.identity import identity_of_run
from trimtab.networks.own_optimizer import optimizer_of
from trimtab.networks.recipe import Recipe
from trimtab.training.lanes.checkpoint import Checkpoint, bring_up_to_date
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.lanes.reports import RunReports
from trimtab.training.lanes.solo import SoloRun
from trimtab.training.metrics import Metric
from trimtab.training.programs.program import DerivingProgram
from trimtab.training.run import Request, RunRecord
from trimtab.training.unscored import words_of_unscored
from trimtab.training.warning import say_once
from trimtab.tuning.pace import SECONDS_OF_COMPILING, SECONDS_PER_OPERATION

log = logging.getLogger(__name__)
# Runs that train side by side: more gain nothing on a processor, and a gibibyte of weights and moments is left free on
# small machines (guesses).
MOST_LANES, BYTES_OF_LANES = 512, 1 << 30
# Seconds of training that a kill may cost; to write a checkpoint takes some hundredths of one (a guess).
CHECKPOINT_EVERY = 1.0


@dataclass(frozen=True)
class PriceOfSteps:
    """What steps cost that are not compiled: `call` seconds whatever they hold, `products` times as long as their
    products take; the share of it that compiling saves, which is to win back `times` what it takes itself."""

    call: float
    products: float
    saved: float
    times: float


# Through vmap products are copied about, and a compiled step is looked up by tracing the module, 3.5 s each time.
THROUGH_VMAP = PriceOfSteps(call=1e-3, products=3.0, saved=0.65, times=2)
# Measured at 10 inputs, 72 lanes and batches of 32: 1.2 ms a step at width 32, 2.6 at 64, and 1.4 compiled there. What
# was compiled is found at once the next time.
BY_FORMULA = PriceOfSteps(call=0.5e-3, products=2.2, saved=0.4, times=1)


@contextmanager
def for_training() -> Iterator[None]:
    """Gradients are computed inside, whatever the caller had switched off."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


@dataclass(frozen=True)
class NamedRecipe:
    """One run to be made: what it is called, how it is trained, and its seed."""

    name: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Runs:
    """Trains recipes of one `fitting` and tells `listeners`; a single run goes on from `checkpoint` if there is one.

    Where runs have `to_be_scored`, one whose metric never gave a number is an error.
    """

    fitting: Fitting
    listeners: Listeners
    checkpoint: Path | None = None
    to_be_scored: bool = False

    def made(self, recipes: Sequence[NamedRecipe]) -> list[RunRecord]:
        """The records of all runs, in their order."""
        fitting = self.fitting
        requests = [Request(i, fitting.complete(named.recipe).config, 0, named.seed) for i, named in enumerate(recipes)]
        metric, told = fitting.metric, fitting.networks.told
        listeners = Listeners([*self.listeners, *([] if metric is None else [_UnscoredEpochs(metric, told)])])
        reports = RunReports(listeners)
        with listeners:
            reports.admitted(requests, [named.name for named in recipes])
            is_solo = fitting.datasets.is_streamed or recipes[0].recipe.make_optimizer is not None
            made = (self._alone if is_solo else self._in_lanes)(recipes, requests, reports)
            records = sorted(made, key=lambda record: record.request.trial)
            if self.to_be_scored:
                require_scores(fitting.metric, records)
            for record in records:
                reports.ended(record, fitting.best_score(record))
        return records

    # -- in lanes

    def _in_lanes(
        self, recipes: Sequence[NamedRecipe], requests: Sequence[Request], reports: RunReports
    ) -> Iterator[RunRecord]:
        engine = self.fitting.engine()
        checkpoint = self._checkpoint(engine, requests[0], recipes[0].recipe)
        return in_lanes(engine, requests, reports, checkpoint)

    def _checkpoint(self, engine: Engine, request: Request, recipe: Recipe) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        data, fold = engine.data, engine.data.folds[0]
        rows = [*data.inputs, data.targets, *data.more_targets, data.weights, fold.train, fold.validation]
        return self._checkpoint_of(self.checkpoint, request, recipe, rows)

    def _checkpoint_of(
        self, folder: Path, request: Request, recipe: Recipe, rows: Iterable[torch.Tensor]
    ) -> Checkpoint:
        identity = identity_of_run(self.fitting, request, recipe, rows)
        return Checkpoint(folder, request.config, identity, differences)

    # -- one by one

    def _alone(
        self, recipes: Sequence[NamedRecipe], requests: Sequence[Request], reports: RunReports
    ) -> Iterator[RunRecord]:
        datasets, told = self.fitting.datasets, self.fitting.networks.told
        if datasets.is_streamed:
            sentence = f"The data are read anew in every epoch, one run after the other: {datasets.reason}."
            say_once(log, told, sentence)
        else:
            say_once(log, told, "With an optimizer of your own, runs train one after the other.")
        for named, request in zip(recipes, requests, strict=True):
            yield self._one(named, request, reports)

    def _one(self, named: NamedRecipe, request: Request, reports: RunReports) -> RunRecord:
        fitting, device = self.fitting, self.fitting.device
        module = fitting.start(request)
        program = fitting.program(module)
        source = RunBatches(fitting, request, leaves_out=program.mixes_rows)
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        run = SoloRun(
            program, fitting.kind, fitting.judging, request,
            weights=program.layout.flatten(tensors).to(device),
            buffers={name: tensors[name].detach().to(device) for name in program.buffers},
            batches=source.batches, size=source.size, make_optimizer=optimizer_of(named.recipe),
        )  # fmt: skip
        checkpoint = None
        if self.checkpoint is not None:
            checkpoint = self._checkpoint_of(self.checkpoint, request, named.recipe, source.tensors())
            if (content := checkpoint.read()) is not None:
                run.restore(content["tensors"])
                bring_up_to_date(run.lane, content)
                reports.restored(run.lane)
        saved_at = time.monotonic()
        while not run.lane.ended:
            for _ in range(min(fitting.evaluate_every, request.config.epochs - run.lane.epoch)):
                epoch = run.lane.epoch
                with fitting.draws_of(request.seed, epoch), closing(source.training(epoch)) as batches:
                    run.train(batches)
            with fitting.draws_of(request.seed, -run.lane.epoch), closing(source.validation()) as batches:
                run.evaluate(batches, source.again())
            reports.advanced([run.lane])
            if checkpoint is not None and _is_due(run.lane, saved_at):
                checkpoint.write(run.tensors(), run.lane)
                saved_at = time.monotonic()
        return run.record()


class _UnscoredEpochs(Listener):
    """Says once that the metric gave no number, although the loss is one."""

    def __init__(self, metric: Metric, told: dict[str, object]) -> None:
        self._metric, self._told = metric, told

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> None:
        metric, figure = self._metric, values["validation_metric"]
        if math.isfinite(figure) or not math.isfinite(values["validation_loss"]):
            return
        sentence = f"The metric {metric.name} gave {figure:g} in an epoch: one without a number is never the best."
        say_once(log, self._told, sentence)


def require_scores(metric: Metric | None, records: Sequence[RunRecord]) -> None:
    """Raise OptionError where the metric gave no number for any run, although training did not diverge."""
    unscored = [record for record in records if is_unscored(record)]
    if metric is not None and len(unscored) == len(records) > 0:
        figures = {figure for record in unscored for figure in record.curves.validation_metric}
        of = f"all {len(records)} runs" if len(records) > 1 else ""
        raise OptionError(words_of_unscored(metric, figures, of))


def in_lanes(
    engine: Engine,
    requests: Sequence[Request],
    reports: RunReports,
    checkpoint: Checkpoint | None = None,
) -> Iterator[RunRecord]:
    """Train every request, those of one structure at once; `reports` tells of each evaluation.

    How wide and whether compiled follows from the requests alone, so that the same ones give the same bits again.
    """
    by_structure: dict[Structure, deque[Request]] = {}
    for request in requests:
        by_structure.setdefault(Structure.of(request.config), deque()).append(request)
    try:
        for structure, waiting in by_structure.items():
            engine.compilation.how = "wait" if _repays_compiling(engine, structure, waiting) else "never"
            lanes = min(len(waiting), MOST_LANES, _lanes_in_memory(engine, structure))
            yield from _population(engine, engine.population(structure, lanes), waiting, reports, checkpoint)
            del engine.populations[structure]
    finally:
        engine.close()


def _population(
    engine: Engine,
    population: Population,
    waiting: deque[Request],
    reports: RunReports,
    checkpoint: Checkpoint | None,
) -> Iterator[RunRecord]:
    saved_at = time.monotonic()
    while waiting or population.lanes:
        is_new = bool(waiting) and not population.lanes
        engine.admit(population, [waiting.popleft() for _ in range(min(population.free, len(waiting)))])
        if checkpoint is not None and is_new and (content := checkpoint.read()) is not None:
            population.put_back(0, content["tensors"])
            bring_up_to_date(population.lanes[0], content)
            reports.restored(population.lanes[0])
        if not all(lane.ended for lane in population.lanes):
            engine.advance(population)
            reports.advanced(population.lanes)
        if checkpoint is not None and _is_due(population.lanes[0], saved_at):
            checkpoint.write(population.taken_out(0), population.lanes[0])
            saved_at = time.monotonic()
        yield from engine.retire(population)


def _is_due(lane: Lane, saved_at: float) -> bool:
    return bool(lane.ended) or time.monotonic() - saved_at > CHECKPOINT_EVERY or len(lane.errors) == 1


def _lanes_in_memory(engine: Engine, structure: Structure) -> int:
    """Lanes whose weights, moments, best weights and gradients fit in a gibibyte."""
    program = engine.program(structure.network)
    numbers = 6 * program.layout.size + 2 * sum(value.numel() for value in program.buffers.values())
    return max(engine.threads, BYTES_OF_LANES // (4 * max(1, numbers)))


def _repays_compiling(engine: Engine, structure: Structure, requests: Collection[Request]) -> bool:
    """Whether a compiled step wins back what compiling takes; from what the runs hold, never from a clock."""
    rows, program = max(len(fold.train) for fold in engine.data.folds), engine.program(structure.network)
    size, batch = program.layout.size, min(structure.batch_size or rows, rows)
    steps = max(request.config.epochs for request in requests) * -(-rows // batch)
    operations = steps * len(requests) * (6 * size * batch + 40 * size)
    price = BY_FORMULA if isinstance(program, DerivingProgram) else THROUGH_VMAP
    seconds = price.products * operations * SECONDS_PER_OPERATION + steps * price.call
    return price.saved * seconds > price.times * SECONDS_OF_COMPILING
