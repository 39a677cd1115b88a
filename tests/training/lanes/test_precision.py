"""Precision: bfloat16 where it gains, and the process as it was."""

import torch

from training.lanes.test_engine import config, engine_for, regression_data, train
from trimtab.training.compiling.compiled import CompiledStep
from trimtab.training.compiling.libraries import Compiled
from trimtab.training.lanes import precision
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.precision import Precision
from trimtab.training.programs.step import Features
from trimtab.training.run import Request


def test_products_in_bfloat16_are_counted_and_leave_the_process_as_it_was():
    data, requests = regression_data(), [Request(k, config(epochs=4), k, 0) for k in range(3)]
    engine = engine_for(data, precision=Precision("medium"))
    train(engine, requests)
    population = engine.populations[Structure.of(requests[0].config)]
    assert population.bfloat16_steps == population.lane_steps == engine.lane_steps > 0
    assert torch.get_float32_matmul_precision() == "highest"


def test_bfloat16_is_chosen_where_a_compiled_step_gains_from_it(monkeypatch):
    population = engine_for(regression_data()).population(Structure.of(config()), 3)
    auto, step = Precision("auto"), Compiled(CompiledStep.__new__(CompiledStep), (), (), Features())
    for gains, compiled, chosen in ((True, step, "medium"), (True, None, "high"), (False, step, "high")):
        monkeypatch.setattr(precision, "gains_from_bfloat16", lambda population, gains=gains: gains)
        population.compiled = compiled
        assert auto.of(population) == chosen
        assert Precision("high").of(population) == "high"
