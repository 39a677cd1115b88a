"""RunBook: the runs beside a winner by what they are of, and the pairs of two configs among them.

Knows names, errors and folds; it trains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy
import polars

from trimtab.findings.worth import intervals
from trimtab.findings.worth.intervals import Paired
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import Trained, judged_rows
from trimtab.training.metrics import Metric
from trimtab.training.run import Curves
from trimtab.tuning.curves import curves_frame

COUNTERFACTUAL, PATH = "counterfactual", "path"
SCHEMA = {
    "stage": polars.String, "knob": polars.String, "value": polars.String, "fold": polars.Int64, "seed": polars.Int64,
    "error": polars.Float64, "epochs": polars.Int64, "ended": polars.String,
}  # fmt: skip


class Key(NamedTuple):
    """What a run is of: the stage, the knob that is another than the winner's, and its value as text."""

    stage: str
    knob: str
    value: str


WINNER = Key(COUNTERFACTUAL, "winner", "")


@dataclass
class RunBook:
    """All runs on `ground`; where all of them are judged by the same rows, with the variances over rows of the
    differences to the winner, by alternative, and what those of this call predict."""

    ground: Ground
    _records: dict[tuple[Key, int, int], dict[str, Any]] = field(default_factory=dict)
    _curves: dict[tuple[Key, int, int], polars.DataFrame] = field(default_factory=dict)
    _variances: dict[Key, float] = field(default_factory=dict)
    _errors: dict[Key, dict[tuple[int, int], float]] = field(default_factory=dict)
    _predictions: dict[tuple[Key, int], numpy.ndarray] = field(default_factory=dict)

    def remember(self, runs: polars.DataFrame, curves: polars.DataFrame, variances: Mapping[Key, float]) -> None:
        """The runs of earlier calls, with their curves and variances; curves of runs that are not there were written
        just before a call was killed."""
        for record in runs.iter_rows(named=True):
            self._add(record)
        self._variances |= variances
        if curves.is_empty():
            return
        for named, rows in curves.group_by(*Key._fields, "seed", "fold", maintain_order=True):
            place = (Key(*named[:3]), *named[3:])
            if place in self._records:
                self._curves[place] = rows

    def add(self, runs: Sequence[Trained], of: Mapping[str, Key]) -> None:
        """Runs that have just ended, by what they are called."""
        for run in runs:
            key = of[run.name]
            record = {"fold": run.fold, "seed": run.seed, "error": run.error, "epochs": run.epochs, "ended": run.ended}
            self._add(key._asdict() | record)
            self._curves[key, run.seed, run.fold] = _with_names(run.curves, key, run)
            if run.predictions is not None:
                self._predictions[key, run.repetition] = run.predictions
        for key in {of[run.name] for run in runs}:
            self._vary(key)

    def frame(self) -> polars.DataFrame:
        """The runs as `counterfactuals.parquet` has them."""
        return polars.DataFrame(list(self._records.values()), schema=SCHEMA)

    def curves_frame(self) -> polars.DataFrame:
        """The curves of all runs, as `counterfactual_curves.parquet` has them."""
        return polars.concat(list(self._curves.values())) if self._curves else polars.DataFrame()

    def has(self, key: Key, repetition: int) -> bool:
        """Whether every fold of the repetition was trained."""
        known = self._errors.get(key, {})
        return all((repetition, fold) in known for fold in range(self.ground.folds))

    def has_rows(self, key: Key, repetition: int) -> bool:
        """The same, and where others are compared with it by rows, whether what it predicted is at hand too: of earlier
        calls nothing is, and it trains again."""
        return self.has(key, repetition) and (self._by_rows is None or (key, repetition) in self._predictions)

    def variance(self, key: Key) -> float | None:
        """How the difference to the winner varies over rows; None where that is not known, or tells nothing."""
        return self._variances.get(key)

    def errors(self, keys: Sequence[Key]) -> list[tuple[float, ...]]:
        """The errors of several configs in all repetitions and folds that each of them has: a line for each pair."""
        whole = self._whole(None, *keys)
        return [tuple(line) for line in numpy.stack([self._table(key, whole).ravel() for key in keys], axis=1).tolist()]

    def mean(self, key: Key, repetitions: Sequence[int] | None = None) -> float:
        """The mean error over folds and those repetitions that are whole."""
        return float(self._table(key, self._whole(repetitions, key)).mean())

    def pairs(self, base: Key, other: Key, repetitions: Sequence[int] | None = None) -> Paired:
        """By how much the errors of `other` are larger, in all repetitions that both have."""
        both = self._whole(repetitions, base, other)
        values = self._table(other, both) - self._table(base, both)
        if self.ground.folds > 1:
            return Paired.over_folds(values, self.ground.judged_per_trained)
        units = len(self.ground.data.folds[0].validation)
        variance = self._variances.get(other) if base == WINNER else self._variance(base, other)
        return Paired.over_rows(values, variance or 0.0, units)

    def _whole(self, repetitions: Sequence[int] | None, *keys: Key) -> list[int]:
        """Those repetitions of which each has every fold; of all where none are named."""
        asked = range(self.ground.most_repetitions) if repetitions is None else repetitions
        return [repetition for repetition in asked if all(self.has(key, repetition) for key in keys)]

    def _table(self, key: Key, repetitions: Sequence[int]) -> numpy.ndarray:
        """The errors [repetitions, folds]."""
        known, folds = self._errors.get(key, {}), self.ground.folds
        errors = [known[repetition, fold] for repetition in repetitions for fold in range(folds)]
        return numpy.array(errors, dtype=float).reshape(len(repetitions), folds)

    def _add(self, record: dict[str, Any]) -> None:
        key = Key(*(record[name] for name in Key._fields))
        self._records[key, record["seed"], record["fold"]] = record
        repetition = record["seed"] - self.ground.seed_of(0)
        self._errors.setdefault(key, {})[repetition, record["fold"]] = record["error"]

    @property
    def _by_rows(self) -> Metric | None:
        """The metric by whose rows others are compared with the winner; None where folds tell differences from chance,
        or nothing tells rows apart."""
        return self.ground.metric if self.ground.folds == 1 else None

    def _vary(self, key: Key) -> None:
        """Note how the differences to the winner vary over rows, where that can be told."""
        variance = None if key == WINNER else self._variance(WINNER, key)
        if variance is not None:
            self._variances[key] = variance

    def _variance(self, base: Key, other: Key) -> float | None:
        """How the differences of two configs vary over rows, from all predictions that are at hand; None where there
        are none of both, or rows tell nothing."""
        ground = self.ground
        both = [r for r in range(ground.most_repetitions) if {(base, r), (other, r)} <= self._predictions.keys()]
        if (metric := self._by_rows) is None or not both:
            return None
        truth, weights, places = judged_rows(ground.data)
        units = None if ground.units is None else ground.units[places]
        ours, theirs = ([self._predictions[each, r] for r in both] for each in (base, other))
        return intervals.row_variance_of(ours, theirs, truth, weights, metric, units=units, seed=ground.seed)


def _with_names(curves: Curves, key: Key, run: Trained) -> polars.DataFrame:
    named = {**key._asdict(), "fold": run.fold, "seed": run.seed}
    frame = curves_frame(curves).with_columns(**{name: polars.lit(value) for name, value in named.items()})
    return frame.select(*named, polars.exclude(*named))
