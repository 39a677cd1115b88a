"""Step: what every lane does between two batches: gather, forward, backward, clip, update, note.

One function of tensors, run as it stands or traced for a compiler. Knows no epochs, runs, folds or threads.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.training.config import Config
from trimtab.training.programs.program import Buffers, DerivingProgram, Layout, LossOf, Masks, Program
from trimtab.training.programs.slopes import derivatives
from trimtab.training.rules.coefficients import Coefficients
from trimtab.training.rules.groups import GroupCoefficients
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.objective import Objective, Outputs, Targets
from trimtab.training.rules.update import OptimizerCoefficients, StepRates, UpdateRule

# The columns of a plan's rates behind those of `StepRates`.
DROPOUT, AVERAGE, NOTED = range(len(StepRates._fields), len(StepRates._fields) + 3)
COLUMNS = NOTED + 1
# Gradient norms are noted at every fourth step of a round: uncompiled, they cost as much as the update.
NOTED_EVERY = 4
LOSS, WEIGHT, FIRST_TENSOR = 0, 1, 2


@dataclass(frozen=True)
class Features:
    """What a step does beside its plain work; a program that does more serves lanes that need less."""

    dropout: bool = False
    averaging: bool = False
    norms: bool = True

    def covers(self, other: "Features") -> bool:
        return all(getattr(self, name) or not getattr(other, name) for name in ("dropout", "averaging", "norms"))

    def __or__(self, other: "Features") -> "Features":
        return Features(*(a or b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class State:
    """What a step changes: parameters, moments and average as one flat tensor each, or in the blocks of their `layout`.

    `totals` `[lanes, 2 + tensors]` grow by each step's weighted loss, its weight, and, where it is noted, the squared
    gradient norm of each parameter tensor.
    """

    parameters: tuple[Tensor, ...]
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    average: tuple[Tensor, ...]
    buffers: Buffers
    totals: Tensor
    layout: Layout
    is_flat: bool = True

    @cached_property
    def room(self) -> Tensor:
        """Room for the flat gradient."""
        return torch.empty_like(self.parameters[0])

    @cached_property
    def views(self) -> Buffers:
        """The parameters by name, as they lie in the flat row."""
        return self.layout.stored(self.parameters[0])

    @property
    def leaves(self) -> Buffers:
        """The parameters by name, each in its shape and dtype, as autograd's leaves."""
        # Views follow what a step changes; copies in another dtype have to be made anew for each.
        return self._leaves if self.layout.is_uniform else self._made_leaves()

    @cached_property
    def _leaves(self) -> Buffers:
        return self._made_leaves()

    def _made_leaves(self) -> Buffers:
        views = self.layout.views(self.parameters[0]) if self.is_flat else self.layout.shaped(self.parameters)
        return {name: view.detach().requires_grad_() for name, view in views.items()}


@dataclass(frozen=True)
class LaneCoefficients(Coefficients):
    """Everything in which lanes differ; `clip` [lanes, 1] (infinite where nothing is clipped)."""

    optimizers: OptimizerCoefficients
    groups: GroupCoefficients
    losses: LossCoefficients
    clip: Float[Tensor, "lanes 1"]
    any_clip: bool

    @classmethod
    def stack(
        cls,
        configs: Sequence[Config],
        names: Sequence[str],
        classes: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "LaneCoefficients":
        """Lay configs side by side for parameters called `names`, in the dtype of their flat row; `classes` is 0 for
        regression."""
        clips = [config.gradient_clip or math.inf for config in configs]
        return cls(
            OptimizerCoefficients.stack([config.optimizer for config in configs], device, dtype),
            GroupCoefficients.stack(configs, names, device, dtype),
            LossCoefficients.stack([config.loss for config in configs], classes, device, dtype),
            torch.tensor(clips, dtype=dtype, device=device).view(-1, 1),
            any_clip=any(config.gradient_clip for config in configs),
        )


@dataclass(frozen=True)
class Batches:
    """The data that batches are gathered from; `weights` ends with a 0 for the row number that pads a batch.

    `more_targets` stand beside `targets` where a loss of the caller's own reads several.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    weights: Tensor
    more_targets: tuple[Tensor, ...] = ()

    def batch(self, rows: Int[Tensor, "lanes batch"]) -> tuple[tuple[Tensor, ...], Targets, Tensor]:
        """Inputs `[lanes, batch, ...]`, targets and weights of `rows`."""
        weights = self.weights.index_select(0, rows.reshape(-1)).view(rows.shape)
        flat = rows.clamp_max(self.targets.shape[0] - 1).reshape(-1)
        inputs, targets = (
            tuple(x.index_select(0, flat).view(*rows.shape, *x.shape[1:]) for x in tensors)
            for tensors in (self.inputs, (self.targets, *self.more_targets))
        )
        return inputs, targets if self.more_targets else targets[0], weights


@dataclass(frozen=True)
class Plan:
    """What lanes do in the steps of one round, lane by lane.

    `rows` are row numbers [lanes, steps, batch], the number of rows itself where a batch is padded; `rates` float32
    [lanes, steps, columns]; `thresholds` int32 [lanes, steps] and `keys` int32 [lanes, steps, layers] are dropout's.
    """

    rows: Tensor
    rates: Tensor
    thresholds: Tensor
    keys: Tensor

    def at(self, place: int) -> "Plan":
        """The one step at `place`."""
        return self._each(lambda part: part[:, place : place + 1])

    def repeated(self, lanes: int) -> "Plan":
        """That of so many lanes, those behind the last one doing as that one does."""
        which = torch.arange(lanes, device=self.rows.device).clamp_max_(self.rows.shape[0] - 1)
        return self._each(lambda part: part.index_select(0, which))

    def head(self, lanes: int) -> "Plan":
        return self.of_lanes(slice(lanes))

    def of_lanes(self, lanes: slice) -> "Plan":
        return self._each(lambda part: part[lanes])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Plan":
        return Plan(*map(change, (self.rows, self.rates, self.thresholds, self.keys)))


@dataclass(frozen=True)
class Step:
    """One step of `program` towards an `objective`."""

    program: Program
    objective: Objective
    features: Features
    rule: UpdateRule = field(default_factory=UpdateRule)

    @cached_property
    def _deriving(self) -> DerivingProgram | None:
        """The program where it has derivatives of its own, for steps that no compiler watches."""
        return self.program if isinstance(self.program, DerivingProgram) else None

    def __call__(self, state: State, c: LaneCoefficients, data: Batches, plan: Plan, place: int | Tensor) -> None:
        """Advance every lane by the batch at `place` of its plan, in place."""
        rates = _at(plan.rates, place)
        totals, pieces = self.gradients(state, c, data, plan, place)
        is_whole = totals.shape[1] == state.totals.shape[1]  # a compiler reads no change through a view
        (state.totals if is_whole else state.totals[:, : totals.shape[1]]).add_(totals)
        self._update(state, pieces, c, rates)

    def gradients(
        self, state: State, c: LaneCoefficients, data: Batches, plan: Plan, place: int | Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """What the batch adds to the totals, and the gradient by each parameter `[lanes, numbers]`, clipped."""
        rows, rates = _at(plan.rows, place), _at(plan.rates, place)
        if self.objective.reads_whole:
            rows = _without_padding(rows, data)
        inputs, targets, weights = data.batch(rows)
        thresholds, keys = _at(plan.thresholds, place), _at(plan.keys, place)
        masks = Masks(rates[:, DROPOUT], thresholds, keys, self.features.dropout)

        def loss_of(outputs: Outputs) -> tuple[Tensor, Outputs]:
            return self.objective(outputs, targets, weights, c.losses)

        if self._deriving is not None and state.is_flat:
            loss, pieces = self._deriving.derived(state.views, inputs, masks, loss_of)
        else:
            leaves = state.leaves
            outputs = self.program.forward(leaves, inputs, masks, state.buffers)
            loss, pieces = backward(outputs, leaves, loss_of, state.layout)
        weight = weights.sum(1, keepdim=True)
        totals = [loss.unsqueeze(1) * weight, weight]
        if self.features.norms:
            squares = torch.cat([g.square().sum(1, keepdim=True) for g in pieces], dim=1)
            pieces = self._clipped(pieces, squares, c)
            totals.append(squares * rates[:, NOTED].unsqueeze(1))
        return torch.cat(totals, dim=1), pieces

    @staticmethod
    def _clipped(pieces: list[Tensor], squares: Tensor, c: LaneCoefficients) -> list[Tensor]:
        """Gradients of a norm of at most `clip`, as `torch.nn.utils.clip_grad_norm_` leaves them."""
        if not c.any_clip:
            return pieces
        norm = squares.sum(1, keepdim=True).sqrt()
        scale = torch.where(norm > c.clip, c.clip / (norm + 1e-6), 1.0)
        return [g * scale for g in pieces]

    def _update(self, state: State, pieces: list[Tensor], c: LaneCoefficients, rates: Tensor) -> None:
        step_rates = StepRates.of(rates)
        if state.is_flat and len(pieces) > 1:
            sizes = [piece.shape[1] for piece in pieces]
            pieces = [torch.cat(pieces, dim=1, out=state.room)]
            groups = [c.groups.over_flat(sizes) if c.groups.any_groups else None]
        else:
            sizes, blocks = state.layout.sizes, state.layout.blocks
            pieces = [_joined(pieces[block]) for block in blocks]
            groups = [c.groups.over_block(block, sizes) if c.groups.any_groups else None for block in blocks]
        moved = zip(state.parameters, pieces, state.first, state.second, groups, strict=True)
        for parameters, gradient, first, second, group in moved:
            self.rule.update(parameters, gradient, first, second, c.optimizers, step_rates, group)
        if self.features.averaging:
            weight = rates[:, AVERAGE].unsqueeze(1)
            for average, parameters in zip(state.average, state.parameters, strict=True):
                average.lerp_(parameters, weight)


def backward(
    outputs: Outputs, leaves: Buffers, loss_of: LossOf, layout: Layout
) -> tuple[Float[Tensor, " lanes"], list[Tensor]]:
    """Each lane's loss of `outputs`, and its derivative by each of the `leaves` they were made from, [lanes, numbers].

    From autograd over a forward of all lanes at once, fed with the loss's derivative by formula; no lane enters another
    lane's outputs, so none enters its gradient.
    """
    if isinstance(outputs, Tensor):
        loss, slope = loss_of(outputs.detach())
        # The loss may be computed in a wider dtype than the network.
        gradients = derivatives([outputs], list(leaves.values()), [slope.to(outputs.dtype)])
    else:
        loss, slopes = loss_of(pytree.tree_map(torch.detach, outputs))
        reached = [(o, s) for o, s in zip(pytree.tree_leaves(outputs), pytree.tree_leaves(slopes), strict=True)
                   if o.requires_grad]  # fmt: skip
        gradients = derivatives([o for o, _ in reached], list(leaves.values()), [s for _, s in reached])
    pieces = [
        # Not len(loss), which would fix the number of lanes while a compiler watches; not -1, which empty tensors lack.
        (g if g is not None else torch.zeros_like(leaf)).reshape(loss.shape[0], size).to(layout.dtype)
        for g, leaf, size in zip(gradients, leaves.values(), layout.sizes, strict=True)
    ]
    return loss, pieces


def _without_padding(rows: Int[Tensor, "lanes batch"], data: Batches) -> Int[Tensor, "lanes longest"]:
    """A short batch at its own length: its padding, which stands at the end, is cut off."""
    is_real = rows != data.targets.shape[0]
    return rows[:, : int(is_real.sum(1).max())]


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=1)


def _at(planned: Tensor, place: int | Tensor) -> Tensor:
    return planned.select(1, place) if isinstance(place, int) else planned.index_select(1, place).squeeze(1)
