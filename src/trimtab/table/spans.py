"""Spans: the time between two moments of a row, such as how long a ride took, where neither shows it.

A network sees moments scaled by how far rows lie apart; where those of one row lie much nearer to each other, what is
between them is lost in that. Knows days since 1970 as arrays.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from trimtab.table.bins import edges_of, looked_at
from trimtab.table.numbers import Document, Scaling

# Moments of which every two are looked at: four of them have six spans. The first of a table with more.
MOST_MOMENTS = 4
# A span that spreads by more than this share of both its moments is seen without help (a guess).
_NARROW = 0.5


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
        """float64 [rows] from the `times` of each column of moments (days since 1970), NaN where one is missing."""
        return times[self.later] - times[self.earlier]

    def apply(self, times: Mapping[str, np.ndarray]) -> np.ndarray:
        """float32 [rows], 0 where one is missing."""
        return self.scaling.apply(self.days(times))


def spans_between(times: Mapping[str, np.ndarray], weights: np.ndarray | None = None) -> tuple[Span, ...]:
    """The spans that are narrow beside their moments and not always the same, from the `times` of training rows; the
    later column of a pair is the one that is later in most rows."""
    found = []
    for one, other in combinations(list(times)[:MOST_MOMENTS], 2):
        between = times[other] - times[one]
        known = np.isfinite(between) if weights is None else np.isfinite(between) & (weights > 0)
        if not known.any() or np.ptp(between[known]) == 0:
            continue
        if _spread(between[known]) > _NARROW * min(_spread(times[name][known]) for name in (one, other)):
            continue
        if np.median(between[known]) < 0:
            one, other, between = other, one, -between
        scaling = Scaling.fit(between, weights)
        rows = looked_at(np.flatnonzero(known))
        edges = edges_of(scaling.apply(between[rows]), None if weights is None else weights[rows])
        found.append(Span(earlier=one, later=other, scaling=scaling, edges=edges))
    return tuple(found)


def _spread(values: np.ndarray) -> float:
    """The range of the middle nine tenths, which a few rows far out have no part in."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)
