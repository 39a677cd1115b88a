"""Spans: the time between two moments of a row, such as how long a ride took, where neither shows it.

A network sees moments scaled by how far rows lie apart; where those of one row lie much nearer to each other, what is
between them is lost in that. Whole seconds, as exported models take moments: exact in float64, so that a span that
never varies is none. Knows moments as arrays.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from trimtab.table.bins import edges_as_encoded
from trimtab.table.numbers import Document, Scaling

# Moments of which every two are looked at: four of them have six spans. The first of a table with more.
MOST_MOMENTS = 4
# A span that spreads by more than this share of both its moments is seen without help, and one that spreads by less
# than so many seconds is lost in whole ones (guesses).
_NARROW, _FEWEST_SECONDS = 0.5, 10.0
_DAY_SECONDS = 86_400.0


class Span(Document):
    """The days from one column of moments to another, and how they are scaled; `edges` are those of its bins."""

    earlier: str
    later: str
    scaling: Scaling
    edges: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{self.later} minus {self.earlier}"

    def days(self, times: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64 [rows] from the `times` of each column (whole seconds since 1970), NaN where one is missing."""
        return (times[self.later] - times[self.earlier]) / _DAY_SECONDS

    def apply(self, times: Mapping[str, np.ndarray]) -> np.ndarray:
        """float32 [rows], 0 where one is missing."""
        return self.scaling.apply(self.days(times))


def spans_between(
    times: Mapping[str, np.ndarray], zones: Mapping[str, str | None], weights: np.ndarray | None = None
) -> tuple[Span, ...]:
    """The spans between moments on the clock of one zone that vary, and are narrow beside both their moments, from the
    `times` of training rows (whole seconds since 1970, NaN where missing); weights count like repeated rows. The later
    column of a pair is the one that is later in the median."""
    found = []
    for one, other in combinations(list(times)[:MOST_MOMENTS], 2):
        seconds = times[other] - times[one]
        known = np.isfinite(seconds) if weights is None else np.isfinite(seconds) & (weights > 0)
        if zones[one] != zones[other] or not known.any():
            continue
        own = None if weights is None else weights[known]
        between, *moments = (Scaling.fit(values[known], own) for values in (seconds, times[one], times[other]))
        if not _FEWEST_SECONDS <= between.scale <= _NARROW * min(moment.scale for moment in moments):
            continue
        if between.center < 0:
            one, other, seconds = other, one, -seconds
        days = seconds / _DAY_SECONDS
        scaling = Scaling.fit(days, weights)
        edges = edges_as_encoded(scaling, days, weights)
        found.append(Span(earlier=one, later=other, scaling=scaling, edges=edges))
    return tuple(found)
