"""Surfaces: losses of two weights that optimizers walk on, and the module that stands somewhere on one.

Knows no optimizers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn

# Of the way to a lowest place, what may be left for who has come there: a dot covers half of it (a guess).
LEFT = 0.1


@dataclass(frozen=True)
class Surface:
    """A loss of two weights: `value` of arrays of both, `first` where training begins, `lowest` its lowest places;
    drawn over `x` and `y`."""

    value: Callable
    first: tuple[float, float]
    lowest: tuple[tuple[float, float], ...]
    x: tuple[float, float] = (-2.0, 2.0)
    y: tuple[float, float] = (-2.0, 2.0)

    def has_come(self, place: numpy.ndarray) -> bool:
        """Whether less than `LEFT` of the way to the nearest of the lowest places is left."""
        low = self.nearest(place)
        return bool(numpy.linalg.norm(place - low) < LEFT * numpy.linalg.norm(numpy.subtract(self.first, low)))

    def nearest(self, place: numpy.ndarray) -> numpy.ndarray:
        """The lowest place that is nearest to another."""
        return min(map(numpy.array, self.lowest), key=lambda low: float(numpy.linalg.norm(place - low)))


def valley(a: Any, b: Any) -> Any:
    """A bent valley, flat along its floor [after Rosenbrock 1960]."""
    return 0.1 * (1 - a) ** 2 + (b - a * a) ** 2 + 0.01


def saddle(a: Any, b: Any) -> Any:
    """A pass between two hollows: at its middle no direction leads down but the way across."""
    return 1.5 + 0.5 * a * a - 0.5 * b * b + 0.125 * b**4


class Walker(nn.Module):
    """Two weights, whose output on any row is the height of the surface where they are."""

    def __init__(self, surface: Callable, first: tuple[float, float]) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.tensor(float(each))) for each in first)
        self.surface = surface

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.surface(self.a, self.b) + 0 * x[:, :1]
