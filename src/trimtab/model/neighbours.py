"""Neighbours: training rows as the last hidden layer of a network sees them, and what the nearest say of a new row.

The mean of their targets, the nearer the heavier [Nadaraya 1964; Watson 1964], in a space that was learnt for it
[Goldberger et al. 2004]. Knows no tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

# That are asked, where nothing else is said: of numbers more change nothing, for they are far away. Of classes what
# none of the nearest is has no probability, and among a hundred few are missing (RESULTS.md, "Neighbours").
NEAREST, NEAREST_OF_CLASSES = 20, 100
# Rows that are predicted at once: their distances to some ten thousand rows take tens of megabytes (a guess).
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Neighbours:
    """What one network remembers.

    Attributes:
        hidden: float32 [rows, units], the activations of its last hidden layer.
        targets: float32 [rows, outputs], in original units, or 1 for the row's class.
        weights: float32 [rows], above 0.
        reach: the distance at which a row counts e times less than at none.
        nearest: how many rows are asked.
    """

    hidden: Tensor
    targets: Tensor
    weights: Tensor
    reach: float
    nearest: int = NEAREST

    def predict(self, hidden: Float[Tensor, "batch units"]) -> Float[Tensor, "batch outputs"]:
        """Values in original units or probabilities, float64, of rows with these activations."""
        return self.mean(*nearest_in_pieces(hidden, self.hidden.to(hidden.dtype), self.nearest), self.reach)

    def mean(
        self, distances: Float[Tensor, "batch nearest"], places: Int[Tensor, "batch nearest"], reach: float
    ) -> Float[Tensor, "batch outputs"]:
        """What the rows in these `places`, so far away, say with another reach."""
        shares = (self.weights[places].double().log() - distances.double() / reach).softmax(1)
        return torch.einsum("bn,bno->bo", shares, self.targets[places].double())


def nearest(
    hidden: Float[Tensor, "batch units"], kept: Float[Tensor, "rows units"], count: int
) -> tuple[Float[Tensor, "batch nearest"], Int[Tensor, "batch nearest"]]:
    """The distances to the `count` nearest of the rows `kept`, and their places."""
    # The square of the distance, less what is the same for all of them.
    beyond = kept.square().sum(1) - 2 * hidden @ kept.T
    places = beyond.topk(min(count, len(kept)), largest=False).indices
    # Of rows that are close together the difference of squares has lost its digits.
    return (kept[places] - hidden.unsqueeze(1)).norm(dim=2), places


def nearest_in_pieces(
    hidden: Float[Tensor, "batch units"], kept: Float[Tensor, "rows units"], count: int
) -> tuple[Float[Tensor, "batch nearest"], Int[Tensor, "batch nearest"]]:
    """The same of any number of rows."""
    distances, places = zip(*(nearest(piece, kept, count) for piece in hidden.split(ROWS_AT_ONCE)), strict=True)
    return torch.cat(distances), torch.cat(places)


def spread(hidden: Float[Tensor, "rows units"]) -> float:
    """How far rows lie from their middle: the root of their mean squared distance to it, or 1 where there is none."""
    found = float((hidden - hidden.mean(0)).double().square().sum(1).mean().sqrt())
    return found if found > 0 else 1.0


def to_tensors(remembered: Sequence[Neighbours], prefix: str) -> dict[str, Tensor]:
    """Those of each network, by names that begin with `prefix`."""
    return {
        f"{prefix}.{place}.{name}": getattr(each, name).contiguous()
        for place, each in enumerate(remembered)
        for name in ("hidden", "targets", "weights")
    }


def of_tensors(tensors: dict[str, Tensor], reaches: Sequence[float], count: int, prefix: str) -> tuple[Neighbours, ...]:
    """What `to_tensors` wrote, of as many networks as there are `reaches`; each asks `count` rows."""
    return tuple(
        Neighbours(
            hidden=tensors[f"{prefix}.{place}.hidden"],
            targets=tensors[f"{prefix}.{place}.targets"],
            weights=tensors[f"{prefix}.{place}.weights"],
            reach=float(reach),
            nearest=count,
        )
        for place, reach in enumerate(reaches)
    )
