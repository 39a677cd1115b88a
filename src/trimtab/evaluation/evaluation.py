"""Evaluation: a model's figures on rows whose answer is known, as its owner reads them.

Knows models, frames and metrics; it trains nothing and prints nothing but itself.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy
import polars
from sklearn.metrics import confusion_matrix

from trimtab.errors import DataError, OptionError
from trimtab.evaluation.metrics import F1, OF_DECISIONS, PRECISION, RECALL, Figure, all_metrics, figures
from trimtab.evaluation.result import ClassFigures, Evaluation
from trimtab.evaluation.slices import metric_of_slices, slices_of
from trimtab.evaluation.threshold import Threshold, threshold_of
from trimtab.table.cells import settle_types
from trimtab.table.encode import Encoder
from trimtab.table.frames import column_called, to_frame
from trimtab.table.observations import row_weights
from trimtab.table.read import read_table
from trimtab.table.schema import require_column
from trimtab.table.target import TargetEncoder, has_target
from trimtab.text.wording import counted, listed
from trimtab.training.metrics import Metric, metric_for

FEWEST_ROWS = 2  # of one, no interval can be drawn


class Predictor(Protocol):
    """What is evaluated: a model with its encoders, that predicts frames."""

    @property
    def encoder(self) -> Encoder: ...

    @property
    def target(self) -> TargetEncoder: ...

    def raw(self, frame: polars.DataFrame) -> tuple[numpy.ndarray, tuple[str, ...]]: ...


def evaluate(
    model: Predictor,
    data: Any,
    *,
    target: Any = None,
    weight: str | None = None,
    usual_weight: str | None = None,
    metric: str | None = None,
    threshold: Any = None,
    study: Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """`model` on the rows of `data`: a file, any frame, or `(X, y)`.

    Arguments:
        target: what the target's column is called there, if not as in training (several as a sequence).
        weight: a column of row weights; `usual_weight` is one that is taken where it is there.
        metric: the metric that comes first and that slices are measured by; the task's default where it is None.
        threshold: a probability, or a metric it is to be best for, on the validation rows of the folder `study`.
        seed: of the intervals.

    Raises DataError for rows that cannot be scored, OptionError and StudyError for a threshold that cannot be.
    """
    encoder = model.target
    own = metric_for(metric, encoder.task, encoder.outputs)
    chosen = None if threshold is None else threshold_of(threshold, encoder, study)
    frame, said = _rows(data, encoder, target)
    weight = None if weight is None else column_called(weight, frame.columns)
    if weight is None and usual_weight is not None:
        weight = column_called(usual_weight, frame.columns)
        weight = weight if weight in frame.columns else None
        if weight is None:
            said += (f'There is no column "{usual_weight}" of row weights as in training: all rows count the same.',)
    kept, truth, weights, left_out = _scorable(frame, encoder, weight)
    raw, notices = model.raw(kept)
    found = Evaluation(
        task=encoder.task, metric=own.name, rows=kept.height, figures={}, targets={}, classes=(), confusion=(),
        threshold=chosen, slices=(), slice_metric=metric_of_slices(own.name).name, is_weighted=weight is not None,
        notices=(*said, *left_out, *notices),
    )  # fmt: skip
    decided = _decisions(raw, chosen, encoder) if encoder.task == "classification" else raw
    found = replace(found, figures=_figures(own, raw, decided, truth, weights, seed))
    if encoder.task == "classification":
        found = _with_classes(found, encoder.labels, decided, truth, weights, seed)
    elif len(encoder.names) > 1:
        found = replace(found, targets=_by_target(encoder.names, raw, truth, weights, seed))
    measure = metric_of_slices(own.name)
    of_slices = decided if measure.name in OF_DECISIONS else raw
    slices = slices_of(kept, model.encoder.features, of_slices, truth, weights, measure, seed=seed)
    return replace(found, slices=slices)


# -- rows


def _rows(data: Any, encoder: TargetEncoder, target: Any) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """The frame, its targets called as in training, and what was said while reading it."""
    said: tuple[str, ...] = ()
    if isinstance(data, (str, Path)):
        read = read_table(data)
        frame, said = read.frame, read.notices
    elif isinstance(data, tuple) and len(data) == 2:
        labels = to_frame(data[1], prefix="target")
        if labels.width != len(encoder.names):
            raise DataError(
                f"y has {counted(labels.width, 'column')}: the model has {counted(len(encoder.names), 'target')}."
            )
        labels.columns = list(encoder.names)
        frame = to_frame(data[0])
        if frame.height != labels.height:
            raise DataError(f"X has {frame.height} rows and y has {labels.height}: give one target for each row.")
        frame = frame.drop(encoder.names, strict=False).hstack(labels)
    else:
        frame = to_frame(data)
    names = encoder.names if target is None else [target] if isinstance(target, str) else list(target)
    if len(names) != len(encoder.names):
        raise OptionError(
            f"{counted(len(names), 'target is', 'targets are')} named, and the model predicts {listed(encoder.names)}: "
            "name the same number."
        )
    names = [column_called(name, frame.columns) for name in names]
    for name in names:
        require_column(frame, name, "the target, whose true values the predictions are compared with")
    if tuple(names) != tuple(encoder.names):
        renamed = {name: own for name, own in zip(names, encoder.names, strict=True) if name != own}
        frame = frame.drop([own for own in renamed.values() if own in frame.columns]).rename(renamed)
    return frame, said


def _scorable(
    frame: polars.DataFrame, encoder: TargetEncoder, weight: str | None
) -> tuple[polars.DataFrame, numpy.ndarray, numpy.ndarray, list[str]]:
    """The rows that can be scored, what is true of them, their weights, and what is said of the others."""
    if weight is not None:
        require_column(frame, weight, "--weight")
    frame = _settled(frame, encoder)
    there, _ = has_target(frame, encoder.names, encoder.task)
    known = there & encoder.usable(frame)
    weights = row_weights(frame, weight)
    said = []
    if not there.all():
        said.append(f"{_of(~there)} no target, and cannot be scored.")
    if (strange := there & ~known).any():
        what = "a class that the model does not know" if encoder.task == "classification" else "text as target"
        if encoder.task == "classification":
            labels = frame.filter(polars.Series(strange))[encoder.names[0]].unique(maintain_order=True).to_list()
            named = [f'"{label}"' for label in labels[:5]] + ["others"] * (len(labels) > 5)
            what += f" ({listed(named)})"
        said.append(f"{_of(strange)} {what}, and cannot be scored.")
    if (light := known & (weights == 0)).any():
        said.append(f"{_of(light)} weight 0, and counts for nothing." if light.sum() == 1 else
                    f"{_of(light)} weight 0, and count for nothing.")  # fmt: skip
    kept = known & (weights > 0)
    if kept.sum() < FEWEST_ROWS:
        raise DataError(
            f"Of {counted(len(kept), 'row')} {int(kept.sum())} can be scored, and at least {FEWEST_ROWS} are needed. "
            f"{' '.join(said)}".strip()
        )
    scored = frame if kept.all() else frame.filter(polars.Series(kept))
    return scored, encoder.truth(scored), weights[kept], said


def _settled(frame: polars.DataFrame, encoder: TargetEncoder) -> polars.DataFrame:
    """The frame with its targets read as in training where they are text: as it stands, or as the number it says."""
    names = list(encoder.names)
    settled = frame.with_columns(settle_types(frame.select(names))[0])
    return max((frame, settled), key=lambda each: int(encoder.usable(each).sum()))


def _of(rows: numpy.ndarray) -> str:
    """ "3 of 200 rows have": for rows in a bool array."""
    number = int(rows.sum())
    return f"{number:,} of {counted(len(rows), 'row')} {'has' if number == 1 else 'have'}"


# -- figures


def _decisions(raw: numpy.ndarray, threshold: Threshold | None, target: TargetEncoder) -> numpy.ndarray:
    """Probability 1 for what is predicted and 0 for all else, [rows, classes]."""
    if threshold is None:
        return numpy.eye(raw.shape[1])[target.decided(raw)]
    return numpy.eye(2)[(raw[:, 1] >= threshold.value).astype(int)]


def _figures(
    own: Metric,
    raw: numpy.ndarray,
    decided: numpy.ndarray,
    truth: numpy.ndarray,
    weights: numpy.ndarray,
    seed: int,
) -> dict[str, Figure]:
    """Every metric, `own` first."""
    every = sorted(all_metrics(own.task, raw.shape[1]), key=lambda metric: metric.name != own.name)
    return {
        metric.name: figures(metric, [decided if metric.name in OF_DECISIONS else raw], [truth], weights, seed=seed)[0]
        for metric in every
    }


def _by_target(
    names: tuple[str, ...], raw: numpy.ndarray, truth: numpy.ndarray, weights: numpy.ndarray, seed: int
) -> dict[str, dict[str, Figure]]:
    predictions, truths = ([array[:, i : i + 1] for i in range(len(names))] for array in (raw, truth))
    by_metric = {
        metric.name: figures(metric, predictions, truths, weights, seed=seed)
        for metric in all_metrics("regression", len(names))
    }
    return {name: {metric: found[i] for metric, found in by_metric.items()} for i, name in enumerate(names)}


def _with_classes(
    found: Evaluation,
    labels: tuple[str, ...],
    decided: numpy.ndarray,
    truth: numpy.ndarray,
    weights: numpy.ndarray,
    seed: int,
) -> Evaluation:
    predicted = decided.argmax(1)
    counts = confusion_matrix(truth, predicted, labels=range(len(labels)))
    # Each class against all others: as many problems of two classes.
    sides = [numpy.eye(2)[(predicted == number).astype(int)] for number in range(len(labels))]
    truths = [(truth == number).astype(numpy.int64) for number in range(len(labels))]
    columns = [figures(metric, sides, truths, weights, seed=seed) for metric in (PRECISION, RECALL, F1)]
    classes = tuple(
        ClassFigures(
            label, int(counts[i].sum()), int(counts[:, i].sum()),
            precision=columns[0][i], recall=columns[1][i], f1=columns[2][i],
        )
        for i, label in enumerate(labels)
    )  # fmt: skip
    return replace(found, classes=classes, confusion=tuple(tuple(map(int, row)) for row in counts))
