"""Networks: where the networks of runs come from, a module that is copied or a factory that is called.

Knows modules and the names of a factory's arguments; it knows no data and no training.
"""

import contextlib
import copy
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from trimtab.errors import FactoryError, ModuleError, first_line
from trimtab.text.wording import counted
from trimtab.training.config import Listed
from trimtab.training.programs.program import Layout
from trimtab.training.randomness import SeededGenerators, initialised, number_from

Factory = Callable[..., nn.Module]


class Networks:
    """Gives the network of a run: a copy of the caller's module with its weights, or what their factory makes.

    A factory is called once for each seed (and each set of arguments); the caller's module is never changed. `told` is
    what the caller has been told in this call.
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
        self.told: dict[str, object] = {}
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
            return inspect.signature(self.factory, eval_str=True).parameters
        except NameError:  # an annotation that is there for type checkers alone
            return inspect.signature(self.factory).parameters
        except (TypeError, ValueError):  # a function of C
            return {}

    def takes_sequence(self, name: str) -> bool | None:
        """Whether the factory's argument `name` is a list or the like, by its default or its annotation; None where
        neither says."""
        parameter = self._parameters.get(name)
        if parameter is None:
            return None
        if parameter.default is not None and parameter.default is not inspect.Parameter.empty:
            return isinstance(parameter.default, (list, tuple))
        return None if parameter.annotation is inspect.Parameter.empty else _is_of_sequences(parameter.annotation)

    def made(self, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        """The network of a run with this seed; it is shared: copy it before changing it."""
        key = (tuple(sorted(arguments.items())), seed if self.factory is not None else 0)
        if key not in self._made:
            self._made[key] = self._make(arguments, seed)
        return self._made[key]

    def filled(
        self, arguments: Mapping[str, Any], seed: int, weights: Tensor, buffers: Mapping[str, Tensor]
    ) -> nn.Module:
        """A copy of it with these trained parameters `[parameters]` and buffers, in evaluation mode."""
        module = copy.deepcopy(self.made(arguments, seed))
        if Layout.of(module).size != weights.shape[-1]:
            raise ModuleError(
                f"{type(module).__name__} has {counted(Layout.of(module).size, 'trained number')}, and "
                f"{weights.shape[-1]:,} were saved: give the function or module that the study was made with."
            )
        own = dict(module.named_parameters()) | dict(module.named_buffers())
        with torch.no_grad():
            for name, value in (Layout.of(module).views(weights) | dict(buffers)).items():
                own[name].copy_(value)
        return module.eval()

    def _make(self, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        module = copied(self.module) if self.module is not None else self._called(arguments, seed)
        _check(module)
        return module

    def _called(self, arguments: Mapping[str, Any], seed: int) -> nn.Module:
        factory = self.factory
        assert factory is not None
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        number = number_from("run", seed, 0)
        try:
            with SeededGenerators(number):  # numpy's and Python's too
                module = initialised(lambda: _call(factory, arguments), number)
        except Exception as error:
            raise FactoryError(
                f"The factory, called as factory({given}), raised {type(error).__name__}: {first_line(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise FactoryError(
                f"The factory, called as factory({given}), gave a {type(module).__name__}: it must return a "
                "torch.nn.Module."
            )
        return module


def copied(module: nn.Module) -> nn.Module:
    """A copy; raises ModuleError for a module that cannot be copied."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise ModuleError(
            f"{type(module).__name__} cannot be copied, which is how it is left unchanged: {first_line(error)}"
        ) from error


def _check(module: nn.Module) -> None:
    """Raise ModuleError for a module with nothing to train."""
    name, parameters = type(module).__name__, list(module.parameters())
    if isinstance(module, torch.jit.ScriptModule):
        raise ModuleError(f"{name} is scripted, and cannot be run with other weights: give the module it was made of.")
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise ModuleError(f"{name} spreads a module over devices: give that module itself, its .module.")
    if any(t.is_meta for t in (*parameters, *module.buffers())):
        raise ModuleError(f"{name} lies on the device meta, without numbers: make it on a real one.")
    if any(isinstance(t, UninitializedTensorMixin) for t in (*parameters, *module.buffers())):
        raise ModuleError(f"{name} has lazy layers without a shape yet: run it once on some rows first.")
    trained = [p for p in parameters if p.requires_grad]
    if not any(p.numel() for p in trained):
        several = f"all of its {len(parameters)} parameters are frozen"
        frozen = several if len(parameters) > 1 else "its one parameter is frozen"
        reason = "its parameters hold no numbers" if trained else frozen if parameters else "it has no parameters"
        raise ModuleError(f"{name} cannot be trained: {reason}.")
    if not all(p.is_floating_point() for p in trained):
        raise ModuleError(f"{name} has complex parameters: only real ones can be trained.")


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _call(factory: Factory, arguments: Mapping[str, Any]) -> Any:
    """What the factory makes. Files do not say whether a list was a tuple: where it cannot be one, it is the other."""
    try:
        return factory(**{name: Listed.undone(value) for name, value in arguments.items()})
    except TypeError:
        if not any(isinstance(value, Listed) for value in arguments.values()):
            raise
        as_tuples = {n: tuple(value) if isinstance(value, Listed) else value for n, value in arguments.items()}
        with contextlib.suppress(Exception):
            return factory(**as_tuples)
        raise


def _is_of_sequences(annotation: Any) -> bool | None:
    """Whether an annotation allows sequences and nothing single; None where it is one that nobody can tell."""
    kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return all(_is_of_sequences(kind) for kind in kinds)
    kind = typing.get_origin(annotation) or annotation
    return issubclass(kind, Sequence) and not issubclass(kind, (str, bytes)) if isinstance(kind, type) else None


def source_of(module: nn.Module) -> str | None:
    """The source of the module's class, where it can be had."""
    try:
        return inspect.getsource(type(module)) if type(module).__module__.partition(".")[0] != "torch" else None
    except (OSError, TypeError):
        return None
