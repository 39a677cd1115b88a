"""What a user ought to know about the winner: a knob at the edge of its range, and how to look beyond it."""

import math
from dataclasses import dataclass

from trimtab.knobs.domains import HIGH, LOW, Choice, Range, Value
from trimtab.knobs.effects import flag
from trimtab.knobs.table import KNOBS
from trimtab.training.run import ALL_EPOCHS
from trimtab.tuning.space import Space, knobs_of
from trimtab.tuning.trial import TrialRecord

# A guess: the best of fewer lies near some end by chance, whatever the data.
FEWEST_TRIALS = 10
# The share of a range, on its own scale, that counts as its edge (a guess).
NEAR = 0.02


@dataclass(frozen=True)
class Edge:
    """A knob whose best value lies at the end, high or low, of what was tried."""

    knob: str
    value: Value
    end: str

    @property
    def words(self) -> str:
        """A sentence with the flag that moves it."""
        side = "beyond it" if self.end == HIGH else "below it"
        where = f"The best {self.knob} ({self.shown}) is at the edge of what is tried"
        return f"{where}: try {flag(self.knob)} with a value {side}."

    @property
    def shown(self) -> str:
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.3g}"


def edges(winner: TrialRecord, space: Space, *, trials: int) -> list[Edge]:
    """The knobs whose best value lies at the end of what was tried.

    Only knobs that the winner's training read are told of, at the value that it read; none after few finished `trials`.
    """
    if trials < FEWEST_TRIALS:
        return []
    read = knobs_of(winner.config)
    found = []
    for name, value in winner.values.items():
        end = _end(space.domains.get(name), value) if read.get(name) == value else None
        if end is None or end not in KNOBS[name].edges:
            continue
        if name == "epochs" and end == HIGH and ALL_EPOCHS not in winner.ended:
            continue  # no run came so far
        found.append(Edge(name, value, end))
    return found


def _end(domain: Choice | Range | None, value: Value) -> str | None:
    """Which end of its domain a number is at, if any."""
    if isinstance(domain, Choice):
        numbers = [each for each in domain.values if not isinstance(each, str)]
        return HIGH if len(numbers) > 1 and value == max(numbers) else None
    if domain is None:
        return None
    low, high, at = domain.low, domain.high, float(value)
    if domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    near = NEAR * (high - low)
    return LOW if at - low < near else HIGH if high - at < near else None
