"""Program: what a module made into one forward for all lanes is: outputs out, and what the activations did.

The way through `vmap`, in `vmap_program`, is the reference and takes any module; the lane-batched MLP in `mlp_program`
stands beside it. Knows no losses, optimizers, epochs or data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy
import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.training.randomness import mask_keys, threshold_of

# The update of each parameter takes its share of compiling, however small it is; joining the gradients of small ones
# costs a copy of them at each step, which is not seen below this many numbers (RESULTS.md, "What compiling takes").
SMALL_NUMBERS = 256

Buffers = dict[str, Tensor]


@dataclass(frozen=True)
class Masks:
    """What dropout needs beside its input, and whether any rate is above 0.

    `rate` float32 [lanes]; `threshold` int32 [lanes], below which a hash drops its place; `keys` int32 [lanes, layers],
    one for each dropout layer.
    """

    rate: Tensor
    threshold: Tensor
    keys: Tensor
    any_dropout: bool

    @classmethod
    def of(cls, rate: Float[Tensor, " lanes"], seed: Tensor, step: Tensor, *, layers: int) -> "Masks":
        """Those of a step (its number in each lane's run) of runs with these seeds."""
        return cls(rate, threshold_of(rate), mask_keys(seed, step, layers), bool((rate > 0).any()))


@dataclass(frozen=True)
class ModuleUse:
    """How a module is to be called: with its inputs by name where they have `names` (in one dict: `as_dict`), its
    dropout layers at rates of their own, its outputs left just as they come (for a loss that reads them so).

    `ranks` are the dimensions that each of its outputs is known to have, `mixes_rows` says that a row's output depends
    on its batch, and `told` is what the caller has been told already.
    """

    names: tuple[str, ...] = ()
    own_dropout: bool = False
    keeps_outputs: bool = False
    as_dict: bool = False
    ranks: tuple[int, ...] = ()
    mixes_rows: bool = False
    told: dict[str, object] = field(default_factory=dict, compare=False)

    def arguments(self, inputs: tuple[Tensor, ...]) -> tuple[tuple, dict]:
        """What `forward` is called with."""
        if not self.names:
            return inputs, {}
        named = dict(zip(self.names, inputs, strict=True))
        return ((named,), {}) if self.as_dict else ((), named)


@dataclass(frozen=True)
class Layout:
    """Where each trained parameter of a module stands in a lane's flat row of `size` numbers.

    `dtypes` are those that the module's parameters have. The flat row, and the moments beside it, are of one `dtype`:
    theirs, or the widest of them, and never less than float32, in which small updates would be lost.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    size: int
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def of(cls, module: nn.Module) -> "Layout":
        named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
        return cls(
            names=tuple(name for name, _ in named),
            shapes=tuple(tuple(value.shape) for _, value in named),
            size=sum(value.numel() for _, value in named),
            dtypes=tuple(value.dtype for _, value in named),
        )

    @cached_property
    def dtype(self) -> torch.dtype:
        """That of the flat row."""
        return reduce(torch.promote_types, self.dtypes, torch.float32)

    @property
    def numpy_dtype(self) -> type[numpy.floating]:
        """The same for what is predicted."""
        return numpy.float64 if self.dtype == torch.float64 else numpy.float32

    @cached_property
    def is_uniform(self) -> bool:
        """Whether every parameter is a plain view into the flat row."""
        return all(dtype == self.dtype for dtype in self.dtypes)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def blocks(self) -> tuple[slice, ...]:
        """Neighbours that a compiled step updates as one: a run of small parameters, or one that is not small."""
        if not self.sizes:
            return ()
        ends = [i for i, (a, b) in enumerate(pairwise(self.sizes), 1) if max(a, b) > SMALL_NUMBERS]
        return tuple(slice(first, last) for first, last in pairwise([0, *ends, len(self.sizes)]))

    def pieces(self, flat: Float[Tensor, "*lanes size"]) -> tuple[Tensor, ...]:
        """Each parameter as a view `[lanes, numbers]` into `flat`."""
        return torch.split(flat, list(self.sizes), dim=-1)

    def in_blocks(self, flat: Float[Tensor, "*lanes size"]) -> tuple[Tensor, ...]:
        """Each of the `blocks` as a view `[lanes, numbers]` into `flat`."""
        return torch.split(flat, [sum(self.sizes[block]) for block in self.blocks], dim=-1)

    def views(self, flat: Float[Tensor, "*lanes size"]) -> dict[str, Tensor]:
        """The parameters as views into `flat`, a leading lane dimension in front; copies where the module has them in
        another dtype."""
        return {n: v.to(d) for (n, v), d in zip(self.stored(flat).items(), self.dtypes, strict=True)}

    def stored(self, flat: Float[Tensor, "*lanes size"]) -> dict[str, Tensor]:
        """The same in the dtype of `flat`, always views."""
        lanes = tuple(flat.shape[:-1])
        return {n: p.view((*lanes, *s)) for n, p, s in zip(self.names, self.pieces(flat), self.shapes, strict=True)}

    def shaped(self, blocks: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The parameters as views into their `blocks` `[lanes, numbers]`."""
        pieces = [
            piece
            for block, tensor in zip(self.blocks, blocks, strict=True)
            for piece in torch.split(tensor, list(self.sizes[block]), dim=-1)
        ]
        return {n: p.view((p.shape[0], *s)) for n, p, s in zip(self.names, pieces, self.shapes, strict=True)}

    def flatten(self, parameters: dict[str, Tensor]) -> Float[Tensor, " size"]:
        return torch.cat([parameters[name].detach().reshape(-1).to(self.dtype) for name in self.names])


Bounds = tuple[float, float]


@dataclass(frozen=True)
class Activity:
    """What the units of one layer did over `rows` rows, [lanes, units] each: lowest and highest activation, and in how
    many rows it lay in the flat part near a bound (of tanh: beyond +-0.99)."""

    low: Tensor
    high: Tensor
    flat: Tensor
    rows: int

    @classmethod
    def of(cls, activations: Float[Tensor, "*lanes units rows"], bounds: Bounds | None) -> "Activity":
        low, high = activations.amin(-1), activations.amax(-1)  # six times as quick as aminmax
        flat = torch.zeros_like(low)
        if bounds is not None:
            near = 0.005 * (bounds[1] - bounds[0])  # beyond +-0.99 of tanh its slope is below 0.02
            flat = ((activations > bounds[1] - near) | (activations < bounds[0] + near)).sum(-1).to(low)
        return cls(low, high, flat, activations.shape[-1])

    def __or__(self, other: "Activity") -> "Activity":
        """Over the rows of both."""
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Activity(low, high, self.flat + other.flat, self.rows + other.rows)


def bounds_of(activation: nn.Module) -> Bounds | None:
    """Between which values an activation is confined, where it is flat near both."""
    if isinstance(activation, nn.Tanh | nn.Softsign | nn.Hardtanh):
        return (-1.0, 1.0)
    return (0.0, 1.0) if isinstance(activation, nn.Sigmoid | nn.Hardsigmoid) else None


@runtime_checkable
class Program(Protocol):
    """One structure's forward for a stack of lanes.

    `buffers` are what the module carries beside its parameters (running means), as one lane starts with them;
    `mixes_rows` says that a row's output depends on its batch, so that no batch may be padded; `activations` names the
    activation layers, `dropouts` counts those of dropout; `calls_module` says that its forward is the module's own,
    which may do more in Python than to compute; `key` is equal for programs that compute the same from the same
    tensors, "" where nobody knows.
    """

    layout: Layout
    buffers: Buffers
    mixes_rows: bool
    activations: tuple[str, ...]
    dropouts: int
    calls_module: bool
    key: str

    def forward(self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks | None, buffers: Buffers) -> Any:
        """The outputs `[lanes, rows, outputs]` (or as they come, see `ModuleUse`); in training mode, moving `buffers`
        on, where `masks` are given."""
        ...

    def watched(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], buffers: Buffers
    ) -> tuple[Any, tuple[Activity, ...]]:
        """The outputs in evaluation mode, and what each activation layer did on these rows."""
        ...

    def for_another_thread(self) -> "Program":
        """The same program over a module of its own: running one swaps parameters on its module."""
        ...


# Each lane's loss of outputs, and its derivative by them.
LossOf = Callable[[Any], tuple[Tensor, Any]]


@runtime_checkable
class DerivingProgram(Program, Protocol):
    """A program that has derivatives of its own, and needs no autograd."""

    def derived(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks, loss_of: LossOf
    ) -> tuple[Float[Tensor, " lanes"], list[Tensor]]:
        """Each lane's loss of the outputs in training mode, and its derivative by each parameter `[lanes, numbers]`,
        which may lie where those of the step before lay."""
        ...


@torch.no_grad()
def outputs_of(
    program: Program, flat: Tensor, inputs: tuple[Tensor, ...], buffers: Buffers | None = None
) -> Float[Tensor, "lanes rows outputs"]:
    """The outputs in evaluation mode of lanes whose parameters lie flat."""
    return program.forward(program.layout.views(flat), inputs, None, buffers or {})


def looked_at(
    program: Program,
    parameters: Buffers,
    inputs: tuple[Tensor, ...],
    buffers: Buffers,
    activity: tuple[Activity, ...] | None,
) -> tuple[Any, tuple[Activity, ...] | None]:
    """The outputs of lanes in evaluation mode, and what each activation layer did on these rows and those before;
    `activity` is that of the rows before, () where there were none, None where it is not watched."""
    if activity is None:
        with torch.no_grad():
            return program.forward(parameters, inputs, None, buffers), None
    outputs, seen = program.watched(parameters, inputs, buffers)
    return outputs, tuple(a | b for a, b in zip(activity, seen, strict=True)) if activity else seen
