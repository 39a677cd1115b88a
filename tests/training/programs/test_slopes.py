"""Derivatives from slopes of outputs are those that autograd gives."""

import pytest
import torch

from trimtab.training.programs.slopes import derivatives


@pytest.mark.parametrize("grad_mode", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_they_are_those_of_autograd(dtype, grad_mode):
    generator = torch.Generator().manual_seed(0)
    a, b, unused = (torch.randn(3, 4, generator=generator).to(dtype).requires_grad_() for _ in range(3))
    slopes = [torch.randn(3, 4, generator=generator).to(dtype), torch.ones(3, 1, dtype=dtype).expand(3, 4)]

    def outputs():
        return [torch.tanh(a) * b, a.square()]

    expected = torch.autograd.grad(outputs(), [a, b, unused], slopes, allow_unused=True)
    made = outputs()
    with torch.set_grad_enabled(grad_mode):
        found = derivatives(made, [a, b, unused], slopes)
    assert found[2] is None and expected[2] is None
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        assert torch.equal(ours, theirs)


def test_without_outputs_nothing_depends_on_anything():
    assert derivatives([], [torch.ones(2, requires_grad=True)], []) == (None,)


def test_slopes_of_another_shape_are_refused():
    x = torch.ones(3, 1, requires_grad=True)
    with pytest.raises(AssertionError, match="its own slopes"):
        derivatives([x * 2], [x], [torch.ones(3, 4)])
