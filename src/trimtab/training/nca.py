"""Neighbourhood components: networks that learn one thing alone, that the rows which lie nearest to a row in their last
hidden layer predict it [Goldberger et al. 2004; with networks Salakhutdinov & Hinton 2007; by some of the rows in each
step Ye et al. 2024, arXiv:2407.03257].

Knows rows and programs; it knows no tables, no clock, and not when to stop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.training.config import Optimizer, Schedule
from trimtab.training.data import TrainingData
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.randomness import number_from
from trimtab.training.rules import schedules
from trimtab.training.rules.groups import GroupCoefficients
from trimtab.training.rules.update import OptimizerCoefficients, StepRates, UpdateRule, step_rates

# Rows of a step that are predicted, of few rows as many as this share of them: the others are asked. More of them learn
# no better for the time they take (RESULTS.md, "Neighbours").
PREDICTED, SHARE_PREDICTED = 256, 0.25
# How far is looked at first, in the spread of the rows; and how much faster than a weight that is learnt (guesses).
FIRST_REACH, RATE_OF_REACH = 0.1, 5.0
# Of squared gradients: 0.999 is slower to follow, and trainings are short [Holzmüller et al. 2024, 2407.04491].
SECOND_DECAY = 0.95
# Less says nothing more of a class, and its logarithm would be all that is learnt from.
LEAST_PROBABILITY = 1e-6
# Rows that go through a network at once, to see how far they lie apart at first.
ROWS_OF_SPREAD = 1_000


@dataclass(frozen=True)
class Course:
    """How it is learnt: so many `steps` of AdamW, whose rate falls from `lr` along a cosine, in each of which so many
    rows are asked, at most that share of all. `dropout` is that of the last hidden layer."""

    steps: int
    lr: float = 0.01
    asked: int = 4_096
    share_asked: float = 1.0
    weight_decay: float = 0.0
    dropout: float = 0.0

    def batch(self, rows: int) -> tuple[int, int]:
        """Of so many rows, those that are predicted in a step and those that are asked; 0 where there are too few."""
        predicted = min(PREDICTED, max(1, int(SHARE_PREDICTED * rows)))
        return predicted, max(0, min(self.asked, round(self.share_asked * rows), rows - predicted))


class NeighbourhoodComponents:
    """Networks of one structure side by side, each with `rows` of its own, row numbers of `data`.

    `start` float32 [networks, parameters]; weights follow from it, from `seed` and from the rows, whatever else runs.
    A row is predicted by the mean of the targets of others, drawn anew in each step, the nearer the heavier: a row at
    the network's reach counts e times less than at none.
    """

    def __init__(
        self, program: MLPProgram, start: Float[Tensor, "networks parameters"], data: TrainingData,
        rows: Sequence[Int[Tensor, " rows"]], course: Course, *, seed: int,
    ) -> None:  # fmt: skip
        self.program, self.data, self.course, self.steps = program, data, course, 0
        self.rows = [own[data.weights[own] > 0] for own in rows]
        self.predicted, self.asked = course.batch(min(len(own) for own in self.rows))
        if not self.asked:
            raise ValueError("A row is predicted by others: two rows are needed.")
        self._generators = [
            torch.Generator().manual_seed(number_from("neighbours", seed, place)) for place in range(len(rows))
        ]
        networks = len(start)
        state = torch.cat([start, self._first_reach(start).log().unsqueeze(1)], 1).to(data.device)
        self._state = state.clone().requires_grad_(True)  # weights, and the logarithm of the reach
        self._first, self._second = torch.zeros_like(state), torch.zeros_like(state)
        optimizer = Optimizer("adamw", course.lr, second_decay=SECOND_DECAY, weight_decay=course.weight_decay)
        self._coefficients = OptimizerCoefficients.stack([optimizer] * networks, data.device)
        factor, decay = torch.ones(2, *state.shape, device=data.device)
        factor[:, -1], decay[:, -1] = RATE_OF_REACH, 0.0
        self._groups = GroupCoefficients(factor, decay, any_groups=True)
        factors = schedules.make(Schedule("cosine"), course.steps, 1).factors(0, course.steps)
        numbers = torch.arange(1, course.steps + 1, device=data.device).expand(networks, -1)
        rates = torch.from_numpy(course.lr * factors).to(data.device).expand(networks, -1)
        self._rates = step_rates(self._coefficients, numbers, rates)
        self._rule = UpdateRule()
        self._targets = self._told()

    @property
    def parameters(self) -> Float[Tensor, "networks parameters"]:
        """As they are now; a copy."""
        return self._state.detach()[:, :-1].clone()

    @property
    def reaches(self) -> tuple[float, ...]:
        """How far each network looks, in the units of its last hidden layer."""
        return tuple(self._state.detach()[:, -1].exp().tolist())

    @property
    def rows_of_a_step(self) -> int:
        """That each network sees."""
        return self.predicted + self.asked

    def step(self) -> None:
        """One step of all networks; no more than the course has."""
        rows = torch.stack([self._drawn(own, g) for own, g in zip(self.rows, self._generators, strict=True)])
        loss = self._loss(rows)
        (gradient,) = torch.autograd.grad(loss, self._state)
        with torch.no_grad():
            rates = StepRates.of(self._rates[:, self.steps])
            self._rule.update(
                self._state, gradient, self._first, self._second, self._coefficients, rates, self._groups
            )  # fmt: skip
        self.steps += 1

    def _drawn(self, own: Tensor, generator: torch.Generator) -> Tensor:
        return own[torch.randperm(len(own), generator=generator)[: self.rows_of_a_step].to(own.device)]

    def _loss(self, rows: Int[Tensor, "networks batch"]) -> Tensor:
        """The sum over networks of the weighted mean loss of the rows that are predicted: squared error in the spread
        of the targets, or minus the logarithm of the probability of a row's class."""
        hidden = self._hidden(self._state[:, :-1], rows)
        if self.course.dropout:
            hidden = hidden * self._kept(hidden)
        predicted, asked = hidden[:, : self.predicted], hidden[:, self.predicted :]
        targets, weights = self._targets[rows], self.data.weights[rows].float()
        nearness = -torch.cdist(predicted, asked) / self._state[:, -1].exp().view(-1, 1, 1)
        shares = (weights[:, None, self.predicted :].log() + nearness).softmax(2)
        said, truth, counts = (
            shares @ targets[:, self.predicted :],
            targets[:, : self.predicted],
            weights[:, : self.predicted],
        )
        if self.data.task == "classification":
            errors = -(said * truth).sum(2).clamp_min(LEAST_PROBABILITY).log()
        else:
            errors = (said - truth).square().mean(2)
        return ((counts * errors).sum(1) / counts.sum(1)).sum()

    def _kept(self, hidden: Tensor) -> Tensor:
        """Which activations dropout keeps, and how much larger they are; drawn from no generator of the caller's."""
        shape, rate = hidden.shape[1:], self.course.dropout
        draws = torch.stack([torch.rand(shape, generator=generator) for generator in self._generators])
        return (draws >= rate).to(hidden) / (1 - rate)

    def _hidden(self, parameters: Tensor, rows: Int[Tensor, "networks batch"]) -> Float[Tensor, "networks batch units"]:
        return self.program.last_hidden(self.program.layout.views(parameters), self.data.gather(rows))

    def _first_reach(self, start: Tensor) -> Tensor:
        some = min(ROWS_OF_SPREAD, *(len(own) for own in self.rows))
        with torch.no_grad():
            hidden = self._hidden(start.to(self.data.device), torch.stack([own[:some] for own in self.rows]))
            spread = (hidden - hidden.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
        return (FIRST_REACH * spread).clamp_min(math.sqrt(torch.finfo(torch.float32).tiny))

    def _told(self) -> Float[Tensor, "rows outputs"]:
        """What a row tells others: its targets, or 1 for its class."""
        if self.data.task == "classification":
            return torch.nn.functional.one_hot(self.data.targets.long(), self.data.outputs).float()
        return self.data.targets.reshape(self.data.rows, -1).float()
