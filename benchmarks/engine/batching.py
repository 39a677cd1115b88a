"""Continuous batching: 500 runs of very different length through few lanes, beside lanes that are always full.

Knows nothing of other ways to train.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy

from benchmarks.engine.lanes import Lanes, lanes_for
from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms
from trimtab.machine import lanes_in_threads
from trimtab.training.run import Request

RUNS, SHORTEST, LONGEST = 500, 2, 40
# Few enough lanes that the last runs, which leave places empty, are a small part of the whole; 500 runs of wider
# networks would take many minutes.
MOST_LANES, WIDEST = 32, 128
MOST_OVER_IDEAL, LEAST_UTILISATION = 1.15, 0.90
PACES_BEFORE_AND_AFTER = 3


@dataclass(frozen=True)
class Outcome:
    """`ideal` is what the same lane-steps take in lanes that are always full; both in seconds."""

    shape: Shape
    lanes: int
    lane_steps: int
    seconds: float
    ideal: float
    utilisation: float


def page(shapes: list[Shape], terms: Terms) -> str:
    chosen = [shape for shape in shapes if shape.width <= WIDEST][: 2 if terms.is_quick else None]
    outcomes = [_measured(shape, terms) for shape in chosen]
    head = ["d, width, layers, batch", "lanes", "lane-steps", "seconds", "ideal", "ratio", "at most 1.15",
            "utilisation", "at least 90 %"]  # fmt: skip
    rows = [
        [o.shape.words, o.lanes, o.lane_steps, o.seconds, o.ideal, f"{o.seconds / o.ideal:.3f}",
         verdict(o.seconds <= MOST_OVER_IDEAL * o.ideal), f"{o.utilisation:.1%}",
         verdict(o.utilisation >= LEAST_UTILISATION)]
        for o in outcomes
    ]  # fmt: skip
    return f"{RUNS} runs of {SHORTEST} to {LONGEST} epochs, in random order.\n\n{table(head, rows)}"


def _measured(shape: Shape, terms: Terms) -> Outcome:
    best = lanes_for(shape, terms)
    options = {"lanes": best and min(MOST_LANES, best), "threads": terms.threads, "compiling": terms.compiling}
    full, mixed = Lanes(shape, **options), Lanes(shape, **options)
    for lanes in (full, mixed):
        lanes.pace(0)
    mixed.engine.retire(mixed.population, "out of budget")
    paces = [full.pace(terms.seconds) for _ in range(PACES_BEFORE_AND_AFTER)]
    useful, everything = _steps(mixed)
    seconds = _train(mixed, _requests(shape))
    useful, everything = (after - before for after, before in zip(_steps(mixed), (useful, everything), strict=True))
    paces += [full.pace(terms.seconds) for _ in range(PACES_BEFORE_AND_AFTER)]
    capacity = mixed.population.capacity
    return Outcome(shape, capacity, round(useful), seconds, useful * median(paces) / 1e6, useful / everything)


def _requests(shape: Shape) -> deque[Request]:
    """Lengths spread evenly over their logarithm; patience watches each run and never ends it before its length. One
    seed, as all trials of a search have."""
    generator = numpy.random.default_rng(1)
    lengths = numpy.exp(generator.uniform(numpy.log(SHORTEST), numpy.log(LONGEST + 1), RUNS)).astype(int)
    rates = 10 ** generator.uniform(-4, -2, RUNS)
    return deque(
        Request(i, shape.config(learning_rate=float(rate), epochs=int(length), patience=LONGEST), fold=0, seed=0)
        for i, (length, rate) in enumerate(zip(lengths, rates, strict=True))
    )


def _train(lanes: Lanes, queue: deque[Request]) -> float:
    """Seconds until the last run has ended."""
    population, engine = lanes.population, lanes.engine
    with lanes_in_threads():
        started = perf_counter()
        while queue or population.lanes:
            engine.admit(population, [queue.popleft() for _ in range(min(population.free, len(queue)))])
            engine.advance(population)
            engine.retire(population)
        return perf_counter() - started


def _steps(lanes: Lanes) -> tuple[float, float]:
    """Useful lane-steps, and all of them."""
    useful = lanes.population.lane_steps
    return useful, useful / lanes.population.utilisation
