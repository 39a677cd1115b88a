"""Ensembles: which candidates to average, chosen greedily on rows that none of them trained on.

What was chosen on some rows looks better on them than it is: whether averaging pays is judged on rows that had no part
in the choice. Knows predictions, targets and a metric; it knows no networks, trials or files.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.errors import StudyError
from trimtab.training.metrics import Metric, bootstrap_errors
from trimtab.tuning.halves import divisions, halves

Array = Tensor | numpy.ndarray

# Predictions looked at in each round; beyond it only the best candidates stay in the pool, and at least so many.
# Guesses: the greedy choice hardly ever takes one of the others.
_LARGEST_POOL = 4_000_000
_SMALLEST_POOL = 10
# Predictions scored at once: they stay in a processor's cache (0.8 MB in float32).
_NUMBERS_AT_ONCE = 200_000
# Draws of the rows by which what is better is told: the share of a half is then known to 2 % (one standard error).
_REPETITIONS = 500
# The shares of draws in which ensembles have to be ahead of single candidates. Averages are better nearly everywhere,
# and few rows can seldom prove it: most draws are asked for, and beside the best of all rows, which these very rows
# have chosen, that it is not clearly better (RESULTS.md, "Ensembles": what a proof beyond noise cost).
_MOSTLY, _SELDOM = 0.5, 0.1


Members = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Half:
    """What would have been chosen on the other half of the rows: for these `rows` (their places) an honest choice.

    `members` are (candidate number, weight) of the ensemble, `single` is the number of the best candidate.
    """

    rows: numpy.ndarray
    members: Members
    single: int


@dataclass(frozen=True)
class Ensemble:
    """What to average: `members` are (candidate number, weight), the heaviest first; the weights add up to 1.

    Errors are the metric's, lower is better, on the rows the selection saw. `halves` are the choices made on half of
    the rows, for the other half; every row is in as many of them as the rows were divided. `pays`: the ensembles chosen
    on one half are more likely than not better on the other one than single candidates that were chosen beside them.
    """

    members: Members
    error: float
    best_single: int
    best_single_error: float
    pays: bool
    halves: tuple[Half, ...] = field(default=(), compare=False, repr=False)


def select(
    predictions: Float[Array, "candidates rows outputs"] | Sequence[Float[Array, "rows outputs"]],
    target: Float[Array, "rows outputs"] | Int[Array, " rows"],
    weight: Float[Array, " rows"],
    metric: Metric,
    *,
    units: Int[Array, " rows"] | None = None,
    rounds: int = 25,
    start_best: int = 1,
    alone: int | None = None,
    seed: int = 0,
) -> Ensemble:
    """Greedy selection with replacement [Caruana et al. 2004], from the `start_best` best candidates on.

    `predictions` are in original units or class probabilities; a row that no candidate predicted is NaN and left out,
    as are candidates that are not finite on the others. Only the first `alone` of them may be the best single one, all
    where that is None: the others are part of an ensemble or nothing. Of all sizes up to `rounds` the best is kept, the
    smaller of equals. Rows of one number in `units` are no evidence of their own: they stay in one half, and are drawn
    together.
    Raises StudyError where no candidate can be used.
    """
    pool, target, weight, numbers, rows = _usable(predictions, target, weight)
    unit = numpy.arange(len(rows)) if units is None else numpy.asarray(units)[rows]
    strata = target.numpy(force=True).reshape(len(rows), -1)[:, 0]
    if metric.name == "log_loss":
        # Only the label's probability counts, and it averages like any other: the rest need not be carried along.
        pool, target = pool.gather(2, target.expand(len(pool), -1).unsqueeze(2)), torch.zeros_like(target)
    can_be_alone = numbers < (len(predictions) if alone is None else alone)
    if not bool(can_be_alone.any()):
        raise StudyError("No trial has finite predictions for all validation rows: give the search more time.")
    members, single = _chosen(metric, pool, target, weight, can_be_alone, rounds=rounds, start=start_best)
    blend = _blended(pool, members)
    pair = torch.stack([blend, pool[single].double()])
    targets, weights = target.expand(2, *target.shape), weight.expand(2, -1)
    error, best_single_error = metric.error(pair, targets, weights).tolist()

    chosen = []
    if len(pool) > 1 and len(numpy.unique(unit)) > 1:
        for first in halves(unit, strata, times=divisions(pool.numel()), seed=seed):
            for half in (torch.from_numpy(first), torch.from_numpy(~first)):
                part = pool[:, half], target[half], weight[half]
                chosen.append((~half, *_chosen(metric, *part, can_be_alone, rounds=rounds, start=start_best)))
    return Ensemble(
        members=_numbered(members, numbers),
        error=error,
        best_single=int(numbers[single]),
        best_single_error=best_single_error,
        pays=(len(members) > 1 or not bool(can_be_alone[members[0][0]]))
        and bool(chosen)
        and _pays(metric, pool, target, weight, chosen, best=single, units=unit, seed=seed),
        halves=tuple(Half(rows[half.numpy()], _numbered(m, numbers), int(numbers[s])) for half, m, s in chosen),
    )


def _numbered(members: Members, numbers: Tensor) -> Members:
    return tuple((int(numbers[place]), share) for place, share in members)


def _blended(pool: Tensor, members: Members) -> Tensor:
    return torch.stack([share * pool[place].double() for place, share in members]).sum(0)


def _usable(
    predictions: Array | Sequence[Array], target: Array, weight: Array
) -> tuple[Tensor, Tensor, Tensor, Tensor, numpy.ndarray]:
    """Finite predictions (float32) of the rows that count, with their targets, weights and candidate numbers; and the
    places of these rows."""
    pool = torch.stack([torch.as_tensor(prediction).float() for prediction in predictions])
    target, weight = torch.as_tensor(target), torch.as_tensor(weight).double()
    is_predicted = pool.isfinite().all(2)
    rows = (is_predicted.any(0) & (weight > 0)).nonzero().squeeze(1)
    numbers = is_predicted[:, rows].all(1).nonzero().squeeze(1)
    if not len(rows) or not len(numbers):
        raise StudyError("No trial has finite predictions for all validation rows: give the search more time.")
    return pool[numbers][:, rows], target[rows], weight[rows], numbers, rows.numpy(force=True)


def _chosen(
    metric: Metric, pool: Tensor, target: Tensor, weight: Tensor, can_be_alone: Tensor, *, rounds: int, start: int
) -> tuple[Members, int]:
    """The ensemble's members, the heaviest first, and the best single candidate: places in `pool`."""
    singles = _errors(metric, pool, 1, target, weight).nan_to_num(torch.inf)
    order = singles.argsort(stable=True)
    single = int(order[can_be_alone[order]][0])
    order = order[: max(_SMALLEST_POOL, _LARGEST_POOL // pool[0].numel())]
    chosen = _grow(metric, pool[order], target, weight, rounds=rounds, start=min(start, len(order)))
    counts = Counter(chosen)
    members = sorted(((place, count / len(chosen)) for place, count in counts.items()), key=lambda m: (-m[1], m[0]))
    return tuple((int(order[place]), share) for place, share in members), single


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


def _pays(
    metric: Metric,
    pool: Tensor,
    target: Tensor,
    weight: Tensor,
    chosen: Sequence[tuple[Tensor, Members, int]],
    *,
    best: int,
    units: numpy.ndarray,
    seed: int,
) -> bool:
    """Whether ensembles gain anything on rows that had no part in choosing them (`chosen` on half of the rows each).

    They have to beat the best candidates of the same half in most draws of the rows, the mean over several divisions;
    and the `best` candidate of all rows in some of them, although that was chosen on these very rows: where one
    candidate is really better than all averages, half of the rows often miss it.
    """
    times = len(chosen) // 2
    lanes = torch.empty(2 * times + 1, *pool.shape[1:], dtype=torch.float64)
    for i, (rows, members, single) in enumerate(chosen):
        lanes[i // 2, rows] = _blended(pool[:, rows], members)
        lanes[times + i // 2, rows] = pool[single, rows].double()
    lanes[-1] = pool[best]
    targets, weights = target.expand(len(lanes), *target.shape), weight.expand(len(lanes), -1)
    errors = bootstrap_errors(
        metric, lanes, targets, weights, seed=seed, repetitions=_REPETITIONS, units=units
    )  # fmt: skip
    ensembles = errors[:times].mean(0)
    return (
        _share_of_gains(errors[times:-1].mean(0) - ensembles) >= _MOSTLY
        and _share_of_gains(errors[-1] - ensembles) >= _SELDOM
    )


def _share_of_gains(gains: Tensor) -> float:
    gains = gains[~gains.isnan()]
    return float((gains > 0).double().mean()) if len(gains) else 0.0
