"""Where in the day, week, month and year a moment is, from its seconds since 1970, by arithmetic alone.

Written with +, -, *, / and a `floor` that is handed in, so that one text serves torch and ONNX. All in float64, exact
for whole days. Days become dates as in "chrono-Compatible Low-Level Date Algorithms" [Hinnant 2013].
"""

from collections.abc import Callable
from typing import Any

from trimtab.table.moments import Cycle

DAY_SECONDS = 86_400.0
Floor = Callable[[Any], Any]


def share_of_cycle(part: Cycle, seconds: Any, floor: Floor) -> Any:
    """The share of its cycle at which `part` stands, in [0, 1), as `table.moments` counts it."""
    days = floor(seconds / DAY_SECONDS)
    if part == "hour of day":
        return (seconds - days * DAY_SECONDS) / DAY_SECONDS
    if part == "day of week":
        return _rest(days + 3.0, 7.0, floor) / 7.0  # day 0, 1 January 1970, was a Thursday
    month, day = _month_and_day(days, floor)
    return day / 31.0 if part == "day of month" else month / 12.0


def _month_and_day(days: Any, floor: Floor) -> tuple[Any, Any]:
    """Month and day of month, both from 0 on, of days since 1970; years begin in March while this counts."""
    since_march = days + 719_468.0
    of_era = _rest(since_march, 146_097.0, floor)
    leaps = floor(of_era / 1_460.0) - floor(of_era / 36_524.0) + floor(of_era / 146_096.0)
    year = floor((of_era - leaps) / 365.0)
    of_year = of_era - (year * 365.0 + floor(year / 4.0) - floor(year / 100.0))
    month = floor((of_year * 5.0 + 2.0) / 153.0)
    return _rest(month + 2.0, 12.0, floor), of_year - floor((month * 153.0 + 2.0) / 5.0)


def _rest(value: Any, divisor: float, floor: Floor) -> Any:
    return value - floor(value / divisor) * divisor
