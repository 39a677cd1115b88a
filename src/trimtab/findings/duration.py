"""How long was trained, and how well that fits: rules from a training's record to a finding or none.

Each looks at the curves alone and at what is known of the network. Thresholds were set on one half of the trainings of
`benchmarks.faults`; what they come to on the other half stands in benchmarks/RESULTS.md. Nothing is trained here.
"""

import math

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Severity
from trimtab.findings.judged import Pair, course_of, errors_of, measure_of, pair_of
from trimtab.findings.remedies import by_knobs
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import Trend, level_at_end, noise, smooth, trend
from trimtab.findings.words import epochs_of, percent
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY

Outcome = Finding | NotChecked | None

NO_VALIDATION = "no validation column"
TOO_SHORT = "fewer than eight evaluated epochs"
# A trend counts below this p; rules look at some tens of stretches, so that 0.05 would find one in many healthy runs.
SURE = 0.01
_FEWEST = 8


def overfitting(record: TrainingRecord) -> Outcome:
    """Validation rows get significantly worse while training rows get better [Prechelt 1998]: from the best epoch on
    the validation error has a rising trend (Kendall's tau, p < 0.01), ends `_RISE` above its best and more than three
    standard deviations of its own noise; and the training error falls meanwhile."""
    pair, why = _pair(record)
    if pair is None:
        return NotChecked("overfitting", why)
    rise = rise_of(pair.epochs, pair.validation)
    if rise is None or rise.share < _RISE or rise.after < 3:
        return None
    fell = pair.train[rise.place] - level_at_end(pair.train)
    if fell <= max(0.0, noise(pair.train)):
        return None
    gap = _ratio(level_at_end(pair.validation), level_at_end(pair.train))
    return Finding(
        "overfitting",
        "high" if rise.share > 0.5 else "medium",
        f"The network learns the training rows by heart: after {epochs_of(rise.epoch)} its {pair.name} on validation "
        f"rows grows by {percent(rise.share)}, while that on training rows still falls.",
        {"best_epoch": rise.epoch, "last_epoch": float(pair.epochs[-1]), "rise": rise.share, "gap": gap, "p": rise.p},
        Effect(
            f"With the last epoch's weights the error on new rows is about {percent(rise.share)} larger than with "
            "those of the best epoch (estimated from the curve).",
            rise.share,
        ),
        by_knobs(
            "Hold the network back: more weight decay or dropout, a smaller network, or more rows.",
            weight_decay=_more_decay(record),
            optimizer="adamw",
        ),
    )  # fmt: skip


def trained_too_long(record: TrainingRecord) -> Outcome:
    """The best epoch lies in the first `_EARLY` of all, and the error on validation rows is significantly higher at the
    end. What that costs depends on whose weights are used: those of the last epoch, or the best one's, and then it was
    only time."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("trained_too_long", NO_VALIDATION)
    if len(course) < _FEWEST or record.ended == STOPPED_EARLY:
        return None
    rise = rise_of(course.epochs, course.values)
    if rise is None or rise.share < _LONG_RISE or rise.epoch > _EARLY * course.epochs[-1]:
        return None
    best = f"The {measure_of(record)} on validation rows was best after {epochs_of(rise.epoch)}"
    spent = f"{epochs_of(course.epochs[-1])} were trained"
    wasted = f"{epochs_of(course.epochs[-1] - rise.epoch)} of {epochs_of(course.epochs[-1])} brought nothing."
    if _keeps(record, rise.epoch, course.epochs):
        severity: Severity = "low"
        statement = f"{best}, and {spent}: the best weights were kept, so the rest only cost time."
        effect = Effect(wasted, 0.0)
    else:
        severity = "high" if rise.share > 0.2 else "medium"
        whose = "" if record.kept is not None else "if the last weights are used, "
        statement = f"{best}, and {spent}: {whose}the error is {percent(rise.share)} larger than it was."
        effect = Effect(f"About {percent(rise.share)} of the error (estimated from the curve); {wasted}", rise.share)
    return Finding(
        "trained_too_long",
        severity,
        statement,
        {"best_epoch": rise.epoch, "last_epoch": float(course.epochs[-1]), "rise": rise.share, "p": rise.p},
        effect,
        by_knobs(
            "Stop when validation rows have not improved for 20 epochs, and keep the best epoch's weights.", stop=20
        ),
    )


def best_weights_not_restored(record: TrainingRecord) -> Outcome:
    """The weights that were kept are those of an epoch whose error is significantly above the best: by `_RISE`, and by
    three standard deviations of the curve's noise."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("best_weights_not_restored", NO_VALIDATION)
    if record.kept is None or not math.isfinite(record.kept):
        return NotChecked("best_weights_not_restored", "nobody says which epoch's weights were kept")
    kept = int(numpy.argmin(numpy.abs(course.epochs - record.kept)))
    smoothed = smooth(course.values, 3)
    best = int(numpy.argmin(smoothed))
    cost = course.values[kept] - smoothed[best]
    share = cost / smoothed[best] if smoothed[best] > 0 else math.nan
    if not (share > _LONG_RISE and cost > 3 * noise(course.values)):
        return None
    return Finding(
        "best_weights_not_restored",
        "high" if share > 0.2 else "medium",
        f"The weights of epoch {course.epochs[kept]:g} were kept, although the {measure_of(record)} on validation rows "
        f"was {percent(share)} worse there than at epoch {course.epochs[best]:g}.",
        {"kept": float(course.epochs[kept]), "best_epoch": float(course.epochs[best]), "rise": share},
        Effect(f"The error is about {percent(share)} larger than it could be (read off the curve).", share),
        by_knobs("Keep the weights of the best epoch, as early stopping in trimtab always does.", stop=20),
    )


def stopped_too_early(record: TrainingRecord) -> Outcome:
    """The error on validation rows still falls when training ends: over the last third it has a falling trend
    (Kendall's tau, p < 0.01) of more than `_STILL` of its level and of its noise, while the learning rate is not spent
    and the network does learn (it has come further than a slow rate would, see `learning_rate_too_small`)."""
    course = course_of(record, errors_of(record))
    if not len(course):
        return NotChecked("stopped_too_early", NO_VALIDATION)
    if record.ended not in ("", ALL_EPOCHS, STOPPED_EARLY) or len(course) < _FEWEST:
        return None
    fall = fall_at_end(course.epochs, course.values)
    if fall is None or rate_is_spent(record):
        return None
    last = float(course.epochs[-1])
    more = max(int(last) * 3, 10)
    return Finding(
        "stopped_too_early",
        "high" if fall.change < -0.2 else "medium",
        f"Training ended after {epochs_of(last)} although the {measure_of(record)} on validation rows was still "
        f"falling, by {percent(-fall.change)} over the last third of them.",
        {"last_epoch": last, "fall": -fall.change, "p": fall.p},
        Effect(
            f"As much training again would lower the error by some {percent(-fall.change)} (estimated from the "
            "slope at the end).",
            -fall.change,
        ),
        by_knobs("Train longer.", epochs=more),
    )


def underfitting(record: TrainingRecord) -> Outcome:
    """Training and validation rows are judged alike, and badly, and neither improves any more: the training error is at
    least `_BAD` of what a constant prediction (or the first epoch, where that is not known) comes to."""
    pair, why = _pair(record)
    if pair is None:
        return NotChecked("underfitting", why)
    level, start = level_at_end(pair.train), _start(record, pair)
    gap = _ratio(level_at_end(pair.validation), level)
    if not (start > 0 and level / start > _BAD and gap < _NO_GAP):
        return None
    return Finding(
        "underfitting",
        "high" if level / start > 0.9 else "medium",
        f"The network fits neither training rows nor validation rows well: its {pair.name} on training rows is still "
        f"{percent(level / start)} of what it began with.",
        {"level": level, "start": start, "share": level / start, "gap": gap},
        Effect("What a network that fits the training rows would gain: not known from the curves alone."),
        by_knobs("Let the network fit more: a larger one, a larger learning rate, less dropout and weight decay.",
                 width=128, depth=2),
    )  # fmt: skip


# -- shapes of curves

_RISE, _LONG_RISE, _EARLY, _STILL, _BAD, _NO_GAP = 0.1, 0.05, 0.7, 0.05, 0.5, 1.1


class Rise:
    """How a curve goes up after its best epoch: by which share of its best level, and whether that is sure."""

    def __init__(self, place: int, epoch: float, share: float, p: float, after: int) -> None:
        self.place, self.epoch, self.share, self.p, self.after = place, epoch, share, p, after


def rise_of(epochs: numpy.ndarray, errors: numpy.ndarray) -> Rise | None:
    """The significant rise of `errors` after their (smoothed) minimum; None where they do not rise."""
    if len(errors) < _FEWEST:
        return None
    smoothed = smooth(errors, min(5, len(errors) // 4))
    place = int(numpy.argmin(smoothed))
    after = trend(epochs[place:], errors[place:])
    end = level_at_end(errors[place:])
    cost = end - smoothed[place]
    if after.p > SURE or after.change <= 0 or cost <= 3 * noise(errors) or smoothed[place] <= 0:
        return None
    return Rise(place, float(epochs[place]), float(cost / smoothed[place]), after.p, len(errors) - 1 - place)


def fall_at_end(epochs: numpy.ndarray, errors: numpy.ndarray) -> Trend | None:
    """The significant fall over the last third, as a share of the level at the end; None where there is none."""
    last = max(_FEWEST, len(errors) // 3)
    found, level = trend(epochs[-last:], errors[-last:]), level_at_end(errors)
    if level <= 0 or found.p > SURE or -found.change < 2 * noise(errors[-last:]):
        return None
    share = found.change / level
    return Trend(share, found.p) if share < -_STILL else None


def rate_is_spent(record: TrainingRecord) -> bool:
    """Whether a schedule has brought the learning rate down to a tenth of its peak, so that more of the same run is no
    question of going on."""
    rate = course_of(record, record.rate).values
    return len(rate) > 0 and bool(rate[-1] < 0.1 * rate.max())


def _pair(record: TrainingRecord) -> tuple[Pair | None, str]:
    """Training and validation curves that can be compared, or why there are none."""
    pair = pair_of(record)
    if pair is None:
        is_validated = errors_of(record) is not None
        return None, "no training column in the measure of the validation rows" if is_validated else NO_VALIDATION
    return (pair, "") if len(pair.epochs) >= _FEWEST else (None, TOO_SHORT)


def _start(record: TrainingRecord, pair: Pair) -> float:
    return record.facts.get("constant_error", float(pair.validation[0]))


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else math.inf


def _keeps(record: TrainingRecord, best: float, epochs: numpy.ndarray) -> bool:
    """Whether weights from before the rise were kept."""
    return record.kept is not None and record.kept <= best + 0.1 * float(epochs[-1])


def _more_decay(record: TrainingRecord) -> float:
    decay = record.knobs.get("weight_decay")
    return max(0.1, 10 * decay) if isinstance(decay, (int, float)) else 0.1
