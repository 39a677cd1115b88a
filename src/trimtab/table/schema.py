"""Schema: what each column is for (its role) and why, and what is learnt from the table (its task).

Decides names and roles only: it changes no cell, splits nothing and encodes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.errors import DataError, OptionError, did_you_mean
from trimtab.table.cells import as_numbers
from trimtab.table.ordering import says_something
from trimtab.table.roles import Facts, Role, collect_facts, in_order, role_of
from trimtab.table.spelling import as_labels
from trimtab.table.task import choose_task

FEATURE_ROLES = ("number", "category", "boolean", "date-time")
_KEPT_BY = {"identifier": "--category {0} or --number {0}", "text": "--category {0}", "constant": "--number {0}"}


@dataclass(frozen=True)
class Column:
    """One column: its role, the reason for it, and what was counted (in rows that have a target).

    `format` is how its moments were written, for a date-time column that came as text.
    """

    name: str
    role: str
    dtype: str
    missing: int
    distinct: int
    reason: str
    format: str | None = None


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their order, the task with its reason, and what the user should be told."""

    task: str
    task_reason: str
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    weight: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role in FEATURE_ROLES)

    def with_role(self, role: str) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == role)

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, role and reason of every column, as the table that is shown before training starts."""
        return [(column.name, column.role, column.reason) for column in self.columns]


def infer_schema(
    frame: pl.DataFrame,
    *,
    targets: Sequence[str],
    task: str = "auto",
    drop: Sequence[str] = (),
    number: Sequence[str] = (),
    category: Sequence[str] = (),
    labelled: Sequence[str] = (),
    weight: str | None = None,
    time: str | None = None,
    reserved: Mapping[str, str] | Sequence[str] = (),
    formats: Mapping[str, str] | None = None,
) -> Schema:
    """The schema of `frame`, whose text columns have been settled (`cells.settle_types`).

    `drop`, `number` and `category` are the user's word and win over every rule; `labelled` columns are labels by the
    type they came in; `time` is the column that orders the rows, if one does; `reserved` columns belong to the split (a
    mapping gives the reason). Raises DataError when no
    feature is left, OptionError for contradictions.
    """
    _check_names(frame, targets, drop, number, category, weight, reserved)
    _check_overrides(frame, number, category)
    choice = choose_task(frame, targets, task)
    reserved = dict(reserved) if isinstance(reserved, Mapping) else dict.fromkeys(reserved, "belongs to the split")
    fixed = dict.fromkeys(drop, Role("dropped", "--drop")) | {
        name: Role("split", reason) for name, reason in reserved.items()
    }
    fixed |= {name: Role("target", choice.task) for name in targets}
    if weight is not None:
        fixed[weight] = Role("weight", "--weight")
    facts = collect_facts(frame, [name for name in frame.columns if name not in fixed])
    if time in facts:
        facts[time] = in_order(facts[time], frame[time])
    roles = {
        name: role_of(
            fact,
            number=name in number,
            category=name in category,
            is_labelled=name in labelled,
            orders_target=orders_target(frame, fact, targets, choice.task),
            is_time=name == time,
        )
        for name, fact in facts.items()
    }
    roles = _with_a_feature(roles, facts, frame)
    columns = tuple(
        _column(frame, name, fixed.get(name) or roles[name], facts.get(name), (formats or {}).get(name))
        for name in frame.columns
    )
    return Schema(choice.task, choice.reason, columns, tuple(targets), weight, tuple(_notices(columns)))


def require_column(frame: pl.DataFrame, name: str, what: str) -> None:
    """Raise DataError, with the nearest name, when `frame` has no column `name`."""
    if name not in frame.columns:
        listed = ", ".join(frame.columns[:12]) + (", ..." if frame.width > 12 else "")
        raise DataError(
            f'There is no column "{name}" ({what}).{did_you_mean(name, frame.columns)} The columns are: {listed}.'
        )


def _check_names(frame, targets, drop, number, category, weight, reserved) -> None:
    asked = [(name, "the target") for name in targets]
    asked += [(weight, "--weight")] if weight is not None else []
    asked += [(name, "--split") for name in reserved]
    asked += [(name, "--drop") for name in drop] + [(name, "--number") for name in number]
    asked += [(name, "--category") for name in category]
    for name, what in asked:
        require_column(frame, name, what)
    if len(set(targets)) < len(targets):
        raise OptionError(f"A target is named twice: {', '.join(targets)}.")
    uses: dict[str, str] = {}
    for name, what in asked:
        if uses.setdefault(name, what) != what:
            raise OptionError(f'The column "{name}" cannot be {uses[name]} and {what} at the same time.')


def _check_overrides(frame: pl.DataFrame, number: Sequence[str], category: Sequence[str]) -> None:
    for name in number:
        values, _ = as_numbers(frame[name])
        if not np.isfinite(values).any():
            raise OptionError(f'"{name}" cannot be one of --number: no cell of it is a number ({frame[name].dtype}).')
    for name in category:
        if as_labels(frame[name]).null_count() == frame.height:
            raise OptionError(f'"{name}" cannot be one of --category: no cell of it is a label ({frame[name].dtype}).')


def _with_a_feature(roles: dict[str, Role], facts: dict[str, Facts], frame: pl.DataFrame) -> dict[str, Role]:
    """A running number that would be the only feature is what the table is about (y over x): it stays."""
    if any(role.name in FEATURE_ROLES for role in roles.values()):
        return roles
    kept = {
        name: Role("number", "a different whole number in every row, and there is nothing else to learn from")
        for name, role in roles.items()
        if role.name == "identifier" and facts[name].is_number
    }
    if kept:
        return roles | kept
    if frame.width == 0 or not roles:
        raise DataError("There is nothing to learn from: the table holds no column besides the target.")
    listed = ", ".join(f"{name} ({role.name})" for name, role in list(roles.items())[:8])
    raise DataError(
        f"There is nothing to learn from, every column was left out: {listed}. Keep one with --number or --category."
    )


def orders_target(frame: pl.DataFrame, facts: Facts, targets: Sequence[str], task: str) -> bool:
    if not facts.is_different_in_every_row:
        return False
    values = frame[facts.name].to_numpy()
    if task == "classification":
        classes = as_labels(frame[targets[0]]).rank("dense").cast(pl.Float64).to_numpy()
        return says_something(values, classes, is_class=True)
    return any(says_something(values, as_numbers(frame[name])[0], is_class=False) for name in targets)


def _column(frame: pl.DataFrame, name: str, role: Role, facts: Facts | None, form: str | None) -> Column:
    series = frame[name]
    missing = facts.missing if facts else series.null_count()
    distinct = facts.distinct if facts else _distinct(series)
    return Column(name, role.name, str(series.dtype), missing, distinct, role.reason, form)


def _distinct(series: pl.Series) -> int:
    return 0 if series.dtype.is_nested() or series.dtype == pl.Object else series.drop_nulls().n_unique()


def _notices(columns: Sequence[Column]) -> list[str]:
    """One sentence for each kind of column that is left out, and how to keep it."""
    notices = []
    for role, keep in _KEPT_BY.items():
        left_out = [column for column in columns if column.role == role]
        if len(left_out) == 1:
            column = left_out[0]
            notices.append(
                f'"{column.name}" is left out ({role}: {column.reason}); {keep.format(column.name)} keeps it.'
            )
        elif left_out:
            names = ", ".join(column.name for column in left_out[:8]) + (", ..." if len(left_out) > 8 else "")
            flag = keep.format("COL")
            what = role if role == "text" else f"{role}s"
            notices.append(f"{len(left_out)} columns are left out as {what}: {names}; {flag} keeps one.")
    return notices
