"""What a user ought to know about the winner: a knob at the edge of its range, and how to look beyond it."""

import math

from trimtab.tuning.space import Range, Space
from trimtab.tuning.trial import TrialRecord

_ORDERED = ("batch_size", "width", "depth")


def edge_notices(winner: TrialRecord, space: Space) -> list[str]:
    """One sentence per knob whose best value lies at the end of what was tried, with the flag that moves it."""
    notices = []
    for name, value in winner.values.items():
        domain = space.domains.get(name)
        if name == "epochs" and winner.config.epochs != value:
            continue  # the budget gave it fewer: how many it might have had was not tried
        if isinstance(domain, Range):
            low, high, at = domain.low, domain.high, float(value)
            if domain.log:
                low, high, at = math.log(low), math.log(high), math.log(at)
            near = 0.02 * (high - low)
            edge = domain.low if at - low < near else domain.high if high - at < near else None
            if edge is None or edge == 0:
                continue
        elif name in _ORDERED and domain is not None and value == max(domain.values):
            edge = value
        else:
            continue
        flag = f"--{name.replace('_', '-')}"
        beyond = "beyond it" if edge != getattr(domain, "low", None) else "below it"
        notices.append(
            f"The best {name} ({value:.3g}) is at the edge of what was tried: try {flag} with a value {beyond}."
        )
    return notices
