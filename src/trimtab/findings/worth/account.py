"""Account: what the runs beside a winner came to: every comparison with its interval, the path, what stopping rules
would have done; kept in the study's folder, and read from there.

Knows numbers and names; it trains nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars

from trimtab.findings.document import FILE, document_of
from trimtab.findings.worth.intervals import NOT_REACHED, Difference, Verdict
from trimtab.tuning.folder import StudyFolder

PART = "counterfactuals"
# In a study's result: the seconds that the first comparisons take, where there was too little time for them.
UNEXPLAINED = "unexplained_seconds"
# What is no knob by itself: another optimizer with the rate that was the winner's; fewer rows to train on; rows without
# a step of their preparation; and one network where the result is a mean of several.
AT_WINNERS_RATE = "optimizer at the winner's rate"
ROWS, HALF_OF_THE_ROWS, QUARTER_OF_THE_ROWS = "rows", "half", "quarter"
PREPARATION, INPUTS_UNSCALED, TARGET_UNSCALED = "preparation", "inputs unscaled", "target unscaled"
ENSEMBLE, SINGLE = "ensemble", "single network"
# Kept with a comparison for later calls, and shown to nobody.
_NOT_SHOWN = ("rate", "looks", "change", "row_variance", "is_open")


@dataclass(frozen=True)
class Row:
    """One alternative beside the winner: its error less the winner's (above 0: it is worse), the ends of the interval,
    None where there are none, and from how many pairs of runs (of the ensemble: of rows); `rate` is the learning rate
    that was found for it, `looks` are the calls that have looked at it, and the last one has not ended where it
    `is_open`; `change` are the knobs as they would be given to train so, and `row_variance` is how the difference
    varies over rows, where one part of them judges."""

    knob: str
    value: Any
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = NOT_REACHED
    pairs: int = 0
    rate: float | None = None
    looks: int = 0
    change: Mapping[str, Any] = field(default_factory=dict)
    row_variance: float | None = None
    is_open: bool = False

    @property
    def name(self) -> str:
        return f"{self.knob}={self.value}"

    def with_difference(self, found: Difference, rate: float | None) -> "Row":
        """The same with what was found."""
        ends = (found.value, found.low, found.high)
        value, low, high = (float(end) if math.isfinite(end) else None for end in ends)
        change = self.change if rate is None else {**self.change, "lr": rate}
        return replace(
            self, difference=value, low=low, high=high, verdict=found.verdict, pairs=found.pairs, rate=rate,
            change=change,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in _NOT_SHOWN}


@dataclass(frozen=True)
class Step:
    """One choice on the way from the beginner's network to the result: the score when it is made, and by how much the
    error fell with it (below 0: it rose), with its interval."""

    knob: str
    value: Any
    score: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, knob: str, value: Any, score: float, rise: Difference) -> "Step":
        """A choice with which the error rises so much."""
        ends = (-rise.value, -rise.high, -rise.low)
        return cls(knob, value, score, *(float(end) if math.isfinite(end) else None for end in ends))


@dataclass(frozen=True)
class Stop:
    """What a stopping rule would have done, the mean over folds: epochs spent, the epoch whose weights are kept, and
    the score of these."""

    rule: str
    epochs: float
    kept: float
    score: float


@dataclass(frozen=True)
class LearningCurve:
    """Errors of the winner trained on so many `rows`: `errors` has a line for each fold and seed, with a number for
    each of the sizes; `overlap` are the rows that judge for each that trains, where folds overlap, else 0."""

    rows: tuple[int, ...]
    errors: tuple[tuple[float, ...], ...]
    overlap: float = 0.0

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> "LearningCurve":
        return cls(tuple(document["rows"]), tuple(map(tuple, document["errors"])), document["overlap"])


@dataclass(frozen=True)
class Account:
    """All of it.

    Attributes:
        winner: the config's trial, words, score and what it is in JSON.
        metric: what scores are, "" for the validation loss; `greater_is_better` its direction.
        rows: the comparisons, those that were not reached behind the others.
        path: the way from the beginner's network; empty where it was not walked. Of its steps the first `best_steps`
            are each the best of all that were left, tried one by one. `lacks_path`: there is one, and no time was left.
        learning: what fewer rows come to; None where that was not reached.
        stopping: what stopping rules would have done, the mean over `stopping_folds` folds; empty where that was not
            looked at.
        looks: how many calls have trained some of it; `path_look` is the one that walked the path.
        rates: the learning rates that were found for other optimizers, by name.
        seconds: the time all of it took.
    """

    winner: Mapping[str, Any]
    metric: str
    greater_is_better: bool
    rows: tuple[Row, ...] = ()
    path: tuple[Step, ...] = ()
    stopping: tuple[Stop, ...] = ()
    stopping_folds: int = 0
    learning: LearningCurve | None = None
    looks: int = 0
    path_look: int = 0
    best_steps: int = 0
    lacks_path: bool = False
    rates: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def reached(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict != NOT_REACHED)

    @property
    def not_reached(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == NOT_REACHED)

    def about(self, knob: str | None) -> "Account":
        """The same of one knob alone, where one is named: how long to train is asked of stopping rules too."""
        if knob is None:
            return self
        rows = tuple(row for row in self.rows if row.knob == knob)
        stopping, learning = self.stopping if knob == "epochs" else (), self.learning if knob == ROWS else None
        return replace(self, rows=rows, path=(), lacks_path=False, stopping=stopping, learning=learning)

    def shown(self, error: float) -> float:
        """The figure users read."""
        return 1 - error if self.greater_is_better else error

    def to_json(self) -> dict[str, Any]:
        """The object that `trimtab explain --json` prints, findings apart."""
        return {
            "winner": dict(self.winner),
            "rows": [row.to_json() for row in self.reached],
            "path": [asdict(step) for step in self.path],
            "stopping": [asdict(stop) for stop in self.stopping],
            "not_reached": [{"knob": row.knob, "value": row.value} for row in self.not_reached],
        }

    def save(self, folder: StudyFolder, runs: polars.DataFrame, curves: polars.DataFrame) -> None:
        """Lay it, its runs and their curves into the folder, each file whole or not at all."""
        folder.save_counterfactuals(runs, curves)
        folder.write(FILE, document_of(folder) | {PART: asdict(self)})

    @classmethod
    def load(cls, folder: StudyFolder) -> "Account | None":
        """What stands in the folder, None where there is nothing."""
        kept = document_of(folder).get(PART)
        if kept is None:
            return None
        kinds = {"rows": Row, "path": Step, "stopping": Stop}
        several: dict[str, Any] = {name: tuple(kind(**each) for each in kept[name]) for name, kind in kinds.items()}
        learning = kept.get("learning")
        several["learning"] = None if learning is None else LearningCurve.of_json(learning)
        return cls(**{**kept, **several})


def ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The most telling first: what is surely worse or better by how much, then what cannot be told apart."""
    order = {"better": 0, "worse": 0, "alike": 1, NOT_REACHED: 2}

    def place(row: Row) -> tuple[int, float]:
        size = float("inf") if row.difference is None else abs(row.difference)
        return order[row.verdict], -size if row.verdict != NOT_REACHED else 0.0

    return tuple(sorted(rows, key=place))
