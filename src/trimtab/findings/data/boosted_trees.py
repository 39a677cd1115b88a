"""Boosted trees of scikit-learn on the columns of a table: what a quick fit of another kind can tell, and what a
network should not be worse than.

Knows columns and targets as numbers; it knows no finding.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trimtab.findings.data.table_record import MISSING, Column
from trimtab.settings.quiet import quietly
from trimtab.table.folds import FoldRows

Floats = NDArray[numpy.float64]
# Trees take as many labels in a column as a number has bins; the rarest of more are one.
MOST_LABELS = 60
# Forty trees of eight leaves see most of what a hundred of thirty-one do, in a tenth of the time: enough for a test.
QUICK = {"max_iter": 40, "max_leaf_nodes": 8, "min_samples_leaf": 10, "max_bins": 64}
USUAL: dict[str, int] = {}  # scikit-learn's own

# Columns that a quick fit looks at, those that say most: its time goes with their number.
MOST_COLUMNS = 40
# Seconds of a slow machine for each cell, tree and output that trees are grown on (4e-8 were measured on one thread),
# for each fold besides, and for importing scikit-learn's trees.
SECONDS_PER_CELL, SECONDS_PER_FOLD, SECONDS_TO_IMPORT = 8e-8, 0.03, 1.5

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Design:
    """float64 [rows, columns], NaN where missing, and which columns are label numbers: the most frequent is 0."""

    cells: Floats
    is_label: NDArray[numpy.bool_]

    def at(self, rows: NDArray[numpy.int64]) -> "Design":
        return Design(self.cells[rows], self.is_label)


def design_of(columns: Sequence[Column]) -> Design:
    """The cells of columns as trees read them."""
    cells = [column.values if column.is_ordered else _by_frequency(column.values) for column in columns]
    return Design(numpy.stack(cells, axis=1), numpy.array([not column.is_ordered for column in columns], dtype=bool))


def _by_frequency(labels: NDArray[numpy.int64]) -> Floats:
    known = labels != MISSING
    _, place, counts = numpy.unique(labels[known], return_inverse=True, return_counts=True)
    rank = numpy.empty(len(counts), dtype=numpy.int64)
    rank[numpy.argsort(-counts, kind="stable")] = numpy.arange(len(counts))
    numbers = numpy.full(len(labels), numpy.nan)
    numbers[known] = numpy.minimum(rank[place], MOST_LABELS - 1)
    return numbers


def in_own_thread(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function`, called in a thread that ends with it, in which trees are grown without help from other threads.

    On a few thousand rows they wait for each other: 40 ms become seconds where the processor is busy.
    """

    @wraps(function)
    def called(*arguments: _P.args, **options: _P.kwargs) -> _R:
        def work() -> _R:
            with quietly(), threadpool_limits(1, user_api="openmp"):
                return function(*arguments, **options)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work).result()

    return called


def seconds_of(rows: int, columns: int, *, folds: int, outputs: int = 1, size: dict[str, int] = QUICK) -> float:
    """A high estimate of what growing trees on so many rows and columns takes; of two classes there is one output."""
    trees = size.get("max_iter", 100) * (1 if outputs == 2 else outputs)
    # Also where it is imported already: what is checked must not depend on what else the process has done.
    return SECONDS_TO_IMPORT + folds * (SECONDS_PER_FOLD + rows * columns * trees * SECONDS_PER_CELL)


def random_folds(rows: int, number: int, generator: numpy.random.Generator) -> tuple[FoldRows, ...]:
    """Rows in equal parts by chance, each of which is held out once."""
    part = generator.permutation(rows) % number
    return tuple((numpy.flatnonzero(part != each), numpy.flatnonzero(part == each)) for each in range(number))


def out_of_fold(
    design: Design, targets: NDArray[Any], folds: Sequence[FoldRows], *, classes: int = 0,
    weights: Floats | None = None, size: dict[str, int] = QUICK, loss: str = "squared_error", seed: int = 0,
) -> Floats:  # fmt: skip
    """Predictions of rows by trees grown without them: float64 [rows, outputs], or probabilities [rows, classes]; NaN
    for rows in no validation part, the mean for those in several."""
    outputs = classes or targets.shape[1]
    total, count = numpy.zeros((len(targets), outputs)), numpy.zeros((len(targets), 1))
    for train, valid in folds:
        weight = None if weights is None else weights[train]
        grown = _classes if classes else _numbers
        total[valid] += grown(design, targets, train, valid, weight, outputs, {**size, "random_state": seed}, loss)
        count[valid] += 1
    return total / numpy.where(count, count, numpy.nan)


def _numbers(
    design: Design, targets: Floats, train: Any, valid: Any, weight: Floats | None, outputs: int, size: dict[str, int],
    loss: str,
) -> Floats:  # fmt: skip
    from sklearn.ensemble import HistGradientBoostingRegressor  # takes a second to import

    pieces = []
    for output in range(outputs):
        options: dict[str, Any] = {**size, "categorical_features": design.is_label, "early_stopping": False}
        trees = HistGradientBoostingRegressor(loss=loss, **options)
        trees.fit(design.cells[train], targets[train, output], sample_weight=weight)
        pieces.append(trees.predict(design.cells[valid]))
    return numpy.stack(pieces, axis=1)


def _classes(
    design: Design, targets: NDArray[Any], train: Any, valid: Any, weight: Floats | None, outputs: int,
    size: dict[str, int], loss: str,
) -> Floats:  # fmt: skip
    from sklearn.ensemble import HistGradientBoostingClassifier

    del loss
    found = numpy.zeros((len(valid), outputs))
    known = numpy.unique(targets[train])
    if len(known) == 1:
        found[:, known[0]] = 1.0
        return found
    options: dict[str, Any] = {**size, "categorical_features": design.is_label, "early_stopping": False}
    trees = HistGradientBoostingClassifier(**options)
    trees.fit(design.cells[train], targets[train], sample_weight=weight)
    found[:, known] = trees.predict_proba(design.cells[valid])
    return found
