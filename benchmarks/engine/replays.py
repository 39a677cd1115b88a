"""What it brings that a step which is not compiled is written down: rounds of a table's networks with and without it,
and two populations side by side against one after the other.

All signals are recorded, as in a search. The numbers that come of both ways are the same to the bit, which is checked.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from benchmarks.engine.shapes import Shape
from benchmarks.learn_portfolio import candidates, configured
from benchmarks.page import table
from benchmarks.quality.networks import engine_for
from benchmarks.turns import Terms, in_turns
from trimtab.data import TARGETS, path
from trimtab.machine import lanes_in_threads
from trimtab.model.tensors import training_data
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.lanes.signals import ALL_SIGNALS
from trimtab.training.run import Request
from trimtab.tune import look

# Of the candidates of the portfolio, the first of each of these structures.
STRUCTURES = {
    "piecewise, 2 x 128, batches of 64": 0, "periodic, 2 x 128, batches of 64": 7, "periodic, 2 x 64, of 32": 14,
    "piecewise, 3 x 128, of 32": 21, "piecewise, 3 x 256, of 64": 32,
}  # fmt: skip
PAIRS = (
    ("piecewise, 2 x 128, batches of 64", "periodic, 2 x 128, batches of 64"),
    ("piecewise, 2 x 128, batches of 64", "periodic, 2 x 64, of 32"),
)
# Rounds after which both ways are compared, and their steps written down; nobody trains as many epochs.
CHECKED, EPOCHS = 6, 100_000
FOLDS = 5


class Bench:
    """Populations of one table's networks, as a search has them."""

    def __init__(self, threads: int) -> None:
        self.prepared, self.threads = look(path("concrete"), target=TARGETS["concrete"]), threads
        self.data = training_data(self.prepared, torch.device("cpu"))

    def engine(self) -> Engine:
        return engine_for(self.prepared, self.data, signals=ALL_SIGNALS, threads=self.threads)

    def population(self, engine: Engine, structure: str, lanes: int) -> Population:
        config = replace(configured(self.prepared, candidates()[STRUCTURES[structure]]), epochs=EPOCHS)
        population = engine.population(Structure.of(config), lanes)
        engine.admit(population, [Request(place // FOLDS, config, place % FOLDS, place) for place in range(lanes)])
        return population


def page(_shapes: list[Shape], terms: Terms) -> str:
    bench = Bench(terms.threads)
    with lanes_in_threads():
        ways = [_ways(bench, structure, lanes, terms) for structure in STRUCTURES for lanes in (FOLDS, 4 * FOLDS)]
        pairs = [_pair(bench, pair, terms) for pair in PAIRS]
    head = ["networks", "lanes", "as it stands, us", "written down, us", "times"]
    of_pairs = [f"two populations of {FOLDS} lanes", "in turn, us", "side by side, us", "times"]
    return f"{table(head, ways)}\n\n{table(of_pairs, pairs)}"


def _ways(bench: Bench, structure: str, lanes: int, terms: Terms) -> list[str | float]:
    engines = [bench.engine() for _ in range(2)]
    populations = [bench.population(engine, structure, lanes) for engine in engines]
    populations[0].replays = None
    for engine, population in zip(engines, populations, strict=True):
        _rounds(engine, [[population]] * CHECKED)
    assert torch.equal(populations[0].parameters, populations[1].parameters), "not the same numbers"
    plain, written = (_pace(engine, [[each]]) for engine, each in zip(engines, populations, strict=True))
    taken = in_turns({"as it stands": plain, "written down": written}, terms)
    for engine in engines:
        engine.close()
    return [structure, str(lanes), *taken.values(), taken["as it stands"] / taken["written down"]]


def _pair(bench: Bench, structures: tuple[str, str], terms: Terms) -> list[str | float]:
    engine = bench.engine()
    populations = [bench.population(engine, structure, FOLDS) for structure in structures]
    after = [[each] for each in populations]
    _rounds(engine, after * CHECKED)
    taken = in_turns({"in turn": _pace(engine, after), "side by side": _pace(engine, [populations])}, terms)
    engine.close()
    return [" beside ".join(structures), *taken.values(), taken["in turn"] / taken["side by side"]]


def _pace(engine: Engine, rounds: Sequence[Sequence[Population]]) -> Callable[[float], float]:
    """Microseconds of a lane-step in whole rounds of at least so many seconds."""

    def pace(seconds: float) -> float:
        began, before = time.perf_counter(), engine.lane_steps
        _rounds(engine, rounds)
        while time.perf_counter() - began < seconds:
            _rounds(engine, rounds)
        return 1e6 * (time.perf_counter() - began) / (engine.lane_steps - before)

    return pace


def _rounds(engine: Engine, rounds: Sequence[Sequence[Population]]) -> None:
    for populations in rounds:
        engine.advance_together(populations)
