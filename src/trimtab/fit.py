"""tt.fit: a network of the caller's own in, the same network trained out, with its curves.

Checks what comes in and hands it to the floors below. Knows no terminal.
"""

import numbers
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from trimtab.errors import OptionError
from trimtab.listeners.adapters import callbacks_as_listeners
from trimtab.listeners.listeners import Listeners
from trimtab.machine import device_named, lanes_in_threads
from trimtab.networks.conventions_of import conventions_of
from trimtab.networks.datasets import Datasets
from trimtab.networks.fitting import Fitting
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import Recipe, recipe, refuse_idle, split_knobs
from trimtab.networks.runs import NamedRecipe, Runs, for_training
from trimtab.studies.explanation import Explanation
from trimtab.studies.single_run import Run
from trimtab.training.config import whole
from trimtab.training.metrics import greater_is_better
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.training.run import RunRecord


def fit(
    module: nn.Module | Callable[[], nn.Module],
    train: Any = None,
    valid: Any = 0.2,
    *,
    data: Any = None,
    loss: Any = None,
    optimizer: Any = "adam",
    lr: float | None = None,
    schedule: Any = "constant",
    batch_size: int | None = None,
    epochs: int = 100,
    stop: Any = None,
    weight_decay: float | None = None,
    metric: str | OwnMetric | None = None,
    seed: int = 0,
    device: str = "auto",
    callbacks: Any = (),
    checkpoint: str | Path | None = None,
    evaluate_every: int = 1,
    **knobs: Any,
) -> Run:
    """Train a network once, with the best epoch's weights at the end.

    Arguments:
        module: a `torch.nn.Module`, which is copied with its weights and never changed, or a function that makes one.
        train: `(X, y)` or `(X, y, weights)` as tensors, arrays or frames; X may be a tuple or a dict of inputs, y of
            targets; or a Dataset or DataLoader. Inputs and targets are used as given, never scaled. What reads
            differently each time (augmentation, an IterableDataset) is read anew in every epoch.
        data: another name for `train`.
        valid: rows to judge by, in the same forms; or the share of the training rows to set aside at random; or None:
            the training rows judge themselves.
        loss: mse, mae, huber (`delta=`), log_cosh, quantile (`tau=`); cross_entropy, focal (`gamma=`); bce for two
            classes and a network with one output, their logit; or a function `f(output, target)` of a batch that gives
            one number, or one per row. Default: cross_entropy for whole-number targets (one label a row, or one-hot) of
            a network with several outputs, else mse.
        optimizer: gd (all rows in every step), sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, lion; or a
            function of the parameters that makes a `torch.optim.Optimizer`.
        lr: the learning rate (0.001).
        schedule: constant, step, cosine, one_cycle, warmup_cosine, plateau, or a `tt.Schedule`.
        batch_size: rows of a step (32, or that of the DataLoader); 0 is all rows.
        epochs: how often training sees every row, at most.
        stop: None (all epochs run; the best epoch's weights remain), a patience in epochs, or `tt.EarlyStopping`.
        weight_decay: how strongly weights are pulled towards zero (0): decoupled in adamw and lion, an L2 term in the
            others.
        metric: what validation rows are judged by (rmse, mae, r2; log_loss, accuracy, f1, ...), or a `tt.Metric` of
            your own; None: the loss.
        seed: the seed of all that is random: the rows set aside, the order of rows, dropout, and the weights of a
            function's networks.
        device: auto (a GPU where there is one), cpu or cuda.
        callbacks: functions of an epoch's values (answering True ends the run), or objects with any of the methods
            `started(run, config)`, `epoch_ended(run, values)`, `ended(run, result)` and `failed(run, error)` (where the
            call raises before the run has ended).
        checkpoint: a folder; the same call goes on from there after an interruption, as if there had been none.
        evaluate_every: epochs between two evaluations.
        knobs: the function's own arguments, where `module` is one that takes some; and momentum, second_decay, epsilon,
            delta, tau, gamma, class_weights, label_smoothing, dropout (in the place of the rates of nn.Dropout layers),
            dropout_course, decay_course, gradient_clip, averaging, groups.

    Raises a TrimtabError that says what cannot be used and what to do.
    """
    given = knobs | _given(
        loss=loss, optimizer=optimizer, lr=lr, schedule=schedule, batch_size=batch_size, epochs=epochs, stop=stop,
        weight_decay=weight_decay,
    )  # fmt: skip
    listeners = Listeners(callbacks_as_listeners(callbacks))
    networks, seed = Networks(module), whole("seed", seed)
    with lanes_in_threads(), for_training():
        wanted = recipe_of(networks, given)
        datasets = Datasets.read(Datasets.one_of(train, data), valid, seed=seed, batch_size=wanted.asked_rows)
        asked = wanted
        if batch_size is None and datasets.batch_size:
            wanted = recipe_of(networks, given | {"batch_size": datasets.batch_size})
        fitting = Fitting(
            networks, datasets, wanted, metric=metric, seed=seed, device=device_named(device),
            evaluate_every=whole("evaluate_every", evaluate_every, least=1),
        )  # fmt: skip
        refuse_idle([asked])
        listeners.findings(fitting.found_in_rows())
        runs = Runs(fitting, listeners, None if checkpoint is None else _folder(checkpoint), to_be_scored=True)
        started = time.monotonic()
        record = runs.made([NamedRecipe("run", wanted, seed)])[0]
        run = finished(fitting, record, "run", wanted, share=share_of(valid))
        return replace(run, explained=partial(_explained, fitting, seconds=time.monotonic() - started))


def _explained(fitting: Fitting, run: Run, **options: Any) -> Explanation:
    from trimtab.studies.explaining import explained_run

    return explained_run(fitting, run, **options)


def _given(**knobs: Any) -> dict[str, Any]:
    return {name: value for name, value in knobs.items() if value is not None}


def recipe_of(networks: Networks, knobs: Mapping[str, Any]) -> Recipe:
    """The recipe of `knobs`, of which the factory of networks takes its own."""
    network, training = split_knobs(networks, knobs)
    return recipe(training, network)


def _folder(checkpoint: Any) -> Path:
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise OptionError(f"checkpoint is {checkpoint!r}: it must be the path of a folder.")
    return Path(checkpoint)


def share_of(valid: Any) -> float | None:
    """The share of the training rows that `valid` sets aside, if it is one."""
    return float(valid) if isinstance(valid, numbers.Real) else None


def finished(fitting: Fitting, record: RunRecord, name: str, wanted: Recipe, *, share: float | None) -> Run:
    """A record as its owner holds it."""
    return Run(
        name=name,
        module=fitting.trained(record),
        evaluations=record.curves,
        config=record.request.config,
        metric=None if fitting.metric is None else fitting.metric.name,
        score=fitting.best_score(record),
        best_epoch=record.best_epoch,
        epochs=record.epochs,
        ended=record.ended,
        seed=record.request.seed,
        task=fitting.task,
        given=wanted,
        share=share,
        evaluate_every=fitting.evaluate_every,
        has_weights=fitting.datasets.has_weights,
        drops_last=fitting.drops_last,
        reading=conventions_of(fitting),
        is_greater_better=greater_is_better(fitting.metric),
        facts=fitting.facts(record),
        outliers=fitting.outliers(record),
        found_in_rows=fitting.found_in_rows(),
    )
