"""How long was trained, and how well that and the network fit the rows: rules from a record to a finding or none.

Each looks at the curves and at what is known of the network. Thresholds were set on one half of the data sets of
`benchmarks.faults`; what they come to on the other half stands in benchmarks/RESULTS.md. Nothing is trained here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Severity
from trimtab.findings.judged import Course, Pair, course_of, errors_of, measure_of, pair_of
from trimtab.findings.remedies import by_knobs
from trimtab.findings.shapes import FEWEST, fall_at_end, gap_of, number_of, rate_is_spent, rise_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, noise, smooth
from trimtab.findings.words import epochs_of, percent
from trimtab.text.wording import counted
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

NO_VALIDATION = "no validation column"
NO_PAIR = "no training column in the measure of the validation rows"
TOO_SHORT = f"fewer than {FEWEST} evaluated epochs"

# Shares of an error, set on the trainings of the first half (see above).
_RISE = 0.15  # of the best validation error: what overfitting adds to it
_LONG_RISE = 0.08  # the same, where only the duration is in question
_EARLY = 0.6  # of all epochs: the best lies before
_STILL = 0.08  # what the last third of an unfinished training still takes off
_BAD, _NO_GAP = 0.4, 1.12  # of a constant's error; validation beside training error
_REGULARISED = 0.3


def overfitting(record: TrainingRecord) -> Outcome:
    """Validation rows get significantly worse while training rows get better [Prechelt 1998]: from the best epoch on
    the validation error has a rising trend (Kendall's tau, p < 0.01), ends `_RISE` above its best and more than three
    standard deviations of its own noise, and the training error falls meanwhile. Not where early stopping ended it:
    what rises in its patience is no fault."""
    pair, why = _pair(record)
    if pair is None:
        return NotChecked("overfitting", why)
    if record.ended == STOPPED_EARLY:
        return None
    rise = rise_of(Course(pair.epochs, pair.validation))
    if rise is None or rise.share < _RISE or rise.after < 3:
        return None
    fell = pair.train[rise.place] - level_at_end(pair.train)
    if fell <= max(0.0, noise(pair.train)):
        return None
    return Finding(
        "overfitting",
        "high" if rise.share > 0.5 else "medium",
        f"The network learns the training rows by heart: after {epochs_of(rise.epoch)} its {pair.name} on validation "
        f"rows gets worse, by {percent(rise.share)} in the end, while that on training rows still gets better.",
        {"best_epoch": rise.epoch, "last_epoch": float(pair.epochs[-1]), "rise": rise.share, "gap": gap_of(pair),
         "p": rise.p},
        Effect(
            f"With the last epoch's weights the error on new rows is about {percent(rise.share)} larger than with "
            "those of the best epoch (estimated from the curve).",
            rise.share,
        ),
        by_knobs("Hold the network back: more weight decay or dropout, a smaller network, or more rows.",
                 weight_decay=_more_decay(record), optimizer="adamw"),
    )  # fmt: skip


def trained_too_long(record: TrainingRecord) -> Outcome:
    """The best epoch lies in the first `_EARLY` of all, and the error on validation rows is significantly higher at the
    end, by `_LONG_RISE`. What that costs depends on whose weights are used: those of the last epoch, or the best one's,
    and then it was only time. Not where early stopping ended it."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("trained_too_long", NO_VALIDATION)
    if record.ended == STOPPED_EARLY:
        return None
    rise = rise_of(course)
    if rise is None or rise.share < _LONG_RISE or rise.epoch > _EARLY * course.epochs[-1]:
        return None
    last = float(course.epochs[-1])
    best = f"The {measure_of(record)} on validation rows was best after {epochs_of(rise.epoch)}"
    wasted = f"{epochs_of(last - rise.epoch)} of {epochs_of(last)} brought nothing."
    if record.kept is not None and record.kept <= rise.epoch + 0.1 * last:
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
        f"The weights of epoch {course.epochs[kept]:g} were kept, although the {measure_of(record)} on validation rows "
        f"was {percent(share)} worse there than at epoch {course.epochs[best]:g}.",
        {"kept": float(course.epochs[kept]), "best_epoch": float(course.epochs[best]), "rise": share},
        Effect(f"The error is about {percent(share)} larger than it could be (read off the curve).", share),
        by_knobs("Keep the weights of the best epoch, as trimtab always does, and stop soon after it.", stop=20),
    )


def stopped_too_early(record: TrainingRecord) -> Outcome:
    """The error on validation rows still falls when training ends: over the last third it has a falling trend
    (Kendall's tau, p < 0.01) of more than `_STILL` of its level and twice its noise, and the learning rate is not
    spent."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("stopped_too_early", NO_VALIDATION)
    if len(course) < FEWEST:
        return NotChecked("stopped_too_early", TOO_SHORT)
    if record.ended not in ("", ALL_EPOCHS, STOPPED_EARLY):
        return None
    fall = fall_at_end(course)
    if fall is None or -fall.change < _STILL or rate_is_spent(record):
        return None
    last = float(course.epochs[-1])
    return Finding(
        "stopped_too_early",
        "high" if fall.change < -0.2 else "medium",
        f"Training ended after {epochs_of(last)} although the {measure_of(record)} on validation rows was still "
        f"falling, by {percent(-fall.change)} over the last third of them.",
        {"last_epoch": last, "fall": -fall.change, "p": fall.p},
        Effect(f"As much training again lowers the error by some {percent(-fall.change)} (estimated from the slope).",
               -fall.change),
        by_knobs("Train longer.", epochs=max(round(last) * 4, 20)),
    )  # fmt: skip


def underfitting(record: TrainingRecord) -> Outcome:
    """Training and validation rows are judged alike (`_NO_GAP`), and badly, and the training error does not fall any
    more: it is at least `_BAD` of what a constant prediction comes to (of the first epoch's, where that is not
    known)."""
    misfit = _misfit(record)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("underfitting", misfit)
    if misfit.share < _BAD:
        return None
    return Finding(
        "underfitting",
        "high" if misfit.share > 0.8 else "medium",
        f"The network fits neither training rows nor validation rows well: its error on training rows is still "
        f"{percent(misfit.share)} of {misfit.beside}, and it does not fall any more.",
        {"share": misfit.share, "gap": misfit.gap},
        Effect("What a network that fits the training rows gains is not known from the curves alone."),
        by_knobs("Let the network fit more: a larger one, a larger learning rate, less dropout and weight decay.",
                 width=128, depth=2),
    )  # fmt: skip


def capacity_too_small(record: TrainingRecord) -> Outcome:
    """The network underfits (see `underfitting`) and has fewer parameters than `_PER_ROW` for each training row, and is
    not held back by dropout or weight decay."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows")
    if parameters is None or rows is None:
        return NotChecked("capacity_too_small", "the number of parameters or of training rows is not known")
    misfit = _misfit(record)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("capacity_too_small", misfit)
    if misfit.share < _BAD or parameters > max(_PER_ROW * rows, _FEW_PARAMETERS) or _holds_back(record):
        return None
    return Finding(
        "capacity_too_small",
        "high" if misfit.share > 0.8 else "medium",
        f"The network is too small for these rows: with {counted(int(parameters), 'parameter')} its error on training "
        f"rows stays at {percent(misfit.share)} of {misfit.beside}.",
        {"parameters": int(parameters), "train_rows": int(rows), "share": misfit.share},
        Effect("What a larger network gains is not known from the curves alone."),
        by_knobs("Take a wider and deeper network.", width=128, depth=2),
    )


def capacity_too_large(record: TrainingRecord) -> Outcome:
    """The network overfits (see `overfitting`), strongly (`_LARGE_RISE`), and has more than `_TOO_MANY` parameters for
    each training row."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows")
    if parameters is None or not rows:
        return NotChecked("capacity_too_large", "the number of parameters or of training rows is not known")
    found = overfitting(record)
    if not isinstance(found, Finding):
        return None if found is None else NotChecked("capacity_too_large", found.why)
    if parameters < _TOO_MANY * rows or found.evidence["rise"] < _RISE:
        return None
    width = record.knobs.get("width")
    change: dict[str, Any] = {"width": max(16, width // 4)} if isinstance(width, int) else {"width": 32}
    return Finding(
        "capacity_too_large",
        "medium",
        f"The network is too large for so few rows: {counted(int(parameters), 'parameter')} for "
        f"{counted(int(rows), 'training row')}, which it learns by heart.",
        {"parameters": int(parameters), "train_rows": int(rows), "rise": found.evidence["rise"]},
        found.effect,
        by_knobs("Take a smaller network, or give more rows.", **change),
    )


def regularised_too_strongly(record: TrainingRecord) -> Outcome:
    """Strong dropout, weight decay or label smoothing, and training rows are fitted hardly better than validation rows
    (`_NO_GAP`), at `_REGULARISED` of a constant's error or more."""
    if (words := _holds_back(record)) is None:
        return (
            None if record.knobs else NotChecked("regularised_too_strongly", "dropout and weight decay are not known")
        )
    misfit = _misfit(record, needs_rest=False)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("regularised_too_strongly", misfit)
    if misfit.share < _REGULARISED:
        return None
    return Finding(
        "regularised_too_strongly",
        "high" if misfit.share > 0.8 else "medium",
        f"The network is held back too strongly, by {words}: its error on training rows stays at "
        f"{percent(misfit.share)} of {misfit.beside}, about that on validation rows.",
        {"share": misfit.share, "gap": misfit.gap},
        Effect("What less of it gains is not known from the curves alone."),
        by_knobs("Take less of it.", **_less(record)),
    )


# -- what several of them look at

_PER_ROW, _FEW_PARAMETERS, _TOO_MANY = 0.25, 60, 30.0
_STRONG_DROPOUT, _STRONG_DECAY, _STRONG_SMOOTHING = 0.5, 0.3, 0.3


@dataclass(frozen=True)
class Misfit:
    """Training rows that are fitted no better than validation rows, and how badly: their error as a `share` of what is
    named `beside` it; `gap` is the validation error beside the training error."""

    share: float
    gap: float
    beside: str


def _misfit(record: TrainingRecord, *, needs_rest: bool = True) -> Misfit | str | None:
    """None where training rows are fitted well, or better than validation rows, or better with every epoch; a text
    where it cannot be told."""
    pair, why = _pair(record)
    if pair is None:
        return why
    constant = record.facts.get("constant_error")
    start = constant if constant and pair.is_evaluated else float(max(pair.train[0], pair.validation[0]))
    gap = gap_of(pair)
    fall = fall_at_end(Course(pair.epochs, pair.train))
    rests = fall is None or -fall.change < _STILL / 2 or rate_is_spent(record)
    if start <= 0 or gap > _NO_GAP or (needs_rest and not rests):
        return None
    beside = "that of a constant prediction" if constant and pair.is_evaluated else "what it began with"
    return Misfit(level_at_end(pair.train) / start, gap, beside)


def _holds_back(record: TrainingRecord) -> str | None:
    """What strong regularisation there is, in words; None where there is none."""
    dropout, smoothing = number_of(record, "dropout") or 0.0, number_of(record, "label_smoothing") or 0.0
    decay = number_of(record, "weight_decay") or 0.0
    if record.knobs.get("optimizer") not in ("adamw", "lion"):
        decay *= 10  # as an L2 term of adaptive rules it pulls with their whole rate
    if dropout >= _STRONG_DROPOUT:
        return f"dropout of {percent(dropout)}"
    if decay >= _STRONG_DECAY:
        return "weight decay"
    return f"label smoothing of {percent(smoothing)}" if smoothing >= _STRONG_SMOOTHING else None


def _less(record: TrainingRecord) -> dict[str, Any]:
    less: dict[str, Any] = {}
    if (number_of(record, "dropout") or 0.0) > 0.2:
        less["dropout"] = 0.1
    if (decay := number_of(record, "weight_decay") or 0.0) > 0.01:
        less["weight_decay"] = min(0.01, decay / 10)
    if (number_of(record, "label_smoothing") or 0.0) > 0.1:
        less["label_smoothing"] = 0.0
    return less


def _more_decay(record: TrainingRecord) -> float:
    return max(0.1, 10 * (number_of(record, "weight_decay") or 0.0))


def _pair(record: TrainingRecord) -> tuple[Pair | None, str]:
    """Training and validation curves that can be compared, or why there are none."""
    pair = pair_of(record)
    if pair is None:
        return None, NO_PAIR if errors_of(record) is not None else NO_VALIDATION
    return (pair, "") if len(pair.epochs) >= FEWEST else (None, TOO_SHORT)
