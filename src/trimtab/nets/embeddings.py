"""What stands between the columns of a table and the first hidden layer: scales, features of numbers, embeddings.

Knows no training; each module is an ordinary torch module over `[batch, columns]`.
"""

import math
from collections.abc import Sequence

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class ElementwiseScale(nn.Module):
    """Multiplies each column by a learned factor, so that training can turn a column up or down cheaply."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(columns))

    def forward(self, x: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        return x * self.weight


class ColumnEmbedding(nn.Module):
    """Numbers x, each of which becomes (x, a linear layer of its own over features of it)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def _mix(self, columns: int, features: int, size: int) -> None:
        """Lay out the linear layers: `size` outputs of so many features for each column."""
        bound = 1 / math.sqrt(features)
        self.weight = nn.Parameter((torch.rand(columns, features, size) * 2 - 1) * bound)
        self.bias = nn.Parameter((torch.rand(columns, size) * 2 - 1) * bound)

    @property
    def added(self) -> int:
        """Outputs beside the numbers themselves."""
        return self.bias.numel()

    def _mixed(
        self, by_column: Float[Tensor, "columns batch 1"], features: Float[Tensor, "columns batch features"]
    ) -> Float[Tensor, "batch outputs"]:
        mixed = torch.baddbmm(self.bias.unsqueeze(1), features, self.weight)
        return torch.cat([by_column, mixed], dim=-1).transpose(0, 1).flatten(1)


class PeriodicEmbedding(ColumnEmbedding):
    """Turns each number x into (x, linear(cos(2 pi (w x + b)))) with learned w, b [Gorishniy et al. 2022, 2203.05556].

    The variant with phases and the number itself beside its features is PBLD [Holzmüller et al. 2024, 2407.04491].
    `sigma` is the standard deviation of the initial frequencies, in periods per unit of the scaled column.
    """

    def __init__(self, columns: int, *, frequencies: int = 16, size: int = 4, sigma: float = 0.1) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(columns, frequencies) * sigma)
        self.phase = nn.Parameter(torch.rand(columns, frequencies) * 2 - 1)
        self._mix(columns, frequencies, size - 1)

    def forward(self, x: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        by_column = x.transpose(0, 1).unsqueeze(-1)
        waves = torch.cos(2 * math.pi * (by_column * self.frequency.unsqueeze(1) + self.phase.unsqueeze(1)))
        return self._mixed(by_column, waves)


class PiecewiseEmbedding(ColumnEmbedding):
    """Turns each number x into (x, linear(how far x is through each of its bins)): what is learnt of it is linear
    between the edges of bins, and may bend at each [piecewise-linear encoding, Gorishniy et al. 2022, 2203.05556].

    `edges` are those of each column, rising, one more than it has bins; they are not trained. Columns of fewer bins
    than others have bins without width behind theirs, which are never entered.
    """

    start: Tensor
    slope: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], *, size: int = 5) -> None:
        super().__init__()
        bins = max(len(column) - 1 for column in edges)
        starts, slopes = numpy.zeros((2, len(edges), bins), dtype=numpy.float32)
        for column, own in enumerate(edges):
            starts[column, : len(own) - 1] = own[:-1]
            slopes[column, : len(own) - 1] = 1 / numpy.diff(own)
        self.register_buffer("start", torch.from_numpy(starts))
        self.register_buffer("slope", torch.from_numpy(slopes))
        self._mix(len(edges), bins, size - 1)

    def forward(self, x: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        by_column = x.transpose(0, 1).unsqueeze(-1)
        shares = ((by_column - self.start.unsqueeze(1)) * self.slope.unsqueeze(1)).clamp(0, 1)
        return self._mixed(by_column, shares)


class CategoryEmbedding(nn.Module):
    """Looks up a learned vector for the code of each categorical column and lays them side by side."""

    def __init__(self, cardinalities: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count, size) for count, size in zip(cardinalities, sizes, strict=True))

    def forward(self, codes: Int[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        return torch.cat([table(codes[:, i]) for i, table in enumerate(self.tables)], dim=1)
