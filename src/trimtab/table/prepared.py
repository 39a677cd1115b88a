"""Prepared: a table ready to train on, and how many rows of it are what. Knows nothing of how it came about."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from trimtab.table.encode import Encoder
from trimtab.table.folds import FoldRows
from trimtab.table.schema import Schema
from trimtab.table.split import Split
from trimtab.table.target import TargetEncoder


@dataclass(frozen=True)
class Counts:
    """Rows as the user hears of them. A row that trains in one fold and is valid in another counts in both."""

    source: int
    train: int
    valid: int
    test: int
    without_target: int


@dataclass(frozen=True)
class Prepared:
    """A table ready to train on. "Rows" are the development rows: observed, and not put aside for the test.

    `numbers` float32 [rows, n], `codes` int64 [rows, embedded columns], `targets` float32 [rows, outputs]
    (standardised) or int64 [rows] (class numbers), `weights` float32 [rows]. `folds` are pairs of places in these rows,
    `development_rows` their row numbers in the source (three frames count on from one to the next). `test` is the raw
    frame of test rows, every one with a usable target, or None; `test_rows` are their row numbers in the source, or in
    the test table where they have one of their own.

    `units` and `test_units` (int64) number what is evidence of its own: rows of one number are copies, a group, or near
    each other in time.
    """

    schema: Schema
    split: Split
    encoder: Encoder
    target_encoder: TargetEncoder
    numbers: np.ndarray
    codes: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    folds: tuple[FoldRows, ...]
    development: pl.DataFrame
    development_rows: np.ndarray
    test: pl.DataFrame | None
    test_weights: np.ndarray
    test_rows: np.ndarray
    units: np.ndarray
    test_units: np.ndarray
    notices: tuple[str, ...]
    fingerprint: str
    source_name: str
    counts: Counts

    def class_counts(self) -> dict[str, int]:
        """Rows of each class, those put aside for the test among them, the most frequent first; {} for numbers."""
        if self.target_encoder.task != "classification":
            return {}
        truth = [self.target_encoder.truth(frame) for frame in (self.development, self.test) if frame is not None]
        counts = np.bincount(np.concatenate(truth), minlength=len(self.target_encoder.labels))
        order = np.argsort(-counts, kind="stable")
        return {self.target_encoder.labels[i]: int(counts[i]) for i in order}

    def summary(self) -> dict[str, Any]:
        """What each column is for, how many rows there are of what, and what should be said: one plain dict."""
        schema = self.schema
        return {
            "task": schema.task, "task_reason": schema.task_reason, "targets": list(schema.targets),
            "columns": [
                {name: getattr(column, name) for name in ("name", "role", "dtype", "missing", "distinct", "reason")}
                for column in schema.columns
            ],
            "rows": asdict(self.counts), "classes": self.class_counts(), "split": self.split.kind,
            "folds": len(self.folds), "notices": list(self.notices),
        }  # fmt: skip

    def estimated_bytes(self) -> int:
        """The size of the tensors."""
        return sum(array.nbytes for array in (self.numbers, self.codes, self.targets, self.weights))
