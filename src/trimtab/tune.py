"""tt.tune: a table in, or networks of one's own; a tuned model, its scores and the reasons out.

Checks what comes in and hands it to the flow of studies. Knows no terminal and no signals.
"""

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import OptionError
from trimtab.listeners.adapters import callbacks_as_listeners, observers_as_listeners
from trimtab.listeners.listeners import Listeners
from trimtab.networks.datasets import Datasets
from trimtab.networks.runs import for_training
from trimtab.studies.call import Call
from trimtab.studies.flow import study_of
from trimtab.studies.network_subject import NetworkSubject
from trimtab.studies.network_work import NetworkWork
from trimtab.studies.request import NetworksRequest, TableOptions, TableRequest
from trimtab.studies.study import Study
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import TableWork
from trimtab.table.asked import USUAL
from trimtab.table.prepared import Prepared
from trimtab.training.own_metric import Metric as OwnMetric


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
    neighbours: bool = True,
    counterfactuals: str | float | None = None,
    resume: str | Path | None = None,
    drop: str | Sequence[str] = (),
    number: str | Sequence[str] = (),
    category: str | Sequence[str] = (),
    weight: str | None = None,
    storage: str | None = None,
    workers: int | str | None = None,
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
        neighbours: whether the training rows that lie nearest in the last hidden layer of a network may predict, too,
            where that is better out of fold. The model then holds training rows as that network sees them.
        counterfactuals: the share of the time that is spent on what each choice was worth, when the result is there:
            the winner is trained again beside copies that differ in one knob (default: "15%", none of budgets below
            30 s; 0 for none, at most "50%"). Where trials are counted, that share of them.
        resume: the folder of an earlier study to go on from; `data` and `target` may then be left out.
        drop: columns to leave out, as "a,b" or a list.
        number: columns to take as numbers.
        category: columns to take as categories.
        weight: a column of row weights.
        storage: a database URL for the trials (default: a file in the study's folder), such as
            "postgresql+psycopg://user@host/database". Its password is not kept: with `resume` give the URL again, or
            the password as the database's own tools take it (PGPASSWORD, ~/.pgpass).
        workers: train on workers of Ray instead of in this process: how many of this machine, "ray" for one on each of
            its cores, or the address of a cluster that is there, as "ray://HOST:10001" or
            "ray://HOST:10001?workers=32". Each has one core, or `threads` of them.
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
    ends_runs = stop is not None and not isinstance(stop, threading.Event)
    with _listeners(listeners, callbacks, is_quiet=quiet) as told:
        call = Call.checked(
            budget=budget, trials=trials, threads=threads, device=device, out=out, resume=resume,
            stop=None if ends_runs and callable(source) else stop, abort=abort, started=started, listeners=told,
            counterfactuals=counterfactuals, workers=workers,
        )  # fmt: skip
        if callable(source):
            rows, columns = _rows_and_columns(target, data, train)
            _refuse_of_tables(
                target=columns, task=task, split=split, refit=refit, single=single, drop=drop, number=number,
                category=category, weight=weight, precision=precision, neighbours=neighbours,
            )  # fmt: skip
            request = NetworksRequest.checked(
                make=source, data=rows, valid=valid, test=test, space=space, metric=metric, seed=seed, storage=storage,
                fixed=fixed | ({"stop": stop} if ends_runs else {}),
            )  # fmt: skip
            return _tune_networks(request, call)
        options = TableOptions(
            data=_one_table(source, data, train), target=target, task=task, split=split, test=test, drop=drop,
            number=number, category=category, weight=weight, seed=seed, metric=metric, fixed=fixed, storage=storage,
            refit=refit, single=single, neighbours=neighbours, precision=precision, space=space, valid=valid,
        )  # fmt: skip
        return _tune_table(options, call)


def look(data: Any = None, *, budget: Any = None, trials: Any = None, threads: Any = None, device: str = "auto",
         out: Any = None, resume: Any = None, counterfactuals: Any = None, workers: Any = None,
         **options: Any) -> Prepared:  # fmt: skip
    """The table as `tune` with these options would learn from it, every option checked; nothing is trained or written.

    Raises what `tune` would raise before it trains.
    """
    call = Call.checked(
        budget=budget, trials=trials, threads=threads, device=device, out=out, resume=resume, stop=None, abort=None,
        started=None, listeners=Listeners(), counterfactuals=counterfactuals, workers=workers,
    )  # fmt: skip
    named = {each.name for each in dataclasses.fields(TableOptions)}
    fixed = {name: value for name, value in options.items() if name not in named}
    own = {name: value for name, value in options.items() if name in named}
    with call.at_work():
        request, _ = TableOptions(data=data, fixed=fixed, **own).request(call.resume)
        return TableSubject.read(request, call).prepared


@contextmanager
def _listeners(listeners: Any, callbacks: Any, *, is_quiet: bool) -> Iterator[Listeners]:
    """The caller's listeners, or else what shows the search where somebody looks; and the callbacks."""
    of_studies, of_runs = observers_as_listeners(listeners), callbacks_as_listeners(callbacks)
    if of_studies or is_quiet:
        yield Listeners((*of_studies, *of_runs))
        return
    from trimtab.terminal.panel import view_in_python

    with view_in_python() as view:
        yield Listeners((view, *of_runs))


def _tune_table(options: TableOptions, call: Call) -> Study:
    with call.at_work():
        request, notices = options.request(call.resume)
        for notice in notices:
            call.listeners.notice(notice)
        return study_of(TableSubject.read(request, call), call, TableWork)


def _one_table(source: Any, data: Any, train: Any) -> Any:
    """The table, by whichever of its names it was given."""
    other = data if train is None else Datasets.one_of(train, data)
    if source is not None and other is not None:
        raise OptionError("There are two tables, the first argument and data=: give one of them.")
    return source if other is None else other


def _tune_networks(request: NetworksRequest, call: Call) -> Study:
    with for_training(), call.at_work():
        return study_of(NetworkSubject.read(request, call), call, NetworkWork)


def _rows_and_columns(target: Any, data: Any, train: Any) -> tuple[Any, Any]:
    """What networks of one's own train on, which may stand in the second place; and what else stands there."""
    several = target if isinstance(target, (list, tuple)) else (target,)
    names_columns = target is None or all(isinstance(each, str) for each in several)
    if data is None and train is None and not names_columns:
        return target, None
    return Datasets.one_of(train, data), target


def _refuse_of_tables(**options: Any) -> None:
    """Raise OptionError where an option was given that only tables have."""
    said = {name: value for name, value in options.items() if value is False or value}
    given = next((name for name, value in said.items() if value != getattr(TableRequest, name)), None)
    if given is not None:
        raise OptionError(f"{given}= belongs to tables: leave it out for networks of your own.")
