"""What it brings that a step which is not compiled is written down: rounds of a table's networks in turns with and
without it, and two populations side by side against one after the other.

    python -m benchmarks.engine.replays

Ratios of medians over alternating turns in one process; the numbers that come of both are the same to the bit, which is
checked.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from unittest import mock

import torch

from benchmarks.learn_portfolio import candidates, configured
from benchmarks.page import table as markdown
from trimtab.data import TARGETS, path
from trimtab.machine import cores, keep_freed_memory, lanes_in_threads
from trimtab.model.model import build
from trimtab.model.tensors import training_data
from trimtab.training.lanes import engine as engines
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.metrics import default_metric
from trimtab.training.run import Request
from trimtab.tune import look

# Of the candidates of the portfolio, the first of each of these structures.
STRUCTURES = {
    "piecewise, 2 x 128, batches of 64": 0, "periodic, 2 x 128, batches of 64": 7, "periodic, 2 x 64, of 32": 14,
    "piecewise, 3 x 128, of 32": 21, "piecewise, 3 x 256, of 64": 32,
}  # fmt: skip
# Before these rounds a step was written down, and more epochs than are trained lie before it.
WARM, ROUNDS, EPOCHS = 4, 10, 10_000


class Bench:
    """Populations of one table's networks, as a search has them."""

    def __init__(self, threads: int) -> None:
        self.prepared = look(path("concrete"), target=TARGETS["concrete"])
        self.data, self.threads = training_data(self.prepared, torch.device("cpu")), threads

    def engine(self) -> Engine:
        modules = Modules(lambda **network: build(self.prepared.encoder, self.prepared.target_encoder, network))
        return Engine(self.data, modules, Judging(default_metric(self.data.task)), threads=self.threads)

    def population(self, engine: Engine, structure: str, lanes: int) -> Population:
        config = replace(configured(self.prepared, candidates()[STRUCTURES[structure]]), epochs=EPOCHS)
        population = engine.population(Structure.of(config), lanes)
        folds = len(self.data.folds)
        engine.admit(population, [Request(place // folds, config, place % folds, place) for place in range(lanes)])
        return population


def seconds_of(engine: Engine, rounds: Sequence[Sequence[Population]]) -> float:
    started = time.perf_counter()
    for populations in rounds:
        engine.advance_together(populations)
    return time.perf_counter() - started


def one(bench: Bench, structure: str, lanes: int, turns: int) -> list[str]:
    """Microseconds of a lane-step as it stands and written down."""
    ways = []
    for worth in (10**9, 1):
        engine = bench.engine()
        ways.append((worth, engine, bench.population(engine, structure, lanes)))
    taken: dict[int, list[float]] = {10**9: [], 1: []}
    for turn in range(turns + 1):
        for worth, engine, population in ways:
            with mock.patch.object(engines, "STEPS_WORTH_WRITING", worth):
                seconds_of(engine, [[population]] * (WARM if turn == 0 else 0))
                before = population.lane_steps
                seconds = seconds_of(engine, [[population]] * ROUNDS)
            if turn:
                taken[worth].append(1e6 * seconds / (population.lane_steps - before))
    assert torch.equal(ways[0][2].parameters, ways[1][2].parameters), "not the same numbers"
    plain, replayed = (median(each) for each in taken.values())
    for _, engine, _ in ways:
        engine.close()
    return [structure, str(lanes), f"{plain:.0f}", f"{replayed:.0f}", f"{plain / replayed:.2f}"]


def two(bench: Bench, structures: tuple[str, str], turns: int) -> list[str]:
    """The same of two populations of five lanes, one after the other and side by side."""
    engine = bench.engine()
    populations = [bench.population(engine, structure, 5) for structure in structures]
    seconds_of(engine, [[each] for each in populations] * WARM)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for way, rounds in enumerate(([[each] for each in populations], [populations])):
            before = engine.lane_steps
            seconds = seconds_of(engine, rounds * ROUNDS)
            taken[way].append(1e6 * seconds / (engine.lane_steps - before))
    engine.close()
    after, beside = (median(each) for each in taken)
    return [" beside ".join(structures), f"{after:.0f}", f"{beside:.0f}", f"{after / beside:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="how often each way is measured")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of the engine")
    asked = parser.parse_args()
    keep_freed_memory()
    bench = Bench(asked.threads)
    with lanes_in_threads():
        rows = [one(bench, structure, lanes, asked.turns) for structure in STRUCTURES for lanes in (5, 20)]
        print(markdown(["networks", "lanes", "as it stands, us", "written down, us", "times"], rows))
        names = list(STRUCTURES)
        pairs = [(names[0], names[1]), (names[0], names[2])]
        rows = [two(bench, pair, asked.turns) for pair in pairs]
        print(markdown(["two populations of 5 lanes", "in turn, us", "side by side, us", "times"], rows))


if __name__ == "__main__":
    main()
