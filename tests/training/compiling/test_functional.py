"""Functional: changes in place are followed while they are traced, and what cannot be followed is refused."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from trimtab.training.compiling.functional import Functional, NotFunctionalError


def traced(function, *tensors):
    def run(*inputs):
        with Functional() as changes:
            function(*inputs)
        changes.write_back(inputs)
        return ()

    return make_fx(run)(*(tensor.clone() for tensor in tensors))


def changes_in(module):
    return [node.target for node in module.graph.nodes if node.op == "call_function" and node.target._schema.is_mutable]


def test_changes_in_place_become_new_tensors_that_the_inputs_take_over_at_the_end():
    def function(x, y):
        x.mul_(2).add_(y)
        y.pow_(2)
        x.addcmul_(x, y, value=-1)
        x.square().mul_(3)  # nobody reads it

    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    module = traced(function, x, y)
    assert changes_in(module) == [torch.ops.aten.copy_.default] * 2
    after_x, after_y = x.clone(), y.clone()
    module(after_x, after_y)
    function(x, y)
    torch.testing.assert_close((after_x, after_y), (x, y))


def test_a_view_may_be_read_before_what_it_looks_at_is_changed():
    def function(x):
        total = x[0].sum() + x.view(-1)[1]
        x.add_(total)

    x = torch.ones(2, 2)
    module = traced(function, x)
    after = x.clone()
    module(after)
    assert after.tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_a_change_leaves_a_tensor_in_its_dtype():
    def function(x, y):
        x.add_(y)
        y.copy_(x * 3)

    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.2], dtype=torch.float64)
    module = traced(function, x, y)
    after_x, after_y = x.clone(), y.clone()
    module(after_x, after_y)
    function(x, y)
    assert torch.equal(after_x, x) and torch.equal(after_y, y)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[0].add_(1),
        lambda x: x.view(-1).add_(1),
        lambda x: (view := x[0], x.add_(1), view.sum()),
        lambda x: torch.add(x, 1, out=torch.empty_like(x)),
        lambda x: x.fill_diagonal_(3.0).sum(),
        lambda x: x.detach().add_(1),
        lambda x: (x.add_(1), view := x[0], x.add_(1), view.sum()),
    ],
    ids=["a row", "another shape", "read after", "out", "no counterpart", "another name", "read between and after"],
)
def test_what_cannot_be_followed_is_refused(function):
    with pytest.raises(NotFunctionalError):
        traced(function, torch.zeros(3, 3))
