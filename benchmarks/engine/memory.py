"""Peak memory: 10,000 runs through 64 lanes, a million rows, and each shape; each in a process of its own (Linux).

Knows nothing of speed.
"""

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy

from benchmarks.engine.lanes import Lanes
from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms
from trimtab.machine import keep_freed_memory, lanes_in_threads
from trimtab.training.run import Request

Figures = TypeVar("Figures")
MIB = 2**20
TINY = Shape(1, 16, 1, 32, rows=256)
RUNS, FIRST_RUNS, LANES = 10_000, 500, 64
MOST_GROWTH = 0.05
LARGE = Shape(50, 64, 2, 256, rows=800_000)  # and 200,000 validation rows
LARGE_LANES, LARGE_SECONDS = 8, 20
TENSOR_SHARE, SPARE = 1.6, 200 * MIB
SECONDS_PER_SHAPE = 3


def page(shapes: list[Shape], terms: Terms) -> str:
    first, last, peak = _in_own_process(_many_runs, terms)
    growth = last / first - 1
    tensor, rise, steps = _in_own_process(_many_rows, terms)
    most = TENSOR_SHARE * tensor + SPARE
    text = [
        f"- {RUNS:,} runs through {LANES} lanes ({TINY.words}): {_mib(first)} after {FIRST_RUNS} runs, {_mib(last)} "
        f"at the end ({growth:+.1%}, at most {MOST_GROWTH:+.0%}: {verdict(growth <= MOST_GROWTH)}); peak {_mib(peak)}.",
        f"- {LARGE.rows * 5 // 4:,} rows x {LARGE.inputs} columns, {LARGE_LANES} lanes, {steps:,} lane-steps: the "
        f"tensor has {_mib(tensor)}, memory rose by {_mib(rise)} (at most 1.6 times that and 200 MiB, {_mib(most)}: "
        f"{verdict(rise <= most)}).",
        "",
    ]
    rows = [[shape.words, *_in_own_process(_one_shape, shape, terms)] for shape in shapes]
    head = ["d, width, layers, batch", "lanes", "after imports, MiB", "peak, MiB"]
    return "\n".join([*text, table(head, rows)])


def _in_own_process(measure: Callable[..., Figures], *arguments: object) -> Figures:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def _many_runs(terms: Terms) -> tuple[int, int, int]:
    """Bytes in memory after the first 500 runs and after all of them, and the most in between."""
    keep_freed_memory()
    lanes = Lanes(TINY, lanes=LANES, threads=terms.threads, compiling=terms.compiling)
    lengths = numpy.random.default_rng(0).integers(1, 7, RUNS).tolist()
    queue = deque(Request(i, TINY.config(epochs=n), fold=0, seed=i) for i, n in enumerate(lengths))
    population, engine, ended, first = lanes.population, lanes.engine, 0, 0
    with lanes_in_threads():
        while queue or population.lanes:
            engine.admit(population, [queue.popleft() for _ in range(min(population.free, len(queue)))])
            engine.advance(population)
            ended += len(engine.retire(population))
            if ended >= FIRST_RUNS and not first:
                first = _resident()
    return first, _resident(), _peak()


def _many_rows(terms: Terms) -> tuple[int, int, int]:
    """Bytes of the columns, by how many memory rose above the process after its first compile, and lane-steps made."""
    keep_freed_memory()
    options = {"lanes": LARGE_LANES, "threads": terms.threads, "compiling": terms.compiling}
    Lanes(replace(LARGE, rows=4_096), **options).pace(1)
    gc.collect()
    _forget_peak()
    before = _resident()
    lanes = Lanes(LARGE, **options)
    lanes.pace(LARGE_SECONDS / 4 if terms.is_quick else LARGE_SECONDS)
    columns = lanes.engine.data.inputs[0]
    return columns.numel() * columns.element_size(), _peak() - before, lanes.population.lane_steps


def _one_shape(shape: Shape, terms: Terms) -> tuple[int, int, int]:
    """Lanes, and MiB after imports and at most."""
    keep_freed_memory()
    before = _resident()
    own = terms.lanes if isinstance(terms.lanes, int) else None
    lanes = Lanes(shape, lanes=own, threads=terms.threads, compiling=terms.compiling)
    lanes.pace(SECONDS_PER_SHAPE)
    return lanes.population.capacity, before // MIB, _peak() // MIB


def _mib(size: int | float) -> str:
    return f"{size / MIB:,.0f} MiB"


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    """The most that was resident since the process began, or since `_forget_peak`."""
    return _status("VmHWM")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
