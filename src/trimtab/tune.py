"""tt.tune: a table in, or networks of one's own; a tuned model, its scores and the reasons out.

Checks what comes in and hands it to the flow of studies. Knows no terminal and no signals.
"""

import inspect
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import OptionError, unknown_choice
from trimtab.listeners.adapters import callbacks_as_listeners, observers_as_listeners
from trimtab.listeners.listener import Listener
from trimtab.listeners.listeners import Listeners
from trimtab.networks.datasets import Datasets
from trimtab.networks.runs import for_training
from trimtab.studies.call import Call
from trimtab.studies.flow import study_of
from trimtab.studies.network_subject import NetworkSubject
from trimtab.studies.network_work import NetworkWork
from trimtab.studies.request import NetworksRequest, TableRequest
from trimtab.studies.study import Study
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import TableWork
from trimtab.table.prepare import USUAL, Prepared, is_usual
from trimtab.training.config import whole
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.tuning.address import checked_address
from trimtab.tuning.folder import StudyFolder

PRECISIONS = ("high", "auto")
USUAL_VALID_SHARE = 0.2
# Arguments that say how a study is worked on; the others say what it is of.
OF_THE_CALL = ("budget", "trials", "threads", "device", "out", "resume", "stop", "abort", "started")
# Options that only tables have, by what they are where nobody gives them.
OF_TABLES = {"target": None, "task": "auto", "split": "random", "refit": False, "single": False, "drop": (),
             "number": (), "category": (), "weight": None, "precision": "high"}  # fmt: skip


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
        precision: "high" (the default) multiplies in float32; "auto" in bfloat16 where that is quicker: in compiled
            steps of wide networks, on a processor that has units for it. With `resume` that of the study.
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
        listeners: a `tt.Listener`, or objects with any of the methods started, notice, schema, baseline, progress, told
            how the search goes; they take the place of the progress that is shown.
        stop: an event that ends the search with the best so far; for networks of your own also when a run stops, as in
            `tt.fit`.
        abort: an event that ends it at once, to be resumed.
        started: the `time.monotonic()` reading from which the budget counts (default: now).
        fixed: any knob with a fixed value, such as `loss="mae"` or `lr=1e-3`; for networks of your own those of
            `tt.fit`. With `resume` a knob of a table is held from then on, and a notice says so.

    A study of networks of your own has `study.module`, the best of them as it was scored.

    Raises DataError, OptionError and StudyError, each with what to do about it.
    """
    arguments = dict(locals())
    with _listeners(listeners, callbacks, is_quiet=quiet) as told:
        if callable(source):
            return _tune_networks(arguments, told)
        return _tune_table(arguments, told)


def look(**options: Any) -> Prepared:
    """The table as `tune` with these options would learn from it, every option checked; nothing is trained or written.

    Raises what `tune` would raise before it trains.
    """
    bound = inspect.signature(tune).bind(**options)
    bound.apply_defaults()
    call = _call(bound.arguments, Listeners())
    with call.at_work():
        request, _ = _table_request(bound.arguments, call)
        return TableSubject.read(request, call).prepared


# -- whoever listens


@contextmanager
def _listeners(listeners: Any, callbacks: Any, *, is_quiet: bool) -> Iterator[Listeners]:
    """The caller's listeners, or else what shows the search where somebody looks; and the callbacks."""
    of_studies, of_runs = observers_as_listeners(listeners), callbacks_as_listeners(callbacks)
    if of_studies or is_quiet:
        yield Listeners((*of_studies, *of_runs))
        return
    from trimtab.terminal.panel import view_in_python

    with view_in_python() as view:
        shown: tuple[Listener, ...] = (view,)
        yield Listeners((*shown, *of_runs))


def _call(arguments: Mapping[str, Any], listeners: Listeners) -> Call:
    if arguments["precision"] not in (None, *PRECISIONS):
        raise unknown_choice("precision", str(arguments["precision"]), PRECISIONS)
    return Call.checked(**{name: arguments[name] for name in OF_THE_CALL}, listeners=listeners)


# -- tables


def _tune_table(arguments: Mapping[str, Any], listeners: Listeners) -> Study:
    call = _call(arguments, listeners)
    with call.at_work():
        request, notices = _table_request(arguments, call)
        for notice in notices:
            listeners.notice(notice)
        return study_of(TableSubject.read(request, call), call, TableWork)


def _table_request(arguments: Mapping[str, Any], call: Call) -> tuple[TableRequest, list[str]]:
    """What is asked of a table, and what a user ought to know of a study that is gone on with."""
    if arguments["space"] is not None:
        raise OptionError("space= belongs to networks of your own: give a function that makes them first.")
    if not is_usual(arguments["valid"]):
        raise OptionError(
            "valid= belongs to networks of your own, and has no effect on a table: name a column of parts with "
            "--split, or give (train, valid, test) frames."
        )
    data = arguments["data"] if arguments["train"] is None else Datasets.one_of(arguments["train"], arguments["data"])
    if arguments["source"] is not None and data is not None:
        raise OptionError("There are two tables, the first argument and data=: give one of them.")
    names = ("target", "task", "split", "test", "drop", "number", "category", "weight", "seed", "metric", "fixed",
             "storage", "refit", "single", "precision")  # fmt: skip
    said = {name: arguments[name] for name in names if arguments[name] is not None}
    said["data"] = arguments["source"] if data is None else data
    said |= _checked(seed=arguments["seed"], storage=arguments["storage"])
    if call.resume is not None:
        return TableRequest.going_on(StudyFolder.open(call.resume), said)
    return TableRequest.new(said), []


def _checked(*, seed: Any, storage: Any) -> dict[str, Any]:
    """Those of both that were given, in the form in which they are used."""
    made = {} if seed is None else {"seed": whole("seed", seed)}
    return made if not isinstance(storage, str) else made | {"storage": checked_address(storage)}


# -- networks of the caller's own


def _tune_networks(arguments: Mapping[str, Any], listeners: Listeners) -> Study:
    stop = arguments["stop"]
    if stop is not None and not isinstance(stop, threading.Event):
        # When a run stops, and not the search.
        arguments = {**arguments, "stop": None, "fixed": {**arguments["fixed"], "stop": stop}}
    call = _call(arguments, listeners)
    request = _networks_request(arguments)
    with for_training(), call.at_work():
        return study_of(NetworkSubject.read(request, call), call, NetworkWork)


def _networks_request(arguments: Mapping[str, Any]) -> NetworksRequest:
    target, data, train = (arguments[name] for name in ("target", "data", "train"))
    if data is None and train is None and not _names_columns(target):
        data, target = target, None
    own = {**arguments, "target": target}
    given = next((name for name, usual in OF_TABLES.items() if own[name] not in (None, usual) and own[name]), None)
    if given is not None:
        raise OptionError(f"{given}= belongs to tables: leave it out for networks of your own.")
    valid, test, storage = (arguments[name] for name in ("valid", "test", "storage"))
    return NetworksRequest(
        make=arguments["source"], data=Datasets.one_of(train, data),
        valid=USUAL_VALID_SHARE if is_usual(valid) else valid,
        test=None if is_usual(test) or (isinstance(test, str) and test == "none") else test,
        space=arguments["space"] or {}, fixed=arguments["fixed"], metric=arguments["metric"],
        seed=None if arguments["seed"] is None else whole("seed", arguments["seed"]),
        storage=None if storage is None else checked_address(storage),
    )  # fmt: skip


def _names_columns(target: Any) -> bool:
    """Whether the second place holds names of columns; behind networks of one's own it may hold the rows."""
    several = target if isinstance(target, (list, tuple)) else (target,)
    return target is None or all(isinstance(each, str) for each in several)
