"""tt.tune: a table in, or networks of one's own; a tuned model, its scores and the reasons out.

Checks what comes in and hands it to a job. Knows no terminal and no signals.
"""

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.job import Job
from trimtab.machine import cores, device_named, lanes_in_threads
from trimtab.module_job import ModuleJob
from trimtab.modules.material import Material
from trimtab.modules.networks import Networks
from trimtab.modules.space import ModuleSpace, domains_of
from trimtab.results import Study
from trimtab.table.prepare import USUAL_TEST_SHARE
from trimtab.training.config import whole
from trimtab.tuning.address import checked_address
from trimtab.tuning.budget import Budget, seconds_for
from trimtab.tuning.folder import StudyFolder, locked
from trimtab.tuning.going_on import address_of, seed_of, trials_to_do, words_of_held_knobs

PRECISIONS = ("high", "auto")


def tune(
    source: Any = None,
    target: str | Sequence[str] | None = None,
    *,
    data: Any = None,
    space: Mapping[str, Any] | None = None,
    valid: Any = 0.2,
    budget: str | float | None = None,
    metric: str | None = None,
    task: str = "auto",
    split: str = "random",
    test: Any = USUAL_TEST_SHARE,
    refit: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    trials: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    precision: str = "high",
    single: bool = False,
    resume: str | Path | None = None,
    drop: Sequence[str] = (),
    number: Sequence[str] = (),
    category: Sequence[str] = (),
    weight: str | None = None,
    storage: str | None = None,
    listeners: Iterable[object] = (),
    stop: Any = None,
    abort: threading.Event | None = None,
    started: float | None = None,
    **fixed: Any,
) -> Study:
    """Find the best training configuration and network, within a wall-clock budget: for a table, or for networks that
    a function of yours makes.

    Arguments:
        source: a table: a file path, any pandas / polars / pyarrow frame, `(X, y)` arrays, or `(train, valid, test)`
            frames (may also be given as `data`); or a function that makes a `torch.nn.Module` (or a module, to tune its
            training alone).
        target: the column to predict, or several numeric ones ("a,b" or a list).
        data: what networks of your own train on, as `train` in `tt.fit`.
        space: the knobs to turn of networks of your own: lists of values, or ranges as (low, high) or
            (low, high, "log"). Knobs that the function takes shape the network; the others belong to the training.
            Whole numbers as ends give whole numbers.
        valid: what networks of your own are judged by, as in `tt.fit`.
        budget: wall-clock time for everything, as "45s", "5m", "2h" or seconds; with `resume`, new time on top.
            Default: "5m", or without limit where `trials` is given.
        metric: what is optimised and compared (rmse, mae, r2; log_loss, accuracy, balanced_accuracy, roc_auc).
        task: "regression" or "classification"; "auto" decides by the target and says why.
        split: how rows are drawn: "random", "time:COL" (the latest are judged and tested on; the model is trained on
            all rows but the test's), "group:COL" (groups stay together), or a column that says train, valid or test.
        test: the share of rows put aside for the final score, a file or frame of them, or "none"; for networks of your
            own `(X, y)` that nothing is chosen by (default: none).
        refit: train the model's networks once more on all rows after the test score is taken.
        out: the folder of the study (default: trimtab-runs/DATA-DATE-N).
        seed: where chance starts.
        trials: stop after this many trials, besides the baselines; the same seed then gives the same trials, scores and
            model again, in however many calls: with `resume` those of earlier calls count. Where `budget` ends the
            search before, a notice says so. With `resume` and neither of both, a study does what it was asked for.
        threads: threads to train with (default: all cores allowed).
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        precision: "high" multiplies in float32; "auto" in bfloat16 where the processor is quicker at it and a check on
            the first epochs finds the validation score unharmed.
        single: one network instead of an ensemble, trained on all rows but the test's.
        resume: the folder of an earlier study to go on from; `data` and `target` may then be left out.
        drop: columns to leave out.
        number: columns to take as numbers.
        category: columns to take as categories.
        weight: a column of row weights.
        storage: a database URL for the trials (default: a file in the study's folder), such as
            "postgresql+psycopg://user@host/database". Its password is not kept: with `resume` give the URL again, or
            the password as the database's own tools take it (PGPASSWORD, ~/.pgpass).
        listeners: objects with any of the methods notice, schema, baseline, progress.
        stop: an event that ends the search with the best so far; for networks of your own also when a run stops, as in
            `tt.fit`.
        abort: an event that ends it at once, to be resumed.
        started: the `time.monotonic()` reading from which the budget counts (default: now).
        fixed: any knob held still, such as `loss="mae"` or `lr=1e-3`; for networks of your own those of `tt.fit`. With
            `resume` a knob of a table is held from then on, and a notice says so.

    A study of networks of your own has `study.module`, the best of them as it was scored.

    Raises DataError, OptionError and StudyError, each with what to do about it.
    """
    if stop is not None and not isinstance(stop, threading.Event) and callable(source):
        stop, fixed = None, {**fixed, "stop": stop}
    seed = whole("seed", seed)
    trials = None if trials is None else whole("trials", trials, 1)
    storage = None if storage is None else checked_address(storage)
    resume = None if resume is None else Path(resume)
    if resume is not None:
        StudyFolder.open(resume)
        if out is not None:
            raise OptionError(
                "--out is for a new study: one that is resumed stays in its folder. Leave one of both out."
            )
        if budget is None and trials is None:
            trials = trials_to_do(resume, storage)
        if callable(source):
            seed = seed_of(resume, seed)
    clock = Budget(
        seconds_for(budget, trials),
        started=time.monotonic() if started is None else started,
        stop=stop or threading.Event(),
        abort=abort or threading.Event(),
    )
    threads = None if threads is None else whole("threads", threads, 1)
    if precision not in PRECISIONS:
        raise unknown_choice("precision", precision, PRECISIONS)
    if callable(source):
        _refuse(target=target, **{n: v for n, v in (("task", task), ("split", split)) if v not in ("auto", "random")})
        _refuse(refit=refit, single=single, drop=drop, number=number, category=category, weight=weight)
        job = ModuleJob(
            clock, tuple(listeners), seed=seed, max_trials=trials, device=device_named(device),
            threads=threads or cores(), metric=metric, storage=storage,
            share=float(valid) if isinstance(valid, (int, float)) else None,
        )  # fmt: skip
        with lanes_in_threads(), locked(resume) if resume is not None else nullcontext():
            given = None if isinstance(test, float) and test == USUAL_TEST_SHARE else test
            return _tune_networks(job, source, data, valid, space, given, resume, out, fixed)
    if space is not None:
        raise OptionError("space= belongs to networks of your own: give a function that makes them first.")
    data = source if data is None else data
    asked: dict[str, Any] = {
        "data": _reference(data), "target": target, "task": task, "split": split, "test": _reference(test),
        "drop": list(drop), "number": list(number), "category": list(category), "weight": weight, "seed": seed,
        "metric": metric, "fixed": dict(fixed), "storage": storage, "refit": refit, "single": single,
        "precision": precision, "trials": trials,
    }  # fmt: skip
    if resume is None:
        if data is None:
            raise OptionError("There is no data: name a file, or a study to go on from with --resume.")
        job = Job(clock, tuple(listeners), asked, trials, device_named(device), threads or cores())
        with lanes_in_threads():
            return job.run(data, test, None, Path(out) if out is not None else None)
    with locked(resume), lanes_in_threads():
        folder = StudyFolder.open(resume)
        asked, data, test, notices = _as_asked_before(folder, asked, data, test)
        job = Job(clock, tuple(listeners), asked, trials, device_named(device), threads or cores(), is_resumed=True)
        return job.run(data, test, folder, None, notices)


def _tune_networks(
    job: ModuleJob,
    source: Any,
    data: Any,
    valid: Any,
    space: Mapping[str, Any] | None,
    test: Any,
    resume: Path | None,
    out: str | Path | None,
    fixed: Mapping[str, Any],
) -> Study:
    networks = Networks(source)
    if data is None:
        raise OptionError("There is no data: give data=(X, y).")
    material = Material.read(data, valid, seed=job.seed, batch_size=None)
    if material.is_streamed:
        raise OptionError(f"A search reads the same rows again and again, and of these {material.reason}: use tt.fit.")
    held = dict(fixed)
    if material.batch_size and not {"batch_size"} & {*held, *(space or {})}:
        held["batch_size"] = material.batch_size
    domains = domains_of(space or {}, networks)
    both = next((name for name in domains if name in held), None)
    if both is not None:
        raise OptionError(f"{both} is in space and held still: leave one of them out.")
    knobs = ModuleSpace(networks, domains, held, rows=len(material.first.weights))
    return job.run(knobs, material, test, resume, None if out is None else Path(out))


def _refuse(**options: Any) -> None:
    """Raise where an option was given that only tables have."""
    given = next((name for name, value in options.items() if value), None)
    if given is not None:
        raise OptionError(f"{given}= belongs to tables: leave it out for networks of your own.")


def _reference(data: Any) -> str | float | None:
    """What of `data` can be written into the study's document: a path or a number; frames are known by fingerprint."""
    if isinstance(data, (str, os.PathLike)):
        text = os.fspath(data)
        return text if text == "none" else str(Path(text).resolve())
    return data if isinstance(data, float) else None


def _as_written(value: Any) -> Any:
    """An option as it stands in a document, so that "a,b", ("a", "b") and ["a", "b"] are the same columns."""
    if isinstance(value, str):
        return value.split(",")
    return list(value) if isinstance(value, (tuple, list)) else value


def _as_asked_before(folder: StudyFolder, asked: dict, data: Any, test: Any) -> tuple[dict, Any, Any, list[str]]:
    """The options of the study being resumed, its data and test rows, and what a user ought to know of them; refuses
    options that would change its data, split or metric."""
    before = folder.read("study.json")["asked"]
    defaults = {"target": None, "task": "auto", "split": "random", "test": USUAL_TEST_SHARE, "weight": None, "seed": 0}
    defaults |= {"drop": [], "number": [], "category": [], "metric": None}
    for name, default in defaults.items():
        if asked[name] != default and _as_written(asked[name]) != _as_written(before.get(name)):
            raise StudyError(
                f"--{name} {asked[name]} differs from the study in {folder.path} ({before.get(name)}): a resumed study "
                "keeps its data, split and metric. Leave the option out, or start a new study."
            )
    merged = {
        **before,
        "precision": asked["precision"],
        "refit": asked["refit"] or before["refit"],
        "single": asked["single"] or before["single"],
    }
    merged["trials"] = before.get("trials") if asked["trials"] is None else asked["trials"]
    merged["storage"] = address_of(folder, before.get("storage"), asked["storage"])
    merged["fixed"] = {**before["fixed"], **asked["fixed"]}
    notices = words_of_held_knobs(before["fixed"], asked["fixed"])
    if data is None:
        data = before["data"]
        if data is None:
            raise StudyError(
                f"The study in {folder.path} was made from a frame: give the same data again to resume it."
            )
    if asked["test"] == defaults["test"] and before["test"] is not None:
        test = before["test"]
    return merged, data, test, notices
