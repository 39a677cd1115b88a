"""How long was trained, and what that did to the rows that are new to the network: rules from a record to a finding.

Each looks at the curves and at what is known of the network. Thresholds were set on one half of the data sets of
`benchmarks.faults`; what they come to on the other half stands in benchmarks/RESULTS.md. Nothing is trained here.
"""

import math
from typing import Any

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Severity
from trimtab.findings.judged import Course, Pair, course_of, error_of, errors_of, measure_of
from trimtab.findings.remedies import by_knobs
from trimtab.findings.shapes import (
    FEWEST,
    NO_VALIDATION,
    TOO_SHORT,
    Rise,
    comparable,
    constant_of,
    gap_of,
    held_back_by,
    learning_of,
    number_of,
    rate_is_spent,
    rise_of,
    still_gains,
    waited_in_vain,
    was_stopped_early,
)
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, noise, smooth
from trimtab.findings.words import epochs_of, percent
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

# Shares of an error, set on the trainings of the first half (see above).
_RISE, _LONG_RISE = (
    0.15,
    0.1,
)  # of the best validation error: by heart; and where only time is in question
_KEPT_RISE = 0.15  # where the best weights were kept, it takes more to be worth a word
_EARLY = 0.6  # of all epochs: the best lies before
_STILL = 0.02  # what the last third of an unfinished training still takes off
_BY_HEART, _POOR = 50.0, 0.5  # times; of a constant's error


def overfitting(record: TrainingRecord) -> Outcome:
    """Validation rows get significantly worse while training rows get better [Prechelt 1998]: from the best epoch on
    the validation error ends `_RISE` above its best, significantly so (see `shapes.rise_of`), and the training error
    falls meanwhile. Or training rows are known by heart: their error is less than a `_BY_HEART`-th of that on
    validation rows, which is still `_POOR` of a constant's. Not where early stopping ended it: what rises in its
    patience is no fault."""
    pair, why = comparable(record)
    if pair is None:
        return NotChecked("overfitting", why)
    if was_stopped_early(record, Course(pair.epochs, pair.validation)):
        return None
    rise, gap = rise_of(Course(pair.epochs, pair.validation)), gap_of(pair)
    if rise is not None and rise.share >= _RISE and _falls_after(pair, rise):
        return _overfitting(
            record,
            f"after {epochs_of(rise.epoch)} its {pair.name} on validation rows gets worse, by {percent(rise.share)} in "
            "the end, while that on training rows still gets better",
            {
                "best_epoch": rise.epoch,
                "last_epoch": float(pair.epochs[-1]),
                "rise": rise.share,
                "gap": gap,
                "p": rise.p,
            },
        )
    constant = constant_of(record)
    if not constant or not pair.is_evaluated or gap < _BY_HEART:
        return None
    share = level_at_end(pair.validation) / constant
    if share < _POOR:
        return None
    return _overfitting(
        record,
        f"its {pair.name} on them has come to nearly nothing, and on validation rows it is {percent(share)} of that of "
        "a constant prediction",
        {"rise": 0.0, "gap": gap, "share": share},
    )


def _falls_after(pair: Pair, rise: Rise) -> bool:
    fell = float(pair.train[rise.place]) - level_at_end(pair.train)
    return fell > max(0.0, noise(pair.train))


def _overfitting(record: TrainingRecord, words: str, evidence: dict[str, Any]) -> Finding:
    rise = evidence["rise"]
    effect = Effect("What a network gains that is held back is not known from the curves alone.")
    if rise:
        cost = f"With the last epoch's weights the error on new rows is about {percent(rise)} larger than with the best"
        effect = Effect(f"{cost} epoch's (estimated from the curve).", rise)
    return Finding(
        "overfitting", "high" if rise > 0.5 else "medium",
        f"The network learns the training rows by heart: {words}.", evidence, effect,
        by_knobs("Hold the network back: weight decay, dropout, fewer units, more rows; and stop at the best epoch.",
                 weight_decay=_more_decay(record), optimizer="adamw", stop=20),
    )  # fmt: skip


def trained_too_long(record: TrainingRecord) -> Outcome:
    """The best epoch lies in the first `_EARLY` of all, and the error on validation rows is significantly higher at the
    end, by `_LONG_RISE`. What that costs depends on whose weights are used: those of the last epoch, or the best one's,
    and then it was only time. Not where early stopping ended it."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("trained_too_long", NO_VALIDATION)
    if was_stopped_early(record, course):
        return None
    rise, last = rise_of(course), float(course.epochs[-1])
    if rise is None or rise.epoch > _EARLY * last or rise.share < _LONG_RISE:
        return None
    if (keeps_best := _keeps_best(record, rise)) and rise.share < _KEPT_RISE:
        return None
    best = f"The {measure_of(record)} on validation rows was best after {epochs_of(rise.epoch)}"
    wasted = f"{epochs_of(last - rise.epoch)} of {epochs_of(last)} brought nothing."
    if keeps_best:
        severity: Severity = "low"
        statement = f"{best}, and {epochs_of(last)} were trained: the best weights were kept, the rest only cost time."
        effect = Effect(wasted, 0.0)
    else:
        severity = "high" if rise.share > 0.2 else "medium"
        whose = "" if record.kept is not None else "if the last weights are used, "
        statement = (
            f"{best}, and {epochs_of(last)} were trained: {whose}the error is {percent(rise.share)} larger than it was."
        )
        effect = Effect(f"About {percent(rise.share)} of the error (estimated from the curve); {wasted}", rise.share)
    return Finding(
        "trained_too_long", severity, statement,
        {"best_epoch": rise.epoch, "last_epoch": last, "rise": rise.share, "p": rise.p}, effect,
        by_knobs("Stop when validation rows have not improved for 20 epochs; the best epoch's weights are kept.",
                 stop=20),
    )  # fmt: skip


def best_weights_not_restored(record: TrainingRecord) -> Outcome:
    """The weights that were kept are those of an epoch whose error is above the best by `_LONG_RISE`, and by three
    standard deviations of the curve's noise."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("best_weights_not_restored", NO_VALIDATION)
    if record.kept is None or not math.isfinite(record.kept):
        return NotChecked("best_weights_not_restored", "nobody says which epoch's weights were kept")
    kept = int(numpy.argmin(numpy.abs(course.epochs - record.kept)))
    smoothed = smooth(course.values, 3)
    best = int(numpy.argmin(smoothed))
    cost = float(course.values[kept] - smoothed[best])
    share = cost / float(smoothed[best]) if smoothed[best] > 0 else math.nan
    if not (share > _LONG_RISE and cost > 3 * noise(course.values)):
        return None
    return Finding(
        "best_weights_not_restored",
        "high" if share > 0.2 else "medium",
        f"The weights of epoch {course.epochs[kept]:g} were kept, although the {error_of(record)} on validation rows "
        f"was {percent(share)} worse there than at epoch {course.epochs[best]:g}.",
        {"kept": float(course.epochs[kept]), "best_epoch": float(course.epochs[best]), "rise": share},
        Effect(f"The error is about {percent(share)} larger than it could be (read off the curve).", share),
        by_knobs("Keep the weights of the best epoch, as trimtab always does, and stop soon after it.", stop=20),
    )


def stopped_too_early(record: TrainingRecord) -> Outcome:
    """The error on validation rows still falls when training ends: over the last third it has a falling trend
    (Kendall's tau, p < 0.01; less sure beside that of training rows, see `shapes.still_gains`) of more than `_STILL` of
    its level and twice its noise, its best lies near the end, and the learning rate is not spent. Not where early
    stopping has waited `WAITED` epochs in vain."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("stopped_too_early", NO_VALIDATION)
    if len(course) < FEWEST:
        return NotChecked("stopped_too_early", TOO_SHORT)
    if record.ended not in ("", ALL_EPOCHS, STOPPED_EARLY) or waited_in_vain(record, course):
        return None
    fall = still_gains(course, learning_of(record), has_a_plan=record.ended == ALL_EPOCHS)
    # What strong dropout or decay holds back creeps to the end; `regularised_too_strongly` looks at that.
    if fall is None or -fall.change < _STILL or rate_is_spent(record) or held_back_by(record):
        return None
    last = float(course.epochs[-1])
    # Of what it was when that third began: a fall beside the level it ends at may be of more than all there is.
    fallen = -fall.change / (1 - fall.change)
    return Finding(
        "stopped_too_early",
        "high" if fall.change < -0.2 else "medium",
        f"Training ended after {epochs_of(last)} although the {error_of(record)} on validation rows was still "
        f"falling, by {percent(fallen)} over the last third of them.",
        {"last_epoch": last, "fall": fallen, "p": fall.p},
        Effect(f"Half as much training again lowers the error by some {percent(fallen)} (estimated from the slope).",
               fallen),
        by_knobs("Train longer.", epochs=max(round(last) * 4, 20)),
    )  # fmt: skip


def _keeps_best(record: TrainingRecord, rise: Rise) -> bool:
    """Whether the weights are known to be from before the rise."""
    return record.kept is not None and record.kept <= rise.epoch + 0.1 * float(record.epochs[-1])


def _more_decay(record: TrainingRecord) -> float:
    return max(0.1, 10 * (number_of(record, "weight_decay") or 0.0))
