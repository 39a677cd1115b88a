"""Networks: where the networks of runs come from, a module that is copied or a factory that is called.

Knows modules and the names of a factory's arguments; it knows no data and no training.
"""

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from trimtab.errors import FactoryError, ModuleError
from trimtab.training.program import Layout
from trimtab.training.randomness import initialised, number_from

Factory = Callable[..., nn.Module]


class Networks:
    """Gives the network of a run: a copy of the caller's module with its weights, or what their factory makes.

    A factory is called once for each seed (and each set of arguments); the caller's module is never changed.
    """

    def __init__(self, given: nn.Module | Factory) -> None:
        is_other_class = isinstance(given, type) and not issubclass(given, nn.Module)
        if is_other_class or not callable(given):
            what = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
            raise ModuleError(
                f"The network is {what}: give a torch.nn.Module, or a function (or class) that makes one."
            )
        self.module = given if isinstance(given, nn.Module) else None
        self.factory = None if isinstance(given, nn.Module) else given
        self.dtype = torch.float32
        self._made: dict[tuple, nn.Module] = {}

    @cached_property
    def knobs(self) -> tuple[str, ...]:
        """The names of the factory's arguments; none for a module."""
        return tuple(name for name, parameter in self._parameters.items() if parameter.kind in _NAMED)

    @property
    def takes_any_knob(self) -> bool:
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self._parameters.values())

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        if self.factory is None:
            return {}
        try:
            return inspect.signature(self.factory).parameters
        except (TypeError, ValueError):  # a function of C
            return {}

    def made(self, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        """The network of a run with this seed, in float32; it is shared: copy it before changing it."""
        key = (tuple(sorted(arguments.items())), seed if self.factory is not None else 0)
        if key not in self._made:
            self._made[key] = self._make(arguments, seed)
        return self._made[key]

    def _make(self, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        if self.factory is None:
            assert self.module is not None
            module = copy.deepcopy(self.module)
        else:
            module = self._called(self.factory, arguments, seed)
        trained = [p for p in module.parameters() if p.requires_grad]
        if not trained:
            frozen = sum(1 for _ in module.parameters())
            reason = f"all of its {frozen} parameters are frozen" if frozen else "it has no parameters"
            raise ModuleError(f"{type(module).__name__} cannot be trained: {reason}.")
        if any(p.dtype.is_complex for p in trained):
            raise ModuleError(f"{type(module).__name__} has complex parameters: only real ones can be trained.")
        self.dtype = trained[0].dtype
        return module.float()

    @staticmethod
    def _called(factory: Factory, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        try:
            module = initialised(lambda: factory(**arguments), number_from("run", seed, 0))
        except Exception as error:
            reason = (str(error).strip() or "no message").splitlines()[0]
            raise FactoryError(
                f"The factory, called as factory({given}), raised {type(error).__name__}: {reason}"
            ) from error
        if not isinstance(module, nn.Module):
            raise FactoryError(
                f"The factory, called as factory({given}), gave a {type(module).__name__}: it must return a "
                "torch.nn.Module."
            )
        return module


def filled(module: nn.Module, weights: Tensor, buffers: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `module` with these trained parameters `[parameters]` and buffers, in evaluation mode."""
    module = copy.deepcopy(module)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    with torch.no_grad():
        for name, value in (Layout.of(module).views(weights) | dict(buffers)).items():
            tensors[name].copy_(value)
    return module.eval()


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def source_of(module: nn.Module) -> str | None:
    """The source of the module's class, where it can be had."""
    try:
        return inspect.getsource(type(module)) if type(module).__module__.partition(".")[0] != "torch" else None
    except (OSError, TypeError):
        return None
