"""How many workers one process keeps busy: clients that sleep for what a trial takes, in the place of workers.

They have no torch and no Ray; everything else is a search as it is: proposals, rungs, store, files.
"""

import contextlib
import heapq
import queue
import resource
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import polars
import torch

import trimtab as tt
from benchmarks.page import table as markdown
from trimtab.studies import flow
from trimtab.training.run import ALL_EPOCHS, CURVES, PARTS, Curves, Request, RunRecord
from trimtab.tuning.trial import ActiveTrial
from trimtab.tuning.worker import Orders, Recruit, Report
from trimtab.tuning.workers import Heard, Workers

# What a trial takes, drawn from so many seconds to so many: those of a table of some ten thousand rows.
SHORTEST, LONGEST = 10.0, 30.0
# So many epochs are told of each run.
EPOCHS_TOLD = 20
# Four trials at a time in each worker.
FIXED = {"width": 256, "depth": 2, "batch_size": 256, "epochs": 100}
ROWS = 6_000


class Client:
    """Works through orders by sleeping; a trial is through when its time is over."""

    def __init__(self, recruit: Recruit, seed: int) -> None:
        self.recruit, self.random = recruit, numpy.random.default_rng(seed)
        self.ends: list[tuple[float, int]] = []
        self.trials: dict[int, ActiveTrial] = {}
        self.asleep = threading.Event()

    def stop(self) -> None:
        self.asleep.set()

    def work(self, orders: Orders) -> Report:
        began = time.monotonic()
        for trial in orders.trials:
            self.trials[trial.number] = trial
            heapq.heappush(self.ends, (began + self.random.uniform(SHORTEST, LONGEST), trial.number))
        until = min([began + orders.seconds, *(end for end, _ in self.ends[:1])])
        self.asleep.wait(max(0.0, until - time.monotonic()))
        report = Report()
        while self.ends and (self.ends[0][0] <= time.monotonic() or orders.is_last):
            report.through.append(self._through(heapq.heappop(self.ends)[1]))
        report.worked = time.monotonic() - began
        return report

    def _through(self, number: int) -> ActiveTrial:
        trial, data = self.trials.pop(number), self.recruit.data
        error = float(self.random.uniform(0.5, 1.5))
        told = dict.fromkeys((*CURVES, *PARTS), 1.0) | {name: [1.0] for name in PARTS}
        for place, fold in enumerate(data.folds):
            curves = Curves()
            for epoch in range(EPOCHS_TOLD):
                curves.append(told | {"epoch": epoch + 1, "validation_metric": error})
            predictions = self.random.normal(size=(len(fold.validation), 1)).astype("float32")
            request = Request(number, trial.config, place, 0)
            trial.runs.append(
                RunRecord(request, curves, ALL_EPOCHS, error, EPOCHS_TOLD, 100, 100, torch.zeros(70_000), predictions)
            )
        return trial


@dataclass
class Clients:
    """As many clients as are asked for, each in a thread; and what the search had of them."""

    asked_for: int
    threads: int = 1
    words: str = "simulated"
    sent: int = 0
    workers: list[Workers] = field(default_factory=list)

    def begin(self, recruit: Recruit) -> None:
        self._heard: queue.Queue[Heard] = queue.Queue()
        self._orders = {number: queue.Queue() for number in range(self.asked_for)}
        self._clients = {number: Client(recruit, number) for number in self._orders}
        threading.stack_size(256 << 10)
        for number in self._orders:
            threading.Thread(target=self._work, args=(number,), daemon=True).start()

    def _work(self, number: int) -> None:
        self._heard.put(Heard(number))
        while (orders := self._orders[number].get()) is not None:
            self._heard.put(Heard(number, self._clients[number].work(orders)))

    def send(self, worker: int, orders: Orders) -> None:
        self.sent += 1
        self._orders[worker].put(orders)

    def heard(self, seconds: float) -> list[Heard]:
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._heard.get(timeout=seconds))
            while True:
                found.append(self._heard.get_nowait())
        return found

    def stop(self, worker: int) -> None:
        self._clients[worker].stop()

    def dismiss(self, worker: int) -> None:
        self._orders[worker].put(None)

    def where(self, worker: int) -> str:
        return f"Client {worker}"

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_: object) -> None:
        for orders in self._orders.values():
            orders.put(None)


def searched(count: int, seconds: int, out: Path) -> list[str | float | int]:
    """What a search with so many clients came to."""
    random = numpy.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=ROWS), "y": random.normal(size=ROWS)})
    clients, before = Clients(count), flow.RayCluster
    made: list[Workers] = []

    class Watched(Workers):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, **named)  # type: ignore[arg-type]
            made.append(self)

    began, used = time.monotonic(), time.process_time()
    flow.RayCluster, flow.Workers = (lambda *_, **__: clients), Watched  # type: ignore[assignment,misc]
    try:
        study = tt.tune(
            frame, "y", test="none", budget=seconds, counterfactuals=0, out=out, workers=count, quiet=True, threads=1,
            neighbours=False, **FIXED,
        )  # fmt: skip
    finally:
        flow.RayCluster, flow.Workers = before, Workers
    took = time.monotonic() - began
    (workers,) = made
    tuned = sum(not trial.name for trial in study.trials)
    busy = count * took
    return [
        count, tuned / took, 100 * workers.waited / busy, 100 * (time.process_time() - used) / took,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, workers.messages / took, took - seconds,
    ]  # fmt: skip


def page(counts: list[int], seconds: int, folder: Path) -> str:
    head = [
        "clients", "trials a second, stored too", "a client waits, %", "processor of the driver, %",
        "memory at most, MiB", "messages a second", "seconds beyond the budget",
    ]  # fmt: skip
    return markdown(head, [searched(count, seconds, folder / f"limits-{count}") for count in counts])
