"""Set-ups become trainings: those of one data set side by side, each kept on disk as the record that rules read."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from benchmarks.faults.loops import without_zero_grad
from benchmarks.faults.networks import network
from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task
from trimtab.findings.judged import errors_of
from trimtab.findings.of_run import facts_of, record_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.fit import recipe_of
from trimtab.listeners.listeners import Listeners
from trimtab.machine import lanes_in_threads
from trimtab.networks.datasets import Datasets
from trimtab.networks.fitting import Fitting
from trimtab.networks.networks import Networks
from trimtab.networks.runs import NamedRecipe, Runs, for_training
from trimtab.training.metrics import greater_is_better, metric_for

OUTLIERS = {"outliers 1 %": (0.01, 30.0), "outliers 2 %": (0.02, 20.0), "outliers 5 %": (0.05, 10.0)}


def trained(setups: Sequence[Setup], tasks: dict[str, Task], cache: Path) -> dict[str, TrainingRecord]:
    """The record of each set-up by its key; what `cache` has already is read."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = {each.key: each for each in setups if not (cache / f"{each.key}.json").exists()}
    groups: dict[tuple, list[Setup]] = {}
    for each in missing.values():
        groups.setdefault(each.group, []).append(each)
    for (name, _), members in groups.items():
        for each, (record, told) in zip(members, _group(members, tasks[name]), strict=True):
            numpy.savez(cache / f"{each.key}.npz", **told)  # type: ignore[arg-type]
            (cache / f"{each.key}.json").write_text(json.dumps(_document(record)))
    return {each.key: read(each.key, cache) for each in setups}


def read(key: str, cache: Path) -> TrainingRecord:
    """The record under `key`, with the facts that its predictions tell."""
    record, told = _record(json.loads((cache / f"{key}.json").read_text())), predicted(key, cache)
    if not told:
        return record
    metric = metric_for(record.metric, record.task, int(record.facts["outputs"]))  # type: ignore[arg-type]
    truth, of_train = (torch.from_numpy(told[name]) for name in ("truth", "trained"))
    return replace(record, facts={**record.facts, **facts_of(told["predictions"], truth, of_train, metric)})


def predicted(key: str, cache: Path) -> dict[str, numpy.ndarray]:
    """The `predictions` for the validation rows, their `truth`, and that of the training rows."""
    with numpy.load(cache / f"{key}.npz") as told:
        return dict(told)


def _group(setups: Sequence[Setup], task: Task) -> list[tuple[TrainingRecord, dict[str, numpy.ndarray]]]:
    one = setups[0]
    train, valid = (
        _changed(part, one.change, task) for part in task.parts(train=one.train, valid=one.valid, seed=one.split)
    )
    if one.loop:
        return [(without_zero_grad(each, task, train, valid), {}) for each in setups]
    factory = partial(network, task.inputs.shape[1], task.outputs, is_flat=task.is_regression)
    networks = Networks(factory)
    metric = one.metric or task.metric
    with lanes_in_threads(), for_training():
        recipes = [recipe_of(networks, {**each.network, **each.knobs}) for each in setups]
        datasets = Datasets.read(train, valid, seed=one.split, batch_size=None)
        fitting = Fitting(networks, datasets, recipes[0], metric=metric, seed=one.split, device=torch.device("cpu"))
        jobs = [
            NamedRecipe(str(i), recipe, each.seed) for i, (each, recipe) in enumerate(zip(setups, recipes, strict=True))
        ]
        made = Runs(fitting, Listeners([])).made(jobs)
        fold = fitting.training_data.folds[0]
        truth, of_train = (fitting.training_data.truth(rows) for rows in (fold.validation, fold.train))
    records = []
    for run in made:
        facts = {"parameters": run.weights.numel(), "inputs": task.inputs.shape[1], "outputs": max(2, task.outputs)}
        facts["outputs"] = task.outputs if task.is_regression else facts["outputs"]
        told = {"predictions": run.predictions, "truth": truth.numpy(), "trained": of_train.numpy()}
        record = (
            record_of(
                run.curves, fitting.complete(recipes[run.request.trial]).config, metric=metric,
                greater_is_better=greater_is_better(fitting.metric), best_epoch=run.best_epoch, ended=run.ended,
                task=fitting.task, facts={name: float(value) for name, value in facts.items()},
            )
        )  # fmt: skip
        records.append((record, told))
    return records


def _changed(part: tuple[Tensor, Tensor], change: str, task: Task) -> tuple[Tensor, Tensor]:
    inputs, y = part
    if change.startswith("inputs x "):
        return inputs * float(change.removeprefix("inputs x ")), y
    if change.startswith("target x "):
        return inputs, y * float(change.removeprefix("target x "))
    if change in OUTLIERS:
        share, size = OUTLIERS[change]
        rng, wild = numpy.random.default_rng(len(y)), torch.tensor(wild_rows(len(y), share))
        rng.random(len(y))
        return inputs, torch.where(wild, y + size * torch.tensor(rng.choice([-1.0, 1.0], len(y)), dtype=y.dtype), y)
    if change.startswith("flipped "):
        rng = numpy.random.default_rng(len(y))
        wild = torch.tensor(rng.random(len(y)) < float(change.removeprefix("flipped ")))
        return inputs, torch.where(wild, torch.tensor(rng.permutation(y.numpy())), y)
    assert not change, change
    return part


def wild_rows(rows: int, share: float) -> numpy.ndarray:
    """Which rows of so many are made wild."""
    return numpy.random.default_rng(rows).random(rows) < share


_ARRAYS = ("epochs", "train_loss", "validation_loss", "train_metric", "validation_metric", "rate")


def _document(record: TrainingRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    for name in _ARRAYS:
        values[name] = None if values[name] is None else _listed(values[name])
    for name in ("signals", "by_layer"):
        values[name] = {key: _listed(each) for key, each in values[name].items()}
    values["knobs"] = {
        key: each if isinstance(each, (int, float, str)) else str(each) for key, each in values["knobs"].items()
    }
    return values


def _listed(values: numpy.ndarray) -> Any:
    return [float(f"{value:.6g}") for value in values] if values.ndim == 1 else [_listed(row) for row in values]


def _record(document: dict[str, Any]) -> TrainingRecord:
    values = dict(document)
    for name in _ARRAYS:
        values[name] = None if values[name] is None else numpy.array(values[name], dtype=float)
    values["signals"] = {key: numpy.array(each, dtype=float) for key, each in values["signals"].items()}
    values["by_layer"] = {
        key: numpy.array(each, dtype=float).reshape(len(each), -1) if each else numpy.empty((0, 0))
        for key, each in values["by_layer"].items()
    }
    return TrainingRecord(**values)


def error_of(record: TrainingRecord, *, last: bool) -> float:
    """The error of the weights that were kept (or of the last epoch), lower is better; infinite where there is none."""
    errors = errors_of(record)
    if errors is None or not numpy.isfinite(errors).any():
        return math.inf
    value = errors[-1] if last else numpy.min(numpy.where(numpy.isfinite(errors), errors, math.inf))
    return float(value) if math.isfinite(value) else math.inf
