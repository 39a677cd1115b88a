"""Populations of two shapes: turns in one process against a process each; and near shapes apart against both in the
wider one, which is the best that masking units away could come to.

Knows nothing of how a search divides its time.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import geometric_mean, median
from threading import Barrier
from time import perf_counter
from types import TracebackType

from benchmarks.engine.lanes import Lanes
from benchmarks.engine.shapes import SHAPES, Shape
from benchmarks.page import table
from benchmarks.turns import Terms, in_turns
from trimtab.machine import keep_freed_memory, lanes_in_threads

PAIR = (replace(SHAPES[1], lanes=(128,)), replace(SHAPES[2], lanes=(32,)))
# A shape, the narrower one that would be merged into it, and the lanes of each of the two populations.
NEAR = ((SHAPES[1], 24, 64), (SHAPES[2], 96, 16))
TURNS_PER_SECOND = 2
Rates = tuple[float, ...]  # lane-steps per second, one per shape


def page(shapes: list[Shape], terms: Terms) -> str:
    return f"{_turns_or_processes(terms)}\n\n{_apart_or_merged(terms)}"


def _turns_or_processes(terms: Terms) -> str:
    seconds = 4 * terms.seconds
    turns = _Turns(terms)
    measured: dict[str, list[Rates]] = {"turns": [], "processes": []}
    with _Processes(terms) as processes:
        for pace in (turns.pace, processes.pace):
            pace(seconds / 4)
        for _ in range(terms.repetitions):
            measured["turns"].append(turns.pace(seconds))
            measured["processes"].append(processes.pace(seconds))
    rates = {way: [median(column) for column in zip(*each, strict=True)] for way, each in measured.items()}
    ratios = [a / b for a, b in zip(rates["turns"], rates["processes"], strict=True)]
    rows = [
        [shape.words, f"{rates['turns'][i]:,.0f}", f"{rates['processes'][i]:,.0f}", f"{ratios[i]:.3g}x"]
        for i, shape in enumerate(PAIR)
    ]
    rows.append(["both (geometric mean)", "", "", f"{geometric_mean(ratios):.3g}x"])
    head = [
        "d, width, layers, batch", f"turns, {terms.threads} threads: lane-steps per second",
        f"{len(PAIR)} processes, a thread each", "turns to processes",
    ]  # fmt: skip
    return table(head, rows)


class _Turns:
    """Both populations in this process, each training half of the time."""

    def __init__(self, terms: Terms) -> None:
        self.lanes = [Lanes(shape, lanes=shape.lanes[0], threads=terms.threads) for shape in PAIR]

    def pace(self, seconds: float) -> Rates:
        """Rounds go to whoever had less time; lane-steps per second of the whole time, of each."""
        spent, made = [0.0] * len(self.lanes), [0] * len(self.lanes)
        with lanes_in_threads():
            while sum(spent) < seconds:
                place = spent.index(min(spent))
                population = self.lanes[place].population
                before, started = population.lane_steps, perf_counter()
                self.lanes[place].round()
                spent[place] += perf_counter() - started
                made[place] += population.lane_steps - before
        # Halves, though the last round may have been longer than its half.
        return tuple(steps / time / len(self.lanes) for steps, time in zip(made, spent, strict=True))


class _Processes:
    """A process with one thread for each population; a context, for the processes stay from turn to turn."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    def __enter__(self) -> "_Processes":
        context = multiprocessing.get_context("spawn")
        self._manager = context.Manager()
        self._barrier = self._manager.Barrier(len(PAIR))
        self._pools = [ProcessPoolExecutor(1, mp_context=context) for _ in PAIR]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pool in self._pools:
            pool.shutdown()
        self._manager.shutdown()

    def pace(self, seconds: float) -> Rates:
        turns = [pool.submit(_rate_of_one, i, seconds, self._barrier) for i, pool in enumerate(self._pools)]
        return tuple(turn.result() for turn in turns)


_kept: dict[int, Lanes] = {}


def _rate_of_one(place: int, seconds: float, all_are_ready: Barrier) -> float:
    if place not in _kept:
        keep_freed_memory()
        _kept[place] = Lanes(PAIR[place], lanes=PAIR[place].lanes[0], threads=1)
        _kept[place].pace(0)
    all_are_ready.wait()
    return 1e6 / _kept[place].pace(seconds)


def _apart_or_merged(terms: Terms) -> str:
    rows = []
    for wide, width, lanes in NEAR:
        narrow = replace(wide, width=width)
        contestants = {
            "narrow": Lanes(narrow, lanes=lanes, threads=terms.threads).pace,
            "wide": Lanes(wide, lanes=lanes, threads=terms.threads).pace,
            "merged": Lanes(wide, lanes=2 * lanes, threads=terms.threads).pace,
        }
        paces = in_turns(contestants, terms)
        apart = (paces["narrow"] + paces["wide"]) / 2
        rows.append([
            f"{wide.words} and width {width}", paces["narrow"], paces["wide"], apart, paces["merged"],
            f"{paces['merged'] / apart:.3g}x", 2 * lanes,
        ])  # fmt: skip
    head = [
        "shapes", "the narrower, us per lane-step", "the wider", "both, taking turns", "both at the larger width",
        "merged to apart", "lanes in all",
    ]  # fmt: skip
    return table(head, rows)
