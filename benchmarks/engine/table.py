"""The table of shapes: microseconds per step of the plain loop and of a lane, their ratio, and the share of the peak.

Knows no other part of the benchmark.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from math import nan
from time import perf_counter

import torch

from benchmarks.engine.lanes import lanes_of
from benchmarks.engine.loop import BetterLoop
from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms, finished, in_turns, torch_set_to
from trimtab.training.lanes.precision import Products

PEAK_SIZE, PEAK_SIZE_OF_CARDS, PEAK_TRIALS = 2_048, 8_192, 12
WANTED_SHARE_OF_PEAK = 0.45
LOOP = "plain loop"
VALIDATED, COMPILED, MEDIUM = "validated", "compiled", "medium"
PRECISIONS: dict[str, Products] = {"float32": "high", "bf16": "medium"}


@dataclass(frozen=True)
class Entry:
    """One line of the table; times in microseconds per step (loop) and per useful lane-step (lane).

    `loop_us` is the plain loop in float32 without any evaluation, whatever our precision; the other loops stand
    beside it: with one validation pass per epoch, compiled, and with bfloat16 products.
    """

    shape: list[int]
    precision: str
    loop_us: float
    lane_us: float
    ratio: float
    lanes: int
    target: float
    loop_threads: int
    loop_validated_us: float
    loop_compiled_us: float | None
    loop_medium_us: float | None
    utilisation: float
    gflops: float | None
    peak_gflops: float = nan

    @property
    def share_of_peak(self) -> float | None:
        """Of the float32 peak, whatever our precision; None where the step is not bound by its products."""
        return None if self.gflops is None else self.gflops / self.peak_gflops

    def to_json(self) -> dict:
        return asdict(self) | {"share_of_peak": self.share_of_peak}


def entries_of(shapes: list[Shape], terms: Terms) -> list[Entry]:
    """The table; the matrix peak is the best that is seen between the shapes, all through the run."""
    entries, peaks = [], [matrix_peak(terms.threads, terms.device)]
    for shape in shapes:
        entries += _entries(shape, terms)
        peaks.append(matrix_peak(terms.threads, terms.device))
    return [replace(entry, peak_gflops=max(peaks)) for entry in entries]


def _entries(shape: Shape, terms: Terms) -> list[Entry]:
    """The lines of one shape: all of its contestants take turns with one plain loop."""
    asked = {"float32": shape.float32_target, "bf16": shape.bf16_target}
    targets = {name: target for name, target in asked.items() if target is not None}
    ours = {name: lanes_of(shape, terms, precision=PRECISIONS[name]) for name in targets}
    loop = partial(BetterLoop, shape, most_threads=terms.threads, device=terms.device)
    loops = {LOOP: loop(), VALIDATED: loop(is_validated=True)}
    if terms.compiles_the_loop:
        loops[COMPILED] = loop(is_compiled=True)
    if shape.bf16_target is not None:
        loops[MEDIUM] = loop(precision="medium")
    paces = in_turns({name: each.pace for name, each in (loops | ours).items()}, terms)
    return [
        Entry(
            shape=shape.key,
            precision=name,
            loop_us=paces[LOOP],
            lane_us=paces[name],
            ratio=paces[LOOP] / paces[name],
            lanes=lanes.population.capacity,
            target=targets[name],
            loop_threads=loops[LOOP].threads,
            loop_validated_us=paces[VALIDATED],
            loop_compiled_us=paces.get(COMPILED),
            loop_medium_us=paces[MEDIUM] if name == "bf16" else None,
            utilisation=lanes.population.utilisation,
            gflops=shape.operations / paces[name] / 1e3 if shape.is_bound_by_products else None,
        )
        for name, lanes in ours.items()
    ]


def matrix_peak(threads: int, device: str = "cpu") -> float:
    """The best of several square float32 products, in GFLOP/s; on a card as precise as the engine's there (TF32)."""
    size = PEAK_SIZE if device == "cpu" else PEAK_SIZE_OF_CARDS
    a, b = torch.rand(2, size, size, device=device)
    best = float("inf")
    with torch_set_to(threads=threads, precision="highest" if device == "cpu" else "high"):
        for _ in range(PEAK_TRIALS):
            finished(device)
            started = perf_counter()
            torch.mm(a, b)
            finished(device)
            best = min(best, perf_counter() - started)
    return 2 * size**3 / best / 1e9


def page(entries: list[Entry]) -> str:
    head = [
        "d, width, layers, batch", "precision", "loop, us", "validated loop, us", "compiled loop, us", "lane-step, us",
        "ratio", "at least", "", "to validated", "to compiled", "lanes", "utilisation", "share of float32 peak",
    ]  # fmt: skip
    rows = [_row(entry) for entry in entries]
    beside = [
        f"- {', '.join(map(str, e.shape))}: the plain loop with bfloat16 products too: {e.loop_medium_us:,.0f} us; "
        f"{e.loop_medium_us / e.lane_us:.2f}x"
        for e in entries
        if e.loop_medium_us
    ]
    peak = f"Float32 matrix peak measured in this run: {entries[0].peak_gflops:,.0f} GFLOP/s."
    return "\n".join([table(head, rows), "", peak, *([""] if beside else []), *beside])


def _row(entry: Entry) -> list[str | float | int]:
    share = ""
    if entry.share_of_peak is not None:
        share = f"{entry.share_of_peak:.0%}"
        if entry.precision == "float32":
            share += f" ({verdict(entry.share_of_peak >= WANTED_SHARE_OF_PEAK)})"
    return [
        ", ".join(map(str, entry.shape)),
        entry.precision,
        f"{entry.loop_us:,.0f} ({entry.loop_threads} threads)",
        entry.loop_validated_us,
        entry.loop_compiled_us or "",
        entry.lane_us,
        f"**{entry.ratio:.3g}x**",
        f"{entry.target:g}x",
        verdict(entry.ratio >= entry.target),
        f"{entry.loop_validated_us / entry.lane_us:.3g}x",
        f"{entry.loop_compiled_us / entry.lane_us:.3g}x" if entry.loop_compiled_us else "",
        entry.lanes,
        f"{entry.utilisation:.0%}",
        share,
    ]
