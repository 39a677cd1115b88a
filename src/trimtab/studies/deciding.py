"""Deciding: which class is predicted, where the metric counts decisions and classes are not equally frequent.

The most probable class is the best guess for accuracy; F1 and balanced accuracy gain where rare classes are predicted
from lower probabilities on. So each class gets a factor that its probability counts. Knows predictions, a metric and
halves of rows; it knows no trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch

from trimtab.text.layout import number
from trimtab.training.metrics import Metric
from trimtab.tuning.ensemble import Half

# The metrics that gain by factors.
BY_CLASS = ("f1", "balanced_accuracy")
# Steps of the logarithm of one class's factor that are tried beside it, each class so often; and the most classes and
# rows (evenly chosen) that it is done for, so that it takes a second at most. Guesses.
STEPS, PASSES = numpy.linspace(-1.5, 1.5, 13), 3
MOST_CLASSES, MOST_ROWS = 30, 20_000


@dataclass(frozen=True)
class Decision:
    """`factors`: what each class's probability is multiplied by before the greatest is predicted; empty where all are
    left as they are. `nested` are the nested predictions, each row multiplied by factors that were chosen without it.
    """

    factors: tuple[float, ...] = ()
    nested: tuple[numpy.ndarray, ...] = ()


# Of each row the most probable class is predicted.
UNDECIDED = Decision()


def decision_for(
    metric: Metric,
    halves: Sequence[Half],
    nested: Sequence[numpy.ndarray],
    predictions_of: Callable[[Half], numpy.ndarray],
    truth: numpy.ndarray,
    weights: numpy.ndarray,
) -> Decision:
    """The factors that serve `metric`, the mean of those that serve it on each half of the rows; none where they are
    no better on rows that had no part in choosing them.

    `predictions_of` a half are those of what was chosen on the other one, for all rows; `nested` are `halves` put
    together in pairs.
    """
    if metric.name not in BY_CLASS or not halves or nested[0].shape[1] > MOST_CLASSES:
        return UNDECIDED
    logarithms, weighed = [], [each.copy() for each in nested]
    for place, half in enumerate(halves):
        made = predictions_of(half)
        others = numpy.isfinite(made).all(axis=1) & (weights > 0)
        others[half.rows] = False
        found = log_factors(metric, made[others], truth[others], weights[others])
        logarithms.append(found)
        weighed[place // 2][half.rows] *= numpy.exp(found)
    known = [numpy.isfinite(each).all(axis=1) & (weights > 0) for each in nested]
    before, after = (
        numpy.mean(
            [_error(metric, each[rows], truth[rows], weights[rows]) for each, rows in zip(some, known, strict=True)]
        )
        for some in (nested, weighed)
    )
    if not after < before:
        return UNDECIDED
    return Decision(tuple(numpy.exp(numpy.mean(logarithms, axis=0)).tolist()), tuple(weighed))


def log_factors(
    metric: Metric, probabilities: numpy.ndarray, truth: numpy.ndarray, weights: numpy.ndarray
) -> numpy.ndarray:
    """The logarithms [classes] of the factors with the least error on these rows, their mean being 0: one class after
    the other, of equally good ones those that change least."""
    if len(truth) > MOST_ROWS:
        some = numpy.linspace(0, len(truth) - 1, MOST_ROWS).astype(int)
        probabilities, truth, weights = probabilities[some], truth[some], weights[some]
    logs, size = numpy.zeros(probabilities.shape[1]), 1.0
    nearest_first = STEPS[numpy.argsort(numpy.abs(STEPS), kind="stable")]
    for _ in range(PASSES):
        for place in range(len(logs)):
            tried = numpy.repeat(logs[None], len(STEPS), axis=0)
            tried[:, place] += size * nearest_first
            errors = [_error(metric, probabilities * numpy.exp(each), truth, weights) for each in tried]
            logs = tried[int(numpy.nan_to_num(errors, nan=numpy.inf).argmin())]
        size /= 3  # finer around what was found
    return logs - logs.mean()


def words_of_factors(labels: Sequence[str], factors: Sequence[float], metric: Metric) -> str:
    """How it is decided, for whoever reads what was found."""
    better = f"out of fold that was better for {metric.name}"
    if len(labels) == 2:
        threshold = factors[0] / (factors[0] + factors[1])
        return f'A row is predicted to be "{labels[1]}" from a probability of {number(threshold)} on: {better}.'
    most = int(numpy.argmax(factors))
    return (
        f'Probabilities have factors before the greatest is predicted, the largest for "{labels[most]}" '
        f"({number(factors[most])}): {better}."
    )


def _error(metric: Metric, predictions: numpy.ndarray, truth: numpy.ndarray, weights: numpy.ndarray) -> float:
    lane = torch.from_numpy(predictions).double(), torch.from_numpy(truth), torch.from_numpy(weights).double()
    return float(metric.error(*(part.unsqueeze(0) for part in lane))[0])
