"""TracedStep: a step as torch's own operations, and how its inputs must lie in memory."""

from dataclasses import dataclass

from torch import Tensor, fx

Strides = tuple[int | None, ...]


@dataclass(frozen=True)
class TracedStep:
    """What was traced: it writes into its inputs, called `names`, and returns nothing.

    `strides` are those that its inputs must have; None where any will do. One that `is_functional` is made of
    what torch generates code for, and changes its inputs at its end only.
    """

    module: fx.GraphModule
    fakes: tuple[Tensor, ...]
    names: tuple[str, ...]
    strides: tuple[Strides, ...]
    is_functional: bool
