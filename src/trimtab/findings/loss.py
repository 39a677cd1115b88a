"""The loss: rules from a training's record, or from its residuals, to a finding or none.

Thresholds as in `duration`. Nothing is trained here.
"""

import math
from typing import Any

import numpy
from numpy.typing import NDArray

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome
from trimtab.findings.judged import course_of, errors_of, has_numbers, is_scored_by_metric, pair_of
from trimtab.findings.remedies import by_knobs
from trimtab.findings.shapes import SURE, learning_of, pace_of, rate_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import level_at_end, smooth, trend
from trimtab.findings.words import epochs_of, percent
from trimtab.text.wording import counted

Numbers = NDArray[numpy.float64]

# Losses of numbers in which an error counts squared, so that a few large ones outweigh all others.
SQUARED = ("mse",)
# The metrics that a loss is the right one for; others of the task are near enough for most trainings, unless listed in
# `_FAR`: there the loss pulls predictions to somewhere else than where the metric is lowest.
_OF_MEANS, _OF_PROBABILITIES = ("rmse", "mse", "r2", "mae"), ("log_loss", "loss", "brier")


def outliers_dominate_loss(truth: Numbers, predictions: Numbers, loss: str) -> Outcome:
    """A handful of rows make most of the loss: under a squared loss those rows (at most `_FEW` of all) whose residual
    lies further than `_FAR_OUT` robust standard deviations from the median carry at least `_MOST` of the squared error.

    `truth` and `predictions` are `[rows]` or `[rows, outputs]`, of validation rows by the weights that were kept; the
    evidence names the rows, furthest first. The cut is the usual one for outliers, 3.5 median absolute deviations made
    standard [Iglewicz and Hoaglin 1993], widened so that the tails of a Laplace distribution stay within. Residuals
    that grow with what is predicted, as those of prices do, are no outliers: a row is measured by the spread of rows
    with predictions near its own too, where that is the larger.
    """
    if loss not in SQUARED:
        return None
    residuals = numpy.asarray(predictions, dtype=float) - numpy.asarray(truth, dtype=float)
    residuals = residuals.reshape(len(residuals), -1)
    if len(residuals) < _FEWEST_ROWS or not numpy.isfinite(residuals).all():
        return NotChecked("outliers_dominate_loss", f"fewer than {counted(_FEWEST_ROWS, 'row')} with a prediction")
    centred = residuals - numpy.median(residuals, axis=0)
    spread = _robust_spread(centred)
    if not (spread > 0).all():
        return None
    nearby = _spread_nearby(numpy.asarray(predictions, dtype=float).reshape(len(residuals), -1), centred, spread)
    far = numpy.abs(centred / numpy.maximum(spread, nearby)).max(1)
    squares = (residuals / spread) ** 2
    is_far = far > _FAR_OUT
    share = float(squares[is_far].sum() / squares.sum())
    if not is_far.any() or is_far.mean() > _FEW or share < _MOST:
        return None
    rows = numpy.argsort(-far)[: int(is_far.sum())]
    return Finding(
        "outliers_dominate_loss",
        "high" if share > 0.75 else "medium",
        f"{counted(int(is_far.sum()), 'row makes', 'rows make')} {percent(share)} of the squared error, being "
        f"{percent(float(is_far.mean()))} of all rows: training chases them instead of fitting the others.",
        {"rows": [int(row) for row in rows], "share_of_loss": share, "share_of_rows": float(is_far.mean())},
        Effect("What a loss that is less swayed by them gains shows on the other rows; it was not tried.", None),
        by_knobs("Take a loss, and a metric, in which large errors do not count squared, or look at these rows.",
                 loss="huber", delta=1.0),
    )  # fmt: skip


def _robust_spread(centred: Numbers) -> Numbers:
    """The standard deviation of normal residuals around 0 `[rows, ...]`, by their median size."""
    return 1.4826 * numpy.median(numpy.abs(centred), axis=0)


def _spread_nearby(predictions: Numbers, centred: Numbers, usual: Numbers) -> Numbers:
    """The robust standard deviation of centred residuals `[rows, outputs]` among rows whose predictions are near; where
    it has grown towards an end beyond what is `usual` `[outputs]`, it is taken to go on growing with the distance from
    the middle."""
    spread = numpy.empty_like(centred)
    for column, values in enumerate(predictions.T):
        distance = numpy.abs(values - numpy.median(values))
        for rows in numpy.array_split(numpy.argsort(values, kind="stable"), max(1, min(_PARTS, len(values) // _NEAR))):
            near = float(_robust_spread(centred[rows, column]))
            middle = float(numpy.median(distance[rows]))
            grows = near > _GROWN * usual[column] and middle > 0
            spread[rows, column] = near * numpy.maximum(1, distance[rows] / middle) if grows else near
    return spread


def loss_does_not_match_metric(record: TrainingRecord) -> Outcome:
    """What training minimises leads away from what is judged: the loss is one whose minimum lies elsewhere (a quantile
    other than the median, strongly smoothed or focused probabilities), or on validation rows the loss gets
    significantly better while the metric gets significantly worse (Kendall's tau of both with time, p < 0.01)."""
    if not is_scored_by_metric(record) or record.metric == "loss":
        return NotChecked("loss_does_not_match_metric", "no metric beside the loss")
    if (words := _elsewhere(record)) is not None:
        return _mismatch(record, words, {"loss": record.knobs.get("loss"), "metric": record.metric})
    if not has_numbers(record.validation_loss):
        return NotChecked("loss_does_not_match_metric", "no validation loss")
    losses, errors = course_of(record, record.validation_loss), course_of(record, errors_of(record))
    if len(losses) < _FEWEST or len(losses) != len(errors):
        return None
    half = len(losses) // 2
    better, worse = trend(losses.epochs[half:], losses.values[half:]), trend(errors.epochs[half:], errors.values[half:])
    level = abs(level_at_end(errors.values))
    if better.p > SURE or worse.p > SURE or better.change >= 0 or level == 0 or worse.change / level < _AGAINST:
        return None
    share = worse.change / level
    return _mismatch(
        record,
        f"While the loss on validation rows falls, their {record.metric} gets {percent(share)} worse",
        {"worse": share, "p": worse.p},
    )


def collapsed_to_constant(record: TrainingRecord) -> Outcome:
    """The network answers every row alike: its predictions spread by less than `_ALIKE` of what the truth does and are
    no better than a constant, and it is not on its way (`_UNDER_WAY` of the pace at which it began). Where predictions
    are not known: the training loss never leaves where it began, through all of at least `_STUCK` epochs, by more than
    `_LEFT` of it."""
    spread, constant = record.facts.get("prediction_spread"), record.facts.get("constant_error")
    if spread is not None:
        pair = pair_of(record)
        error = math.nan if pair is None else float(smooth(pair.validation, 3).min())
        is_no_better = constant is None or not error < _NO_BETTER * constant
        if spread >= _ALIKE or not is_no_better or pace_of(learning_of(record)) > _UNDER_WAY:
            return None
        words = f"they differ by {percent(spread)} of what the truth does"
        return _collapsed(record, words, {"prediction_spread": spread})
    course = course_of(record, record.train_loss)
    if not len(course):
        return NotChecked("collapsed_to_constant", "neither predictions nor a training loss")
    if len(course) < _STUCK or course.values[0] == 0:
        return None
    levels = smooth(course.values, 5)
    moved = float(numpy.ptp(levels[1:]) / abs(levels[0])) if levels[0] else math.inf
    if moved > _LEFT or trend(course.epochs, course.values).p < SURE:
        return None
    return _collapsed(
        record,
        f"in {epochs_of(course.epochs[-1])} the training loss never moved by more than {percent(moved)}",
        {"moved": moved, "epochs": float(course.epochs[-1])},
    )


_FEWEST, _FEWEST_ROWS = 8, 50
_FAR_OUT, _FEW, _MOST = 10.0, 0.1, 0.5
# Rows of a part of near predictions at least, whose median is then known to a fifth; and parts at most. A guess.
_NEAR, _PARTS = 25, 8
# Times the usual spread, beyond what the median of a part comes to by chance.
_GROWN = 2.0
_AGAINST = 0.05
_ALIKE, _NO_BETTER, _UNDER_WAY, _STUCK, _LEFT = 0.1, 0.97, 0.02, 8, 0.01


def _elsewhere(record: TrainingRecord) -> str | None:
    """In which way the loss has its minimum elsewhere than the metric; None where it has not, as far as is known."""
    knobs, metric = record.knobs, record.metric
    if metric in _OF_MEANS and knobs.get("loss") == "quantile" and _number(knobs.get("tau")) is not None:
        tau = float(knobs["tau"])
        if abs(tau - 0.5) >= _OFF_THE_MEDIAN:
            return f"The loss aims at the value that {percent(tau)} of rows stay below, and {metric} at the middle"
    if metric in _OF_PROBABILITIES:
        smoothing, gamma = _number(knobs.get("label_smoothing")) or 0.0, _number(knobs.get("gamma")) or 0.0
        if smoothing >= _SMOOTHED:
            return f"Labels are smoothed by {percent(smoothing)}, so that probabilities stay far from sure"
        if knobs.get("loss") == "focal" and gamma >= _FOCUSED:
            return "The focal loss hardly counts rows that are nearly right, so that probabilities stay far from sure"
    return None


_OFF_THE_MEDIAN, _SMOOTHED, _FOCUSED = 0.15, 0.2, 3.0


def _mismatch(record: TrainingRecord, words: str, evidence: dict[str, Any]) -> Finding:
    is_regression = record.task != "classification"
    loss = ("mae" if record.metric == "mae" else "mse") if is_regression else "cross_entropy"
    change: dict[str, Any] = {"loss": loss}
    if not is_regression and record.knobs.get("label_smoothing"):
        change["label_smoothing"] = 0.0
    return Finding(
        "loss_does_not_match_metric",
        "medium",
        f"{words}: what is minimised is not what is judged.",
        evidence,
        Effect("How much the matching loss gains is not known from the curves alone."),
        by_knobs(f"Minimise what {record.metric} judges.", **change),
    )


def _usual_or_lower(record: TrainingRecord) -> dict[str, float]:
    """A usual rate, or a lower one than that, and no weight decay where there may be some."""
    rate = rate_of(record)
    change = {"lr": rate / 10 if rate is not None and rate <= 1e-3 else 1e-3}
    return change if record.knobs.get("weight_decay") == 0 else {**change, "weight_decay": 0.0}


def _collapsed(record: TrainingRecord, words: str, evidence: dict[str, Any]) -> Finding:
    return Finding(
        "collapsed_to_constant",
        "high",
        f"The network gives every row nearly the same prediction: {words}.",
        evidence,
        Effect("It is no better than the mean of the training rows, whatever the inputs say."),
        by_knobs("Scale inputs, lower the learning rate, and take ReLU or SiLU units and less weight decay.",
                 **_usual_or_lower(record)),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
