"""Drawing rows: a test part and folds that keep copies and groups together and every class or quantile in proportion.

Knows numbers only: which unit and which stratum each row belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.settings.quiet import quietly
from trimtab.text.wording import counted

FoldRows = tuple[np.ndarray, np.ndarray]  # numbers of the rows that train, and of those that judge
PARTS = ("train", "valid")

# Rows up to which each configuration trains in folds: there a single part of them would choose by luck, and trainings
# are short enough to be made five times. A guess.
MOST_ROWS_FOR_FOLDS = 5_000
# The usual number: four fifths of the rows train in each, which costs little of what all of them would reach. Of so few
# rows a tenth less costs more than twice the trainings do (benchmarks/RESULTS.md, "Folds of small tables").
FOLDS = 5
FOLDS_OF_FEW, FEW_ROWS = 10, 300
# Of a larger table, what is judged by; and the rows from which on an error is known to a hundredth of its spread, so
# that more would only be missing where they train.
VALIDATION_SHARE = 0.2
MOST_VALIDATION_ROWS = 10_000
# Rows that a group may have to be put aside from a stratum that has few to give. A guess.
SMALL_UNIT = 5


@dataclass(frozen=True)
class Units:
    """int64 [rows]: `together`, rows of one number stay on one side; `strata`, classes or quantiles of the target."""

    together: np.ndarray
    strata: np.ndarray
    are_classes: bool

    @cached_property
    def all_rows(self) -> np.ndarray:
        return np.arange(len(self.together))

    @cached_property
    def by_unit(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each unit: its first row, its size, and its stratum (that of its first row)."""
        _, first, size = np.unique(self.together, return_index=True, return_counts=True)
        return first, size, self.strata[first]

    def within(self, rows: np.ndarray) -> "Units":
        return Units(np.unique(self.together[rows], return_inverse=True)[1], self.strata[rows], self.are_classes)

    def dealt(self, generator: np.random.Generator) -> np.ndarray:
        """The units in the order in which they are dealt out: by stratum, then size, otherwise by chance."""
        _, size, stratum = self.by_unit
        return np.lexsort((generator.random(len(size)), size, stratum))

    def is_alone(self) -> np.ndarray:
        """bool [units]: no other unit has its class, so that it has to train."""
        _, _, stratum = self.by_unit
        return (np.bincount(stratum)[stratum] == 1) & self.are_classes


def folds_frame(folds: Sequence[FoldRows], rows: np.ndarray) -> pl.DataFrame:
    """Each fold's rows, one by one: `row`, the number of the `fold` from 1 on, and its `part` (train or valid).

    `folds` are places in `rows`, which are row numbers of a table, from 0 on.
    """
    columns: dict[str, list] = {"row": [], "fold": [], "part": []}
    for number, fold in enumerate(folds, start=1):
        for part, places in zip(PARTS, fold, strict=True):
            columns["row"].append(rows[places])
            columns["fold"].append(np.full(len(places), number))
            columns["part"].append(np.full(len(places), part))
    return pl.DataFrame({name: np.concatenate(pieces) for name, pieces in columns.items()})


def put_aside(units: Units, share: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(aside, rest): about `share` of the rows of every stratum; every class keeps some row in the rest."""
    order = units.dealt(generator)
    alone = units.is_alone()
    order = order[~alone[order]]
    if len(order) < 2:
        raise _none_to_hold_out(alone, "different row")
    aside = np.zeros(len(alone), dtype=bool)
    steps = np.floor(np.cumsum(_chances(units, share)[order]) + 0.5)
    aside[order[np.diff(steps, prepend=0.0) > 0]] = True
    if not aside.any():
        aside[order[len(order) // 2]] = True
    if aside[order].all():
        aside[order[0]] = False
    if units.are_classes:
        aside[_first_of_emptied(units, aside)] = False
    if not aside.any():
        raise _too_few("different row", len(alone), len(alone) + 1)
    is_aside = aside[units.together]
    return np.flatnonzero(is_aside), np.flatnonzero(~is_aside)


def _chances(units: Units, share: float) -> np.ndarray:
    """float64 [units]: the chance of each to be put aside, so that every stratum gives `share` of its rows.

    A unit that is larger than what its stratum has to give stays, and the others make up for it.
    """
    _, size, stratum = units.by_unit
    quota = share * np.bincount(stratum, weights=size)
    gives = size <= np.maximum(quota[stratum], SMALL_UNIT)
    there = np.bincount(stratum, weights=size * gives, minlength=len(quota))
    chance = np.minimum(quota / np.maximum(there, 1), max(share, 0.5))
    return np.where(gives, chance[stratum], 0.0)


def random_folds(
    units: Units,
    rows: np.ndarray,
    generator: np.random.Generator,
    notices: list[str],
    number: int | None = None,
    *,
    of_few: int = FOLDS_OF_FEW,
) -> list[FoldRows]:
    """`number` folds over `rows`; if none is given, `of_few` of fewer than 300, five up to 5,000, above that one
    validation part."""
    part = units.within(rows)
    alone = part.is_alone()
    _say_single_rows(alone, notices)
    if number is None and len(rows) > MOST_ROWS_FOR_FOLDS:
        valid, train = put_aside(part, _validation_share(len(rows)), generator)
        return [(rows[train], rows[valid])]
    order = part.dealt(generator)
    order = order[~alone[order]]
    if len(order) < 2:
        raise _none_to_hold_out(alone, "different row to train on")
    number = min(number or (of_few if len(rows) < FEW_ROWS else FOLDS), len(order))
    _say_rare_classes(part, order, number, notices)
    fold_of_unit = np.full(len(alone), -1)
    # A class has its units next to each other: those of a rare one are valid in as many folds as it has.
    fold_of_unit[order] = np.arange(len(order)) % number
    fold = fold_of_unit[part.together]
    return [(rows[fold != i], rows[fold == i]) for i in range(number)]


def put_groups_aside(units: Units, share: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(aside, rest): whole groups by chance, as near to `share` of the rows as they add up to."""
    _, size, _ = units.by_unit
    if len(size) < 2:
        raise _too_few("group", len(size), 2)
    wanted = share * len(units.together)
    aside = np.zeros(len(size), dtype=bool)
    taken = 0
    for group in generator.permutation(len(size)).tolist():
        if taken + size[group] <= wanted or (taken == 0 and size[group] == size.min()):
            aside[group] = True
            taken += int(size[group])
    if aside.all():
        aside[int(np.argmax(size))] = False
    is_aside = aside[units.together]
    return np.flatnonzero(is_aside), np.flatnonzero(~is_aside)


def group_folds(units: Units, rows: np.ndarray, generator: np.random.Generator, notices: list[str]) -> list[FoldRows]:
    """Folds of whole groups, classes or quantiles balanced as well as the groups allow."""
    part = units.within(rows)
    groups = len(part.by_unit[0])
    if groups < 2:
        raise _too_few("group to train on", groups, 2)
    dealt = np.flatnonzero(~_always_train(part, notices)[part.together])
    part, groups = part.within(dealt), len(np.unique(part.together[dealt]))
    if len(rows) > MOST_ROWS_FOR_FOLDS:
        valid = dealt[put_groups_aside(part, _validation_share(len(rows)), generator)[0]]
        return [(np.delete(rows, valid), rows[valid])]
    number = min(FOLDS, groups)
    if number < FOLDS:
        notices.append(f"There are {groups} groups to train on: {number} folds instead of {FOLDS}.")
    fold = np.full(len(rows), -1)
    fold[dealt] = _balanced_groups(part, number, int(generator.integers(2**31)))
    return [(rows[fold != i], rows[fold == i]) for i in range(number)]


def by_time(times: np.ndarray, share: float | None, notices: list[str]) -> tuple[np.ndarray, list[FoldRows]]:
    """(test, folds): the latest rows test, and every fold trains on what lies before its valid rows."""
    order = np.argsort(times, kind="stable")
    # A cut stands only where time moves on, so that rows of one time stay together.
    ordered = times[order]
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    needed = 2 if share else 1
    if len(cuts) < needed:
        raise _too_few("different time", len(cuts) + 1, needed + 1)
    end = len(order)
    if share:
        end = int(_nearest(cuts[1:], (1 - share) * len(order)))
    test, cuts = order[end:], cuts[cuts < end]
    if end > MOST_ROWS_FOR_FOLDS:
        wanted = [(1 - _validation_share(end)) * end]
    else:
        wanted = [end * (i + 1) / (FOLDS + 1) for i in range(FOLDS)]
    starts = sorted({int(_nearest(cuts, place)) for place in wanted})
    if len(starts) < len(wanted):
        there, made = counted(len(cuts) + 1, "different time"), counted(len(starts), "fold")
        notices.append(f"There are {there} to train on: {made} instead of {FOLDS}.")
    bounds = [*starts, end]
    return test, [(np.sort(order[:a]), np.sort(order[a:b])) for a, b in pairwise(bounds)]


def _nearest(cuts: np.ndarray, place: float) -> int:
    return cuts[int(np.argmin(np.abs(cuts - place)))]


def _validation_share(rows: int) -> float:
    return min(VALIDATION_SHARE, MOST_VALIDATION_ROWS / rows)


def _first_of_emptied(units: Units, aside: np.ndarray) -> np.ndarray:
    """One unit of each class all of whose units were put aside."""
    _, _, stratum = units.by_unit
    classes = np.bincount(stratum).shape[0]
    kept = np.bincount(stratum[~aside], minlength=classes)
    emptied = np.flatnonzero((kept == 0) & (np.bincount(stratum, minlength=classes) > 0))
    return np.array([np.flatnonzero(stratum == label)[0] for label in emptied], dtype=np.int64)


def _say_rare_classes(part: Units, order: np.ndarray, number: int, notices: list[str]) -> None:
    """Say which classes have fewer rows to deal out than there are folds."""
    if not part.are_classes:
        return
    counts = np.bincount(part.by_unit[2][order])
    rare = counts[(counts > 0) & (counts < number)]
    if len(rare):
        rows = f"{rare.min()}" if rare.min() == rare.max() else f"{rare.min()} to {rare.max()}"
        it = "it trains in every fold and is" if len(rare) == 1 else "they train in every fold and are"
        notices.append(
            f"{counted(len(rare), 'class has', 'classes have')} only {rows} different rows to train on: "
            f"{it} validated in {rows} of the {number} folds."
        )


def _say_single_rows(alone: np.ndarray, notices: list[str]) -> None:
    count = int(alone.sum())
    if count:
        notices.append(
            f"{counted(count, 'class has', 'classes have')} a single row to train on: "
            f"{'it always trains and is' if count == 1 else 'these always train and are'} never validated."
        )


def _always_train(part: Units, notices: list[str]) -> np.ndarray:
    """bool [groups]: the group holds all rows of a class, and two others at least can be dealt out."""
    groups = len(part.by_unit[0])
    needed = np.zeros(groups, dtype=bool)
    if part.are_classes:
        pairs = np.unique(np.stack([part.strata, part.together]), axis=1)
        needed[pairs[1][np.bincount(pairs[0])[pairs[0]] == 1]] = True
    if groups - needed.sum() < 2:
        return np.zeros(groups, dtype=bool)
    if needed.any():
        count = int(needed.sum())
        notices.append(
            f"{counted(count, 'group holds', 'groups hold')} every row of a class: "
            f"{'it always trains and is' if count == 1 else 'these always train and are'} never validated."
        )
    return needed


def _balanced_groups(part: Units, number: int, seed: int) -> np.ndarray:
    """int64 [rows]: the fold in which each row is valid."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=number, shuffle=True, random_state=seed)
    fold = np.full(len(part.together), -1)
    strata = part.strata if np.bincount(part.strata).max() >= number else np.zeros_like(part.strata)
    with quietly():
        for i, (_, valid) in enumerate(splitter.split(part.together, strata, part.together)):
            fold[valid] = i
    if len(np.unique(fold)) < number:
        # Balancing the strata can leave a fold empty when groups are few: then sizes alone are balanced.
        _, size, _ = part.by_unit
        fold_of_group = np.empty(len(size), dtype=np.int64)
        fold_of_group[np.argsort(-size, kind="stable")] = np.arange(len(size)) % number
        fold = fold_of_group[part.together]
    return fold


def _none_to_hold_out(alone: np.ndarray, what: str) -> DataError:
    if len(alone) < 2 or not alone.all():
        return _too_few(what, int((~alone).sum()) if alone.any() else len(alone), 2)
    return DataError(
        f"There are {_of(len(alone), what)}, each with a class or value of the target that no other has, so that none "
        "can be held out: give more rows."
    )


def _too_few(what: str, there: int, needed: int) -> DataError:
    """The error where there are fewer than `needed` of `what`, in the singular."""
    return DataError(
        f"There {'is' if there == 1 else 'are'} {_of(there, what)}, and a split needs at least {_of(needed, what)}: "
        "give more rows or another --split."
    )


def _of(number: int, what: str) -> str:
    thing, gap, purpose = what.partition(" to ")
    return f"{counted(number, thing)}{gap}{purpose}"
