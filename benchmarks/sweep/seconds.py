"""How long a sweep of learning rates takes, beside the plain loop that makes the same runs one after the other.

Both in turns: a new process with nothing compiled on disk, another with what the first left there, and the loop. Knows
nothing of how good the rates are.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from os import getloadavg
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from benchmarks.page import table, verdict
from benchmarks.sweep.loop import Loop
from benchmarks.sweep.once import BATCH, KEPT, ROWS, rows
from benchmarks.sweep.terms import SEEDS, Terms
from benchmarks.turns import torch_set_to

SCRIPT, REPOSITORY = "benchmarks.sweep.once", Path(__file__).parents[2]
CACHES = ("TRIMTAB_CACHE", "TORCHINDUCTOR_CACHE_DIR")
LOOPED = 4  # runs that the loop makes; its time is multiplied
MOST_SECONDS = 10.0
Figures = dict[str, Any]


@dataclass(frozen=True)
class Looped:
    """What the loop needs for all runs, from a few spread over the rates, and those runs' best validation losses."""

    seconds: float
    computing: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Turn:
    """One turn: what a process took with an empty cache folder, another with that folder, and the loop by threads.

    `is_compiled` says whether the first process compiled anything.
    """

    empty: Figures
    filled: Figures
    loops: dict[int, Looped]
    is_compiled: bool
    load: float


@dataclass(frozen=True)
class Times:
    """All turns, for so many runs."""

    runs: int
    turns: tuple[Turn, ...]

    def process(self, which: str, figure: str) -> list[float]:
        return [getattr(turn, which)[figure] for turn in self.turns]

    @property
    def threads(self) -> int:
        """The loop's better number of threads."""
        return min(self.turns[0].loops, key=lambda n: median(turn.loops[n].seconds for turn in self.turns))

    @property
    def loops(self) -> list[Looped]:
        return [turn.loops[self.threads] for turn in self.turns]

    def to_json(self) -> dict:
        return {"runs": self.runs, "looped": LOOPED, "turns": [asdict(turn) for turn in self.turns]}


def times_of(terms: Terms) -> Times:
    return Times(len(terms.rates) * SEEDS, tuple(_turn(terms) for _ in range(terms.turns)))


def _turn(terms: Terms) -> Turn:
    load = getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        empty = _swept(terms, folder)
        is_compiled = any(Path(folder).iterdir())
        filled = _swept(terms, folder)
    return Turn(empty, filled, {n: _looped(terms, n) for n in sorted({1, terms.threads})}, is_compiled, load)


def _places(terms: Terms) -> list[int]:
    """The rates that the loop trains with, spread over all of them."""
    return [(2 * i + 1) * len(terms.rates) // (2 * LOOPED) for i in range(LOOPED)]


def _swept(terms: Terms, cache: str) -> Figures:
    command = [sys.executable, "-m", SCRIPT, str(terms.threads), *(["--quick"] if terms.is_quick else [])]
    environment = os.environ | dict.fromkeys(CACHES, cache)
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{SCRIPT} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _looped(terms: Terms, threads: int) -> Looped:
    x, y = rows()
    loop = Loop(x[:KEPT], y[:KEPT], x[KEPT:], y[KEPT:], BATCH, terms.epochs)
    with torch_set_to(threads=threads):
        begun, worked = perf_counter(), process_time()
        losses = tuple(loop.best_loss(terms.rates[place], seed=0) for place in _places(terms))
        share = len(terms.rates) * SEEDS / LOOPED
        return Looped((perf_counter() - begun) * share, (process_time() - worked) * share, losses)


def page(times: Times, terms: Terms) -> str:
    loop = median(each.seconds for each in times.loops)
    lines = []
    for words, which, figure in (
        ("a new process, nothing compiled on disk", "empty", "sweep"),
        ("a new process, with what that one left on disk", "filled", "sweep"),
        ("the same process again", "filled", "again"),
    ):
        seconds = times.process(which, figure)
        within = verdict(median(seconds) <= MOST_SECONDS)
        lines.append([
            f"`tt.sweep`, {words}", _spread(seconds), _spread(times.process(which, f"{figure}_cpu")), within,
            f"{loop / median(seconds):.1f}x",
        ])  # fmt: skip
    words = f"plain loop, {times.threads} thread{'s' if times.threads > 1 else ''}, from {LOOPED} runs"
    lines.append([words, _spread([each.seconds for each in times.loops]),
                  _spread([each.computing for each in times.loops]), "", ""])  # fmt: skip
    head = [
        f"{times.runs} runs of {terms.epochs} epochs", "s", "of which computing, s (all cores)",
        f"within {MOST_SECONDS:.0f} s", "the loop takes",
    ]  # fmt: skip
    imports = [median(times.process("empty", name)) for name in ("torch", "trimtab")]
    compiled = "was compiled" if any(turn.is_compiled for turn in times.turns) else "was not compiled: it would not pay"
    loads = ", ".join(f"{turn.load:.1f}" for turn in times.turns)
    return (
        f"{ROWS:,} rows, {ROWS - KEPT} of them to judge by, batches of {BATCH}; medians of {len(times.turns)} "
        f"alternating turns (least to greatest). Load average before the turns: {loads}. Imports apart: torch "
        f"{imports[0]:.1f} s, then trimtab {imports[1]:.1f} s. The step {compiled}."
        f"\n\n{table(head, lines)}\n\n{_losses(times, terms)}"
    )


def _losses(times: Times, terms: Terms) -> str:
    """Whether both did the same work."""
    ours = [times.turns[0].empty["losses"][place] for place in _places(terms)]
    rates, theirs, ours = (
        ", ".join(f"{value:.3g}" for value in values)
        for values in ([terms.rates[place] for place in _places(terms)], times.loops[0].losses, ours)
    )
    return f"Best validation losses at the rates {rates}: {theirs} by the loop, {ours} by the sweep (mean of {SEEDS})."


def _spread(values: list[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
