"""The data of the set-ups: small tables that ship with scikit-learn, synthetic tasks, and the development sets where
they are at hand. Inputs and targets of numbers are standardised. Knows no networks."""

from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy
import polars
import torch
from sklearn import datasets
from torch import Tensor

from benchmarks.faults.drawn import drawn_classes, drawn_numbers
from benchmarks.tables import SHARED, read_tables, typed

Half = Literal["thresholds", "figures", "fresh"]

MOST_ROWS = 1_000  # trainings are many, and have to be quick
_DEVELOPMENT = (
    "concrete", "energy", "kin8nm", "power_plant", "mpg", "airfoil", "bike", "california", "taxis", "forest", "adult",
    "phoneme", "german", "titanic", "mammography", "glass", "horse_colic", "diamonds",
)  # fmt: skip
# Of these, faults are put into fresh rows too; the others have fresh controls alone.
_WITH_FAULTS = ("concrete", "german", "airfoil", "phoneme")
_FRESH_NUMBERS, _FRESH_CLASSES = range(10_101, 10_108), range(10_201, 10_206)  # seeds


@dataclass(frozen=True)
class Task:
    """One data set: `inputs` `[rows, columns]` standardised, `y` `[rows]` standardised numbers, or classes from 0 on.

    Thresholds were set on one half of the data sets. The other (`figures`) was looked at while rules took shape, so
    that figures come from a third part, `fresh`: tasks drawn by seeds that nobody had used, and other rows of the
    development sets in another order. `has_faults`: whether faulty set-ups are made of it, beside controls.
    """

    name: str
    inputs: Tensor
    y: Tensor
    is_regression: bool
    half: Half = "figures"
    has_faults: bool = True

    @property
    def outputs(self) -> int:
        return 1 if self.is_regression else int(self.y.max()) + 1

    @property
    def metric(self) -> str:
        return "rmse" if self.is_regression else "log_loss"

    def parts(self, *, train: int, valid: int, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """So many training and validation rows, drawn by `seed`; fewer where the task has fewer: then a quarter of all
        validates."""
        order = numpy.random.default_rng(seed).permutation(len(self.y))
        valid = min(valid, len(order) // 4)
        judged, kept = order[:valid], order[valid : valid + train]
        return (self.inputs[kept], self.y[kept]), (self.inputs[judged], self.y[judged])


def tasks(folder: Path = SHARED) -> list[Task]:
    """All of them, those of `folder` where it exists."""
    found = [*_bundled(), *_synthetic(), *_development(folder)]
    # Every other one of each kind, by name, so that both halves have numbers and classes.
    kinds = [sorted((t for t in found if t.is_regression == kind), key=lambda t: t.name) for kind in (True, False)]
    known = [replace(task, half=_HALVES[i % 2]) for kind in kinds for i, task in enumerate(kind)]
    return known + [replace(task, half="fresh") for task in _fresh(folder)]


_HALVES: tuple[Half, Half] = ("thresholds", "figures")


def _fresh(folder: Path) -> list[Task]:
    """In such an order that whatever has been trained by some time has all kinds."""
    numbers = (_task(f"numbers {seed}", *drawn_numbers(seed, MOST_ROWS), True) for seed in _FRESH_NUMBERS)
    classes = (_task(f"classes {seed}", *drawn_classes(seed, MOST_ROWS), False) for seed in _FRESH_CLASSES)
    again = [
        replace(task, name=f"{task.name} again", has_faults=task.name in _WITH_FAULTS)
        for task in _development(folder, seed=6)
    ]
    drawn = [task for pair in zip_longest(numbers, classes) for task in pair if task is not None]
    drawn += [task for task in again if task.has_faults]
    others = [task for task in again if not task.has_faults]
    return [task for pair in zip_longest(drawn, others) for task in pair if task is not None]


def _bundled() -> list[Task]:
    found = [("diabetes", datasets.load_diabetes(), True), ("breast_cancer", datasets.load_breast_cancer(), False),
             ("digits", datasets.load_digits(), False), ("wine", datasets.load_wine(), False)]  # fmt: skip
    return [_task(name, each.data, each.target, is_regression) for name, each, is_regression in found]


def _synthetic() -> list[Task]:
    rows, rng = MOST_ROWS, numpy.random.default_rng(0)
    x = rng.uniform(-2, 2, (rows, 2))
    wave = numpy.sin(3 * x[:, 0]) * x[:, 1] + 0.2 * rng.normal(size=rows)
    linear = rng.normal(size=(rows, 10))
    noisy = linear @ rng.normal(size=10) + 2.0 * rng.normal(size=rows)
    four = datasets.make_classification(rows, 20, n_informative=8, n_classes=4, flip_y=0.05, random_state=0)
    two = datasets.make_classification(rows, 15, n_informative=5, flip_y=0.1, random_state=1)
    made: list[tuple[str, Any, bool]] = [
        ("friedman1", datasets.make_friedman1(rows, noise=1.0, random_state=0), True),
        ("friedman2", datasets.make_friedman2(rows, noise=50.0, random_state=0), True),
        ("friedman3", datasets.make_friedman3(rows, noise=0.1, random_state=0), True),
        ("wave", (x, wave), True),
        ("linear", (linear, noisy), True),
        ("moons", datasets.make_moons(rows, noise=0.25, random_state=0), False),
        ("circles", datasets.make_circles(rows, noise=0.15, factor=0.5, random_state=0), False),
        ("blobs", four[:2], False),
        ("two", two[:2], False),
    ]
    return [_task(name, inputs, targets, is_regression) for name, (inputs, targets), is_regression in made]


def _development(folder: Path, seed: int = 0) -> list[Task]:
    if not (folder / "index.json").exists():
        return []
    return [_of_table(table, seed) for table in read_tables(folder, list(_DEVELOPMENT))]


def _of_table(table, seed: int) -> Task:
    """Numbers with the median where they are missing, categories as columns of 0 and 1."""
    frame = typed(table.frame.sample(min(MOST_ROWS, table.frame.height), seed=seed))
    target, inputs = frame[table.target], frame.drop(table.target)
    numbers = inputs.select(polars.selectors.numeric()).cast(polars.Float64)
    numbers = numbers.with_columns(polars.all().fill_null(polars.all().median())).fill_null(0)
    texts = inputs.select(polars.selectors.string())
    kept = [name for name in texts.columns if texts[name].n_unique() <= 20]
    cells = numpy.hstack([numbers.to_numpy(), texts.select(kept).to_dummies().to_numpy() if kept else
                      numpy.empty((frame.height, 0))])  # fmt: skip
    y = target.to_numpy() if table.is_regression else target.cast(polars.String).rank("dense").to_numpy() - 1
    return _task(table.name, cells, y, table.is_regression, seed)


def _task(name: str, inputs: Any, y: Any, is_regression: bool, seed: int = 0) -> Task:
    order = numpy.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    inputs, y = numpy.asarray(inputs, float)[order], numpy.asarray(y)[order]
    inputs = (inputs - inputs.mean(0)) / numpy.maximum(inputs.std(0), 1e-9)
    if is_regression:
        y = (y.astype(float) - y.astype(float).mean()) / y.astype(float).std()
    target = torch.tensor(y, dtype=torch.float32 if is_regression else torch.int64)
    return Task(name, torch.tensor(inputs, dtype=torch.float32), target, is_regression)
