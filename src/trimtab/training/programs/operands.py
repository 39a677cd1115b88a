"""Operands: all tensors of a step side by side and by name, as a compiled step is called with them.

Knows the parts of a step; it knows no compiler.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trimtab.knobs.knob import Task
from trimtab.training.config import Config, Optimizer
from trimtab.training.data import TrainingData
from trimtab.training.programs.program import Program
from trimtab.training.programs.step import COLUMNS, FIRST_TENSOR, Batches, Features, LaneCoefficients, Plan, State


@dataclass(frozen=True)
class Signature:
    """What the tensors of a step look like apart from the sizes that may vary: dtypes and trailing shapes.

    `fixed` are the only lanes and batch size there may be, for modules that vmap takes with sizes it knows alone.
    """

    task: Task
    outputs: int
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    index: str
    features: Features
    fixed: tuple[int, int] | None = None

    @classmethod
    def of(cls, data: TrainingData, index: torch.dtype, features: Features) -> "Signature":
        """That of a step with these features on `data`; row numbers have the dtype `index`."""
        inputs = tuple((_name(x.dtype), tuple(x.shape[1:])) for x in data.inputs)
        return cls(data.task, data.columns, inputs, _name(index), features)

    @property
    def is_of_logit(self) -> bool:
        """Whether one output tells two classes: several classes have one each."""
        return self.task == "classification" and self.outputs == 1

    @property
    def classes(self) -> int:
        """0 for regression."""
        if self.task == "regression":
            return 0
        return 2 if self.is_of_logit else self.outputs

    @classmethod
    def from_json(cls, document: dict) -> "Signature":
        inputs = tuple((dtype, tuple(shape)) for dtype, shape in document["inputs"])
        parts: dict[str, Any] = {**document, "inputs": inputs, "features": Features(**document["features"])}
        return cls(**parts)

    def example_inputs(self, rows: int) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(rows, *shape, dtype=getattr(torch, dtype)) for dtype, shape in self.inputs)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Operands:
    """Everything a step reads and writes, in pieces: what a compiled step is called with."""

    state: State
    coefficients: LaneCoefficients
    data: Batches
    plan: Plan
    place: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """By name, always in this order."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        state = self.state
        for part in ("parameters", "first", "second", "average"):
            for i, piece in enumerate(getattr(state, part)):
                yield f"{part}.{i}", piece
        for name, value in state.buffers.items():
            yield f"buffers.{name}", value
        yield "totals", state.totals
        yield from self.coefficients.tensors().items()
        for i, value in enumerate(self.data.inputs):
            yield f"inputs.{i}", value
        yield "targets", self.data.targets
        yield "weights", self.data.weights
        yield "rows", self.plan.rows
        yield "rates", self.plan.rates
        yield "thresholds", self.plan.thresholds
        yield "keys", self.plan.keys
        yield "place", self.place

    def replaced(self, tensors: dict[str, Tensor]) -> "Operands":
        """The same over other tensors, given by name."""
        state = self.state
        pieces: dict[str, Any] = {
            part: tuple(tensors[f"{part}.{i}"] for i in range(len(getattr(state, part))))
            for part in ("parameters", "first", "second", "average")
        }
        buffers = {name: tensors[f"buffers.{name}"] for name in state.buffers}
        inputs = tuple(tensors[f"inputs.{i}"] for i in range(len(self.data.inputs)))
        return Operands(
            replace(state, **pieces, buffers=buffers, totals=tensors["totals"]),
            self.coefficients.replaced({name: tensors[name] for name in self.coefficients.tensors()}),
            Batches(inputs, tensors["targets"], tensors["weights"]),
            Plan(*(tensors[name] for name in ("rows", "rates", "thresholds", "keys"))),
            tensors["place"],
        )


@dataclass(frozen=True)
class Sizes:
    """Sizes that stand for any while something is traced; above 1, or a compiler would take them for constants."""

    lanes: int = 3
    rows: int = 23
    steps: int = 7
    batch: int = 5


def sizes_for_any(signature: Signature) -> Sizes:
    return Sizes() if signature.fixed is None else Sizes(lanes=signature.fixed[0], batch=signature.fixed[1])


def example(program: Program, signature: Signature) -> Operands:
    """Operands of a step of `program`, of sizes that stand for any."""
    layout, is_regression = program.layout, signature.task == "regression"
    sizes = sizes_for_any(signature)
    lanes, rows, steps = sizes.lanes, sizes.rows, sizes.steps
    flat = torch.zeros(lanes, layout.size, dtype=torch.float32)
    state = [tuple(apart(piece) for piece in layout.in_blocks(flat)) for _ in range(4)]
    config = Config(optimizer=Optimizer("adam"))
    numbers, labels = (rows, signature.outputs), (rows,)
    targets = torch.zeros(numbers if is_regression else labels, dtype=torch.float32 if is_regression else torch.int64)
    return Operands(
        State(
            *state[:3],
            average=state[3] if signature.features.averaging else (),
            buffers={name: torch.stack([value] * lanes) for name, value in program.buffers.items()},
            totals=torch.zeros(lanes, FIRST_TENSOR + len(layout.names), dtype=torch.float32),
            layout=layout,
            is_flat=False,
        ),
        LaneCoefficients.stack([config] * lanes, layout.names, signature.classes),
        Batches(signature.example_inputs(rows), targets, torch.zeros(rows + 1, dtype=torch.float32)),
        Plan(
            torch.zeros(lanes, steps, sizes.batch, dtype=getattr(torch, signature.index)),
            torch.zeros(lanes, steps, COLUMNS, dtype=torch.float32),
            torch.zeros(lanes, steps, dtype=torch.int32),
            torch.zeros(lanes, steps, program.dropouts, dtype=torch.int32),
        ),
        torch.zeros(1, dtype=torch.int64),
    )


def apart(piece: Tensor) -> Tensor:
    """A tensor of the same sizes and strides with a storage of its own, as tracing needs it."""
    return torch.empty_strided(piece.size(), piece.stride(), dtype=piece.dtype, device=piece.device)
