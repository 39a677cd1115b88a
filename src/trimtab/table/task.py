"""Regression or classification: the written rule, and what cannot be a target at all.

Knows only the target columns, never the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.errors import DataError, OptionError, unknown_choice
from trimtab.table.cells import as_numbers
from trimtab.table.spelling import as_labels
from trimtab.text.wording import counted

TASKS = ("auto", "regression", "classification")
# Whole numbers are classes where they are few, and each has rows to learn it by; --task says otherwise. Guesses.
MOST_CLASSES_OF_INTEGERS = 20
ROWS_PER_CLASS_OF_INTEGERS = 10


@dataclass(frozen=True)
class TaskChoice:
    """`regression` or `classification`, and in one sentence why, and how to change it."""

    task: str
    reason: str


def choose_task(frame: pl.DataFrame, targets: Sequence[str], task: str = "auto") -> TaskChoice:
    """The task, by this rule unless `task` says it:

    - several targets: regression;
    - text, labels, true/false: classification;
    - numbers with fractions: regression;
    - whole numbers: classification when there are at most 20 distinct ones and at least 10 rows for each of them
      (two distinct ones are always classes), otherwise regression.

    Raises DataError for targets that cannot be learnt.
    """
    if task not in TASKS:
        raise unknown_choice("task", task, TASKS)
    if len(targets) > 1:
        return _several(frame, targets, task)
    column = frame[targets[0]]
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        raise DataError(f'The target "{column.name}" holds {column.dtype}: a target is a number or a label.')
    if column.dtype.is_temporal() and task != "classification":
        raise DataError(
            f'The target "{column.name}" holds {column.dtype}: a target is a number or a label. '
            "--task classification takes each moment as a label."
        )
    if task == "regression":
        _require_numbers(column)
        return TaskChoice(task, "as asked for")
    if task == "classification":
        return TaskChoice(task, "as asked for")
    if not column.dtype.is_numeric():
        what = "true and false" if column.dtype == pl.Boolean else "text"
        return TaskChoice("classification", f'"{column.name}" holds {what}')
    return _by_numbers(column)


def _by_numbers(column: pl.Series) -> TaskChoice:
    numbers, _ = as_numbers(column)
    numbers = numbers[np.isfinite(numbers)]
    values = np.unique(numbers)
    change = "--task {} changes that"
    if (values != np.round(values)).any():
        reason = f'"{column.name}" holds numbers with fractions; ' + change.format("classification")
        return TaskChoice("regression", reason)
    most = min(MOST_CLASSES_OF_INTEGERS, max(2, len(numbers) // ROWS_PER_CLASS_OF_INTEGERS))
    count = f'"{column.name}" holds whole numbers, {len(values)} distinct in {counted(len(numbers), "row")}; '
    if len(values) <= most:
        return TaskChoice("classification", count + change.format("regression"))
    return TaskChoice("regression", count + change.format("classification"))


def _several(frame: pl.DataFrame, targets: Sequence[str], task: str) -> TaskChoice:
    if task == "classification":
        raise OptionError("Several targets can only be numbers: --task classification takes one target.")
    for name in targets:
        _require_numbers(frame[name])
    return TaskChoice("regression", f"{len(targets)} targets")


def _require_numbers(column: pl.Series) -> None:
    _, unreadable = as_numbers(column)
    if unreadable:
        numbers, _ = as_numbers(column)
        is_text = np.isnan(numbers) & column.is_not_null().to_numpy()
        example = as_labels(column.filter(pl.Series(is_text))).drop_nulls().head(1).to_list()
        shown = f', such as "{example[0]}"' if example else ""
        raise DataError(
            f'The target "{column.name}" holds text{shown}, in {counted(unreadable, "row")}: regression needs numbers. '
            "Correct these cells or use --task classification."
        )
