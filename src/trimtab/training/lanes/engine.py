"""Continuous batching: admit, step, evaluate, retire, refill.

Knows configs, folds and lanes; it knows no trials, tables, files or clocks. Whoever calls decides what is admitted and
what is pruned; `should_stop` is asked before every step.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

import numpy
import torch
from torch import Tensor, nn

from trimtab.errors import OptionError
from trimtab.knobs.knob import CUSTOM
from trimtab.machine import be_a_thread_of_lanes, no_denormals
from trimtab.training.compiling.compiler import Compiler, Wanted
from trimtab.training.compiling.libraries import Compiled, cache_folder
from trimtab.training.data import TrainingData
from trimtab.training.lanes import plans, signals
from trimtab.training.lanes.chunk import Chunk, Validated, Worker, chunks_of, rows_at_once
from trimtab.training.lanes.plans import Lane
from trimtab.training.lanes.population import Part, Population, Structure
from trimtab.training.lanes.precision import Precision, PrecisionCheck, gains_from_bfloat16, multiplying
from trimtab.training.lanes.widths import RememberedWidths, WidthTuner, lanes_at_once, threads_worth_it
from trimtab.training.metrics import Metric
from trimtab.training.programs.arguments import Signature
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.program import ModuleUse, Program
from trimtab.training.programs.step import NOTED_EVERY, Features, Rows
from trimtab.training.randomness import SeededGenerators, initialised, number_from, own_draws
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, STOPPED_EARLY, Request, RunRecord

Result = TypeVar("Result")
Factory = Callable[..., nn.Module]
Compiling = Literal["never", "found", "beside", "wait"]
MAX_LANES = 64
OPERATIONS_AT_ONCE = 4e8
NOTHING = Features(norms=False)
REMEMBERED_STARTS, MOST_REMEMBERED = 16, 1_000_000  # parameters of one


class Engine:
    """Trains runs of many structures over one data set, each structure as one population.

    Runs are judged by `metric`, or by their own validation loss where it is None, every `epochs_per_round` epochs (0:
    as often as costs little), and on up to `training_rows` training rows too. One that `judges_by_loss` notes the
    metric and chooses each run's best epoch by its own validation loss all the same. Where no fold has validation rows,
    nothing is chosen: a run keeps the weights that it ends with, and its error is its training loss.

    `compiling` says how the steps of a population are compiled: "never"; only where they are "found" on disk; "beside"
    the training, which goes on uncompiled meanwhile; or before the first of them, which has to "wait". Every compiled
    step has the features `always`, that it may serve whatever comes. Evaluations go the same way where `evaluations`
    says so of a population, and else are compiled at most where found. `precision` "medium" multiplies matrices in
    bfloat16 where the processor can, "auto" where that is quicker and a check on the first rounds finds no harm. With
    `keeps_signals` off only losses, metric and rate are noted. An engine that `measures_widths` works in an order that
    depends on the clock. Where the modules or the loss `draws` random numbers of its own, the engine works uncompiled,
    in one thread and lane by lane, with generators that follow from a lane's seed and epoch: what a run draws depends
    on no other run.
    """

    def __init__(
        self,
        data: TrainingData,
        metric: Metric | None,
        factory: Factory,
        *,
        use: ModuleUse | None = None,
        start: Callable[[Request], nn.Module] | None = None,
        threads: int = 1,
        compiling: Compiling | Callable[[Population], Compiling] = "never",
        always: Features = NOTHING,
        evaluations: Callable[[Population], bool] = lambda population: True,
        precision: Precision = "high",
        keeps_signals: bool = True,
        measures_widths: bool = False,
        epochs_per_round: int = 0,
        training_rows: int = 0,
        judges_by_loss: bool = False,
        draws: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.data, self.metric, self.factory, self.should_stop = data, metric, factory, should_stop
        self.threads, self.draws = 1 if draws else threads, draws
        self.compiling, self.precision, self.keeps_signals = compiling, precision, keeps_signals
        self.always, self.evaluations, self.measures_widths = always, evaluations, measures_widths
        self.use, self.start = use, start
        self.epochs_per_round, self.training_rows = epochs_per_round, training_rows
        self.judges_by_loss = judges_by_loss or metric is None
        self.compiler = Compiler(threads=self.threads)
        self.populations: dict[Structure, Population] = {}
        self.lane_steps = 0
        # A compiled step reads numbers row by row, whatever way a tensor lies.
        inputs = tuple(x.contiguous() for x in data.inputs)
        weights = torch.cat([data.weights, data.weights.new_zeros(1)])
        self.rows = Rows(inputs, data.targets.contiguous(), weights, data.more_targets)
        self._programs: dict[tuple, Program] = {}
        self._initials: dict[tuple, tuple[Tensor, dict[str, Tensor]]] = {}
        self._workers: dict[tuple, list[Worker]] = {}
        self._draws: list[SeededGenerators] = []  # of each lane, for a round
        self._building = threading.Lock()  # whoever proposes asks for widths from a thread of its own
        self._pool: ThreadPoolExecutor | None = None
        self._gives_up = False
        self._compiled: dict[Structure, Compiled | None] = {}
        self._evaluations: dict[Structure, Signature] = {}
        self._checks: dict[Structure, PrecisionCheck] = {}
        self._tuners: dict[str, WidthTuner] = {}

    def population(self, structure: Structure, lanes: int | None = None) -> Population:
        """The population of `structure`, opened on first use with `lanes` places (default: `width`)."""
        if structure not in self.populations:
            program = self.program(structure.network)
            capacity = lanes or self.width(structure)
            self.populations[structure] = Population(
                structure, program, self.data, capacity,
                epochs_per_round=self.epochs_per_round, training_rows=self.training_rows,
            )  # fmt: skip
        return self.populations[structure]

    def program(self, network: tuple) -> Program:
        with self._building:
            self._build(network)
        return self._programs[network]

    def _build(self, network: tuple) -> None:
        if network not in self._programs:
            module = initialised(lambda: self.factory(**dict(network)), seed=0)
            program = self._programs[network] = program_for(module.to(self.data.device), self.use)
            others = [program.for_another_thread() for _ in range(self.threads - 1)]
            self._workers[network] = [Worker(each) for each in (program, *others)]

    def width(self, structure: Structure) -> int:
        """Lanes that together make a step worth its overhead, a multiple of the folds: a rule, not a measurement."""
        folds = len(self.data.folds)
        batch = structure.batch_size or self.data.most_training_rows
        operations = 6 * batch * max(1, self.program(structure.network).layout.size)
        return max(folds, self.threads, int(min(MAX_LANES, OPERATIONS_AT_ONCE // operations)) // folds * folds)

    def admit(self, population: Population, requests: Iterable[Request]) -> None:
        """Start each request in a free lane, from the weights that `start` gives, or that follow from seed and fold."""
        for request in requests:
            if request.config.optimizer.name == CUSTOM:
                raise OptionError(
                    "An optimizer of your own cannot train lanes side by side: its runs train one by one."
                )
            population.admit(request, *self._initial(population, request))

    def _initial(self, population: Population, request: Request) -> tuple[Tensor, dict[str, Tensor]]:
        """The weights `[parameters]` and buffers that a run begins with; all trials of a search begin with the same."""
        if self.start is not None:
            return self._tensors(population, self.start(request))
        key = (population.structure, request.config.initial, request.seed, request.fold)
        if key not in self._initials:
            seed = number_from("run", request.seed, request.fold)
            module = initialised(partial(self.factory, **request.config.module_arguments), seed)
            start = self._tensors(population, module)
            if len(start[0]) > MOST_REMEMBERED:
                return start
            while len(self._initials) >= REMEMBERED_STARTS:
                del self._initials[next(iter(self._initials))]
            self._initials[key] = start
        return self._initials[key]

    def _tensors(self, population: Population, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        weights = population.program.layout.flatten(tensors)
        buffers = {name: tensors[name].detach() for name in population.program.buffers}
        return weights.to(self.data.device), buffers

    def advance(self, population: Population) -> bool:
        """Train every lane for one round (an epoch, or several short ones) and evaluate; False when told to stop."""
        population.arrange()
        self._draws = [own_draws(lane.request.seed, lane.epoch) for lane in population.lanes] if self.draws else []
        compiled, features = self._path(population)
        width, note = self._width(population, compiled)
        threads = self.threads if compiled is not None else threads_worth_it(population, self.threads)
        if population.is_changed or (width, threads) != population.chunked_for:
            is_exact = compiled is not None and compiled.fixed is not None
            population.chunks = chunks_of(population, width, 0 if is_exact else threads)
            population.is_changed, population.chunked_for = False, (width, threads)
        before, started = population.lane_steps, time.perf_counter()
        is_whole = self._train_as_precise_as_needed(population, compiled, features)
        if compiled is not None:
            population.compiled_steps += population.lane_steps - before
        if is_whole:
            note(width, (time.perf_counter() - started) / (population.lane_steps - before))
        if not is_whole and all(lane.curves.epoch for lane in population.lanes):
            return False
        for lane in population.lanes:
            lane.epoch = min(lane.epoch + population.epochs_per_round, lane.request.epochs)
        with multiplying("high"):
            self._evaluate(population)
        return is_whole

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

    # -- training

    def _path(self, population: Population) -> tuple[Compiled | None, Features]:
        """The compiled step that serves this population's lanes, if there is one, and what a step has to do."""
        needed = population.features | Features(norms=self.keeps_signals)
        held = self._compiled.get(population.structure)
        if held is not None and held.features.covers(needed) and held.features.averaging == needed.averaging:
            return held, held.features
        how: Compiling = self.compiling(population) if callable(self.compiling) else self.compiling  # type: ignore[assignment]
        if how == "never" or self.draws or self.data.device.type != "cpu" or self.data.loss is not None:
            return None, needed
        if not self._is_single(population.program):
            return None, needed
        dtype = torch.int32 if population.orders.dtype == numpy.int32 else torch.int64
        most = needed | self.always | Features(norms=True)
        # An average is a tensor of its own: a step writes one exactly where the population has one.
        most = replace(most, averaging=needed.averaging)
        signature = Signature.of(self.data.task, self.data.columns, self.rows, dtype, most)
        wanted = self._wanted(population, signature, how)
        if how == "wait":
            self.compiler.made(population.program, wanted)
        elif how == "beside" and not self.compiler.is_busy():
            self.compiler.prepare(population.program, wanted)
        found = self.compiler.ready(population.program, signature)
        self._compiled[population.structure] = found
        return (None, needed) if found is None else (found, found.features)

    def _is_single(self, program: Program) -> bool:
        """Whether all numbers of a step are float32, which compiled ones are written for."""
        numbers = (*program.buffers.values(), *self.data.inputs, self.data.weights)
        dtypes = {*program.layout.dtypes, *(x.dtype for x in numbers if x.is_floating_point() or x.is_complex())}
        return dtypes == {torch.float32}

    def _wanted(self, population: Population, signature: Signature, how: Compiling) -> list[Wanted]:
        """The step and, where that is worth it, the evaluation, for the lanes that a thread takes at once where the
        population is full, with the rows of a batch and those that are evaluated in one call."""
        lanes = min(lanes_at_once(population), max(1, population.capacity // self.threads))
        wanted = [Wanted(signature, (lanes, max(lane.size for lane in population.lanes)))]
        is_worth_it = self.evaluations(population)
        if is_worth_it:
            rows = min(rows_at_once(lanes), population.validation.rows.shape[1])
            wanted.append(Wanted(signature.for_evaluation(), (lanes, rows)))
        # Where the path is chosen beforehand, what lies on disk must not change it.
        if is_worth_it or how != "wait":
            self._evaluations[population.structure] = signature.for_evaluation()
        return wanted

    def _evaluation(self, population: Population) -> Compiled | None:
        """The compiled evaluation of this population's lanes, if its path is the compiled one and it is there."""
        wanted = self._evaluations.get(population.structure)
        return None if wanted is None else self.compiler.ready(population.program, wanted)

    def _seen(self, chunk: Chunk, worker: Worker, part: Part, *, watch: bool) -> Validated:
        """The chunk on its rows of `part`."""
        return chunk.validate(worker, self._evaluation(chunk.population), self.rows.inputs, part, watch=watch)

    def _width(self, population: Population, compiled: Compiled | None) -> tuple[int, Callable[[int, float], None]]:
        """Lanes that a thread takes at once in the coming round, and whom to tell how long it took per lane-step."""
        if compiled is not None and compiled.fixed is not None:
            return compiled.fixed[0], lambda width, seconds: None
        if self.draws:
            return 1, lambda width, seconds: None
        if not self.measures_widths or population.free > population.capacity // 4:
            return lanes_at_once(population), lambda width, seconds: None
        how = (compiled is not None, self.threads, self.precision)
        key = f"{population.structure} {population.capacity} {population.program.key} {how}"
        if key not in self._tuners:
            remembered = RememberedWidths(cache_folder() / "widths.json")
            self._tuners[key] = WidthTuner(population, self.threads, remembered=remembered, key=key)
        return self._tuners[key].width(), self._tuners[key].note

    def _train_as_precise_as_needed(
        self, population: Population, compiled: Compiled | None, features: Features
    ) -> bool:
        """A round in the precision that was asked for; with "auto" the first rounds are made both ways."""
        check = self._checks.setdefault(population.structure, PrecisionCheck())
        if self.precision != "auto" or check.chosen is not None or not gains_from_bfloat16(population):
            precision = self.precision if self.precision != "auto" else check.chosen or "high"
            before = population.lane_steps
            is_whole = self._train(population, compiled, features, precision)
            population.bfloat16_steps += (population.lane_steps - before) * (precision == "medium")
            return is_whole
        start, steps = population.snapshot(), self.lane_steps
        is_whole = self._train(population, compiled, features, "medium")
        medium, made = self._errors(population), self.lane_steps - steps
        population.restore(start)
        self.lane_steps -= made
        is_whole = is_whole and self._train(population, compiled, features, "high")
        if is_whole:
            check.note(self._errors(population), medium)
        return is_whole

    def _errors(self, population: Population) -> numpy.ndarray:
        """The metric's error of every lane as it stands."""

        def errors(chunk: Chunk, worker: Worker) -> Tensor:
            return self._error_of(self._seen(chunk, worker, population.validation, watch=False))[0]

        with multiplying("high"):
            return torch.cat(self._over_chunks(population, errors)).numpy(force=True)

    def _error_of(self, seen: Validated) -> tuple[Tensor, Tensor | None]:
        """Each lane's error, and its predictions in original units, if its outputs are any."""
        predictions = self.data.predictions(seen.outputs) if self.data.outputs else None
        if self.metric is None or predictions is None:
            return seen.losses.double(), predictions
        return self.metric.error(predictions, self.data.truth(seen.rows), seen.weights.double()), predictions

    def _train(self, population: Population, compiled: Compiled | None, features: Features, precision: str) -> bool:
        """Take every lane through a round; whether all of it was made."""
        population.totals.zero_()
        epochs = population.epochs_per_round
        own = numpy.array([lane.steps_of(epochs) for lane in population.lanes])
        optimizers = population.coefficients(0, len(population.lanes)).optimizers
        population.place_steps += population.capacity * int(own.max())
        with multiplying(precision):
            for window in plans.windows(population.lanes, epochs):
                plan = plans.plan(
                    population.lanes, optimizers, population.orders, epochs, window, self.data.device,
                    population.program.dropouts,
                )  # fmt: skip
                steps = numpy.clip(own - window[0], 0, window[1] - window[0])

                def train(chunk: Chunk, worker: Worker, plan=plan, steps=steps) -> int:
                    part = slice(chunk.first, chunk.last)
                    here = plan.of_lanes(part)
                    return chunk.train(worker, compiled, features, self.rows, here, steps[part], self._stops)

                if not self._count_steps(population, steps, self._over_chunks(population, train)):
                    return False
        return True

    def _over_chunks(self, population: Population, work: Callable[[Chunk, Worker], Result]) -> list[Result]:
        """What `work` gives for each chunk; each thread takes the next one that is left."""
        workers = self._workers[population.structure.network]
        chunks = population.chunks
        if self.draws:  # each chunk is one lane, and draws from generators of its own
            with no_denormals():
                return [self._drawing(chunk, work, workers[0]) for chunk in chunks]
        if len(chunks) == 1 or len(workers) == 1:
            with no_denormals():
                return [work(chunk, workers[0]) for chunk in chunks]
        results: list = [None] * len(chunks)
        left = deque(range(len(chunks)))

        def take_turns(worker: Worker) -> None:
            while left and not self._gives_up:
                try:
                    number = left.popleft()
                except IndexError:  # another thread was quicker
                    return
                results[number] = work(chunks[number], worker)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "trimtab-lanes", initializer=be_a_thread_of_lanes)
        turns = [self._pool.submit(take_turns, worker) for worker in workers]
        try:
            wait(turns, return_when=FIRST_EXCEPTION)
        finally:
            self._gives_up = True  # where one failed, nobody waits for what the others are at
            wait(turns)
            self._gives_up = False
        for turn in turns:
            turn.result()
        return results

    def _stops(self) -> bool:
        return self._gives_up or self.should_stop()

    def _drawing(self, chunk: Chunk, work: Callable[[Chunk, Worker], Result], worker: Worker) -> Result:
        with self._draws[chunk.first]:
            return work(chunk, worker)

    def close(self) -> None:
        """End the threads, and what is still being compiled; the engine may be used again all the same."""
        pool, self._pool = self._pool, None
        try:
            self.compiler.close()
        finally:
            if pool is not None:
                pool.shutdown()

    def _count_steps(self, population: Population, planned: numpy.ndarray, made: list[int]) -> bool:
        """Add the steps that were made to every lane's count; whether those were all that were planned."""
        done = numpy.concatenate([numpy.full(len(c), m) for c, m in zip(population.chunks, made, strict=True)])
        done = numpy.minimum(done, planned)
        for lane, steps in zip(population.lanes, done.tolist(), strict=True):
            lane.step += steps
        population.lane_steps += int(done.sum())
        self.lane_steps += int(done.sum())
        return bool((done == planned).all())

    # -- evaluating

    def _evaluate(self, population: Population) -> None:
        if not population.is_judged:
            self._note_training(population)
            return
        watch = self.keeps_signals
        pieces = self._over_chunks(population, lambda chunk, worker: self._validated(chunk, worker, watch=watch))
        errors = torch.cat([error for error, _ in pieces]).tolist()
        judged = torch.cat([self._judged(error, seen) for error, seen in pieces]).tolist()
        losses = torch.cat([seen.losses for _, seen in pieces]).tolist()
        idle = [lane.step == lane.evaluated_step for lane in population.lanes]  # told to stop before the first step
        noted = self._noted(population, [seen for _, seen in pieces])
        noted["train_metric"] = self._on_training_rows(population)
        for place, (lane, error, loss) in enumerate(zip(population.lanes, judged, losses, strict=True)):
            if error < lane.error:
                lane.error, lane.best_epoch = error, lane.epoch
            values = {name: column[place] for name, column in noted.items()}
            values |= {"epoch": lane.epoch, "validation_loss": loss, "validation_metric": self.shown(errors[place])}
            lane.curves.append(values)
            lane.errors.append(error)
            lane.schedule.observe(error, lane.epoch)
            train_loss = values["train_loss"]
            lane.ended = "" if idle[place] else why_ended(lane, error, loss=loss, train_loss=train_loss)

    def _note_training(self, population: Population) -> None:
        """Where no rows judge, a run is as good as its training loss, and its weights are those it ends with."""
        noted = self._noted(population, [])
        noted["train_metric"] = self._on_training_rows(population)
        population.keep_best(0, numpy.ones(len(population.lanes), dtype=bool), None)
        for place, lane in enumerate(population.lanes):
            values = {name: column[place] for name, column in noted.items()}
            loss = values["train_loss"]
            lane.error, lane.best_epoch = loss, lane.epoch
            nothing = dict.fromkeys(("validation_loss", "validation_metric"), math.nan)
            lane.curves.append(values | nothing | {"epoch": lane.epoch})
            lane.errors.append(loss)
            lane.schedule.observe(loss, lane.epoch)
            lane.ended = why_ended(lane, loss, loss=loss, train_loss=loss)

    def _judged(self, errors: Tensor, seen: Validated) -> Tensor:
        """What decides which epoch of each lane is its best: the metric; the validation loss where there is none, or
        where it says nothing, as roc_auc does of a fold in which one of the two classes is missing."""
        if self.judges_by_loss or self.metric is None:
            return seen.losses.double()
        instead = seen.losses.double() if self.metric.is_binary_only else torch.nan
        return torch.where(errors.isfinite(), errors, instead)

    def shown(self, error: float) -> float:
        """The figure users read."""
        return error if self.metric is None else self.metric.shown(error)

    def _on_training_rows(self, population: Population) -> list[float]:
        """The metric of every lane on rows that it trains on, in evaluation mode; NaN where nobody asked."""
        part = population.training
        if part is None:
            return [math.nan] * len(population.lanes)
        pieces = self._over_chunks(
            population, lambda chunk, worker: self._error_of(self._seen(chunk, worker, part, watch=False))[0]
        )
        return [self.shown(error) for error in torch.cat(pieces).tolist()]

    def _validated(self, chunk: Chunk, worker: Worker, *, watch: bool) -> tuple[Tensor, Validated]:
        """The error of each of the chunk's lanes; keeps the weights of those that just did their best."""
        population = chunk.population
        seen = self._seen(chunk, worker, population.validation, watch=watch)
        errors, predictions = self._error_of(seen)
        before = torch.tensor([lane.error for lane in population.lanes[chunk.first : chunk.last]], dtype=torch.float64)
        population.keep_best(chunk.first, (self._judged(errors, seen).cpu() < before).numpy(), predictions)
        return errors, seen.without_rows()

    def _noted(self, population: Population, seen: list[Validated]) -> dict[str, list]:
        """The signals of all lanes since their last evaluation, by name."""
        lanes, count = population.lanes, len(population.lanes)
        totals = population.totals[:count].cpu()
        steps = torch.tensor([lane.steps_since_evaluation() for lane in lanes], dtype=torch.float32)
        rates = [lane.last_rate() for lane in lanes]
        nothing = [math.nan] * count
        noted: dict[str, list] = {"train_loss": signals.train_loss(totals).tolist(), "learning_rate": rates}
        if not self.keeps_signals or not seen:
            scalars = ("gradient_norm", "update_ratio", "noise_scale", "dead_units", "saturated_units")
            parts = ("gradient_norms", "dead_by_layer", "saturated_by_layer")
            return noted | dict.fromkeys(scalars, nothing) | dict.fromkeys(parts, [[]] * count)
        squares = signals.squared_norms(totals, (steps / NOTED_EVERY).ceil())
        configs = [lane.request.config for lane in lanes]
        rows = torch.tensor([lane.size for lane in lanes], dtype=torch.float32)
        made = torch.tensor([lane.step for lane in lanes])
        first = torch.linalg.vector_norm(population.first[:count], dim=1).cpu()
        dead, saturated, units = signals.of_layers([piece.activity for piece in seen], count)
        return noted | {
            "gradient_norm": squares.sum(1).sqrt().tolist(),
            "gradient_norms": squares.sqrt().tolist(),
            "update_ratio": torch.cat([chunk.update_ratio for chunk in population.chunks]).tolist(),
            "noise_scale": signals.noise_scale(configs, squares.sum(1), first, made, rows).tolist(),
            "dead_by_layer": dead.tolist(),
            "saturated_by_layer": saturated.tolist(),
            "dead_units": signals.mean_over_layers(dead, units).tolist(),
            "saturated_units": signals.mean_over_layers(saturated, units).tolist(),
        }


def why_ended(lane: Lane, error: float, *, loss: float, train_loss: float) -> str:
    """Why the run in `lane` is over after this evaluation; "" where it goes on.

    A metric alone that gives no number ends no run: it may give one later, and training has not diverged.
    """
    is_lost = not (numpy.isfinite(error) or numpy.isfinite(loss))
    if is_lost or not numpy.isfinite(train_loss):
        return NOT_FINITE
    if lane.epoch >= lane.request.epochs:
        return ALL_EPOCHS
    return STOPPED_EARLY if lane.stopping.should_stop(lane.epoch, train_loss, error) else ""
