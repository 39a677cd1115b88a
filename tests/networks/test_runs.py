"""Runs: how recipes are trained, from what they hold."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trimtab.networks.runs import _repays_compiling
from trimtab.training.config import Config
from trimtab.training.lanes.population import Structure
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.program import ModuleUse
from trimtab.training.programs.vmap_program import VmapProgram
from trimtab.training.run import Request

MODULE = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
CHAIN, MAPPED = program_for(MODULE, ModuleUse(ranks=(2,))), VmapProgram(MODULE)


@pytest.mark.parametrize(
    ("program", "rows", "pays"),
    [(CHAIN, 800, False), (CHAIN, 16_000, False), (CHAIN, 20_000, True), (MAPPED, 800, False), (MAPPED, 20_000, True)],
)
def test_a_sweep_of_many_rows_repays_compiling_its_step(program, rows, pays):
    config = Config(batch_size=32, epochs=50)
    data = SimpleNamespace(folds=[SimpleNamespace(train=torch.empty(rows))])
    engine = SimpleNamespace(data=data, program=lambda network: program)
    requests = [Request(i, config, 0, seed=i) for i in range(72)]
    assert _repays_compiling(engine, Structure.of(config), requests) == pays  # type: ignore[arg-type]
