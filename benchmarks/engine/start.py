"""How soon the engine trains: to the first step, to the first compiled step, and the whole time of compiling.

Each line is a new process, the compiler's with an empty cache folder and again with the folder it left. Knows nothing
of what happens inside those processes (see `first_step`).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms

SCRIPT, REPOSITORY = "benchmarks.engine.first_step", Path(__file__).parents[2]
SHOWN_WHEN_QUICK, REPETITIONS = 2, 5
MOST_SECONDS_TO_FIRST_STEP = 1.5
CACHES = ("TRIMTAB_CACHE", "TORCHINDUCTOR_CACHE_DIR")
Figures = dict[str, float]


def page(shapes: list[Shape], terms: Terms) -> str:
    head = [
        "d, width, layers, batch", "`import torch`, s", "then to the first step (eager), s", "within 1.5 s",
        "empty cache, training meanwhile: to the first compiled round, s", "until everything is compiled",
        "empty cache, waiting for it: to the first round", "filled cache", "compiling, s",
        "eager, us per lane-step", "compiled",
    ]  # fmt: skip
    rows = []
    for shape in shapes[: SHOWN_WHEN_QUICK if terms.is_quick else None]:
        rows.append(_row(shape, terms))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    return table(head, rows)


def _row(shape: Shape, terms: Terms) -> list[str | float]:
    times = range(1 if terms.is_quick else REPETITIONS)
    eager = _typical([_started(shape, "never", terms) for _ in times])
    with tempfile.TemporaryDirectory() as folder:
        empty = _started(shape, "wait", terms, folder)
        _drop(folder)
        beside = _started(shape, "beside", terms, folder)
        filled = _typical([_started(shape, "wait", terms, folder) for _ in times])
    return [
        shape.words,
        eager["torch"],
        eager["first_step"],
        verdict(eager["first_step"] <= MOST_SECONDS_TO_FIRST_STEP),
        beside["compiled"],
        beside["everything"],
        empty["compiled"],
        filled["compiled"],
        empty["compiled"] - filled["compiled"],
        eager["pace"],
        filled["pace"],
    ]


def _drop(folder: str) -> None:
    for path in Path(folder).iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _typical(figures: list[Figures]) -> Figures:
    return {name: median(each[name] for each in figures) for name in figures[0]}


def _started(shape: Shape, compiling: str, terms: Terms, cache: str = "") -> Figures:
    environment = os.environ | (dict.fromkeys(CACHES, cache) if cache else {})
    command = [sys.executable, "-m", SCRIPT, shape.name, compiling, str(terms.threads)]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{SCRIPT} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])
