"""tt.tune: a table in; a tuned model, its test score and the reasons out.

Checks what comes in, then asks the floors below: table, tuning, finish. Knows no terminal and no signals.
"""

import dataclasses
import datetime
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch

from trimtab import finish
from trimtab.errors import OptionError, StudyError
from trimtab.machine import available_memory, cores, device_named
from trimtab.model import Model, build
from trimtab.results import Study
from trimtab.table.prepare import Prepared, prepare
from trimtab.training.data import Fold, TrainingData
from trimtab.training.engine import Engine
from trimtab.training.metrics import Metric, metric_for
from trimtab.tuning.budget import Budget, parse_duration
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.notices import edge_notices
from trimtab.tuning.space import Space, Value, check_fixed, space_for
from trimtab.tuning.study import Progress, Search
from trimtab.tuning.trial import TrialRecord, TrialWeights
from trimtab.tuning.writer import TrialStore, TrialWriter

DATA_OPTIONS = ("target", "task", "split", "test", "drop", "number", "category", "weight", "seed", "metric")
MODEL_EVERY = 8.0


def tune(
    data: Any = None,
    target: str | Sequence[str] | None = None,
    *,
    budget: str | float = "5m",
    metric: str | None = None,
    task: str = "auto",
    split: str = "random",
    test: Any = 0.2,
    refit: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    trials: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    single: bool = False,
    resume: str | Path | None = None,
    drop: Sequence[str] = (),
    number: Sequence[str] = (),
    category: Sequence[str] = (),
    weight: str | None = None,
    storage: str | None = None,
    listeners: Iterable[object] = (),
    stop: threading.Event | None = None,
    abort: threading.Event | None = None,
    started: float | None = None,
    **fixed: Value,
) -> Study:
    """Find the best training configuration and network for a table, within a wall-clock budget.

    Arguments:
        data: a file path, any pandas / polars / pyarrow frame, `(X, y)` arrays, or `(train, valid, test)` frames.
        target: the column to predict, or several numeric ones ("a,b" or a list).
        budget: wall-clock time for everything, as "45s", "5m", "2h" or seconds; with `resume`, new time on top.
        metric: what is optimised and compared (rmse, mae, r2; log_loss, accuracy, balanced_accuracy, roc_auc).
        test: the share of rows put aside for the final score, a file or frame of them, or "none".
        refit: train the winner once more on all rows after the test score is taken.
        trials: stop after this many trials; the same seed then gives the same trials, scores and model again.
        single: one network instead of an ensemble.
        resume: the folder of an earlier study to go on from; `data` and `target` may then be left out.
        listeners: objects with any of the methods notice, schema, baseline, progress.
        stop, abort: events that end the search (finishing with the best so far, or at once and resumable).
        started: the `time.monotonic()` reading from which the budget counts (default: now).
        fixed: any knob held still, such as `loss="mae"` or `lr=1e-3`.

    Raises DataError, OptionError and StudyError, each with what to do about it.
    """
    clock = Budget(
        parse_duration(budget),
        started=time.monotonic() if started is None else started,
        stop=stop or threading.Event(),
        abort=abort or threading.Event(),
    )
    asked: dict[str, Any] = {
        "data": _reference(data), "target": target, "task": task, "split": split, "test": _reference(test),
        "drop": list(drop), "number": list(number), "category": list(category), "weight": weight, "seed": seed,
        "metric": metric, "fixed": dict(fixed), "storage": storage, "refit": refit, "single": single,
    }  # fmt: skip
    if trials is not None and (not isinstance(trials, int) or trials < 1):
        raise OptionError(f"trials is {trials!r}: it must be a whole number of at least 1.")
    folder = None
    if resume is not None:
        folder = StudyFolder.open(Path(resume))
        asked, data, test = _as_asked_before(folder, asked, data, test)
    elif data is None:
        raise OptionError("There is no data: name a file, or a study to go on from with --resume.")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise OptionError(f"threads is {threads!r}: it must be a whole number of at least 1.")
    session = _Session(clock, tuple(listeners), asked, trials, device_named(device), threads or cores())
    with lanes_in_threads():
        return session.run(data, test, folder, out)


class _Session:
    """One call of `tune`: what was asked, and the floors below put to work on it."""

    def __init__(
        self,
        budget: Budget,
        listeners: tuple[object, ...],
        asked: dict,
        trials: int | None,
        device: torch.device,
        threads: int,
    ) -> None:
        self.budget, self.listeners, self.asked, self.max_trials = budget, listeners, asked, trials
        self.device, self.threads = device, threads
        self.notices: list[str] = []
        self._model_saved = 0.0

    def run(self, data: Any, test: Any, folder: StudyFolder | None, out: str | Path | None) -> Study:
        asked = self.asked
        fixed = asked["fixed"]
        prepared = self._prepare(data, test)
        task = prepared.schema.task
        metric = metric_for(asked["metric"], task, prepared.target_encoder.outputs)
        fixed = check_fixed(fixed, task)
        tensors = training_data(prepared, self.device)
        self._warn_of_memory(prepared)
        space = space_for(
            task, metric.name, rows=len(tensors.folds[0].train), columns=prepared.encoder.n_numbers, fixed=fixed
        )
        is_new = folder is None
        asked["greater_is_better"] = metric.greater_is_better
        asked["fingerprint"] = prepared.fingerprint if is_new else asked.get("fingerprint")
        if folder is None:
            path = Path(out) if out is not None else _new_folder_name(prepared.source_name)
            folder = StudyFolder.create(path, asked)
        elif asked["fingerprint"] != prepared.fingerprint:
            raise StudyError(
                f"{folder.path} was made with other data or another split: resume it with the same data, "
                "or start a new study without --resume."
            )
        self.folder, self.prepared, self.metric, self.tensors = folder, prepared, metric, tensors
        self._tell("started", folder.path)
        self._set_reserve()
        earlier = self._earlier(space)
        engine = Engine(
            tensors,
            metric,
            lambda **network: build(prepared.encoder, prepared.target_encoder, network),
            threads=self.threads,
            should_stop=self.budget.is_over,
        )
        trials = self._search(engine, space, earlier)
        if self.budget.abort.is_set():
            raise StudyError(f"Stopped at once. What was finished is kept: go on with --resume {folder.path}.")
        return self._finish(engine, space, trials)

    # -- before

    def _prepare(self, data: Any, test: Any) -> Prepared:
        asked = self.asked
        prepared = prepare(
            data,
            target=asked["target"],
            **{name: asked[name] for name in DATA_OPTIONS if name not in ("target", "test", "metric")},
            test=test,
        )
        self._tell("schema", prepared.schema)
        for notice in prepared.notices:
            self._notice(notice)
        return prepared

    def _warn_of_memory(self, prepared: Prepared) -> None:
        needed, there = 3 * prepared.estimated_bytes(), available_memory()
        if there and needed > 0.7 * there:
            self._notice(
                f"Training needs about {needed / 2**30:.1f} GiB of memory and {there / 2**30:.1f} GiB are free: "
                "close other programs, or give fewer rows or columns (--drop)."
            )

    def _set_reserve(self) -> None:
        """Keep enough time for the ensemble, the test and saving; the test's share grows with its rows."""
        rows = 0 if self.prepared.test is None else self.prepared.test.height
        cells = (rows + 0.3 * self.tensors.rows) * max(8, self.prepared.encoder.n_numbers)
        self.budget.reserve = min(0.12 * self.budget.seconds, 0.8 + 0.02 * self.budget.seconds + cells * 1.5e-6)

    def _earlier(self, space: Space) -> list[TrialRecord]:
        if not (self.folder.path / "study.db").exists() and not self.asked["storage"]:
            return []
        store = TrialStore(
            self.folder, url=self.asked["storage"], greater_is_better=self.metric.greater_is_better
        )
        return store.trials()

    # -- the search

    def _search(self, engine: Engine, space: Space, earlier: list[TrialRecord]) -> list[TrialRecord]:
        writer = TrialWriter(
            self.folder,
            space,
            url=self.asked["storage"],
            greater_is_better=self.metric.greater_is_better,
            earlier=earlier,
        )
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
            on_progress=lambda progress: self._tell("progress", progress),
            on_baseline=lambda record: self._tell("baseline", record.name, self.metric.name, self.metric.shown(record.error)),
            on_best=self._save_best_so_far,
        )
        if (self.folder.path / "inflight.json").exists():
            search.resume_with([entry["values"] for entry in self.folder.read("inflight.json")])  # type: ignore[index]
        try:
            trials = search.run()
        finally:
            writer.close()
        return trials

    def _save_best_so_far(self, record: TrialRecord, weights: TrialWeights) -> None:
        """Keep a usable model in the folder while the search runs, so that a killed study can predict."""
        if self._model_saved and time.monotonic() - self._model_saved < MODEL_EVERY:
            return
        member = finish.Member(record.config.module_arguments, weights.parameters, 1.0)
        Model(self.prepared.encoder, self.prepared.target_encoder, (member,)).save(self.folder.model)
        self._model_saved = time.monotonic()

    # -- after

    def _finish(self, engine: Engine, space: Space, trials: list[TrialRecord]) -> Study:
        self._tell_phase(trials, engine)
        chosen = finish.choose(trials, self.folder, self.tensors, self.metric, single=self.asked["single"])
        model = finish.as_model(self.prepared, self.folder, chosen.members)
        if self.asked["single"] and chosen.winner.name not in ("mean", "linear"):
            model = self._on_all_rows(engine, chosen, self.tensors)
        model.save(self.folder.model)
        model = Model.load(self.folder.model)
        result = self._result(chosen, trials, model, engine)
        if self.asked["refit"]:
            self._on_all_rows(engine, chosen, with_test_rows(self.tensors, self.prepared)).save(self.folder.model)
            self._notice("After the test score the winner was trained once more, on all rows; the model is that one.")
        for notice in edge_notices(chosen.winner, space):
            self._notice(notice)
        result["seconds"] = round(self.budget.elapsed, 2)
        self.folder.merge_curves()
        self.folder.write("inflight.json", [])
        document = self.folder.read("study.json")
        self.folder.write("study.json", document | {"result": result, "notices": self.notices})
        return Study(self.folder.path, result, chosen.winner, tuple(trials), tuple(self.notices))

    def _on_all_rows(self, engine: Engine, chosen: finish.Chosen, data: TrainingData) -> Model:
        engine.should_stop = lambda: self.budget.abort.is_set() or self.budget.left < -0.05 * self.budget.seconds
        members = finish.trained_on_all_rows(engine, data, chosen.members, seed=self.asked["seed"])
        return Model(self.prepared.encoder, self.prepared.target_encoder, tuple(members))

    def _result(
        self, chosen: finish.Chosen, trials: list[TrialRecord], model: Model, engine: Engine
    ) -> dict[str, Any]:
        seed, prepared = self.asked["seed"], self.prepared
        truth = prepared.target_encoder.truth(prepared.development)
        validation, interval = finish.figures(chosen.predictions, truth, prepared.weights, self.metric, seed=seed)
        test = None
        if prepared.test is not None:
            test, interval = finish.scores(model, prepared, self.metric, seed=seed)
        fold = self.tensors.folds[0]
        return {
            "out": str(self.folder.path),
            "task": prepared.schema.task,
            "metric": self.metric.name,
            "test": test,
            "validation": validation,
            "interval": list(interval),
            "baselines": self._baseline_scores(trials, truth),
            "trials": len(trials),
            "runs": sum(len(record.ended) for record in trials),
            "seconds": round(self.budget.elapsed, 2),
            "config": json.loads(json.dumps(chosen.winner.config.to_json())),
            "winner": chosen.winner.number,
            "ensemble": [{"trial": record.number, "share": share} for record, share in chosen.members],
            "networks": model.networks,
            "rows": {
                "train": len(fold.train),
                "valid": len(fold.validation),
                "test": 0 if prepared.test is None else prepared.test.height,
            },
        }

    def _baseline_scores(self, trials: list[TrialRecord], truth: numpy.ndarray) -> dict[str, dict[str, float]]:
        """Each baseline on the test rows; without a test part, out of fold."""
        result = {}
        for record in trials:
            weights = self.folder.load_weights(record.number) if record.name else None
            if weights is None:
                continue
            if self.prepared.test is None:
                arguments = weights.predictions, truth, self.prepared.weights
                result[record.name] = finish.figures(*arguments, self.metric, seed=0)[0]
            else:
                model = finish.as_model(self.prepared, self.folder, [(record, 1.0)])
                result[record.name] = finish.scores(model, self.prepared, self.metric, seed=0)[0]
        return result

    # -- telling

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self._tell("notice", text)

    def _tell(self, what: str, *details: object) -> None:
        for listener in self.listeners:
            if method := getattr(listener, what, None):
                method(*details)

    def _tell_phase(self, trials: list[TrialRecord], engine: Engine) -> None:
        best = min((r for r in trials if r.state == "complete"), key=lambda r: r.error, default=None)
        runs = sum(len(record.ended) for record in trials)
        score = None if best is None else self.metric.shown(best.error)
        left = max(0.0, self.budget.left)
        self._tell("progress", Progress("finishing", left, len(trials), runs, 0, score, best, 0.0))


def training_data(prepared: Prepared, device: torch.device) -> TrainingData:
    """The prepared table as the tensors that the engine reads."""
    target = prepared.target_encoder
    is_regression = target.task == "regression"
    ones = [1.0] * target.outputs
    return TrainingData(
        task=target.task,  # type: ignore[arg-type]
        inputs=(torch.tensor(prepared.numbers, device=device), torch.tensor(prepared.codes, device=device)),
        targets=torch.tensor(prepared.targets, device=device),
        weights=torch.tensor(prepared.weights, device=device),
        folds=tuple(
            Fold(*(torch.tensor(part, dtype=torch.int64, device=device) for part in fold))
            for fold in prepared.folds
        ),
        outputs=target.outputs,
        mean=torch.tensor(target.mean if is_regression else ones, dtype=torch.float64, device=device),
        scale=torch.tensor(target.scale if is_regression else ones, dtype=torch.float64, device=device),
        cardinalities=tuple(prepared.encoder.cardinalities),
    )


def with_test_rows(data: TrainingData, prepared: Prepared) -> TrainingData:
    """`data` with the test rows behind its own, for a last training on everything."""
    if prepared.test is None:
        return data
    encoded = prepared.encoder.encode(prepared.test)
    parts = (encoded.numbers, encoded.codes, prepared.target_encoder.encode(prepared.test), prepared.test_weights)
    numbers, codes, targets, weights = (torch.tensor(part, device=data.device) for part in parts)
    return dataclasses.replace(
        data,
        inputs=(torch.cat([data.inputs[0], numbers]), torch.cat([data.inputs[1], codes])),
        targets=torch.cat([data.targets, targets]),
        weights=torch.cat([data.weights, weights]),
    )


def _reference(data: Any) -> str | float | None:
    """What of `data` can be written into the study's document: a path or a number; frames are known by fingerprint."""
    if isinstance(data, (str, os.PathLike)):
        text = os.fspath(data)
        return text if text == "none" else os.path.abspath(text)
    return data if isinstance(data, float) else None


def _as_asked_before(folder: StudyFolder, asked: dict, data: Any, test: Any) -> tuple[dict, Any, Any]:
    """The options of the study being resumed; refuses those that would change its data, split or metric."""
    before = folder.read("study.json")["asked"]
    defaults = {"target": None, "task": "auto", "split": "random", "test": 0.2, "drop": [], "number": [], "category": [],
                "weight": None, "seed": 0, "metric": None, "storage": None}  # fmt: skip
    for name, default in defaults.items():
        if asked[name] != default and asked[name] != before.get(name):
            raise StudyError(
                f"--{name} {asked[name]} differs from the study in {folder.path} ({before.get(name)}): a resumed study "
                "keeps its data, split and metric. Leave the option out, or start a new study."
            )
    merged = {**before, "refit": asked["refit"] or before["refit"], "single": asked["single"] or before["single"]}
    merged["fixed"] = {**before["fixed"], **asked["fixed"]}
    if data is None:
        data = before["data"]
        if data is None:
            raise StudyError(f"The study in {folder.path} was made from a frame: give the same data again to resume it.")
    if asked["test"] == defaults["test"] and before["test"] is not None:
        test = before["test"]
    return merged, data, test


def _new_folder_name(source: str) -> Path:
    """`trimtab-runs/<data>-<date>-<n>` with the first free n."""
    stem = f"{source}-{datetime.date.today().isoformat()}"
    n = 1
    while (path := Path("trimtab-runs") / f"{stem}-{n}").exists():
        n += 1
    return path


@contextmanager
def lanes_in_threads() -> Iterator[None]:
    """Set torch and Python up for lanes that share the cores, and put both settings back.

    Two threads per product wait for each other at every one of them, which on a shared machine costs up to tenfold; and
    a thread that comes back from a product should not wait 5 ms for the interpreter.
    """
    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(1)
    sys.setswitchinterval(5e-5)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        sys.setswitchinterval(interval)
