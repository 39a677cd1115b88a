"""The search: propose, train, judge, remember, until the budget or the number of trials is spent.

Knows configs, lanes and trials; it knows no tables, and nothing of how results are shown.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy
import torch

from trimtab.errors import OptionError
from trimtab.knobs.domains import Value
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Compiling, Engine
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.metrics import Metric
from trimtab.training.run import NOT_FINITE, OUT_OF_BUDGET, PRUNED, Request, RunRecord
from trimtab.training.unscored import words_of_unscored
from trimtab.tuning import baselines
from trimtab.tuning.budget import Budget
from trimtab.tuning.earlier import source_after
from trimtab.tuning.flight import Flight, Flying
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.halving import Halving
from trimtab.tuning.hearing import Hearing, RunListener
from trimtab.tuning.held import best_of, may_be_model
from trimtab.tuning.pace import EVALUATION, FEWEST_EPOCHS, STEP, CompilingCost, Pace
from trimtab.tuning.repeats import Repeats
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import COMPLETE, FAILED, ActiveTrial, TrialRecord, TrialWeights, out_of_fold, rate_cuts
from trimtab.tuning.trial import PRUNED as PRUNED_TRIAL
from trimtab.tuning.writer import TrialWriter

WORK_IN_FLIGHT = 4e8
SHARE_OF_DEFAULT_MLP = 0.12
FULL_ENOUGH = 0.35
FAVOUR = 2.0
LAST_SHARE = 0.1
# So many trials without a score end a search. A guess: a metric that gives no number for these gives none at all.
MOST_UNSCORED = 8
# Lanes and trials that train at once where the trials are counted: fewer know more of each other, more are quicker.
LANES_IN_FLIGHT, FEWEST_IN_FLIGHT, MOST_IN_FLIGHT = 40, 8, 16


@dataclass(frozen=True)
class Progress:
    """Where a study stands; `best_score` is the `metric` as users read it, `seconds_left` infinite without a limit,
    `share` how much of the budget or of the trials is used up (0 to 1)."""

    phase: str
    seconds_left: float
    trials_done: int
    runs_done: int
    lanes_alive: int
    best_score: float | None
    best_trial: TrialRecord | None
    steps_per_second: float
    metric: str = ""
    share: float = 0.0


class Search:
    """One study's search; `run()` returns every finished trial, earlier calls' included."""

    def __init__(
        self,
        *,
        data: TrainingData,
        metric: Metric | None,
        space: SearchSpace,
        engine: Engine,
        folder: StudyFolder,
        writer: TrialWriter,
        budget: Budget,
        seed: int,
        max_trials: int | None,
        earlier: list[TrialRecord],
        flight: Flight,
        flying: Sequence[Flying] = (),
        baseline_names: Sequence[str] = baselines.BASELINES,
        listener: RunListener | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_baseline: Callable[[TrialRecord], None] = lambda record: None,
        on_best: Callable[[TrialRecord, TrialWeights], None] = lambda record, weights: None,
    ) -> None:
        self.data, self.metric, self.space, self.engine = data, metric, space, engine
        self.folder, self.writer, self.budget, self.seed, self.max_trials = folder, writer, budget, seed, max_trials
        self.hearing = Hearing(listener, engine.shown)
        self.on_progress, self.on_baseline, self.on_best = on_progress, on_baseline, on_best
        self.truth = data.truth(torch.arange(data.rows, device=data.device)).cpu() if data.outputs else torch.empty(0)
        self.weights = data.weights.cpu().double()
        self.flight = flight
        self.so_far = {each.so_far.number: each.so_far for each in flying if each.so_far is not None}
        if max_trials is None:
            earlier, flying = self._with_cut_ones(earlier), [each for each in flying if each.so_far is None]
        self.trials = list(earlier)
        self.tuned = sum(not record.name for record in earlier)
        # A baseline whose weights are lost could not be shown: it is made again.
        there = {r.name for r in earlier if not numpy.isfinite(r.error) or folder.has_weights(r.number)}
        self.baseline_names = set(baseline_names) - there
        self.runs_done = 0
        self.unscored: set[float] = set()  # what the metric gave in their place, of trials without a score
        numbers = [record.number for record in earlier] + [each.number for each in flying if each.number is not None]
        self.next_number = 1 + max(numbers, default=-1)
        self.lag = None if max_trials is None else _trials_in_flight(len(data.folds))
        self.halving = Halving(lag=self.lag)
        self.active: dict[int, ActiveTrial] = {}
        self.waiting = [
            (number, values)
            for number, values in (self._numbered(each) for each in flying if not (each.so_far and each.so_far.name))
            if values.keys() == space.domains.keys()
        ]
        self.repeats = Repeats(space.domains)
        self.source = source_after(
            earlier, self.waiting, space=space, seed=seed, lag=self.lag, first=self.next_number,
            trials_at_once=self._trials_at_once, repeats=self.repeats, halving=self.halving,
        )  # fmt: skip
        self.is_too_late = self.is_exhausted = False
        candidates = [*earlier, *self.so_far.values()]
        self.best = best_of(candidates, space.fixed)
        self.pace = Pace(engine)
        engine.compiling, engine.evaluations = self._how_to_compile, self._repays_compiled_evaluations
        self._started = time.monotonic()
        self._shown = 0.0

    # -- the whole of it

    def run(self) -> list[TrialRecord]:
        """Baselines, then trials until the budget ends, `max_trials` are done or every configuration was tried; in the
        order in which they began.

        With `max_trials` the outcome is the same in however many calls they are done: a trial follows from the seed,
        its number and those that were `lag` before it, and one that was cut short runs again.
        """
        with closing(self.source), self.hearing:
            if self.baseline_names:
                self._run_baselines()
            while not self.budget.is_over():
                self._refill()
                population = self._whose_turn()
                if population is None:
                    break
                self._advance(population)
            self._end_all()
        finished = {record.number for record in self.trials}
        cut = [record for number, record in self.so_far.items() if number not in finished]
        return sorted(self.trials + cut, key=lambda record: record.number)

    def _with_cut_ones(self, earlier: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Where the clock decides, trials that were cut short count as they are, as the last ones of this call will."""
        cut = list(self.so_far.values())
        self.so_far = {}
        for record in cut:
            self.writer.put(record, None, [])
        return sorted([*earlier, *cut], key=lambda record: record.number)

    @property
    def is_cut_by_time(self) -> bool:
        """Whether the time was over before as many trials were done as were asked for."""
        is_told = self.budget.stop.is_set() or self.budget.abort.is_set()
        is_done = self.max_trials is None or self.tuned >= self.max_trials or self.is_exhausted
        return not is_done and not is_told

    def _numbered(self, flying: Flying) -> tuple[int, dict[str, Value]]:
        """A trial that was in flight, without the knobs that are held still by now."""
        values = {name: value for name, value in flying.values.items() if name in self.space.domains}
        if flying.number is not None:
            return flying.number, values
        number = self._take_number()
        self.flight.add(number, values)
        return number, values

    # -- baselines

    def _run_baselines(self) -> None:
        layout = self.engine.program(baselines.LINEAR_NETWORK).layout
        config = baselines.linear_config(self.data.task)
        if baselines.MEAN in self.baseline_names:
            self._keep_baseline(baselines.MEAN, config, baselines.fit_mean(self.data, layout))
        if baselines.LINEAR in self.baseline_names and self._has_time_for(baselines.linear_seconds(self.data)):
            baselines.get_ready()
            started = time.monotonic()
            weights = baselines.fit_linear(self.data, layout, seed=self.seed)
            self._keep_baseline(baselines.LINEAR, config, weights, time.monotonic() - started)
        if baselines.DEFAULT_MLP in self.baseline_names:
            self._run_default_mlp()

    def _has_time_for(self, seconds: float) -> bool:
        """With a given number of trials time decides nothing."""
        return self.max_trials is not None or seconds < 0.25 * self.budget.search_left

    def _keep_baseline(self, name: str, config: Config, weights: TrialWeights, seconds: float = 0.0) -> None:
        folds = len(self.data.folds)
        record = TrialRecord(
            self._take_number(), name, {}, config, COMPLETE, self._pooled_error(weights.predictions),
            best_epochs=(0,) * folds, ended=("fitted",) * folds, seconds=seconds,
        )  # fmt: skip
        self._remember(record, weights, [])

    def _run_default_mlp(self) -> None:
        rows = self.data.most_training_rows
        natural = self.space.natural_epochs
        config = baselines.default_mlp_config(self.data.task, rows=rows, epochs=natural)
        cut = [record.number for record in self.so_far.values() if record.name == baselines.DEFAULT_MLP]
        number = cut[0] if cut else self._take_number()
        trial = ActiveTrial(number, baselines.DEFAULT_MLP, {}, config, len(self.data.folds), may_be_pruned=False)
        self._admit(trial)
        population = self.engine.populations[Structure.of(config)]
        deadline = time.monotonic() + SHARE_OF_DEFAULT_MLP * self.budget.search_left
        is_timed = self.max_trials is None
        while trial.number in self.active and not self.budget.is_over():
            self._advance(population)
            if is_timed and time.monotonic() > deadline:
                self._collect(self.engine.retire(population, OUT_OF_BUDGET))

    # -- proposing

    def _refill(self) -> None:
        while self._has_room():
            trial = self._next_trial()
            if trial is None:
                return
            self._admit(trial)

    def _has_room(self) -> bool:
        if self.is_too_late and self.pace.work_in_flight():
            return False
        if self.is_exhausted and not self.waiting:
            return False
        if self.max_trials is not None and self.tuned + len(self.active) >= self.max_trials:
            return False
        number = self.waiting[0][0] if self.waiting else self.next_number
        if self.lag is not None and min(self.active, default=number) <= number - self.lag:
            return False
        return self.pace.work_in_flight() < WORK_IN_FLIGHT

    def _next_trial(self) -> ActiveTrial | None:
        number, values = self.waiting.pop(0) if self.waiting else self._proposed()
        if values is None:
            self.is_exhausted = True
            return None
        config = self.space.config(values)
        if self._is_full(Structure.of(config)):
            self.waiting.insert(0, (number, values))
            return None
        epochs = config.epochs if self.max_trials is not None else self.pace.affordable_epochs(config, self.budget)
        if epochs < min(FEWEST_EPOCHS, config.epochs):
            if self.pace.work_in_flight() or self.budget.search_left < LAST_SHARE * self.budget.seconds:
                self._leave(number, values)
                self.is_too_late = True
                return None
            epochs = max(1, epochs)
        is_short = epochs < FULL_ENOUGH * config.epochs
        if epochs < config.epochs:
            config = self.space.config({**values, "epochs": epochs}, may_shorten=True)
        folds = len(self.data.folds)
        # The last trials have no time for a full run: a rung would judge them by how little they had.
        return ActiveTrial(number, "", dict(values), config, folds, may_be_pruned=not is_short)

    def _proposed(self) -> tuple[int, dict[str, Value] | None]:
        number = self.next_number
        values = self.source.next(number)
        return (number, None) if values is None else (self._take_number(), values)

    def _leave(self, number: int, values: dict[str, Value]) -> None:
        """There is no time for this trial; one of an earlier call stays in flight."""
        if number in self.flight:
            self.waiting.insert(0, (number, values))
            return
        self.source.forget(number)
        self.next_number = number

    def _is_full(self, structure: Structure) -> bool:
        population = self.engine.populations.get(structure)
        return population is not None and population.free < len(self.data.folds)

    def _trials_at_once(self, values: Mapping[str, Value]) -> int:
        """How many trials of this structure a population holds."""
        return self.engine.width(Structure.of(self.space.config(values))) // len(self.data.folds)

    # -- training

    def _admit(self, trial: ActiveTrial) -> None:
        structure = Structure.of(trial.config)
        population = self.engine.population(structure)
        self.active[trial.number] = trial
        requests = [Request(trial.number, trial.config, fold, self.seed) for fold in range(trial.folds)]
        self.engine.admit(population, requests)
        self.hearing.admitted(trial.name, requests, trial.folds)
        if not trial.name:
            self.flight.add(trial.number, trial.values)

    def _how_to_compile(self, population: Population) -> Compiling:
        """Beside a search against the clock, where it pays; before the first step, or not at all, where the number of
        trials is given: what a run comes to must not depend on when a compiler was ready, or on what lay on disk."""
        pays = self._repays(population, STEP)
        if self.max_trials is None:
            return "beside" if pays else "found"
        return "wait" if pays else "never"

    def _repays_compiled_evaluations(self, population: Population) -> bool:
        return self._repays(population, EVALUATION)

    def _repays(self, population: Population, what: CompilingCost) -> bool:
        if self.max_trials is None:
            return self.pace.repays_compiling(what, population.structure, self.budget)
        runs = self.max_trials * len(self.data.folds)
        return self.pace.repays_compiling_planned(what, population.structure, runs, self.space.natural_epochs)

    def _whose_turn(self) -> Population | None:
        """The population with lanes that has had the least work so far, the best trial's counting half.

        Work is counted, not timed, so that the order repeats.
        """
        alive = [p for p in self.engine.populations.values() if p.lanes]
        favoured = Structure.of(self.best.config) if self.best is not None else None
        return min(
            alive,
            key=lambda p: p.lane_steps * self.pace.cost(p.structure) / (FAVOUR if p.structure == favoured else 1.0),
            default=None,
        )

    def _advance(self, population: Population) -> None:
        before = time.monotonic()
        steps = population.lane_steps
        is_whole = self.engine.advance(population)
        seconds = time.monotonic() - before
        self.pace.note(population.structure, seconds, population.lane_steps - steps)
        for lane in population.lanes:
            if trial := self.active.get(lane.request.trial):
                trial.seconds += seconds / len(population.lanes)
        self.hearing.advanced(population.lanes)
        if is_whole or self.lag is None:
            self._judge(population)
        else:
            # Half a round says nothing that the whole one would have said, even of a lane that it ends.
            for lane in population.lanes:
                lane.ended = OUT_OF_BUDGET
        self._collect(self.engine.retire(population))
        self._show()

    def _judge(self, population: Population) -> None:
        """Prune the trials of `population` that reached a rung and are not among its best."""
        by_trial: dict[int, list] = {}
        for lane in population.lanes:
            by_trial.setdefault(lane.request.trial, []).append(lane)
        for number in sorted(by_trial):
            trial, lanes = self.active[number], by_trial[number]
            if any(lane.ended == NOT_FINITE for lane in lanes):
                self._end(lanes, PRUNED)
                continue
            alive = [lane for lane in lanes if not lane.ended]
            if not trial.may_be_pruned or not alive:
                continue
            epoch = alive[0].epoch
            if self.halving.rung_due(trial.rung, epoch, trial.config.epochs):
                errors = [lane.error for lane in lanes] + [run.error for run in trial.runs]
                error = float(numpy.mean(errors))
                keeps = self.halving.keeps(trial.rung, error, number)
                trial.rung_errors.append(error)
                # A metric that has given no number so far says nothing against a trial whose losses are numbers.
                if not keeps and numpy.isfinite(error):
                    self._end(alive, PRUNED)

    @staticmethod
    def _end(lanes: list, reason: str) -> None:
        for lane in lanes:
            lane.ended = lane.ended or reason

    def _end_all(self) -> None:
        for population in self.engine.populations.values():
            self._collect(self.engine.retire(population, OUT_OF_BUDGET))

    # -- remembering

    def _collect(self, runs: list[RunRecord]) -> None:
        for run in runs:
            self.runs_done += 1
            self.hearing.ended(run)
            trial = self.active[run.request.trial]
            trial.runs.append(run)
            if trial.is_done:
                del self.active[trial.number]
                self._finish(trial)

    def _finish(self, trial: ActiveTrial) -> None:
        runs = sorted(trial.runs, key=lambda run: run.request.fold)
        predictions = out_of_fold(self.data, [run.predictions for run in runs])
        buffers = {name: torch.stack([run.buffers[name] for run in runs]).cpu() for name in runs[0].buffers}
        weights = TrialWeights(torch.stack([run.weights for run in runs]).cpu(), predictions, buffers)
        is_finite = all(numpy.isfinite(run.error) for run in runs)
        record = TrialRecord(
            number=trial.number,
            name=trial.name,
            values=trial.values,
            config=trial.config,
            state=self._state(runs, is_finite),
            error=self._error(runs, predictions) if is_finite else float("inf"),
            fold_errors=tuple(run.error for run in runs),
            best_epochs=tuple(run.best_epoch for run in runs),
            ended=tuple(run.ended for run in runs),
            seconds=trial.seconds,
            epochs=tuple(run.epochs for run in runs),
            cuts=tuple(rate_cuts(run.curves) for run in runs) if trial.config.schedule.name == "plateau" else (),
            rung_errors=tuple(trial.rung_errors),
        )
        if self.lag is not None and OUT_OF_BUDGET in record.ended:
            self._remember_cut(record, weights if is_finite else None, runs)
            return
        if not trial.name:
            self.source.tell(record)
        self._remember(record, weights if is_finite else None, runs)

    def _remember_cut(self, record: TrialRecord, weights: TrialWeights | None, runs: list[RunRecord]) -> None:
        """What a trial had come to when the search was ended: it may be the model, and runs again on the next call."""
        before = self.so_far.get(record.number)
        if weights is None or (before is not None and before.error <= record.error):
            return
        self.so_far[record.number] = record
        self.writer.put(record, weights, runs, is_cut=True)
        self._compare_with_best(record, weights)

    def _compare_with_best(self, record: TrialRecord, weights: TrialWeights | None) -> None:
        if record.state != COMPLETE or weights is None or not may_be_model(record, self.space.fixed):
            return
        if self.best is None or record.error < self.best.error:
            self.best = record
            self.on_best(record, weights)

    @staticmethod
    def _state(runs: list[RunRecord], is_finite: bool) -> str:
        ended = {run.ended for run in runs}
        if NOT_FINITE in ended or not is_finite:
            return FAILED
        return PRUNED_TRIAL if PRUNED in ended else COMPLETE

    def _remember(self, record: TrialRecord, weights: TrialWeights | None, runs: list[RunRecord]) -> None:
        self.trials.append(record)
        self.tuned += not record.name
        # First, so that a study in which a trial is found has a model, whenever it is killed.
        self._compare_with_best(record, weights)
        if record.is_unscored:
            self._note_unscored(runs)
        self.writer.put(record, weights, runs)
        if record.name:
            self.on_baseline(record)
        self._show(at_once=bool(record.name))

    def _note_unscored(self, runs: list[RunRecord]) -> None:
        """Raises OptionError where the metric has given no number for any of the first trials: it never will."""
        self.unscored |= {figure for run in runs for figure in run.curves.validation_metric}
        if self.metric is None or len(self.trials) < MOST_UNSCORED or not all(r.is_unscored for r in self.trials):
            return
        raise OptionError(words_of_unscored(self.metric, self.unscored, f"the first {len(self.trials)} trials"))

    def _error(self, runs: list[RunRecord], predictions: numpy.ndarray) -> float:
        """The metric over all out-of-fold predictions; without a metric the mean of the runs' validation losses."""
        if self.metric is None or not self.data.outputs:
            return float(numpy.mean([run.error for run in runs]))
        return self._pooled_error(predictions)

    def _pooled_error(self, predictions: numpy.ndarray) -> float:
        assert self.metric is not None
        known = torch.from_numpy(~numpy.isnan(predictions).any(axis=1))
        lane = torch.from_numpy(predictions).double(), self.truth, self.weights
        return float(self.metric.error(*(part[known].unsqueeze(0) for part in lane))[0])

    def _take_number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def _share_done(self) -> float:
        """How much is used up of what ends the search: time or trials, whichever is further."""
        trials = self.tuned / self.max_trials if self.max_trials else 0.0
        return min(1.0, max(trials, self.budget.elapsed / self.budget.seconds))

    def _show(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown < 0.2 and not at_once:
            return
        self._shown = now
        self.on_progress(
            Progress(
                phase="searching",
                seconds_left=self.budget.shown_left,
                trials_done=len(self.trials),
                runs_done=self.runs_done,
                lanes_alive=sum(len(p.lanes) for p in self.engine.populations.values()),
                best_score=None if self.best is None else self.engine.shown(self.best.error),
                best_trial=self.best,
                steps_per_second=self.engine.lane_steps / max(1e-9, now - self._started),
                metric="validation loss" if self.metric is None else self.metric.name,
                share=self._share_done(),
            )
        )


def _trials_in_flight(folds: int) -> int:
    return max(FEWEST_IN_FLIGHT, min(MOST_IN_FLIGHT, LANES_IN_FLIGHT // folds))
