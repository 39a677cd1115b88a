"""Checkup: what tt.doctor found about a network and its training before it is trained, as its owner holds it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.checkups.by_heart import ByHeart
from trimtab.checkups.comparing import Comparison
from trimtab.checkups.rates import Swept
from trimtab.findings.document import to_json
from trimtab.findings.finding import Findings, NotChecked
from trimtab.terminal.checkup import checkup_in_text

if TYPE_CHECKING:
    import polars

WIDTH = 80
# As the exit status of `trimtab diagnose`.
HEALTHY, FOUND, NOT_JUDGED = 0, 1, 3


@dataclass(frozen=True, repr=False)
class Checkup:
    """What was looked at before training, what was found, and what came of the remedies; `print` shows it.

    Attributes:
        name: the class of the network.
        findings: what is wrong, gravest first; why the rest is healthy; what could not be checked.
        notes: what was assumed or left out, a sentence each.
        parameters: how many numbers are trained.
        train_rows: rows that it was trained on.
        valid_rows: rows that it was judged by.
        loss: what is minimised.
        optimizer: by which rule.
        rate: the learning rate; None where only the optimizer knows it.
        batch_size: rows of a step.
        metric: what errors are, such as "validation rmse"; lower is better.
        start: the error of the short trainings of the network as it was given, a mean over seeds; None where there
            was no time for them, infinite where they diverged.
        steps: steps of a short training.
        pairs: how many short trainings each set-up had, from as many seeds.
        comparisons: each change that was tried beside what there was.
        swept: the learning rates that were tried.
        by_heart: what the network could learn by heart; None where that was not reached.
        seconds: how long all of it took.
    """

    name: str
    findings: Findings
    notes: tuple[str, ...]
    parameters: int
    train_rows: int
    valid_rows: int
    loss: str
    optimizer: str
    rate: float | None
    batch_size: int
    metric: str
    start: float | None
    steps: int
    pairs: int
    comparisons: tuple[Comparison, ...]
    swept: tuple[Swept, ...]
    by_heart: ByHeart | None
    seconds: float

    @property
    def healthy(self) -> tuple[str, ...]:
        """Why what was checked is healthy, a sentence each."""
        return self.findings.healthy

    @property
    def not_checked(self) -> tuple[NotChecked, ...]:
        """The checks that could not run or were not reached, each with the reason."""
        return self.findings.not_checked

    @property
    def status(self) -> int:
        """0: nothing was found; 1: something was; 3: there was nothing that could be judged."""
        return FOUND if self.findings.found else HEALTHY if self.findings.healthy else NOT_JUDGED

    @property
    def trials(self) -> "polars.DataFrame":
        """Each change that was tried: `change`, `before` and `after` (errors in the unit of the metric, null where
        training diverged), `difference` with its interval `low` to `high`, `verdict`, `pairs`."""
        import polars

        numbers, texts = ("before", "after", "difference", "low", "high"), ("change", "metric", "verdict")
        kinds = dict.fromkeys(texts, polars.String) | dict.fromkeys(numbers, polars.Float64) | {"pairs": polars.Int64}
        return polars.DataFrame(self._trials(), schema={name: kinds[name] for name in _COLUMNS})

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers; None where there is no number."""
        told, learnt = to_json(self.findings), self.by_heart
        return {
            "name": self.name,
            "metric": self.metric,
            "start": _number(self.start),
            "steps": self.steps,
            "pairs": self.pairs,
            **told,
            "trials": self._trials(),
            "rates": [{"rate": each.rate, "error": _number(each.error), "diverged": each.diverged, "runs": each.runs}
                      for each in self.swept],
            "by_heart": None if learnt is None else {
                "rows": learnt.rows, "steps": learnt.steps, "left": _number(learnt.left), "rate": learnt.rate,
                "control": _number(learnt.control),
            },
            "notes": list(self.notes),
        }  # fmt: skip

    def _trials(self) -> list[dict[str, Any]]:
        return [
            {"change": each.change, "metric": each.metric, "before": _number(each.before), "after": _number(each.after),
             "difference": _number(each.after - each.before), "low": _number(each.low),
             "high": _number(each.high), "verdict": each.verdict, "pairs": each.pairs}
            for each in self.comparisons
        ]  # fmt: skip

    def text(self, *, everything: bool = False, width: int = WIDTH) -> str:
        """What `print` shows, for a width in characters; `everything`: all findings."""
        return checkup_in_text(self, width, everything=everything)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        ids = ", ".join(finding.id for finding in self.findings.found) or "nothing found"
        return f"Checkup({self.name}: {ids})"


_COLUMNS = ("change", "metric", "before", "after", "difference", "low", "high", "verdict", "pairs")


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
