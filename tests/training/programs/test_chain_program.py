"""Chains of layers for all lanes at once: the same numbers as the module gives through vmap."""

import pytest
import torch
from torch import nn

from trimtab.training.programs.chain_program import ChainProgram
from trimtab.training.programs.lane_layers import ELEMENTWISE
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.program import Masks, ModuleUse, outputs_of
from trimtab.training.programs.step import backward
from trimtab.training.programs.vmap_program import VmapProgram

LANES, BATCH, COLUMNS = 3, 8, 4
USE = ModuleUse(ranks=(2,))


def shared():
    """One activation and one dropout layer in two places each."""
    activation, dropout = nn.Tanh(), nn.Dropout(0.4)
    return nn.Sequential(nn.Linear(COLUMNS, 6), activation, dropout, nn.Linear(6, 6), activation, dropout,
                         nn.Linear(6, 2))  # fmt: skip


def nested():
    return nn.Sequential(nn.Sequential(nn.Linear(COLUMNS, 6, bias=False), nn.ReLU()), nn.Sequential(nn.Linear(6, 1)))


CHAINS = {
    "linear": lambda: nn.Sequential(nn.Linear(COLUMNS, 2)),
    "two hidden layers": lambda: nn.Sequential(
        nn.Linear(COLUMNS, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 1)
    ),
    "shared layers": shared,
    "nested": nested,
    "begins and ends otherwise": lambda: nn.Sequential(
        nn.Dropout(0.1), nn.ReLU(), nn.Linear(COLUMNS, 6), nn.Dropout(0.3), nn.ReLU(), nn.ReLU(), nn.Linear(6, 2),
        nn.ReLU(),
    ),
    "ends in dropout": lambda: nn.Sequential(nn.Linear(COLUMNS, 2), nn.Sigmoid(), nn.Dropout(0.1)),
}  # fmt: skip


def results_of(program, flat, x, target, masks):
    """Outputs in evaluation mode, activities, and each lane's loss and gradient."""

    def loss_of(outputs):
        error = outputs - target
        return error.square().mean((1, 2)), 2 * error / error[0].numel()

    if isinstance(program, ChainProgram):
        loss, pieces = program.derived(program.layout.views(flat), (x,), masks, loss_of)
    else:
        leaves = {name: view.detach().requires_grad_() for name, view in program.layout.views(flat).items()}
        loss, pieces = backward(program.forward(leaves, (x,), masks, {}), leaves, loss_of, program.layout)
    _, activities = program.watched(program.layout.views(flat), (x,), {})
    parts = [part for each in activities for part in (each.low, each.high, each.flat)]
    return [outputs_of(program, flat, (x,)), loss, torch.cat(pieces, dim=1), *parts]


def example(module, program, *, rate=0.0):
    """Weights, inputs, targets and masks of all lanes."""
    generator = torch.Generator().manual_seed(1)
    dtype = program.layout.dtype
    flat = torch.randn(LANES, program.layout.size, generator=generator).to(dtype)
    x = torch.randn(LANES, BATCH, COLUMNS, generator=generator).to(dtype)
    outputs = module(x[0]).shape[1]
    target = torch.randn(LANES, BATCH, outputs, generator=generator).to(dtype)
    rates = torch.full((LANES,), rate) * torch.arange(LANES) / LANES
    return flat, x, target, Masks.of(rates, torch.arange(LANES) + 5, torch.arange(LANES), layers=program.dropouts)


def assert_same(module, use=USE, *, rate=0.0):
    chain, reference = program_for(module, use), VmapProgram(module, use)
    assert isinstance(chain, ChainProgram)
    assert (chain.activations, chain.dropouts, chain.layout) == (
        reference.activations, reference.dropouts, reference.layout,
    )  # fmt: skip
    given = example(module, chain, rate=rate)
    expected = results_of(reference, *given)
    for _ in range(2):  # the second time in the memory of the first
        for ours, theirs in zip(results_of(chain, *given), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_chain_of_layers_is_the_mapped_module(name, rate):
    assert_same(CHAINS[name](), rate=rate)


@pytest.mark.parametrize("name", ["two hidden layers", "shared layers", "ends in dropout"])
def test_dropout_keeps_rates_of_its_own(name):
    assert_same(CHAINS[name](), ModuleUse(ranks=(2,), own_dropout=True))


@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_every_activation_has_the_derivative_of_the_mapped_module(activation):
    assert_same(nn.Sequential(nn.Linear(COLUMNS, 6), activation(), nn.Linear(6, 1)))


def test_numbers_of_64_bits_stay_such():
    assert_same(CHAINS["two hidden layers"]().double())


def test_outputs_are_not_written_over_by_the_next_ones():
    for make in CHAINS.values():
        program = program_for(make(), USE)
        flat, x, *_ = example(make(), program)
        outputs = outputs_of(program, flat, (x,))
        before = outputs.clone()
        outputs_of(program, flat, (x + 1,))
        assert torch.equal(outputs, before)


def test_other_numbers_of_lanes_and_rows_follow_one_another():
    module = CHAINS["two hidden layers"]()
    program = program_for(module, USE)
    flat, x, target, masks = example(module, program)
    whole = results_of(program, flat, x, target, masks)[2]
    one = torch.ones(1, dtype=torch.int64)
    results_of(program, flat[:1], x[:1, :3], target[:1, :3], Masks.of(torch.zeros(1), one, one, layers=1))
    assert torch.equal(results_of(program, flat, x, target, masks)[2], whole)


def test_a_lane_of_nan_changes_no_bit_of_its_neighbours():
    module = CHAINS["two hidden layers"]()
    program = program_for(module, USE)
    flat, x, target, masks = example(module, program, rate=0.5)
    clean = results_of(program, flat, x, target, masks)[2].clone()
    flat[1] = float("nan")
    dirty = results_of(program, flat, x, target, masks)[2]
    assert torch.equal(clean[[0, 2]], dirty[[0, 2]])


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    module = CHAINS["two hidden layers"]()
    module[1].register_forward_hook(lambda layer, inputs, output: output.abs())
    return module


def replaced():
    module = CHAINS["two hidden layers"]()
    module[1].forward = torch.abs
    return module


def frozen():
    module = CHAINS["two hidden layers"]()
    module[0].weight.requires_grad_(False)
    return module


def tied():
    layer = nn.Linear(COLUMNS, COLUMNS)
    return nn.Sequential(layer, nn.ReLU(), layer)


def with_a_parameter_of_its_own():
    module = CHAINS["linear"]()
    module.register_parameter("scale", nn.Parameter(torch.ones(1)))
    return module


@pytest.mark.parametrize(
    "make",
    [
        hooked, replaced, frozen, tied, with_a_parameter_of_its_own,
        lambda: nn.Sequential(Doubled(COLUMNS, 1)),
        lambda: nn.Sequential(nn.Linear(COLUMNS, 6), nn.BatchNorm1d(6), nn.Linear(6, 1)),
        lambda: nn.Sequential(nn.Linear(COLUMNS, 6), nn.PReLU(), nn.Linear(6, 1)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(COLUMNS, 1)),
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(COLUMNS, 1))),
        lambda: nn.Sequential(nn.Linear(COLUMNS, 1).to(torch.bfloat16)),
        lambda: nn.Sequential(nn.ReLU()),
    ],
)  # fmt: skip
def test_what_may_do_more_than_its_layers_say_takes_the_way_through_vmap(make):
    assert isinstance(program_for(make(), USE), VmapProgram)


@pytest.mark.parametrize("use", [None, ModuleUse(), ModuleUse(ranks=(3,)), ModuleUse(names=("input",), ranks=(2,))])
def test_other_inputs_than_a_table_take_the_way_through_vmap(use):
    assert isinstance(program_for(CHAINS["linear"](), use), VmapProgram)


def test_what_is_compiled_for_a_chain_serves_every_chain_of_the_same_layers():
    def key(module, **use):
        return program_for(module, ModuleUse(ranks=(2,), **use)).key

    def leaky(slope=0.01):
        return nn.Sequential(nn.Linear(COLUMNS, 6), nn.LeakyReLU(slope), nn.Dropout(0.2), nn.Linear(6, 1))

    named = nn.Sequential()
    for name, layer in zip(("enter", "bend", "drop", "last"), leaky(), strict=True):
        named.add_module(name, layer)
    assert key(leaky()) == key(named)
    others = [leaky(0.1), nn.Sequential(*leaky(), nn.Linear(1, 1)), nn.Sequential(*leaky(), leaky()[2])]
    kinds = [key(leaky()), key(leaky(), own_dropout=True), *map(key, others)]
    assert len(set(kinds)) == len(kinds)
    once = leaky()
    assert key(nn.Sequential(*once, once[2])) != key(others[-1])  # one layer called twice is another mask than two
