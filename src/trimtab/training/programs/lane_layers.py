"""Layers of all lanes at once, each with its own weights, rate or mask.

Activations lie as `[lanes, units, batch]`, so that every weight gradient comes out of its product in the layout of its
weight and none has to be copied. Knows single layers; it knows no networks and no losses.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.training.programs.program import Masks
from trimtab.training.randomness import keep_mask, place_numbers

Units = Float[Tensor, "lanes units batch"]


def linear(x: Units, weight: Tensor, bias: Tensor) -> Units:
    """Each lane's `weight` `[lanes, outputs, units]` times `x`, plus its `bias` `[lanes, outputs]`."""
    bias = bias.unsqueeze(2)
    if isinstance(x.shape[2], int):
        return torch.baddbmm(bias, weight, x)
    # While a compiler watches: it adds the bias together with what comes next, where baddbmm first copies it.
    return torch.bmm(weight, x) + bias


class LaneDropout:
    """Dropout as the layer number `layer` of a network."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self._places: dict[tuple[int, ...], Tensor] = {}

    def outputs(self, x: Units, masks: Masks) -> Units:
        rate = masks.rate.view(-1, 1, 1)
        key, threshold = masks.keys[:, self.layer].view(-1, 1, 1), masks.threshold.view(-1, 1, 1)
        mask = keep_mask(self._place_numbers(*x.shape[1:], x.device), key, threshold)
        return x * (mask * (1 / (1 - rate)))

    def _place_numbers(self, units: int, batch: int, device: torch.device) -> Tensor:
        if not isinstance(batch, int):  # traced for a compiler: a batch of any size
            return place_numbers((batch, units), device).T
        if (batch, units) not in self._places:
            self._places[batch, units] = place_numbers((batch, units), device).T.contiguous()
        return self._places[batch, units]
