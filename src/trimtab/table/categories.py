"""Labels made fit for a network: one column for two labels, one-hot for a few, a code to be embedded for many.

A label that training does not know, and a missing one, have entries of their own, and these are trained too: the
rarest labels share the entry of the unknown. Knows labels only.
"""

from typing import Literal

import numpy as np
import polars as pl

from trimtab.table.cells import FloatKind
from trimtab.table.numbers import Document
from trimtab.table.spelling import LABEL_WORDS, find_labels

# Labels up to which each has a column of its own: beyond, columns cost more than an embedding. A guess.
MOST_ONE_HOT = 12
# Of the rows, those that the rarest labels may have together to share the entry of the unknown, so that it is trained
# on some: a hundredth costs little where they differ, and is enough to learn from. A guess.
POOLED_SHARE = 0.01


class Labels(Document):
    """The labels of one column and how each is shown to the network.

    `labels` have entries of their own, in order; `pooled` share that of the unknown; `shares` are the training
    frequencies of `labels`, which stand in for an unknown label where nothing is pooled. `precision` is that of the
    column, where they are numbers.
    """

    kind: Literal["binary", "one-hot", "embedding"]
    labels: tuple[str, ...]
    pooled: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    has_missing: bool = False
    precision: FloatKind = "double"

    @classmethod
    def fit(cls, column: pl.Series, weights: np.ndarray | None = None, *, precision: FloatKind = "double") -> "Labels":
        """From the labels of the training rows (`spelling.as_labels`), null where missing."""
        ones = np.ones(len(column)) if weights is None else weights.astype(np.float64)
        rows = pl.DataFrame({"label": column.alias("label"), "weight": ones}).filter(pl.col("weight") > 0)
        has_missing = rows["label"].null_count() > 0
        counts = rows.drop_nulls().group_by("label").agg(pl.col("weight").sum(), pl.len())
        counts = counts.sort(["weight", "label"], descending=[True, False])
        labels = counts["label"].to_list()
        weight = counts["weight"].to_numpy()
        if len(labels) == 2 and not has_missing:
            order = np.argsort(labels)
            return cls(
                kind="binary",
                labels=tuple(labels[i] for i in order),
                shares=tuple((weight[order] / weight.sum()).tolist()),
                precision=precision,
            )
        # Whole-numbered weights are repeated rows; of others, only the number of rows says what is rare.
        repeats = weight if bool((ones == np.round(ones)).all()) else counts["len"].to_numpy().astype(np.float64)
        is_embedded = len(labels) > MOST_ONE_HOT
        kept = len(labels) - _pooled(repeats, at_least=int(is_embedded))
        return cls(
            kind="embedding" if is_embedded else "one-hot",
            labels=tuple(labels[:kept]),
            pooled=tuple(labels[kept:]),
            shares=() if is_embedded or kept < len(labels) else tuple((weight / weight.sum()).tolist()),
            has_missing=has_missing,
            precision=precision,
        )

    def __hash__(self) -> int:
        return hash((self.labels, self.pooled, self.has_missing, self.precision))

    @property
    def entries(self) -> int:
        """How many entries an embedding has: the unknown's (0), the missing's when there is one, one per label."""
        return 1 + int(self.has_missing) + len(self.labels)

    @property
    def width(self) -> int:
        """How many columns of numbers the labels take (0 when embedded)."""
        if self.kind == "embedding":
            return 0
        return 1 if self.kind == "binary" else len(self.labels) + int(bool(self.pooled)) + int(self.has_missing)

    @property
    def column_names(self) -> tuple[str, ...]:
        if self.kind == "embedding":
            return ()
        if self.kind == "binary":
            return (self.labels[1],)
        return (*self.labels, *(["(rare)"] if self.pooled else []), *(["(missing)"] if self.has_missing else []))

    def entry_of(self, column: pl.Series) -> tuple[np.ndarray, int, int]:
        """The entry (int64) of every row, how many labels were never seen in training, and how many are missing."""
        known = (*self.labels, *self.pooled)
        places, is_missing = find_labels(column, known, self.precision)
        words = [known.index(word) for word in LABEL_WORDS if word in known]
        if words and not self.has_missing:
            # Readers of files that take "NA" for a gap give the cell as a missing one.
            places, is_missing = np.where(is_missing, words[0], places), np.zeros_like(is_missing)
        first = 1 + int(self.has_missing)
        entries = np.where((places >= 0) & (places < len(self.labels)), places + first, 0)
        if self.has_missing:
            entries[is_missing] = 1
        missing = int(is_missing.sum())
        return entries, int((places < 0).sum()) - missing, missing

    def rows_of_entries(self) -> np.ndarray:
        """float32 [entries, width]: what each entry shows to the network, where it is not embedded."""
        table = np.zeros((self.entries, self.width), dtype=np.float32)
        if self.kind == "binary":
            table[:, 0] = (self.shares[1] - self.shares[0], -1.0, 1.0)
            return table
        first = 1 + int(self.has_missing)
        table[first:, : len(self.labels)] = np.eye(len(self.labels), dtype=np.float32)
        if self.has_missing:
            table[1, -1] = 1.0
        if self.pooled:
            table[0, len(self.labels)] = 1.0
        elif self.shares:
            table[0, : len(self.labels)] = self.shares
        return table


def _pooled(counts: np.ndarray, *, at_least: int) -> int:
    """How many of the labels, counted in falling order, share the unknown's entry: those of a single row, and more of
    the rarest while together they are at most one row in a hundred."""
    singles = int((counts <= 1).sum())
    in_a_hundredth = int((np.cumsum(counts[::-1]) <= POOLED_SHARE * counts.sum()).sum())
    return min(max(singles, in_a_hundredth, at_least), len(counts))
