"""Variants: values a little beside those of the best trials so far, as evolution makes them [Real et al. 2019,
arXiv:1802.01548]. In a search of a minute some ten trials follow what is tried first: a sampler has learnt little by
then, and one of a good trial's neighbours is seldom bad. Knows values and records; it trains nothing.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy

from trimtab.knobs.domains import Choice, Range, Value
from trimtab.training.randomness import number_from
from trimtab.tuning.space import SearchSpace, constants_of
from trimtab.tuning.trial import COMPLETE, TrialRecord

# Guesses: so many trials have to have finished, so many of the best have variants, each half as often as the one before
# it; of ten proposals that are not within a wave nine are variants: about as many as waves have.
FEWEST, BEST, SHARE = 4, 5, 0.9
# Of the trials of a wave, whose structure is settled, so many are variants within it (a guess).
SHARE_WITHIN = 0.75
# How far a number moves, as the standard deviation in shares of its range, and a rate, whose range is of five powers of
# ten, in that of its logarithm: two in three by a factor of 1.5 at most; how often one of the knobs that decide on the
# structure is drawn anew, and how often each other choice is (guesses).
STEP, RATE_STEP, RESTRUCTURED, REDRAWN = 0.07, 0.4, 1 / 3, 0.1


class Variants:
    """Of the trials of `space` that were told."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        self.space, self.seed = space, seed
        self._best: list[tuple[float, int, dict[str, Value]]] = []

    def tell(self, record: TrialRecord) -> None:
        is_finished = record.state == COMPLETE and numpy.isfinite(record.error)
        if is_finished and record.values.keys() == self.space.domains.keys():
            self._best = sorted([*self._best, (record.error, record.number, dict(record.values))], key=lambda b: b[:2])
            del self._best[max(FEWEST, BEST) :]

    @property
    def are_known(self) -> bool:
        return len(self._best) >= FEWEST

    def is_due(self, number: int, *, is_within: bool = False) -> bool:
        """Whether trial `number`, of a wave or between waves, is to be one, as chance decides by seed and number
        alone."""
        name, share = ("variant within", SHARE_WITHIN) if is_within else ("variant", SHARE)
        return self.are_known and number_from(name, self.seed, number) % 1000 < 1000 * share

    def draw(
        self, rng: numpy.random.Generator, structure: Mapping[str, Value] = MappingProxyType({})
    ) -> dict[str, Value]:
        """Values beside those of one of the best; within a `structure`, of the best that have it, if there are any."""
        fresh, domains = self.space.draw(rng), self.space.domains
        values = {**self._parent(rng, structure), **structure}
        structural = [name for name in self.space.structural if name in domains]
        moved = self._moved(values, fresh, rng)
        if structural and not structure and rng.random() < RESTRUCTURED:
            name = structural[rng.integers(len(structural))]
            moved[name] = fresh[name]
        return moved

    def _parent(self, rng: numpy.random.Generator, structure: Mapping[str, Value]) -> dict[str, Value]:
        alike = [best for _, _, best in self._best if structure.items() <= best.items()]
        parents = (alike or [best for _, _, best in self._best])[:BEST]
        weights = 0.5 ** numpy.arange(len(parents))
        return parents[rng.choice(len(weights), p=weights / weights.sum())]

    def _moved(
        self, values: Mapping[str, Value], fresh: Mapping[str, Value], rng: numpy.random.Generator
    ) -> dict[str, Value]:
        moved = dict(values)
        for name, domain in self.space.domains.items():
            if not isinstance(domain, Choice):
                is_rate = name == "lr" and domain.log and domain.low < domain.high
                step = RATE_STEP / math.log(domain.high / domain.low) if is_rate else STEP
                moved[name] = domain.beside(float(values[name]), step * rng.normal())
            elif name not in self.space.structural and rng.random() < REDRAWN:
                moved[name] = fresh[name]
        return self._at_its_rate(values, moved)

    def _at_its_rate(self, values: Mapping[str, Value], moved: dict[str, Value]) -> dict[str, Value]:
        """Of another optimizer, as far from the rate that is typical of it as the other's was."""
        domain, one, other = (self.space.domains.get("lr"), *(each.get("optimizer") for each in (values, moved)))
        if not isinstance(domain, Range) or one == other:
            return moved
        times = constants_of(str(other))["lr"] / constants_of(str(one))["lr"]
        return moved | {"lr": domain.beside(times * float(moved["lr"]), 0.0)}
