"""Threshold: from which probability on a row counts as the second of two classes; given, or the best for a metric.

Chosen on validation rows, never on the rows that are evaluated. Knows arrays, and the file that a study keeps of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy
import polars
from sklearn.metrics import precision_recall_curve, roc_curve

from trimtab.errors import DataError, OptionError, StudyError, unknown_choice
from trimtab.table.target import TargetEncoder
from trimtab.text.wording import counted
from trimtab.training.metrics import known_metric

PREDICTIONS = "predictions.parquet"
CHOSEN_BY = ("f1", "accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Threshold:
    """Rows count as `positive` where its probability is at least `value`; `reason` says where that comes from."""

    value: float
    positive: str
    reason: str


def threshold_of(given: object, target: TargetEncoder, study: Path | None) -> Threshold:
    """The threshold that a caller asks for: a number between 0 and 1, or the name of a metric it is to be best for on
    the validation rows of `study`.

    Raises OptionError where there are not two classes, or for what is no threshold; StudyError where no predictions of
    validation rows are kept.
    """
    if target.task != "classification" or len(target.labels) != 2:
        what = f"{len(target.labels)} classes" if target.labels else "numbers"
        raise OptionError(f"--threshold has no effect: it decides between two classes, and {what} are predicted.")
    positive = target.labels[1]
    number = _as_number(given)
    if number is not None:
        if not 0 <= number <= 1:
            raise OptionError(f"--threshold {given} is not a probability: give a number between 0 and 1.")
        return Threshold(number, positive, "as asked for")
    known = known_metric(given)
    name = str(given) if known is None else known.name
    if name not in CHOSEN_BY:
        raise unknown_choice("threshold", name, ("a number between 0 and 1", *CHOSEN_BY))
    truth, probability, weights = _validation_rows(target, study)
    value = best_threshold(name, truth, probability, weights)
    return Threshold(value, positive, f"the best for {name} on {counted(len(truth), 'validation row')}")


def best_threshold(name: str, truth: numpy.ndarray, probability: numpy.ndarray, weights: numpy.ndarray) -> float:
    """The threshold with the greatest `name` on these rows, midway between two probabilities that occur; of several,
    the one nearest to 0.5. `truth` holds 0 and 1, `weights` what rows count."""
    if name == "f1":
        precision, recall, thresholds = precision_recall_curve(truth, probability, sample_weight=weights)
        total = precision + recall
        scores = numpy.where(total > 0, 2 * precision * recall / numpy.where(total > 0, total, 1), 0)[:-1]
    else:
        wrong, right, thresholds = roc_curve(truth, probability, sample_weight=weights, drop_intermediate=False)
        share = 0.5 if name == "balanced_accuracy" else float(weights[truth == 1].sum() / weights.sum())
        scores = share * right + (1 - share) * (1 - wrong)
    # Between its rows and those just below, so that no row lies on the threshold itself.
    occurring = numpy.unique(numpy.append(probability, [0.0]))
    places = numpy.searchsorted(occurring, numpy.minimum(thresholds, 1.0))
    below = occurring[numpy.maximum(places - 1, 0)]
    cuts = numpy.where(thresholds > 1, (probability.max() + 1) / 2, (numpy.minimum(thresholds, 1.0) + below) / 2)
    best = numpy.flatnonzero(scores >= scores.max() - 1e-12)
    return float(cuts[best[numpy.argmin(numpy.abs(cuts[best] - 0.5))]])


def _as_number(given: object) -> float | None:
    if isinstance(given, bool):
        return None
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _validation_rows(target: TargetEncoder, study: Path | None) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Class numbers, probabilities of the second class, and weights of the rows a study was judged by."""
    if study is None:
        raise StudyError(
            "A threshold is chosen on validation rows, and a model alone has none: name the study's folder, or give "
            "--threshold a number."
        )
    try:
        kept = polars.read_parquet(study / PREDICTIONS).filter(polars.col("part") == "validation")
        probability = kept[f"probability_{target.labels[1]}"].to_numpy()
        truth = target.truth(kept.select(polars.col("truth").alias(target.names[0])))
    except (OSError, polars.exceptions.PolarsError):
        raise StudyError(
            f"A threshold is chosen on validation rows, and {study} keeps no predictions of them ({PREDICTIONS}): "
            "search anew, or give --threshold a number."
        ) from None
    weights = kept["weight"].to_numpy() if "weight" in kept.columns else numpy.ones(kept.height)
    known = numpy.isfinite(probability) & (truth >= 0) & (weights > 0)
    if len(set(truth[known].tolist())) < 2:
        raise DataError(
            "The validation rows of the study are of one class only: no threshold can be chosen on them. Give "
            "--threshold a number."
        )
    return truth[known], probability[known].astype(float), weights[known]
