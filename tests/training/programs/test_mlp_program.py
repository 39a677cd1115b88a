import pytest
import torch
from torch import nn

from trimtab.knobs.table import INPUTS
from trimtab.nets.mlp import ACTIVATIONS, MLP
from trimtab.training.programs.mlp_program import MLPProgram, program_for
from trimtab.training.programs.program import Masks, outputs_of
from trimtab.training.programs.step import backward
from trimtab.training.programs.vmap_program import VmapProgram

LANES, BATCH, NUMBERS = 4, 16, 7
EDGES = ((-2.0, -0.5, 0.0, 1.0), (-1.0, 1.0), (-0.1, 0.0, 3.0))


def example(cardinalities, **network):
    module = MLP(
        continuous=3, numbers=NUMBERS, cardinalities=cardinalities, outputs=2, edges=EDGES, **network
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.randn(LANES, BATCH, NUMBERS, generator=generator),
        torch.randint(0, 5, (LANES, BATCH, len(cardinalities)), generator=generator),
    )
    target = torch.randn(LANES, BATCH, 2, generator=generator)
    return module, inputs, lambda out: (((out - target) ** 2).mean((1, 2)), (out - target) / BATCH)


def gradient_of(program, flat, rows, derivative, masks):
    """Each lane's loss and flat gradient."""
    leaves = {name: view.detach().requires_grad_() for name, view in program.layout.views(flat).items()}
    loss, pieces = backward(program.forward(leaves, rows, masks, {}), leaves, derivative, program.layout)
    return loss, torch.cat(pieces, dim=1)


def masks(rate):
    rates = torch.full((LANES,), rate) * torch.arange(LANES) / LANES
    return Masks.of(rates, torch.arange(LANES) + 5, torch.arange(LANES) * 3, layers=3)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("cardinalities", [(), (5, 30)])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_batched_mlp_is_the_mapped_module(inputs, depth, cardinalities, rate):
    module, rows, derivative = example(cardinalities, depth=depth, width=12, inputs=inputs)
    fast, reference = MLPProgram(module), VmapProgram(module)
    flat = torch.randn(LANES, fast.layout.size, generator=torch.Generator().manual_seed(1)) * 0.3
    results = []
    for program in (fast, reference):
        loss, gradient = gradient_of(program, flat, rows, derivative, masks(rate))
        results.append((loss, gradient, outputs_of(program, flat, rows)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_gives_the_gradient_of_the_plain_module(activation):
    module, rows, derivative = example((5,), depth=2, width=8, activation=activation)
    program = program_for(module)
    flat = program.layout.flatten(dict(module.named_parameters())).repeat(LANES, 1)
    gradient = gradient_of(program, flat, rows, derivative, masks(0.0))[1]
    for lane in range(LANES):
        module.zero_grad()
        outputs = module(rows[0][lane], rows[1][lane])
        outputs.backward(derivative(torch.stack([outputs.detach()] * LANES))[1][lane])
        plain = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
        torch.testing.assert_close(gradient[lane], plain, rtol=1e-4, atol=1e-6)


def test_a_module_of_ones_own_takes_the_way_through_vmap():
    assert isinstance(program_for(nn.Linear(3, 1)), VmapProgram)


def test_a_module_that_vmap_refuses_trains_lane_by_lane_and_says_so(caplog):
    class Refusing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x):
            return self.layer(x) * (2.0 if x.sum().item() > 1e9 else 1.0)

    program = VmapProgram(Refusing())
    flat = torch.randn(2, program.layout.size)
    x = torch.randn(2, 5, 3)
    outputs = outputs_of(program, flat, (x,))
    expected = torch.stack([x[i] @ flat[i, :3].view(3, 1) + flat[i, 3] for i in range(2)])
    torch.testing.assert_close(outputs, expected)
    assert "lane by lane" in caplog.text


def test_a_lane_of_nan_changes_no_bit_of_its_neighbours():
    module, rows, derivative = example((5,), depth=2, width=8, inputs="periodic")
    program = program_for(module)
    flat = torch.randn(LANES, program.layout.size)
    clean = gradient_of(program, flat, rows, derivative, masks(0.5))[1]
    flat[1] = float("nan")
    dirty = gradient_of(program, flat, rows, derivative, masks(0.5))[1]
    others = [0, 2, 3]
    assert torch.equal(clean[others], dirty[others])
