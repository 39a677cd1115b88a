"""One process's way to its first steps, told as JSON; its clock starts when torch has been imported.

    python -m benchmarks.engine.first_step INPUTS-WIDTH-LAYERS-BATCH COMPILING THREADS

`start` runs it. The other imports wait for the clock; it knows nothing of caches.
"""

import json
import sys
from math import nan
from time import perf_counter
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from benchmarks.engine.lanes import Lanes

SECONDS_OF_PACE, MOST_SECONDS = 2, 300


def main() -> None:
    asked = perf_counter()
    import torch  # noqa: F401 - the clock starts here

    imported = perf_counter()
    name, compiling, threads = sys.argv[1], cast(Literal["never", "wait", "beside"], sys.argv[2]), int(sys.argv[3])
    from benchmarks.engine.lanes import Lanes
    from benchmarks.engine.shapes import SHAPES
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
        "compiled": ended - imported if compiling == "wait" else nan,
        "everything": ended - imported,
        "pace": nan,
    }
    if compiling == "beside":
        figures |= _compiled_beside(lanes, imported)
    figures["pace"] = lanes.pace(SECONDS_OF_PACE)
    print(json.dumps(figures))


def _compiled_beside(lanes: "Lanes", imported: float) -> dict[str, float]:
    """Train on until the step that is compiled beside is there and has made its first round, and until nothing more is
    being compiled."""
    seconds = {}
    while "everything" not in seconds and perf_counter() - imported < MOST_SECONDS:
        is_busy = lanes.engine.compiler.is_busy()
        lanes.pace(0)
        if lanes.population.compiled_steps:
            seconds.setdefault("compiled", perf_counter() - imported)
        if not is_busy:
            seconds["everything"] = perf_counter() - imported
    return seconds


if __name__ == "__main__":
    main()
