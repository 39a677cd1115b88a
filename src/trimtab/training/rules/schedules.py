"""Schedules: the factor on an optimizer's peak rate, and the course of dropout and weight decay, by the step.

Knows no optimizers and no lanes. Beyond the planned steps every schedule stays where it ended.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy
from jaxtyping import Float

from trimtab.training.config import Schedule

# torch's OneCycleLR: from 1/25 of the peak, down to 1/10,000 of where it began.
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
PLATEAU_THRESHOLD = 1e-4  # a relative improvement, as in torch's ReduceLROnPlateau
Shape = Callable[[numpy.ndarray, int, Schedule], numpy.ndarray]


@runtime_checkable
class RateSchedule(Protocol):
    """The rate of one run over its steps; only some schedules listen to scores."""

    def factors(self, first_step: int, count: int) -> Float[numpy.ndarray, " count"]:
        """Factors (float64) of the steps `first_step`, `first_step + 1`, ...; the first step of a run is 0."""
        ...

    def observe(self, score: float, epoch: int | None = None) -> None:
        """After `epoch` epochs (None: one more than before) the validation score is this; lower is better."""
        ...


def make(schedule: Schedule, total_steps: int, steps_per_epoch: int, factors: Sequence[float] = ()) -> RateSchedule:
    """The schedule of a run of `total_steps`; with `factors`, one for each epoch of `steps_per_epoch`, those alone."""
    if len(factors):
        return Replayed(factors, steps_per_epoch)
    if schedule.name == "plateau":
        return ReduceOnPlateau(schedule.factor, schedule.patience)
    return _Planned(_SHAPES[schedule.name], schedule, max(1, total_steps))


class _Planned:
    """A schedule that is known in advance."""

    def __init__(self, shape: Shape, schedule: Schedule, total_steps: int) -> None:
        self._shape, self._schedule, self._total_steps = shape, schedule, total_steps

    def factors(self, first_step: int, count: int) -> Float[numpy.ndarray, " count"]:
        steps = numpy.minimum(numpy.arange(first_step, first_step + count, dtype=numpy.float64), self._total_steps)
        return self._shape(steps, self._total_steps, self._schedule)

    def observe(self, score: float, epoch: int | None = None) -> None:
        pass


class Replayed:
    """The factors that an earlier run had, epoch by epoch; the last one stays."""

    def __init__(self, factors: Sequence[float], steps_per_epoch: int) -> None:
        self._factors, self._steps_per_epoch = numpy.asarray(factors, dtype=numpy.float64), max(1, steps_per_epoch)

    def factors(self, first_step: int, count: int) -> Float[numpy.ndarray, " count"]:
        epochs = numpy.arange(first_step, first_step + count) // self._steps_per_epoch
        return self._factors[numpy.minimum(epochs, len(self._factors) - 1)]

    def observe(self, score: float, epoch: int | None = None) -> None:
        pass


class ReduceOnPlateau:
    """Multiply the rate by `factor` after more than `patience` epochs without an improvement of 0.01 %.

    The rule of `torch.optim.lr_scheduler.ReduceLROnPlateau` with its defaults, which counts evaluations where this
    counts epochs; a score that is not finite is none.
    """

    def __init__(self, factor: float, patience: int) -> None:
        self._factor, self._patience = factor, patience
        self._best, self._current = math.inf, 1.0
        self._epoch, self._since = 0, 0  # since the epoch of the best score, or of the last cut

    def factors(self, first_step: int, count: int) -> Float[numpy.ndarray, " count"]:
        return numpy.full(count, self._current)

    def observe(self, score: float, epoch: int | None = None) -> None:
        self._epoch = self._epoch + 1 if epoch is None else epoch
        bound = self._best - PLATEAU_THRESHOLD * abs(self._best) if math.isfinite(self._best) else math.inf
        if score < bound and math.isfinite(score):
            self._best, self._since = score, self._epoch
        elif self._epoch - self._since > self._patience:
            self._current *= self._factor
            self._since = self._epoch


def _constant(steps: numpy.ndarray, total: int, schedule: Schedule) -> numpy.ndarray:
    return numpy.ones_like(steps)


def _step(steps: numpy.ndarray, total: int, schedule: Schedule) -> numpy.ndarray:
    every = max(1, round(schedule.every * total))
    last = numpy.minimum(steps, total - 1)
    return schedule.factor ** (last // every)


def _cosine(steps: numpy.ndarray, total: int, schedule: Schedule) -> numpy.ndarray:
    return 0.5 * (1 + numpy.cos(numpy.pi * steps / total))


def _one_cycle(steps: numpy.ndarray, total: int, schedule: Schedule) -> numpy.ndarray:
    """Up along a cosine until `warmup`, down along another to almost 0 at the last step [Smith & Topin 2018]."""
    last = total - 1
    peak = schedule.warmup * total - 1
    steps = numpy.minimum(steps, last)
    rising = _between(ONE_CYCLE_START, 1.0, steps / peak if peak > 0 else numpy.ones_like(steps))
    falling = _between(1.0, ONE_CYCLE_END, numpy.clip((steps - peak) / max(last - peak, 1e-9), 0, 1))
    return numpy.where(steps <= peak, rising, falling)


def _between(start: float, end: float, share: numpy.ndarray) -> numpy.ndarray:
    return end + (start - end) / 2 * (1 + numpy.cos(numpy.pi * share))


def _warmup_cosine(steps: numpy.ndarray, total: int, schedule: Schedule) -> numpy.ndarray:
    """Up along a line over the first `warmup` of the steps (the first step is not 0), then down along a cosine."""
    warmup = round(schedule.warmup * total)
    share = numpy.clip((steps - warmup) / max(1, total - warmup), 0, 1)
    return numpy.where(steps < warmup, (steps + 1) / max(1, warmup), 0.5 * (1 + numpy.cos(numpy.pi * share)))


_SHAPES = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "warmup_cosine": _warmup_cosine,
}


def course_factors(course: str, first_step: int, count: int, total_steps: int) -> Float[numpy.ndarray, " count"]:
    """Factors on dropout or weight decay of the steps from `first_step` on: 1 at a run's start, 0 at its planned end.

    `flat_cosine` stays at 1 for the first half and then falls along a cosine [Holzmüller et al. 2024, 2407.04491].
    """
    share = numpy.minimum(numpy.arange(first_step, first_step + count) / max(1, total_steps), 1.0)
    return _COURSES[course](share)


_COURSES = {
    "constant": numpy.ones_like,
    "linear": lambda share: 1 - share,
    "cosine": lambda share: 0.5 * (1 + numpy.cos(numpy.pi * share)),
    "flat_cosine": lambda share: 0.5 * (1 + numpy.cos(numpy.pi * numpy.clip(2 * share - 1, 0, 1))),
}
