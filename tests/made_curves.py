"""Curves made by hand: what healthy and faulty trainings look like, with the noise of real ones."""

import numpy

from trimtab.findings.finding import Finding
from trimtab.findings.training_record import TrainingRecord


def epochs(length: int) -> numpy.ndarray:
    return numpy.arange(1.0, length + 1)


def noisy(curve, share: float = 0.01, seed: int = 0) -> numpy.ndarray:
    """`curve` with noise of this share of it."""
    curve = numpy.asarray(curve, dtype=float)
    return curve * (1 + share * numpy.random.default_rng(seed).normal(size=len(curve)))


def record(train, valid=None, **more) -> TrainingRecord:
    """A log of losses alone, unless more is said."""
    length = len(train)
    valid = None if valid is None else numpy.asarray(valid, dtype=float)
    return TrainingRecord(
        epochs(length), train_loss=numpy.asarray(train, dtype=float), validation_loss=valid, **more
    )  # fmt: skip


def learning(length: int = 100, *, speed: float = 12, floor: float = 0.2) -> numpy.ndarray:
    """A loss that falls from 1 to `floor`, mostly in the first `speed` epochs."""
    return floor + (1 - floor) * numpy.exp(-epochs(length) / speed)


def healthy(length: int = 100, **more) -> TrainingRecord:
    return record(noisy(learning(length)), noisy(learning(length, floor=0.28), seed=1), **more)


def found(rule, record: TrainingRecord) -> Finding:
    """What the rule finds, which must be a finding of its own name."""
    finding = rule(record)
    assert isinstance(finding, Finding) and finding.id == rule.__name__, finding
    return finding
