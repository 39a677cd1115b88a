"""Progress: where a search stands, as whoever shows it is told."""

from dataclasses import dataclass

from trimtab.tuning.trial import TrialRecord


@dataclass(frozen=True)
class Progress:
    """Where a study stands; `best_score` is the `metric` as users read it, `seconds_left` infinite without a limit,
    `share` how much of the budget or of the trials is used up (0 to 1)."""

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
