"""Do products in bfloat16 cost score? The same runs in float32 and in bfloat16 on real tables, every step compiled.

    python -m benchmarks.quality.precision --names california,power_plant,diamonds

Twelve configs of a wide network with two seeds each: by how much a run's validation error is worse in bfloat16, and how
far its two seeds are apart in float32. Prints Markdown as it stands in RESULTS.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy
import torch

from benchmarks.page import machine, table
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.knobs.knob import Task
from trimtab.machine import cores, keep_freed_memory, lanes_in_threads
from trimtab.model.model import build
from trimtab.model.tensors import training_data
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import TrainingData
from trimtab.training.lanes.compilation import Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.precision import Precision, Products
from trimtab.training.metrics import metric_for
from trimtab.training.programs.step import Features
from trimtab.training.run import Request

CONFIGS, SEEDS, MOST_ROWS, DEPTH, BATCH = 12, (0, 1), 6_000, 3, 256
PRODUCTS: tuple[Products, ...] = ("high", "medium")


def main() -> None:
    options = _arguments()
    keep_freed_memory()
    print(machine(options.threads), flush=True)
    head = [
        "table",
        "lost, median",
        "mean",
        "least",
        "most",
        "seeds apart, median",
        "us per lane-step, float32",
        "bf16",
    ]
    rows = [_row(each, options) for each in read_tables(options.data, options.names)]
    print(f"\n{table(head, rows)}")


def _row(each: Table, options: argparse.Namespace) -> list[str | float | int]:
    prepared = prepare(each.split(0)[0][:MOST_ROWS], target=each.target, split="random", seed=0, test="none")
    data = training_data(prepared, torch.device("cpu"))
    data = replace(data, folds=data.folds[:1])
    errors: dict[tuple[str, int], numpy.ndarray] = {}
    paces: dict[str, float] = {}
    for seed in SEEDS:
        for products in PRODUCTS:
            errors[products, seed], pace = _trained(prepared, data, products, seed, options)
            paces[products] = min(pace, paces.get(products, pace))
    lost = numpy.concatenate([errors["medium", seed] / errors["high", seed] - 1 for seed in SEEDS])
    apart = numpy.abs(errors["high", 1] / errors["high", 0] - 1)
    figures = [numpy.median(lost), lost.mean(), lost.min(), lost.max(), numpy.median(apart)]
    return [each.name, *(f"{figure:.2%}" for figure in figures), *(f"{paces[each]:.0f}" for each in PRODUCTS)]


def _trained(
    prepared: Prepared, data: TrainingData, products: Products, seed: int, options: argparse.Namespace
) -> tuple[numpy.ndarray, float]:
    """Each run's best validation error, and microseconds per lane-step from the second round on."""
    engine = Engine(
        data,
        Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network)),
        Judging(metric_for(None, data.task, data.outputs)),
        threads=options.threads,
        compilation=Compilation("wait", always=Features(dropout=True)),
        precision=Precision(products),
    )
    configs, records = _configs(data.task, options), []
    with lanes_in_threads():
        population = engine.population(Structure.of(configs[0]), len(configs))
        engine.admit(population, [Request(number, config, 0, seed) for number, config in enumerate(configs)])
        engine.advance(population)
        before, started = population.lane_steps, perf_counter()
        while population.lanes:
            records += engine.retire(population)
            if population.lanes:
                engine.advance(population)
        pace = (perf_counter() - started) / max(1, population.lane_steps - before) * 1e6
    engine.close()
    return numpy.array([record.error for record in sorted(records, key=lambda record: record.request.trial)]), pace


def _configs(task: Task, options: argparse.Namespace) -> list[Config]:
    """The same ones at every call."""
    generator = numpy.random.default_rng(0)
    network = (("activation", "silu"), ("depth", DEPTH), ("inputs", "scaled"), ("width", options.width))
    return [
        Config(
            network=network,
            loss=Loss("mse" if task == "regression" else "cross_entropy"),
            optimizer=Optimizer(
                str(generator.choice(["adam", "adamw", "lion", "nesterov"])),
                learning_rate=float(10 ** generator.uniform(-3.5, -2)),
                weight_decay=float(10 ** generator.uniform(-5, -1)),
            ),
            schedule=Schedule("cosine"),
            stopping=Stopping("none"),
            batch_size=BATCH,
            epochs=options.epochs,
            dropout=float(generator.choice([0, 0.1, 0.2])),
        )
        for _ in range(CONFIGS)
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=lambda text: text.split(","), default=["california", "power_plant", "diamonds"])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--data", type=Path, default=SHARED)
    return parser.parse_args()


if __name__ == "__main__":
    main()
