"""Chunk: a contiguous range of a population's lanes that one thread takes through a round, so small that it stays in
the processor's cache.

Threads that each take some lanes through all their steps need not wait for one another at every product, which keeps
them fast on a machine that others use too. Knows no trials and decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.training.compiling.libraries import Compiled
from trimtab.training.data import gathered
from trimtab.training.lanes.population import Part, Population
from trimtab.training.programs.arguments import Arguments
from trimtab.training.programs.evaluation import Evaluation
from trimtab.training.programs.program import Activity, Buffers, Program
from trimtab.training.programs.step import NOTED_EVERY, Features, Plan, Rows, Step
from trimtab.training.rules.objective import Objective, Outputs

ROWS_PER_EVALUATION = 16_384


@dataclass
class Worker:
    """What a thread needs for itself: running a program swaps parameters on its module, and rules keep their room."""

    program: Program
    steps: dict[Features, Step] = field(default_factory=dict)

    def step(self, objective: Objective, features: Features) -> Step:
        if features not in self.steps:
            self.steps[features] = Step(self.program, objective, features)
        return self.steps[features]


@dataclass(frozen=True)
class Validated:
    """A chunk on its lanes' validation rows: outputs [lanes, rows, outputs], rows, weights (padding: 0), loss [lanes],
    and what each activation layer did."""

    outputs: Outputs
    rows: Tensor
    weights: Tensor
    losses: Tensor
    activity: tuple[Activity, ...]

    def without_rows(self) -> "Validated":
        """What takes little memory: a chunk's outputs are read while they are in the cache, and then dropped."""
        empty = self.losses.new_empty(0)
        return Validated(empty, empty, empty, self.losses, self.activity)


class Chunk:
    """Lanes `first` to `last` (exclusive) of `population` with their coefficients side by side."""

    def __init__(self, population: Population, first: int, last: int) -> None:
        self.population, self.first, self.last = population, first, last
        self.coefficients = population.coefficients(first, last)
        lanes = population.lanes[first:last]
        self.folds = torch.tensor([lane.request.fold for lane in lanes])
        self.update_ratio = torch.full((last - first,), torch.nan, dtype=torch.float32)

    def train(
        self,
        worker: Worker,
        compiled: Compiled | None,
        features: Features,
        rows: Rows,
        plan: Plan,
        steps: numpy.ndarray,
        should_stop: Callable[[], bool],
    ) -> int:
        """Take each lane through its first `steps` [lanes] (falling) of `plan`, or as many as come before
        `should_stop`; the number of steps made."""
        made, lanes = 0, int((steps > 0).sum())
        while lanes:
            until = int(steps[lanes - 1])
            staying = int((steps > until).sum())
            advance = self._advance(worker, compiled, features, rows, plan, lanes, made)
            while made < until:
                if should_stop():
                    return made
                is_last = made == until - 1 and features.norms
                before = self._parameters(staying, lanes).clone() if is_last else None
                advance()
                if before is not None:
                    change = self._parameters(staying, lanes) - before
                    sizes = torch.linalg.vector_norm(before, dim=1)
                    self.update_ratio[staying:lanes] = (torch.linalg.vector_norm(change, dim=1) / sizes).cpu()
                made += 1
            lanes = staying
        return made

    def _parameters(self, first: int, last: int) -> Tensor:
        return self.population.parameters.data[self.first + first : self.first + last]

    def _advance(
        self,
        worker: Worker,
        compiled: Compiled | None,
        features: Features,
        rows: Rows,
        plan: Plan,
        lanes: int,
        place: int,
    ) -> Callable[[], None]:
        """What makes one step of the first `lanes` lanes at each call, from `place` of the plan on."""
        coefficients = self.coefficients if lanes == len(self) else self._head(lanes)
        first, last = self.first, self.first + lanes
        if compiled is not None and compiled.serves(lanes, plan.rows.shape[2]):
            state = self.population.state(first, last, is_flat=False)
            here = torch.full((1,), place)
            tensors = Arguments(state, coefficients, rows, plan.head(lanes), here).tensors()
            return compiled.bound_to(tensors)
        objective = self.population.data.objective
        noting = worker.step(objective, features)
        plain = noting if coefficients.any_clip else worker.step(objective, replace(features, norms=False))
        state, head = self.population.state(first, last, is_flat=True), plan.head(lanes)
        places = iter(range(place, plan.rows.shape[1]))

        def advance() -> None:
            at = next(places)
            (plain if at % NOTED_EVERY else noting)(state, coefficients, rows, head, at)

        return advance

    def _head(self, lanes: int):
        return self.population.coefficients(self.first, self.first + lanes)

    def __len__(self) -> int:
        return self.last - self.first

    def validate(
        self, worker: Worker, compiled: Compiled | None, inputs: tuple[Tensor, ...], part: Part, *, watch: bool
    ) -> Validated:
        """The chunk's lanes on their folds' rows of `part` of `inputs`, by the compiled evaluation if there is one."""
        data = self.population.data
        rows = part.rows[self.folds].to(data.device)
        counts = part.counts[self.folds].view(-1, 1)
        is_real = (torch.arange(rows.shape[1]).view(1, -1) < counts).to(data.device)
        at_once = rows_at_once(len(rows))
        outputs, activity = [], ()
        for start in range(0, rows.shape[1], at_once):
            these = rows[:, start : start + at_once]
            if compiled is not None and compiled.serves(*these.shape):
                piece, seen = self._evaluated(compiled, inputs, these.contiguous())
            else:
                piece, seen = self._evaluated_eagerly(worker, inputs, these, watch=watch)
            activity = tuple(a | b for a, b in zip(activity, seen, strict=True)) if activity else seen
            outputs.append(piece)
        weights = data.weights[rows] * is_real
        result = pytree.tree_map(lambda *pieces: torch.cat(pieces, dim=1), *outputs) if len(outputs) > 1 else outputs[0]
        losses, _ = data.objective(result, data.targets_of(rows), weights, self.coefficients.losses)
        return Validated(result, rows, weights, losses, activity)

    def _evaluated(
        self, compiled: Compiled, inputs: tuple[Tensor, ...], rows: Tensor
    ) -> tuple[Tensor, tuple[Activity, ...]]:
        flat, buffers = self._own_weights()
        given = Evaluation.over(
            self.population.program.layout.pieces(flat), buffers, inputs, rows,
            outputs=self.population.data.columns, layers=compiled.layers,
        )  # fmt: skip
        compiled.bound_to(given.tensors())()
        return given.outputs, given.layers

    def _evaluated_eagerly(
        self, worker: Worker, inputs: tuple[Tensor, ...], rows: Tensor, *, watch: bool
    ) -> tuple[Outputs, tuple[Activity, ...]]:
        flat, buffers = self._own_weights()
        parameters, chosen = self.population.program.layout.views(flat), gathered(inputs, rows)
        if watch:
            return worker.program.watched(parameters, chosen, buffers)
        with torch.no_grad():
            return worker.program.forward(parameters, chosen, None, buffers), ()

    def _own_weights(self) -> tuple[Tensor, Buffers]:
        """What is evaluated of the chunk's lanes, flat, and their buffers."""
        own = slice(self.first, self.last)
        population = self.population
        return population.evaluated.data[own], {name: value.data[own] for name, value in population.buffers.items()}


def rows_at_once(lanes: int) -> int:
    """Validation rows of so many lanes that are evaluated in one call."""
    return max(1, ROWS_PER_EVALUATION // lanes)


def chunks_of(population: Population, at_once: int, threads: int) -> list[Chunk]:
    """`population` in chunks of at most `at_once` lanes, a multiple of `threads` many, as equal as they can be and the
    larger ones first, so that no thread is left with a large one at the end; without `threads`, all but the last of
    exactly `at_once`."""
    lanes = len(population.lanes)
    if threads:
        needed = -(-lanes // at_once)
        count = min(lanes, -(-needed // threads) * threads)
        sizes = [lanes // count + (place < lanes % count) for place in range(count)]
        edges = [0, *accumulate(sizes)]
    else:
        edges = [*range(0, lanes, at_once), lanes]
    return [Chunk(population, first, last) for first, last in pairwise(edges)]
