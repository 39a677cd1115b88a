"""Tables drawn by laws that are known: nothing is wrong with them. Knows no rule."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy
import polars

from trimtab.findings.data.boosted_trees import design_of, in_own_thread, out_of_fold
from trimtab.findings.data.table_record import TableRecord

Generator = numpy.random.Generator


@dataclass(frozen=True)
class Table:
    """A frame with the target `y`, columns `number i` and `label i`, `when` (a moment) and `customer`."""

    frame: polars.DataFrame
    is_regression: bool
    about: dict[str, Any] = field(default_factory=dict)


def healthy_table(
    generator: Generator, *, task: str = "", classes: int = 0, least_signal: float = 0.25, most_signal: float = 0.9,
    fewest_rows: int = 600, most_numbers: int = 8, apart: float = 0.0,
) -> Table:  # fmt: skip
    """A table of some hundred to some thousand rows: numbers of several laws, labels, gaps, moments and customers that
    say nothing, and a target that is a smooth function of some of them and noise of several laws. Classes lie `apart`
    by so much of the spread of what decides them: rows between are left out."""
    rows = int(generator.choice([600, 1000, 1500, 2500]))
    rows = max(rows, fewest_rows)
    numbers = int(generator.integers(min(4, most_numbers - 1), most_numbers + 1))
    columns: dict[str, Any] = {}
    signal = numpy.zeros(rows)
    for i in range(numbers):
        values = _numbers(generator, rows)
        scaled = (values - values.mean()) / values.std()
        signal += generator.uniform(0.5, 1.0) * generator.choice([-1, 1]) * _curve(generator, scaled)
        if generator.random() < 0.2:
            values = numpy.where(generator.random(rows) < generator.uniform(0, 0.2), numpy.nan, values)
        columns[f"number {i}"] = values
    for i in range(int(generator.integers(0, 4))):
        count = int(generator.integers(2, 12))
        labels = generator.choice(count, rows, p=generator.dirichlet(numpy.full(count, 3.0)))
        signal += generator.normal(size=count)[labels] * 0.6
        columns[f"label {i}"] = [f"{'abcdefghijkl'[label]}" for label in labels]
    start = datetime(2024, 1, 1)
    minutes = numpy.sort(generator.choice(500_000, rows, replace=False))
    columns["when"] = [start + timedelta(minutes=int(m)) for m in minutes]
    columns["customer"] = [f"c{i}" for i in generator.integers(0, rows // 8, rows)]
    share = float(generator.uniform(least_signal, most_signal))
    signal = (signal - signal.mean()) / signal.std()
    kept = numpy.ones(rows, dtype=bool)
    is_regression = task == "regression" or (not task and generator.random() < 0.5)
    law = str(generator.choice(["normal", "laplace", "student", "spreading"]))
    if is_regression:
        noise = _noise(generator, law, signal)
        y: Any = numpy.sqrt(share) * signal + numpy.sqrt(1 - share) * noise
        y = y * generator.choice([1.0, 37.0]) + generator.choice([0.0, 100.0])
    else:
        y, kept = _classes(generator, signal, share, classes or int(generator.choice([2, 2, 3])), apart)
    frame = polars.DataFrame({**columns, "y": y}).fill_nan(None)
    frame = frame[generator.permutation(numpy.flatnonzero(kept))]
    return Table(frame, is_regression, {"law": law, "share": round(share, 2), "regression": is_regression})


def _numbers(generator: Generator, rows: int) -> numpy.ndarray:
    law = generator.integers(5)
    if law == 0:
        return generator.normal(generator.normal(), 1, rows)
    if law == 1:
        return generator.lognormal(0, 0.6, rows)
    if law == 2:
        return generator.uniform(0, 100, rows)
    if law == 3:
        return generator.integers(0, 10, rows).astype(float)
    return generator.gamma(2.0, 3.0, rows)


def _curve(generator: Generator, values: numpy.ndarray) -> numpy.ndarray:
    shape = generator.integers(4)
    curve = (values, numpy.tanh(2 * values), numpy.sin(2 * values), numpy.abs(values))[shape]
    return (curve - curve.mean()) / curve.std()


def _noise(generator: Generator, law: str, signal: numpy.ndarray) -> numpy.ndarray:
    rows = len(signal)
    if law == "laplace":
        return generator.laplace(0, 1 / numpy.sqrt(2), rows)
    if law == "student":
        return generator.standard_t(5, rows) / numpy.sqrt(5 / 3)
    noise = generator.normal(size=rows)
    return noise * numpy.exp(0.4 * signal) / numpy.exp(0.16) if law == "spreading" else noise


def _classes(
    generator: Generator, signal: numpy.ndarray, share: float, classes: int, apart: float
) -> tuple[list[str], numpy.ndarray]:
    """Ordered classes of the signal with logistic noise: the more signal, the fewer rows of another class; and which
    rows do not lie between two."""
    noise = generator.logistic(0, 1 / 1.814, len(signal))
    score = numpy.sqrt(share) * signal + numpy.sqrt(1 - share) * noise
    parts = numpy.cumsum(generator.dirichlet(numpy.full(classes, 6.0)))[:-1]
    cuts = numpy.quantile(score, parts)
    kept = (abs(score[:, None] - cuts) > apart / 2).all(1)
    return [f"class {i}" for i in numpy.searchsorted(cuts, score)], kept


@in_own_thread
def predictions_of(record: TableRecord) -> numpy.ndarray:
    """Predictions out of fold, as a study's model would have made them: by boosted trees."""
    classes = 0 if record.task == "regression" else len(record.labels)
    columns = [column for column in record.features if column.kind != "date"]
    return out_of_fold(
        design_of(columns), record.targets, record.folds, classes=classes,
        size={"max_iter": 80, "max_leaf_nodes": 8, "min_samples_leaf": 10, "max_bins": 64},
    )  # fmt: skip
