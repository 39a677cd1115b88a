"""ModuleJob: one call of `tune` over networks of the caller's own, from examples to the best network.

Puts the floors below to work on what was asked; it parses no options and knows no terminal.
"""

import hashlib
import json
import math
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy
import torch
from torch.utils.data import DataLoader, Dataset

from trimtab.errors import OptionError, StudyError
from trimtab.networks.differences import Parts, differences, differing
from trimtab.networks.examples import Examples, check_finite
from trimtab.networks.fitting import BY_TASK, Fitting
from trimtab.networks.identity import identity_of_study
from trimtab.networks.material import Material
from trimtab.networks.module_space import ModuleSpace
from trimtab.networks.streams import Stream, examples
from trimtab.studies.job import engine_report, new_folder
from trimtab.studies.listeners import Listeners
from trimtab.studies.results import Study, parts_of_network
from trimtab.text.wording import counted
from trimtab.training.metrics import all_scores
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.training.programs.program import outputs_of
from trimtab.training.run import NOT_FINITE, Request
from trimtab.training.unscored import words_of_unscored
from trimtab.tuning import calls
from trimtab.tuning.budget import Budget
from trimtab.tuning.flight import Flight, in_flight
from trimtab.tuning.folder import StudyFolder, new_study
from trimtab.tuning.going_on import address_of, kept, words_of_a_cut, words_of_going_on
from trimtab.tuning.hearing import RunListener
from trimtab.tuning.progress import Progress
from trimtab.tuning.search import Search
from trimtab.tuning.store import begun, check_opens
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.writer import TrialWriter

KIND = "module"
SECONDS_TO_STORE, MOST_RESERVED = 0.015, 0.25


class ModuleJob:
    """One call of `tune` over the caller's networks: what was asked, and the floors below put to work on it."""

    def __init__(
        self,
        budget: Budget,
        listeners: tuple[object, ...],
        *,
        seed: int,
        max_trials: int | None,
        device: torch.device,
        threads: int,
        metric: str | OwnMetric | None,
        storage: str | None = None,
        share: float | None = None,
        runs: RunListener | None = None,
    ) -> None:
        self.budget, self.listeners, self.seed, self.max_trials = budget, Listeners(listeners), seed, max_trials
        self.device, self.threads, self.metric, self.storage = device, threads, metric, storage
        self.runs = runs
        self.share = share  # of the rows that are judged, where no others were given

    def run(self, space: ModuleSpace, material: Material, test: Any, folder: Path | None, out: Path | None) -> Study:
        """Search, and give the study; `folder` is one to go on with, `out` where a new one is to be."""
        middle = {name: domain.draw(numpy.random.default_rng(self.seed)) for name, domain in space.domains.items()}
        space.check_losses()
        fitting = Fitting(
            space.networks, material, space.recipe(middle), metric=self.metric or BY_TASK, seed=self.seed,
            device=self.device, threads=self.threads,
        )  # fmt: skip
        space = space.for_task(fitting.task, is_of_logit=fitting.one_output == "logit")
        space.check()
        for each in space.losses:
            fitting.check_loss(each)
        test_rows = None if test is None else fitting.prepared(_test_rows(test).like(material.first))
        asked = self._asked(fitting, space)
        if folder is not None:
            return self._run_in(self._opened(folder, asked), fitting, space, asked, test_rows, is_resumed=True)
        if self.storage:
            check_opens(self.storage)
        name = type(space.networks.module).__name__ if space.networks.module is not None else "module"
        path = new_folder(name.lower()) if out is None else out
        with new_study(path, kept(asked), self.budget.abort.is_set) as study:
            return self._run_in(study, fitting, space, asked, test_rows, is_resumed=False)

    def _run_in(
        self,
        study: StudyFolder,
        fitting: Fitting,
        space: ModuleSpace,
        asked: dict[str, Any],
        test_rows: Examples | None,
        *,
        is_resumed: bool,
    ) -> Study:
        """The study in a folder that no other call writes into."""
        self.listeners.tell("started", study.path)
        calls.begin(study)
        earlier = begun(study, url=self.storage, greater_is_better=bool(asked["greater_is_better"]), asked=kept(asked))
        if is_resumed:
            for notice in words_of_going_on(earlier, self.max_trials):
                self.listeners.notice(notice)
        self._reserve(lanes=0)
        trials, report = self._search(fitting, space, study, earlier)
        if self.budget.abort.is_set():
            calls.note(study, seconds=round(self.budget.elapsed, 2))
            raise StudyError(f"Stopped at once. What was finished is kept: go on with resume={str(study.path)!r}.")
        winner = min((r for r in trials if r.state == COMPLETE), key=lambda r: r.error, default=None)
        if winner is None:
            raise StudyError(_words_of_no_winner(trials))
        result = self._result(fitting, study, winner, trials, test_rows) | {"engine": report}
        calls.note(study, seconds=round(self.budget.elapsed, 2), tested=test_rows is not None)
        result |= calls.in_all(study)
        study.merge_curves()
        network = parts_of_network(space.networks.made(winner.config.module_arguments, self.seed))
        document = {"result": result, "notices": self.listeners.notices, "network": network}
        study.write("study.json", study.read("study.json") | document)
        return Study(study.path, result, winner, tuple(trials), tuple(self.listeners.notices), space.networks)

    def _asked(self, fitting: Fitting, space: ModuleSpace) -> dict[str, Any]:
        """What was asked, as it stands in the study's document."""
        fingerprint = _fingerprint(fitting)
        knobs = {name: domain.describe() for name, domain in space.domains.items()}
        metric = fitting.metric
        return {
            "kind": KIND, "space": knobs, "fixed": {n: _in_words(v) for n, v in space.fixed.items()}, "seed": self.seed,
            "functions": [name for name, value in space.fixed.items() if callable(value)], "share": self.share,
            "trained": identity_of_study(fitting, space.fixed, self._first_network(space)),
            "metric": None if metric is None else metric.name, "storage": self.storage, "fingerprint": fingerprint,
            "greater_is_better": metric is not None and metric.greater_is_better, "trials": self.max_trials,
            "has_weights": fitting.material.has_weights, "drops_last": fitting.drops_last,
            "reading": fitting.reading.noted(),
        }  # fmt: skip

    def _opened(self, folder: Path, asked: dict[str, Any]) -> StudyFolder:
        """A study that is gone on with; raises StudyError where something else is asked of it."""
        study = StudyFolder.open(folder)
        before = study.read("study.json")["asked"]
        if before.get("kind") != KIND:
            raise StudyError(f"{folder} is the study of a table: resume it without a function of networks.")
        for what in ("space", "metric", "fingerprint"):
            if before.get(what) != asked[what]:
                named = "other data" if what == "fingerprint" else f"another {what}"
                raise StudyError(f"{folder} was made with {named}: give the same again, or start a new study.")
        if "trained" in before:  # an older trimtab did not note it
            _check_trained(folder, before["trained"], asked["trained"])
        asked["storage"] = self.storage = address_of(study, before["storage"], self.storage)
        asked["trials"] = before.get("trials") if self.max_trials is None else self.max_trials
        return study

    def _first_network(self, space: ModuleSpace) -> torch.nn.Module:
        return space.networks.made(space.recipe(space.first).config.module_arguments, self.seed)

    def _search(
        self, fitting: Fitting, space: ModuleSpace, folder: StudyFolder, earlier: list[TrialRecord]
    ) -> tuple[list[TrialRecord], dict[str, Any]]:
        greater = fitting.metric is not None and fitting.metric.greater_is_better
        flying = in_flight(folder, earlier)
        flight = Flight(folder, flying)
        writer = TrialWriter(
            folder, space, url=self.storage, greater_is_better=greater, flight=flight,
            earlier=earlier + [each.so_far for each in flying if each.so_far is not None],
        )  # fmt: skip
        engine = fitting.engine(
            epochs_per_round=0,
            training_rows=0,
            measures_widths=self.max_trials is None,
            should_stop=self.budget.is_over,
        )
        with closing(engine), writer:
            search = Search(
                data=fitting.training_data, metric=fitting.metric, space=space, engine=engine, folder=folder,
                writer=writer, budget=self.budget, seed=self.seed, max_trials=self.max_trials, earlier=earlier,
                baseline_names=(), on_progress=self._on_progress, flight=flight, flying=flying, listener=self.runs,
            )  # fmt: skip
            trials = search.run()
            self._check_scores(fitting, trials, search.unscored)
            if search.is_cut_by_time:
                self.listeners.notice(words_of_a_cut(search.tuned, search.max_trials, folder.path))
            return trials, engine_report(engine)

    def _check_scores(self, fitting: Fitting, trials: list[TrialRecord], figures: set[float]) -> None:
        """Raise StudyError where the metric gave no number for any trial; say so where it gave none for some."""
        unscored = [record for record in trials if record.is_unscored]
        if not unscored or fitting.metric is None:
            return
        if len(unscored) == len(trials):
            of = f"all {len(trials)} trials" if len(trials) > 1 else ""
            raise StudyError(words_of_unscored(fitting.metric, figures or {math.nan}, of))
        self.listeners.notice(
            f"The metric {fitting.metric.name} gave no number in any epoch of {len(unscored)} of the "
            f"{counted(len(trials), 'trial')}: they count as failed."
        )

    def _result(
        self,
        fitting: Fitting,
        folder: StudyFolder,
        winner: TrialRecord,
        trials: list[TrialRecord],
        test: Examples | None,
    ) -> dict[str, Any]:
        data = fitting.training_data
        judged = data.folds[0].validation
        validation: dict[str, float] = {"loss": winner.error}
        weights = folder.load_weights(winner.number)
        if fitting.metric is not None and weights is not None:
            predictions = weights.predictions[judged.numpy(force=True)]
            arguments = predictions, data.truth(judged).cpu(), data.weights[judged].cpu()
            validation = all_scores(*arguments, task=fitting.metric.task, beside=fitting.metric)
        return {
            "out": str(folder.path), "task": fitting.task, "metric": fitting.metric.name if fitting.metric else None,
            "test": None if test is None else self._test_scores(fitting, folder, winner, test),
            "validation": validation, "trials": len(trials), "runs": sum(len(r.ended) for r in trials),
            "seconds": round(self.budget.elapsed, 2), "config": winner.config.to_json(), "winner": winner.number,
            "values": dict(winner.values), "seed": self.seed,
            "rows": {"train": len(data.folds[0].train), "valid": len(judged), "test": test.rows if test else 0},
        }  # fmt: skip

    def _test_scores(
        self, fitting: Fitting, folder: StudyFolder, winner: TrialRecord, test: Examples
    ) -> dict[str, float]:
        """The scores of the winner's network on rows that nothing was chosen by."""
        data = fitting.data(test, torch.arange(test.rows), torch.arange(test.rows))
        weights = folder.load_weights(winner.number)
        assert weights is not None
        program = fitting.program(fitting.start(Request(0, winner.config, 0, self.seed)))
        every = torch.arange(test.rows, device=fitting.device).unsqueeze(0)
        own = {name: value[:1].to(fitting.device) for name, value in weights.buffers.items()}
        outputs = outputs_of(program, weights.parameters[:1].to(fitting.device), data.gather(every), own)
        if fitting.metric is None:
            loss, _ = data.objective(
                outputs, data.targets_of(every), data.weights[every], fitting.losses(winner.config)
            )
            return {"loss": float(loss[0])}
        predictions = data.predictions(outputs)[0].cpu()
        arguments = predictions, data.truth(every)[0].cpu(), data.weights.cpu()
        return all_scores(*arguments, task=fitting.metric.task, beside=fitting.metric)

    def _on_progress(self, progress: Progress) -> None:
        self._reserve(progress.lanes_alive)
        self.listeners.tell("progress", progress)

    def _reserve(self, lanes: int) -> None:
        """Keep time to store what still trains when the search ends."""
        self.budget.reserve = min(MOST_RESERVED * self.budget.seconds, 1 + SECONDS_TO_STORE * lanes)


def _words_of_no_winner(trials: list[TrialRecord]) -> str:
    if trials and all(NOT_FINITE in record.ended for record in trials):
        return (
            f"No trial was finished: training diverged in all that were tried ({counted(len(trials), 'trial')}). Give "
            "a space of smaller learning rates (lr)."
        )
    return "No trial was finished: give a larger budget, or a space in which training does not diverge."


def _test_rows(test: Any) -> Examples:
    if not isinstance(test, (Dataset, DataLoader)) and not (isinstance(test, (tuple, list)) and len(test) in (2, 3)):
        raise OptionError(
            "test= of networks of your own is (X, y), a Dataset or a DataLoader: rows that nothing is chosen by."
        )
    rows = examples(test, "test")
    if isinstance(rows, Stream):
        raise OptionError(f"Test rows are read once and kept, and of these {rows.reason}: give test=(X, y).")
    check_finite(rows)
    return rows


def _check_trained(folder: Path, before: Parts, now: Parts) -> None:
    """Raise StudyError where another network is trained, or in another way."""
    if differing(before, now):
        raise StudyError(
            f"{folder} was made otherwise ({differences(before, now)}): give the same again, or start a new study."
        )


def _in_words(thing: Any) -> str:
    """What is held still, as a reader of the study's document understands it."""
    named = getattr(thing, "__qualname__", None)
    return f"{thing.__module__}.{named}" if named else re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _fingerprint(fitting: Fitting) -> str:
    """A digest of the data, by which a resumed study knows them again."""
    data = fitting.training_data
    digest = hashlib.sha256(json.dumps([len(data.folds[0].train), fitting.task]).encode())
    for tensor in (*data.inputs, data.targets, *data.more_targets, data.weights):
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
