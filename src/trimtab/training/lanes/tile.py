"""Tile: a contiguous range of a population's lanes that one thread takes through a round, so small that what it works
on stays in the processor's cache.

Threads that each take some lanes through all their steps need not wait for one another at every product, which keeps
them fast on a machine that others use too. Knows no trials and decides nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.training.compiling.libraries import Compiled
from trimtab.training.compiling.replayed import Replays
from trimtab.training.data import gathered
from trimtab.training.lanes.judging import Judging, LaneScores
from trimtab.training.lanes.population import Part, Population
from trimtab.training.programs.operands import Operands
from trimtab.training.programs.program import Activity, Program, looked_at
from trimtab.training.programs.step import NOTED_EVERY, Batches, Features, Plan, Step
from trimtab.training.rules.objective import Objective

# Rows of all lanes of a tile that are evaluated in one call. A guess: a layer of 64 units takes 4 MiB of them.
ROWS_PER_EVALUATION = 16_384
Advance = Callable[[int], None]
# Lanes of steps that are written down (those of one trial of five folds, of two, and so on).
SIZES = (2, 5, 10)


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
class Stretch:
    """A piece of a round: each lane makes its first `steps` [lanes] (falling) of `plan` on `rows`, by the compiled step
    where there is one, else by one with `features`, replayed where there are `replays`, unless it `should_stop`."""

    plan: Plan
    steps: numpy.ndarray
    rows: Batches
    compiled: Compiled | None
    replays: Replays | None
    features: Features
    should_stop: Callable[[], bool]


class Tile:
    """Lanes `first` to `last` (exclusive) of `population` with their coefficients side by side.

    `generators` are the global ones that the lanes draw from, where their modules or the loss draw for themselves.
    """

    def __init__(self, population: Population, first: int, last: int) -> None:
        self.population, self.first, self.last = population, first, last
        self.lanes = population.lanes[first:last]
        self.coefficients = population.coefficients(first, last)
        self.folds = torch.tensor([lane.request.fold for lane in self.lanes])
        self.update_ratio = torch.full((last - first,), torch.nan, dtype=torch.float32)
        self.generators: AbstractContextManager[object] = nullcontext()

    def __len__(self) -> int:
        return self.last - self.first

    # -- training

    def train(self, worker: Worker, stretch: Stretch) -> int:
        """Take each lane through its steps of `stretch`, or as many as come before it is told to stop; the number of
        steps made."""
        own = slice(self.first, self.last)
        steps, plan = stretch.steps[own], stretch.plan.of_lanes(own)
        made, lanes = 0, int((steps > 0).sum())
        while lanes:
            # Those of fewer steps leave first, and are the last ones: the rest stays a contiguous range.
            until = int(steps[lanes - 1])
            staying = int((steps > until).sum())
            noting, plain = self._steps(worker, stretch, plan.head(lanes), made, until)
            while made < until:
                if stretch.should_stop():
                    return made
                is_last = made == until - 1 and stretch.features.norms
                before = self._parameters(staying, lanes).clone() if is_last else None
                (plain if made % NOTED_EVERY else noting)(made)
                if before is not None:
                    self.update_ratio[staying:lanes] = _ratio(before, self._parameters(staying, lanes))
                made += 1
            lanes = staying
        return made

    def _steps(self, worker: Worker, stretch: Stretch, plan: Plan, place: int, until: int) -> tuple[Advance, Advance]:
        """What makes one step of the lanes of `plan` at a place of it, from `place` up to `until` (exclusive): one that
        notes the gradient where that is wanted, and one that does not."""
        lanes, population = plan.rows.shape[0], self.population
        first, last = self.first, self.first + lanes
        coefficients = self.coefficients if lanes == len(self) else population.coefficients(first, last)
        compiled = stretch.compiled
        if compiled is not None and compiled.serves(lanes, plan.rows.shape[2]):
            state = population.state(first, last, is_flat=False)
            operands = Operands(state, coefficients, stretch.rows, plan, torch.full((1,), place))
            bound = compiled.bound_to(operands.tensors())
            return bound, bound
        state, features = population.state(first, last, is_flat=True), stretch.features
        noting = worker.step(population.data.objective, features)
        # Clipping needs the norms at every step.
        needs_norms = features.norms and coefficients.any_clip
        plain = worker.step(population.data.objective, replace(features, norms=needs_norms))
        ways = tuple(partial(step, state, coefficients, stretch.rows, plan) for step in (noting, plain))
        if stretch.replays is None:
            return ways  # type: ignore[return-value]
        more = self._with_idle(lanes)
        if more > lanes:
            state, plan = population.state(first, first + more, is_flat=True), plan.repeated(more)
            coefficients = population.coefficients(first, first + more)
        operands = Operands(state, coefficients, stretch.rows, plan, torch.full((1,), place))
        # That which notes serves all steps: another one would have to be written down too.
        replayed = stretch.replays.bound(noting, operands, until - place)
        return ways if replayed is None else (replayed, replayed)  # type: ignore[return-value]

    def _with_idle(self, lanes: int) -> int:
        """How many lanes a step that was written down has: the places behind the last lane, which are idle, may train
        along and mean nothing, so that it need not be written down anew whenever one ends."""
        population = self.population
        if lanes < len(self) or self.last < len(population.lanes):
            return lanes  # those behind are not idle
        more = next((size for size in SIZES if size >= lanes), lanes)
        return more if self.first + more <= population.capacity else lanes

    def _parameters(self, first: int, last: int) -> Tensor:
        return self.population.parameters.data[self.first + first : self.first + last]

    # -- evaluating

    def judged(
        self, worker: Worker, inputs: tuple[Tensor, ...], part: Part, judging: Judging, *, watch: bool = False
    ) -> tuple[LaneScores, tuple[Activity, ...]]:
        """The lanes on their folds' rows of `part` of `inputs`, and, where that is to be watched, what each activation
        layer did."""
        data = self.population.data
        rows = part.rows[self.folds].to(data.device)
        counts = part.counts[self.folds].view(-1, 1)
        is_real = (torch.arange(rows.shape[1]).view(1, -1) < counts).to(data.device)
        at_once, own = max(1, ROWS_PER_EVALUATION // len(self)), slice(self.first, self.last)
        parameters = self.population.program.layout.views(self.population.evaluated.data[own])
        buffers = {name: value.data[own] for name, value in self.population.buffers.items()}
        outputs, activity = [], () if watch else None
        for start in range(0, rows.shape[1], at_once):
            chosen = gathered(inputs, rows[:, start : start + at_once])
            piece, activity = looked_at(worker.program, parameters, chosen, buffers, activity)
            outputs.append(piece)
        whole = pytree.tree_map(lambda *pieces: torch.cat(pieces, dim=1), *outputs) if len(outputs) > 1 else outputs[0]
        weights = data.weights[rows] * is_real
        return judging.judged(data, whole, data.targets_of(rows), weights, self.coefficients.losses), activity or ()


def _ratio(before: Tensor, after: Tensor) -> Tensor:
    """How long each lane's step was, relative to its weights [lanes]."""
    change, size = (torch.linalg.vector_norm(x, dim=1) for x in (after - before, before))
    return (change / size).cpu()


def tiles_of(population: Population, at_once: int, threads: int) -> list[Tile]:
    """`population` in tiles of at most `at_once` lanes, a multiple of `threads` many, as equal as they can be and the
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
    return [Tile(population, first, last) for first, last in pairwise(edges)]
