"""Shard: a contiguous range of a population's lanes, trained and evaluated by one thread.

Threads that each take some lanes through a whole round need not wait for one another at every product, which keeps
them fast on a machine that others use too. Knows no trials and decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy
import torch
from torch import Tensor

from trimtab.training.data import TrainingData
from trimtab.training.losses import LossCoefficients, classification_loss, regression_loss
from trimtab.training.optimizers import OptimizerCoefficients, UpdateRule, step_rates
from trimtab.training.population import Population
from trimtab.training.program import Masks

ROWS_PER_EVALUATION = 16_384


@dataclass(frozen=True)
class Plan:
    """What all lanes of a population do in one round.

    `rows` int64 and `weights` float32 (0 where a batch is padded) [steps, lanes, batch]; `rates` float64
    [steps, lanes]; `own_steps` int64 [lanes].
    """

    rows: Tensor
    weights: Tensor
    rates: Tensor
    own_steps: Tensor


@dataclass(frozen=True)
class Trained:
    """What a shard's round came to, per lane: mean training loss, last gradient norm; and the steps that were made."""

    train_loss: Tensor
    gradient_norm: Tensor
    steps: int


class Shard:
    """Lanes `first` to `last` (exclusive) of `population` with their coefficients side by side."""

    def __init__(self, population: Population, first: int, last: int) -> None:
        self.population, self.first, self.last = population, first, last
        self.data: TrainingData = population.data
        # functional_call swaps parameters on the module: each thread needs a program of its own.
        self.program = population.program.for_another_thread() if first else population.program
        self.rule = UpdateRule()
        lanes = population.lanes[first:last]
        configs = [lane.request.config for lane in lanes]
        device = self.data.device
        is_classification = self.data.task == "classification"
        self.loss = classification_loss if is_classification else regression_loss
        classes = self.data.outputs if is_classification else 0
        self.losses = LossCoefficients.stack([config.loss for config in configs], classes, device)
        self.optimizers = OptimizerCoefficients.stack([config.optimizer for config in configs], device)
        self.dropout_rates = torch.tensor([config.dropout for config in configs], device=device)
        self.any_dropout = any(config.dropout > 0 for config in configs)
        self.seeds = torch.tensor([lane.request.seed for lane in lanes], device=device)
        self.folds = torch.tensor([lane.request.fold for lane in lanes])

    def _own(self, tensor: Tensor) -> Tensor:
        # `.data` has a version counter of its own: autograd would take another shard's step for a change of ours.
        return tensor.data[self.first : self.last]

    def train(self, plan: Plan, should_stop: Callable[[], bool]) -> Trained:
        """Take every lane through its steps of `plan`, or as many as come before `should_stop`."""
        population, data = self.population, self.data
        parameters, first, second, gradient = (
            self._own(t) for t in (population.parameters, population.first, population.second, population.gradient)
        )
        buffers = {name: self._own(value) for name, value in population.buffers.items()}
        rows, weights = plan.rows[:, self.first : self.last], plan.weights[:, self.first : self.last]
        own_steps = self._own(plan.own_steps)
        steps = self._step_numbers(len(rows), own_steps)
        rates = step_rates(self.optimizers, steps, plan.rates[:, self.first : self.last])
        fewest = int(own_steps.min())
        losses = []
        for s in range(int(own_steps.max())):
            if should_stop():
                break
            active = None if s < fewest else s < own_steps
            kept = {} if active is None else {name: value.clone() for name, value in buffers.items()}
            target = data.targets[rows[s]]
            loss = self.program.gradient(
                parameters,
                data.gather(rows[s]),
                lambda outputs, t=target, w=weights[s]: self.loss(outputs, t, w, self.losses),
                Masks(self.dropout_rates, self.seeds, steps[s], self.any_dropout),
                gradient,
                buffers,
            )
            self.rule.update(parameters, gradient, first, second, self.optimizers, rates[s], active)
            for name, before in kept.items():
                buffers[name][~active] = before[~active]  # type: ignore[operator]
            losses.append(loss)
        norms = torch.linalg.vector_norm(gradient, dim=1)
        if not losses:
            return Trained(torch.full_like(norms, torch.nan), norms, 0)
        # A padded step's loss and weight are 0. Summed lane by lane, so that the lanes beside it change no bit.
        batch_weights = weights[: len(losses)].sum(2).T.contiguous()
        total = (torch.stack(losses, dim=1) * batch_weights).sum(1)
        return Trained(total / batch_weights.sum(1), norms, len(losses))

    def _step_numbers(self, count: int, own_steps: Tensor) -> Tensor:
        """Each lane's own count of steps, from 1 on, at each step of the round; it stands still in idle steps."""
        before = torch.tensor([lane.step for lane in self.population.lanes[self.first : self.last]])
        made = torch.arange(1, count + 1, device=own_steps.device).unsqueeze(1).minimum(own_steps)
        return before.to(own_steps.device) + made

    def validate(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """On each lane's validation rows: outputs [lanes, rows, outputs], rows, weights (padding: 0), loss [lanes]."""
        population, data = self.population, self.data
        rows = population.validation_rows[self.folds].to(data.device)
        counts = population.validation_counts[self.folds].view(-1, 1)
        is_real = (torch.arange(rows.shape[1]).view(1, -1) < counts).to(data.device)
        parameters = self._own(population.parameters)
        buffers = {name: self._own(value) for name, value in population.buffers.items()}
        chunk = max(1, ROWS_PER_EVALUATION // len(rows))
        pieces = [
            self.program.outputs(parameters, data.gather(rows[:, i : i + chunk]), buffers)
            for i in range(0, rows.shape[1], chunk)
        ]
        outputs, weight = torch.cat(pieces, dim=1), data.weights[rows] * is_real
        losses, _ = self.loss(outputs, data.targets[rows], weight, self.losses)
        return outputs, rows, weight, losses


def shards_of(population: Population, threads: int) -> list[Shard]:
    """`population` divided among `threads` as evenly as its lanes allow."""
    edges = numpy.linspace(0, len(population.lanes), min(threads, len(population.lanes)) + 1).round().astype(int)
    return [Shard(population, int(a), int(b)) for a, b in pairwise(edges)]
