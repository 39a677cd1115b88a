"""Sweep: what the values of one or two knobs came to, as its owner holds it. Trains nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy
import polars

from trimtab.findings.check import check
from trimtab.findings.checked import joined, of_most, together
from trimtab.findings.document import to_json
from trimtab.findings.finding import Findings
from trimtab.findings.swept import SweptRecord, checks, without_what_was_tried
from trimtab.findings.training_record import TrainingRecord
from trimtab.networks.comparison import Predicted, compare
from trimtab.studies.single_run import Run
from trimtab.text.wording import counted, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Outcome:
    """What one run came to: its error at the best epoch and at the last, lower is better, whether it failed (see
    `modules.divergence`), and its predictions for the validation rows."""

    best: float
    final: float
    failed: bool
    best_epoch: int
    predictions: numpy.ndarray


@dataclass(frozen=True, repr=False)
class Sweep:
    """All values of one or two knobs, trained at once.

    `table` has a row per value (or pair): the knobs; `best`, the mean over seeds of the score at each run's best epoch,
    with `best_low` and `best_high`, the lowest and highest of the seeds; `final`, `final_low` and `final_high`, the
    same of the last epoch; `best_epoch`, their median; `diverged`, how many seeds were not finite, ended with losses on
    training and validation rows a tenth above those of the untrained network, or were so on validation rows throughout
    and learnt nothing. Scores are the `metric` as users read it, or the validation loss where that is None; NaN where a
    metric gave no number although the run did not diverge.

    Attributes:
        knobs: the names of the one or two knobs.
        table: a polars frame with a row per value.
        best: the value with the best mean, by knob; empty where all values diverged.
        like_best: the values that cannot be told apart from it, itself included (pairs as dicts).
        edge: the largest value of a numeric knob beyond which every value diverged, None where the largest one still
            trains.
        metric: what values are compared by, None for the validation loss.
        seconds: how long it took.
        runs: all runs, seed by seed for each value.
        place: the row of the best value in `table`.
        alike: the rows of `like_best`.
        is_noise_known: False where nothing tells a difference from chance.
        record: the sweep as the rules read it.
        trained: the best value's runs as the rules read them, where they are not among `runs`.
    """

    knobs: tuple[str, ...]
    table: polars.DataFrame
    best: dict[str, Any]
    like_best: tuple[Any, ...]
    edge: float | None
    metric: str | None
    seconds: float
    runs: tuple[Run, ...] = ()
    place: int | None = None
    is_noise_known: bool = True
    alike: tuple[int, ...] = ()
    record: SweptRecord | None = None
    trained: tuple[TrainingRecord, ...] = ()

    @cached_property
    def findings(self) -> Findings:
        """What is wrong with the sweep and with the training of its best value, gravest first, each with what to
        change; why what was checked is healthy, and what could not be checked."""
        runs = [run.findings for run in self._best_runs] or [check(record) for record in self.trained]
        of_training = of_most(runs)
        if self.record is None:
            return of_training
        return joined(without_what_was_tried(of_training, self.record), together(checks(self.record)))

    @property
    def _best_runs(self) -> tuple[Run, ...]:
        if self.place is None or not self.runs:
            return ()
        each = len(self.runs) // len(self.table)
        return self.runs[self.place * each : (self.place + 1) * each]

    @property
    def words(self) -> str:
        """What was found, in a few sentences."""
        what = self.metric or "validation loss"
        seeds = (
            f"{counted(len(self.runs), 'run')} in {self.seconds:.1f} s."
            if self.runs
            else f"It took {self.seconds:.1f} s."
        )
        unscored = self._unscored()
        if not self.best:
            advice = ": try smaller ones" if self.knobs == ("lr",) else ""
            named = " and ".join(self.knobs)
            if not unscored:
                return f"Every value of {named} diverged{advice}. {seeds}"
            return f"Every value of {named} diverged, or {what} gave no number for it ({listed(unscored)}). {seeds}"
        row = self.table.row(self.place or 0, named=True)
        best = ", ".join(f"{name} {_text(value)}" for name, value in self.best.items())
        spread = (
            f" ({_text(row['best_low'])} to {_text(row['best_high'])})" if row["best_low"] != row["best_high"] else ""
        )
        parts = [f"Best: {best}, with {what} {_text(row['best'])}{spread}."]
        if len(self.like_best) > 1:
            named = listed(_text(value) for value in self.like_best)
            parts.append(f"These cannot be told apart on these rows and seeds: {named}.")
        elif not self.is_noise_known:
            parts.append("One run of each value cannot tell a difference from chance: give more seeds.")
        elif len(self.table) > 1 + len(unscored):
            parts.append("Every other value is measurably worse on these rows and seeds.")
        if unscored:
            parts.append(f"Not compared, for {what} gave no number for them: {listed(unscored)}.")
        if self.edge is not None:
            parts.append(f"Beyond {self.knobs[0]} {_text(self.edge)} training diverges.")
        return " ".join([*parts, seeds])

    def _unscored(self) -> list[str]:
        """The values that trained, and for which the metric gave no number."""
        rows = (row for row in self.table.iter_rows(named=True) if math.isnan(row["best"]) and not row["diverged"])
        values = ({name: row[name] for name in self.knobs} for row in rows)
        return [_text(value if len(value) > 1 else next(iter(value.values()))) for value in values]

    def summary(self) -> dict[str, Any]:
        """What was found, as one plain dict: the object that `trimtab sweep --json` prints."""
        return {
            "knobs": list(self.knobs), "metric": self.metric, "best": self.best, "like_best": list(self.like_best),
            "edge": self.edge, "seconds": round(self.seconds, 2), "values": self.table.to_dicts(),
            "findings": to_json(self.findings)["findings"],
        }  # fmt: skip

    def plot(self) -> "Figure":
        """The score by value, with the spread over seeds, the best and what is like it: a matplotlib figure."""
        from trimtab.report.sweep_figures import pairs_figure, values_figure

        draw = values_figure if len(self.knobs) == 1 else pairs_figure
        return draw(self.table, self.knobs, best=self.place, alike=self.alike, edge=self.edge, metric=self.metric)

    def report(self, out: str | PathLike[str] = "sweep.html") -> Path:
        """Write the sweep as one HTML page that loads nothing. Returns its path; raises DataError where it cannot be
        written."""
        from trimtab.report.sweep_report import sweep_page

        return sweep_page(self, self.findings).write(out)

    def _repr_html_(self) -> str:
        from trimtab.report.sweep_report import sweep_page

        return sweep_page(self, self.findings).brief()

    def __repr__(self) -> str:
        return f"Sweep({self.words})"


def summarised(
    combinations: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Sequence[Outcome]],
    shown: Callable[[float], float],
    metric: str | None,
    *,
    predicted: Predicted | None,
    runs: tuple[Run, ...],
    seconds: float,
    greater_is_better: bool = False,
) -> Sweep:
    """The sweep of these values (one or two knobs each), from the outcomes of each value's repeats."""
    knobs = tuple(combinations[0])
    errors = numpy.array([[each.best for each in row] for row in outcomes])
    failures = numpy.array([[each.failed for each in row] for row in outcomes])
    failed = failures.mean(1) > 0.5
    found = compare(errors, failed, predicted)
    rows = [_row(value, row, shown) for value, row in zip(combinations, outcomes, strict=True)]
    alike = [combinations[i] for i in found.alike]
    is_noise_known = predicted is not None or errors.shape[1] > 1
    record = SweptRecord(
        tuple(combinations), errors.mean(1).tolist(), failures.sum(1).tolist(), errors.shape[1], found.best,
        found.alike, is_noise_known, metric or "validation loss", greater_is_better,
    )  # fmt: skip
    return Sweep(
        knobs,
        polars.DataFrame(rows, infer_schema_length=None, strict=False),
        dict(combinations[found.best]) if found.best is not None else {},
        tuple(next(iter(value.values())) if len(knobs) == 1 else dict(value) for value in alike),
        _edge([value[knobs[0]] for value in combinations], failed) if len(knobs) == 1 else None,
        metric,
        seconds,
        runs,
        found.best,
        is_noise_known,
        found.alike,
        record,
    )


def _row(value: Mapping[str, Any], outcomes: Sequence[Outcome], shown: Callable[[float], float]) -> dict[str, Any]:
    row: dict[str, Any] = {name: cell(each) for name, each in value.items()}
    for name in ("best", "final"):
        scores = [shown(float(getattr(outcome, name))) for outcome in outcomes]
        row |= {name: fmean(scores), f"{name}_low": min(scores), f"{name}_high": max(scores)}
    row["best_epoch"] = float(median(outcome.best_epoch for outcome in outcomes))
    row["diverged"] = sum(outcome.failed for outcome in outcomes)
    return row


def cell(value: Any) -> Any:
    """A knob's value as a cell: numbers and names as they are, functions by their names, others in words."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", None) or (type(value).__name__ if callable(value) else repr(value))


def _edge(values: Sequence[Any], failed: numpy.ndarray) -> float | None:
    """The largest value that trains, where all beyond it fail."""
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values) or not failed.any():
        return None
    order = numpy.argsort(numpy.array(values, dtype=float))
    if not failed[order[-1]] or failed.all():
        return None
    last = max(i for i, place in enumerate(order) if not failed[place])
    return float(values[order[last]])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_text(each)}" for name, each in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(cell(value))
