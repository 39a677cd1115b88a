"""A regression table as its user would give it to a network: encoded, standardised on the training part, bounded.

Split 0 of each table; its test part judges the epochs, the rates, everything. Knows tables; it trains nothing.
"""

from dataclasses import dataclass

import numpy
import polars
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.tables import Table, typed

MOST_ROWS = 5_000  # of either part, drawn at random where there are more
MOST_LEVELS = 30  # of a category; columns with more (names, dates, zones) are left out
BATCH = 64


@dataclass(frozen=True)
class Rows:
    """Inputs `[rows, columns]` and targets `[rows, 1]`, in units of the training part's standard deviation."""

    name: str
    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor

    @classmethod
    def of(cls, table: Table) -> "Rows":
        columns = typed(table.frame.drop(table.target))
        target = table.frame[table.target].cast(polars.Float64).to_numpy()
        train, validation = (_bounded(part) for part in table.rows(0))
        encoded = numpy.column_stack([part for name in columns.columns for part in _encoded(columns[name], train)])
        y = _standardised(target, train)[:, None]
        parts = (of[at] for at in (train, validation) for of in (encoded, y))
        return cls(table.name, *(torch.from_numpy(numpy.ascontiguousarray(part, numpy.float32)) for part in parts))

    @property
    def inputs(self) -> int:
        return self.x.shape[1]

    def loader(self, seed: int) -> DataLoader:
        """The training part in shuffled batches."""
        draw = torch.Generator().manual_seed(seed)
        return DataLoader(TensorDataset(self.x, self.y), batch_size=BATCH, shuffle=True, generator=draw)


def _bounded(rows: numpy.ndarray) -> numpy.ndarray:
    return numpy.random.default_rng(0).permutation(rows)[:MOST_ROWS]


def _encoded(column: polars.Series, train: numpy.ndarray) -> list[numpy.ndarray]:
    """A number standardised, its gaps filled with the median; a category as one column of 0 and 1 for each level."""
    if column.dtype == polars.Float64:
        values = column.to_numpy().copy()
        values[numpy.isnan(values)] = numpy.nanmedian(values[train])
        return [_standardised(values, train)]
    levels = column[train].drop_nulls().unique().sort().to_list()
    if len(levels) > MOST_LEVELS:
        return []
    return [(column == level).fill_null(value=False).to_numpy().astype(float) for level in levels]


def _standardised(values: numpy.ndarray, train: numpy.ndarray) -> numpy.ndarray:
    return (values - values[train].mean()) / (values[train].std() or 1.0)
