"""Widths: how many lanes a thread steps at once, so that what they work on stays in the processor's cache.

A rule, or the best of a few widths measured in the first rounds and remembered on disk. Knows sizes and seconds alone;
a lane's numbers hardly depend on its width, but their last bits may.
"""

import contextlib
import hashlib
import json
import statistics
import threading
from pathlib import Path

from trimtab.training.lanes.population import Population
from trimtab.whole_file import replacing

BYTES_IN_CACHE = 3e6
# A call costs tens of microseconds whatever it holds, and a round as much again: a step is to be far longer than that.
OPERATIONS_PER_CALL = 1.5e8
MOST = 512
_writing = threading.Lock()  # two studies of one process may have measured at once
FACTORS = (1, 2, 0.5, 4)
MEASURED_TIMES = 3


def lanes_at_once(population: Population) -> int:
    """A rule, so that the same study always works in the same order."""
    if population.data.device.type != "cpu":
        return population.capacity
    size, batch = (
        population.program.layout.size,
        max(population.batch_size(f) for f in range(len(population.data.folds))),
    )
    units = sum(shape[0] for shape in population.program.layout.shapes if len(shape) > 1)
    # Weights, two moments and a gradient; activations, what came before them and their gradient.
    in_use = 4 * (4 * size + 3 * units * batch)
    return int(min(MOST, max(BYTES_IN_CACHE // in_use, OPERATIONS_PER_CALL // (6 * size * batch + 1), 1)))


def threads_worth_it(population: Population, threads: int) -> int:
    """How many threads step the lanes in use while nothing is compiled, a rule too.

    Python's lock lets one of them at a time into the overhead of a call, so that two threads with little to compute
    take twice as long as one: each is to have at least half of the lanes that make a call worth its overhead.
    """
    return max(1, min(threads, -(-2 * len(population.lanes) // lanes_at_once(population))))


class WidthTuner:
    """Tries widths around the rule's in turn, one a round, and then stays with the quickest."""

    def __init__(self, population: Population, threads: int, *, remembered: "RememberedWidths", key: str) -> None:
        rule = lanes_at_once(population)
        most = max(1, population.capacity // threads)
        self.candidates = list(dict.fromkeys(int(min(most, max(1, rule * factor))) for factor in FACTORS))
        self.seconds: dict[int, list[float]] = {width: [] for width in self.candidates}
        self.remembered, self.key = remembered, key
        known = remembered.get(key)
        self.chosen = known if known is not None else (self.candidates[0] if len(self.candidates) == 1 else None)

    def width(self) -> int:
        """The width of the next round."""
        if self.chosen is not None:
            return self.chosen
        return min(self.candidates, key=lambda width: len(self.seconds[width]))

    def note(self, width: int, seconds_per_step: float) -> None:
        """A round of `width` took so long per lane-step."""
        if self.chosen is not None or width not in self.seconds:
            return
        self.seconds[width].append(seconds_per_step)
        if all(len(times) >= MEASURED_TIMES for times in self.seconds.values()):
            self.chosen = min(self.candidates, key=lambda candidate: statistics.median(self.seconds[candidate]))
            self.remembered.put(self.key, self.chosen)


class RememberedWidths:
    """The widths that were quickest on this machine, in a JSON file; one that cannot be read or written is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> int | None:
        width = self._read().get(_short(key))
        return width if isinstance(width, int) and 1 <= width <= MOST else None

    def put(self, key: str, width: int) -> None:
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _writing, replacing(self.path, is_shared=True) as part:
                part.write_text(json.dumps({**self._read(), _short(key): width}))

    def _read(self) -> dict:
        try:
            known = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]
