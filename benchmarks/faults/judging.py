"""What the rules come to on set-ups of known truth: recall of each finding, precision, false alarms on healthy
controls, and what is taken for what. Trains nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy

from benchmarks.faults.faulty import COMPANIONS, EVERYWHERE, HARM
from benchmarks.faults.setup import Setup
from trimtab.findings.check import check
from trimtab.findings.finding import Finding
from trimtab.findings.judged import errors_of
from trimtab.findings.loss import outliers_dominate_loss
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.trends import smooth

# What the last weights lose against the best ones where training went on for too long; no healthy control without early
# stopping loses as much.
WORSE_AT_END = 0.15
# A control is as good as the tuned training, or it is none.
AS_GOOD = 0.1
_OF_RATE = ("learning_rate_too_large", "diverged", "oscillating", "collapsed_to_constant")


@dataclass(frozen=True)
class Made:
    """A set-up and its training: the `predicted` values for its validation rows, and its `cost`, by which share its
    error is above that of the tuned training of its data set (by its best epoch, or its last where that was kept)."""

    setup: Setup
    record: TrainingRecord
    predicted: dict[str, numpy.ndarray]
    cost: float

    @property
    def judged(self) -> TrainingRecord:
        """The record as it is looked at."""
        record = self.record
        if self.setup.last and len(record.epochs):
            record = replace(record, kept=float(record.epochs[-1]))
        return record

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules find, in order."""
        record, more = self.judged, []
        if self.predicted and record.task == "regression":
            loss = str(record.knobs.get("loss"))
            more.append(outliers_dominate_loss(self.predicted["truth"], self.predicted["predictions"], loss))
        return list(check(record, more))

    @property
    def found(self) -> set[str]:
        """The ids of what the rules find."""
        return {finding.id for finding in self.findings}

    @property
    def truth(self) -> str:
        """The fault that it has: a rate that is too large shows in one of three ways, told by what became of it."""
        if self.setup.fault not in _OF_RATE:
            return self.setup.fault
        record = self.record
        train, errors = record.train_metric, errors_of(record)
        constant = record.facts.get("constant_error", numpy.inf)
        if train is None or errors is None or not numpy.isfinite(train[-1]) or train[-1] > 1.5 * constant:
            return "diverged"
        if self.setup.fault == "collapsed_to_constant":
            return self.setup.fault
        half = errors[len(errors) // 2 :]
        goes_up = (numpy.diff(half) > 0.1 * numpy.median(half)).mean() if len(half) > 1 else 0.0
        return "oscillating" if goes_up >= 0.2 else "learning_rate_too_large"

    @property
    def lost_at_end(self) -> float:
        """By which share the last weights are worse than the best."""
        errors = errors_of(self.record)
        errors = numpy.empty(0) if errors is None else errors[numpy.isfinite(errors)]
        if not len(errors):
            return numpy.inf
        return float(numpy.median(errors[-7:]) / smooth(errors, 5).min() - 1)

    @property
    def is_by_heart(self) -> bool:
        """Whether the training error has come to nothing beside that on validation rows."""
        train, errors = self.record.train_metric, errors_of(self.record)
        if train is None or errors is None:
            return False
        return bool(numpy.median(errors[-5:]) > 50 * numpy.median(train[-5:]))

    def is_harmful(self, tuned_train: float) -> bool:
        """Whether the fault shows at all; `tuned_train` is the training error of the tuned training."""
        fault = self.truth
        if fault in ("missing_zero_grad", "diverged"):
            return True
        if fault in ("overfitting", "capacity_too_large"):
            return self.lost_at_end > WORSE_AT_END or self.is_by_heart
        if fault in ("trained_too_long", "best_weights_not_restored"):
            return self.lost_at_end > WORSE_AT_END
        if fault in ("underfitting", "capacity_too_small") and self.record.train_metric is not None:
            fits_worse = float(numpy.median(self.record.train_metric[-5:])) > (1 + AS_GOOD) * tuned_train
            return self.cost > HARM and fits_worse
        return self.cost > HARM

    @property
    def is_healthy(self) -> bool:
        """Whether a control is one: as good as the tuned training, neither too long nor too short. Those with few
        validation rows are judged by other rows, and by these alone no error can be compared."""
        record = self.record
        if self.cost > AS_GOOD and self.setup.severity != "few validation rows":
            return False
        if record.ended == "stopped early" or (self.setup.loop and len(record.epochs) < self.setup.knobs["epochs"]):
            return True
        has_plan = record.knobs.get("schedule", "constant") != "constant"
        is_too_short = not has_plan and (record.kept or 0) > 0.9 * record.epochs[-1]
        return self.lost_at_end <= WORSE_AT_END and not is_too_short


@dataclass
class Tally:
    """Counts: set-ups of each fault that show (`shown`), of them found (`hits`), by severity too; those that do no harm
    (`hidden`), of them those with their finding (`hidden_told`); findings that are right and wrong; healthy controls
    and those with an alarm; and what is found beside what."""

    shown: Counter = field(default_factory=Counter)
    hidden: Counter = field(default_factory=Counter)
    hidden_told: Counter = field(default_factory=Counter)
    hits: Counter = field(default_factory=Counter)
    shown_by: Counter = field(default_factory=Counter)
    hits_by: Counter = field(default_factory=Counter)
    right: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)
    controls: int = 0
    not_healthy: int = 0
    alarmed: int = 0
    alarms: Counter = field(default_factory=Counter)
    beside: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    missed: list[str] = field(default_factory=list)
    mistaken: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        right = sum(self.right.values())
        return right / max(1, right + sum(self.wrong.values()))

    @property
    def recall(self) -> float:
        return sum(self.hits.values()) / max(1, sum(self.shown.values()))


def tally(trainings: Iterable[Made], tuned_train: dict[str, float]) -> Tally:
    """The tally of trainings, those that stand under two names counted once; `tuned_train` is the training error of
    each data set's tuned training."""
    counts, seen = Tally(), set()
    for made in trainings:
        if not made.setup.fault:
            _count_control(counts, made)
            continue
        name = (made.truth, made.setup.key, made.setup.last)
        if name not in seen:
            seen.add(name)
            _count_fault(counts, made, tuned_train[made.setup.task])
    return counts


def _count_control(counts: Tally, made: Made) -> None:
    if not made.is_healthy:
        counts.not_healthy += 1
        return
    found = made.found
    counts.controls += 1
    counts.alarmed += bool(found)
    counts.alarms.update(found)
    counts.wrong.update(found)
    if found:
        counts.mistaken.append(f"{', '.join(sorted(found))}: healthy {made.setup.severity} of {made.setup.task}")


def _count_fault(counts: Tally, made: Made, tuned_train: float) -> None:
    truth, severity = made.truth, made.setup.severity
    if not made.is_harmful(tuned_train):
        counts.hidden[truth] += 1
        counts.hidden_told[truth] += truth in made.found
        return
    found = made.found
    counts.shown[truth] += 1
    counts.shown_by[truth, severity] += 1
    counts.hits[truth] += truth in found
    counts.hits_by[truth, severity] += truth in found
    counts.beside[truth].update(found)
    allowed = COMPANIONS[truth] | EVERYWHERE | {truth}
    counts.right.update(found & allowed)
    counts.wrong.update(found - allowed)
    where = f"{severity} of {made.setup.task}, {made.cost:+.0%}"
    if truth not in found:
        counts.missed.append(f"{truth}: {where}; found: {', '.join(sorted(found)) or 'nothing'}")
    counts.mistaken += [f"{name}: {truth} {where}" for name in sorted(found - allowed)]
