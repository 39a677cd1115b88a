"""Divergence: which runs of a sweep have failed, by one rule for networks of the caller's own and for those of tables;
and which did not, but were given no score.

Knows curves; it knows no knobs and trains nothing.
"""

import math

from trimtab.training.run import NOT_FINITE, RunRecord

# A little above the loss it began with is noise. A guess; a miss in benchmarks/RESULTS.md shows what a rule without the
# training rows costs: runs that overfit, far above their start on validation rows at the end, passed for diverged.
CLEARLY = 0.1


def has_diverged(record: RunRecord, untrained: tuple[float, float]) -> bool:
    """Whether a run was not finite; ended with a training and a validation loss that are both more than a tenth above
    those of the `untrained` network; or was that far above on validation rows throughout, while its training loss never
    fell by a tenth. Losses are the run's own."""
    curves = record.curves
    train, validation = untrained
    above = train + CLEARLY * abs(train), validation + CLEARLY * abs(validation)
    ends_above = curves.train_loss[-1] > above[0] and curves.validation_loss[-1] > above[1]
    has_learnt = curves.train_loss[-1] < train - CLEARLY * abs(train)
    was_never_good = min(curves.validation_loss) > above[1] and not has_learnt
    return record.ended == NOT_FINITE or ends_above or was_never_good


def is_unscored(record: RunRecord) -> bool:
    """Whether the metric gave no finite number in any epoch of a run whose losses are finite."""
    scores = record.curves.validation_metric
    return bool(scores) and record.ended != NOT_FINITE and not any(map(math.isfinite, scores))
