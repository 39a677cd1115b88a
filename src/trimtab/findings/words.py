"""How findings put numbers: every one with its unit, none that is no number. Knows no rule."""

import math
import re


def percent(share: float) -> str:
    """ "12 %", "0.4 %", "more than 1,000 %"."""
    if not math.isfinite(share) or share > 10:
        return "more than 1,000 %"
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 1.5 else f"{value:.1f} %"


def epochs_of(number: float) -> str:
    """ "1 epoch", "40 epochs"."""
    return f"{number:,.0f} epoch" if round(number) == 1 else f"{number:,.0f} epochs"


def in_steps(text: str) -> str:
    """A sentence about epochs as one about steps."""
    return re.sub(r"(?<![-\w])epoch", "step", text)


def times(factor: float) -> str:
    """ "3 times", "more than 1,000 times"."""
    if not math.isfinite(factor) or factor > 1000:
        return "more than 1,000 times"
    return f"{factor:.1f} times" if factor < 10 else f"{factor:.0f} times"
