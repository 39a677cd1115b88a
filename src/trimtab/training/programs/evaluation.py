"""Evaluation: what every lane makes of rows without training on them: gather, forward, note what activations did.

The tensors of one call by name, and the function of them that is traced for a compiler. Knows no losses and no metric.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab.training.data import gathered
from trimtab.training.programs.arguments import Signature, apart, sizes_for_any
from trimtab.training.programs.program import Activity, Buffers, Program

# Units of each activation layer, and how often each of them is computed for one row (convolutions: at every place).
Layers = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation reads: parameters in pieces, buffers, the data's inputs and `rows` [lanes, batch] of them; and
    what it writes: `outputs` [lanes, batch, outputs] and what each activation layer did."""

    parameters: tuple[Tensor, ...]
    buffers: Buffers
    inputs: tuple[Tensor, ...]
    rows: Tensor
    outputs: Tensor
    layers: tuple[Activity, ...]

    @classmethod
    def over(
        cls,
        parameters: tuple[Tensor, ...],
        buffers: Buffers,
        inputs: tuple[Tensor, ...],
        rows: Tensor,
        *,
        outputs: int,
        layers: Layers,
    ) -> "Evaluation":
        """With room for what is written."""
        lanes, batch = rows.shape
        activity = tuple(
            Activity(*(torch.empty(lanes, units) for _ in range(3)), rows=batch * places) for units, places in layers
        )
        return cls(parameters, buffers, inputs, rows, torch.empty(lanes, batch, outputs), activity)

    def tensors(self) -> dict[str, Tensor]:
        """By name, always in this order."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for i, piece in enumerate(self.parameters):
            yield f"parameters.{i}", piece
        for name, value in self.buffers.items():
            yield f"buffers.{name}", value
        for i, value in enumerate(self.inputs):
            yield f"inputs.{i}", value
        yield "evaluated_rows", self.rows
        yield "outputs", self.outputs
        for i, layer in enumerate(self.layers):
            for name in ("low", "high", "flat"):
                yield f"{name}.{i}", getattr(layer, name)

    def replaced(self, tensors: dict[str, Tensor]) -> "Evaluation":
        """The same over other tensors, given by name."""
        return Evaluation(
            tuple(tensors[f"parameters.{i}"] for i in range(len(self.parameters))),
            {name: tensors[f"buffers.{name}"] for name in self.buffers},
            tuple(tensors[f"inputs.{i}"] for i in range(len(self.inputs))),
            tensors["evaluated_rows"],
            tensors["outputs"],
            tuple(
                Activity(tensors[f"low.{i}"], tensors[f"high.{i}"], tensors[f"flat.{i}"], layer.rows)
                for i, layer in enumerate(self.layers)
            ),
        )

    def write(self, program: Program) -> None:
        """Fill in what is written."""
        parameters = program.layout.shaped(self.parameters)
        outputs, seen = program.watched(parameters, gathered(self.inputs, self.rows), self.buffers)
        self.outputs.copy_(outputs)
        for layer, now in zip(self.layers, seen, strict=True):
            layer.low.copy_(now.low)
            layer.high.copy_(now.high)
            layer.flat.copy_(now.flat)


def example(program: Program, signature: Signature) -> tuple[Evaluation, Layers]:
    """An evaluation of sizes that stand for any, and the layers that `program` turns out to have.

    Raises RuntimeError for a layer whose units are not computed equally often for every row.
    """
    sizes = sizes_for_any(signature)
    layout, rows = program.layout, torch.zeros(sizes.lanes, sizes.batch, dtype=torch.int64)
    parameters = tuple(apart(piece) for piece in layout.pieces(torch.zeros(sizes.lanes, layout.size)))
    buffers = {name: torch.stack([value] * sizes.lanes) for name, value in program.buffers.items()}
    inputs = signature.example_inputs(sizes.rows)
    _, seen = program.watched(layout.shaped(parameters), gathered(inputs, rows), buffers)
    if any(layer.rows % sizes.batch for layer in seen):
        raise RuntimeError("an activation layer is not computed equally often for every row")
    layers = tuple((layer.low.shape[1], layer.rows // sizes.batch) for layer in seen)
    return Evaluation.over(parameters, buffers, inputs, rows, outputs=signature.outputs, layers=layers), layers
