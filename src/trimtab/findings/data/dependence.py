"""The rule not_representative where rows were drawn by chance although they belong together: times and groups.

Knows columns and targets; it knows no network.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special

from trimtab.findings.checked import Checked
from trimtab.findings.data.boosted_trees import (
    MOST_COLUMNS,
    Floats,
    design_of,
    in_own_thread,
    out_of_fold,
    random_folds,
    seconds_of,
)
from trimtab.findings.data.relation import most_telling
from trimtab.findings.data.table_record import Column, Rows, TableRecord
from trimtab.findings.finding import Effect, Finding, Remedy
from trimtab.findings.ranks import rank_shares
from trimtab.findings.remedies import in_shell

# Rows that the trees look at, and the parts that are held out in turn.
MOST_ROWS, FOLDS = 2_000, 4
# The chance of a false alarm, and by how much losses have to grow where whole groups, or stretches, are held out.
LEVEL, LEAST_GROWTH = 1e-4, 0.05
# Stretches of time that count as evidence of their own.
STRETCHES = 40
FEWEST_GROUPS = 20
_ENTITY = re.compile(
    r"(^|[_\s.-])(customer|client|patient|subject|user|person|people|member|household|family|device|machine|sensor|"
    r"store|shop|site|station|hospital|clinic|school|session|account|group|batch|lot|vehicle|driver|player|team|"
    r"animal|plot|well|image|video|document|author|speaker)s?([_\s.-]|id|nr|no|$)|([_\s.-]|^)(id|uid|uuid|guid)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Belonging:
    """Rows that may know of each other, by a column: int64 [rows] what is `held` out together, and the `units` that
    are evidence of their own. A network that `may_know` which group a row is of learns what the group has in common."""

    column: str
    by: str
    held: NDArray[numpy.int64]
    units: NDArray[numpy.int64]
    may_know: bool = False


def belongs_together(record: TableRecord, *, seed: int = 0) -> Iterator[Checked]:
    """Rows were drawn by chance although they stand in time, or several belong to one person, machine or place; and
    they give each other away.

    Rule: boosted trees predict every row out of fold, with rows held out by chance, and with stretches of time, or
    groups, held out whole; the loss of a row (absolute, of ranks) grows by more than 5 % from one to the other, in a
    one-sided t test over forty stretches, or over the groups (p < 0.0001). Trees do not learn hundreds of groups by
    heart, as an embedding does: where groups are told by the columns, the mean residual of a group's other rows, shrunk
    as variance components say, is added to predictions by chance. Time is the first column of moments. Groups are those
    of a column by its name ("customer_id"), or because some number with many values has one only within each of its
    labels. It costs nothing where rows to come are of the same times and groups; else the score is too good by that
    much.
    """
    if record.split != "random" or not record.features:
        return
    rows = _sampled(record.size, seed)
    found = [*_times(record, rows), *_groups(record, rows, seed)]
    if not found:
        return
    for belonging, growth, chance in _growths(record, rows, found, seed):
        if chance < LEVEL and growth >= LEAST_GROWTH:
            yield _optimistic(belonging, growth, chance)
        else:
            yield f'Rows near each other in "{belonging.column}" do not give each other away.'


def seconds_needed(record: TableRecord) -> float:
    """A high estimate of what the check takes; 0 where there are neither times nor groups."""
    if record.split != "random" or not record.features:
        return 0.0
    rows = _sampled(record.size, 0)
    arrangements = len([*_times(record, rows), *_groups(record, rows, 0)])
    columns, outputs = min(MOST_COLUMNS, len(record.features)), max(1, len(record.labels) or record.targets.shape[-1])
    folds = FOLDS * (1 + arrangements)
    return seconds_of(len(rows), columns, folds=folds, outputs=outputs) if arrangements else 0.0


def _columns(record: TableRecord) -> list[Column]:
    return most_telling(record.features, record.targets)


def _sampled(size: int, seed: int) -> Rows:
    if size <= MOST_ROWS:
        return numpy.arange(size)
    return numpy.sort(numpy.random.default_rng(seed).choice(size, MOST_ROWS, replace=False))


def _times(record: TableRecord, rows: Rows) -> Iterator[Belonging]:
    """Fourths and fortieths of the time; what has no date is of the last."""
    for column in record.features:
        values = column.values[rows]
        if column.kind == "date" and len(numpy.unique(values[~numpy.isnan(values)])) >= STRETCHES:
            place = numpy.empty(len(rows), dtype=numpy.int64)
            place[numpy.argsort(values, kind="stable")] = numpy.arange(len(rows))
            yield Belonging(column.name, "time", place * FOLDS // len(rows), place * STRETCHES // len(rows))
            return


def _groups(record: TableRecord, rows: Rows, seed: int) -> Iterator[Belonging]:
    for column in record.columns:
        values = column.values[rows]
        is_named = bool(_ENTITY.search(column.name))
        is_counted = column.kind != "number" or is_named or bool((values == numpy.round(values)).all())
        if column.kind == "date" or not is_counted or column.missing.any():
            continue
        _, groups, counts = numpy.unique(values, return_inverse=True, return_counts=True)
        if not FEWEST_GROUPS <= len(counts) <= len(rows) / 2:
            continue
        is_described = _is_described(column, record, rows, groups, len(counts))
        if is_named or is_described:
            held = numpy.random.default_rng(seed).permutation(len(counts))[groups] % FOLDS
            may_know = is_described or column.is_feature
            yield Belonging(column.name, "group", held, groups.astype(numpy.int64), may_know)
            return


def _is_described(column: Column, record: TableRecord, rows: Rows, groups: NDArray[numpy.int64], number: int) -> bool:
    others = [other for other in record.columns if other.kind == "number" and other.name != column.name]
    return any(_is_constant_within(other.values[rows], groups, number) for other in others)


def _is_constant_within(values: Floats, groups: NDArray[numpy.int64], number: int) -> bool:
    if numpy.isnan(values).any() or len(numpy.unique(values)) < number / 2:
        return False
    low, high = numpy.full(number, numpy.inf), numpy.full(number, -numpy.inf)
    numpy.minimum.at(low, groups, values)
    numpy.maximum.at(high, groups, values)
    return bool((low == high).all())


@in_own_thread
def _growths(
    record: TableRecord, rows: Rows, found: list[Belonging], seed: int
) -> list[tuple[Belonging, float, float]]:
    """By which share the loss out of fold grows where rows that belong together are held out together, and its
    p-value."""
    targets, classes = record.targets[rows], 0 if record.task == "regression" else len(record.labels)
    # Ranks: a few huge values would make errors of whole stretches of time.
    truth = numpy.eye(classes)[targets] if classes else rank_shares(targets)
    design, generator = design_of([column.at(rows) for column in _columns(record)]), numpy.random.default_rng(seed)

    def predicted(folds: Any) -> Floats:
        return out_of_fold(design, targets if classes else truth, folds, classes=classes, seed=seed)

    by_chance = predicted(random_folds(len(rows), FOLDS, generator))
    result = []
    for belonging in found:
        folds = [(numpy.flatnonzero(belonging.held != i), numpy.flatnonzero(belonging.held == i)) for i in range(FOLDS)]
        known = by_chance
        if belonging.may_know:
            known = by_chance + _in_common(truth - by_chance, belonging.units)
        before, after = (abs(truth - each).mean(1) for each in (known, predicted(folds)))
        counts = numpy.bincount(belonging.units)
        each = numpy.bincount(belonging.units, after - before)[counts > 0] / counts[counts > 0]
        spread = each.std(ddof=1) / numpy.sqrt(len(each))
        chance = float(special.stdtr(len(each) - 1, -each.mean() / spread)) if spread > 0 else 1.0
        result.append((belonging, float(after.mean() / max(1e-300, before.mean()) - 1), chance))
    return result


def _in_common(residuals: Floats, groups: NDArray[numpy.int64]) -> Floats:
    """What the other rows of each row's group say of its residual: their mean, shrunk by the share of the spread that
    lies within groups (one-way analysis of variance)."""
    counts = numpy.bincount(groups).astype(numpy.float64)
    result = numpy.zeros_like(residuals)
    for output in range(residuals.shape[1]):
        values = residuals[:, output] - residuals[:, output].mean()
        sums = numpy.bincount(groups, values)
        within = float(((values - (sums / counts)[groups]) ** 2).sum()) / max(1, len(values) - len(counts))
        between = float((counts * (sums / counts) ** 2).sum()) / max(1, len(counts) - 1)
        shared = max(0.0, (between - within) / counts.mean())
        if shared == 0:
            continue
        others = counts[groups] - 1
        result[:, output] = (sums[groups] - values) / (others + within / shared)
    return result


def _optimistic(belonging: Belonging, growth: float, chance: float) -> Finding:
    name, share = f'"{belonging.column}"', f"{100 * growth:.0f} %"
    if belonging.by == "time":
        which, held, when = (
            f"Rows near each other in {name}",
            "whole stretches of time held out",
            f"rows to come are later in {name}",
        )
    else:
        which, held, when = f"Rows of one {name}", f"each {name} held out whole", f"rows to come are of another {name}"
    split = f"{belonging.by}:{belonging.column}"
    return Finding(
        "not_representative",
        "high" if growth >= 0.25 else "medium",
        f"{which} give each other away: if {when}, the score of a random split is too good; with {held}, the "
        f"loss of boosted trees is {share} larger than with rows held out by chance.",
        {"column": belonging.column, "by": belonging.by, "loss_grows_by": growth, "p": chance},
        Effect(f"If {when}, the error is about {share} larger than the score says, by boosted trees.", growth),
        Remedy(
            f"If {when}, split the rows in the same way.", flag=f"--split {in_shell(split)}", code=f"split={split!r}"
        ),
    )
