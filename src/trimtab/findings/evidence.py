"""Evidence in words: the numbers behind a finding as people read them, and what its remedy came to. Knows findings."""

from collections.abc import Mapping
from typing import Any

from trimtab.findings.finding import Trial
from trimtab.text.layout import number
from trimtab.text.wording import listed


def evidence_in_words(evidence: Mapping[str, Any]) -> str:
    """ "epoch 30, share 0.12": all of it in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value_in_words(value)}" for name, value in evidence.items())


def value_in_words(value: Any) -> str:
    """One of them: a number, some numbers, names."""
    if isinstance(value, Mapping):
        return evidence_in_words(value)
    if hasattr(value, "tolist"):  # an array or a number of numpy
        value = value.tolist()
    if isinstance(value, list | tuple):
        return listed(map(value_in_words, value))
    if value is None or isinstance(value, bool):
        return "unknown" if value is None else "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 and float(value).is_integer() else number(value)
    return str(value)


def trial_in_words(tried: Trial) -> str:
    """What a remedy came to: "4.512 to 4.103 rmse, [-0.602, -0.211] between the two"."""
    ends = f"[{number(tried.low)}, {number(tried.high)}]"
    return f"{number(tried.before)} to {number(tried.after)} {tried.metric}, {ends} between the two"
