"""Precision: whether products in bfloat16 leave the validation scores where they are, tried on the first rounds.

Knows errors and sizes; it trains nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import numpy
import torch

from trimtab.settings.shared_setting import SharedSetting
from trimtab.training.lanes.population import Population

Precision = Literal["high", "medium", "auto"]
CHECKED_ROUNDS = 3
# The typical lane may lose a five-hundredth of its score to rounding; beyond it the time is better spent in float32.
MOST_LOST = 0.002
# Below these sizes converting to bfloat16 costs more than the quicker product gains (measured with AMX).
FEWEST_UNITS, FEWEST_ROWS = 256, 128


@dataclass
class PrecisionCheck:
    """Notes the errors of the same rounds made both ways, and then chooses one way for good."""

    lost: list[float] = field(default_factory=list)
    rounds: int = 0

    @property
    def chosen(self) -> Literal["high", "medium"] | None:
        """None while it is still being tried."""
        if self.rounds < CHECKED_ROUNDS:
            return None
        return "medium" if self.lost and float(numpy.median(self.lost)) <= MOST_LOST else "high"

    def note(self, high: numpy.ndarray, medium: numpy.ndarray) -> None:
        """Errors of all lanes after a round in each precision, from the same start; lower is better."""
        self.rounds += 1
        usable = numpy.isfinite(high) & (high > 0)
        lost = numpy.where(numpy.isfinite(medium), medium, numpy.inf)[usable] / high[usable] - 1
        self.lost.extend(lost.tolist())


def has_quick_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 quicker than float32."""
    try:
        return bool(torch.cpu._is_amx_tile_supported())
    except (AttributeError, RuntimeError):
        return False


def gains_from_bfloat16(population: Population) -> bool:
    """Whether the products of this population are large enough for it, on this machine."""
    units = max((min(shape[:2]) for shape in population.program.layout.shapes if len(shape) > 1), default=0)
    rows = max(population.batch_size(fold) for fold in range(len(population.data.folds)))
    return units >= FEWEST_UNITS and rows >= FEWEST_ROWS and has_quick_bfloat16()


def multiplying(precision: str) -> AbstractContextManager[None]:
    """Products in bfloat16 ("medium"), or in float32 whatever the caller allows; rounds of another precision, in
    other threads, come before or after."""
    return _products.at("medium" if precision == "medium" else "highest")


def _put_products(precision: str) -> Callable[[], object]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    return lambda: torch.set_float32_matmul_precision(before)


_products = SharedSetting(_put_products)
