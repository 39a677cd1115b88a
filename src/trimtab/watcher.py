"""Watcher: what a module and its optimizer do between two epochs, noted by hooks that change nothing.

Gradients before clipping, the length of updates, dead and saturated units, as the engine defines them. Knows no epochs,
losses or files.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trimtab.errors import OptionError
from trimtab.training import signals
from trimtab.training.program import ACTIVATION_MODULES, Activity, bounds_of
from trimtab.training.step import NOTED_EVERY

# A layer's name, the how-many-eth call of it in one forward, and its units.
_Layer = tuple[str, int, int]


class Watcher:
    """Watches `module` while `optimizer` trains it, until `remove`.

    Every fourth step is noted, and of each pass in evaluation mode (or without gradients) what the activation layers
    did. `scaler` is the `torch.amp.GradScaler` of the loop, if it has one, by whose scale gradients are divided.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any = None) -> None:
        for value, kind, what in ((module, nn.Module, "module"), (optimizer, torch.optim.Optimizer, "optimizer")):
            if not isinstance(value, kind):
                raise OptionError(f"The {what} to watch is of type {type(value).__name__}: it must be a torch {what}.")
        self._module, self._optimizer, self._scaler = module, optimizer, scaler
        if not self._parameters():
            raise OptionError("The optimizer to watch trains no parameter of the module.")
        self._has_channels = any(isinstance(child, nn.Conv1d | nn.Conv2d | nn.Conv3d) for child in module.modules())
        self._squares: dict[nn.Parameter, Tensor] = {}
        self._before: list[tuple[Tensor, Tensor]] = []
        self._rate: Any = None
        self._calls: dict[str, int] = {}
        self._depth = 0
        self._forget()
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
            *(p.register_post_accumulate_grad_hook(self._note_gradient) for p in self._parameters()),
        ]
        # The compiler would look into forward hooks, and make other code because of them.
        if not hasattr(module, "_orig_mod"):
            self._hooks += self._forward_hooks(module)

    def noted(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """The signals since the last call by their columns, and those with a number per part of the network.

        What cannot be told is left out.
        """
        numbers: dict[str, float] = {}
        parts: dict[str, list[float]] = {}
        if self._rate is not None:
            numbers["learning_rate"] = float(self._rate)
        if self._noted_steps:
            squares = [float(self._totals.get(p, 0.0)) / self._noted_steps for p in self._parameters()]
            parts["gradient_norms"] = [math.sqrt(square) for square in squares]
            numbers["gradient_norm"] = math.sqrt(math.fsum(squares))
        if self._ratio is not None:
            numbers["update_ratio"] = float(self._ratio)
        if self._activities:
            layers = tuple(_on_cpu(activity) for activity in self._activities.values())
            dead, saturated, units = signals.of_layers([layers], 1)
            parts |= {"dead_by_layer": dead[0].tolist(), "saturated_by_layer": saturated[0].tolist()}
            numbers["dead_units"] = float(signals.mean_over_layers(dead, units))
            numbers["saturated_units"] = float(signals.mean_over_layers(saturated, units))
        self._forget()
        return numbers, parts

    def remove(self) -> None:
        """Take all hooks off again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _forget(self) -> None:
        self._steps = self._noted_steps = 0
        self._totals: dict[nn.Parameter, Tensor] = {}
        self._ratio: Tensor | None = None
        self._activities: dict[_Layer, Activity] = {}

    # -- steps

    def _parameters(self) -> list[nn.Parameter]:
        """Those of the module that the optimizer trains, as they stand now: a loop may thaw some on its way."""
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"] if p.requires_grad}
        return [p for p in self._module.parameters() if id(p) in trained]

    @property
    def _is_noted(self) -> bool:
        return self._steps % NOTED_EVERY == 0

    def _note_gradient(self, parameter: nn.Parameter) -> None:
        if self._is_noted and parameter.grad is not None:
            self._squares[parameter] = _squared_norm(parameter.grad)

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, arguments: tuple, named: dict) -> None:
        rate = optimizer.param_groups[0].get("lr")
        self._rate = rate.clone() if isinstance(rate, Tensor) else rate  # a tensor would be changed in place
        if not self._is_noted:
            return
        scale = self._scaler.get_scale() if self._scaler is not None else 1.0
        parameters = self._parameters()
        for p in parameters:
            if p in self._squares:
                square = self._squares[p] / scale**2
            elif p.grad is not None:  # thawed after the hooks were set: as the optimizer gets it
                square = _squared_norm(p.grad)
            else:
                continue
            self._totals[p] = self._totals[p] + square if p in self._totals else square
        self._noted_steps += 1
        self._squares = {}
        self._before = [(p, p.detach().clone()) for p in parameters]

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, arguments: tuple, named: dict) -> None:
        if self._before:
            change = _sum([_squared_norm(p.detach() - before) for p, before in self._before])
            self._ratio = (change / _sum([_squared_norm(before) for _, before in self._before])).sqrt()
            self._before = []
        self._steps += 1

    # -- passes

    def _forward_hooks(self, module: nn.Module) -> list:
        named = [(name, child) for name, child in module.named_modules() if isinstance(child, ACTIVATION_MODULES)]
        above = {".".join(name.split(".")[:depth]) for name, _ in named for depth in range(name.count(".") + 1)}
        containers = [module.get_submodule(name) for name in sorted(above)]
        return [
            *(child.register_forward_pre_hook(_Hook(self._begin_pass)) for child in containers),
            *(child.register_forward_hook(_Hook(self._end_pass), always_call=True) for child in containers),
            *(child.register_forward_hook(_Hook(partial(self._note_activation, name))) for name, child in named),
        ]

    def _begin_pass(self, module: nn.Module, inputs: tuple) -> None:
        if self._depth == 0:
            self._calls = {}
        self._depth += 1

    def _end_pass(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        self._depth -= 1

    def _note_activation(self, name: str, layer: nn.Module, inputs: tuple, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        # A layer may serve several times in one pass; called by itself, nothing tells which time it is.
        call = self._calls.get(name, 0) if self._depth else 0
        self._calls[name] = call + 1
        is_training = layer.training and torch.is_grad_enabled()
        if is_training or not _has_units(output):
            return
        units = 1 if self._has_channels and output.dim() > 2 else output.dim() - 1
        with torch.no_grad():
            activity = Activity.of(output.detach().movedim(units, 0).flatten(1), bounds_of(layer))
        key = (name, call, output.shape[units])
        held = self._activities.get(key)
        self._activities[key] = activity if held is None else held | activity


class _Hook:
    """A forward hook of one module: a copy of that module, or a pickle of it, carries one that does nothing."""

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> None:
        self._function(*arguments)

    def __reduce__(self) -> tuple:
        # Of the standard library alone, so that a pickled module is read where there is no trimtab.
        return getattr, (nullcontext(), "__exit__")


def _has_units(output: Any) -> bool:
    return isinstance(output, Tensor) and output.is_floating_point() and output.dim() > 1 and output.numel() > 0


def _squared_norm(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    values = values.coalesce().values() if values.is_sparse else values
    is_narrow = values.dtype in (torch.float16, torch.bfloat16)
    return torch.linalg.vector_norm(values.float() if is_narrow else values).square()


def _sum(squares: list[Tensor]) -> Tensor:
    return torch.stack([square.to(squares[0]) for square in squares]).sum()


def _on_cpu(activity: Activity) -> Activity:
    """One lane's, on the processor."""
    low, high, flat = (part.cpu().unsqueeze(0) for part in (activity.low, activity.high, activity.flat))
    return Activity(low, high, flat, activity.rows)
