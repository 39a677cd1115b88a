"""Functional: a step's changes in place traced as new tensors, which what was changed takes over at the end.

A compiler wants no change in the middle of a graph. torch can rewrite one that has some, by tracing it twice more; a
step changes whole tensors only, so that the changes can be followed while it is traced for the first time.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class NotFunctionalError(RuntimeError):
    """Something was changed through a view, or read through one after it was changed."""


class Functional(TorchDispatchMode):
    """Within it an operation that changes a whole tensor makes a new one, which is read in its place from then on.

    Raises NotFunctionalError for what cannot be followed so.
    """

    def __init__(self) -> None:
        super().__init__()
        # By identity and by memory, and kept alive, so that no other tensor takes the number over.
        self._latest: dict[int, tuple[Tensor, Tensor]] = {}
        self._changed: dict[int, Tensor] = {}

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run `func`, or what makes a new tensor in its place."""
        given, named = tree_map_only(Tensor, self._now, (args, kwargs or {}))
        if not func._schema.is_mutable:
            return func(*given, **named)
        changed, before = args[0], given[0]
        if changed._is_view():
            raise NotFunctionalError(f"{func} changes a view")
        # A change in place leaves a tensor in its dtype, whatever it is changed by.
        self._latest[id(changed)] = changed, _without_change(func)(*given, **named).to(changed.dtype)
        # Whatever else looks at the memory of what it was saw that change, and sees none of it in the new tensor.
        self._changed[_memory(before)] = before
        return changed

    def write_back(self, tensors: tuple[Tensor, ...]) -> None:
        """Have those of `tensors` that were changed take over what they should hold; outside of the mode."""
        for tensor in tensors:
            now = self._now(tensor)
            if now is not tensor:
                tensor.copy_(now)

    def _now(self, tensor: Tensor) -> Tensor:
        if id(tensor) in self._latest:
            return self._latest[id(tensor)][1]
        if _memory(tensor) in self._changed:
            raise NotFunctionalError("a view is read after what it looks at was changed")
        return tensor


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@cache
def _without_change(function: OpOverload) -> OpOverload:
    """The operation that computes the same and changes nothing: `aten.mul.Tensor` for `aten.mul_.Tensor`."""
    name = function._schema.name.removeprefix("aten::")
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    if packet is None or not name.endswith("_"):
        raise NotFunctionalError(f"{function} changes what it is given")
    types = [str(argument.type) for argument in function._schema.arguments]
    for overload in (getattr(packet, name) for name in packet.overloads()):
        schema = overload._schema
        if not schema.is_mutable and [str(argument.type) for argument in schema.arguments] == types:
            return overload
    raise NotFunctionalError(f"{function} has no counterpart that changes nothing")
