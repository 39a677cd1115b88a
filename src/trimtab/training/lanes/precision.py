"""Precision: in which precision the products of a population's lanes are made.

Knows sizes and what the processor can do; it knows no scores.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from trimtab.settings.shared_setting import SharedSetting
from trimtab.training.lanes.population import Population

Products = Literal["high", "medium"]
# Below these sizes converting to bfloat16 costs more than the quicker product gains (measured with AMX).
FEWEST_UNITS, FEWEST_ROWS = 256, 128


@dataclass(frozen=True)
class Precision:
    """Products in float32 ("high"), in bfloat16 ("medium", where the processor can), or ("auto") in bfloat16 where that
    is quicker: in compiled steps of large enough products, on a processor that has units for it."""

    name: Literal["high", "medium", "auto"] = "high"

    def of(self, population: Population) -> Products:
        """That of the population's next round; a rule, so that the same study always computes the same."""
        if self.name != "auto":
            return self.name
        return "medium" if population.compiled is not None and gains_from_bfloat16(population) else "high"


FLOAT32 = Precision("high")


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
