"""sweep_table: one knob of a table's network, all its values trained at once.

Checks what comes in and hands it to the floors below. Knows no terminal.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import isnan
from typing import Any

import numpy
import torch

from trimtab.errors import OptionError, unknown_knob
from trimtab.findings.of_run import facts_of, record_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.knobs.domains import Choice, Range, Value
from trimtab.knobs.effects import asked_for, needed_for, refuse_unread
from trimtab.knobs.knob import Task
from trimtab.knobs.table import KNOBS, TABLE_KNOBS
from trimtab.listeners.adapters import callbacks_as_listeners
from trimtab.listeners.listeners import Listeners
from trimtab.machine import cores, device_named, lanes_in_threads
from trimtab.model.model import build
from trimtab.model.tensors import training_data
from trimtab.networks.comparison import Predicted
from trimtab.networks.divergence import has_diverged
from trimtab.networks.fitting import TRAINING_ROWS_JUDGED
from trimtab.networks.runs import in_lanes
from trimtab.sweeps.result import Outcome, Sweep, cell, summarised
from trimtab.table.asked import USUAL, USUAL_TEST_SHARE, is_usual, refuse_second_split
from trimtab.table.prepare import prepare
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Factory, Modules
from trimtab.training.lanes.reports import RunReports
from trimtab.training.metrics import Metric, metric_for
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.randomness import initialised, number_from
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.run import NOT_FINITE, Request, RunRecord
from trimtab.training.untrained import untrained_loss
from trimtab.tuning.space import MIDDLE, Space, check_fixed, space_for


def sweep_table(
    data: Any,
    target: str | Sequence[str] | None,
    knob: str,
    values: Sequence[Value] | None = None,
    *,
    seeds: int = 1,
    metric: str | None = None,
    test: Any = USUAL,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    callbacks: Any = (),
    **fixed: Value,
) -> Sweep:
    """Train a table's network once for every value of `knob`, fold and seed, all of them at once.

    Arguments:
        data, target, data_options: as in `tt.tune` (the options: task, split, drop, number, category, weight).
        knob, values: one of the knobs of `tt.tune`, and what it is to be (default: values over what a search tries).
        seeds: runs per fold and value; values are compared in pairs of the same fold and seed.
        metric: what values are compared by (the task's default), on validation rows.
        test: the test part of `tt.tune`, left alone by a sweep: with the same `test`, split and seed, what is found
            here is tested there on rows that had no say in it. "none": every row takes part.
        callbacks: as in `tt.fit`, told of every run by its value, fold and seed.
        fixed: the other knobs; those left out stand where a search begins.

    Raises DataError and OptionError.
    """
    started = time.perf_counter()
    if knob not in TABLE_KNOBS:
        raise unknown_knob(knob, TABLE_KNOBS)
    if knob in fixed:
        raise OptionError(f"{knob} is swept and also fixed: leave one of the two out.")
    options = data_options or {}
    refuse_second_split(data, options.get("split"), test)
    test = USUAL_TEST_SHARE if is_usual(test) else test
    prepared = prepare(data, target=target, test=test, seed=seed, **options)
    task: Task = prepared.target_encoder.task  # type: ignore[assignment]
    measure = metric_for(metric, task, prepared.target_encoder.outputs)
    tensors = training_data(prepared, device_named(device))
    fixed = check_fixed({**needed_for(knob), **fixed}, task)
    space = space_for(task, measure.name, rows=tensors.most_training_rows, columns=prepared.encoder.n_numbers,
                      fixed={})  # fmt: skip
    values = list(values) if values is not None else _values(space, knob)
    _refuse_idle(_usual(space), fixed, knob, values)
    configs = [_config(space, {**fixed, knob: check_fixed({knob: value}, task)[knob]}) for value in values]
    repeats = [(fold, seed + i) for fold in range(len(tensors.folds)) for i in range(seeds)]
    requests = [
        Request(place * len(repeats) + i, config, fold, number)
        for place, config in enumerate(configs)
        for i, (fold, number) in enumerate(repeats)
    ]
    with lanes_in_threads():
        modules = Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network))
        engine = Engine(tensors, modules, Judging(measure), threads=threads or cores())
        listeners = Listeners(callbacks_as_listeners(callbacks))
        names = [
            _named(f"{knob}={cell(value)}", fold if len(tensors.folds) > 1 else None, number if seeds > 1 else None)
            for value in values
            for fold, number in repeats
        ]
        records = _trained(engine, requests, names, listeners)
    starts = _Starts(tensors, modules.factory)
    outcomes = [_outcome(record, starts.of(record.request), measure) for record in records]
    by_value = [outcomes[i : i + len(repeats)] for i in range(0, len(outcomes), len(repeats))]
    result = summarised(
        [{knob: value} for value in values], by_value, measure.shown, measure.name,
        predicted=_predicted(tensors, measure, repeats, by_value, prepared.units), runs=(),
        seconds=time.perf_counter() - started, greater_is_better=measure.greater_is_better,
    )  # fmt: skip
    if result.place is None:
        return result
    of_best = records[result.place * len(repeats) : (result.place + 1) * len(repeats)]
    return replace(result, trained=tuple(_record(record, tensors, measure) for record in of_best))


def _record(record: RunRecord, data: TrainingData, metric: Metric) -> TrainingRecord:
    """A run as the rules read it."""
    fold = data.folds[record.request.fold]
    facts = facts_of(record.predictions, data.truth(fold.validation), data.truth(fold.train), metric)
    return record_of(
        record.curves, record.request.config, metric=metric.name, greater_is_better=metric.greater_is_better,
        best_epoch=record.best_epoch, ended=record.ended, task=data.task, facts=facts,
    )  # fmt: skip


def _named(value: str, fold: int | None, seed: int | None) -> str:
    """What a run is called; where there is one fold, or one seed, it is not said."""
    of_fold = [] if fold is None else [f"fold {fold + 1}"]
    return ", ".join([value, *of_fold, *([] if seed is None else [f"seed {seed}"])])


def _trained(
    engine: Engine, requests: Sequence[Request], names: Sequence[str], listeners: Listeners
) -> list[RunRecord]:
    """The records of all requests, in their order; `listeners` are told of each by its name."""
    reports = RunReports(listeners)
    with listeners:
        reports.admitted(requests, names)
        records = sorted(in_lanes(engine, requests, reports), key=lambda record: record.request.trial)
        for record in records:
            reports.ended(record, engine.judging.shown(record.error))
    return records


def _values(space: Space, knob: str) -> list[Value]:
    """What a search would try, or all there is to choose from."""
    about = KNOBS[knob]
    # Names that are structures cost a compile each: of those a sweep takes the ones that a search would.
    if about.options and not about.is_structural:
        return list(about.names_for(space.task))
    domain = about.swept or space.domains.get(knob)
    if isinstance(domain, Choice):
        return list(domain.values)
    if isinstance(domain, Range):
        points = (numpy.geomspace if domain.log else numpy.linspace)(domain.low, domain.high, about.points).tolist()
        return sorted({round(point) for point in points}) if domain.integer else points
    raise OptionError(f"{knob} has no usual values: say which with --values.")


def _refuse_idle(usual: Mapping[str, Value], fixed: Mapping[str, Value], knob: str, values: Sequence[Value]) -> None:
    """Raise OptionError for a knob, held still or swept, that none of the runs reads."""
    parts = {name: (fixed.get(name, usual[name]),) for name in ("loss", "optimizer", "inputs", "depth")}
    refuse_unread([*asked_for(fixed), knob], parts | {knob: tuple(values)})


def _config(space: Space, given: Mapping[str, Value]) -> Config:
    return space.config({**_usual(space), **given})


def _usual(space: Space) -> dict[str, Value]:
    """What a search would begin with."""
    usual: dict[str, Value] = {**MIDDLE, "epochs": space.natural_epochs, "tau": KNOBS["tau"].default}
    usual["loss"] = "mse" if space.task == "regression" else "cross_entropy"
    sizes = space.domains["batch_size"]
    assert isinstance(sizes, Choice)
    usual["batch_size"] = sizes.values[len(sizes.values) // 2]
    return usual


def _outcome(record: RunRecord, untrained: tuple[float, float], metric: Metric) -> Outcome:
    shown = record.curves.validation_metric[-1]
    last = 1 - shown if metric.greater_is_better else shown
    if isnan(last) and record.ended != NOT_FINITE:
        # The metric says nothing of this fold (roc_auc where a class is missing): the run was judged by its loss.
        last = record.error
    return Outcome(record.error, last, has_diverged(record, untrained), record.best_epoch, record.predictions)


class _Starts:
    """The losses on training and validation rows that runs begin with; runs that begin alike share them."""

    def __init__(self, data: TrainingData, factory: Factory) -> None:
        self._data, self._factory = data, factory
        self._known: dict[tuple, tuple[float, float]] = {}

    def of(self, request: Request) -> tuple[float, float]:
        config, fold = request.config, self._data.folds[request.fold]
        key = (config.network, config.initial, config.loss, request.seed, request.fold)
        if key not in self._known:
            number = number_from("run", request.seed, request.fold)
            module = initialised(partial(self._factory, **config.module_arguments), number).to(self._data.device)
            classes = self._data.outputs if self._data.task == "classification" else 0
            losses = LossCoefficients.stack([config.loss], classes, self._data.device)
            some = torch.linspace(0, len(fold.train) - 1, min(TRAINING_ROWS_JUDGED, len(fold.train))).long()
            program = program_for(module)
            train, validation = (
                untrained_loss(program, module, self._data, rows, losses)
                for rows in (fold.train[some.to(fold.train.device)], fold.validation)
            )
            self._known[key] = train, validation
        return self._known[key]


def _predicted(
    data: TrainingData,
    metric: Metric,
    repeats: list[tuple[int, int]],
    by_value: list[list[Outcome]],
    units: numpy.ndarray,
) -> Predicted:
    judged = [data.folds[fold].validation for fold, _ in repeats]
    predictions = [[outcome.predictions for outcome in outcomes] for outcomes in by_value]
    truth = [data.truth(rows).cpu() for rows in judged]
    weights = [data.weights[rows].cpu() for rows in judged]
    return Predicted(predictions, truth, weights, metric, [units[rows.numpy(force=True)] for rows in judged])
