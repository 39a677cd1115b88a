"""tt.sweep: one or two knobs, all their values trained at once.

Checks what comes in and hands it to the floors below. Knows no terminal.
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
from torch import nn

from trimtab.errors import OptionError
from trimtab.fit import finished, recipe_of, share_of
from trimtab.listeners.adapters import callbacks_as_listeners
from trimtab.listeners.listeners import Listeners
from trimtab.machine import cores, device_named, lanes_in_threads
from trimtab.networks.comparison import Predicted, metric_of_loss
from trimtab.networks.datasets import Datasets
from trimtab.networks.divergence import has_diverged, is_unscored
from trimtab.networks.fitting import Fitting
from trimtab.networks.networks import Networks
from trimtab.networks.reading import BY_TASK
from trimtab.networks.recipe import LOSS_KNOBS, Recipe, plain, refuse_idle, split_knobs
from trimtab.networks.runs import NamedRecipe, Runs, for_training, require_scores
from trimtab.networks.several import is_one_after_all, is_sequence, several, takes_sequence
from trimtab.sweeps.result import Outcome, Sweep, cell, summarised
from trimtab.text.wording import counted
from trimtab.training.config import Listed, whole
from trimtab.training.metrics import greater_is_better
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.training.run import RunRecord

# Beyond so many runs their curves alone take gigabytes of memory (a guess).
MOST_RUNS = 20_000


def sweep(
    module: nn.Module | Callable[..., nn.Module],
    train: Any = None,
    valid: Any = 0.2,
    *,
    data: Any = None,
    seeds: int = 3,
    metric: str | OwnMetric | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    callbacks: Any = (),
    evaluate_every: int = 1,
    **knobs: Any,
) -> Sweep:
    """Train a network once for every value of one or two knobs and every seed, all of them at once.

    With `lr=numpy.geomspace(1e-5, 10, 24)` this is a learning-rate finder that trains instead of guessing.

    Arguments:
        module: a `torch.nn.Module`, copied with its weights (seeds then differ in row order and dropout), or a function
            that makes one, called once for each seed; its own arguments are knobs too.
        train: as in `tt.fit`; `data` is another name for it.
        valid: as in `tt.fit`.
        seeds: how many runs each value gets; they begin at `seed`. Runs of one seed see the same batches, so that
            values are compared in pairs.
        metric: what values are compared by; None: the validation loss, or the task's default metric where the loss
            itself is swept: values of different losses cannot be compared. (Each run's best epoch is chosen by its own
            loss then.)
        seed: the first of the seeds, and that of the rows set aside.
        device: as in `tt.fit`.
        threads: threads to train with (all cores).
        callbacks: as in `tt.fit`, told of every run by its name.
        evaluate_every: as in `tt.fit`.
        knobs: as in `tt.fit`; one or two of them as a list, array or range of values. Where one value is a list
            already (groups, class_weights, an argument of the function that is one) several are a list of lists.

    Raises a TrimtabError that says what cannot be used and what to do.
    """
    started = time.perf_counter()
    networks, listeners = Networks(module), Listeners(callbacks_as_listeners(callbacks))
    seeds, seed = whole("seeds", seeds, least=1), whole("seed", seed)
    grid, held = _grid_and_held(networks, knobs, seed)
    threads = cores() if threads is None else whole("threads", threads, least=1)
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(combinations) * seeds > MOST_RUNS:
        raise OptionError(
            f"This sweep is {counted(len(combinations) * seeds, 'run')}: {MOST_RUNS:,} at most can be trained at once."
        )
    # Values of different losses cannot be compared; each run's best epoch is still its own loss's.
    by_task = metric is None and bool(set(grid) & LOSS_KNOBS)
    with lanes_in_threads(), for_training():
        recipes = [recipe_of(networks, held | combination) for combination in combinations]
        refuse_idle(recipes)
        datasets = Datasets.read(Datasets.one_of(train, data), valid, seed=seed, batch_size=recipes[0].asked_rows)
        if datasets.batch_size and "batch_size" not in knobs:
            held["batch_size"] = datasets.batch_size
            recipes = [recipe_of(networks, held | combination) for combination in combinations]
        jobs = [
            NamedRecipe(_named(combination, seed + i, seeds), wanted, seed + i)
            for combination, wanted in zip(combinations, recipes, strict=True)
            for i in range(seeds)
        ]
        outcomes, runs, fitting = _trained(
            networks, datasets, jobs, listeners,
            {"metric": BY_TASK if by_task else metric, "judges_by_loss": by_task, "seed": seed,
             "device": device_named(device), "threads": threads,
             "evaluate_every": whole("evaluate_every", evaluate_every, least=1)},
            share_of(valid),
        )  # fmt: skip
    by_value = [outcomes[i : i + seeds] for i in range(0, len(outcomes), seeds)]
    return summarised(
        combinations, by_value, fitting.shown, None if fitting.metric is None else fitting.metric.name,
        predicted=_predicted(fitting, recipes[0], by_value), runs=runs, seconds=time.perf_counter() - started,
        greater_is_better=greater_is_better(fitting.metric),
    )  # fmt: skip


def _grid_and_held(
    networks: Networks, knobs: Mapping[str, Any], seed: int
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The knobs that were given as several values, and those that stand still; lists in a form that cannot change."""
    found = {name: several(networks, name, value) for name, value in knobs.items()}
    firsts = {name: knobs[name] if found[name] is None else next(iter(found[name] or ()), None) for name in knobs}
    others, _ = split_knobs(networks, {name: Listed.of(value) for name, value in firsts.items()})
    grid, held = {}, {}
    for name, values in found.items():
        if values and name in networks.knobs and is_one_after_all(networks, name, values, others, seed):
            values = None
        if values is None:
            held[name] = Listed.of(knobs[name])
            continue
        values = [Listed.of(plain(each)) for each in values]
        if not values:
            raise OptionError(f"{name} has no values to sweep.")
        if len({_same(each) for each in values}) < len(values):
            raise OptionError(f"{name} has a value twice: give each once, and more seeds for more runs of it.")
        grid[name] = values
    if not 1 <= len(grid) <= 2:
        named = ", ".join(grid) or "none"
        lists = sorted(name for name in held if is_sequence(held[name]) and takes_sequence(networks, name))
        hint = f" One value of {lists[0]} is a list: give a list of lists to sweep it." if lists and not grid else ""
        raise OptionError(
            f"A sweep turns one or two knobs, given as lists of values; given so: {named}. For more use tt.tune.{hint}"
        )
    return grid, held


def _same(value: Any) -> Any:
    """Equal for values that are the same knob."""
    if is_sequence(value):
        return tuple(_same(each) for each in value)
    return value if isinstance(value, (bool, int, float, str)) or callable(value) else repr(value)


def _named(combination: Mapping[str, Any], seed: int, seeds: int) -> str:
    parts = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={cell(value)}"
             for name, value in combination.items()]  # fmt: skip
    return ", ".join([*parts, f"seed {seed}"] if seeds > 1 else parts)


def _trained(
    networks: Networks,
    datasets: Datasets,
    jobs: Sequence[NamedRecipe],
    listeners: Listeners,
    how: dict[str, Any],
    share: float | None,
) -> tuple[list[Outcome], tuple, Fitting]:
    """What each job came to; jobs with different functions as loss or optimizer, or with rates of
    dropout and without, are fitted apart."""
    families: dict[tuple, list[int]] = {}
    for place, job in enumerate(jobs):
        recipe = job.recipe
        family = recipe.function, recipe.make_optimizer, recipe.has_own_dropout
        families.setdefault(family, []).append(place)
    outcomes: dict[int, tuple[Outcome, Any]] = {}
    fitting: Fitting | None = None
    for places in families.values():
        own = [jobs[place] for place in places]
        fitting = Fitting(networks, datasets, own[0].recipe, **how)
        if fitting.judges_by_loss and fitting.metric is None:
            raise OptionError("Values of different losses cannot be compared: name a metric= that reads the outputs.")
        for job in own[1:]:
            fitting.check(job.recipe)
        records = Runs(fitting, listeners).made(own)
        if len(families) == 1:  # elsewhere another family may have scores
            require_scores(fitting.metric, records)
        for place, job, record in zip(places, own, records, strict=True):
            run = finished(fitting, record, job.name, job.recipe, share=share)
            outcomes[place] = _outcome(fitting, record), run
    assert fitting is not None
    ordered = [outcomes[place] for place in range(len(jobs))]
    return [outcome for outcome, _ in ordered], tuple(run for _, run in ordered), fitting


def _outcome(fitting: Fitting, record: RunRecord) -> Outcome:
    last = fitting.error_of(record.curves.validation_metric[-1])
    failed = has_diverged(record, fitting.untrained(record.request))
    best = math.nan if is_unscored(record) else fitting.error_of(fitting.best_score(record))
    return Outcome(best, last, failed, record.best_epoch, record.predictions)


def _predicted(fitting: Fitting, wanted: Recipe, by_value: Sequence[Sequence[Outcome]]) -> Predicted | None:
    """The validation rows as `compare` reads them, where predictions were kept and their error is a mean over rows."""
    if not fitting.outputs or fitting.datasets.is_streamed or (fitting.metric is not None and fitting.metric.own):
        return None
    data = fitting.training_data
    judged = data.folds[0].validation
    truth, weights = data.truth(judged).cpu(), data.weights[judged].cpu()
    repeats = len(by_value[0])
    predictions = [[numpy.asarray(outcome.predictions) for outcome in outcomes] for outcomes in by_value]
    metric = fitting.metric or metric_of_loss(fitting.complete(wanted).config.loss, fitting.task)
    return Predicted(predictions, [truth] * repeats, [weights] * repeats, metric)
