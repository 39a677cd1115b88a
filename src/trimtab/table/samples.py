"""Samples: features, targets and weights of a caller, made ready to train on: equal rows merged, all columns kept.

The way of the estimators, where weighing a row must be the same as repeating it. Knows no files, and nothing of what is
trained.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import polars as pl
from polars import selectors

from trimtab.errors import DataError
from trimtab.table.cells import as_numbers, settle_types
from trimtab.table.distinct_rows import distinct_rows
from trimtab.table.folds import FoldRows
from trimtab.table.frames import to_frame
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.text.wording import counted


def prepare_samples(
    features: pl.DataFrame,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    names: Sequence[str],
    task: str,
    cv: int | Sequence[FoldRows] | None,
    seed: int,
    categories: Sequence[str] = (),
) -> Prepared:
    """All rows that have a weight, none put aside for a test.

    Arguments:
        features: a column for each feature; numbers count as numbers even where they are constant or count the rows.
        targets: numbers [rows] or [rows, targets]; class numbers for a classification.
        weights: float64 [rows], 0 for rows that are not there.
        names: what the targets are called; underscores are added where a feature is called so.
        cv: pairs (train, valid) of row numbers; or a number of folds, None for the usual ones, which are drawn from the
            merged rows, so that the copies of a row are on one side.
        categories: features that are labels although they may hold numbers.

    Raises DataError where there is nothing to learn from.
    """
    names = _free(names, features.columns)
    columns = targets.reshape(len(targets), -1)
    table = features.hstack(pl.DataFrame({name: columns[:, i] for i, name in enumerate(names)}))
    whole = distinct_rows(table, weights, () if cv is None or isinstance(cv, int) else cv)
    split: Any = whole.folds or cv or "random"
    if not whole.folds and _cannot_be_split(whole.frame[names[0]], task):
        split = [(np.arange(whole.frame.height),) * 2]
    weight = _free(["weight"], table.columns)[0]
    return prepare(
        whole.frame.with_columns(pl.Series(weight, whole.weights)),
        target=names,
        task=task,
        split=split,
        test="none",
        number=_numbers(whole.frame.drop(*names, *categories)),
        category=categories,
        weight=weight,
        seed=seed,
        minimum_rows=1,
        may_be_constant=True,
    )


def sample_weights(sample_weight: Any, rows: int) -> np.ndarray:
    """float64 [rows], ones where none are given. Raises DataError for what are no weights."""
    if sample_weight is None:
        return np.ones(rows)
    if np.isscalar(sample_weight):
        sample_weight = np.full(rows, sample_weight)
    # Not numpy.shape, which asks what only looks like an array for a function of its own.
    shape = tuple(sample_weight.shape if hasattr(sample_weight, "shape") else np.asarray(sample_weight).shape)
    if shape != (rows,):
        raise DataError(f"sample_weight has the shape {shape}: give one weight for each of the {counted(rows, 'row')}.")
    weights, unreadable = as_numbers(to_frame(sample_weight).to_series())
    if unreadable:
        raise DataError(f"sample_weight holds {counted(unreadable, 'value')} that cannot be read as a number.")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError("sample_weight holds weights that are missing, negative or infinite: give numbers from 0 on.")
    if not weights.any():
        raise DataError("Every sample_weight is zero: at least one row has to count.")
    return weights


def _free(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    return [next(free for n in count() if (free := name + "_" * n) not in taken) for name in names]


def _cannot_be_split(target: pl.Series, task: str) -> bool:
    """Whether to put any row aside would leave nothing, or a class without a row, to train on."""
    if task == "classification":
        return bool((target.value_counts()["count"] < 2).all())
    return len(target) < 2


def _numbers(features: pl.DataFrame) -> list[str]:
    """The columns that hold some number."""
    finite = settle_types(features)[0].select(selectors.numeric().cast(pl.Float64).is_finite().any())
    return [name for name in finite.columns if finite[name].item()]
