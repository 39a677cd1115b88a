"""TableWork: what a call does for a table beside the search: the engine, a model that is always there, and the result.

Knows the subject, its folder and the floors below; it searches nothing itself.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy

from trimtab.errors import StudyError
from trimtab.findings.data.before_training import before_training
from trimtab.findings.data.seconds import seconds_for
from trimtab.findings.document import keep_before, save
from trimtab.findings.finding import Findings
from trimtab.model.model import Model, build
from trimtab.model.tensors import with_test_rows
from trimtab.studies import choice, learnt_neighbours
from trimtab.studies.all_rows import AllRows
from trimtab.studies.call import Call
from trimtab.studies.choice import Chosen
from trimtab.studies.counterfactuals.ensemble import Ensemble, ensemble_of_table
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.grounds import ground_of_table
from trimtab.studies.deciding import words_of_factors
from trimtab.studies.flow import Counted, SearchResult, training_report
from trimtab.studies.judged import Judged, Yardstick, judge, predictions_frame
from trimtab.studies.learnt_neighbours import Allowance, Lesson
from trimtab.studies.remembering import Recalled, affordable, recalled
from trimtab.studies.reserve import MOST_OF_FINISH, finishing_seconds
from trimtab.studies.table_findings import Searched, after_search, boosted_tree, boosted_tree_seconds, seconds_after
from trimtab.studies.table_subject import TableSubject
from trimtab.table.encode import Encoder
from trimtab.table.folds import folds_frame
from trimtab.table.target import TargetEncoder
from trimtab.training.data import TrainingData
from trimtab.training.lanes.compilation import Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.precision import Precision
from trimtab.training.lanes.signals import Signals
from trimtab.training.metrics import Metric
from trimtab.training.programs.step import Features
from trimtab.tuning import calls
from trimtab.tuning.baselines import BASELINES, FITTED_BASELINES
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.held import best_of, may_be_model, words_of_better, words_of_less_than_held, words_of_no_trial
from trimtab.tuning.notices import Edge, edges
from trimtab.tuning.progress import Progress
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.verdicts import EARLIER, FOLDS, LEARNT, NEIGHBOURS
from trimtab.tuning.words import cut_of
from trimtab.tuning.worker import EngineOf

# A guess: saved so often (seconds), the model in the folder is nearly the best there is, and saving takes no time.
MODEL_EVERY = 8.0
# When a first lesson of whom to ask is tried, in shares of the budget, and beside how many trials, of which three are
# baselines (guesses).
LESSON_TRIED_AT, TRIED_BESIDE = 0.3, 5
WORDS_OF_REMEMBERED = (
    "The model holds training rows, as a network sees them, with their targets, and asks those that are nearest: that "
    "was better out of fold. Where no row may leave this machine, search without them: --no-neighbours, or "
    "neighbours=False."
)


def _entry_of(recalled: Recalled, share: float) -> dict[str, Any]:
    """That of a result's ensemble."""
    if recalled.record is None:
        return {"trial": None, "name": LEARNT, "place": recalled.place, "share": share}
    return {"trial": recalled.record.number, "name": NEIGHBOURS, "share": share}


@dataclass(frozen=True)
class EngineOfTable:
    """Makes the engine of a table, here or on a worker: knows its columns and target, and holds none of its rows."""

    encoder: Encoder
    target: TargetEncoder
    metric: Metric
    precision: Literal["high", "auto"]
    only_losses: bool

    def __call__(self, data: TrainingData, threads: int, should_stop: Callable[[], bool]) -> Engine:
        return Engine(
            data,
            Modules(lambda **network: build(self.encoder, self.target, network)),
            Judging(self.metric),
            threads=threads,
            compilation=Compilation(always=Features(dropout=True)),
            precision=Precision(self.precision),
            signals=Signals(only_losses=self.only_losses),
            should_stop=should_stop,
        )


class TableWork:
    """The work of one call on `subject`, in its `folder`."""

    def __init__(self, subject: TableSubject, folder: StudyFolder, call: Call) -> None:
        self.subject, self.folder, self.call = subject, folder, call
        self.prepared, self.metric, self.held = subject.prepared, subject.metric, subject.space.fixed
        self.baselines: Sequence[str] = BASELINES if call.is_lasting else FITTED_BASELINES
        self._model_saved: float | None = None
        self._members: Sequence[Mapping[str, Any]] = ()
        self._findings = self._before_training()
        self._trees: numpy.ndarray | None = None
        self.seconds_of_trees, self._are_trees_due = 0.0, True
        self._is_lesson_tried = not call.is_timed
        if call.is_lasting:
            folder.save_folds(folds_frame(self.prepared.folds, self.prepared.development_rows))
        request = subject.request
        self.build = partial(build, self.prepared.encoder, self.prepared.target_encoder)
        self.lessons, self.seconds_to_learn = self._planned_lessons()
        finishing = self._reserved()
        self.engine_of: EngineOf = EngineOfTable(
            self.prepared.encoder, self.prepared.target_encoder, subject.metric, request.precision,
            only_losses=not call.is_lasting,
        )  # fmt: skip
        self.engine = self.engine_of(subject.data, call.threads, call.budget.is_over)
        self.trained_elsewhere: Sequence[Counted] = ()
        self.all_rows = AllRows(
            self.prepared, self.engine, folder, call.budget, single=request.single, refits=request.refit,
            seed=request.seed, finishing=finishing, before=self.seconds_to_learn, say=call.listeners.notice,
            is_timed=call.is_timed,
        )  # fmt: skip

    def _before_training(self) -> Findings:
        """What is wrong with the rows, as far as can be said now; of a study that is lost at once nobody would know."""
        if not self.call.is_lasting:
            return Findings()
        budget = self.call.budget
        seconds = seconds_for(budget.seconds if budget.is_limited else None, self.call.trials)
        found = before_training(
            self.prepared, metric=self.metric.name, seconds=seconds, seed=self.subject.request.seed
        )  # fmt: skip
        keep_before(self.folder, found)
        self.call.listeners.findings(found)
        return found

    def _keep_findings(self, result: dict[str, Any], chosen: Chosen, found_edges: list[Edge]) -> None:
        """Say what is wrong with rows, search and result, and write it down."""
        budget = self.call.budget
        seconds = seconds_after(
            budget.seconds if budget.is_limited else None, budget.seconds - budget.elapsed, self.call.trials,
            explaining=self.call.explaining,
        )  # fmt: skip
        if budget.stop.is_set():
            seconds = 0.0  # somebody waits for the end
        searched = Searched(result, chosen.predictions, chosen.nested, found_edges, chosen.decision.nested)
        found = after_search(
            self.prepared, self.metric, searched, self._findings, seconds=seconds, seed=self.subject.request.seed,
            trees=self._trees,
        )  # fmt: skip
        save(self.folder, found)

    def _grow_trees(self) -> None:
        """Note what boosted trees predict out of fold, where the time for counterfactuals is to pay for them. They are
        grown when the first network is there, which is what somebody waits for: what is left at the end of a budget is
        often nothing."""
        call, budget, began = self.call, self.call.budget, time.monotonic()
        self._are_trees_due = False
        if not (call.is_lasting and call.explaining and budget.is_limited):
            return
        most = seconds_after(budget.seconds, budget.left, None, explaining=call.explaining)
        if boosted_tree_seconds(self.prepared) <= most:
            self._trees = boosted_tree(self.prepared, self.metric, seed=self.subject.request.seed)
            self.seconds_of_trees = time.monotonic() - began

    def _reserved(self) -> float:
        """Keep enough time for the ensemble, the test and saving, and give how many seconds that is."""
        budget, single = self.call.budget, self.subject.request.single
        if budget.is_limited:
            wanted = finishing_seconds(
                self.prepared, self.metric, budget=budget.seconds, single=single, lessons=len(self.lessons)
            )  # fmt: skip
            finishing = min(MOST_OF_FINISH * budget.seconds, wanted)
            budget.reserve = finishing + self.seconds_to_learn
            return finishing
        return budget.reserve

    def _planned_lessons(self) -> tuple[Sequence[Lesson], float]:
        """What networks are to learn of whom to ask, and the seconds of a budget that are kept for it."""
        budget = self.call.budget
        if self.subject.request.single or not self._may_remember:
            return (), 0.0
        known = learnt_neighbours.lessons_for(self.subject.data.task, self.held)
        lessons = learnt_neighbours.affordable(known, self.prepared, budget.seconds)
        if not budget.is_limited:
            return lessons, 0.0
        least, wanted = learnt_neighbours.seconds_wanted(
            lessons, self.subject.data, self.build, self.metric, threads=self.call.threads
        )  # fmt: skip
        most = learnt_neighbours.SHARE_OF_BUDGET * self._seconds_to_search
        return (lessons, min(most, wanted)) if least <= most else ((), 0.0)

    @property
    def _seconds_to_search(self) -> float:
        """Those of the budget without what is kept for counterfactuals."""
        return (1 - self.call.explaining) * self.call.budget.seconds

    @property
    def _may_remember(self) -> bool:
        """Not where it is to be left out, or where the rows to come are later ones, to which no row that is remembered
        is near in time."""
        return self.subject.request.neighbours and self.prepared.split.latest is None

    # -- while the search runs

    def progressed(self, progress: Progress) -> None:
        """See early whether it is worth its time that networks learn whom to ask; the search has what is not."""
        budget = self.call.budget
        is_due = progress.share >= LESSON_TRIED_AT and progress.trials_done >= TRIED_BESIDE
        if self._is_lesson_tried or not is_due or not self.seconds_to_learn or self.call.workers is not None:
            return
        self._is_lesson_tried = True
        found = [
            weights.predictions for weights in map(self.folder.load_weights, self.folder.kept_weights()) if weights
        ]
        if not learnt_neighbours.is_promising(
            self.lessons, self.subject.data, self.build, self.metric, found, threads=self.call.threads,
            seconds=learnt_neighbours.SHARE_OF_TRYING * self._seconds_to_search, seed=self.subject.request.seed,
            is_over=budget.is_told_to_end,
        ):  # fmt: skip
            budget.reserve = max(self.all_rows.finishing, budget.reserve - self.seconds_to_learn)
            self.lessons, self.seconds_to_learn, self.all_rows.before = (), 0.0, 0.0

    def found_better(self, record: TrialRecord, weights: TrialWeights) -> None:
        """Keep a usable model in the folder while the search runs, so that a killed study can predict."""
        self.all_rows.reserve_for(record)
        if not record.name and self._are_trees_due:
            self._grow_trees()
        if self._model_saved is not None and time.monotonic() - self._model_saved < MODEL_EVERY:
            return
        member = choice.scored_member(self.prepared, record, weights)
        known = choice.calibration_of(self.prepared, weights.predictions)
        Model(self.prepared.encoder, self.prepared.target_encoder, (member,), known).save(self.folder.model)
        self._model_saved = time.monotonic()

    # -- when it has ended

    def outcome(self, trials: list[TrialRecord], unscored: set[float]) -> SearchResult:
        """Choose the model, save it, judge what was saved, and train it once more on all rows where that was asked."""
        subject, request, folder = self.subject, self.subject.request, self.folder
        self._tell_finishing(trials)
        chosen = choice.choose(
            self._candidates(trials), folder, subject.data, self.metric, single=request.single, recall=self._recalled,
            units=self.prepared.units, seed=request.seed,
        )  # fmt: skip
        folder.save_recalled({each.key: each.predictions for each, _ in chosen.recalled})
        model = self.all_rows.scored_model(chosen, trials)
        model.save(folder.model)
        model = Model.load(folder.model)
        if self.prepared.test is not None:
            calls.note(folder, tested=True)
        judged = self._judge(chosen, trials, model)
        if self.call.is_lasting:
            folder.save_predictions(predictions_frame(self.prepared, model, judged))
        result = self._result(chosen, trials, model, judged)
        self._members = result["ensemble"]
        self._compare_with_yardsticks(chosen, trials, judged)
        if request.refit:
            if self.all_rows.refit(chosen, with_test_rows(subject.data, self.prepared)):
                result["figures_of"] = FOLDS if self.prepared.test is None else EARLIER
            result["networks"] = Model.load(folder.model).networks
        found_edges = edges(chosen.winner, subject.space, trials=result["finished"])
        for edge in found_edges:
            self.call.listeners.notice(edge.words)
        if self.call.is_lasting:
            self._keep_findings(result, chosen, found_edges)
        return SearchResult(chosen.winner, result)

    def ground(self, winner: TrialRecord) -> Ground:
        return ground_of_table(self.subject, winner, self.call)

    def ensemble(self, winner: TrialRecord) -> Ensemble | None:
        return ensemble_of_table(self.subject, self.folder, winner, self._members)

    def _recalled(self, candidates: Sequence[tuple[TrialRecord, TrialWeights]]) -> list[Recalled]:
        """What training rows say as the best networks remember them, and as those do that learn whom to ask."""
        if not self._may_remember:
            return []
        budget, data = self.call.budget, self.subject.data

        def is_over() -> bool:
            return budget.is_limited and budget.left < 0

        known = recalled(
            candidates, data, lambda record: self.engine.program(record.config.network), self.metric,
            networks=affordable(self.prepared, budget.seconds), is_over=is_over,
        )  # fmt: skip
        if self.call.is_timed:
            allowance = Allowance(seconds=min(self.seconds_to_learn, budget.left - self.all_rows.finishing))
        else:
            allowance = Allowance.beside([record for record, _ in candidates], data)
        return known + learnt_neighbours.learnt(
            self.lessons, data, self.build, self.metric, allowance, threads=self.call.threads,
            seed=self.subject.request.seed, is_over=lambda: budget.is_told_to_end() or is_over(),
        )  # fmt: skip

    def _candidates(self, trials: list[TrialRecord]) -> list[TrialRecord]:
        """The trials that may be the model: a baseline that does not keep the knobs that are held still is a yardstick.

        Raises StudyError where nothing else was finished.
        """
        own = [record for record in trials if may_be_model(record, self.held)]
        if best_of(own, self.held) is None and best_of(trials, {}) is not None:
            go_on = (
                f" What was finished is kept: go on with --resume {self.folder.path}." if self.call.is_lasting else ""
            )
            raise StudyError(f"{words_of_no_trial(self.held)}{go_on}")
        return own

    def _compare_with_yardsticks(self, chosen: Chosen, trials: list[TrialRecord], judged: Judged) -> None:
        """Say which baselines are better and could not be the model, and which members keep less than was asked for."""
        score = judged.validation[self.metric.name]
        yardsticks = [record for record in trials if not may_be_model(record, self.held)]
        members = [record for record, _ in chosen.trials]
        texts = words_of_better(yardsticks, self.held, self.metric, score)
        if chosen.recalled:
            texts.append(WORDS_OF_REMEMBERED)
        if chosen.decision.factors:
            texts.append(words_of_factors(self.prepared.target_encoder.labels, chosen.decision.factors, self.metric))
        for text in [*texts, *words_of_less_than_held(members, self.held)]:
            self.call.listeners.notice(text)

    def _judge(self, chosen: Chosen, trials: list[TrialRecord], model: Model) -> Judged:
        """The model's figures beside those of the baselines, on the test rows or out of fold."""
        yardsticks = {
            record.name: Yardstick(self.all_rows.model_of([(record, 1.0)]), weights.predictions)
            for record in trials
            if record.name and (weights := self.folder.load_weights(record.number)) is not None
        }
        return judge(
            self.prepared, self.metric, model, out_of_fold=chosen.predictions, nested=chosen.nested,
            decisive=chosen.decision.nested, yardsticks=yardsticks, seed=self.subject.request.seed,
        )  # fmt: skip

    def _result(self, chosen: Chosen, trials: list[TrialRecord], model: Model, judged: Judged) -> dict[str, Any]:
        prepared = self.prepared
        fold = self.subject.data.folds[prepared.split.latest or 0]
        return {
            "out": str(self.folder.path),
            "task": prepared.schema.task,
            "metric": self.metric.name,
            **judged.document(self.metric.name),
            "trials": len(trials),
            "runs": sum(len(record.ended) for record in trials),
            "engine": training_report([*self.engine.populations.values(), *self.trained_elsewhere]),
            "config": chosen.winner.config.to_json(),
            "winner": chosen.winner.number,
            "ensemble": [
                *({"trial": each.number, "name": each.name, "share": share} for each, share in chosen.members),
                *(_entry_of(each, share) for each, share in chosen.recalled),
            ],
            "rows_remembered": model.rows_remembered,
            "networks": model.networks,
            "of_all_rows": sorted(self.all_rows.trained),
            "cut": {record.name: cut for record in trials if record.name and (cut := cut_of(record))},
            "figures_of": FOLDS if prepared.test is None and self.all_rows.trained else "model",
            "finished": sum(not record.name and record.state == COMPLETE for record in trials),
            "rows": {
                "train": len(fold.train),
                "valid": len(fold.validation),
                "test": 0 if prepared.test is None else prepared.test.height,
            },
        }

    def _tell_finishing(self, trials: list[TrialRecord]) -> None:
        best = best_of(trials, self.held)
        self.call.listeners.progress(Progress.of("finishing", self.call.budget, trials, best, metric=self.metric))
