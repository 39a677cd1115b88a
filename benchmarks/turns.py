"""Contestants that are measured in turns, so that whatever else the machine does meets all of them alike.

Knows no networks: a contestant is a function that works for some seconds and tells its microseconds per step.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch

Pace = Callable[[float], float]


@dataclass(frozen=True)
class Terms:
    """How long and how often everything is measured, and what the engine is given.

    `lanes` is a number, "own" (the engine's choice) or "search" (those of each shape are tried first); `device` is
    where the table of shapes is measured.
    """

    is_quick: bool = False
    threads: int = 2
    lanes: int | str = "search"
    compiling: Literal["wait", "never", "beside"] = "wait"
    compiles_the_loop: bool = False
    device: str = "cpu"

    @property
    def repetitions(self) -> int:
        return 3 if self.is_quick else 7

    @property
    def seconds(self) -> float:
        """One turn of one contestant."""
        return 0.3 if self.is_quick else 1.0


def in_turns(contestants: Mapping[str, Pace], terms: Terms) -> dict[str, float]:
    """The median of each contestant's microseconds per step."""
    for pace in contestants.values():
        pace(0)
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(terms.repetitions):
        for name, pace in contestants.items():
            measured[name].append(pace(terms.seconds))
    return {name: median(paces) for name, paces in measured.items()}


def finished(device: str) -> None:
    """Wait until all that was asked of the device is done: it is only asked for, and works on by itself."""
    if device != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def torch_set_to(*, threads: int, precision: str = "highest") -> Iterator[None]:
    """Threads and precision of products for one contestant's turn; both are what they were afterwards."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
