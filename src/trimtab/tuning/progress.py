"""Progress: where a search stands, as whoever shows it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.training.metrics import Metric
from trimtab.tuning.budget import Budget
from trimtab.tuning.trial import TrialRecord


@dataclass(frozen=True)
class Progress:
    """Where a study stands; `best_score` is the `metric` as users read it, `seconds_left` infinite without a limit,
    `share` how much of the budget or of the trials is used up (0 to 1), `workers` what each of them is at, where there
    are any."""

    phase: str
    seconds_left: float
    trials_done: int
    runs_done: int
    lanes_alive: int
    best_score: float | None
    best_trial: TrialRecord | None
    steps_per_second: float
    metric: str = ""
    share: float = 0.0
    workers: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, phase: str, budget: Budget, trials: Sequence[TrialRecord], best: TrialRecord | None, *,
        metric: Metric | None, runs_done: int | None = None, lanes_alive: int = 0, steps_per_second: float = 0.0,
        share: float = 1.0, workers: tuple[str, ...] = (),
    ) -> "Progress":  # fmt: skip
        """Where a study with these `trials` stands, of which one is the `best`; its runs are theirs where nobody
        counts them."""
        runs = sum(len(record.ended) for record in trials) if runs_done is None else runs_done
        score = None if best is None else best.error if metric is None else metric.shown(best.error)
        named = "validation loss" if metric is None else metric.name
        return cls(
            phase, budget.shown_left, len(trials), runs, lanes_alive, score, best, steps_per_second, named, share,
            workers,
        )  # fmt: skip
