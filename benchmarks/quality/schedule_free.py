"""AdamW without a schedule, which averages where it was [Defazio et al. 2024, 2405.15682], beside cosine decay.

y = (1 - b1) z + b1 x, where the gradient g is taken; z = z - rate (g / (sqrt(v / (1 - b2^t)) + epsilon) + decay y);
x = (1 - c) x + c z with c = rate^2 / (sum of all rate^2), which predicts. No search and no ensemble: a network of the
middle (`recipe.py`) on a table's first fold, with each of some rates and several seeds as lanes beside each other; the
rate and the epoch are those with the least error on the validation rows, of each optimizer by itself; the test rows of
split 0 judge.

python -m benchmarks.quality.schedule_free --seeds 2
"""

import argparse
import math
from pathlib import Path

import numpy
import torch
from torch import Tensor

from benchmarks.page import table as markdown
from benchmarks.quality.networks import error_of
from benchmarks.quality.recipe import config_with, laid_out
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.model.model import build
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.metrics import default_metric
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.program import outputs_of
from trimtab.training.randomness import initialised, row_order

RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
WARMUP = 0.05  # of the steps, without a schedule
BETA1, BETA2, EPSILON = 0.9, 0.98, 1e-8
KINDS = ("AdamW, cosine", "schedule-free")


class Lanes:
    """A network with each kind, rate and seed, and how the weights of each move."""

    def __init__(self, prepared: Prepared, config: Config, seeds: int) -> None:
        def network():
            return build(prepared.encoder, prepared.target_encoder, config.module_arguments)

        self.cases = [(kind, rate, seed) for kind in KINDS for rate in RATES for seed in range(seeds)]
        self.program = MLPProgram(initialised(network, 0))
        starts = [
            self.program.layout.flatten(dict(initialised(network, 1 + seed).named_parameters()))
            for _, _, seed in self.cases
        ]
        self.x = torch.stack(starts).detach()  # what predicts; with a schedule, what is trained
        self.z, self.first, self.second = self.x.clone(), torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.is_free = torch.tensor([[kind == KINDS[1]] for kind, _, _ in self.cases])
        self.rates = torch.tensor([[rate] for _, rate, _ in self.cases], dtype=torch.float64)
        self.sum = torch.zeros_like(self.rates)
        self.decay = config.optimizer.weight_decay

    def where(self) -> Tensor:
        """The weights that the gradient is taken at."""
        return torch.where(self.is_free, torch.lerp(self.z, self.x, BETA1), self.x)

    def step(self, at: Tensor, gradient: Tensor, t: int, steps: int) -> None:
        """Step t of so many, from 1."""
        warmup = min(1.0, t / max(1, round(WARMUP * steps)))
        factor = torch.where(self.is_free, warmup, 0.5 * (1 + math.cos(math.pi * (t - 1) / steps)))
        rate = self.rates * factor
        self.second.lerp_(gradient.square(), 1 - BETA2)
        divisor = (self.second / (1 - BETA2**t)).sqrt_().add_(EPSILON)
        self.first.lerp_(gradient, 1 - BETA1)
        direction = torch.where(self.is_free, gradient, self.first / (1 - BETA1**t)) / divisor
        move = rate.float() * (direction + self.decay * at)
        self.sum += rate.square()
        share = (rate.square() / self.sum).float()
        self.z -= move
        self.x = torch.where(self.is_free, torch.lerp(self.x, self.z, share), self.x - move)


def errors_of(table: Table, seeds: int) -> dict[str, float]:
    """The test error of each kind, the mean over seeds."""
    prepared, data = laid_out(table, *table.typed_split(0))
    assert prepared.test is not None
    config, fold, metric = config_with(prepared), data.folds[0], default_metric(data.task)
    lanes = Lanes(prepared, config, seeds)
    encoded = prepared.encoder.encode(prepared.test)
    test = [torch.tensor(x) for x in (encoded.numbers, encoded.codes)]
    truth, validation = prepared.target_encoder.truth(prepared.test), data.truth(fold.validation).numpy()
    per_epoch = max(1, len(fold.train) // config.batch_size)
    steps, count = config.epochs * per_epoch, len(lanes.cases)
    lowest, best = numpy.full(count, numpy.inf), numpy.full(count, numpy.nan)

    def said(inputs: list[Tensor]) -> numpy.ndarray:
        alike = tuple(x.unsqueeze(0).expand(count, *x.shape) for x in inputs)
        return data.predictions(outputs_of(lanes.program, lanes.x, alike)).numpy()

    for epoch in range(config.epochs):
        orders = {seed: row_order(len(fold.train), seed=seed, fold=0, epoch=epoch) for seed in range(seeds)}
        rows = torch.stack([fold.train[orders[seed]] for _, _, seed in lanes.cases])
        for step in range(per_epoch):
            batch = rows[:, step * config.batch_size : (step + 1) * config.batch_size]
            at = lanes.where().requires_grad_()
            inputs = tuple(x[batch] for x in data.inputs)
            outputs = lanes.program.forward(lanes.program.layout.views(at), inputs, None, {})
            _loss(data, outputs, batch).backward()
            with torch.no_grad():
                assert at.grad is not None
                lanes.step(at.detach(), at.grad, epoch * per_epoch + step + 1, steps)
        judged = said([x[fold.validation] for x in data.inputs])
        told = numpy.array([error_of(metric, each, validation) for each in judged])
        if (told < lowest).any():
            on_test = numpy.array([error_of(metric, each, truth) for each in said(test)])
            lowest, best = numpy.where(told < lowest, told, lowest), numpy.where(told < lowest, on_test, best)
    return {kind: _at_its_rate(kind, lanes.cases, lowest, best) for kind in KINDS}


def _loss(data: TrainingData, outputs: Tensor, batch: Tensor) -> Tensor:
    """The sum over lanes of the mean over rows."""
    targets = data.targets[batch]
    if data.task == "classification":
        return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten()) * len(outputs)
    return (outputs - targets).square().mean((1, 2)).sum()


def _at_its_rate(kind: str, cases: list[tuple[str, float, int]], lowest: numpy.ndarray, best: numpy.ndarray) -> float:
    places = {rate: [i for i, case in enumerate(cases) if case[:2] == (kind, rate)] for rate in RATES}
    chosen = min(places.values(), key=lambda lanes: lowest[lanes].mean())
    return float(best[chosen].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    lines, ratios = [], []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        errors = errors_of(table, asked.seeds)
        ratios.append(errors[KINDS[1]] / errors[KINDS[0]])
        lines.append([table.name, *(f"{errors[kind]:.4g}" for kind in KINDS), f"{ratios[-1] - 1:+.1%}"])
        print(*lines[-1], flush=True)
    mean = f"{numpy.exp(numpy.log(ratios).mean()) - 1:+.1%}"
    print(markdown(["table", *KINDS, "difference"], [*lines, ["geometric mean", "", "", mean]]))


if __name__ == "__main__":
    main()
