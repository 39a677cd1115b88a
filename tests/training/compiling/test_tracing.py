"""Traced steps: the graph that is compiled does what the step does that it was traced from."""

import torch
from torch import nn

from trimtab.training.compiling.tracing import traced
from trimtab.training.config import Config, Group, Optimizer
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.operands import Operands, Signature
from trimtab.training.programs.program import SMALL_NUMBERS, ModuleUse
from trimtab.training.programs.step import COLUMNS, Batches, Features, LaneCoefficients, Plan, State, Step
from trimtab.training.rules.objective import FormulaLoss

LANES, ROWS, BATCH, INPUTS = 2, 12, 5, 3
CONFIG = Config(
    optimizer=Optimizer("adamw", weight_decay=0.5), groups=(Group("*bias", rate=0.5, decay=0.0), Group("3*", rate=2.0))
)


def operands(program, *, is_flat):
    """Those of one step with dropout, always the same numbers."""
    generator = torch.Generator().manual_seed(0)
    layout = program.layout
    flat = torch.randn(LANES, layout.size, generator=generator) * 0.5
    moments = torch.zeros(2, LANES, layout.size)
    weights, first, second = ((part,) if is_flat else layout.in_blocks(part) for part in (flat, *moments))
    rates, x = torch.full((LANES, 1, COLUMNS), 0.1), torch.randn(ROWS, INPUTS, generator=generator)
    return Operands(
        State(weights, first, second, (), {}, torch.zeros(LANES, 2 + len(layout.names)), layout, is_flat),
        LaneCoefficients.stack([CONFIG] * LANES, layout.names, 0),
        Batches((x,), torch.randn(ROWS, 1, generator=generator), torch.ones(ROWS + 1)),
        Plan(
            torch.randint(0, ROWS, (LANES, 1, BATCH), generator=generator).int(), rates,
            torch.full((LANES, 1), -(1 << 30), dtype=torch.int32), torch.tensor([[[5]], [[7]]], dtype=torch.int32),
        ),
        torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip


def test_a_chain_of_layers_is_traced_by_autograd_and_steps_as_it_does_by_formula():
    wide = SMALL_NUMBERS // 4 + 1
    module = nn.Sequential(
        nn.Linear(INPUTS, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, wide), nn.Tanh(), nn.Linear(wide, 1)
    )
    program, features = program_for(module, ModuleUse(ranks=(2,))), Features(dropout=True, norms=True)
    plain, given = operands(program, is_flat=True), operands(program, is_flat=False)
    Step(program, FormulaLoss("regression"), features)(plain.state, plain.coefficients, plain.data, plain.plan, 0)
    step = traced(program, Signature("regression", 1, (("float32", (INPUTS,)),), "int32", features))
    assert [(block.start, block.stop) for block in program.layout.blocks] == [(0, 2), (2, 3), (3, 6)]
    assert step.is_functional
    step.module(*(given.tensors()[name] for name in step.names))
    after = torch.cat(given.state.parameters, dim=1)
    torch.testing.assert_close(after, plain.state.parameters[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(given.state.totals, plain.state.totals, rtol=1e-4, atol=1e-6)
    assert not torch.equal(after, torch.cat(operands(program, is_flat=False).state.parameters, dim=1))
