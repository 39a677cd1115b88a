"""What this benchmark trains with: rates, seeds, epochs; less of each with --quick. Knows no data."""

from dataclasses import dataclass

import numpy

LEAST_RATE, GREATEST_RATE = 1e-5, 10.0
SEEDS = 3  # of the sweep that looks for a rate; they begin at 0
FRESH_SEEDS, FIRST_FRESH_SEED = 5, 1_000  # of the full trainings that judge it


@dataclass(frozen=True)
class Terms:
    """How much is trained, and how often times are taken."""

    is_quick: bool = False
    threads: int = 2

    @property
    def rates(self) -> list[float]:
        """Those that a sweep and the exhaustive search try."""
        return numpy.geomspace(LEAST_RATE, GREATEST_RATE, 8 if self.is_quick else 24).tolist()

    @property
    def epochs(self) -> int:
        return 10 if self.is_quick else 50

    @property
    def turns(self) -> int:
        return 1 if self.is_quick else 3
