"""Budget: how much wall-clock time a study has, and what of it is left for searching.

Knows clocks and stop events; it knows no trials.
"""

import re
import threading
import time
from dataclasses import dataclass, field

from trimtab.errors import OptionError

# Seconds: in less, reading, importing torch and saving leave nothing for a search. And the longest that is understood.
SHORTEST, LONGEST = 5.0, 1e9
# Where nobody gives a budget; a year stands for none.
USUAL, NO_LIMIT = "5m", 366 * 86_400.0
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)\s*(?:ms|min|s|m|h|d)")


def parse_duration(text: str | float) -> float:
    """Seconds of "45s", "5m", "1h30m" or a number of seconds; raises OptionError for anything else or below 5 s."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        seconds = float(text)
    else:
        compact = str(text).strip().lower()
        parts = _FORM.findall(compact)
        if compact.replace(".", "", 1).isdigit():
            seconds = float(compact)
        elif parts and re.sub(r"\s", "", compact) == re.sub(r"\s", "", "".join(parts)):
            seconds = sum(float(re.match(r"[\d.]+", p)[0]) * _UNITS[re.sub(r"[\d.\s]", "", p)] for p in parts)  # type: ignore[index]
        else:
            raise OptionError(f'The budget "{text}" is not a duration: write for example 45s, 5m or 2h.')
    if not SHORTEST <= seconds < LONGEST:
        raise OptionError(f"The budget is {seconds:g} s: it must be at least {SHORTEST:g} s.")
    return seconds


def seconds_for(budget: str | float | None, trials: int | None, usual: str = USUAL) -> float:
    """Seconds of `budget`; where none is given the usual ones, or without limit where the trials are counted."""
    if budget is None and trials is not None:
        return NO_LIMIT
    return parse_duration(usual if budget is None else budget)


@dataclass
class Budget:
    """Wall-clock time from `started` (a `time.monotonic()` reading) on; `reserve` seconds are kept for finishing, which
    whoever searches a table counts anew, and `afterwards` for what is done when the result is there."""

    seconds: float
    started: float = field(default_factory=time.monotonic)
    reserve: float = 2.0
    afterwards: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    abort: threading.Event = field(default_factory=threading.Event)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the result should be there."""
        return self.seconds - self.afterwards - self.elapsed

    @property
    def is_limited(self) -> bool:
        return self.seconds < NO_LIMIT

    @property
    def shown_left(self) -> float:
        """Seconds left as users are told: infinite where there is no limit, and never less than 0."""
        return max(0.0, self.left + self.afterwards) if self.is_limited else float("inf")

    @property
    def search_left(self) -> float:
        """Seconds until searching must end."""
        return self.left - self.reserve

    def is_told_to_end(self) -> bool:
        return self.stop.is_set() or self.abort.is_set()

    def is_over(self) -> bool:
        return self.is_told_to_end() or self.search_left <= 0
