"""What the rules come to where a log has the losses and nothing else, as most logs do. Trains nothing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy

from benchmarks.faults.judging import Made
from trimtab.findings.check import check
from trimtab.findings.training_record import TrainingRecord
from trimtab.training.run import NOT_FINITE

# What shows in losses alone, as far as it shows; each may be told as any of the three beside its own name.
OF_RATE = ("diverged", "oscillating", "learning_rate_too_large")


@dataclass
class BareTally:
    """Of harmful set-ups by their fault: how many there are (`shown`), `hits` by their own name, and `told` as one of
    `OF_RATE`; and of healthy `controls` those with an alarm."""

    shown: Counter = field(default_factory=Counter)
    hits: Counter = field(default_factory=Counter)
    told: Counter = field(default_factory=Counter)
    controls: int = 0
    alarmed: int = 0
    alarms: Counter = field(default_factory=Counter)


def bare(record: TrainingRecord) -> TrainingRecord:
    """The losses alone. Where training was lost, a plain loop goes on: its log says nan to the planned end."""
    epochs, train, validation = record.epochs, record.train_loss, record.validation_loss
    if record.ended == NOT_FINITE:
        missing = max(3, (record.planned or 0) - len(epochs))
        lost = numpy.full(missing, numpy.inf)  # as "nan" is read, see `logs.epochs`
        epochs = numpy.arange(1.0, len(epochs) + missing + 1)
        train, validation = (None if each is None else numpy.append(each, lost) for each in (train, validation))
    return TrainingRecord(epochs, train_loss=train, validation_loss=validation)


def bare_tally(trainings: Iterable[Made], tuned_train: dict[str, float]) -> BareTally:
    """The tally of trainings by their losses, each counted once."""
    counts, seen = BareTally(), set()
    for made in trainings:
        if not made.setup.fault:
            if made.is_healthy:
                found = {finding.id for finding in check(bare(made.record))}
                counts.controls += 1
                counts.alarmed += bool(found)
                counts.alarms.update(found)
            continue
        truth = made.truth
        if (truth, made.setup.key) in seen or not made.is_harmful(tuned_train[made.setup.task]):
            continue
        seen.add((truth, made.setup.key))
        found = {finding.id for finding in check(bare(made.record))}
        counts.shown[truth] += 1
        counts.hits[truth] += truth in found
        counts.told[truth] += bool(found & set(OF_RATE))
    return counts
