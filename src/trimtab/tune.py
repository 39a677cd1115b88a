"""tt.tune: a table in, or networks of one's own; a tuned model, its scores and the reasons out.

Checks what comes in and hands it to a job. Knows no terminal and no signals.
"""

import inspect
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.machine import cores, device_named, lanes_in_threads
from trimtab.networks.listening import Listening
from trimtab.networks.material import Material
from trimtab.networks.module_space import ModuleSpace, domains_of
from trimtab.networks.networks import Networks
from trimtab.networks.runs import for_training
from trimtab.studies.job import Job
from trimtab.studies.module_job import ModuleJob
from trimtab.studies.results import Study
from trimtab.table.prepare import USUAL, USUAL_TEST_SHARE, Prepared, is_usual, refuse_second_split
from trimtab.text.wording import listed, with_article
from trimtab.training.config import whole
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.tuning.address import checked_address
from trimtab.tuning.budget import Budget, seconds_for
from trimtab.tuning.folder import StudyFolder, locked
from trimtab.tuning.going_on import address_of, seed_of, trials_asked_for, words_of_held_knobs, words_of_precision

PRECISIONS = ("high", "auto")
USUAL_VALID_SHARE = 0.2
HEARD = ("started", "notice", "schema", "baseline", "progress")
# Options that belong to a study's data and split: a resumed one keeps them.
KEPT = ("target", "task", "split", "test", "weight", "seed", "drop", "number", "category", "metric")


def tune(
    source: Any = None,
    target: str | Sequence[str] | None = None,
    *,
    data: Any = None,
    train: Any = None,
    space: Mapping[str, Any] | None = None,
    valid: Any = USUAL,
    budget: str | float | None = None,
    metric: str | OwnMetric | None = None,
    task: str | None = None,
    split: str | None = None,
    test: Any = USUAL,
    refit: bool = False,
    out: str | Path | None = None,
    seed: int | None = None,
    trials: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    single: bool = False,
    resume: str | Path | None = None,
    drop: str | Sequence[str] = (),
    number: str | Sequence[str] = (),
    category: str | Sequence[str] = (),
    weight: str | None = None,
    storage: str | None = None,
    quiet: bool = False,
    callbacks: Any = (),
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
        train: another name for `data`. Where networks of your own come first, the rows may also stand in the second
            place, as in `tt.fit`: `tt.tune(make, (X, y), ...)`.
        space: the knobs to turn of networks of your own: lists of values, or ranges as (low, high) or
            (low, high, "log"). Knobs that the function takes shape the network; the others belong to the training.
            Whole numbers as ends give whole numbers.
        valid: what networks of your own are judged by, as in `tt.fit` ("auto": a fifth of the rows, drawn at random). A
            table's validation rows follow from `split`.
        budget: wall-clock time for everything, as "45s", "5m", "2h" or seconds; with `resume`, new time on top.
            Default: "5m", or without limit where `trials` is given.
        metric: what is optimised and compared (rmse, mae, r2; log_loss, accuracy, balanced_accuracy, f1, roc_auc); for
            networks of your own also a `tt.Metric`.
        task: "regression" or "classification" (default: decided by the target, with the reason).
        split: how rows are drawn: "random" (default), "time:COL" (the latest are judged and tested on), "group:COL"
            (groups stay together), or a column that says train, valid or test.
        test: the share of a table's rows put aside for the final score, a file or frame of them, or "none" ("auto": a
            fifth); for networks of your own rows that nothing is chosen by, in the forms of `train` ("auto": none).
        refit: train the model's networks once more on all rows after the test score is taken.
        out: the folder of the study (default: trimtab-runs/DATA-DATE-N).
        seed: the seed of all that is random: rows set aside, starting weights, order of rows, dropout (default: 0).
        trials: stop after this many trials, besides the baselines; the same seed then gives the same trials, scores and
            model again, in however many calls: with `resume` those of earlier calls count. Where `budget` ends the
            search before, a notice says so. With `resume` and neither of both, a study does what it was asked for.
        threads: threads to train with (default: all cores allowed).
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        precision: "high" (the default) multiplies in float32; "auto" in bfloat16 where the processor is quicker at it
            and a check on the first epochs finds the validation score unharmed. With `resume` that of the study.
        single: one network instead of an ensemble, trained on all rows but the test's.
        resume: the folder of an earlier study to go on from; `data` and `target` may then be left out.
        drop: columns to leave out, as "a,b" or a list.
        number: columns to take as numbers.
        category: columns to take as categories.
        weight: a column of row weights.
        storage: a database URL for the trials (default: a file in the study's folder), such as
            "postgresql+psycopg://user@host/database". Its password is not kept: with `resume` give the URL again, or
            the password as the database's own tools take it (PGPASSWORD, ~/.pgpass).
        quiet: show no progress. Otherwise a notebook has a line that says how far the search is, and a terminal the
            panel of the command line; scripts without a terminal show nothing.
        callbacks: as in `tt.fit`, told of every run, by a name such as "trial 12, fold 3"; what answers True to an
            epoch ends that run alone.
        listeners: objects with any of the methods started, notice, schema, baseline, progress, told how the search
            goes; they take the place of the progress that is shown.
        stop: an event that ends the search with the best so far; for networks of your own also when a run stops, as in
            `tt.fit`.
        abort: an event that ends it at once, to be resumed.
        started: the `time.monotonic()` reading from which the budget counts (default: now).
        fixed: any knob with a fixed value, such as `loss="mae"` or `lr=1e-3`; for networks of your own those of
            `tt.fit`. With `resume` a knob of a table is held from then on, and a notice says so.

    A study of networks of your own has `study.module`, the best of them as it was scored.

    Raises DataError, OptionError and StudyError, each with what to do about it.
    """
    given = _under_one_name(dict(locals()))
    with _listening(given) as listeners:
        given["listeners"] = listeners
        return _tune_networks(given) if callable(source) else _tune_table(given)


def look(**options: Any) -> Prepared:
    """The table as `tune` with these options would learn from it, every option checked; nothing is trained or written.

    Raises what `tune` would raise before it trains.
    """
    bound = inspect.signature(tune).bind(**options)
    bound.apply_defaults()
    with lanes_in_threads():
        job, data, test_rows, folder, _ = _table_job(bound.arguments)
        return job.look(data, test_rows, folder)


def _under_one_name(given: dict[str, Any]) -> dict[str, Any]:
    """The rows to train on as `data`, whichever of its names they were given by: `train`, or the second place behind
    networks of one's own."""
    target = given["target"]
    several = target if isinstance(target, (list, tuple)) else (target,)
    is_column = target is None or all(isinstance(each, str) for each in several)
    if callable(given["source"]) and given["data"] is None and given["train"] is None and not is_column:
        given |= {"target": None, "data": target}
    if given["train"] is not None:
        given["data"] = Material.one_of(given["train"], given["data"])
    return given


def _tune_table(given: Mapping[str, Any]) -> Study:
    resume = _path(given["resume"])
    if resume is not None:
        StudyFolder.open(resume)
    with locked(resume) if resume is not None else nullcontext(), lanes_in_threads():
        job, data, test_rows, folder, notices = _table_job(given)
        return job.run(data, test_rows, folder, _path(given["out"]), notices)


def _limits(given: Mapping[str, Any]) -> tuple[int | None, int]:
    """How many trials at most, and how many threads."""
    if given["precision"] not in (None, *PRECISIONS):
        raise unknown_choice("precision", str(given["precision"]), PRECISIONS)
    trials, threads = (None if given[n] is None else whole(n, given[n], 1) for n in ("trials", "threads"))
    if given["resume"] is not None:
        resume = Path(given["resume"])
        StudyFolder.open(resume)
        if given["out"] is not None:
            raise OptionError(
                "--out is for a new study: one that is resumed stays in its folder. Leave one of both out."
            )
        if given["budget"] is None and trials is None:
            trials = trials_asked_for(resume)
    return trials, threads or cores()


def _storage(given: Mapping[str, Any]) -> str | None:
    return None if given["storage"] is None else checked_address(given["storage"])


def _clock(given: Mapping[str, Any], trials: int | None) -> Budget:
    started, stop, abort = (given[name] for name in ("started", "stop", "abort"))
    for name, event in (("stop", stop), ("abort", abort)):
        if event is not None and not isinstance(event, threading.Event):
            raise OptionError(f"{name} is {event!r}: it must be a threading.Event.")
    return Budget(
        seconds_for(given["budget"], trials),
        started=time.monotonic() if started is None else started,
        stop=stop or threading.Event(),
        abort=abort or threading.Event(),
    )


def _table_job(given: Mapping[str, Any]) -> tuple[Job, Any, Any, StudyFolder | None, list[str]]:
    """The job over a table, its data and test rows, the study that it goes on with, and what is said of that."""
    trials, threads = _limits(given)
    clock = _clock(given, trials)
    if given["space"] is not None:
        raise OptionError("space= belongs to networks of your own: give a function that makes them first.")
    if not is_usual(given["valid"]):
        raise OptionError(
            "valid= belongs to networks of your own, and has no effect on a table: name a column of parts with "
            "--split, or give (train, valid, test) frames."
        )
    if given["source"] is not None and given["data"] is not None:
        raise OptionError("There are two tables, the first argument and data=: give one of them.")
    for name in ("task", "split", "weight", "storage"):
        if given[name] is not None and not isinstance(given[name], str):
            raise OptionError(f"--{name} is {given[name]!r}: it must be a text.")
    data = given["source"] if given["data"] is None else given["data"]
    test = given["test"]
    if given["resume"] is None:
        refuse_second_split(data, given["split"], test)
    asked: dict[str, Any] = {
        "data": _reference(data), "target": given["target"], "task": given["task"], "split": given["split"],
        "test": None if is_usual(test) else _reference(test), "drop": _listed(given["drop"]),
        "number": _listed(given["number"]), "category": _listed(given["category"]), "weight": given["weight"],
        "seed": None if given["seed"] is None else whole("seed", given["seed"]), "metric": given["metric"],
        "fixed": dict(given["fixed"]), "storage": _storage(given), "refit": given["refit"],
        "single": given["single"], "precision": given["precision"],
        "trials": trials,
    }  # fmt: skip
    folder, notices = None, []
    if given["resume"] is not None:
        folder = StudyFolder.open(Path(given["resume"]))
        asked, data, test, notices = _as_asked_before(folder, asked, data, test)
    elif data is None:
        raise OptionError("There is no data: name a file, or a study to go on from with --resume.")
    else:
        usual = {"task": "auto", "split": "random", "seed": 0, "precision": PRECISIONS[0]}
        usual |= {"test": USUAL_TEST_SHARE} if is_usual(test) else {}
        asked |= {name: value for name, value in usual.items() if asked[name] is None}
    job = Job(
        clock, given["listeners"], asked, trials, device_named(given["device"]), threads, runs=_runs(given),
        is_resumed=folder is not None,
    )  # fmt: skip
    return job, data, USUAL_TEST_SHARE if is_usual(test) else test, folder, notices


@contextmanager
def _listening(given: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """The caller's listeners, or else what shows the search where somebody looks."""
    listeners = _checked_listeners(given["listeners"])
    if listeners or given["quiet"]:
        yield listeners
        return
    from trimtab.terminal.panel import view_in_python

    with view_in_python() as view:
        yield (view,)


def _checked_listeners(given: Any) -> tuple[object, ...]:
    listeners = tuple(given) if isinstance(given, (list, tuple, set)) else (given,)
    for listener in listeners:
        kind = f"the class {listener.__name__}" if isinstance(listener, type) else with_article(type(listener).__name__)
        if hasattr(listener, "epoch_ended"):
            raise OptionError(f"listeners holds {kind}, which is told of epochs: give it as callbacks=.")
        if isinstance(listener, type) or not any(callable(getattr(listener, name, None)) for name in HEARD):
            raise OptionError(f"listeners holds {kind}: give objects with a method {listed(HEARD, 'or')}.")
    return listeners


def _runs(given: Mapping[str, Any]) -> Listening | None:
    """Who is told of runs, None for nobody."""
    listening = Listening(given["callbacks"])
    return None if listening.is_idle else listening


def _path(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out)


def _listed(names: Any) -> Any:
    """Names of columns for the study's document; what is no sequence of them is refused where the table is known."""
    return [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else names


def _tune_networks(given: Mapping[str, Any]) -> Study:
    stop, fixed = given["stop"], dict(given["fixed"])
    if stop is not None and not isinstance(stop, threading.Event):
        given, fixed = {**given, "stop": None}, {**fixed, "stop": stop}
    (trials, threads), valid, test = _limits(given), given["valid"], given["test"]
    clock, resume = _clock(given, trials), _path(given["resume"])
    usual = {"task": "auto", "split": "random"}
    _refuse(target=given["target"], **{name: given[name] for name, value in usual.items() if given[name] != value})
    _refuse(**{name: given[name] for name in ("refit", "single", "drop", "number", "category", "weight")})
    _refuse(precision=given["precision"] not in (None, "high"))
    rows = Material.one_of(None, given["data"])
    valid = USUAL_VALID_SHARE if is_usual(valid) else valid
    seed = None if given["seed"] is None else whole("seed", given["seed"])
    if resume is not None:
        # No seed is a usual one here: what is given has to be that of the study.
        seed = seed_of(resume, seed_of(resume, 0) if seed is None else seed, usual=-1)
    job = ModuleJob(
        clock, given["listeners"], seed=seed or 0, max_trials=trials, device=device_named(given["device"]),
        threads=threads, metric=given["metric"], storage=_storage(given),
        share=float(valid) if isinstance(valid, (int, float)) else None, runs=_runs(given),
    )  # fmt: skip
    with lanes_in_threads(), for_training(), locked(resume) if resume is not None else nullcontext():
        material = Material.read(rows, valid, seed=job.seed, batch_size=None)
        if material.is_streamed:
            reason = material.reason
            raise OptionError(f"A search reads the same rows again and again, and of these {reason}: use tt.fit.")
        knobs = _module_space(Networks(given["source"]), material, given["space"] or {}, fixed)
        test = None if is_usual(test) or (isinstance(test, str) and test == "none") else test
        return job.run(knobs, material, test, resume, _path(given["out"]))


def _module_space(
    networks: Networks, material: Material, space: Mapping[str, Any], fixed: Mapping[str, Any]
) -> ModuleSpace:
    domains = domains_of(space, networks)
    both = next((name for name in domains if name in fixed), None)
    if both is not None:
        raise OptionError(f"{both} is in space and also fixed: leave one of the two out.")
    knobs = ModuleSpace(networks, domains, fixed, rows=len(material.first.weights))
    knobs.refuse_idle()
    if material.batch_size and not {"batch_size"} & {*fixed, *space}:
        knobs = replace(knobs, fixed={**fixed, "batch_size": material.batch_size})
    return knobs


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
        return [part.strip() for part in value.split(",")]
    return [part for each in value for part in _as_written(each)] if isinstance(value, (tuple, list)) else value


def _as_asked_before(folder: StudyFolder, asked: dict, data: Any, test: Any) -> tuple[dict, Any, Any, list[str]]:
    """The options of the study being resumed, its data and test rows, and what a user ought to know of them; refuses
    options that would change its data, split or metric."""
    before = folder.read("study.json")["asked"]
    for name in KEPT:
        if asked[name] not in (None, []) and _as_written(asked[name]) != _as_written(before.get(name)):
            raise StudyError(
                f"--{name} {asked[name]} differs from the study in {folder.path} ({before.get(name)}): a resumed study "
                "keeps its data, split and metric. Leave the option out, or start a new study."
            )
    precision = before.get("precision", PRECISIONS[0])
    merged = {
        **before,
        "precision": asked["precision"] or precision,
        "refit": asked["refit"] or before["refit"],
        "single": asked["single"] or before["single"],
    }
    merged["trials"] = before.get("trials") if asked["trials"] is None else asked["trials"]
    merged["storage"] = address_of(folder, before.get("storage"), asked["storage"])
    merged["fixed"] = {**before["fixed"], **asked["fixed"]}
    notices = words_of_held_knobs(before["fixed"], asked["fixed"])
    notices += words_of_precision(precision, merged["precision"])
    if data is None:
        data = before["data"]
        if data is None:
            raise StudyError(
                f"The study in {folder.path} was made from a frame: give the same data again to resume it."
            )
    if is_usual(test) and before["test"] is not None:
        test = before["test"]
    return merged, data, test, notices
