"""Watcher: what a module and its optimizer do between two epochs, noted by hooks that change nothing.

Gradients before clipping, the length of updates, dead and saturated units, as the engine defines them. Knows no epochs,
losses or files.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from trimtab.errors import OptionError
from trimtab.training.lanes import signals
from trimtab.training.programs.program import Activity, bounds_of
from trimtab.training.programs.step import NOTED_EVERY
from trimtab.training.programs.vmap_program import ACTIVATION_MODULES

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
        self._watched: list[nn.Parameter] = []
        self._norms: dict[nn.Parameter, Tensor] = {}
        # Kept from step to step: fresh memory for all weights would cost more than what is done with it.
        self._room: list[Tensor] = []
        self._has_squares = False
        self._rate: Any = None
        self._calls: dict[str, int] = {}
        self._depth = 0
        self._hooks: list[Any] = []
        self._gradient_hooks: list[Any] = []
        self._forget()
        try:
            self._hooks.append(optimizer.register_step_pre_hook(self._before_step))
            self._hooks.append(optimizer.register_step_post_hook(self._after_step))
            # The compiler would look into forward hooks, and make other code because of them.
            if not hasattr(module, "_orig_mod"):
                self._hooks.extend(self._forward_hooks(module))
            self._begin_step()
        except BaseException:
            self.remove()
            raise

    def noted(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """The signals since the last call by their columns, and those with a number per part of the network.

        What cannot be told is left out.
        """
        numbers: dict[str, float] = {}
        parts: dict[str, list[float]] = {}
        if self._rate is not None:
            numbers["learning_rate"] = float(self._rate)
        if self._squares is not None:
            squares = (self._squares / self._noted_steps).tolist()
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
        for hook in (*self._hooks, *self._gradient_hooks):
            hook.remove()
        self._hooks, self._gradient_hooks = [], []

    def _forget(self) -> None:
        self._steps = self._noted_steps = 0
        self._squares: Tensor | None = None
        self._ratio: Tensor | None = None
        self._activities: dict[_Layer, Activity] = {}
        self._begin_step()

    # -- steps

    def _parameters(self) -> list[nn.Parameter]:
        """Those of the module that the optimizer trains, as they stand now: a loop may thaw some on its way."""
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"] if p.requires_grad}
        return [p for p in self._module.parameters() if id(p) in trained]

    def _begin_step(self) -> None:
        """See gradients as they come, before they are clipped, in the steps that are noted and in no others."""
        if self._gradient_hooks:
            for hook in self._gradient_hooks:
                hook.remove()
            self._gradient_hooks = []
        if self._hooks and self._steps % NOTED_EVERY == 0:
            note = self._note_gradient
            for parameter in self._parameters():
                self._gradient_hooks.append(parameter.register_post_accumulate_grad_hook(note))

    def _note_gradient(self, parameter: nn.Parameter) -> None:
        if parameter.grad is not None:
            self._norms[parameter] = _norm(parameter.grad)

    def _before_step(self, optimizer: torch.optim.Optimizer, arguments: tuple, named: dict) -> tuple | None:
        rate = optimizer.param_groups[0].get("lr")
        self._rate = rate.clone() if isinstance(rate, Tensor) else rate  # a tensor would be changed in place
        self._has_squares = False
        if not self._gradient_hooks:
            return None
        self._make_room(self._parameters())
        with torch.no_grad():
            for room, p in zip(self._room, self._watched, strict=True):
                room.copy_(p.detach())
        # A step that is given a closure has its gradients from there, and those of the step before until then.
        if callable(named.get("closure")):
            return arguments, named | {"closure": self._noting(named["closure"])}
        # torch hands over the optimizer as the first of its arguments.
        place = next((i for i, each in enumerate(arguments) if callable(each) and each is not optimizer), None)
        if place is not None:
            return (*arguments[:place], self._noting(arguments[place]), *arguments[place + 1 :]), named
        self._add_squares()
        return None

    def _noting(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure; its first gradients, those at the weights that the step begins with, are noted."""

        @wraps(closure)
        def noting() -> Any:
            if not self._has_squares:
                self._norms = {}
            value = closure()
            self._add_squares()
            return value

        return noting

    def _make_room(self, parameters: list[nn.Parameter]) -> None:
        is_moved = bool(self._room) and self._room[0].device != parameters[0].device
        if is_moved or len(parameters) != len(self._watched):  # some were thawed
            self._watched, self._squares, self._noted_steps = parameters, None, 0
            self._room = [torch.empty_like(_wide(p)) for p in parameters]

    @torch.no_grad()
    def _add_squares(self) -> None:
        """Add the squared norm of each parameter's gradient to those of the steps before, once in a step."""
        if self._has_squares:
            return
        scale = 1.0 if self._scaler is None else self._scaler.get_scale()
        device = self._watched[0].device
        squares = torch.stack([self._norm_of(p, scale).to(device) for p in self._watched]).square()
        self._squares = squares if self._squares is None else self._squares + squares
        self._noted_steps += 1
        self._norms, self._has_squares = {}, True

    def _norm_of(self, parameter: nn.Parameter, scale: float) -> Tensor:
        """That of its gradient, without the scaler's `scale`; as the optimizer gets it if it was thawed since."""
        if parameter.grad is None:  # what was noted belongs to a step that was never made
            return torch.zeros(())
        if parameter in self._norms:
            return self._norms[parameter] if scale == 1 else self._norms[parameter] / scale
        return _norm(parameter.grad)

    def _after_step(self, optimizer: torch.optim.Optimizer, arguments: tuple, named: dict) -> None:
        if self._gradient_hooks:
            self._add_squares()  # of an optimizer that left its closure alone
            with torch.no_grad():
                size = get_total_norm(self._room)
                for before, p in zip(self._room, self._watched, strict=True):
                    before.sub_(p.detach())
                self._ratio = get_total_norm(self._room) / size
        self._steps += 1
        self._begin_step()

    # -- passes

    def _forward_hooks(self, module: nn.Module) -> Iterator[Any]:
        """Each as it is registered."""
        named = [(name, child) for name, child in module.named_modules() if isinstance(child, ACTIVATION_MODULES)]
        above = {".".join(name.split(".")[:depth]) for name, _ in named for depth in range(name.count(".") + 1)}
        containers = [module.get_submodule(name) for name in sorted(above)]
        for child in containers:
            yield child.register_forward_pre_hook(_Hook(self._begin_pass))
            yield child.register_forward_hook(_Hook(self._end_pass), always_call=True)
        for name, child in named:
            yield child.register_forward_hook(_Hook(partial(self._note_activation, name)))

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


def _wide(tensor: Tensor) -> Tensor:
    """Its values, in a precision that sums well."""
    values = tensor.detach()
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _norm(gradient: Tensor) -> Tensor:
    values = _wide(gradient.coalesce().values() if gradient.is_sparse else gradient)
    return torch.linalg.vector_norm(values).float()


def _on_cpu(activity: Activity) -> Activity:
    """One lane's, on the processor."""
    low, high, flat = (part.cpu().unsqueeze(0) for part in (activity.low, activity.high, activity.flat))
    return Activity(low, high, flat, activity.rows)
