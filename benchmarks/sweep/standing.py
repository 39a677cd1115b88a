"""How good a suggested rate is: full trainings at every rate of the grid and at every suggestion, same fresh seeds.

The best of the grid is chosen by the very trainings that score it, which favours it over any suggestion. Knows
suggestions; it knows nothing of where they come from.
"""

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import isfinite
from time import perf_counter

import numpy
from scipy.stats import t as student

import trimtab
from benchmarks.sweep.finders import Suggestion, suggestions
from benchmarks.sweep.loop import network
from benchmarks.sweep.rows import BATCH, Rows
from benchmarks.sweep.terms import FIRST_FRESH_SEED, FRESH_SEEDS, Terms

LEVEL = 0.95
WITHIN = 0.02


@dataclass(frozen=True)
class Verdict:
    """A suggestion's mean RMSE relative to the best of the grid, and whether seeds tell the two apart."""

    ratio: float
    is_told_apart: bool

    @property
    def is_met(self) -> bool:
        return self.ratio <= 1 + WITHIN or not self.is_told_apart


@dataclass(frozen=True)
class Standing:
    """One table: the suggestions, and the validation RMSE at the best epoch by rate and seed, in standard deviations.

    `seconds` is what the full trainings took, of all rates and suggestions at once.
    """

    name: str
    rows: int
    inputs: int
    grid: tuple[float, ...]
    scores: dict[float, tuple[float, ...]]
    suggestions: tuple[Suggestion, ...]
    seconds: float

    @cached_property
    def best(self) -> float:
        """The rate of the grid with the lowest mean."""
        return min(self.grid, key=self.mean)

    def mean(self, rate: float) -> float:
        return float(numpy.mean(self.scores[rate]))

    def verdict(self, rate: float) -> Verdict:
        """Paired over seeds, with Student's interval of the difference."""
        differences = numpy.subtract(self.scores[rate], self.scores[self.best])
        ratio = self.mean(rate) / self.mean(self.best)
        if not isfinite(ratio):
            return Verdict(numpy.inf, is_told_apart=True)
        seeds = len(differences)
        half = student.ppf((1 + LEVEL) / 2, seeds - 1) * differences.std(ddof=1) / seeds**0.5
        return Verdict(ratio, is_told_apart=bool(differences.mean() > half))

    def to_json(self) -> dict:
        return {
            "table": self.name, "rows": self.rows, "inputs": self.inputs, "grid": self.grid, "best": self.best,
            "suggestions": [
                asdict(each) | ({} if each.rate is None else asdict(self.verdict(each.rate)))
                for each in self.suggestions
            ],
            "scores": [{"rate": rate, "rmse": scores} for rate, scores in self.scores.items()],
            "seconds": self.seconds,
        }  # fmt: skip

    @classmethod
    def from_json(cls, entry: dict) -> "Standing":
        names = [field.name for field in fields(Suggestion)]
        return cls(
            entry["table"], entry["rows"], entry["inputs"], tuple(entry["grid"]),
            {line["rate"]: tuple(line["rmse"]) for line in entry["scores"]},
            tuple(Suggestion(**{name: each[name] for name in names}) for each in entry["suggestions"]),
            entry["seconds"],
        )  # fmt: skip


def standing_of(rows: Rows, terms: Terms) -> Standing:
    """Ask every finder, then train at all rates."""
    asked, started = suggestions(rows, terms), perf_counter()
    rates = sorted({*terms.rates, *(each.rate for each in asked if each.rate is not None)})
    trained = trimtab.sweep(
        lambda: network(rows.inputs), (rows.x, rows.y), (rows.x_validation, rows.y_validation), lr=rates,
        seeds=FRESH_SEEDS, seed=FIRST_FRESH_SEED, epochs=terms.epochs, batch_size=BATCH, metric="rmse",
        threads=terms.threads,
    )  # fmt: skip
    scores = numpy.array([run.score for run in trained.runs]).reshape(len(rates), FRESH_SEEDS)
    scores = numpy.where(numpy.isfinite(scores), scores, numpy.inf)
    return Standing(
        rows.name, len(rows.x), rows.inputs, tuple(terms.rates),
        {rate: tuple(row) for rate, row in zip(rates, scores.tolist(), strict=True)}, tuple(asked),
        perf_counter() - started,
    )  # fmt: skip
