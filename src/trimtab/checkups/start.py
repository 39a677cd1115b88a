"""Start: what a few steps from its first weights show of a network: outputs, errors, gradients, units.

Works on a copy of the module, on the processor. Knows modules and losses; it finds nothing wrong.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from trimtab.checkups.setup import Setup
from trimtab.errors import ModuleError, first_line
from trimtab.training.programs.dropout import DROPOUT_KINDS
from trimtab.training.randomness import SeededGenerators

# Rows of a step: a unit that no one of so many reaches is as good as dead. Steps: enough for what begins at zero (the
# last layer of a residual branch, say) to let gradients through, too few to change anything else.
ROWS, STEPS = 512, 10
_RATE = 1e-3
# Nodes of torch's graph that only arrange numbers.
_ARRANGING = ("View", "UnsafeView", "Squeeze", "Unsqueeze", "ReshapeAlias", "Transpose", "T", "Alias", "ToCopy",
              "Clone", "Select", "Slice")  # fmt: skip
_SQUASHING = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu",
              "Softplus": "softplus"}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What the first steps showed.

    Attributes:
        outputs: `[rows, ...]` of the untrained network, or several.
        squashes: the activation that the outputs come from: softmax, log_softmax, sigmoid, tanh, relu, softplus, or "".
        place: where that stands in the module ("3", "head.act"); "" where it is called by forward itself.
        loss: that of the untrained network on these rows.
        names: trained parameters in their order; `sizes` are how many numbers each has.
        norms: `[steps, parameters]` lengths of the gradient, NaN where there is none.
        unreached: parameters that no step had a gradient for; `at_zero`, those whose gradient was 0 in every step.
        dead: shares of units by layer (linear and convolutional ones) whose weights and bias had gradient 0 in every
            step.
        scales_inputs: whether the first thing that reads an input normalises it over rows.
        seconds: what one step on a batch took.
    """

    outputs: Any
    squashes: str
    place: str
    loss: float
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    norms: numpy.ndarray
    unreached: tuple[str, ...]
    at_zero: tuple[str, ...]
    dead: dict[str, float]
    scales_inputs: bool
    seconds: float


def started(setup: Setup) -> Start:
    """The first steps of `setup`; raises ModuleError where the network fails in training mode."""
    fitting, module = setup.fitting, setup.module()
    part = fitting.prepared(setup.train.taken(torch.arange(min(ROWS, setup.train.rows))))
    _ready_for_gradients(module)
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    norms, zeros, missing = [], {name: True for name, _ in named}, {name: True for name, _ in named}
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, (nn.Linear, _ConvNd))}
    layers = {name: layer for name, layer in layers.items() if layer.weight.requires_grad}
    alive = {name: torch.zeros(len(_by_unit(layer, layer.weight)), dtype=torch.bool) for name, layer in layers.items()}
    optimizer = torch.optim.Adam([p for _, p in named], lr=_RATE)
    first: tuple[Any, str, str, bool] | None = None
    loss, seconds = math.nan, math.inf
    with SeededGenerators(setup.seed):
        for _ in range(STEPS):
            began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with _watched(module) as calls:
                outputs = _called(setup, module, part.inputs)
            value = _backward(setup, outputs, part)
            if first is None:
                kind, node_place = squashed_by(outputs), _place_of_last(calls, outputs)
                kept = pytree.tree_map(lambda x: x.detach(), outputs)
                first, loss = (kept, kind, node_place, _scales_inputs(calls, part.inputs)), value
            norms.append([math.nan if p.grad is None else float(p.grad.norm()) for _, p in named])
            for name, p in named:
                missing[name] &= p.grad is None
                zeros[name] &= p.grad is None or not bool(p.grad.any())
            for name, layer in layers.items():
                alive[name] |= _reached_units(layer)
            optimizer.step()
            seconds = min(seconds, time.perf_counter() - began)
    assert first is not None
    batch = min(setup.recipe.config.batch_size or setup.train.rows, setup.train.rows)
    dead = {
        name: 1 - float(units.double().mean())
        for name, units in alive.items()
        if not missing[f"{name}.weight".removeprefix(".")]
    }
    return Start(
        *first[:3], loss, tuple(name for name, _ in named), tuple(p.numel() for _, p in named),
        numpy.array(norms, dtype=float), tuple(name for name, is_so in missing.items() if is_so),
        tuple(name for name, is_so in zeros.items() if is_so and not missing[name]),
        dead,
        first[3], seconds * max(0.2, batch / part.rows),
    )  # fmt: skip


def _ready_for_gradients(module: nn.Module) -> None:
    """In training mode, all but its dropout: a unit that is left out for once is not dead."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, DROPOUT_KINDS):
            layer.eval()


def _called(setup: Setup, module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    args, kwargs = setup.fitting.tried.use.arguments(inputs)
    try:
        return module(*args, **kwargs)
    except Exception as error:
        raise ModuleError(
            f"{type(module).__name__} raised {type(error).__name__} in training mode: {first_line(error)}"
        ) from error


def _backward(setup: Setup, outputs: Any, part: Any) -> float:
    """Gradients of the loss; gives the loss."""
    fitting = setup.fitting
    data = fitting.data(part, torch.arange(part.rows), torch.arange(part.rows))
    lanes = pytree.tree_map(lambda x: x.unsqueeze(0), outputs)
    if fitting.own is None and outputs.dim() == 1:
        lanes = lanes.unsqueeze(-1)
    rows = torch.arange(part.rows).unsqueeze(0)
    losses = fitting.losses(fitting.complete(setup.recipe).config)
    own = pytree.tree_map(lambda x: x.detach(), lanes)
    value, slopes = data.objective(own, data.targets_of(rows), data.weights[rows], losses)
    leaves, slopes = pytree.tree_leaves(lanes), pytree.tree_leaves(slopes)
    pairs = [(x, s.to(x.dtype)) for x, s in zip(leaves, slopes, strict=True) if x.requires_grad]
    torch.autograd.backward([x for x, _ in pairs], [s for _, s in pairs])
    return float(value[0])


def _by_unit(layer: nn.Linear | _ConvNd, weight: Tensor) -> Tensor:
    """Numbers of a layer's weights with units first."""
    return weight.transpose(0, 1) if isinstance(layer, _ConvNd) and layer.transposed else weight


def _reached_units(layer: nn.Linear | _ConvNd) -> Tensor:
    """Which units' weights or bias have a gradient that is not 0."""
    units = len(_by_unit(layer, layer.weight))
    reached = torch.zeros(units, dtype=torch.bool)
    if layer.weight.grad is not None and not (isinstance(layer, _ConvNd) and layer.transposed and layer.groups > 1):
        reached |= _by_unit(layer, layer.weight.grad).flatten(1).any(1)
    if layer.bias is not None and layer.bias.grad is not None and len(layer.bias) == units:
        reached |= layer.bias.grad != 0
    return reached


# -- what the calls of its parts tell


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[tuple[str, nn.Module, Any, Any]]]:
    """Calls of the parts without parts of their own: name, part, first input, output."""
    calls: list[tuple[str, nn.Module, Any, Any]] = []

    def noting(name: str) -> Any:
        def note(part: nn.Module, args: tuple, output: Any) -> None:
            calls.append((name, part, args[0] if args else None, output))

        return note

    hooks = [part.register_forward_hook(noting(name)) for name, part in module.named_modules()
             if not any(part.children())]  # fmt: skip
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _place_of_last(calls: list[tuple[str, nn.Module, Any, Any]], outputs: Any) -> str:
    """The part without weights, called once, whose output the network gives as its own; "" where there is none."""
    if not calls or not isinstance(outputs, Tensor):
        return ""
    name, part, _, output = calls[-1]
    is_last = isinstance(output, Tensor) and output.untyped_storage().data_ptr() == outputs.untyped_storage().data_ptr()
    is_called_once = sum(each is part for _, each, _, _ in calls) == 1
    return name if is_last and is_called_once and not any(True for _ in part.parameters()) else ""


def _scales_inputs(calls: list[tuple[str, nn.Module, Any, Any]], inputs: tuple[Tensor, ...]) -> bool:
    if not calls:
        return False
    _, part, read, _ = calls[0]
    return isinstance(part, _BatchNorm) and isinstance(read, Tensor) and any(
        read.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for x in inputs
    )  # fmt: skip


def squashed_by(outputs: Any) -> str:
    """The activation that `outputs` come from, by the graph that torch keeps; "" where they come from none."""
    node = outputs.grad_fn if isinstance(outputs, Tensor) else None
    while node is not None:
        kind = node.name().partition("Backward")[0]
        if kind in _SQUASHING:
            return _SQUASHING[kind]
        if kind not in _ARRANGING:
            return ""
        node = node.next_functions[0][0] if node.next_functions else None
    return ""


def code_of(place: str) -> str:
    """A part of the network in Python: "module[3]", "module.head.act"."""
    return "module" + "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in place.split(".") if step)
