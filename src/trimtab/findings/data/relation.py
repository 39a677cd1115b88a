"""How a column goes with the target: tests of one column at a time, and what all of them explain together.

The rule features_carry_nothing. Knows columns and targets; it knows no network.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special

from trimtab.findings.checked import Checked
from trimtab.findings.data.boosted_trees import (
    MOST_COLUMNS,
    Design,
    Floats,
    design_of,
    in_own_thread,
    out_of_fold,
    random_folds,
    seconds_of,
)
from trimtab.findings.data.table_record import MISSING, Column, TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.findings.ranks import average_ranks, rank_shares
from trimtab.text.wording import counted

# Parts of equal size that a number is cut into: enough for a relation that rises and falls again.
BINS = 8
# Rows that the models look at; and the fewest from which a lack of any relation says something (power: of 100 rows a
# correlation of 0.37 is seen in nine of ten tables at a level of 0.01).
MOST_ROWS, FEWEST_ROWS = 2_000, 60
# The chance of taking an unrelated table for a related one, of each of the two kinds of tests.
LEVEL = 0.01


def features_carry_nothing(record: TableRecord, *, seconds: float = math.inf, seed: int = 0) -> Checked:
    """No column goes with the target beyond chance, and neither a linear model nor trees on all columns predict better
    than the mean (or the shares of the classes).

    Rule: Kruskal and Wallis's test of the target over the parts of each column (for classes Pearson's chi-squared
    test), adjusted for all columns [Holm 1979]; and the gain in squared error out of fold (Brier's for classes) of a
    ridge regression and of boosted trees, each with a one-sided t test over rows. Nothing is found only where all of
    them stay silent at the 1 % level. With few rows it is not judged, nor where the models would take more than
    `seconds`.
    """
    features = record.features
    if not features or record.size < FEWEST_ROWS:
        rows = counted(record.size, "row")
        return NotChecked("features_carry_nothing", f"{rows}: too few to say that nothing is related to the target")
    chances = adjusted([chance_of(column, record.targets) for column in features])
    if min(chances) < LEVEL:
        related = counted(sum(chance < LEVEL for chance in chances), "column goes", "columns go")
        return f"{related} with the target beyond chance."
    outputs = len(record.labels) or record.targets.shape[-1]
    rows, columns = min(MOST_ROWS, record.size), min(MOST_COLUMNS, len(features))
    if seconds_of(rows, columns, folds=10, outputs=outputs) > seconds:
        return NotChecked(
            "features_carry_nothing", "no column is related to the target alone, and there is no time to try all"
        )
    gain, chance = _gain_of_models(record, seed)
    if chance < LEVEL / 2:
        return f"All columns together explain {100 * gain:.0f} % of the target, beyond chance."
    seen = _smallest_seen(record.size, len(features))
    return Finding(
        "features_carry_nothing",
        "high",
        f"No column tells anything about {_targets(record)}: none of {counted(len(features), 'column')} is related to "
        f"it beyond chance in {counted(record.size, 'row')}, alone or together with the others.",
        {
            "columns": len(features), "rows": record.size, "smallest_adjusted_p": float(min(chances)),
            "explained_out_of_fold": float(gain), "correlation_that_would_be_seen": seen,
        },
        Effect("No network can do better than the mean, or than the most frequent class.", None),
        Remedy("Add columns that have to do with the target, or check that rows and targets belong together."),
    )  # fmt: skip


def _targets(record: TableRecord) -> str:
    return " and ".join(f'"{name}"' for name in record.target_names)


def _smallest_seen(rows: int, columns: int) -> float:
    """The correlation that is found in nine of ten such tables, by Fisher's approximation."""
    z = -special.ndtri(LEVEL / (2 * columns)) - special.ndtri(0.1)
    return float(numpy.tanh(z / numpy.sqrt(max(1, rows - 3))))


def adjusted(chances: Sequence[float]) -> list[float]:
    """p-values that hold for all of them at once [Holm 1979]."""
    order = numpy.argsort(chances)
    steps = numpy.array(chances)[order] * numpy.arange(len(chances), 0, -1)
    held = numpy.minimum(1.0, numpy.maximum.accumulate(steps))
    result = numpy.empty(len(chances))
    result[order] = held
    return result.tolist()


def chance_of(column: Column, targets: NDArray[Any]) -> float:
    """The p-value of no relation between a column and the target; of several outputs the least, times their number."""
    parts = parts_of(column)
    if len(numpy.unique(parts)) < 2:
        return 1.0
    if targets.dtype.kind != "f":
        return _chi_squared(parts, targets)
    each = [_kruskal(parts, targets[:, i]) for i in range(targets.shape[1])]
    return min(1.0, min(each) * len(each))


def most_telling(columns: Sequence[Column], targets: NDArray[Any], most: int = MOST_COLUMNS) -> list[Column]:
    """The `most` columns that go most with the target, in their order."""
    if len(columns) <= most:
        return list(columns)
    kept = numpy.argsort([chance_of(column, targets) for column in columns], kind="stable")[:most]
    return [columns[i] for i in sorted(kept)]


def parts_of(column: Column) -> NDArray[numpy.int64]:
    """int64 [rows]: the part of its range that a row is in, or its label; what is missing is a part, and labels with
    fewer rows than five are one."""
    missing = column.missing
    if column.is_ordered:
        parts = numpy.full(len(column.values), BINS)
        known = column.values[~missing]
        if len(known):
            cuts = numpy.unique(numpy.quantile(known, numpy.linspace(0, 1, BINS + 1)[1:-1]))
            parts[~missing] = numpy.searchsorted(cuts, known, side="right")
            if len(numpy.unique(parts[~missing])) == 1 and len(cuts):
                parts[~missing] = numpy.searchsorted(cuts, known, side="left")
        return parts
    parts = column.values + 1  # what is missing is 0
    counts = numpy.bincount(parts)
    return numpy.where(counts[parts] < 5, counts.size, parts)


def _kruskal(parts: NDArray[numpy.int64], target: Floats) -> float:
    ranks = average_ranks(target)
    _, place, counts = numpy.unique(parts, return_inverse=True, return_counts=True)
    means = numpy.bincount(place, ranks) / counts
    spread = ranks.var(ddof=1)
    if spread == 0:
        return 1.0
    statistic = float((counts * (means - ranks.mean()) ** 2).sum() / spread)
    return float(special.chdtrc(len(counts) - 1, statistic))


def _chi_squared(parts: NDArray[numpy.int64], classes: NDArray[numpy.int64]) -> float:
    """Rare classes are one, so that no expected count is small; what remains rare is left to its parts."""
    counts = numpy.bincount(classes)
    grouped = numpy.where(counts[classes] < 5, counts.size, classes)
    table = contingency(parts, grouped)
    if min(table.shape) < 2:
        return 1.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    keep = expected.min(0) >= 1
    if keep.sum() < 2:
        return 1.0
    return chi_squared(table[:, keep][table[:, keep].sum(1) > 0])


def chi_squared(table: NDArray[numpy.int64]) -> float:
    """The p-value of no relation between what the rows and the columns of a table of counts stand for."""
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return float(special.chdtrc((table.shape[0] - 1) * (table.shape[1] - 1), statistic))


def contingency(one: NDArray[numpy.int64], other: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """How often each value of one stands beside each of the other."""
    (ones, i), (others, j) = (numpy.unique(each, return_inverse=True) for each in (one, other))
    return numpy.bincount(i * len(others) + j, minlength=len(ones) * len(others)).reshape(len(ones), len(others))


@in_own_thread
def _gain_of_models(record: TableRecord, seed: int) -> tuple[float, float]:
    """The better of two models: the share of squared error that it spares out of fold, and its p-value."""
    generator = numpy.random.default_rng(seed)
    rows = numpy.arange(record.size)
    if record.size > MOST_ROWS:
        rows = generator.choice(record.size, MOST_ROWS, replace=False)
    features = [column.at(rows) for column in most_telling(record.features, record.targets)]
    design, targets = design_of(features), record.targets[rows]
    classes = 0 if targets.dtype.kind == "f" else len(record.labels)
    truth = numpy.eye(classes)[targets] if classes else rank_shares(targets)
    folds = random_folds(len(rows), 5, generator)
    usual = numpy.empty_like(truth)
    for train, valid in folds:
        usual[valid] = truth[train].mean(0)
    grown = out_of_fold(design, targets if classes else truth, folds, classes=classes, seed=seed)
    found = [grown, _linear(features, design, truth, folds)]
    return max((_gain(truth, usual, each) for each in found), key=lambda pair: -pair[1])


def _linear(features: Sequence[Column], design: Design, truth: Floats, folds: Any) -> Floats:
    from sklearn.linear_model import RidgeCV

    pieces = []
    for i, column in enumerate(features):
        if column.is_ordered:
            ranks = average_ranks(numpy.nan_to_num(design.cells[:, i], nan=numpy.nanmedian(design.cells[:, i])))
            pieces.append((ranks / len(ranks) - 0.5)[:, None])
        else:
            labels = numpy.where(column.values == MISSING, 0, numpy.nan_to_num(design.cells[:, i]) + 1).astype(int)
            pieces.append(numpy.eye(20)[numpy.minimum(labels, 19)])
    cells = numpy.concatenate(pieces, axis=1)
    predicted = numpy.empty_like(truth)
    for train, valid in folds:
        model = RidgeCV(alphas=numpy.logspace(-1, 5, 7)).fit(cells[train], truth[train])
        predicted[valid] = numpy.asarray(model.predict(cells[valid])).reshape(len(valid), -1)
    return predicted


def _gain(truth: Floats, usual: Floats, predicted: Floats) -> tuple[float, float]:
    before, after = ((truth - each) ** 2 for each in (usual, predicted))
    each = (before - after).sum(1)
    spread = each.std(ddof=1) / numpy.sqrt(len(each))
    share = float(each.sum() / max(1e-300, before.sum()))
    return share, float(special.ndtr(-each.mean() / spread)) if spread > 0 else 1.0
