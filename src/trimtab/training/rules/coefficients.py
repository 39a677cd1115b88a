"""Coefficients: what differs from lane to lane in one step, as tensors whose first dimension is the lanes.

Knows no losses and no optimizers. Flags beside the tensors say what no lane needs, so that nobody pays for it.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from torch import Tensor

Some = TypeVar("Some", bound="Coefficients")


class Coefficients:
    """The base of frozen dataclasses of tensors `[lanes, ...]`, flags (`any_x`: some lane has x; `all_x`) and parts.

    Parts are coefficients themselves; what they hold is called `part.name`.
    """

    def tensors(self) -> dict[str, Tensor]:
        return self._leaves(Tensor)

    def flags(self) -> dict[str, bool]:
        return self._leaves(bool)

    def replaced(self: Some, values: Mapping[str, Tensor | bool]) -> Some:
        """The same with other tensors or flags, given by name."""
        changes: dict = {}
        for name, value in vars(self).items():
            if isinstance(value, Coefficients):
                inner = {n.removeprefix(f"{name}."): v for n, v in values.items() if n.startswith(f"{name}.")}
                changes[name] = value.replaced(inner)
            elif name in values:
                changes[name] = values[name]
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def mapped(self: Some, function: Callable[[Tensor], Tensor]) -> Some:
        return self.replaced({name: function(value) for name, value in self.tensors().items()})

    def for_any_lane(self: Some) -> Some:
        """Flags that fit whatever lane may come: what a program is compiled for."""
        return self.replaced({name: _last(name).startswith("any_") for name in self.flags()})

    def _leaves(self, kind: type) -> dict:
        found = {}
        for name, value in vars(self).items():
            if isinstance(value, Coefficients):
                found |= {f"{name}.{inner}": leaf for inner, leaf in value._leaves(kind).items()}
            elif isinstance(value, kind):
                found[name] = value
        return found


def joined_flags(lanes: Iterable[Mapping[str, bool]]) -> dict[str, bool]:
    """The flags of lanes side by side, from those of each of them."""
    lanes = list(lanes)
    return {name: (any if _last(name).startswith("any_") else all)(flags[name] for flags in lanes) for name in lanes[0]}


def _last(name: str) -> str:
    return name.rpartition(".")[2]
