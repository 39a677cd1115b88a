"""The rule not_representative: whether the rows that a network is judged by, or will predict, are like those that it
is trained on.

Knows columns and folds; it knows no network.
"""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special

from trimtab.findings.checked import Checked
from trimtab.findings.data.boosted_trees import MOST_COLUMNS, Floats, design_of, in_own_thread, out_of_fold, seconds_of
from trimtab.findings.data.relation import adjusted, chi_squared, contingency
from trimtab.findings.data.table_record import Column, Rows, TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.findings.ranks import average_ranks
from trimtab.findings.remedies import without
from trimtab.text.wording import counted, listed

# Rows of each side that the trees look at, and the fewest that a test makes sense of.
MOST_ROWS, FEWEST_ROWS = 1_000, 30
FOLDS = 3
# The chance of a false alarm of each of these tests: a table is put to several, a user to many tables.
LEVEL = 1e-4
# What is beyond chance may still be nothing: below these, all but a tenth of the rows could be of either side.
LEAST_AREA, LEAST_DISTANCE = 0.55, 0.1


def differs_from_validation(record: TableRecord, *, seed: int = 0) -> Checked:
    """The rows that validate are unlike those that train.

    Rule: boosted trees try to tell the two apart from the features alone (a classifier two-sample test [Lopez-Paz and
    Oquab 2017]); the area under their ROC curve out of fold is tested against one half by its exact variance without a
    difference [Mann and Whitney 1947]. Each column is tested too (Kolmogorov and Smirnov's test of numbers, Pearson's
    of labels and of what is missing), adjusted for all [Holm 1979]. Of rows that are no evidence of their own (copies,
    groups, stretches of time) one counts. Not asked where trimtab itself drew the rows by chance.
    """
    if record.split == "random":
        return "Training and validation rows were drawn from the same rows by chance."
    if not record.folds:
        return NotChecked("not_representative", "there are no validation rows to compare with")
    train, valid = record.folds[-1]
    columns = [column for column in record.features if _may_tell_apart(column, record)]
    here, there = (_independent(part, record.units, seed) for part in (train, valid))
    sides = [column.at(here) for column in columns], [column.at(there) for column in columns]
    why = f" because they come later in {_quoted(record.split_column)}" if record.split == "time" else ""
    return _compared(*sides, name="validation", why=why.rstrip(), seed=seed)


def differs_from_others(record: TableRecord, name: str = "test", *, seed: int = 0) -> Checked:
    """The rows of `record.other` (those of the test, or new ones) are unlike the rows of the table, by the rule of
    `differs_from_validation`. Only features are compared."""
    if not record.other:
        return NotChecked("not_representative", f"there are no {name} rows to compare with")
    others = {column.name: column for column in record.other}
    columns = [c for c in record.features if c.name in others and _may_tell_apart(c, record)]
    here = _independent(numpy.arange(record.size), record.units, seed)
    there = _independent(numpy.arange(len(record.other_units)), record.other_units, seed)
    sides = [column.at(here) for column in columns], [others[column.name].at(there) for column in columns]
    return _compared(*sides, name=name, why="", seed=seed)


def seconds_needed(record: TableRecord) -> float:
    """A high estimate of what one of the checks takes."""
    return seconds_of(2 * MOST_ROWS, min(MOST_COLUMNS, len(record.features)), folds=FOLDS, outputs=2)


def _may_tell_apart(column: Column, record: TableRecord) -> bool:
    """Times, and what counts the rows, tell any two parts apart, and mean no harm by it."""
    return column.kind in ("number", "category") and column.name != record.split_column


def _independent(rows: Rows, units: Rows, seed: int) -> Rows:
    """One row of each unit, drawn by chance."""
    shuffled = numpy.random.default_rng(seed).permutation(rows)
    return shuffled[numpy.unique(units[shuffled], return_index=True)[1]]


def _compared(here: Sequence[Column], there: Sequence[Column], *, name: str, why: str, seed: int) -> Checked:
    counts = [len(side[0].values) if side else 0 for side in (here, there)]
    if min(counts) < FEWEST_ROWS:
        return NotChecked("not_representative", f"{counted(min(counts), 'row')} to compare are too few")
    tested = [_difference(*pair) for pair in zip(here, there, strict=True)]
    # Drawn by chance: those that differ most would tell the parts apart by chance.
    kept = numpy.random.default_rng(seed).permutation(len(here))[:MOST_COLUMNS]
    area, chance = _told_apart([here[i] for i in kept], [there[i] for i in kept], seed)
    held = adjusted([p for p, _ in tested])
    moved = [
        (column.name, distance)
        for column, p, (_, distance) in zip(here, held, tested, strict=True)
        if p < LEVEL and distance >= LEAST_DISTANCE
    ]
    moved.sort(key=lambda pair: -pair[1])
    if not moved and not (chance < LEVEL and area >= LEAST_AREA):
        return f"Trees cannot tell {name} rows from training rows (they are right {100 * area:.0f} % of the time)."
    which = f", most of all in {listed(_quoted(each) for each, _ in moved[:3])}" if moved else ""
    return Finding(
        "not_representative",
        _severity(max(2 * area - 1, moved[0][1] if moved else 0.0)),
        f"The {name} rows are unlike the training rows{which}: shown one of each, boosted trees say which is which in "
        f"{100 * area:.0f} % of the cases, where chance is right in 50 %.{why}",
        {
            "part": name, "area_under_roc": area, "p": chance, "rows": counts, "columns": dict(moved),
        },
        Effect(f"The score on {name} rows is not that of rows like the training rows."),
        _remedy(name, [column for column, _ in moved]),
    )  # fmt: skip


def _remedy(name: str, moved: Sequence[str]) -> Remedy:
    if name == "validation":
        return Remedy(
            "Draw training and validation rows from the same rows, unless rows to come differ just like these.",
            flag="--split random", code='split="random"',
        )  # fmt: skip
    text = f"Train on rows like the {name} rows too"
    if not moved:
        return Remedy(f"{text}.")
    flags = without(*moved)
    return Remedy(f"{text}, or leave out the columns that differ.", flag=flags, code=f"drop={list(moved)!r}")


def _severity(size: float) -> Severity:
    """By how many rows of ten are of one side alone: 5, 2, or fewer."""
    return "high" if size >= 0.5 else "medium" if size >= 0.2 else "low"


@in_own_thread
def _told_apart(here: Sequence[Column], there: Sequence[Column], seed: int) -> tuple[float, float]:
    """The area under the ROC curve out of fold, and the chance of so large a one without a difference."""
    generator = numpy.random.default_rng(seed)
    taken = [
        generator.choice(rows, min(MOST_ROWS, rows), replace=False)
        for rows in (len(here[0].values), len(there[0].values))
    ]
    columns = [
        Column(a.name, a.kind, numpy.concatenate([a.values[taken[0]], b.values[taken[1]]]))
        for a, b in zip(here, there, strict=True)
    ]
    side = numpy.repeat([0, 1], [len(rows) for rows in taken])
    weights = numpy.where(side == 0, 1 / len(taken[0]), 1 / len(taken[1])) * len(side) / 2
    folds = _both_in_each(side, generator)
    guessed = out_of_fold(design_of(columns), side, folds, classes=2, weights=weights, seed=seed)[:, 1]
    areas, spreads = [], []
    for _, valid in folds:
        ones, zeros = (side[valid] == 1).sum(), (side[valid] == 0).sum()
        ranks = average_ranks(guessed[valid])
        areas.append((ranks[side[valid] == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))
        spreads.append((ones + zeros + 1) / (12 * ones * zeros))
    z = (numpy.mean(areas) - 0.5) * len(areas) / numpy.sqrt(numpy.sum(spreads))
    return float(numpy.mean(areas)), float(special.ndtr(-z))


def _both_in_each(side: NDArray[numpy.int64], generator: numpy.random.Generator) -> Any:
    part = numpy.empty(len(side), dtype=numpy.int64)
    for each in (0, 1):
        rows = generator.permutation(numpy.flatnonzero(side == each))
        part[rows] = numpy.arange(len(rows)) % FOLDS
    return tuple((numpy.flatnonzero(part != i), numpy.flatnonzero(part == i)) for i in range(FOLDS))


def _difference(here: Column, there: Column) -> tuple[float, float]:
    """The p-value of one law on both sides, and the distance between the two: the largest of the shares up to a value,
    or half of the sum of the differences of the labels' shares."""
    missing = [column.missing for column in (here, there)]
    gone = _of_labels(*(each.astype(numpy.int64) for each in missing))
    values = [column.values[~each] for column, each in zip((here, there), missing, strict=True)]
    if min(map(len, values)) == 0:
        return gone
    if here.is_ordered:
        own = _of_numbers(*values)
    else:
        own = _of_labels(*values)
    return min(1.0, 2 * min(gone[0], own[0])), max(
        gone[1] if gone[0] < own[0] else 0.0, own[1] if own[0] <= gone[0] else 0.0
    )


def _of_numbers(here: Floats, there: Floats) -> tuple[float, float]:
    """Kolmogorov and Smirnov's distance, and its p-value for many rows."""
    every = numpy.sort(numpy.concatenate([here, there]))
    shares = [numpy.searchsorted(numpy.sort(side), every, side="right") / len(side) for side in (here, there)]
    distance = float(abs(shares[0] - shares[1]).max())
    root = numpy.sqrt(len(here) * len(there) / (len(here) + len(there)))
    return float(special.kolmogorov(root * distance)), distance


def _of_labels(here: NDArray[numpy.int64], there: NDArray[numpy.int64]) -> tuple[float, float]:
    side = numpy.repeat([0, 1], [len(here), len(there)])
    labels = numpy.concatenate([here, there])
    _, place, counts = numpy.unique(labels, return_inverse=True, return_counts=True)
    rare = counts * min(len(here), len(there)) / len(labels) < 5
    labels = numpy.where(rare[place], counts.size, place)
    table = contingency(side, labels)
    if table.shape[1] < 2:
        return 1.0, 0.0
    shares = table / table.sum(1, keepdims=True)
    return chi_squared(table), float(abs(shares[0] - shares[1]).sum() / 2)


def _quoted(name: str) -> str:
    return f'"{name}"'
