"""The plain PyTorch loop, one run after the other, as a careful user writes it: what every figure is a ratio to.

Knows nothing of trimtab beyond the data it is given.
"""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from time import perf_counter
from types import TracebackType

import torch
from torch import nn

from benchmarks.engine.shapes import Shape, rows_of
from benchmarks.turns import finished, torch_set_to


def network(shape: Shape, device: str = "cpu") -> nn.Sequential:
    """Linear and ReLU in turns, as anyone writes it."""
    layers: list[nn.Module] = []
    features = shape.inputs
    for _ in range(shape.depth):
        layers += [nn.Linear(features, shape.width), nn.ReLU()]
        features = shape.width
    return nn.Sequential(*layers, nn.Linear(features, 1)).to(device)


class PlainLoop:
    """`torch.optim.Adam`, data in memory, shuffled index batches; `is_validated` adds one validation pass per epoch."""

    def __init__(
        self,
        shape: Shape,
        *,
        threads: int,
        precision: str = "highest",
        is_validated: bool = False,
        is_compiled: bool = False,
        is_fused: bool = False,
        device: str = "cpu",
    ) -> None:
        self.shape, self.threads, self.precision, self.is_validated = shape, threads, precision, is_validated
        self.device, self.module = device, network(shape, device)
        self.model = torch.compile(self.module) if is_compiled else self.module
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=is_fused or None)
        self._steps = self._train()

    def _train(self) -> Iterator[None]:
        """Epoch after epoch; gives way after each step."""
        x, y = rows_of(self.shape, self.device)
        rows, batch = self.shape.rows, self.shape.batch
        loss = nn.MSELoss()
        while True:
            order = torch.randperm(rows, device=self.device)
            for start in range(0, rows, batch):
                index = order[start : start + batch]
                error = loss(self.model(x[index]), y[index])
                self.optimizer.zero_grad()
                error.backward()
                self.optimizer.step()
                yield
            if self.is_validated:
                with torch.no_grad():
                    loss(self.module(x[rows:]), y[rows:]).item()

    def pace(self, seconds: float) -> float:
        """Microseconds per step over `seconds`, but at least one step."""
        with torch_set_to(threads=self.threads, precision=self.precision):
            finished(self.device)
            started = perf_counter()
            steps, spent = 0, 0.0
            while steps == 0 or spent < seconds:
                next(self._steps)
                steps, spent = steps + 1, perf_counter() - started
            finished(self.device)
            spent = perf_counter() - started
        return spent / steps * 1e6


class BetterLoop:
    """The loop with one torch thread and with `most_threads`: in every turn the faster one counts, for when others use
    the machine too, threads that wait for each other at each product may take ten times as long."""

    def __init__(self, shape: Shape, *, most_threads: int, **options: bool | str) -> None:
        self._loops = [PlainLoop(shape, threads=n, **options) for n in sorted({1, most_threads})]  # type: ignore[arg-type]
        self._faster = Counter[int]()

    @property
    def threads(self) -> int:
        """How many the faster loop had in most turns."""
        return self._faster.most_common(1)[0][0]

    def pace(self, seconds: float) -> float:
        """Microseconds per step of the faster one, each of them over its share of `seconds`."""
        paces = {loop.threads: loop.pace(seconds / len(self._loops)) for loop in self._loops}
        self._faster[min(paces, key=lambda threads: paces[threads])] += 1
        return min(paces.values())


class LoopsInProcesses:
    """The plain loop in `processes` at once, one thread each; a context, for the processes stay from turn to turn."""

    def __init__(self, shape: Shape, processes: int) -> None:
        self.shape, self.processes = shape, processes

    def __enter__(self) -> "LoopsInProcesses":
        context = multiprocessing.get_context("spawn")
        self._manager = context.Manager()
        self._barrier = self._manager.Barrier(self.processes)
        self._pool = ProcessPoolExecutor(self.processes, mp_context=context)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown()
        self._manager.shutdown()

    def pace(self, seconds: float) -> float:
        """Microseconds per step of all processes together."""
        turns = [self._pool.submit(_pace_of_one, self.shape, seconds, self._barrier) for _ in range(self.processes)]
        return 1 / sum(1 / turn.result() for turn in turns)


def _pace_of_one(shape: Shape, seconds: float, all_are_ready: Barrier) -> float:
    loop = PlainLoop(shape, threads=1)
    loop.pace(seconds / 4)
    all_are_ready.wait()
    return loop.pace(seconds)
