"""What loggers of experiments are given: a config as flat settings, and the numbers among values.

Knows no logger.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

Setting = bool | int | float | str


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Setting]:
    """`{"optimizer": {"name": "adam"}}` as `{"optimizer.name": "adam"}`; what is empty is left out, lists are texts."""
    settings: dict[str, Setting] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            settings |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            settings[f"{prefix}{name}"] = value
        elif value:
            settings[f"{prefix}{name}"] = json.dumps(value, default=str)
    return settings


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that can be drawn; a signal that is not known is NaN."""
    numbers = {n: float(v) for n, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}
