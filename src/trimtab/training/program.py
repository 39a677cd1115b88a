"""A module made into one forward and backward for all lanes.

The way through `vmap` is the reference and takes any module; the lane-batched MLP in `mlp_program` stands beside it.
Knows no losses, optimizers, epochs or data: outputs out, derivative in, gradient out.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from trimtab.training.dropout import with_counted_dropout

log = logging.getLogger(__name__)
Derivative = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Masks:
    """What dropout needs beside its input: per-lane rates, run seeds and step numbers, and whether any rate is above 0.

    `rate` is float32 [lanes], or None where every layer keeps the rate that its module came with.
    """

    rate: Tensor | None
    seed: Tensor
    step: Tensor
    any_dropout: bool


@dataclass(frozen=True)
class Layout:
    """Where each parameter of a module stands in a lane's flat row of `size` numbers."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    size: int

    @classmethod
    def of(cls, module: nn.Module) -> "Layout":
        named = list(module.named_parameters())
        return cls(
            names=tuple(name for name, _ in named),
            shapes=tuple(tuple(value.shape) for _, value in named),
            size=sum(value.numel() for _, value in named),
        )

    def views(self, flat: Float[Tensor, "*lanes size"]) -> dict[str, Tensor]:
        """The parameters as views into `flat`; a leading lane dimension stays in front."""
        pieces = torch.split(flat, [math.prod(shape) for shape in self.shapes], dim=-1)
        lanes = flat.shape[:-1]
        return {n: p.view(*lanes, *s) for n, p, s in zip(self.names, pieces, self.shapes, strict=True)}

    def flatten(self, parameters: dict[str, Tensor]) -> Float[Tensor, " size"]:
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.names])


Buffers = dict[str, Tensor]


@runtime_checkable
class Program(Protocol):
    """One structure's forward and backward for a stack of lanes.

    `buffers` are what the module carries beside its parameters (running means), as one lane starts with them;
    `mixes_rows` says that a row's output depends on its batch, so that no batch may be padded.
    """

    layout: Layout
    buffers: Buffers
    mixes_rows: bool

    def gradient(
        self,
        flat: Tensor,
        inputs: tuple[Tensor, ...],
        derivative: Derivative,
        masks: Masks,
        out: Tensor,
        buffers: Buffers,
    ) -> Tensor:
        """Write the gradient `[lanes, size]` into `out`, move `buffers` on; returns each lane's loss `[lanes]`."""
        ...

    def outputs(self, flat: Tensor, inputs: tuple[Tensor, ...], buffers: Buffers | None = None) -> Tensor:
        """The outputs `[lanes, rows, outputs]` in evaluation mode, without gradients."""
        ...

    def for_another_thread(self) -> "Program":
        """The same program over a module of its own: running one swaps parameters on its module."""
        ...


class BatchedProgram(ABC):
    """The shared half of every program: leaves, pullback, and the gradient laid flat.

    Gradients come from autograd over a forward of all lanes at once, fed with the loss's derivative by formula; no lane
    enters another lane's outputs, so none enters its gradient.
    """

    layout: Layout
    buffers: Buffers
    mixes_rows: bool
    _leaves: tuple[Tensor, Buffers] | None = None

    @abstractmethod
    def forward(self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks | None, buffers: Buffers) -> Tensor:
        """The outputs of all lanes; in training mode where `masks` are given."""

    def gradient(
        self,
        flat: Tensor,
        inputs: tuple[Tensor, ...],
        derivative: Derivative,
        masks: Masks,
        out: Tensor,
        buffers: Buffers,
    ) -> Tensor:
        if self._leaves is None or self._leaves[0] is not flat:
            views = self.layout.views(flat)
            self._leaves = flat, {name: view.detach().requires_grad_() for name, view in views.items()}
        leaves = self._leaves[1]
        outputs = self.forward(leaves, inputs, masks, buffers)
        loss, slope = derivative(outputs.detach())
        gradients = torch.autograd.grad(outputs, list(leaves.values()), slope, allow_unused=True)
        lanes = flat.shape[0]
        pieces = [
            (g if g is not None else torch.zeros_like(leaf)).reshape(lanes, -1)
            for g, leaf in zip(gradients, leaves.values(), strict=True)
        ]
        torch.cat(pieces, dim=1, out=out)
        return loss

    @torch.no_grad()
    def outputs(self, flat: Tensor, inputs: tuple[Tensor, ...], buffers: Buffers | None = None) -> Tensor:
        return self.forward(self.layout.views(flat), inputs, None, buffers or {})


class VmapProgram(BatchedProgram):
    """Any module through `torch.func.vmap`; lane by lane, said once, where vmap cannot take it."""

    def __init__(self, module: nn.Module) -> None:
        self._original = module
        self.module, self.dropout_names = with_counted_dropout(module)
        self.layout = Layout.of(self.module)
        counted = {f"{name}.{part}" for name in self.dropout_names for part in ("rate", "seed", "step")}
        self.buffers = {n: b.detach().clone() for n, b in self.module.named_buffers() if n not in counted}
        self.mixes_rows = any(isinstance(child, _BatchNorm) for child in self.module.modules())
        self.is_mapped = True

    def forward(self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks | None, buffers: Buffers) -> Tensor:
        self.module.train(masks is not None)
        settings = buffers | (self._dropout_buffers(masks) if masks is not None else {})
        if self.is_mapped:
            try:
                return torch.vmap(self._one_lane)(parameters, settings, inputs)
            except (RuntimeError, ValueError) as error:
                self.is_mapped = False
                log.warning("This module trains lane by lane, since vmap cannot take it: %s", error)
        lanes = range(inputs[0].shape[0])
        return torch.stack(
            [
                self._one_lane(
                    {n: p[i] for n, p in parameters.items()},
                    {n: s[i] for n, s in settings.items()},
                    tuple(x[i] for x in inputs),
                )
                for i in lanes
            ]
        )

    def for_another_thread(self) -> "VmapProgram":
        return VmapProgram(self._original)

    def _one_lane(self, parameters: Buffers, settings: Buffers, inputs: tuple) -> Tensor:
        return functional_call(self.module, {**parameters, **settings}, inputs)

    def _dropout_buffers(self, masks: Masks) -> dict[str, Tensor]:
        buffers = {}
        for name in self.dropout_names:
            buffers[f"{name}.seed"], buffers[f"{name}.step"] = masks.seed, masks.step
            if masks.rate is not None:
                buffers[f"{name}.rate"] = masks.rate
        return buffers
