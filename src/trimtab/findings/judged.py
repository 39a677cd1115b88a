"""What a training is judged by: its curves as errors, lower is better, as every rule reads them.

Knows no rule by which anything is found.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from trimtab.findings.training_record import TrainingRecord

Curve = NDArray[numpy.float64]


def is_scored_by_metric(record: TrainingRecord) -> bool:
    """Whether validation rows are judged by a metric; by the loss otherwise."""
    return record.greater_is_better is not None and has_numbers(record.validation_metric)


def errors_of(record: TrainingRecord) -> Curve | None:
    """The error on validation rows, lower is better: that of the metric where there is one, else the loss."""
    if is_scored_by_metric(record):
        assert record.validation_metric is not None
        return _as_error(record.validation_metric, record)
    return record.validation_loss if has_numbers(record.validation_loss) else None


@dataclass(frozen=True)
class Pair:
    """Training and validation rows judged by one measure, called `name`; `is_evaluated`: the training rows too in
    evaluation mode, so that dropout and the like do not tell them apart."""

    epochs: Curve
    train: Curve
    validation: Curve
    name: str
    is_evaluated: bool


def pair_of(record: TrainingRecord) -> Pair | None:
    """The curves by which training and validation rows can be compared, entries without both left out; None where the
    record has none."""
    if is_scored_by_metric(record) and has_numbers(record.train_metric):
        assert record.train_metric is not None and record.validation_metric is not None
        train, validation = _as_error(record.train_metric, record), _as_error(record.validation_metric, record)
        name, is_evaluated = record.metric or "score", True
    elif has_numbers(record.train_loss) and has_numbers(record.validation_loss):
        assert record.train_loss is not None and record.validation_loss is not None
        train, validation, name, is_evaluated = record.train_loss, record.validation_loss, "loss", False
    else:
        return None
    both = numpy.isfinite(train) & numpy.isfinite(validation) & numpy.isfinite(record.epochs)
    if not both.any():
        return None
    return Pair(record.epochs[both], train[both], validation[both], name, is_evaluated)


@dataclass(frozen=True)
class Course:
    """One curve without its gaps: the `epochs` that have a number, and the numbers."""

    epochs: Curve
    values: Curve

    def __len__(self) -> int:
        return len(self.values)


def course_of(record: TrainingRecord, values: Curve | None) -> Course:
    """`values` where they and their epochs are finite; empty where there are none."""
    if values is None or len(values) != len(record.epochs):
        return Course(numpy.empty(0), numpy.empty(0))
    finite = numpy.isfinite(values) & numpy.isfinite(record.epochs)
    return Course(record.epochs[finite], values[finite])


def measure_of(record: TrainingRecord) -> str:
    """What the error on validation rows is called: "rmse", or "loss"."""
    return (record.metric or "score") if is_scored_by_metric(record) else "loss"


def error_of(record: TrainingRecord) -> str:
    """What it is called where it is spoken of as falling: "rmse", or "error (1 - accuracy)"."""
    name = measure_of(record)
    return f"error (1 - {name})" if is_scored_by_metric(record) and record.greater_is_better else name


def has_numbers(values: Curve | None) -> bool:
    return values is not None and bool(numpy.isfinite(values).any())


def _as_error(values: Curve, record: TrainingRecord) -> Curve:
    return 1 - values if record.greater_is_better else values
