"""Unscored: the sentence about a metric that gave no number although the losses did.

Training that diverges is another thing: its losses are no numbers either. Knows metrics and figures; it trains nothing.
"""

import math
from collections.abc import Iterable

from trimtab.training.metrics import Metric


def words_of_unscored(metric: Metric, figures: Iterable[float], of: str = "") -> str:
    """What `metric` gave instead of numbers, and what to do; `of` says of what ("all 4 runs"), if not of the run."""
    given = " or ".join(sorted({"nan" if math.isnan(figure) else f"{figure:g}" for figure in figures}))
    where = f"{given} for every epoch{f' of {of}' if of else ''}, although the losses are numbers"
    if metric.own is not None:
        return (
            f"Your metric {metric.name} gave {where}: have its function give a number for every prediction, or leave "
            "out metric= to be judged by the validation loss."
        )
    classes = ", which hold one class only" if metric.is_binary_only else ""
    return (
        f"The metric {metric.name} gave {where}: it says nothing of these validation rows{classes}. Give other rows as "
        "valid=, or another metric."
    )
