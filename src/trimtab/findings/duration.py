"""How long was trained, and how well that and the network fit the rows: rules from a record to a finding or none.

Each looks at the curves and at what is known of the network. Thresholds were set on one half of the data sets of
`benchmarks.faults`; what they come to on the other half stands in benchmarks/RESULTS.md. Nothing is trained here.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Severity
from trimtab.findings.judged import Course, Pair, course_of, error_of, errors_of, measure_of, pair_of
from trimtab.findings.remedies import by_knobs, larger_network
from trimtab.findings.shapes import (
    FEWEST,
    Rise,
    constant_of,
    fall_at_end,
    gap_of,
    learning_of,
    number_of,
    rate_is_spent,
    rate_of,
    rise_of,
    still_gains,
    waited_in_vain,
    was_stopped_early,
)
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, noise, smooth
from trimtab.findings.words import epochs_of, percent
from trimtab.knobs.effects import is_read
from trimtab.text.wording import counted
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

NO_VALIDATION = "no validation column"
NO_PAIR = "no training column in the measure of the validation rows"
TOO_SHORT = f"fewer than {FEWEST} evaluated epochs"

# Shares of an error, set on the trainings of the first half (see above).
_RISE, _LONG_RISE = (
    0.15,
    0.1,
)  # of the best validation error: by heart; and where only time is in question
_KEPT_RISE = 0.15  # where the best weights were kept, it takes more to be worth a word
_EARLY = 0.6  # of all epochs: the best lies before
_STILL = 0.02  # what the last third of an unfinished training still takes off
_RESTS = 0.08  # what the last third of a finished one takes off at most
_BAD, _NO_GAP, _GAP_HELD_BACK = 0.4, 1.1, 1.3  # of a constant's error; validation beside training error
_REGULARISED = 0.15
_BY_HEART, _POOR = 50.0, 0.5  # times; of a constant's error


def overfitting(record: TrainingRecord) -> Outcome:
    """Validation rows get significantly worse while training rows get better [Prechelt 1998]: from the best epoch on
    the validation error ends `_RISE` above its best, significantly so (see `shapes.rise_of`), and the training error
    falls meanwhile. Or training rows are known by heart: their error is less than a `_BY_HEART`-th of that on
    validation rows, which is still `_POOR` of a constant's. Not where early stopping ended it: what rises in its
    patience is no fault."""
    pair, why = _pair(record)
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
    if fall is None or -fall.change < _STILL or rate_is_spent(record) or _holds_back(record):
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


def underfitting(record: TrainingRecord) -> Outcome:
    """Training and validation rows are judged alike (see `_gap_by_chance`), and badly, and the training error does not
    fall any more: it is at least `_BAD` of what a constant prediction comes to (of the first epoch's, where that is not
    known). Not of a network that is not held back and has a parameter for every training row: it could learn them by
    heart, whatever they were [Zhang et al. 2017], so that what is left is noise which it had no time to; nor, where its
    parameters are not known, where early stopping ended it, before the two could part."""
    misfit = _misfit(record)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("underfitting", misfit)
    if misfit.share < _BAD or _could_learn_by_heart(record):
        return None
    errors = course_of(record, errors_of(record))
    if "parameters" not in record.facts and len(errors) and was_stopped_early(record, errors):
        return None
    return Finding(
        "underfitting",
        "high" if misfit.share > 0.8 else "medium",
        f"The network fits neither training rows nor validation rows well: its error on {misfit.of} rows is still "
        f"{percent(misfit.share)} of {misfit.beside}, and it does not fall any more.",
        {"share": misfit.share, "gap": misfit.gap},
        Effect("A larger network tells whether this one is too weak or the inputs tell no more: curves alone cannot."),
        by_knobs("Let the network fit more: a larger one, a larger learning rate, less dropout and weight decay.",
                 **larger_network(record)),
    )  # fmt: skip


def capacity_too_small(record: TrainingRecord) -> Outcome:
    """The network underfits (see `underfitting`) and has fewer parameters than `_PER_ROW` for each training row, or no
    more than one hidden layer of `_FEW_UNITS` units would have, and is not held back by dropout or weight decay."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows")
    if parameters is None or rows is None:
        return NotChecked("capacity_too_small", "the number of parameters or of training rows is not known")
    misfit = _misfit(record)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("capacity_too_small", misfit)
    is_small = parameters <= max(_PER_ROW * rows, _FEW_PARAMETERS, _of_few_units(record))
    if misfit.share < _BAD or not is_small or _holds_back(record):
        return None
    return Finding(
        "capacity_too_small",
        "high" if misfit.share > 0.8 else "medium",
        f"The network is too small for these rows: with {counted(int(parameters), 'parameter')} its error on "
        f"{misfit.of} rows stays at {percent(misfit.share)} of {misfit.beside}.",
        {"parameters": int(parameters), "train_rows": int(rows), "share": misfit.share},
        Effect("A larger network tells whether this one is too weak or the inputs tell no more: curves alone cannot."),
        by_knobs("Take a wider and deeper network.", **larger_network(record)),
    )


def capacity_too_large(record: TrainingRecord) -> Outcome:
    """The network overfits (see `overfitting`), and has more than `_TOO_MANY` parameters for
    each training row."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows")
    if parameters is None or not rows:
        return NotChecked("capacity_too_large", "the number of parameters or of training rows is not known")
    found = overfitting(record)
    if not isinstance(found, Finding):
        return None if found is None else NotChecked("capacity_too_large", found.why)
    if parameters < _TOO_MANY * rows:
        return None
    width = number_of(record, "width")
    # A quarter of the units, but no fewer than 16 where half of them are as many.
    change: dict[str, Any] = {"width": int(max(width // 4, min(16, width // 2), 1)) if width else 32}
    return Finding(
        "capacity_too_large",
        "medium",
        f"The network is too large for so few rows: {counted(int(parameters), 'parameter')} for "
        f"{counted(int(rows), 'training row')}, which it learns by heart.",
        {"parameters": int(parameters), "train_rows": int(rows), "rise": found.evidence["rise"]},
        found.effect,
        by_knobs("Take a smaller network, or give more rows, and stop at the best epoch.", **change, stop=20),
    )


def regularised_too_strongly(record: TrainingRecord) -> Outcome:
    """Strong dropout, weight decay or label smoothing, and training rows are fitted hardly better than validation rows
    (`_GAP_HELD_BACK`), at `_REGULARISED` of a constant's error or more."""
    if (words := _holds_back(record)) is None:
        return (
            None if record.knobs else NotChecked("regularised_too_strongly", "dropout and weight decay are not known")
        )
    misfit = _misfit(record, needs_rest=False, gap=_GAP_HELD_BACK)
    if not isinstance(misfit, Misfit):
        return None if misfit is None else NotChecked("regularised_too_strongly", misfit)
    if misfit.share < _REGULARISED:
        return None
    return Finding(
        "regularised_too_strongly",
        "high" if misfit.share > 0.8 else "medium",
        f"The network is held back too strongly, by {words}: its error on {misfit.of} rows stays at "
        f"{percent(misfit.share)} of {misfit.beside}, about that on {misfit.others} rows.",
        {"share": misfit.share, "gap": misfit.gap},
        Effect("What less of it gains is not known from the curves alone."),
        by_knobs("Take less of it.", **_less(record)),
    )


# -- what several of them look at

_PER_ROW, _FEW_PARAMETERS, _FEW_UNITS, _TOO_MANY = 0.25, 60, 4, 30.0
# The median miss, beside the error: of normal misses 1, of Laplace's 0.73, each as a share of a normal target's.
_USUAL = 0.5
_OF_CONSTANT = "that of a constant prediction"
# Shares; decoupled, and what a step then takes off the weights; an L2 term of rules that adapt the rate.
_STRONG_DROPOUT, _STRONG_SMOOTHING, _STRONG_DECAY, _TAKES_OFF, _STRONG_L2 = 0.6, 0.3, 0.9, 5e-4, 0.03


@dataclass(frozen=True, order=True)
class Misfit:
    """Training rows that are fitted no better than validation rows, and how badly: the error on the rows `of` training
    or validation as a `share` of what is named `beside` it; `gap` is the validation error beside the training error."""

    share: float
    gap: float
    beside: str
    of: Literal["training", "validation"] = "training"

    @property
    def others(self) -> str:
        return "validation" if self.of == "training" else "training"


def _of_few_units(record: TrainingRecord) -> float:
    """The parameters of a network with one hidden layer of `_FEW_UNITS` units; 0 where its ends are not known."""
    inputs, outputs = record.facts.get("inputs", 0.0), record.facts.get("outputs", 0.0)
    return _FEW_UNITS * (inputs + outputs + 1) + outputs if inputs and outputs else 0.0


def _could_learn_by_heart(record: TrainingRecord) -> bool:
    """Whether the network is known to have a parameter for every training row, and nothing that holds it back."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows")
    return parameters is not None and rows is not None and parameters >= rows and _holds_back(record) is None


def _gap_by_chance(record: TrainingRecord) -> float:
    """By how many times the error on validation rows may lie above that on training rows where nothing is learnt by
    heart: `_NO_GAP`; or, of a network with far fewer parameters p than training rows n, what Akaike's final prediction
    error expects, the root of (n + p) / (n - p) [Akaike 1970], and twice the standard error of a ratio of errors of so
    many rows, when residuals have the tails of a Laplace distribution (kurtosis 6)."""
    parameters, rows = record.facts.get("parameters"), record.facts.get("train_rows", 0.0)
    validation = record.facts.get("validation_rows", 0.0)
    if parameters is None or not validation or parameters > _FAR_FEWER * rows:
        return _NO_GAP
    chance = math.sqrt((6 - 1) / 4 * (1 / rows + 1 / validation))
    return max(_NO_GAP, math.sqrt((rows + parameters) / (rows - parameters)) * (1 + 2 * chance))


_FAR_FEWER = 0.7


def _misfit(record: TrainingRecord, *, needs_rest: bool = True, gap: float | None = None) -> Misfit | str | None:
    """None where training rows are fitted well, or better than validation rows, or better with every epoch, or where a
    few rows far out make the error and the others are fitted; a text where it cannot be told."""
    pair, why = _pair(record)
    if pair is None:
        return why
    constant = constant_of(record, "train") if pair.is_evaluated else None
    start = constant or float(max(pair.train[0], pair.validation[0]))
    own_gap, gap = gap_of(pair), _gap_by_chance(record) if gap is None else gap
    fall = fall_at_end(Course(pair.epochs, pair.train))
    rests = fall is None or -fall.change < _RESTS or rate_is_spent(record)
    if start <= 0 or own_gap > gap or (needs_rest and not rests):
        return None
    misfit = Misfit(level_at_end(pair.train) / start, own_gap, _OF_CONSTANT if constant else "what it began with")
    validation, errors = constant_of(record), course_of(record, errors_of(record))
    if constant is None and validation and len(errors):
        # The first epoch of many rows is hundreds of steps long: what it came to is no beginning.
        misfit = min(misfit, Misfit(level_at_end(errors.values) / validation, own_gap, _OF_CONSTANT, "validation"))
    return None if record.facts.get("usual_miss", misfit.share) < _USUAL * misfit.share else misfit


def _keeps_best(record: TrainingRecord, rise: Rise) -> bool:
    """Whether the weights are known to be from before the rise."""
    return record.kept is not None and record.kept <= rise.epoch + 0.1 * float(record.epochs[-1])


def _holds_back(record: TrainingRecord) -> str | None:
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
