"""The search: propose, train, judge, remember, until the budget or the number of trials is spent.

Knows configs, lanes and trials; it knows no tables, and nothing of how results are shown.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing

import numpy

from trimtab.knobs.domains import Value
from trimtab.listeners.listeners import Listeners
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import Metric
from trimtab.training.programs.program import Layout
from trimtab.training.run import OUT_OF_BUDGET, RunRecord
from trimtab.tuning import baselines
from trimtab.tuning.admission import Admission
from trimtab.tuning.budget import Budget
from trimtab.tuning.earlier import proposals_after
from trimtab.tuning.flight import Flight, Flying
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.halving import Halving
from trimtab.tuning.ledger import Ledger
from trimtab.tuning.pace import Costs
from trimtab.tuning.progress import Progress
from trimtab.tuning.repeats import Repeats
from trimtab.tuning.scoring import Scoring
from trimtab.tuning.space import SearchSpace, is_guess
from trimtab.tuning.trainer import Trainer, Training
from trimtab.tuning.trial import COMPLETE, ActiveTrial, TrialRecord, TrialWeights
from trimtab.tuning.trial_queue import TrialQueue
from trimtab.tuning.writer import TrialWriter

# The share of the search that the default MLP may take: it is a yardstick, and seldom the model (a guess).
SHARE_OF_DEFAULT_MLP = 0.12
# The share of a budget for which it, and a linear baseline, wait for the first trial that is searched (a guess: of 15 s
# a first trial is stored after 4 to 7).
SHARE_OF_WAITING = 0.5
# Below so many rows a first trial takes no longer than a linear baseline with all that it imports (two seconds).
ROWS_OF_A_SHORT_TRIAL = 2_000
# The share of the search that a linear baseline may be expected to take (a guess).
SHARE_OF_LINEAR = 0.25
# Seconds between two frames of what is shown.
FRAME = 0.2
# Lanes and trials that train at once where the trials are counted: fewer know more of each other, more are quicker
# (guesses).
LANES_IN_FLIGHT, FEWEST_IN_FLIGHT, MOST_IN_FLIGHT = 40, 8, 16


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
        listeners: Listeners,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_best: Callable[[TrialRecord, TrialWeights], None] = lambda record, weights: None,
        train: Callable[..., Training] = Trainer,
    ) -> None:
        self.data, self.metric, self.space, self.engine = data, metric, space, engine
        self.folder, self.writer, self.budget, self.seed, self.max_trials = folder, writer, budget, seed, max_trials
        self.listeners, self.on_progress, self.flight = listeners, on_progress, flight
        self.scoring = Scoring(data, metric)
        cut = {each.so_far.number: each.so_far for each in flying if each.so_far is not None}
        if max_trials is None:
            earlier, flying = self._with_cut_ones(earlier, cut), [each for each in flying if each.so_far is None]
            cut = {}
        self.ledger = Ledger(earlier, cut, writer=writer, metric=metric, held=space.fixed, on_best=on_best)
        # A baseline whose weights are lost could not be shown: it is made again.
        there = {r.name for r in earlier if not numpy.isfinite(r.error) or folder.has_weights(r.number)}
        self.baseline_names = set(baseline_names) - there
        numbers = [record.number for record in earlier] + [each.number for each in flying if each.number is not None]
        self.queue = TrialQueue([], 1 + max(numbers, default=-1), flight=flight)
        self.queue.waiting = [
            (number, values)
            for number, values in (self._numbered(each) for each in flying if not (each.so_far and each.so_far.name))
            if values.keys() == space.domains.keys()
        ]
        self.lag = None if max_trials is None else _trials_in_flight(len(data.folds))
        # What a new search tries first is finished in the order in which it is tried, so that something good is there
        # soon; what comes later has its turns side by side.
        self._guessed: set[int] = set()
        halving = Halving(lag=self.lag)
        self.queue.proposals = proposals_after(
            earlier, self.queue.waiting, space=space, seed=seed, lag=self.lag, first=self.queue.next_number,
            trials_at_once=self._trials_at_once, repeats=Repeats(space.domains), halving=halving,
        )  # fmt: skip
        self.training = train(
            engine, halving, budget, max_trials=max_trials, epochs=space.natural_epochs, seed=seed, listeners=listeners
        )
        self._admissions: dict[Costs, Admission] = {}
        self._favour_best()
        self._started = time.monotonic()
        self._shown = 0.0

    # -- the whole of it

    def run(self) -> list[TrialRecord]:
        """Baselines, then trials until the budget ends, `max_trials` are done or every configuration was tried; in the
        order in which they began.

        With `max_trials` the outcome is the same in however many calls they are done: a trial follows from the seed,
        its number and those that were `lag` before it, and one that was cut short runs again.
        """
        with closing(self.queue.proposals), self.listeners:
            if self.baseline_names:
                self._run_baselines()
            while not self.budget.is_over():
                self._refill()
                if not self.training.active:
                    break
                # The first trial is waited for: what goes beside it would keep it longer.
                self._finish(self.training.turn(self._guessed, alone=self.tuned == 0))
                self._run_waiting_baselines()
            if not self.budget.is_over():
                self._run_linear()
            self._run_default_mlp()
            self._finish(self.training.end_all())
        return self.ledger.all

    def _with_cut_ones(self, earlier: Sequence[TrialRecord], cut: Mapping[int, TrialRecord]) -> list[TrialRecord]:
        """Where the clock decides, trials that were cut short count as they are, as the last ones of this call will."""
        for record in cut.values():
            self.writer.put(record, None, [])
        return sorted([*earlier, *cut.values()], key=lambda record: record.number)

    @property
    def tuned(self) -> int:
        """How many trials are finished, baselines aside."""
        return self.ledger.tuned

    @property
    def unscored(self) -> set[float]:
        """What the metric gave in the place of a score."""
        return self.ledger.unscored

    @property
    def is_cut_by_time(self) -> bool:
        """Whether the time was over before as many trials were done as were asked for."""
        is_told = self.budget.stop.is_set() or self.budget.abort.is_set()
        is_done = self.max_trials is None or self.tuned >= self.max_trials or self.queue.is_exhausted
        return not is_done and not is_told

    def _numbered(self, flying: Flying) -> tuple[int, dict[str, Value]]:
        """A trial that was in flight, without the knobs that are held still by now."""
        values = {name: value for name, value in flying.values.items() if name in self.space.domains}
        if flying.number is not None:
            return flying.number, values
        number = self.queue.take_number()
        self.flight.add(number, values)
        return number, values

    # -- baselines

    def _run_baselines(self) -> None:
        if baselines.MEAN in self.baseline_names:
            self._keep_fitted(baselines.MEAN, baselines.fit_mean(self.data, self._linear_layout))
        if self.max_trials is not None or self.data.rows >= ROWS_OF_A_SHORT_TRIAL:
            self._run_linear()
        if self.max_trials is not None:
            self._run_default_mlp()

    def _run_waiting_baselines(self) -> None:
        """Those whose turn it is: against the clock they wait for the first trial, which is what somebody waits for,
        but not for long. The default MLP never trains in the place of others."""
        is_waited_for = self.tuned == 0 and self._share_done() < SHARE_OF_WAITING
        if is_waited_for or self.budget.is_over():
            return
        self._run_linear()
        if baselines.DEFAULT_MLP not in self.baseline_names:
            return
        others = self.engine.populations.get(Structure.of(self._default_mlp_config()))
        if others is None or not others.lanes:
            self._run_default_mlp()

    def _run_linear(self) -> None:
        """Once, where there is time for it."""
        if baselines.LINEAR not in self.baseline_names:
            return
        self.baseline_names.discard(baselines.LINEAR)
        if not self._has_time_for(baselines.linear_seconds(self.data)):
            return
        baselines.get_ready()
        started = time.monotonic()
        weights = baselines.fit_linear(self.data, self._linear_layout, seed=self.seed)
        self._keep_fitted(baselines.LINEAR, weights, time.monotonic() - started)

    @property
    def _linear_layout(self) -> Layout:
        return self.engine.program(baselines.LINEAR_NETWORK).layout

    def _default_mlp_config(self) -> Config:
        rows, epochs = self.data.most_training_rows, self.space.natural_epochs
        return baselines.default_mlp_config(self.data.task, rows=rows, epochs=epochs)

    def _has_time_for(self, seconds: float) -> bool:
        """With a given number of trials time decides nothing."""
        return self.max_trials is not None or seconds < SHARE_OF_LINEAR * self.budget.search_left

    def _keep_fitted(self, name: str, weights: TrialWeights, seconds: float = 0.0) -> None:
        folds, config = len(self.data.folds), baselines.linear_config(self.data.task)
        record = TrialRecord(
            self.queue.take_number(), name, {}, config, COMPLETE, self.scoring.pooled_error(weights.predictions),
            best_epochs=(0,) * folds, ended=("fitted",) * folds, seconds=seconds,
        )  # fmt: skip
        self._remember(record, weights, [])

    def _run_default_mlp(self) -> None:
        """Once, and where there is still time for an epoch of it."""
        is_late = self.max_trials is None and self.budget.is_over()
        if baselines.DEFAULT_MLP not in self.baseline_names or is_late:
            return
        self.baseline_names.discard(baselines.DEFAULT_MLP)
        config = self._default_mlp_config()
        cut = [record.number for record in self.ledger.cut.values() if record.name == baselines.DEFAULT_MLP]
        number = cut[0] if cut else self.queue.take_number()
        trial = ActiveTrial(number, baselines.DEFAULT_MLP, {}, config, len(self.data.folds), may_be_pruned=False)
        deadline = time.monotonic() + SHARE_OF_DEFAULT_MLP * self.budget.search_left
        for through in self.training.beside_all(trial, deadline if self.max_trials is None else None):
            self._finish(through)

    # -- proposing

    def _refill(self) -> None:
        places = self.training.places()
        # After one has waited for a place: what was given back meanwhile comes before anything new.
        for trial in sorted(self.training.given_back(), key=lambda trial: -trial.number):
            self.queue.put_back(trial.number, trial.values)
        begun = []
        for place in places:
            admission = self._admission(place.pace)
            while not self._waits_for_first:
                trial = admission.next(self.training.active, self.tuned)
                if trial is None:
                    break
                place.admit(trial)
                begun.append((trial.number, trial.values))
                if is_guess(self.space, trial.values):
                    self._guessed.add(trial.number)
        if begun:
            self.flight.add_all(begun)

    @property
    def _waits_for_first(self) -> bool:
        """Whether the first trial is on its way, against the clock: those of its structure would slow its steps. Not
        where there are workers, of which none is to wait for another."""
        is_alone = self.max_trials is None and not self.training.workers
        return is_alone and self.tuned == 0 and bool(self.training.active)

    def _admission(self, pace: Costs) -> Admission:
        if pace not in self._admissions:
            self._admissions[pace] = Admission(
                self.space, pace, queue=self.queue, budget=self.budget, max_trials=self.max_trials, lag=self.lag
            )
        return self._admissions[pace]

    def _trials_at_once(self, values: Mapping[str, Value]) -> int:
        """How many trials of this structure a population holds."""
        return self.engine.width(Structure.of(self.space.config(values))) // len(self.data.folds)

    # -- remembering

    def _finish(self, through: Iterable[ActiveTrial]) -> None:
        """Remember trials whose runs have ended, and show where the search stands."""
        for trial in through:
            self._finish_trial(trial)
        self._show()

    def _finish_trial(self, trial: ActiveTrial) -> None:
        if self.lag is None and not trial.name and not any(run.epochs for run in trial.runs):
            return  # the time was over before its first epoch: it stays in flight, and is the first of the next call
        record, weights = self.scoring.of(trial)
        runs = sorted(trial.runs, key=lambda run: run.request.fold)
        if self.lag is not None and OUT_OF_BUDGET in record.ended:
            self.ledger.add_cut(record, weights, runs)
            self._favour_best()
            return
        if not trial.name:
            self.queue.proposals.tell(record)
        self._remember(record, weights, runs)

    def _remember(self, record: TrialRecord, weights: TrialWeights | None, runs: list[RunRecord]) -> None:
        self.ledger.add(record, weights, runs)
        self._favour_best()
        if record.name:
            self.listeners.baseline(record.name, self._metric_name, self.engine.judging.shown(record.error))
        self._show(at_once=bool(record.name))

    def _favour_best(self) -> None:
        best = self.ledger.best
        self.training.favoured = None if best is None else Structure.of(best.config)

    def _share_done(self) -> float:
        """How much is used up of what ends the search: time or trials, whichever is further."""
        trials = self.tuned / self.max_trials if self.max_trials else 0.0
        return min(1.0, max(trials, self.budget.elapsed / self.budget.seconds))

    def _show(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown < FRAME and not at_once:
            return
        self._shown = now
        progress = Progress.of(
            "searching", self.budget, self.ledger.trials, self.ledger.best, metric=self.metric,
            runs_done=self.training.runs_done, lanes_alive=self.training.lanes,
            steps_per_second=self.training.lane_steps / max(1e-9, now - self._started), share=self._share_done(),
            workers=self.training.workers,
        )  # fmt: skip
        self.on_progress(progress)
        self.listeners.progress(progress)

    @property
    def _metric_name(self) -> str:
        return "validation loss" if self.metric is None else self.metric.name


def _trials_in_flight(folds: int) -> int:
    return max(FEWEST_IN_FLIGHT, min(MOST_IN_FLIGHT, LANES_IN_FLIGHT // folds))
