"""Reserve: how much of a budget is kept for what comes after the search, by what it costs on this machine.

Knows trials, tables and clocks; it trains nothing, and decides nothing but seconds.
"""

import time
from collections.abc import Sequence

import numpy
import torch

from trimtab.studies.choice import CANDIDATES, ROUNDS
from trimtab.studies.learnt_neighbours import seconds_to_ask
from trimtab.studies.remembering import affordable, seconds_to_recall
from trimtab.table.prepared import Prepared
from trimtab.training.metrics import Metric, bootstrap_all, metrics_for, repetitions_for
from trimtab.tuning.baselines import BASELINES, FITTED_BASELINES
from trimtab.tuning.halves import divisions
from trimtab.tuning.trial import TrialRecord

# Storing what still trains, saving, writing the result: seconds, and a share of the budget, for there is more to store
# after a longer search (0.3 to 0.7 s of budgets of 11 to 30 s on a slow machine; guesses beyond).
BESIDE, SHARE_BESIDE = 0.6, 0.012
# Encoding rows, and predicting them by all networks: for each number, on a slow machine.
SECONDS_PER_CELL = 1e-6
# So many numbers are looked at, so often, to see how long the intervals will take.
REHEARSED_NUMBERS, REHEARSALS = 100_000, (2, 10)
# As many numbers as an ensemble's choice looks at in a step at most (tuning/ensemble.py).
LARGEST_POOL = 4_000_000
# A guess: a search finishes a trial in this time, and so has that many to choose from.
SECONDS_OF_A_TRIAL = 2.0
# A network that is trained on all rows takes longer than beside others in the search, and the longest where their steps
# were compiled. The networks of eight tables took 0.5 to 1.1 of what this says, one 1.8 (the second figure is a guess).
ALONE, ALONE_NOT_COMPILED = 1.5, 2.25
# The share of a budget that is kept for the end at most: without a search there is nothing to choose (a guess).
MOST_OF_FINISH = 0.25


def finishing_seconds(prepared: Prepared, metric: Metric, *, budget: float, single: bool, lessons: int = 0) -> float:
    """What choosing, judging and saving take after a search of `budget` seconds, with networks of so many `lessons` of
    whom to ask; the intervals and the choice by trying how quick this machine is."""
    rows, outputs = len(prepared.targets), prepared.target_encoder.outputs
    judged = rows if prepared.test is None else prepared.test.height
    candidates = min(CANDIDATES, 4 + int(budget / SECONDS_OF_A_TRIAL))
    predicted = len(numpy.unique(numpy.concatenate([validation for _, validation in prepared.folds])))
    halves = divisions(candidates * predicted * outputs)
    lanes = len(BASELINES) + (halves if prepared.test is None else 1)
    setting_up, drawing = _seconds_of_a_number(metric, outputs)
    intervals = lanes * judged * outputs * (setting_up + repetitions_for(judged) * drawing)
    chosen = 0.0
    if not single:
        looked_at = 1 if metric.name == "log_loss" else outputs
        pool = min(LARGEST_POOL, candidates * predicted * looked_at)
        # Each half of a division holds half of the rows.
        chosen = ROUNDS * (1 + halves) * pool * _seconds_of_a_choice(metric, looked_at)
        chosen += affordable(prepared, budget) * seconds_to_recall(prepared)
        chosen += lessons * seconds_to_ask(prepared)
    cells = (rows + judged) * max(8, prepared.encoder.n_numbers)
    return BESIDE + SHARE_BESIDE * budget + SECONDS_PER_CELL * cells + intervals + chosen


def _seconds_of_a_number(metric: Metric, outputs: int) -> tuple[float, float]:
    """What all figures of the task take for each number that was predicted: once, and in each draw of the rows."""
    lanes = _rehearsed(metric, outputs)
    numbers, taken = lanes[0].numel(), []
    for repetitions in REHEARSALS:
        started = time.perf_counter()
        bootstrap_all(metrics_for(metric.task, outputs), *lanes, seed=0, repetitions=repetitions)
        taken.append(time.perf_counter() - started)
    each = max(0.0, taken[1] - taken[0]) / (REHEARSALS[1] - REHEARSALS[0])
    return taken[0] / numbers, each / numbers


def _seconds_of_a_choice(metric: Metric, outputs: int) -> float:
    """What a choice by `metric` takes for each number that it looks at."""
    predictions, target, weight = _rehearsed(metric, outputs)
    started = time.perf_counter()
    metric.prepare(predictions, target)(weight.unsqueeze(1))
    return (time.perf_counter() - started) / predictions.numel()


def _rehearsed(metric: Metric, outputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predictions of two lanes, what was to be predicted, and weights: drawn at random."""
    rows = max(50, REHEARSED_NUMBERS // (2 * outputs))
    generator = numpy.random.default_rng(0)
    predictions = torch.from_numpy(generator.random((2, rows, outputs)))
    target = torch.from_numpy(generator.random((rows, outputs)))
    if metric.task == "classification":
        predictions /= predictions.sum(2, keepdim=True)
        target = torch.from_numpy(generator.integers(0, outputs, rows))
    return predictions, target.expand(2, *target.shape), torch.ones(rows, dtype=torch.float64).expand(2, -1)


def training_seconds(record: TrialRecord, *, rows: int, of_folds: Sequence[int], is_compiled: bool) -> float:
    """What one more network of `record` takes on all `rows`, trained to the epoch at which its folds were best, by what
    those took with so many rows each."""
    share = rows / sum(of_folds)
    if record.name in FITTED_BASELINES:
        return share * record.seconds
    epochs = sum(record.best_epochs) / max(1, sum(record.epochs or record.best_epochs))
    return share * epochs * record.seconds * (ALONE_NOT_COMPILED if is_compiled else ALONE)
