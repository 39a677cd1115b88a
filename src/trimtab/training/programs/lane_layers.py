"""Layers of all lanes at once, each with its own weights, rate or mask, and with the derivative that a step asks for.

Activations lie as `[lanes, units, batch]`, so that every weight gradient comes out of its product in the layout of its
weight and none has to be copied. Knows single layers; it knows no networks and no losses.
"""

import copy
import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.training.programs.program import Buffers, Masks
from trimtab.training.programs.slopes import derivatives
from trimtab.training.randomness import another_key, keep_mask, place_numbers, threshold_of

Units = Float[Tensor, "lanes units batch"]
# What a layer gives back, which may be of another number of units than it was given.
OtherUnits = Float[Tensor, "lanes other_units batch"]
# Element by element, without parameters and random numbers: how their inputs lie in memory does not matter to them.
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Tanh,
    nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softsign,
)  # fmt: skip


@runtime_checkable
class LaneLayer(Protocol):
    """A layer of every lane. Where autograd does not watch, `derived` takes back the latest `outputs` of a step."""

    def outputs(self, x: Units, parameters: Buffers, masks: Masks | None) -> OtherUnits:
        """What the layer makes of `x`; in training mode where there are `masks`."""
        ...

    def derived(self, slope: Units, parameters: Buffers, gradient: Buffers) -> OtherUnits:
        """The derivative by `x` from that by the outputs, which it may write over; the derivatives by its own
        parameters go into `gradient` by name."""
        ...


class LaneLinear:
    """`nn.Linear` called `name`. Nobody reads the derivative by the inputs of the first one of a network; the outputs
    of the last one, or what others make of them in their place, are handed out, so that they have to be new."""

    def __init__(self, name: str, *, is_first: bool, is_last: bool) -> None:
        self.weight, self.bias, self.is_first, self.is_last = f"{name}.weight", f"{name}.bias", is_first, is_last
        self._outputs, self._slope, self._gradient = _Room(), _Room(), _Room()
        self._x: Tensor | None = None

    def outputs(self, x: Units, parameters: Buffers, masks: Masks | None) -> OtherUnits:
        weight = parameters[self.weight]
        out = None
        if not torch.is_grad_enabled():
            self._x = None if masks is None else x
            out = None if self.is_last else self._outputs.of(x, (x.shape[0], weight.shape[1], x.shape[2]))
        return linear(x, weight, parameters.get(self.bias), out)

    def derived(self, slope: Units, parameters: Buffers, gradient: Buffers) -> OtherUnits:
        assert self._x is not None
        weight = parameters[self.weight]
        out = self._gradient.of(slope, weight.shape)
        gradient[self.weight] = torch.bmm(slope, self._x.transpose(1, 2), out=out)
        if self.bias in parameters:
            gradient[self.bias] = slope.sum(2)
        if self.is_first:
            return slope
        out = self._slope.of(slope, self._x.shape)
        return torch.bmm(weight.transpose(1, 2), slope, out=out)


class LaneReLU:
    """`nn.ReLU`: over its own inputs where they are a linear layer's outputs, which nobody else reads."""

    def __init__(self, *, follows_linear: bool) -> None:
        self.follows_linear = follows_linear
        self._y: Tensor | None = None

    def outputs(self, x: Units, parameters: Buffers, masks: Masks | None) -> Units:
        if torch.is_grad_enabled():
            return torch.relu(x)
        y = torch.relu_(x) if self.follows_linear else torch.relu(x)
        self._y = None if masks is None else y
        return y

    def derived(self, slope: Units, parameters: Buffers, gradient: Buffers) -> Units:
        return torch.ops.aten.threshold_backward.grad_input(slope, self._y, 0, grad_input=slope)


class LaneActivation:
    """Any other activation, with the derivative that autograd knows of it."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = copy.copy(layer)
        if hasattr(layer, "inplace"):
            vars(self.layer)["inplace"] = False  # its inputs are wanted again
        self._x: Tensor | None = None
        self._y: Tensor | None = None

    def outputs(self, x: Units, parameters: Buffers, masks: Masks | None) -> Units:
        self._x = self._y = None
        if masks is None or torch.is_grad_enabled():
            return self.layer(x)
        with torch.enable_grad():
            self._x = x.detach().requires_grad_()
            self._y = y = self.layer(self._x)
        return y.detach()

    def derived(self, slope: Units, parameters: Buffers, gradient: Buffers) -> Units:
        assert self._x is not None and self._y is not None
        (derived,) = derivatives([self._y], [self._x], [slope])
        assert derived is not None
        return derived


class LaneDropout:
    """Dropout as the layer number `layer` of a network, called for the time number `call` in one forward; at `rate`,
    or where that is None at those of the lanes."""

    def __init__(self, layer: int, *, call: int = 0, rate: float | None = None) -> None:
        self.layer, self.call, self.rate = layer, call, rate
        self._places: dict[tuple[int, ...], Tensor] = {}
        self._factors: Tensor | None = None

    def outputs(self, x: Units, parameters: Buffers, masks: Masks | None) -> Units:
        self._factors = None
        if masks is None or not (masks.any_dropout or self.rate):
            return x
        self._factors = self._drawn(x, masks)
        return x * self._factors

    def derived(self, slope: Units, parameters: Buffers, gradient: Buffers) -> Units:
        return slope if self._factors is None else slope.mul_(self._factors)

    def _drawn(self, x: Units, masks: Masks) -> Units:
        """What `x` is multiplied by: 0 where a unit is dropped, elsewhere what makes up for those."""
        units, batch = x.shape[1:]
        rate, threshold, key = masks.rate, masks.threshold, masks.keys[:, self.layer]
        if self.rate is not None:
            rate = torch.full_like(rate, self.rate)
            threshold = threshold_of(rate)
        if self.call:
            key = key ^ another_key(self.call)
        places = self._place_numbers(units, batch, x.device)
        mask = keep_mask(places, key.view(-1, 1, 1), threshold.view(-1, 1, 1))
        return (mask * (1 / (1 - rate.view(-1, 1, 1)))).to(x.dtype)

    def _place_numbers(self, units: int, batch: int | torch.SymInt, device: torch.device) -> Tensor:
        if not isinstance(batch, int):  # traced for a compiler: a batch of any size
            return place_numbers((batch, units), device).T
        if (batch, units) not in self._places:
            self._places[batch, units] = place_numbers((batch, units), device).T.contiguous()
        return self._places[batch, units]


class _Room:
    """Memory for a result of each step: given back and asked for anew, large pieces cost more than what is computed in
    them (a ReLU's derivative 125 us instead of 15, of 72 lanes of 32 units and 32 rows)."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None
        self._view: Tensor | None = None

    def of(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape, of the dtype and on the device of `like`."""
        view = self._view
        if view is not None and view.shape == shape and view.dtype == like.dtype and view.device == like.device:
            return view
        count, kept = math.prod(shape), self._kept
        if kept is None or kept.numel() < count or kept.dtype != like.dtype or kept.device != like.device:
            kept = self._kept = like.new_empty(count)
        self._view = kept[:count].view(shape)
        return self._view


def linear(x: Units, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> OtherUnits:
    """Each lane's `weight` `[lanes, outputs, units]` times `x`, plus its `bias` `[lanes, outputs]`."""
    if bias is None:
        return torch.bmm(weight, x, out=out)
    bias = bias.unsqueeze(2)
    if isinstance(x.shape[2], int):
        return torch.baddbmm(bias, weight, x, out=out)
    # While a compiler watches: it adds the bias together with what comes next, where baddbmm first copies it.
    return torch.bmm(weight, x) + bias
