"""The role of a feature column, by rules a person can check: counts in, a role and its reason out.

Knows neither the target nor the other columns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from trimtab.text.wording import counted

# Texts that differ in more than half of the rows where they stand are names, of which the rows to come have others.
NEAR_UNIQUE_SHARE = 0.5
# Up to so many values nothing is called an identifier, whatever the table: ten rows may differ in anything.
FEW_VALUES = 10
# Characters in the mean, and different texts, from which a column is prose and no label. All of these are guesses.
LONG_TEXT = 40
MANY_TEXTS = 20
_ID_NAME = re.compile(
    r"^(.*[_\s.-])?(id|ids|uid|uuid|guid|key|index|idx|rowid|row|rownum|nr|no|number|column_1)$", re.IGNORECASE
)
_CAMEL_ID = re.compile(r"^.*[a-z](Id|ID)$")


@dataclass(frozen=True)
class Role:
    """What a column is for, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Facts:
    """What the rules may look at. `missing` counts nulls, NaN and infinities; `length` is the mean of characters."""

    name: str
    dtype: pl.DataType
    rows: int
    missing: int
    distinct: int
    length: float = 0.0
    steps_by_one: bool = False

    @property
    def is_number(self) -> bool:
        return self.dtype.is_numeric() or self.dtype in (pl.Duration, pl.Time)

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def is_different_in_every_row(self) -> bool:
        """A whole number of its own in each row, in more than a few."""
        return self.dtype.is_integer() and self.distinct == self.rows > FEW_VALUES


def collect_facts(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, Facts]:
    """The facts of the named columns, all counted in one pass."""
    if not names:
        return {}
    dtypes = frame.schema
    floats = [name for name in names if dtypes[name].is_float()]
    others = [name for name in names if not (dtypes[name].is_float() or _is_unusable(dtypes[name]))]
    finite = pl.when(pl.col(floats).is_finite()).then(pl.col(floats))
    counts = frame.select(finite.null_count(), pl.col(others).null_count())
    distinct = frame.select(finite.drop_nulls().n_unique(), pl.col(others).drop_nulls().n_unique())
    found = (
        dict(zip(counts.columns, zip(counts.row(0), distinct.row(0), strict=True), strict=True)) if counts.width else {}
    )
    facts = {}
    for name in names:
        dtype = dtypes[name]
        missing, unique = found[name] if name in found else (frame[name].null_count(), 0)
        length = 0.0
        if dtype == pl.String and unique > FEW_VALUES:
            length = float(frame[name].str.len_chars().mean() or 0.0)  # type: ignore[arg-type]
        fact = Facts(name, dtype, frame.height, missing, unique, length)
        facts[name] = replace(fact, steps_by_one=fact.is_different_in_every_row and _steps_by_one(frame[name]))
    return facts


def in_order(facts: Facts, column: pl.Series) -> Facts:
    """The facts of the column that orders the rows, as if these stood in its order."""
    if not facts.is_different_in_every_row:
        return facts
    return replace(facts, steps_by_one=column.max() - column.min() == facts.rows - 1)  # type: ignore[operator]


def role_of(
    facts: Facts,
    *,
    number: bool = False,
    category: bool = False,
    is_labelled: bool = False,
    orders_target: bool = False,
    is_time: bool = False,
) -> Role:
    """The role of a column: first the user's word (`number`, `category`), then the type it came in, then the rules.

    `orders_target`: its numbers go with those of the target, so that they are more than names of rows. `is_time`: the
    rows are split by it.
    """
    if number:
        return Role("number", "--number")
    if category:
        return Role("category", "--category")
    if _is_unusable(facts.dtype):
        return Role("text", f"{facts.dtype} cells, which are not single values")
    if facts.present == 0:
        return Role("constant", "every value is missing")
    if facts.distinct <= 1 and facts.missing == 0:
        return Role("constant", "one value in every row")
    if is_labelled:
        return Role("category", counted(facts.distinct, "distinct label"))
    if facts.dtype == pl.Boolean:
        return Role("boolean", "true and false")
    if facts.dtype in (pl.Date, pl.Datetime):
        return Role("date-time", "dates" if facts.dtype == pl.Date else "dates with time")
    return _role_of_number(facts, orders_target, is_time) if facts.is_number else _role_of_text(facts)


def _role_of_number(facts: Facts, orders_target: bool, is_time: bool) -> Role:
    if facts.is_different_in_every_row:
        # Tables are often sorted by their target: what counts the rows then orders it, and knows nothing of it.
        if facts.steps_by_one:
            return Role("identifier", "whole numbers that count the rows")
        if _ID_NAME.match(facts.name) or _CAMEL_ID.match(facts.name):
            return Role("identifier", "a different whole number in every row, and named like an identifier")
        if orders_target:
            return Role("number", "a different whole number in every row, related to the target")
        if is_time:
            return Role("number", "a different whole number in every row, the time that the rows are split by")
        return Role("identifier", "a different whole number in every row, unrelated to the target")
    return Role("number", f"{'whole numbers' if facts.dtype.is_integer() else 'numbers'}, {facts.distinct} distinct")


def _role_of_text(facts: Facts) -> Role:
    if not isinstance(facts.dtype, (pl.Categorical, pl.Enum)) and facts.distinct > FEW_VALUES:
        count = f"{facts.distinct} distinct in {counted(facts.present, 'row')}"
        if facts.length >= LONG_TEXT and facts.distinct > max(MANY_TEXTS, facts.present / 10):
            return Role("text", f"free text, {count}")
        if facts.distinct > NEAR_UNIQUE_SHARE * facts.present:
            return Role("identifier", f"nearly every value is different, {count}")
    return Role("category", counted(facts.distinct, "distinct label"))


def _is_unusable(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in (pl.Object, pl.Binary)


def _steps_by_one(column: pl.Series) -> bool:
    first, last = column[0], column[-1]
    if last - first != len(column) - 1:
        return False
    return bool((column.cast(pl.Int64, strict=False).diff().drop_nulls() == 1).all())
