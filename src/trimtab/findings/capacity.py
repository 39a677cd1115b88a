"""How well the network fits the rows, and whether it is too small, too large or held back: rules from a record to a
finding or none.

Each looks at the curves and at what is known of the network. Thresholds were set on one half of the data sets of
`benchmarks.faults`; what they come to on the other half stands in benchmarks/RESULTS.md. Nothing is trained here.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.findings.duration import overfitting
from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Severity
from trimtab.findings.judged import Course, course_of, errors_of
from trimtab.findings.remedies import by_knobs, larger_network
from trimtab.findings.shapes import (
    comparable,
    constant_of,
    fall_at_end,
    gap_of,
    held_back_by,
    number_of,
    rate_is_spent,
    was_stopped_early,
)
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end
from trimtab.findings.words import percent
from trimtab.text.wording import counted

# Shares of an error, set on the trainings of the first half (see above).
_RESTS = 0.08  # what the last third of a finished training takes off at most
_BAD, _NO_GAP, _GAP_HELD_BACK = 0.4, 1.1, 1.3  # of a constant's error; validation beside training error
_REGULARISED = 0.15
_PER_ROW, _FEW_PARAMETERS, _FEW_UNITS, _TOO_MANY = 0.25, 60, 4, 30.0
# The median miss, beside the error: of normal misses 1, of Laplace's 0.73, each as a share of a normal target's.
_USUAL = 0.5
_OF_CONSTANT = "that of a constant prediction"
_FAR_FEWER = 0.7
_NOT_TOLD = Effect(
    "A larger network tells whether this one is too weak or the inputs tell no more: curves alone cannot."
)


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
        misfit.severity,
        f"The network fits neither training rows nor validation rows well: its error on {misfit.of} rows is still "
        f"{percent(misfit.share)} of {misfit.beside}, and it does not fall any more.",
        {"share": misfit.share, "gap": misfit.gap},
        _NOT_TOLD,
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
    if misfit.share < _BAD or not is_small or held_back_by(record):
        return None
    return Finding(
        "capacity_too_small",
        misfit.severity,
        f"The network is too small for these rows: with {counted(int(parameters), 'parameter')} its error on "
        f"{misfit.of} rows stays at {percent(misfit.share)} of {misfit.beside}.",
        {"parameters": int(parameters), "train_rows": int(rows), "share": misfit.share},
        _NOT_TOLD,
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
    if (words := held_back_by(record)) is None:
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
        misfit.severity,
        f"The network is held back too strongly, by {words}: its error on {misfit.of} rows stays at "
        f"{percent(misfit.share)} of {misfit.beside}, about that on {misfit.others} rows.",
        {"share": misfit.share, "gap": misfit.gap},
        Effect("What less of it gains is not known from the curves alone."),
        by_knobs("Take less of it.", **_less(record)),
    )


# -- what several of them look at


@dataclass(frozen=True, order=True)
class Misfit:
    """Training rows that are fitted no better than validation rows, and how badly: the error on the rows `of` training
    or validation as a `share` of what is named `beside` it; `gap` is the validation error beside the training error."""

    share: float
    gap: float
    beside: str
    of: Literal["training", "validation"] = "training"

    @property
    def severity(self) -> Severity:
        return "high" if self.share > 0.8 else "medium"

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
    return parameters is not None and rows is not None and parameters >= rows and held_back_by(record) is None


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


def _misfit(record: TrainingRecord, *, needs_rest: bool = True, gap: float | None = None) -> Misfit | str | None:
    """None where training rows are fitted well, or better than validation rows, or better with every epoch, or where a
    few rows far out make the error and the others are fitted; a text where it cannot be told."""
    pair, why = comparable(record)
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


def _less(record: TrainingRecord) -> dict[str, Any]:
    less: dict[str, Any] = {}
    if (number_of(record, "dropout") or 0.0) > 0.2:
        less["dropout"] = 0.1
    if (decay := number_of(record, "weight_decay") or 0.0) > 0.01:
        less["weight_decay"] = min(0.01, decay / 10)
    if (number_of(record, "label_smoothing") or 0.0) > 0.1:
        less["label_smoothing"] = 0.0
    return less
