"""Job: one call of `tune` at work, from the prepared table to the saved model and its figures.

Puts the floors below to work on what was asked; it parses no options and knows no terminal.
"""

import datetime
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trimtab.errors import StudyError
from trimtab.knobs.knob import Task
from trimtab.machine import available_memory
from trimtab.model.model import Model, build
from trimtab.model.tensors import training_data, with_test_rows
from trimtab.studies import finish
from trimtab.studies.all_rows import AllRows
from trimtab.studies.judged import Judged, Yardstick, judge, predictions_frame
from trimtab.studies.listeners import Listeners
from trimtab.studies.reserve import MOST_OF_FINISH, finishing_seconds
from trimtab.studies.results import Study
from trimtab.table.prepare import Prepared, prepare
from trimtab.training.lanes.engine import Engine
from trimtab.training.metrics import Metric, metric_for
from trimtab.training.programs.step import Features
from trimtab.tuning import calls
from trimtab.tuning.baselines import BASELINES, FITTED_BASELINES
from trimtab.tuning.budget import Budget
from trimtab.tuning.flight import Flight, Flying, in_flight
from trimtab.tuning.folder import StudyFolder, new_study
from trimtab.tuning.going_on import kept, words_of_a_cut, words_of_going_on
from trimtab.tuning.hearing import RunListener
from trimtab.tuning.held import best_of, may_be_model, words_of_better, words_of_less_than_held, words_of_no_trial
from trimtab.tuning.notices import edge_notices
from trimtab.tuning.progress import Progress
from trimtab.tuning.search import Search
from trimtab.tuning.space import Space, check_fixed, space_for
from trimtab.tuning.store import begun, check_opens
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.verdicts import EARLIER, FOLDS
from trimtab.tuning.words import cut_of
from trimtab.tuning.writer import TrialWriter

DATA_OPTIONS = ("task", "split", "drop", "number", "category", "weight", "seed")
MODEL_EVERY = 8.0


class Job:
    """One call of `tune`: what was asked, and the floors below put to work on it.

    A study that is not `lasting` loses its folder as soon as it is done: it keeps no trial store, curves or signals,
    and trains no baseline that only its readers would miss.
    """

    def __init__(
        self,
        budget: Budget,
        listeners: tuple[object, ...],
        asked: dict,
        trials: int | None,
        device: torch.device,
        threads: int,
        *,
        lasting: bool = True,
        is_resumed: bool = False,
        runs: RunListener | None = None,
    ) -> None:
        self.budget, self.listeners, self.asked, self.max_trials = budget, Listeners(listeners), asked, trials
        self.device, self.threads, self.lasting, self.runs = device, threads, lasting, runs
        self.is_resumed = is_resumed
        self._model_saved = 0.0

    def run(
        self, data: Any, test: Any, folder: StudyFolder | None, out: Path | None, notices: Sequence[str] = ()
    ) -> Study:
        """The study of a table, new in `out` or gone on with in `folder`; `notices` are to be said first."""
        asked = self.asked
        for notice in notices:
            self.listeners.notice(notice)
        options = {name: asked[name] for name in DATA_OPTIONS}
        return self.run_on(prepare(data, target=asked["target"], **options, test=test), folder, out)

    def look(self, data: Any, test: Any, folder: StudyFolder | None) -> Prepared:
        """The table as it would be learnt from, and every option checked that a search would check."""
        options = {name: self.asked[name] for name in DATA_OPTIONS}
        prepared = prepare(data, target=self.asked["target"], **options, test=test)
        self._space(prepared)
        self._check_fingerprint(folder, prepared)
        return prepared

    def _space(self, prepared: Prepared) -> tuple[Metric, Space]:
        """What is optimised, and the knobs that are turned; raises OptionError for what does not fit this table."""
        task: Task = prepared.target_encoder.task  # type: ignore[assignment]
        metric = metric_for(self.asked["metric"], task, prepared.target_encoder.outputs)
        fixed = check_fixed(self.asked["fixed"], task)
        rows, columns = max(len(train) for train, _ in prepared.folds), prepared.encoder.n_numbers
        return metric, space_for(task, metric.name, rows=rows, columns=columns, fixed=fixed)

    def _check_fingerprint(self, folder: StudyFolder | None, prepared: Prepared) -> None:
        if folder is not None and self.asked.get("fingerprint") != prepared.fingerprint:
            raise StudyError(
                f"{folder.path} was made with other data or another split: resume it with the same data, "
                "or start a new study without --resume."
            )

    def run_on(self, prepared: Prepared, folder: StudyFolder | None, out: Path | None) -> Study:
        """The study of a table that is prepared already."""
        asked = self.asked
        self.listeners.tell("schema", prepared.schema)
        self.prepared = prepared
        for notice in prepared.notices:
            self.listeners.notice(notice)
        metric, space = self._space(prepared)
        tensors = training_data(prepared, self.device)
        self._warn_of_memory(prepared)
        self._check_fingerprint(folder, prepared)
        self.metric, self.tensors, self.held = metric, tensors, space.fixed
        if folder is None:
            asked |= {"greater_is_better": metric.greater_is_better, "fingerprint": prepared.fingerprint}
            if asked["storage"]:
                check_opens(asked["storage"])
            path = new_folder(prepared.source_name) if out is None else out
            with new_study(path, kept(asked), self.budget.abort.is_set) as study:
                return self._run_in(study, space)
        return self._run_in(folder, space)

    def _run_in(self, folder: StudyFolder, space: Space) -> Study:
        """The study in a folder that no other call writes into."""
        self.folder = folder
        self.listeners.tell("started", folder.path)
        calls.begin(folder)
        finishing = self._reserved()
        earlier = self._earlier()
        engine = Engine(
            self.tensors,
            self.metric,
            lambda **network: build(self.prepared.encoder, self.prepared.target_encoder, network),
            threads=self.threads,
            always=Features(dropout=True),
            precision=self.asked.get("precision", "high"),
            keeps_signals=self.lasting,
            measures_widths=self.max_trials is None,
            should_stop=self.budget.is_over,
        )
        self.all_rows = AllRows(
            self.prepared, engine, folder, self.budget, single=bool(self.asked["single"]),
            refits=bool(self.asked["refit"]), seed=self.asked["seed"], finishing=finishing, say=self.listeners.notice,
            is_timed=self.budget.is_limited and self.max_trials is None,
        )  # fmt: skip
        try:
            trials = self._search(engine, space, earlier)
        finally:
            engine.close()
        if self.budget.abort.is_set():
            calls.note(folder, seconds=round(self.budget.elapsed, 2))
            raise StudyError(f"Stopped at once. What was finished is kept: go on with --resume {folder.path}.")
        return self._finish(engine, space, trials)

    # -- before

    def _warn_of_memory(self, prepared: Prepared) -> None:
        needed, there = 3 * prepared.estimated_bytes(), available_memory()
        if there and needed > 0.7 * there:
            self.listeners.notice(
                f"Training needs about {needed / 2**30:.1f} GiB of memory and {there / 2**30:.1f} GiB are free: "
                "close other programs, or give fewer rows or columns (--drop)."
            )

    def _reserved(self) -> float:
        """Keep enough time for the ensemble, the test and saving, and give how many seconds that is."""
        if self.budget.is_limited:
            seconds = self.budget.seconds
            wanted = finishing_seconds(self.prepared, self.metric, budget=seconds, single=bool(self.asked["single"]))
            self.budget.reserve = min(MOST_OF_FINISH * seconds, wanted)
        return self.budget.reserve

    def _earlier(self) -> list[TrialRecord]:
        """The trials of earlier calls."""
        if not self.lasting:
            return []
        earlier = begun(
            self.folder,
            url=self.asked["storage"],
            greater_is_better=self.metric.greater_is_better,
            asked=kept(self.asked),
        )
        if self.is_resumed:
            for notice in words_of_going_on(earlier, self.max_trials):
                self.listeners.notice(notice)
        return earlier

    # -- the search

    def _search(self, engine: Engine, space: Space, earlier: list[TrialRecord]) -> list[TrialRecord]:
        flying = in_flight(self.folder, earlier)
        writer = TrialWriter(
            self.folder,
            space,
            url=self.asked["storage"],
            greater_is_better=self.metric.greater_is_better,
            earlier=earlier + [each.so_far for each in flying if each.so_far is not None],
            keeps_records=self.lasting,
            flight=Flight(self.folder, flying),
        )
        with writer:
            return self._search_with(engine, space, earlier, writer, flying)

    def _search_with(
        self,
        engine: Engine,
        space: Space,
        earlier: list[TrialRecord],
        writer: TrialWriter,
        flying: list[Flying],
    ) -> list[TrialRecord]:
        search = Search(
            data=self.tensors,
            metric=self.metric,
            space=space,
            engine=engine,
            folder=self.folder,
            writer=writer,
            budget=self.budget,
            seed=self.asked["seed"],
            max_trials=self.max_trials,
            earlier=earlier,
            flight=writer.flight,
            flying=flying,
            baseline_names=BASELINES if self.lasting else FITTED_BASELINES,
            listener=self.runs,
            on_progress=lambda progress: self.listeners.tell("progress", progress),
            on_baseline=lambda record: self.listeners.tell(
                "baseline", record.name, self.metric.name, self.metric.shown(record.error)
            ),
            on_best=self._save_best_so_far,
        )
        trials = search.run()
        if search.is_cut_by_time:
            self.listeners.notice(
                words_of_a_cut(search.tuned, search.max_trials, self.folder.path if self.lasting else None)
            )
        return trials

    def _save_best_so_far(self, record: TrialRecord, weights: TrialWeights) -> None:
        """Keep a usable model in the folder while the search runs, so that a killed study can predict."""
        self.all_rows.reserve_for(record)
        if self._model_saved and time.monotonic() - self._model_saved < MODEL_EVERY:
            return
        member = finish.scored_member(self.prepared, record, weights)
        Model(self.prepared.encoder, self.prepared.target_encoder, (member,)).save(self.folder.model)
        self._model_saved = time.monotonic()

    # -- after

    def _finish(self, engine: Engine, space: Space, trials: list[TrialRecord]) -> Study:
        self._tell_finishing(trials)
        candidates = self._candidates(trials)
        chosen = finish.choose(
            candidates, self.folder, self.tensors, self.metric, single=self.asked["single"],
            units=self.prepared.units, seed=self.asked["seed"],
        )  # fmt: skip
        model = self.all_rows.scored_model(chosen, trials)
        model.save(self.folder.model)
        model = Model.load(self.folder.model)
        if self.prepared.test is not None:
            calls.note(self.folder, tested=True)
        judged = self._judge(chosen, trials, model)
        if self.lasting:
            self.folder.save_predictions(predictions_frame(self.prepared, model, judged))
        result = self._result(chosen, trials, model, engine, judged)
        self._compare_with_yardsticks(chosen, trials, judged)
        if self.asked["refit"]:
            if self.all_rows.refit(chosen, with_test_rows(self.tensors, self.prepared)):
                result["figures_of"] = FOLDS if self.prepared.test is None else EARLIER
            result["networks"] = self.all_rows.model_of(chosen.members).networks
        for notice in edge_notices(chosen.winner, space, trials=result["finished"]):
            self.listeners.notice(notice)
        result["seconds"] = round(self.budget.elapsed, 2)
        calls.note(self.folder, seconds=result["seconds"])
        result |= calls.in_all(self.folder)
        self.folder.merge_curves()
        document = self.folder.read("study.json")
        self.folder.write("study.json", document | {"result": result, "notices": self.listeners.notices})
        return Study(self.folder.path, result, chosen.winner, tuple(trials), tuple(self.listeners.notices))

    def _candidates(self, trials: list[TrialRecord]) -> list[TrialRecord]:
        """The trials that may be the model: a baseline that does not keep the knobs that are held still is a yardstick.

        Raises StudyError where nothing else was finished.
        """
        own = [record for record in trials if may_be_model(record, self.held)]
        if best_of(own, self.held) is None and best_of(trials, {}) is not None:
            go_on = f" What was finished is kept: go on with --resume {self.folder.path}." if self.lasting else ""
            raise StudyError(f"{words_of_no_trial(self.held)}{go_on}")
        return own

    def _compare_with_yardsticks(self, chosen: finish.Chosen, trials: list[TrialRecord], judged: Judged) -> None:
        """Say which baselines are better and could not be the model, and which members keep less than was asked for."""
        score = judged.validation[self.metric.name]
        yardsticks = [record for record in trials if not may_be_model(record, self.held)]
        members = [record for record, _ in chosen.members]
        texts = words_of_better(yardsticks, self.held, self.metric, score)
        for text in [*texts, *words_of_less_than_held(members, self.held)]:
            self.listeners.notice(text)

    def _judge(self, chosen: finish.Chosen, trials: list[TrialRecord], model: Model) -> Judged:
        """The model's figures beside those of the baselines, on the test rows or out of fold."""
        yardsticks = {
            record.name: Yardstick(self.all_rows.model_of([(record, 1.0)]), weights.predictions)
            for record in trials
            if record.name and (weights := self.folder.load_weights(record.number)) is not None
        }
        return judge(
            self.prepared, self.metric, model, out_of_fold=chosen.predictions, nested=chosen.nested,
            yardsticks=yardsticks, seed=self.asked["seed"],
        )  # fmt: skip

    def _result(
        self, chosen: finish.Chosen, trials: list[TrialRecord], model: Model, engine: Engine, judged: Judged
    ) -> dict[str, Any]:
        prepared = self.prepared
        fold = self.tensors.folds[prepared.split.latest or 0]
        return {
            "out": str(self.folder.path),
            "task": prepared.schema.task,
            "metric": self.metric.name,
            **judged.document(self.metric.name),
            "trials": len(trials),
            "runs": sum(len(record.ended) for record in trials),
            "seconds": round(self.budget.elapsed, 2),
            "engine": engine_report(engine),
            "config": chosen.winner.config.to_json(),
            "winner": chosen.winner.number,
            "ensemble": [
                {"trial": record.number, "name": record.name, "share": share} for record, share in chosen.members
            ],
            "networks": model.networks,
            "cut": {record.name: cut for record in trials if record.name and (cut := cut_of(record))},
            "figures_of": FOLDS if prepared.test is None and self.all_rows.is_trained else "model",
            "finished": sum(not record.name and record.state == COMPLETE for record in trials),
            "rows": {
                "train": len(fold.train),
                "valid": len(fold.validation),
                "test": 0 if prepared.test is None else prepared.test.height,
            },
        }

    # -- telling

    def _tell_finishing(self, trials: list[TrialRecord]) -> None:
        best = best_of(trials, self.held)
        runs = sum(len(record.ended) for record in trials)
        score = None if best is None else self.metric.shown(best.error)
        left = self.budget.shown_left
        progress = Progress("finishing", left, len(trials), runs, 0, score, best, 0.0, self.metric.name, share=1.0)
        self.listeners.tell("progress", progress)


def engine_report(engine: Engine) -> dict[str, Any]:
    """How the training went, in lane-steps."""
    populations = engine.populations.values()
    useful, possible = (sum(getattr(p, name) for p in populations) for name in ("lane_steps", "place_steps"))
    return {
        "lane_steps": useful,
        "utilisation": round(useful / max(1, possible), 4),
        "compiled_share": round(sum(p.compiled_steps for p in populations) / max(1, useful), 4),
        "bfloat16_share": round(sum(p.bfloat16_steps for p in populations) / max(1, useful), 4),
        "structures": len(populations),
    }


def new_folder(source: str) -> Path:
    """`trimtab-runs/<data>-<date>-<n>` with the first free n, made at once: nobody else finds that n free.

    Raises StudyError where it cannot be made.
    """
    stem = f"{source}-{datetime.date.today().isoformat()}"
    for n in itertools.count(1):
        path = Path("trimtab-runs") / f"{stem}-{n}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise StudyError(
                f"{path} cannot be written ({error.strerror}): choose another folder with --out."
            ) from None
        return path
    raise AssertionError
