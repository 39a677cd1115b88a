"""Variants: values a little beside those of the best trials so far, as evolution makes them [Real et al. 2019,
arXiv:1802.01548]. In a search of a minute some ten trials follow what is tried first: a sampler has learnt little by
then, and one of a good trial's neighbours is seldom bad. Knows values and records; it trains nothing.
"""

from collections.abc import Mapping

import numpy

from trimtab.knobs.domains import Choice, Value
from trimtab.training.randomness import number_from
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import COMPLETE, TrialRecord

# Guesses: so many trials have to have finished, so many of the best have variants, each half as often as the one before
# it; of ten proposals that are not within a wave nine are variants: about as many as waves have.
FEWEST, BEST, SHARE = 4, 5, 0.9
# How far a number moves, as the standard deviation in shares of its range; how often one of the knobs that decide on
# the structure is drawn anew, and how often each other choice is (guesses).
STEP, RESTRUCTURED, REDRAWN = 0.07, 1 / 3, 0.1


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

    def is_due(self, number: int) -> bool:
        """Whether trial `number` is to be one, as chance decides by seed and number alone."""
        return self.are_known and number_from("variant", self.seed, number) % 1000 < 1000 * SHARE

    def draw(self, rng: numpy.random.Generator) -> dict[str, Value]:
        """Values beside those of one of the best."""
        weights = 0.5 ** numpy.arange(min(BEST, len(self._best)))
        values = dict(self._best[rng.choice(len(weights), p=weights / weights.sum())][2])
        fresh, domains = self.space.draw(rng), self.space.domains
        structural = [name for name in self.space.structural if name in domains]
        moved = self._moved(values, fresh, rng)
        if structural and rng.random() < RESTRUCTURED:
            name = structural[rng.integers(len(structural))]
            moved[name] = fresh[name]
        return moved

    def _moved(
        self, values: Mapping[str, Value], fresh: Mapping[str, Value], rng: numpy.random.Generator
    ) -> dict[str, Value]:
        moved = dict(values)
        for name, domain in self.space.domains.items():
            if not isinstance(domain, Choice):
                moved[name] = domain.beside(float(values[name]), STEP * rng.normal())
            elif name not in self.space.structural and rng.random() < REDRAWN:
                moved[name] = fresh[name]
        return moved
