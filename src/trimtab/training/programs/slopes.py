"""Slopes: derivatives by autograd where those by the outputs are known already. Knows tensors alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Fed(torch.autograd.Function):
    """A number that depends on outputs by given slopes."""

    @staticmethod
    def forward(ctx: Any, slopes: Sequence[Tensor], *outputs: Tensor) -> Tensor:
        ctx.slopes = slopes
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *one: Tensor) -> tuple:
        return None, *ctx.slopes


def derivatives(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], slopes: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Derivatives by each of the `inputs` from those by each of the `outputs`; None where none depends on it.

    As `torch.autograd.grad` with `grad_outputs` gives them, which imports what torch's compiler calculates with at its
    first call: 1.6 of the first seconds of a search.
    """
    assert all(o.shape == s.shape for o, s in zip(outputs, slopes, strict=True)), "each output has its own slopes"
    if not outputs:
        return (None,) * len(inputs)
    if torch.compiler.is_compiling():
        return torch.autograd.grad(outputs, inputs, slopes, allow_unused=True)
    with torch.enable_grad():
        fed = _Fed.apply(tuple(slopes), *outputs)
    return torch.autograd.grad(fed, inputs, allow_unused=True)
