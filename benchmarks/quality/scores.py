"""Scores of test predictions, and what separates two models on the same rows. Knows arrays only."""

import numpy
from sklearn.metrics import roc_auc_score

RESAMPLES = 1_000
SMALLEST_PROBABILITY = 1e-15


def scores(outputs: numpy.ndarray, truth: numpy.ndarray, labels: list[str] | None) -> dict[str, float]:
    """RMSE and MAE of values, or log loss, error rate and (two classes) ROC AUC of probabilities."""
    if labels is None:
        error = outputs - truth.astype(float)
        return {"rmse": float(numpy.sqrt(numpy.mean(error**2))), "mae": float(numpy.mean(numpy.abs(error)))}
    place = _places(truth, labels)
    result = {
        "logloss": float(losses(outputs, truth, labels).mean()),
        "error": float(numpy.mean(outputs.argmax(1) != place)),
    }
    if len(labels) == 2:
        result["auc"] = float(roc_auc_score(place == 1, outputs[:, 1]))
    return result


def losses(outputs: numpy.ndarray, truth: numpy.ndarray, labels: list[str] | None) -> numpy.ndarray:
    """Squared error, or negative log probability of the true label, of each row."""
    if labels is None:
        return (outputs - truth.astype(float)) ** 2
    place = _places(truth, labels)
    probability = numpy.where(place >= 0, outputs[numpy.arange(len(truth)), place], 0.0)
    return -numpy.log(numpy.clip(probability, SMALLEST_PROBABILITY, 1.0))


def relative_difference(ours: numpy.ndarray, theirs: numpy.ndarray, *, is_regression: bool) -> tuple[float, float]:
    """95 % interval of (our score / their score - 1), from resampling the same rows for both; arguments: row losses."""
    rng = numpy.random.default_rng(0)
    ratios = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(ours), len(ours))
        ratio = ours[rows].mean() / max(theirs[rows].mean(), 1e-300)
        ratios.append(numpy.sqrt(ratio) if is_regression else ratio)
    low, high = numpy.quantile(ratios, [0.025, 0.975])
    return float(low - 1), float(high - 1)


def _places(truth: numpy.ndarray, labels: list[str]) -> numpy.ndarray:
    """Each row's class number; -1 for a label that the training rows do not hold."""
    place = {label: i for i, label in enumerate(labels)}
    return numpy.array([place.get(label, -1) for label in truth])
