"""The learning rate, the optimizer and the batch: rules from a training's record to a finding or none.

Thresholds as in `duration`. Nothing is trained here.
"""

import math
from typing import Any

import numpy

from trimtab.findings.duration import SURE, Outcome, rate_is_spent
from trimtab.findings.finding import Effect, Finding, NotChecked
from trimtab.findings.judged import Course, course_of, has_numbers
from trimtab.findings.remedies import by_knobs
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, noise, smooth, trend
from trimtab.findings.words import epochs_of, percent, times
from trimtab.training.run import NOT_FINITE

NO_TRAINING = "no training loss"
_FEWEST = 8
# The loss has left for good where it ends so many times above where it began.
_LOST = 1.5


def diverged(record: TrainingRecord) -> Outcome:
    """The loss became NaN or infinite after it had been a number, or ends above `_LOST` times where it began."""
    if not has_numbers(record.train_loss) and not has_numbers(record.validation_loss):
        is_lost = record.ended == NOT_FINITE
        return _lost(record, "The loss is no number from the first epoch on.", 0.0) if is_lost else NotChecked(
            "diverged", NO_TRAINING
        )  # fmt: skip
    losses = record.train_loss if has_numbers(record.train_loss) else record.validation_loss
    assert losses is not None
    if record.ended == NOT_FINITE or _ends_lost(losses):
        finite = numpy.flatnonzero(numpy.isfinite(losses))
        last = float(record.epochs[finite[-1]])
        return _lost(record, f"Training was lost after {epochs_of(last)}: the loss grew beyond all numbers.", last)
    course = course_of(record, losses)
    if len(course) < 3 or course.values[0] <= 0:
        return None
    grown = level_at_end(course.values) / course.values[0]
    if grown < _LOST:
        return None
    return _lost(record, f"Training diverged: its loss ends {times(grown)} as high as it began.", math.nan)


def learning_rate_too_large(record: TrainingRecord) -> Outcome:
    """Steps overshoot: training was lost, or in its second half the training loss jumps by more than `_JUMPS` of its
    level from epoch to epoch without falling, under batches that are not to blame."""
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("learning_rate_too_large", NO_TRAINING)
    if isinstance(lost := diverged(record), Finding):
        return _too_large(record, "Steps are so long that training was lost", dict(lost.evidence), "high")
    jumps = _jumps(course)
    if jumps < _JUMPS:
        return None
    return _too_large(
        record,
        f"Steps are so long that the training loss jumps by {percent(jumps)} from epoch to epoch instead of settling",
        {"jumps": jumps},
        "medium",
    )


def learning_rate_too_small(record: TrainingRecord) -> Outcome:
    """Training creeps: in its last half the training loss still falls significantly (Kendall's tau, p < 0.01), at
    nearly the pace at which it began, and updates are tiny against the weights where that is known (`_TINY`)."""
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("learning_rate_too_small", NO_TRAINING)
    if len(course) < _FEWEST or rate_is_spent(record):
        return None
    pace = _pace(course)
    ratio = course_of(record, record.signals.get("update_ratio")).values
    creeps = float(numpy.median(ratio)) < _TINY if len(ratio) else pace > _CREEPS
    if not creeps or pace < 0.1:
        return None
    fallen = 1 - level_at_end(course.values) / course.values[0] if course.values[0] > 0 else 0.0
    rate = rate_of(record)
    return Finding(
        "learning_rate_too_small",
        "high" if fallen < 0.5 else "medium",
        f"Steps are so short that training creeps: after {epochs_of(course.epochs[-1])} the training loss still falls "
        f"at {percent(pace)} of the pace at which it began.",
        {"pace": pace, "fallen": fallen} | ({"update_ratio": float(numpy.median(ratio))} if len(ratio) else {}),
        Effect("Most of what the network could learn is still to come (estimated from the slope at the end)."),
        by_knobs("Raise the learning rate tenfold.", **({"lr": 10 * rate} if rate else {})),
    )


def oscillating(record: TrainingRecord) -> Outcome:
    """In the second half the training loss goes up and down by more than `_SWINGS` of its level around a level that
    stays."""
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("oscillating", NO_TRAINING)
    jumps = _jumps(course)
    if jumps < _SWINGS:
        return None
    rate = rate_of(record)
    return Finding(
        "oscillating",
        "medium",
        f"The training loss goes up and down by {percent(jumps)} of its level instead of settling.",
        {"jumps": jumps},
        Effect(f"Whichever epoch is last, its loss is off by some {percent(jumps)} (estimated from the curve).", None),
        by_knobs("Let the learning rate fall to nothing in the course of training, and begin lower.", schedule="cosine",
                 **({"lr": rate / 3} if rate else {})),
    )  # fmt: skip


# -- shapes of curves

_JUMPS, _SWINGS, _TINY, _CREEPS = 0.3, 0.3, 3e-4, 0.5


def _ends_lost(losses: numpy.ndarray) -> bool:
    """Whether the curve becomes infinite, or no number in its last three entries although it was one before."""
    if numpy.isinf(losses).any():
        return True
    return len(losses) >= 3 and bool(numpy.isnan(losses[-3:]).all())


def _jumps(course: Course) -> float:
    """The noise of the second half as a share of its level; 0 where the loss falls there."""
    half = course.values[len(course) // 2 :]
    level = level_at_end(half, 1.0) if len(half) >= 4 else 0.0
    return noise(half) / level if level > 0 else 0.0


def _pace(course: Course) -> float:
    """How fast the loss falls in its last half beside the first quarter, per epoch; 0 where it does not fall surely."""
    values = smooth(course.values, 3)
    half, quarter = len(values) // 2, max(2, len(values) // 4)
    last = trend(course.epochs[half:], values[half:])
    fell, span = values[0] - values[quarter], course.epochs[quarter] - course.epochs[0]
    if last.p > SURE or last.change >= 0 or fell <= 0 or span <= 0:
        return 0.0
    return float((-last.change / numpy.ptp(course.epochs[half:])) / (fell / span))


def rate_of(record: TrainingRecord) -> float | None:
    """The learning rate, or its peak, where it is known."""
    rate: Any = record.knobs.get("lr")
    if isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0:
        return float(rate)
    rates = course_of(record, record.rate).values
    return float(rates.max()) if len(rates) and rates.max() > 0 else None


def _lost(record: TrainingRecord, statement: str, last: float) -> Finding:
    rate = rate_of(record)
    return Finding(
        "diverged",
        "high",
        statement,
        {"last_epoch": last} if math.isfinite(last) else {},
        Effect("The training is worth nothing, or no more than its best epoch was."),
        by_knobs("Lower the learning rate tenfold and bound the gradient.", gradient_clip=1.0,
                 **({"lr": rate / 10} if rate else {})),
    )  # fmt: skip


def _too_large(record: TrainingRecord, words: str, evidence: dict[str, Any], severity: Any) -> Finding:
    rate = rate_of(record)
    return Finding(
        "learning_rate_too_large",
        severity,
        f"{words}.",
        evidence | ({"lr": rate} if rate else {}),
        Effect("How much a smaller rate gains is not known from the curves alone."),
        by_knobs("Lower the learning rate tenfold.", **({"lr": rate / 10} if rate else {})),
    )
