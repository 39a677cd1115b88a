"""Split: which rows train, which judge while training (folds), and which are put aside for the test.

The test part depends on the rows and their target, the rule, the share and the seed alone: whatever else is asked for
(columns, task, weights), a second call may use what a first one has found. Knows no encoding; what drawing rows means
is in `folds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl

from trimtab.errors import DataError, OptionError
from trimtab.table import folds
from trimtab.table.cells import as_numbers
from trimtab.table.folds import FOLDS_OF_FEW, FoldRows, Units
from trimtab.table.frames import column_called
from trimtab.table.roles import collect_facts, role_of
from trimtab.table.schema import Schema, orders_target, require_column
from trimtab.table.spelling import as_labels
from trimtab.table.task import MOST_CLASSES_OF_INTEGERS, ROWS_PER_CLASS_OF_INTEGERS, choose_task
from trimtab.table.times import times_of
from trimtab.text.wording import counted

PART_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Row numbers of the table: (train, valid) of every fold, and the test rows (sorted).

    `kind` is random, time, group, column or given; the train rows of a fold never hold a copy of one of its valid rows,
    unless the caller gave the folds. `units` (int64, for every row of the table) are those of `units_of`.
    """

    kind: str
    folds: tuple[FoldRows, ...]
    test: np.ndarray
    notices: tuple[str, ...] = ()
    units: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @cached_property
    def latest(self) -> int | None:
        """The fold with the newest rows, where every fold is judged on what comes after all that it trains on, and None
        for other splits. Folds that are given go forward where they say so: each trains on what the one before trained
        on and more, or on row numbers below all that it is judged on."""
        if self.kind == "time":
            return len(self.folds) - 1
        if self.kind != "given" or len(self.folds) < 2:
            return None
        grows = all(len(a) < len(b) and np.isin(a, b).all() for (a, _), (b, _) in pairwise(self.folds))
        if grows:
            return len(self.folds) - 1
        precedes = all(train.max() < valid.min() for train, valid in self.folds)
        return int(np.argmax([train.max() for train, _ in self.folds])) if precedes else None


@dataclass(frozen=True)
class SplitRule:
    """How to split, as asked for: `random`, `time` or `group` by a column, a `column` that names the parts, or `given`.

    `number` is that of random folds, where the caller chose it, and `of_few` that of few rows where not; `folds` are
    those that were given.
    """

    kind: str
    column: str = ""
    number: int | None = None
    of_few: int = FOLDS_OF_FEW
    folds: tuple[FoldRows, ...] = ()

    @classmethod
    def of(cls, split: "str | int | Sequence[FoldRows]") -> "SplitRule":
        """The rule of a text (as for `parse`), of a number of random folds, or of pairs (train, valid) of rows."""
        if isinstance(split, str):
            return cls.parse(split)
        if isinstance(split, int):
            return cls("random", number=split)
        folds = tuple((np.asarray(train), np.asarray(valid)) for train, valid in split)
        return cls("given", folds=folds)

    @classmethod
    def parse(cls, text: str) -> "SplitRule":
        """`random`, `time:COL`, `group:COL` or `COL`; blanks before `COL` may belong to its name (`of_table` knows)."""
        if text.strip() == "random":
            return cls("random")
        kind, colon, column = text.partition(":")
        if colon and kind.strip() in ("time", "group"):
            if not column.strip():
                raise OptionError(f'--split {text} names no column: write "{kind.strip()}:COL".')
            return cls(kind.strip(), column)
        return cls("column", text)

    def of_table(self, columns: Sequence[str]) -> "SplitRule":
        """The rule with its column called as in a table that has these columns."""
        return replace(self, column=column_called(self.column, columns)) if self.column else self

    @property
    def reserved(self) -> dict[str, str]:
        """The column that is no feature because of the split, with the reason (time stays a feature)."""
        if not self.column or self.kind == "time":
            return {}
        return {self.column: "groups of the split" if self.kind == "group" else "parts of the split"}


def plan_split(
    frame: pl.DataFrame,
    schema: Schema,
    *,
    rule: SplitRule = SplitRule("random"),
    share: float | None = 0.2,
    seed: int = 0,
    counts: np.ndarray | None = None,
    classes: pl.Series | None = None,
) -> Split:
    """The split of `frame`, whose rows all have a target; `share` None puts no test rows aside.

    `counts` bool [rows] tells which rows have a weight: the test part is drawn from all rows, those that do not count
    are then taken out of it and of the folds. `classes` [rows] are the target's labels where they are written otherwise
    than in `frame`: the folds are balanced over them. Raises DataError when the rows, groups or times are too few.
    """
    if rule.column:
        require_column(frame, rule.column, "--split")
    counts = np.ones(frame.height, dtype=bool) if counts is None else counts
    generator = np.random.default_rng([seed, 0x7AB1E])
    notices: list[str] = []
    times = times_of(frame[rule.column], notices) if rule.kind == "time" else np.zeros(0)
    units = _stretches(times) if rule.kind == "time" else units_of(frame, schema, rule)
    if rule.kind == "given":
        test, pairs = np.zeros(0, dtype=np.int64), list(rule.folds)
    elif rule.kind == "time":
        try:
            test, pairs = _by_time(times, share, counts, notices)
        except DataError as error:
            # Rows without a time are one of the times that are counted there.
            raise DataError(" ".join([str(error), *notices])) from None
    elif rule.kind == "column":
        test, pairs = _by_parts(frame, schema, units, rule, share, counts, classes, generator, notices)
    else:
        test, pairs = _drawn(frame, schema, units, rule, share, counts, classes, generator, notices)
        notices += _notices_of_dates(schema) if rule.kind == "random" else []
    drawn, test = len(test), np.sort(test[counts[test]])
    if drawn and not len(test):
        notices.append("Every row of the test part has weight 0: there is no test score.")
    return Split(rule.kind, tuple(pairs), test, tuple(notices), units)


def units_of(frame: pl.DataFrame, schema: Schema, rule: SplitRule) -> np.ndarray:
    """int64 [rows]: one number for all rows that are no evidence of their own, so that they are drawn together when it
    is asked what other rows might have said.

    These are the rows of a group, under a split by time those of a stretch (as long as the cube root of the rows, the
    usual order [Hall, Horowitz & Jing 1995]; rows of one time are in one stretch), and else the copies of a row.
    """
    if rule.kind == "group" and rule.column in frame.columns:
        return _groups(frame[rule.column])
    if rule.kind == "time" and rule.column in frame.columns:
        return _stretches(times_of(frame[rule.column], []))
    return duplicates(frame.drop(rule.column, strict=False) if rule.kind == "column" else frame, schema)


def _groups(column: pl.Series) -> np.ndarray:
    return as_labels(column).fill_null("\0missing").rank("dense").to_numpy().astype(np.int64) - 1


def _stretches(times: np.ndarray) -> np.ndarray:
    if not len(times):
        return np.zeros(0, dtype=np.int64)
    _, place, count = np.unique(times, return_inverse=True, return_counts=True)
    length = int(np.ceil(len(times) ** (1 / 3)))
    first = np.cumsum(count) - count
    return np.unique(first // length, return_inverse=True)[1][place]


def _drawn(
    frame: pl.DataFrame,
    schema: Schema,
    together: np.ndarray,
    rule: SplitRule,
    share: float | None,
    counts: np.ndarray,
    classes: pl.Series | None,
    generator: np.random.Generator,
    notices: list[str],
) -> tuple[np.ndarray, list[FoldRows]]:
    """The test part and folds of rows or groups by chance."""
    test, rest = np.zeros(0, dtype=np.int64), np.arange(frame.height)
    if share:
        put_aside = folds.put_groups_aside if rule.kind == "group" else folds.put_aside
        test, rest = put_aside(Units(together, *_strata(frame, schema.targets, classes)), share, generator)
    rest = rest[counts[rest]]
    units = units_and_strata(frame, schema, together, classes)
    if rule.kind == "group":
        return test, folds.group_folds(units, rest, generator, notices)
    return test, folds.random_folds(units, rest, generator, notices, rule.number, of_few=rule.of_few)


def _by_time(
    times: np.ndarray, share: float | None, counts: np.ndarray, notices: list[str]
) -> tuple[np.ndarray, list[FoldRows]]:
    """The latest rows test; the folds are cut from those of the others that count."""
    if counts.all():
        return folds.by_time(times, share, notices)
    test = folds.by_time(times, share, [])[0]
    rest = np.setdiff1d(np.flatnonzero(counts), test)
    pairs = folds.by_time(times[rest], None, notices)[1]
    return test, [(rest[train], rest[valid]) for train, valid in pairs]


def parts_of(column: pl.Series) -> np.ndarray:
    """ "train", "valid" or "test" for each row. Raises DataError for any other value."""
    labels = as_labels(column).str.strip_chars()
    parts = labels.str.to_lowercase().replace_strict(PART_NAMES, default=None, return_dtype=pl.String)
    strange = labels.filter(parts.is_null()).unique(maintain_order=True).head(5).to_list()
    if strange:
        shown = ", ".join("missing" if value is None else f'"{value}"' for value in strange)
        raise DataError(
            f"--split {column.name}: the column must say train, valid or test in every row, but holds {shown}. "
            f"For groups write group:{column.name}, for time write time:{column.name}."
        )
    return parts.to_numpy()


def duplicates(frame: pl.DataFrame, schema: Schema) -> np.ndarray:
    """int64 [rows]: one number for all rows that are equal in every column (one that only counts the rows aside).

    Columns that are left out or used otherwise than by the rules count as well: whether a column is dropped must not
    move a row from one part to another.
    """
    counters = counters_of(frame, schema)
    used = [name for name, dtype in frame.schema.items() if not _is_unhashable(dtype) and name not in counters]
    if not used:
        return np.arange(frame.height)
    hashes = frame.select(used).hash_rows(seed=1).to_numpy()
    _, first, together = np.unique(hashes, return_index=True, return_inverse=True)
    # Numbered as they appear, so that nothing that is drawn later depends on how rows are hashed.
    return np.argsort(np.argsort(first))[together]


def counters_of(frame: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """The columns that tell rows apart and nothing else, whatever they are used for."""
    dtypes = frame.schema  # polars makes it anew at every look
    whole = [name for name, dtype in dtypes.items() if dtype.is_integer() and name not in schema.targets]
    facts = collect_facts(frame, whole)
    # Not the schema's task, which would move rows; a target of moments has no task but this one.
    asked = "classification" if frame[schema.targets[0]].dtype.is_temporal() else "auto"
    task = choose_task(frame, schema.targets, asked).task if facts else ""
    orders = {name: orders_target(frame, fact, schema.targets, task) for name, fact in facts.items()}
    return tuple(name for name in facts if role_of(facts[name], orders_target=orders[name]).name == "identifier")


def _is_unhashable(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype == pl.Object


def units_and_strata(
    frame: pl.DataFrame, schema: Schema, together: np.ndarray, classes: pl.Series | None = None
) -> Units:
    """What must stay together in the folds, and the strata to balance: the task's classes, or quantiles."""
    is_class = schema.task == "classification"
    labels = frame[schema.targets[0]] if classes is None else classes
    strata = _classes(labels) if is_class else _quantiles(frame, schema.targets)
    return Units(together, strata, is_class)


def _strata(frame: pl.DataFrame, targets: Sequence[str], labels: pl.Series | None) -> tuple[np.ndarray, bool]:
    """The strata that the test part is balanced over, and whether they are labels; from the target's cells alone, since
    the same rows test whatever task is made of them."""
    if not holds_labels(frame, targets):
        return _quantiles(frame, targets), False
    cells = frame[targets[0]]
    return _classes(cells if labels is None or cells.dtype.is_numeric() else labels), True


def holds_labels(frame: pl.DataFrame, targets: Sequence[str]) -> bool:
    """Whether a test part is balanced over the target's values: text, true and false, or so few numbers that each has
    rows enough."""
    if len(targets) != 1:
        return False
    column = frame[targets[0]]
    if not column.dtype.is_numeric():
        return True
    most = min(MOST_CLASSES_OF_INTEGERS, max(2, len(column) // ROWS_PER_CLASS_OF_INTEGERS))
    return column.n_unique() <= most


def _classes(column: pl.Series) -> np.ndarray:
    return as_labels(column).rank("dense").to_numpy().astype(np.int64) - 1


def _quantiles(frame: pl.DataFrame, targets: Sequence[str]) -> np.ndarray:
    """The twentieth of the target that a row belongs to (with several targets: of their mean rank)."""
    ranks = [pl.Series(as_numbers(frame[name])[0]).rank("average").to_numpy() for name in targets]
    return np.floor(20 * (np.mean(ranks, axis=0) - 0.5) / frame.height).astype(np.int64)


def _by_parts(
    frame: pl.DataFrame,
    schema: Schema,
    copies: np.ndarray,
    rule: SplitRule,
    share: float | None,
    counts: np.ndarray,
    classes: pl.Series | None,
    generator: np.random.Generator,
    notices: list[str],
) -> tuple[np.ndarray, list[FoldRows]]:
    column = rule.column
    parts = parts_of(frame[column])
    train, valid, test = (np.flatnonzero((parts == part) & counts) for part in ("train", "valid", "test"))
    if len(train) == 0:
        raise DataError(f'--split {column}: no usable row says "train".')
    if share is None and len(test):
        rows = counted(len(test), "row that says test trains", "rows that say test train")
        notices.append(f"--test none: the {rows} as well.")
        train, test = np.union1d(train, test), test[:0]
    elif len(test) == 0 and share is not None:
        notices.append(f'No row of "{column}" says "test": the score is that of the validation rows.')
    for rows, part in ((valid, "valid"), (test, "test")):
        shared = int(np.isin(copies[rows], copies[train]).sum())
        if shared:
            what = "is an exact copy of a row" if shared == 1 else "are exact copies of rows"
            notices.append(
                f'{shared} of the {counted(len(rows), "row")} of part "{part}" {what} in "train": '
                "the score is too good for rows never seen."
            )
    if len(valid):
        return test, [(train, valid)]
    units = units_and_strata(frame, schema, copies, classes)
    return test, folds.random_folds(units, train, generator, notices, of_few=rule.of_few)


def _notices_of_dates(schema: Schema) -> list[str]:
    return [
        f'"{column.name}" is a time, and under a random split rows of the same time may be on both sides: '
        f"--split time:{column.name} tests on the latest rows instead."
        for column in schema.with_role("date-time")[:1]
    ]
