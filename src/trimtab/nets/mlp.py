"""MLP: the multi-layer perceptron for tables, from a linear model (depth 0) to deep ones.

Knows tensors alone: which columns stand where is decided in `table`, how it is trained in `training`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trimtab.errors import OptionError, unknown_choice
from trimtab.knobs import table as knobs
from trimtab.nets.embeddings import CategoryEmbedding, ElementwiseScale, PeriodicEmbedding, PiecewiseEmbedding

# Activations have the names of torch's layers, in small letters.
_OF_TORCH = {layer.lower(): getattr(nn, layer) for layer in dir(nn) if not layer.startswith("_")}
ACTIVATIONS: dict[str, type[nn.Module]] = {name: _OF_TORCH[name] for name in knobs.ACTIVATIONS}


def embedding_size(cardinality: int) -> int:
    """Width of a learned embedding: grows with the square root of the number of categories, from 2 to 24."""
    return int(min(24, max(2, round(1.6 * cardinality**0.5))))


class MLP(nn.Module):
    """A multi-layer perceptron over numbers and category codes.

    Arguments:
        continuous: the first `continuous` of the number columns may get features of their own.
        numbers: number columns in all, one-hot and indicator columns included.
        cardinalities: entries of each embedded categorical column.
        outputs: targets of a regression, or classes.
        depth: hidden layers; 0 is a linear model (over one-hot categories).
        inputs: "scaled" (a learned factor per column); of the continuous ones also "periodic" features, or those of the
            bins between the `edges` of each ("piecewise").

    Raises OptionError for a width or depth below what is possible, an unknown activation or unknown `inputs`, and where
    edges are lacking.
    """

    def __init__(
        self,
        *,
        continuous: int,
        numbers: int,
        cardinalities: tuple[int, ...],
        outputs: int,
        width: int = 128,
        depth: int = 2,
        activation: str = "silu",
        inputs: str = "scaled",
        sigma: float = 0.1,
        edges: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        if width < 1 or depth < 0:
            raise OptionError(f"A network of width {width} and depth {depth} cannot be built: width >= 1, depth >= 0.")
        if activation not in ACTIVATIONS:
            raise unknown_choice("activation", activation, ACTIVATIONS)
        if inputs not in knobs.INPUTS:
            raise unknown_choice("inputs", inputs, knobs.INPUTS)
        is_piecewise = depth > 0 and inputs == "piecewise" and continuous > 0
        if is_piecewise and len(edges) != continuous:
            raise OptionError(f"Piecewise inputs need the edges of {continuous} columns; there are {len(edges)}.")
        self.continuous, self.numbers, self.depth = continuous, numbers, depth
        self.arguments = {
            "continuous": continuous, "numbers": numbers, "cardinalities": cardinalities, "outputs": outputs,
            "width": width, "depth": depth, "activation": activation, "inputs": inputs,
            **({"edges": tuple(map(tuple, edges))} if is_piecewise else {}),
        }  # fmt: skip
        sizes = tuple(outputs if depth == 0 else embedding_size(count) for count in cardinalities)
        self.categories = CategoryEmbedding(cardinalities, sizes) if cardinalities else None
        self.periodic, self.piecewise = None, None
        features = numbers
        if depth and inputs == "periodic" and continuous:
            self.periodic = PeriodicEmbedding(continuous, sigma=sigma)
            features += self.periodic.added
        if is_piecewise:
            self.piecewise = PiecewiseEmbedding(edges)
            features += self.piecewise.added
        self.scale = ElementwiseScale(features) if depth and features else None
        if depth:
            features += sum(sizes)
        self.hidden = nn.ModuleList()
        for _ in range(depth):
            self.hidden.append(nn.Linear(features, width))
            features = width
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.ModuleList(nn.Dropout(0.0) for _ in range(depth))
        self.output = nn.Linear(features, outputs)
        if depth == 0:
            self._start_at_zero()

    def _start_at_zero(self) -> None:
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        for table in self.categories.tables if self.categories is not None else ():
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]

    def forward(
        self, numbers: Float[Tensor, "batch numbers"], codes: Int[Tensor, "batch categories"]
    ) -> Float[Tensor, "batch outputs"]:
        if self.depth == 0:
            return self._linear(numbers, codes)
        features = self.features(numbers, codes)
        for layer, dropout in zip(self.hidden, self.dropout, strict=True):
            features = dropout(self.activation(layer(features)))
        return self.output(features)

    def features(
        self, numbers: Float[Tensor, "batch numbers"], codes: Int[Tensor, "batch categories"]
    ) -> Float[Tensor, "batch features"]:
        """What the first hidden layer is given, of a network that has one."""
        embedding = self.periodic or self.piecewise
        if embedding is not None:
            numbers = torch.cat([embedding(numbers[:, : self.continuous]), numbers[:, self.continuous :]], dim=1)
        features = self.scale(numbers) if self.scale is not None else numbers
        return features if self.categories is None else torch.cat([features, self.categories(codes)], dim=1)

    def _linear(self, numbers: Tensor, codes: Tensor) -> Tensor:
        result = self.output(numbers)
        if self.categories is not None:
            result = result + sum(table(codes[:, i]) for i, table in enumerate(self.categories.tables))
        return result
