"""One process's way to its first steps, told as JSON; its clock starts when torch has been imported.

    python benchmarks/engine_first_step.py INPUTS-WIDTH-LAYERS-BATCH COMPILING THREADS

`engine_start` runs it. The other imports wait for the clock; it knows nothing of caches.
"""

import json
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from engine_lanes import Lanes

SECONDS_OF_PACE, MOST_SECONDS = 2, 300


def main() -> None:
    asked = perf_counter()
    import torch  # noqa: F401 - the clock starts here

    imported = perf_counter()
    name, compiling, threads = sys.argv[1], cast(Literal["never", "wait", "beside"], sys.argv[2]), int(sys.argv[3])
    from engine_lanes import Lanes
    from engine_shapes import SHAPES
    from trimtab.machine import keep_freed_memory

    keep_freed_memory()
    shape = next(shape for shape in SHAPES if shape.name == name)
    lanes = Lanes(shape, lanes=shape.lanes[0], threads=threads, compiling=compiling)
    opened = perf_counter()
    asks: list[float] = []

    def should_stop() -> bool:
        asks.append(perf_counter())
        return False

    lanes.engine.should_stop = should_stop
    lanes.pace(0)
    ended = perf_counter()
    per_thread = min(threads, shape.lanes[0])
    # Each thread asks before each of its steps: once all have asked and one asks again, a step lies behind it.
    first_step = asks[per_thread] if len(asks) > per_thread else ended
    figures = {
        "torch": imported - asked,
        "opened": opened - imported,
        "first_step": first_step - imported,
        "first_round": ended - imported,
        "compiled": _compiled(lanes, imported) if compiling == "beside" else ended - imported,
        "pace": lanes.pace(SECONDS_OF_PACE),
    }
    print(json.dumps(figures))


def _compiled(lanes: "Lanes", imported: float) -> float:
    """Train on until the step that is compiled beside is there, and has made its first round."""
    while lanes.engine.compiler.is_busy() and perf_counter() - imported < MOST_SECONDS:
        lanes.pace(0)
    lanes.pace(0)
    return perf_counter() - imported


if __name__ == "__main__":
    main()
