"""Two workers of one core each beside one engine on two cores: trials in a minute of training, in turns."""

import statistics
import time
from pathlib import Path

import trimtab as tt
from benchmarks.page import table as markdown
from benchmarks.tables import Table


class FirstToLast(tt.Listener):
    """When networks trained for the first time, and for the last."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def progress(self, progress: object) -> None:
        if getattr(progress, "phase", "") == "searching" and getattr(progress, "lanes_alive", 0):
            self.last = time.monotonic()
            self.first = self.first or self.last


def trained(table: Table, budget: str, workers: int | None, out: Path) -> tuple[float, float, float]:
    """Trials and lane-steps in a minute of training, and seconds until networks trained for the first time."""
    train, _ = table.typed_split(0)
    heard, began = FirstToLast(), time.monotonic()
    study = tt.tune(
        train, table.target, test="none", budget=budget, counterfactuals=0, out=out, listeners=[heard],
        workers=workers, threads=1 if workers else 2,
    )  # fmt: skip
    minutes = (heard.last - heard.first) / 60
    tuned = sum(not trial.name for trial in study.trials)
    return tuned / minutes, study.result["engine"]["lane_steps"] / minutes, heard.first - began


def page(tables: list[Table], budget: str, repeats: int, folder: Path) -> str:
    rows, ratios = [], []
    for table in tables:
        found: dict[int | None, list[tuple[float, float, float]]] = {None: [], 2: []}
        for repeat in range(repeats):
            for workers in (None, 2):
                found[workers].append(trained(table, budget, workers, folder / f"{table.name}-{workers}-{repeat}"))
        one, two = ([statistics.median(each) for each in zip(*found[workers], strict=True)] for workers in (None, 2))
        ratios.append((two[0] / one[0], two[1] / one[1]))
        rows.append([table.name, one[0], two[0], two[0] / one[0], two[1] / one[1], one[2], two[2]])
    head = [
        "table", "trials a minute, one process", "two workers", "ratio", "ratio of lane-steps", "first networks, s",
        "with workers, s",
    ]  # fmt: skip
    trials, steps = (statistics.geometric_mean(each) for each in zip(*ratios, strict=True))
    told = f"In the geometric mean {trials:.2f} times the trials and {steps:.2f} times the lane-steps."
    return f"{markdown(head, rows)}\n\n{told}"
