"""Repeats: which configurations of a space were proposed, and of finitely many, which are left.

The same configuration trains to the same numbers again, so that a second trial of it is wasted. Knows domains and
values; it proposes nothing.
"""

import itertools
import math
from collections.abc import Mapping

import numpy

from trimtab.knobs.domains import Choice, Domain, Value

# Configurations up to which those that are left are listed: that takes some milliseconds. Of more, chance finds one.
LISTED = 10_000


class Repeats:
    """The configurations of `domains` that were proposed so far. Numbers from a range meet again, too: at its ends."""

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self.domains = dict(domains)
        counts = [_count(domain) for domain in self.domains.values()]
        self.is_finite = all(counts)
        self._count = math.prod(counts)
        self._seen: set[tuple] = set()

    @property
    def is_exhausted(self) -> bool:
        return self.is_finite and len(self._seen) >= self._count

    def note(self, values: Mapping[str, Value]) -> None:
        if values.keys() >= self.domains.keys():
            self._seen.add(self._key(values))

    def forget(self, values: Mapping[str, Value]) -> None:
        self._seen.discard(self._key(values))

    def __contains__(self, values: Mapping[str, Value]) -> bool:
        return self._key(values) in self._seen

    def left(self, rng: numpy.random.Generator) -> dict[str, Value] | None:
        """One that was not proposed yet, if there is one and they are few enough to be listed."""
        if not self.is_finite or self._count > LISTED:
            return None
        every = itertools.product(*(_values(domain) for domain in self.domains.values()))
        free = [values for values in every if values not in self._seen]
        return dict(zip(self.domains, free[rng.integers(len(free))], strict=True)) if free else None

    def _key(self, values: Mapping[str, Value]) -> tuple:
        return tuple(values[name] for name in self.domains)


def _values(domain: Domain) -> tuple[Value, ...]:
    return domain.values if isinstance(domain, Choice) else tuple(range(int(domain.low), int(domain.high) + 1))


def _count(domain: Domain) -> int:
    """Values of a domain, 0 where there is no counting them."""
    if isinstance(domain, Choice):
        return len(domain.values)
    return int(domain.high) - int(domain.low) + 1 if domain.integer else 0
