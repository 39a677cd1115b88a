"""Lanes: an endless queue of runs of one shape through the engine, by the path that `tt.tune` takes.

Early stopping, refilling, evaluation and signals are on; what counts is time per useful lane-step. Knows no loops.
"""

from functools import lru_cache
from time import perf_counter

import numpy

from benchmarks.engine.shapes import EPOCHS, Shape
from benchmarks.turns import Terms, finished
from trimtab.machine import lanes_in_threads
from trimtab.training.lanes.compilation import Compilation, How
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.precision import Precision, Products
from trimtab.training.lanes.signals import Signals
from trimtab.training.metrics import METRICS
from trimtab.training.run import Request, RunRecord


class Lanes:
    """One population of `shape`, kept full.

    The runs of the first generation are of every length up to that of the others, so that from the first round on
    lanes fall free as steadily as they do later.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        lanes: int | None,
        threads: int,
        precision: Products = "high",
        compiling: How = "wait",
        keeps_signals: bool = True,
        device: str = "cpu",
    ) -> None:
        self.shape, self.device = shape, device
        self.engine = Engine(
            shape.training_data(device),
            Modules(shape.module),
            Judging(METRICS["rmse"]),
            threads=threads,
            compilation=Compilation(compiling),
            precision=Precision(precision),
            signals=Signals(only_losses=not keeps_signals),
        )
        with lanes_in_threads():
            self.population = self.engine.population(Structure.of(shape.config()), lanes)
        self.generator = numpy.random.default_rng(0)
        self.admitted = 0

    def pace(self, seconds: float) -> float:
        """Microseconds per useful lane-step over whole rounds that take `seconds`, but at least one round."""
        with lanes_in_threads():
            before, started = self.population.lane_steps, perf_counter()
            spent = 0.0
            while self.population.lane_steps == before or spent < seconds:
                self.round()
                spent = perf_counter() - started
            finished(self.device)
            spent = perf_counter() - started
        return spent / (self.population.lane_steps - before) * 1e6

    def round(self) -> list[RunRecord]:
        """Admit, step, evaluate, retire."""
        self.engine.admit(self.population, [self._next() for _ in range(self.population.free)])
        self.engine.advance(self.population)
        return self.engine.retire(self.population)

    def _next(self) -> Request:
        number, capacity = self.admitted, self.population.capacity
        epochs = 1 + number * EPOCHS // capacity if number < capacity else EPOCHS
        learning_rate = 10 ** self.generator.uniform(-4, -2)
        self.admitted += 1
        # One seed, as all trials of a search have: they see the rows in the same order.
        return Request(number, self.shape.config(learning_rate=learning_rate, epochs=epochs), fold=0, seed=0)


@lru_cache(maxsize=64)
def lanes_for(shape: Shape, terms: Terms, precision: Products = "high") -> int | None:
    """How many lanes a population of `shape` is given: as asked, or those that measure fastest in the first seconds."""
    if terms.lanes == "own":
        return None
    if isinstance(terms.lanes, int):
        return terms.lanes
    if len(shape.lanes) == 1:
        return shape.lanes[0]
    paces = {}
    for lanes in reversed(shape.lanes):
        tried = Lanes(
            shape, lanes=lanes, threads=terms.threads, precision=precision, compiling=terms.compiling,
            device=terms.device,
        )  # fmt: skip
        tried.pace(0)
        paces[lanes] = tried.pace(terms.seconds / 2)
    return min(paces, key=paces.__getitem__, default=None)


def lanes_of(shape: Shape, terms: Terms, *, precision: Products = "high", keeps_signals: bool = True) -> Lanes:
    """Lanes as `terms` want them."""
    return Lanes(
        shape,
        lanes=lanes_for(shape, terms, precision),
        threads=terms.threads,
        precision=precision,
        compiling=terms.compiling,
        keeps_signals=keeps_signals,
        device=terms.device,
    )
