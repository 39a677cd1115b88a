"""The shapes of a training's curves that rules look for: a rise after the best epoch, a fall at the end, jumps, pace.

Each is a measure with its own test; what is too much of it, the rules decide. And what rules ask of a record besides:
its knobs, a constant's error, what holds the network back. Knows no findings.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy

from trimtab.findings.judged import Course, Pair, course_of, errors_of, has_numbers, pair_of
from trimtab.findings.ranks import sign_p
from trimtab.findings.training_record import Curve, TrainingRecord
from trimtab.findings.trends import Trend, level_at_end, noise, smooth, trend
from trimtab.findings.words import percent
from trimtab.knobs.effects import is_read
from trimtab.training.run import STOPPED_EARLY

# A trend counts below this p; rules look at some tens of stretches, so that 0.05 would find one in many healthy runs.
SURE = 0.01
# Evaluations below which no shape is told: of five, one order alone is as sure as that (1 of 120).
FEWEST = 5
# The same of a curve beside another that is sure of it.
_ALSO = 0.05
# And beside one that falls by so much of its level over the last third of training, as one does that has just begun.
_LIKELY, _STEEPLY = 0.2, 0.1
# Of where a loss began: below, it has come to next to nothing, and what it jumps by is no matter.
NOTHING = 0.1
# Why a rule cannot look.
NO_VALIDATION = "no validation column"
NO_PAIR = "no training column in the measure of the validation rows"
TOO_SHORT = f"fewer than {FEWEST} evaluated epochs"
# What is strong: shares; decoupled, and what a step then takes off the weights; an L2 term where rates adapt.
_STRONG_DROPOUT, _STRONG_SMOOTHING, _STRONG_DECAY, _TAKES_OFF, _STRONG_L2 = 0.6, 0.3, 0.9, 5e-4, 0.03
_BEYOND_NOISE, _END, _STEPS, _NOISE_TOLD, _STRETCH = 3.0, 7, 8.0, 12, 8


@dataclass(frozen=True)
class Rise:
    """How errors go up after their best epoch: `place` and `epoch` of the best, by which `share` of its level they end
    above it, the `p` of that difference, and how many evaluations came `after`."""

    place: int
    epoch: float
    share: float
    p: float
    after: int


def rise_of(course: Course) -> Rise | None:
    """The significant rise of errors after their (smoothed) minimum: the last tenth, seven entries at least, lies above
    it (sign test, p < 0.01), by more than `_BEYOND_NOISE` standard deviations of their noise, since the best is chosen;
    None where they do not rise."""
    epochs, errors = course.epochs, course.values
    if len(errors) < FEWEST:
        return None
    smoothed = smooth(errors, min(5, max(1, len(errors) // 4)))
    place = int(numpy.argmin(smoothed))
    best, after = float(smoothed[place]), len(errors) - 1 - place
    end = errors[-max(_END, len(errors) // 10) :]
    cost = float(numpy.median(end)) - best
    if after < _END or best <= 0 or cost <= _BEYOND_NOISE * noise(errors):
        return None
    p = sign_p(int((end > best).sum()), len(end))
    return Rise(place, float(epochs[place]), cost / best, p, after) if p < SURE else None


def fall_at_end(course: Course, sure: float = SURE) -> Trend | None:
    """The significant fall over the last third, eight entries at least, as a (negative) share of the level at the end;
    None where there is none beyond noise, or its p is above `sure`."""
    if len(course) < FEWEST:
        return None
    last = max(_STRETCH, len(course) // 3)
    epochs, errors = course.epochs[-last:], course.values[-last:]
    found, level = trend(epochs, errors), level_at_end(errors)
    # Differences of so few entries are the bend of the curve rather than its noise; the test alone has to do.
    spread = noise(errors) if len(errors) >= _NOISE_TOLD else 0.0
    if level <= 0 or found.p > sure or found.change >= 0 or -found.change < 2 * spread:
        return None
    return Trend(found.change / level, found.p)


def still_gains(course: Course, learning: Course | None = None, *, has_a_plan: bool = False) -> Trend | None:
    """The fall of an error that goes on to the end: significant over the last third, with the best among the last
    entries, a twentieth of all, so that a patience that ran out is none. Where training rows (`learning`) surely still
    get better, it takes less to believe that these rows do (`_ALSO`): their noise is what hides it; and less again
    (`_LIKELY`) where they get better by `_STEEPLY`, and a plan of epochs is known to have ended it. Of a plan so short
    that its last third has fewer than `_STRETCH` entries, which hardly any order of them makes sure, that they get
    better so steeply need be no surer than `_ALSO`."""
    is_short = has_a_plan and len(course) < 3 * _STRETCH
    learns = None if learning is None else fall_at_end(learning, _ALSO if is_short else SURE)
    is_steep = has_a_plan and learns is not None and -learns.change >= _STEEPLY
    is_sure = learns is not None and learns.p <= SURE
    fall = fall_at_end(course, _LIKELY if is_steep else _ALSO if is_sure else SURE)
    since_best = len(course) - 1 - int(numpy.argmin(smooth(course.values, 3))) if len(course) else 0
    recent = max(3, 0.15 * len(course)) if is_steep else max(2, 0.05 * len(course))
    return None if fall is None or since_best > recent else fall


def jumps_of(course: Course, beside: float = 0.0) -> float:
    """The noise of the second half as a share of its level, or of the level `beside` it where that is higher: that of
    validation rows, since a training error that has nearly come to nothing jumps by much of what is left, and that is
    no harm."""
    half = course.values[len(course) // 2 :]
    if len(half) < 4:
        return 0.0
    level = max(level_at_end(half, 1.0), beside)
    return noise(half) / level if level > 0 else 0.0


def next_to_nothing(losses: Course) -> float:
    """The level below which a training loss has come to next to nothing: a tenth of where it began, by the lowest of
    its first three values, since a rate that is too large may throw the first ones off by powers of ten."""
    return NOTHING * float(losses.values[:3].min()) if len(losses) else 0.0


def steps_up(record: TrainingRecord) -> tuple[Curve, Curve | None] | None:
    """Each training loss beside that of the evaluation before, from the second on, and each validation error likewise
    (None where there is none): both in evaluations that have all of them, and beside what is more than next to nothing.
    None where there are fewer than `FEWEST`."""
    train, validation = record.train_loss, record.validation_loss
    if not has_numbers(validation):
        validation = errors_of(record)
    if train is None or not has_numbers(train):
        return None
    kept = numpy.isfinite(train) & (numpy.isfinite(validation) if validation is not None else True)
    losses = Course(record.epochs[kept], train[kept])
    if len(losses) < FEWEST or losses.values.min() < 0:
        return None
    errors = None if validation is None else validation[kept]
    level = 0.0 if errors is None else NOTHING * float(numpy.median(errors))
    return _beside_before(losses.values, max(level, next_to_nothing(losses))), (
        None if errors is None else _beside_before(errors, level)
    )


def _beside_before(values: Curve, floor: float) -> Curve:
    before = numpy.maximum(values[:-1], floor)
    return numpy.divide(values[1:], before, out=numpy.ones(len(before)), where=before > 0)


def leap_of(record: TrainingRecord, beside: float) -> float:
    """The most that a training loss grows in one evaluation, in times of the one before; where there are validation
    rows no more than `beside` times what theirs grow in that evaluation or one next to it: what training rows alone
    show may be chance (dropout, a wild batch)."""
    if (steps := steps_up(record)) is None:
        return 0.0
    train, validation = steps
    if validation is None:
        return float(train.max())
    padded = numpy.pad(validation, 1)
    near = numpy.maximum(numpy.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return float(numpy.minimum(train, beside * near).max())


def kicks_of(record: TrainingRecord, most: float) -> tuple[int, int]:
    """In how many evaluations of the second half the training loss grows by more than `most` times, of how many; none
    where validation errors do not in two of them at least."""
    if (steps := steps_up(record)) is None:
        return 0, 0
    train, validation = (None if curve is None else curve[len(curve) // 2 :] for curve in steps)
    assert train is not None
    if validation is not None and (validation > most).sum() < 2:
        return 0, len(train)
    return int((train > most).sum()), len(train)


def first_beside_next(record: TrainingRecord) -> float:
    """The first training loss in times of the median of the next five, or of the first validation loss where that is
    less: a mean over an epoch in which the network was thrown off is far above what it comes back to at its end."""
    course, validation = course_of(record, record.train_loss), record.validation_loss
    if len(course) < FEWEST or course.epochs[0] != record.epochs[0]:
        return 0.0
    first, level = float(course.values[0]), float(numpy.median(course.values[1:6]))
    at_its_end = math.nan if validation is None else float(validation[0])
    levels = [each for each in (level, at_its_end) if math.isfinite(each)]
    return min((first / each for each in levels), default=0.0) if min(levels) > 0 else 0.0


def pace_of(course: Course) -> float:
    """How fast a loss falls in its last half beside the first quarter, per epoch; 0 where it does not fall surely."""
    values, epochs = smooth(course.values, 3), course.epochs
    half, quarter = len(values) // 2, max(2, len(values) // 4)
    if len(values) < FEWEST:
        return 0.0
    last = trend(epochs[half:], values[half:])
    fell, span, stretch = values[0] - values[quarter], epochs[quarter] - epochs[0], float(numpy.ptp(epochs[half:]))
    if last.p > SURE or last.change >= 0 or fell <= 0 or span <= 0 or stretch <= 0:
        return 0.0
    return float((-last.change / stretch) / (fell / span))


def rates_of(record: TrainingRecord) -> Curve:
    """The learning rates that are known."""
    return course_of(record, record.rate).values


def rate_is_spent(record: TrainingRecord) -> bool:
    """Whether a schedule has brought the learning rate down to a tenth of its peak, so that more of the same run is no
    question of going on."""
    rate = rates_of(record)
    return len(rate) > 0 and bool(rate[-1] < 0.1 * rate.max())


def rate_of(record: TrainingRecord) -> float | None:
    """The learning rate, or its peak, where it is known."""
    rate = record.knobs.get("lr")
    if isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0:
        return float(rate)
    rates = rates_of(record)
    return float(rates.max()) if len(rates) and rates.max() > 0 else None


def number_of(record: TrainingRecord, knob: str) -> float | None:
    """A knob that is a number, where it is known."""
    value = record.knobs.get(knob)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


def constant_of(record: TrainingRecord, rows: Literal["train", "validation"] = "validation") -> float | None:
    """What a prediction that knows nothing comes to: that of the best constant, or of equal probabilities where that is
    more: with rare classes a constant is nearly right. None where it is not known, or the loss aims elsewhere.

    Errors on training rows are to be held against those `rows`: where a few rows lie far out, their share differs from
    part to part, and with it the error of a constant."""
    constant = record.facts.get("constant_error")
    if rows == "train":
        constant = record.facts.get("train_constant_error", constant)
    if not constant or record.knobs.get("loss") == "quantile":
        return None
    classes = record.facts.get("outputs", 0.0) if record.task == "classification" else 0.0
    return max(constant, math.log(classes)) if classes > 1 else constant


def start_beside_constant(record: TrainingRecord) -> float:
    """The first training error beside that of a prediction that knows nothing; 0 where it is not known."""
    constant, pair = constant_of(record, "train"), pair_of(record)
    if not constant or pair is None or not pair.is_evaluated:
        return 0.0
    return float(pair.train[0] / constant)


def first_loss_beside_constant(record: TrainingRecord) -> float:
    """The first training loss, a mean over the first epoch, beside that of a prediction that knows nothing; 0 where it
    is not known. The constant is known in the metric; the first validation entry, told in both, takes it to the loss:
    squared where that is a squared one and the metric its root."""
    constant, losses, errors = constant_of(record), record.validation_loss, errors_of(record)
    train = record.train_loss
    if not constant or train is None or losses is None or errors is None or not len(train):
        return 0.0
    first = numpy.array([train[0], losses[0], errors[0]])
    if not (numpy.isfinite(first) & (first > 0)).all():
        return 0.0
    loss = record.knobs.get("loss")
    is_root = record.metric == "rmse" and loss == "mse"
    if not is_root and record.metric not in ("loss", loss) and (record.metric, loss) != ("log_loss", "cross_entropy"):
        return 0.0
    return float(first[0] / first[1] * (first[2] / constant) ** (2 if is_root else 1))


def learning_of(record: TrainingRecord) -> Course:
    """How training rows are fitted: by the metric in evaluation mode where there is one, else the training loss."""
    pair = pair_of(record)
    if pair is not None and pair.is_evaluated:
        return Course(pair.epochs, pair.train)
    return course_of(record, record.train_loss)


def gap_of(pair: Pair) -> float:
    """The error on validation rows at the end beside that on training rows."""
    level = level_at_end(pair.train)
    return level_at_end(pair.validation) / level if level > 0 else math.inf


def longest_update(record: TrainingRecord) -> float | None:
    """The longest update beside the weights, from the `_STEPS`-th step on: before, rules that divide by a mean of past
    gradients have hardly one. None where it was not recorded."""
    updates = course_of(record, record.signals.get("update_ratio"))
    rows, size = record.facts.get("train_rows", 0.0), number_of(record, "batch_size") or 0.0
    steps = updates.epochs * max(1.0, rows / size) if rows and size else updates.epochs * _STEPS
    later = updates.values[steps >= _STEPS] if record.counts == "epoch" else updates.values
    return float(later.max()) if len(later) else None


def signal_of(record: TrainingRecord, name: str) -> float | None:
    """The median of a signal over the second half of training; None where it was not recorded."""
    values = course_of(record, record.signals.get(name)).values
    return float(numpy.median(values[len(values) // 2 :])) if len(values) else None


def waited_in_vain(record: TrainingRecord, course: Course) -> bool:
    """Whether early stopping ended it after `WAITED` epochs or more without a better one."""
    waited = float(course.epochs[-1] - course.epochs[int(numpy.argmin(course.values))])
    return waited >= WAITED and was_stopped_early(record, course)


# Epochs: as many as a usual patience, and the 20 that remedies name, with some room for a best one that is smoothed.
WAITED = 15.0


def was_stopped_early(record: TrainingRecord, course: Course) -> bool:
    """Whether early stopping ended it; where nobody says what did, whether the best epoch lies as many epochs before
    the last as a patience usually has, and the number of epochs is no round one, as plans are."""
    if record.ended or len(course) % _ROUND == 0:
        return record.ended == STOPPED_EARLY
    return len(course) - 1 - int(numpy.argmin(course.values)) in _PATIENCES


_PATIENCES, _ROUND = (5, 10, 15, 20, 25, 30, 50, 100), 10


def held_back_by(record: TrainingRecord) -> str | None:
    """What strong regularisation there is, in words; None where there is none."""
    dropout, smoothing = number_of(record, "dropout") or 0.0, number_of(record, "label_smoothing") or 0.0
    decay, rate = number_of(record, "weight_decay") or 0.0, rate_of(record) or 0.0
    optimizer = record.knobs.get("optimizer")
    # In these the decay is a part of the gradient, and divided with it.
    adapts = optimizer is not None and optimizer != "adamw" and is_read("epsilon", {"optimizer": optimizer})
    if dropout >= _STRONG_DROPOUT:
        return f"dropout of {percent(dropout)}"
    if decay >= (_STRONG_L2 if adapts else _STRONG_DECAY) and (adapts or rate * decay >= _TAKES_OFF):
        return "weight decay"
    return f"label smoothing of {percent(smoothing)}" if smoothing >= _STRONG_SMOOTHING else None


def comparable(record: TrainingRecord) -> tuple[Pair | None, str]:
    """Training and validation curves that can be compared, or why there are none."""
    pair = pair_of(record)
    if pair is None:
        return None, NO_PAIR if errors_of(record) is not None else NO_VALIDATION
    return (pair, "") if len(pair.epochs) >= FEWEST else (None, TOO_SHORT)
