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

from engine_page import table, verdict
from engine_turns import torch_set_to
from sweep_loop import Loop
from sweep_once import BATCH, ROWS, VALIDATION, rows
from sweep_terms import SEEDS, Terms

SCRIPT = Path(__file__).with_name("sweep_once.py")
CACHES = ("TRIMTAB_CACHE", "TORCHINDUCTOR_CACHE_DIR")
LOOPED = 4  # runs that the loop makes; its time is multiplied
MOST_SECONDS = 10.0
Figures = dict[str, float]


@dataclass(frozen=True)
class Turn:
    """One turn: what a process took with an empty cache folder, another with that folder, and the loop for all runs.

    `loops` and `loops_cpu` are by number of threads; `is_compiled` says whether the first process compiled anything.
    """

    empty: Figures
    filled: Figures
    loops: dict[int, float]
    loops_cpu: dict[int, float]
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
        return min(self.turns[0].loops, key=lambda n: median(turn.loops[n] for turn in self.turns))

    @property
    def loop(self) -> list[float]:
        return [turn.loops[self.threads] for turn in self.turns]

    @property
    def loop_cpu(self) -> list[float]:
        return [turn.loops_cpu[self.threads] for turn in self.turns]

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
    loops = {n: _looped(terms, n) for n in sorted({1, terms.threads})}
    seconds, worked = ({n: times[i] for n, times in loops.items()} for i in (0, 1))
    return Turn(empty, filled, seconds, worked, is_compiled, load)


def _swept(terms: Terms, cache: str) -> Figures:
    command = [sys.executable, str(SCRIPT), str(terms.threads), *(["--quick"] if terms.is_quick else [])]
    environment = os.environ | dict.fromkeys(CACHES, cache)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _looped(terms: Terms, threads: int) -> tuple[float, float]:
    """Seconds, and seconds of computing, that the loop needs for all runs, from a few spread over the rates."""
    x, y = rows()
    kept = round(ROWS * (1 - VALIDATION))
    loop = Loop(x[:kept], y[:kept], x[kept:], y[kept:], BATCH, terms.epochs)
    rates = terms.rates
    with torch_set_to(threads=threads):
        begun, worked = perf_counter(), process_time()
        for i in range(LOOPED):
            loop.best_loss(rates[(2 * i + 1) * len(rates) // (2 * LOOPED)], seed=i)
        share = len(rates) * SEEDS / LOOPED
        return (perf_counter() - begun) * share, (process_time() - worked) * share


def page(times: Times, terms: Terms) -> str:
    loop = median(times.loop)
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
    lines.append([words, _spread(times.loop), _spread(times.loop_cpu), "", ""])
    head = [
        f"{times.runs} runs of {terms.epochs} epochs", "s", "of which computing, s (all cores)",
        f"within {MOST_SECONDS:.0f} s", "the loop takes",
    ]  # fmt: skip
    imports = [median(times.process("empty", name)) for name in ("torch", "trimtab")]
    compiled = "was compiled" if any(turn.is_compiled for turn in times.turns) else "was not compiled: it would not pay"
    loads = ", ".join(f"{turn.load:.1f}" for turn in times.turns)
    return (
        f"{ROWS:,} rows, a fifth of them to judge by, batches of {BATCH}; medians of {len(times.turns)} alternating "
        f"turns (least to greatest). Load average before the turns: {loads}. Imports apart: torch {imports[0]:.1f} s, "
        f"then trimtab {imports[1]:.1f} s. The step {compiled}.\n\n{table(head, lines)}"
    )


def _spread(values: list[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
