"""How many workers one process keeps busy: clients that sleep for what a trial takes, in the place of workers.

They have no torch and no Ray, or are actors of Ray that sleep; everything else is a search as it is: proposals, rungs,
store, files.
"""

import contextlib
import heapq
import os
import queue
import resource
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy
import polars
import psutil
import torch

import trimtab as tt
from benchmarks.page import table as markdown
from trimtab.studies import flow
from trimtab.training.run import ALL_EPOCHS, CURVES, PARTS, Curves, Request, RunRecord
from trimtab.tuning import ray_cluster
from trimtab.tuning.ray_cluster import RayCluster, WorkersAsked
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
# Ray's own processes, beside its workers.
DAEMONS = ("gcs_server", "raylet")
# Seconds that a worker of Ray may take until it is there: on two cores, one after the other.
SECONDS_TO_JOIN = 5


class Client:
    """Works through orders by sleeping; a trial is through when its time is over."""

    def __init__(self, recruit: Recruit, seed: int | None = None) -> None:
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


@dataclass(frozen=True)
class Marks:
    """What had been used at a moment: seconds of the clock, of processors (this process, and Ray's daemons) and of
    waiting; runs that were over, and messages."""

    when: float
    processor: float
    of_ray: float
    waited: float
    runs: int
    messages: int

    @classmethod
    def of(cls, workers: Workers) -> "Marks":
        daemons = [each for each in psutil.Process().children(recursive=True) if each.name() in DAEMONS]
        used = sum(sum(each.cpu_times()[:2]) for each in daemons)
        return cls(
            time.monotonic(), time.process_time(), used, workers.waited, workers.runs_done, workers.messages
        )  # fmt: skip


class Watched(Workers):
    """Knows how it stood when all that were asked for were there, and when the time was over."""

    latest: ClassVar["Watched"]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.at_first: Marks | None = None
        self.at_last: Marks | None = None
        Watched.latest = self

    def _seat(self, worker: int) -> None:
        super()._seat(worker)
        if len(self._seats) == self.cluster.asked_for and self.at_first is None:
            self.at_first = Marks.of(self)

    def end_all(self) -> list[ActiveTrial]:
        self.at_last = Marks.of(self)
        return super().end_all()


def sleeping_in_ray(count: int) -> RayCluster:
    """As many actors of Ray, whose workers sleep."""
    ray_cluster.Worker = Client  # type: ignore[misc,assignment]
    # Where actors find this module.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    )
    return RayCluster(WorkersAsked(count), threads=1)


def searched(count: int, seconds: int, out: Path, *, in_ray: bool = False) -> list[str | float | int]:
    """What a search with so many clients came to, from when all of them were there."""
    random = numpy.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=ROWS), "y": random.normal(size=ROWS)})
    began, before = time.monotonic(), (flow.RayCluster, flow.Workers, ray_cluster.Worker)
    cluster: Any = sleeping_in_ray(count) if in_ray else Clients(count)
    flow.RayCluster, flow.Workers = (lambda *_, **__: cluster), Watched  # type: ignore[assignment,misc]
    try:
        study = tt.tune(
            frame, "y", test="none", budget=seconds, counterfactuals=0, out=out, workers=count, quiet=True, threads=1,
            neighbours=False, **FIXED,
        )  # fmt: skip
    finally:
        flow.RayCluster, flow.Workers, ray_cluster.Worker = before  # type: ignore[misc]
    ended, workers = time.monotonic(), Watched.latest
    first, last = workers.at_first, workers.at_last
    assert first is not None and last is not None, "not all of them were there before the time was over"
    took, tuned = last.when - first.when, sum(not trial.name for trial in study.trials)
    return [
        f"{count} of Ray" if in_ray else count, (tuned - first.runs) / (ended - first.when),
        100 * (last.waited - first.waited) / (count * took), 100 * (last.processor - first.processor) / took,
        100 * (last.of_ray - first.of_ray) / took if in_ray else "",
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, (last.messages - first.messages) / took,
        first.when - began, ended - began - seconds,
    ]  # fmt: skip


def page(counts: list[int], counts_of_ray: list[int], seconds: int, folder: Path) -> str:
    head = [
        "clients", "trials a second, stored too", "a client waits, %", "processor of the driver, %",
        "of Ray's daemons, %", "memory at most, MiB", "messages a second", "all there after, s",
        "seconds beyond the budget",
    ]  # fmt: skip
    rows = [searched(count, seconds, folder / f"limits-{count}") for count in counts]
    of_ray = [
        searched(count, seconds + SECONDS_TO_JOIN * count, folder / f"limits-ray-{count}", in_ray=True)
        for count in counts_of_ray
    ]
    return markdown(head, [*rows, *of_ray])
