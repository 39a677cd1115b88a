"""What a user ought to know about the winner: a knob at the edge of its range, and how to look beyond it."""

import math

from trimtab.training.run import ALL_EPOCHS
from trimtab.tuning.space import Choice, Range, Space, Value, knobs_of
from trimtab.tuning.trial import TrialRecord

# The ends of a range beyond which there is something to be found. Batch sizes are those that suit the rows, and the low
# end of what works against overfitting is next to nothing.
LOW, HIGH = "low", "high"
ENDS = {
    "lr": (LOW, HIGH), "epochs": (LOW, HIGH), "delta": (LOW, HIGH), "gamma": (LOW, HIGH), "sigma": (LOW, HIGH),
    "width": (HIGH,), "depth": (HIGH,), "dropout": (HIGH,), "weight_decay": (HIGH,), "label_smoothing": (HIGH,),
}  # fmt: skip
# A guess: the best of fewer lies near some end by chance, whatever the data.
FEWEST_TRIALS = 10
NEAR = 0.02


def edge_notices(winner: TrialRecord, space: Space, *, trials: int) -> list[str]:
    """One sentence per knob whose best value lies at the end of what was tried, with the flag that moves it.

    Only knobs that the winner's training read are told of, at the value that it read; none after few finished `trials`.
    """
    if trials < FEWEST_TRIALS:
        return []
    read = knobs_of(winner.config)
    notices = []
    for name, value in winner.values.items():
        end = _end(space.domains.get(name), value) if read.get(name) == value else None
        if end not in ENDS.get(name, ()):
            continue
        if name == "epochs" and end == HIGH and ALL_EPOCHS not in winner.ended:
            continue  # no run came so far
        flag, side = f"--{name.replace('_', '-')}", "beyond it" if end == HIGH else "below it"
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        notices.append(f"The best {name} ({shown}) is at the edge of what is tried: try {flag} with a value {side}.")
    return notices


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
