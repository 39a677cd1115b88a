"""The learning rate, the optimizer and the batch: rules from a training's record to a finding or none.

Thresholds as in `duration`. Nothing is trained here.
"""

from typing import Any

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Severity
from trimtab.findings.judged import Course, course_of, errors_of, has_numbers, pair_of
from trimtab.findings.remedies import by_knobs, lower_rate, tighter_clip
from trimtab.findings.shapes import (
    FEWEST,
    NOTHING,
    constant_of,
    fall_at_end,
    first_beside_next,
    jumps_of,
    kicks_of,
    leap_of,
    learning_of,
    longest_update,
    next_to_nothing,
    number_of,
    pace_of,
    rate_is_spent,
    rate_of,
    signal_of,
    start_beside_constant,
    still_gains,
    waited_in_vain,
)
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, smooth
from trimtab.findings.words import epochs_of, percent, times
from trimtab.knobs.effects import is_read
from trimtab.knobs.table import KNOBS, OPTIMIZERS
from trimtab.text.wording import counted
from trimtab.training.run import NOT_FINITE

NO_TRAINING = "no training loss"
# The loss has left for good where it ends so many times above where it began, or was so many times above it on its way.
_LOST, _FAR_LOST, _WAS_LOST = 1.5, 5.0, 100.0
# Of the loss's level, from epoch to epoch, or of the validation error's.
_JUMPS, _SWINGS = 0.25, 0.25
# Where validation rows swing too, a fifth of that shows that it is the weights which move. Kicks: so many times the
# loss of the epoch before, in so many epochs of the second half, and in this share of them (healthy ones: once).
_SWINGS_TOO, _KICK, _KICKS, _KICKED = 0.05, 1.5, 3, 0.05
# Where updates are nearly too long, smaller swings are their doing: of the level, of the weights (healthy ones: never).
_SMALL_SWINGS, _LONGISH = 0.06, 0.05
# Times the loss of the epoch before, on training rows and on validation rows (healthy ones: 2.0 and 2.4 at most, hardly
# ever in one epoch); times the next losses, the first one (healthy: 4.1), and where no validation row says so too.
_LEAP, _LEAP_OF_OTHERS, _THROWN, _THROWN_ALONE = 3.0, 1.5, 10.0, 100.0
_LONG_STEPS, _TINY = 0.06, 3e-4  # length of an update beside the weights: at its largest, and in the second half
_CREEPS, _STILL_CREEPS = 0.5, 0.1  # pace beside that at the start: alone, and where validation rows still gain too
_FAR_OFF, _LONG_AT_LEAST, _DECAYS = 1.4, 0.015, 0.9  # times a constant's error; of the weights; a decoupled decay
_SPENT, _SPENT_BY = 0.01, 0.5  # of the peak rate, and of all epochs
_SMALL_BATCH, _TINY_BATCH, _RESTLESS, _MOSTLY_NOISE = 8, 4, 0.1, 3.0  # rows; of the loss's level; times the batch
# A rate is told from a training that was merely short by its later epochs.
_FEW = 12
_FALLS = 0.002  # of the loss, in the last third
# Those without any momentum, of the gradient or of its square.
_SLOW = [n for n in OPTIMIZERS if not any(is_read(knob, {"optimizer": n}) for knob in ("momentum", "second_decay"))]


def diverged(record: TrainingRecord) -> Outcome:
    """The loss became NaN or infinite after it had been a number; or it ends above `_LOST` times where it began (the
    lowest of its first three values: a first one may be lost already), was `_WAS_LOST` times above it on its way, or
    ends so far above what a constant prediction comes to without falling any more."""
    told = [curve for curve in (record.train_loss, record.validation_loss) if curve is not None and len(curve)]
    losses = next((curve for curve in told if has_numbers(curve)), None)
    if losses is None:
        if record.ended != NOT_FINITE and not told:
            return NotChecked("diverged", NO_TRAINING)
        return _lost(record, "Training was lost at once: the loss is beyond all numbers from the first epoch on.", {})
    course = course_of(record, losses)
    if record.ended == NOT_FINITE or _ends_lost(record, losses):
        last = float(course.epochs[-1]) if len(course) else 0.0
        return _lost(record, f"Training was lost after {epochs_of(last)}: the loss grew beyond all numbers.",
                     {"last_epoch": last})  # fmt: skip
    if (beside := _beside_a_constant(record)) >= _LOST:
        words = f"Training diverged: the error on training rows ends {times(beside)} as high as that of a constant."
        return _lost(record, words, {"beside_a_constant": beside})
    if len(course) < 3 or (start := float(course.values[:3].min())) <= 0:
        return None
    grown, peak = level_at_end(course.values) / start, float(course.values.max() / course.values[0])
    if grown >= _LOST:
        return _lost(record, f"Training diverged: its loss ends {times(grown)} as high as it began.", {"grown": grown})
    if peak < _WAS_LOST:
        return None
    words = f"Training was lost on its way: its loss rose to {times(peak)} what it began with before it came back."
    return _lost(record, words, {"peak": peak, "grown": grown})


def learning_rate_too_large(record: TrainingRecord) -> Outcome:
    """Steps overshoot: training was lost; or an update was longer than `_LONG_STEPS` of the weights, when healthy ones
    reach half of that in their first epoch and fall from there; or in its second half the training loss jumps by more
    than `_JUMPS` of its level from epoch to epoch, or is kicked up again and again (see `oscillating`); or it leaps in
    one epoch, to `_LEAP` times what it was, and that of validation rows with it; or the first steps throw the network
    off: the first training loss is `_THROWN` times those that follow, and what validation rows have at its end."""
    course = course_of(record, record.train_loss)
    if isinstance(lost := diverged(record), Finding):
        return _too_large(record, "Steps are so long that training was lost", dict(lost.evidence), "high")
    if not len(course):
        return NotChecked("learning_rate_too_large", NO_TRAINING)
    jumps, longest = _jumps(record), _longest_step(record)
    evidence = {"jumps": jumps} | ({} if longest is None else {"update_ratio": longest})
    if longest is not None and longest >= _LONG_STEPS:
        words = f"Steps are so long that a single one changes the weights by {percent(longest)}"
        return _too_large(record, words, evidence, "medium")
    start = start_beside_constant(record)
    if longest is not None and longest >= _LONG_AT_LEAST and start >= _FAR_OFF:
        words = f"Steps are so long that the first epoch ends with {times(start)} the error of a constant prediction"
        return _too_large(record, words, evidence | {"start": start}, "medium")
    if jumps >= _JUMPS:
        words = f"Steps are so long that the training loss jumps by {percent(jumps)} from epoch to epoch"
        return _too_large(record, words, evidence, "medium")
    if (found := _overshoots(record)) is not None:
        return _too_large(record, found[0], evidence | found[1], "medium")
    return None


def _overshoots(record: TrainingRecord) -> tuple[str, dict[str, Any]] | None:
    """How the losses alone show that steps overshoot, and the numbers; None where they don't."""
    first, leap, kicks = first_beside_next(record), _leap(record), _kicks(record)
    has_validation = has_numbers(record.validation_loss)
    if first >= (_THROWN if has_validation else _THROWN_ALONE):
        words = f"The first steps throw the network off: the first training loss is {times(first)} as high as the next"
        return words, {"first": first}
    if leap >= _LEAP:
        return f"Steps are so long that the training loss leaps to {times(leap)} what it was in one epoch", {
            "leap": leap
        }
    if kicks:
        words = f"Steps are so long that the training loss is kicked up again in {epochs_of(kicks)} of the second half"
        return words, {"kicks": kicks}
    return None


def learning_rate_too_small(record: TrainingRecord) -> Outcome:
    """Training creeps: in its last half the training loss still falls significantly (Kendall's tau, p < 0.01), at
    nearly the pace at which it began (`_CREEPS`); or at a good part of it (`_STILL_CREEPS`), or by updates that are
    tiny against the weights (`_TINY`), where validation rows still gain as well. Not where early stopping has waited in
    vain: those rows have had what there is for them."""
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("learning_rate_too_small", NO_TRAINING)
    if len(course) < _FEW:
        return NotChecked("learning_rate_too_small", f"fewer than {_FEW} evaluated epochs")
    pace, ratio = pace_of(learning_of(record)), signal_of(record, "update_ratio")
    validation = course_of(record, errors_of(record))
    gains = not len(validation) or still_gains(validation) is not None
    creeps = pace > _CREEPS or (gains and (pace > _STILL_CREEPS or (ratio is not None and ratio < _TINY and pace > 0)))
    if rate_is_spent(record) or not creeps or (len(validation) and not gains) or isinstance(diverged(record), Finding):
        return None
    if len(validation) and waited_in_vain(record, validation):
        return None
    rate = rate_of(record)
    return Finding(
        "learning_rate_too_small",
        "high" if pace > _CREEPS else "medium",
        f"Steps are so short that training creeps: after {epochs_of(course.epochs[-1])} the training loss still falls "
        f"at {percent(pace)} of the pace at which it began.",
        {"pace": pace} | ({} if ratio is None else {"update_ratio": ratio}),
        Effect("Much of what the network could learn is still to come (estimated from the slope at the end)."),
        by_knobs("Raise the learning rate tenfold.", **({"lr": 10 * rate} if rate else {})),
    )


def oscillating(record: TrainingRecord) -> Outcome:
    """In the second half the training loss goes up and down by more than `_SWINGS` of its level; or is kicked up to
    `_KICK` times that of the epoch before in several epochs, as the error on validation rows is; or that one swings by
    more than `_SWINGS`, and the training loss by `_SWINGS_TOO`, so that it is not that these rows are few; or either
    by more than `_SMALL_SWINGS` where an update was longer than `_LONGISH` of the weights. What has diverged is told
    so instead, unless the loss came back and swings since, or swings by `_SWINGS` where it has come to."""
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("oscillating", NO_TRAINING)
    jumps, whose, lost = _jumps(record), "training loss", diverged(record)
    if isinstance(lost, Finding) and "peak" not in lost.evidence and (_is_gone(lost) or jumps < _SWINGS):
        return None
    if jumps < _SWINGS:
        own, of_others = jumps, jumps_of(course_of(record, errors_of(record)))
        is_by_long_steps = max(own, of_others) >= _SMALL_SWINGS and (_longest_step(record) or 0.0) >= _LONGISH
        if not is_by_long_steps and not (of_others >= _SWINGS and own >= _SWINGS_TOO) and not _kicks(record):
            return None
        if of_others >= own:
            jumps, whose = of_others, "error on validation rows"
    return Finding(
        "oscillating",
        "medium",
        f"The {whose} goes up and down by {percent(jumps)} of its level instead of settling.",
        {"jumps": jumps},
        Effect(f"Whichever epoch is last, its loss is off by some {percent(jumps)} (estimated from the curve)."),
        by_knobs("Let the learning rate fall to nothing in the course of training, and begin lower.", schedule="cosine",
                 **lower_rate(record, 3)),
    )  # fmt: skip


def plateau(record: TrainingRecord) -> Outcome:
    """Training stands still long before its end although it was still learning: a schedule has brought the rate below
    `_SPENT` of its peak in the first `_SPENT_BY` of the epochs, while the training loss was falling."""
    course, rates = course_of(record, record.train_loss), course_of(record, record.rate)
    if not len(course):
        return NotChecked("plateau", NO_TRAINING)
    if not len(rates):
        return NotChecked("plateau", "the learning rate is not known")
    if len(course) < FEWEST or len(rates) != len(course):
        return None
    spent = numpy.flatnonzero(rates.values < _SPENT * rates.values.max())
    before = int(spent[0]) if len(spent) else len(rates)
    peak = int(numpy.argmax(rates.values))
    if before > _SPENT_BY * len(rates) or before <= peak or before < 2:
        return None
    values = smooth(course.values, 3)
    left = float(values[before] / values[0]) if values[0] > 0 else 0.0
    epoch, last = float(course.epochs[before]), float(course.epochs[-1])
    return Finding(
        "plateau",
        "medium",
        f"The training loss stands still from epoch {epoch:g} on, for the remaining {epochs_of(last - epoch)}: by then "
        f"the learning rate had fallen below {percent(_SPENT)} of its peak.",
        {"from_epoch": epoch, "last_epoch": last, "level": left},
        Effect(f"{epochs_of(last - epoch)} of {epochs_of(last)} brought nothing."),
        by_knobs("Lower the rate later, so that it is spent at the last epoch.", schedule="cosine"),
    )


def batch_noise_too_high(record: TrainingRecord) -> Outcome:
    """Batches of at most `_TINY_BATCH` rows, when the gradient noise scale is `_MOSTLY_NOISE` times as many
    [McCandlish et al. 2018]; or of at most `_SMALL_BATCH`, and the training loss jumps by `_RESTLESS` of its level in
    the second half."""
    size = number_of(record, "batch_size")
    if size is None:
        return NotChecked("batch_noise_too_high", "the batch size is not known")
    course, scale = course_of(record, record.train_loss), signal_of(record, "noise_scale")
    if not len(course):
        return NotChecked("batch_noise_too_high", NO_TRAINING)
    if not 0 < size <= _SMALL_BATCH:
        return None
    jumps = _jumps(record)
    is_noise = scale is not None and size <= _TINY_BATCH and scale > _MOSTLY_NOISE * size
    if not is_noise and ((scale is not None and scale < size) or jumps < _RESTLESS):
        return None
    return Finding(
        "batch_noise_too_high",
        "medium",
        f"Batches of {counted(int(size), 'row')} are too small: their gradients are mostly noise, and the training "
        f"loss jumps by {percent(jumps)} from epoch to epoch.",
        {"batch_size": int(size), "jumps": jumps} | ({} if scale is None else {"noise_scale": scale}),
        Effect("How much larger batches gain is not known from the curves alone."),
        by_knobs("Take larger batches, as many steps of them, and a lower learning rate.",
                 **_larger_batches(record, int(size)), **lower_rate(record, 3)),
    )  # fmt: skip


def _larger_batches(record: TrainingRecord, size: int) -> dict[str, int]:
    """Batches of 32 rows or eight times as many, and as many more epochs as leave the number of steps what it was:
    with the larger batches alone fewer steps undo what they gain (benchmarks/RESULTS.md, "Remedies")."""
    larger, epochs = max(32, 8 * size), number_of(record, "epochs")
    return {"batch_size": larger} | ({"epochs": round(epochs * larger / size)} if epochs else {})


def slow_optimizer(record: TrainingRecord) -> Outcome:
    """A rule that follows the plain gradient (`_SLOW`), or divides by all gradients so far, and the training loss still
    falls significantly at the end, as the error on validation rows does."""
    name = record.knobs.get("optimizer")
    if name is None:
        return NotChecked("slow_optimizer", "the optimizer is not known")
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("slow_optimizer", NO_TRAINING)
    if name not in _SLOW or len(course) < FEWEST:
        return None
    fall, validation = fall_at_end(learning_of(record)), course_of(record, errors_of(record))
    if len(validation) and still_gains(validation) is None:
        return None
    if (fall is None or -fall.change < _FALLS) or isinstance(diverged(record), Finding):
        return None
    return Finding(
        "slow_optimizer",
        "medium",
        f"{_spoken(name)} is slow here: after {epochs_of(course.epochs[-1])} the training loss still falls, by "
        f"{percent(-fall.change)} over the last third of them.",
        {"optimizer": name, "fall": -fall.change, "p": fall.p},
        Effect("An optimizer that adapts the rate of each weight gets there in fewer epochs (not tried here)."),
        by_knobs("Take an optimizer that adapts the rate of each weight.", optimizer="adam", lr=1e-3),
    )


def _jumps(record: TrainingRecord) -> float:
    """How far the training rows' loss or metric jumps from epoch to epoch, whichever jumps more; where everything has
    come to next to nothing, beside a little of where it began."""
    losses, pair = course_of(record, record.train_loss), pair_of(record)
    validation = course_of(record, record.validation_loss).values
    beside = level_at_end(validation, 0.5) if len(validation) else 0.0
    jumps = jumps_of(losses, beside=max(beside, next_to_nothing(losses))) if len(losses) else 0.0
    if pair is None or not pair.is_evaluated:
        return jumps
    beside = max(level_at_end(pair.validation, 0.5), NOTHING * record.facts.get("constant_error", 0.0))
    return max(jumps, jumps_of(Course(pair.epochs, pair.train), beside=beside))


def _longest_step(record: TrainingRecord) -> float | None:
    """The longest update beside the weights; not known where updates are long because weights are pulled to zero."""
    return None if (number_of(record, "weight_decay") or 0.0) >= _DECAYS else longest_update(record)


def _leap(record: TrainingRecord) -> float:
    """By how many times the training loss leaps in one epoch at most, where that of validation rows leaps beside it."""
    return leap_of(record, beside=_LEAP / _LEAP_OF_OTHERS)


def _kicks(record: TrainingRecord) -> int:
    """How many epochs of the second half kick the training loss up, where validation rows are kicked too; 0 where they
    are few."""
    kicks, looked_at = kicks_of(record, _KICK)
    return kicks if kicks >= max(_KICKS, _KICKED * looked_at) else 0


def _spoken(name: str) -> str:
    words = KNOBS["optimizer"].option(name).words
    return words[0].upper() + words[1:]


def _ends_lost(record: TrainingRecord, losses: numpy.ndarray) -> bool:
    """Whether the curve becomes infinite, or no number to its end: for three entries, or for as many as the validation
    loss is none either. A single gap may be a line that was not written."""
    if numpy.isinf(losses).any():
        return True
    gone = len(losses) - 1 - int(numpy.flatnonzero(numpy.isfinite(losses))[-1])
    other = record.validation_loss
    both = gone > 0 and has_numbers(other) and other is not None and bool(numpy.isnan(other[-gone:]).all())
    return gone >= 3 or both


def _beside_a_constant(record: TrainingRecord) -> float:
    """The training error at the end beside that of a constant; 0 where it is not known, or comes down to it again."""
    constant, pair = constant_of(record, "train"), pair_of(record)
    if not constant or pair is None or not pair.is_evaluated:
        return 0.0
    beside = level_at_end(pair.train) / constant
    return 0.0 if beside < _FAR_LOST and fall_at_end(Course(pair.epochs, pair.train)) is not None else beside


def _is_gone(lost: Finding) -> bool:
    """Whether a loss that diverged has become no number, by the evidence: any other is told with how far it went."""
    return not {"grown", "beside_a_constant"} & lost.evidence.keys()


def _lost(record: TrainingRecord, statement: str, evidence: dict[str, Any]) -> Finding:
    return Finding(
        "diverged", "high", statement, evidence,
        Effect("The training is worth nothing, or no more than its best epoch was."),
        by_knobs("Lower the learning rate tenfold, or to what is usual, and bound the gradient.",
                 gradient_clip=tighter_clip(record), **lower_rate(record, 10)),
    )  # fmt: skip


def _too_large(record: TrainingRecord, words: str, evidence: dict[str, Any], severity: Severity) -> Finding:
    rate = rate_of(record)
    return Finding(
        "learning_rate_too_large", severity, f"{words}.", evidence | ({"lr": rate} if rate else {}),
        Effect("How much a smaller rate gains is not known from the curves alone."),
        by_knobs("Lower the learning rate tenfold.", **({"lr": rate / 10} if rate else {})),
    )  # fmt: skip
