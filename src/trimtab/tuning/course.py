"""The course of a training on all rows: how far it goes along that of a trial's runs, and at which rates.

Knows what was noted of a trial; it trains nothing.
"""

import math
from collections.abc import Sequence

import numpy

from trimtab.tuning.trial import TrialRecord


def is_replayable(record: TrialRecord) -> bool:
    """Whether all is known that a training on all rows follows; older studies did not keep when a plateau cut rates."""
    return record.config.schedule.name != "plateau" or bool(record.cuts)


def until(record: TrialRecord, rows: Sequence[int]) -> int:
    """The epoch at which the runs of `record` were best, in the mean over their folds of so many training `rows`.

    Whole epochs, so that with more rows there are more steps in proportion, and schedule, dropout and decay stand where
    they stood in the runs that were scored. A fold of more rows is more like all rows, and counts more.
    """
    return max(1, round(float(numpy.average(record.best_epochs, weights=rows))))


def factors(record: TrialRecord, rows: Sequence[int]) -> tuple[float, ...]:
    """Where a plateau schedule cut rates, those of each epoch of a training on all rows; empty for other schedules.

    At each share of the way to its end it has the (geometric) mean of what the folds had at that share of their ways to
    their best epochs: at the end, what they had when they were best.
    """
    if record.config.schedule.name != "plateau":
        return ()
    end, logs = until(record, rows), []
    for epoch in range(1, end + 1):
        places = [-(-epoch * best // end) for best in record.best_epochs]
        passed = [sum(cut < place for cut in cuts) for cuts, place in zip(record.cuts, places, strict=True)]
        logs.append(numpy.average(passed, weights=rows) * math.log(record.config.schedule.factor))
    return tuple(numpy.exp(logs).tolist())
