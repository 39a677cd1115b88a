"""Forty networks of different width, depth and activation in one process: whether each of them runs compiled.

Everything is compiled anew, into an empty cache folder: ten minutes and more. Knows nothing of speed beyond that.
"""

import os
import sys
import tempfile
from dataclasses import replace
from itertools import product
from statistics import median
from time import perf_counter

from benchmarks.engine.lanes import Lanes
from benchmarks.engine.shapes import SHAPES, Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms
from trimtab.machine import lanes_in_threads
from trimtab.training.compiling.libraries import CACHE_VARIABLE
from trimtab.training.config import Config
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.run import Request

WIDTHS, DEPTHS, ACTIVATIONS = (8, 16, 24, 32, 48), (1, 2, 3, 4), ("relu", "tanh")
OF_QUICK = 4
LANES, EPOCHS = 4, 2


def page(shapes: list[Shape], terms: Terms) -> str:
    structures = list(product(WIDTHS, DEPTHS, ACTIVATIONS))[: OF_QUICK if terms.is_quick else None]
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            engine = Lanes(SHAPES[1], lanes=LANES, threads=terms.threads).engine
        finally:
            os.environ.pop(CACHE_VARIABLE)
            if before is not None:
                os.environ[CACHE_VARIABLE] = before
        started, seconds, compiled = perf_counter(), [], 0
        for width, depth, activation in structures:
            began = perf_counter()
            config = _config(width, depth, activation)
            with lanes_in_threads():
                population = engine.population(Structure.of(config), LANES)
                engine.admit(population, [Request(i, config, fold=0, seed=i) for i in range(LANES)])
                while population.lanes:
                    engine.advance(population)
                    engine.retire(population)
            seconds.append(perf_counter() - began)
            compiled += _ran_compiled(population)
            print(f"{len(seconds)} structures, {compiled} compiled", file=sys.stderr, flush=True)
    spent = perf_counter() - started
    head = ["structures", "ran compiled from the first step to the last", "all", "seconds", "each (median)"]
    row = [len(structures), compiled, verdict(compiled == len(structures)), spent, median(seconds)]
    return table(head, [row])


def _config(width: int, depth: int, activation: str) -> Config:
    network = (("activation", activation), ("depth", depth), ("inputs", "scaled"), ("width", width))
    return replace(SHAPES[1].config(epochs=EPOCHS), network=network)


def _ran_compiled(population: Population) -> bool:
    return 0 < population.lane_steps == population.compiled_steps
