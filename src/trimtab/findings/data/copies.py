"""The rule duplicate_rows: rows to judge by that stand among the training rows too.

Knows columns, targets and folds; it knows no network.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy import special

from trimtab.findings.checked import Checked
from trimtab.findings.data.boosted_trees import MOST_COLUMNS
from trimtab.findings.data.table_record import Column, TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.text.wording import counted

# The chance that as many equal rows come about without copying.
LEVEL = 1e-4
# The share of the rows judged by from which copies matter: an error changes by as much at most.
LEAST_SHARE = 0.01
ROWS_SHOWN = 20


@dataclass(frozen=True)
class Twins:
    """Rows that are equal: int64 [rows] one number for equal rows; sets of two and more; and how many such sets are to
    be expected of rows that nobody copied."""

    key: NDArray[numpy.int64]
    sets: int
    expected: float

    @property
    def are_copies(self) -> bool:
        return self.sets > 0 and float(special.pdtrc(self.sets - 1, self.expected)) < LEVEL


def duplicate_rows(record: TableRecord) -> Checked:
    """Rows to validate on have a twin with the same features in the rows that train in the same fold.

    Rule: rows equal in all features, or in all features and the target, more often than chance makes them. How often it
    does is estimated column by column from the rows that agree in all others: as many more would agree in the last one
    too as two rows agree in it anywhere; the largest of these counts is the mean of a Poisson law, and copies are there
    where what is seen has a probability below 0.0001. So answers to a few questions, of which many are alike, are no
    copies. A finding is made from 1 % of the validation rows on. Copies that the split has kept together cost nothing.
    """
    if len(record.features) < 2:
        return NotChecked("duplicate_rows", "with one column, equal values are no copies")
    if not record.folds:
        return NotChecked("duplicate_rows", "there are no validation rows")
    cells = [column.values for column in record.features]
    target = [numpy.unique(record.targets, axis=0, return_inverse=True)[1].reshape(-1)]
    whole, features = _twins([*cells, *target]), _twins(cells)
    for twins, are_whole in ((features, False), (whole, True)):
        if twins.are_copies:
            rows, share = _across(record, twins)
            if share >= LEAST_SHARE:
                return _found(record, twins, rows, share, are_whole=are_whole, whole=whole)
    copies = whole if whole.are_copies else features
    if copies.are_copies:
        return f"Equal rows ({counted(copies.sets, 'set')} of them) stand on one side of the split."
    return "No rows are copies of others beyond what chance gives."


def copies_among(record: TableRecord, name: str = "test") -> Checked:
    """Rows of `record.other` have a twin with the same features in the table, by the rule of `duplicate_rows`."""
    others = {column.name: column for column in record.other}
    columns = [column for column in record.features if column.name in others]
    if len(columns) < 2 or not record.other:
        return None
    joined = [
        Column(column.name, column.kind, numpy.concatenate([column.values, others[column.name].values]))
        for column in columns
    ]  # fmt: skip
    twins = _twins([column.values for column in joined])
    there = twins.key[record.size :]
    is_twin = numpy.isin(there, twins.key[: record.size])
    share = float(is_twin.mean()) if len(there) else 0.0
    if not twins.are_copies or share < LEAST_SHARE:
        return f"The {name} rows are no copies of training rows."
    count = int(is_twin.sum())
    return _finding(
        f"{counted(count, f'{name} row has', f'{name} rows have')} a twin with the same features among the rows that "
        f"train ({100 * share:.0f} % of {len(there):,}): the {name} score is too good.",
        {"part": name, "twins": count, "share": share, "expected_sets": twins.expected},
        share,
    )


def _mixed(values: NDArray, salt: int) -> NDArray[numpy.int64]:
    """A number of 64 bits for each value, the same for equal ones, as if drawn by chance [Steele et al. 2014]."""
    if values.dtype.kind == "f":
        values = numpy.where(numpy.isnan(values), numpy.nan, values + 0.0).view(numpy.int64)  # no minus before a nought
    z = values.astype(numpy.uint64) + numpy.uint64((0x9E3779B97F4A7C15 * salt) % 2**64)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return (z ^ (z >> numpy.uint64(31))).view(numpy.int64)


def _twins(cells: list[NDArray]) -> Twins:
    """Equal rows, by sums of one number of 64 bits for each value: two sums are equal by chance in one of 10^19
    pairs."""
    mixed = [_mixed(values, salt) for salt, values in enumerate(cells, start=1)]
    total = numpy.sum(mixed, axis=0)
    _, first, key, counts = numpy.unique(total, return_index=True, return_inverse=True, return_counts=True)
    distinct, rows, expected = total[first], len(first), 0.0
    # The last is the target, where it is there: of rows that differ in it alone there may be most.
    for each in [*mixed[: MOST_COLUMNS - 1], *mixed[MOST_COLUMNS - 1 :][-1:]]:
        agree = _equal_pairs(distinct - each[first])
        in_column = _equal_pairs(each[first]) / max(1, rows * (rows - 1) / 2)
        # The rows that agree elsewhere were counted among distinct rows; there are more pairs among all of them.
        expected = max(expected, agree * in_column / max(1e-12, 1 - in_column) * (len(total) / rows) ** 2)
    return Twins(key.astype(numpy.int64), int((counts > 1).sum()), expected)


def _equal_pairs(values: NDArray[numpy.int64]) -> float:
    counts = numpy.unique(values, return_counts=True)[1].astype(numpy.float64)
    return float((counts * (counts - 1)).sum() / 2)


def _across(record: TableRecord, twins: Twins) -> tuple[NDArray[numpy.int64], float]:
    """The rows with a twin on the other side, and their share of those that validate; of several folds all together."""
    found, judged = [], 0
    for train, valid in record.folds:
        found.append(valid[numpy.isin(twins.key[valid], twins.key[train])])
        judged += len(valid)
    rows = numpy.concatenate(found)
    return record.rows[numpy.unique(rows)], len(rows) / max(1, judged)


def _found(
    record: TableRecord, twins: Twins, rows: NDArray[numpy.int64], share: float, *, are_whole: bool, whole: Twins
) -> Finding:
    sets = numpy.unique(numpy.stack([twins.key, whole.key]), axis=1)[0]
    contradicting = int((numpy.unique(sets, return_counts=True)[1] > 1).sum())
    other = (
        f", {counted(contradicting, 'set')} of them with different targets" if contradicting and not are_whole else ""
    )
    what = "features and target" if are_whole else "features"
    of = "of those looked at" if record.is_sample else "of those that validate"
    return _finding(
        f"{counted(len(rows), 'validation row has', 'validation rows have')} a twin with the same {what} among the "
        f"rows that train ({100 * share:.0f} % {of}{other}): the score is too good.",
        {
            "part": "validation", "twins": len(rows), "share": share, "rows": rows[:ROWS_SHOWN].tolist(),
            "sets": twins.sets, "expected_sets": twins.expected, "contradicting_sets": contradicting,
        },
        share,
    )  # fmt: skip


def _finding(statement: str, evidence: dict, share: float) -> Finding:
    severity: Severity = "high" if share >= 0.2 else "medium" if share >= 0.05 else "low"
    return Finding(
        "duplicate_rows", severity, statement, evidence,
        Effect(
            f"A network that knows its training rows by heart is right on {100 * share:.0f} % of them.",
            share,
        ),
        Remedy("Keep one of the equal rows, or give a column that keeps them together.", flag="--split group:COL"),
    )  # fmt: skip
