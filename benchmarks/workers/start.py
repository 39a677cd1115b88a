"""How soon the first networks train: in this process, on a local cluster that is begun for it, on one that is there."""

import statistics
import time
from pathlib import Path

from sklearn.datasets import load_diabetes

import trimtab as tt
from benchmarks.page import table as markdown
from benchmarks.workers.efficiency import FirstToLast


def seconds_to_first(workers: int | str | None, out: Path) -> float:
    heard, began = FirstToLast(), time.monotonic()
    tt.tune(
        load_diabetes(as_frame=True).frame, "target", trials=2, epochs=200, counterfactuals=0, out=out,
        listeners=[heard], workers=workers, threads=1,
    )  # fmt: skip
    return heard.first - began


def page(repeats: int, folder: Path) -> str:
    import ray

    rows = []
    for name, workers in (("this process", None), ("two workers, cold", 2), ("two workers, warm", "ray")):
        if name.endswith("warm"):
            ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        found = [seconds_to_first(workers, folder / f"start-{name}-{i}") for i in range(1 + max(repeats, 3))]
        rows.append([name, found[0], statistics.median(found[1:])])
    ray.shutdown()
    return markdown(["where", "the first time, s", "after that, s (median)"], rows)
