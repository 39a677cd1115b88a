"""Ensembles: which candidates to average, chosen greedily on rows that none of them trained on.

Knows predictions, targets and a metric; it knows no networks, trials or files.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.errors import StudyError
from trimtab.training.metrics import Metric, bootstrap_errors

Array = Tensor | numpy.ndarray

# Numbers looked at per round; beyond it only the best candidates stay in the pool.
_LARGEST_POOL = 4_000_000
_SMALLEST_POOL = 10
_NUMBERS_AT_ONCE = 200_000
_REPETITIONS = 500


@dataclass(frozen=True)
class Ensemble:
    """What to average: `members` are (candidate number, weight), the heaviest first; the weights add up to 1.

    Errors are the metric's, lower is better, on the rows the selection saw. `gain_is_beyond_noise`: the ensemble beats
    the best single candidate in 97.5 % of paired bootstrap draws of the rows.
    """

    members: tuple[tuple[int, float], ...]
    error: float
    best_single: int
    best_single_error: float
    gain_is_beyond_noise: bool


def select(
    predictions: Float[Array, "candidates rows outputs"] | Sequence[Float[Array, "rows outputs"]],
    target: Float[Array, "rows outputs"] | Int[Array, " rows"],
    weight: Float[Array, " rows"],
    metric: Metric,
    *,
    rounds: int = 25,
    start_best: int = 1,
    seed: int = 0,
) -> Ensemble:
    """Greedy selection with replacement [Caruana et al. 2004], from the `start_best` best candidates on.

    `predictions` are in original units or class probabilities; a row that no candidate predicted is NaN and left out,
    as are candidates that are not finite on the others. Of all sizes up to `rounds` the best is kept, the smaller of
    equals. Raises StudyError where no candidate can be used.
    """
    pool, target, weight, numbers = _usable(predictions, target, weight)
    if metric.name == "log_loss":
        # Only the label's probability counts, and it averages like any other: the rest need not be carried along.
        pool, target = pool.gather(2, target.expand(len(pool), -1).unsqueeze(2)), torch.zeros_like(target)
    singles = _errors(metric, pool, 1, target, weight)
    order = singles.nan_to_num(torch.inf).argsort(stable=True)
    size = max(_SMALLEST_POOL, _LARGEST_POOL // pool[0].numel())
    order = order[:size]
    pool, numbers = pool[order], numbers[order]

    chosen = _grow(metric, pool, target, weight, rounds=rounds, start=min(start_best, len(pool)))
    counts = Counter(chosen)
    members = sorted(((place, count / len(chosen)) for place, count in counts.items()), key=lambda m: (-m[1], m[0]))
    blend = torch.stack([share * pool[place].double() for place, share in members]).sum(0)
    pair = torch.stack([blend, pool[0].double()])
    targets, weights = target.expand(2, *target.shape), weight.expand(2, -1)
    error, best_single_error = metric.error(pair, targets, weights).tolist()
    return Ensemble(
        members=tuple((int(numbers[place]), share) for place, share in members),
        error=error,
        best_single=int(numbers[0]),
        best_single_error=best_single_error,
        gain_is_beyond_noise=len(members) > 1 and _is_beyond_noise(metric, pair, targets, weights, seed),
    )


def _usable(
    predictions: Array | Sequence[Array], target: Array, weight: Array
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Finite predictions (float32) of the rows that count, with their targets, weights and candidate numbers."""
    pool = torch.stack([torch.as_tensor(prediction).float() for prediction in predictions])
    target, weight = torch.as_tensor(target), torch.as_tensor(weight).double()
    is_predicted = pool.isfinite().all(2)
    rows = (is_predicted.any(0) & (weight > 0)).nonzero().squeeze(1)
    numbers = is_predicted[:, rows].all(1).nonzero().squeeze(1)
    if not len(rows) or not len(numbers):
        raise StudyError("No trial has finite predictions for all validation rows: give the search more time.")
    return pool[numbers][:, rows], target[rows], weight[rows], numbers


def _grow(metric: Metric, pool: Tensor, target: Tensor, weight: Tensor, *, rounds: int, start: int) -> list[int]:
    """Places in `pool` (best first), each as often as it was chosen, of the size with the lowest error."""
    chosen = list(range(start))
    total = pool[:start].sum(0)
    best_size, best_error = start, _lowest(_errors(metric, total.unsqueeze(0), start, target, weight))[1]
    while len(chosen) < rounds:
        place, error = _lowest(_errors(metric, pool, len(chosen) + 1, target, weight, total=total))
        chosen.append(place)
        total = total + pool[place]
        if error < best_error:
            best_size, best_error = len(chosen), error
    return chosen[:best_size]


def _lowest(errors: Tensor) -> tuple[int, float]:
    errors = errors.nan_to_num(torch.inf)
    place = int(errors.argmin())
    return place, float(errors[place])


def _errors(
    metric: Metric, pool: Tensor, size: int, target: Tensor, weight: Tensor, *, total: Tensor | None = None
) -> Float[Tensor, " candidates"]:
    """The error of each candidate averaged with the `size - 1` whose sum is `total`."""
    pieces = []
    for piece in pool.split(max(1, _NUMBERS_AT_ONCE // pool[0].numel())):
        blends = piece / size if total is None else (piece + total) / size
        lanes = len(piece)
        # Everything here is finite and counts, so the checks of `metric.error` would be spent for nothing.
        measure = metric.prepare(blends, target.expand(lanes, *target.shape))
        pieces.append(measure(weight.expand(lanes, 1, -1)).squeeze(1))
    return torch.cat(pieces)


def _is_beyond_noise(metric: Metric, pair: Tensor, targets: Tensor, weights: Tensor, seed: int) -> bool:
    """Whether the first of two predictions beats the second in 97.5 % of draws of the rows."""
    ensemble, single = bootstrap_errors(metric, pair, targets, weights, seed=seed, repetitions=_REPETITIONS)
    gains = single - ensemble
    gains = gains[~gains.isnan()]
    return len(gains) > 0 and bool((gains > 0).double().mean() >= 0.975)
