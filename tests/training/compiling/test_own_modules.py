"""Compiled steps of modules of one's own: in this process or another, for whatever sizes vmap takes them with."""

import logging
import time
from dataclasses import replace

import pytest
from torch import nn

from training.compiling.test_compiled import (
    assert_same_curves,
    is_compiled,
    requests_of,
    steps_on_disk,
)
from training.lanes.test_engine import config, engine_for, regression_data, train
from trimtab.training.compiling import compiler
from trimtab.training.config import Config, Optimizer, Schedule, Stopping
from trimtab.training.lanes.population import Structure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # what compiles shares the cores with the other tests
    pytest.mark.usefixtures(steps_on_disk.__name__),
    pytest.mark.skipif(not compiler.can_compile(), reason="there is no C++ compiler"),
]
STEEPNESS = 1.5


def normed():
    """A module of a class that only this process knows, with a number that lies beside it."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1)
            )

        def forward(self, x, codes):
            return STEEPNESS * self.layers(x)

    return Normed()


class Convolved(nn.Module):
    """What vmap takes with a number of lanes that it knows alone."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(9, 1)
        )  # fmt: skip

    def forward(self, x, codes):
        return self.layers(x)


def own_runs():
    """Runs of a module of one's own."""
    return [
        Config(network=(), optimizer=Optimizer("adam", learning_rate=0.01 / (k + 1)), epochs=20, batch_size=16,
               schedule=Schedule("constant"), stopping=Stopping("none"), dropout=0.1 * k)
        for k in range(3)
    ]  # fmt: skip


def test_a_module_that_only_this_process_knows_is_compiled_in_a_process_of_its_own():
    data, records = regression_data(), []
    for compiling in ("never", "beside"):
        engine = engine_for(data, normed, compiling=compiling)
        if compiling == "beside":
            population = engine.population(Structure.of(own_runs()[0]), 3)
            engine.admit(population, requests_of(own_runs()))
            engine.advance(population)
            assert engine.compiler.is_busy()
            while engine.compiler.is_busy():
                time.sleep(0.1)
            engine.retire(population, "that one round was for the compiler")
        records.append(train(engine, requests_of(own_runs()), lanes=3))
    assert is_compiled(engine)
    assert_same_curves(*records)
    engine.close()


def test_a_module_that_vmap_takes_with_known_sizes_alone_is_compiled_for_those_of_each_thread():
    data, records = regression_data(), []
    for compiling in ("never", "wait"):
        engine = engine_for(data, Convolved, compiling=compiling, threads=2)
        records.append(train(engine, requests_of(own_runs()), lanes=3))
    assert is_compiled(engine)
    assert_same_curves(*records)


def test_a_module_that_cannot_be_traced_runs_uncompiled_and_says_why(caplog):
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x, codes):
            return self.layer(x) * (2.0 if x.sum().item() > 1e9 else 1.0)

    caplog.set_level(logging.WARNING)
    engine = engine_for(regression_data(), Asking, compiling="wait")
    run = replace(config(epochs=2), network=())
    assert len(train(engine, requests_of([run] * 3), lanes=3)) == 3
    assert "runs as it is" in caplog.text
