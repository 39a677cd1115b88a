"""Members of one network beside networks of their own: TabM-mini [Gorishniy et al. 2025, 2410.24210] beside a mean.

k members share all layers but a factor on each input and the last layer; each has a loss of its own, and their
predictions are averaged. Beside them the mean of k networks that share nothing: as many rows pass through as many
layers in both. One training of a network of the middle on a table's first fold, in plain PyTorch.

python -m benchmarks.quality.packed --members 8
"""

import argparse
import time
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from benchmarks.page import table as markdown
from benchmarks.quality.networks import error_of
from benchmarks.quality.recipe import config_with, laid_out
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.model.model import build
from trimtab.nets.mlp import MLP
from trimtab.table.prepare import Prepared
from trimtab.training.config import Config
from trimtab.training.metrics import default_metric


class Packed(nn.Module):
    """`members` members over the layers of one network; outputs are [members, batch, outputs]."""

    def __init__(self, network: MLP, members: int) -> None:
        super().__init__()
        self.network = network
        features, width = network.hidden[0].in_features, network.output.in_features  # type: ignore[union-attr]
        self.factors = nn.Parameter(torch.randn(members, 1, features))  # type: ignore[arg-type]
        bound = 1 / float(width) ** 0.5
        outputs = network.output.out_features
        self.weight = nn.Parameter((torch.rand(members, width, outputs) * 2 - 1) * bound)  # type: ignore[arg-type]
        self.bias = nn.Parameter((torch.rand(members, 1, outputs) * 2 - 1) * bound)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        features = _features(self.network, numbers, codes).unsqueeze(0) * self.factors
        for layer in self.network.hidden:
            features = self.network.activation(layer(features))
        return torch.baddbmm(self.bias, features, self.weight)


class Alone(nn.Module):
    """One network, told as one member."""

    def __init__(self, network: MLP) -> None:
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.network(numbers, codes).unsqueeze(0)


def _features(network: MLP, numbers: Tensor, codes: Tensor) -> Tensor:
    """What the first hidden layer is given [batch, features]."""
    embedding = network.periodic or network.piecewise
    if embedding is not None:
        own, others = numbers[:, : network.continuous], numbers[:, network.continuous :]
        numbers = torch.cat([embedding(own), others], dim=1)
    features = network.scale(numbers) if network.scale is not None else numbers
    return features if network.categories is None else torch.cat([features, network.categories(codes)], dim=1)


class Rows:
    """A prepared table: its first fold's rows, and those of the test part."""

    def __init__(self, prepared: Prepared) -> None:
        assert prepared.test is not None
        self.prepared, self.is_classes = prepared, prepared.schema.task == "classification"
        self.numbers, self.codes = torch.tensor(prepared.numbers), torch.tensor(prepared.codes)
        self.targets = torch.tensor(prepared.targets)
        self.train, self.validation = (torch.tensor(part) for part in prepared.folds[0])
        encoded = prepared.encoder.encode(prepared.test)
        self.test = torch.tensor(encoded.numbers), torch.tensor(encoded.codes)
        self.metric = default_metric(prepared.schema.task)  # type: ignore[arg-type]
        self.truth = prepared.target_encoder.truth(prepared.test)

    def loss(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """The mean of the members' losses."""
        targets = self.targets[rows]
        if self.is_classes:
            return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.repeat(len(outputs)))
        return nn.functional.mse_loss(outputs, targets.expand_as(outputs))

    def mean(self, outputs: Tensor) -> Tensor:
        """What all members predict together, as a target or a probability."""
        return (outputs.softmax(-1) if self.is_classes else outputs).mean(0)

    def judged(self, predicted: Tensor, targets: Tensor) -> float:
        if self.is_classes:
            return float(nn.functional.nll_loss(predicted.clamp(1e-6).log(), targets))
        return float(nn.functional.mse_loss(predicted, targets))

    def error(self, predicted: Tensor) -> float:
        """The metric's on test rows."""
        encoder = self.prepared.target_encoder
        if self.is_classes:
            return error_of(self.metric, predicted.double().numpy(), self.truth)
        return error_of(self.metric, predicted.double().numpy() * encoder.scale + encoder.mean, self.truth)


def trained(model: nn.Module, rows: Rows, config: Config, seed: int) -> Tensor:
    """What it predicts for the test rows, as it was at its best epoch on the validation rows."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.optimizer.learning_rate, weight_decay=config.optimizer.weight_decay
    )
    per_epoch = max(1, len(rows.train) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * per_epoch)
    lowest, best = float("inf"), torch.empty(0)
    for _ in range(config.epochs):
        order = rows.train[torch.randperm(len(rows.train), generator=draw)]
        for step in range(per_epoch):
            batch = order[step * config.batch_size : (step + 1) * config.batch_size]
            optimizer.zero_grad()
            rows.loss(model(rows.numbers[batch], rows.codes[batch]), batch).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            said = rows.mean(model(rows.numbers[rows.validation], rows.codes[rows.validation]))
            error = rows.judged(said, rows.targets[rows.validation])
            if error < lowest:
                lowest, best = error, rows.mean(model(*rows.test))
    return best


def compared(table: Table, members: int) -> list[float]:
    """Test errors of one network (the mean of all), their mean and TabM-mini, and seconds of both trainings."""
    prepared, _ = laid_out(table, *table.typed_split(0))
    rows, config = Rows(prepared), config_with(prepared, dropout=0.0)

    def network(seed: int) -> MLP:
        torch.manual_seed(seed)
        return build(prepared.encoder, prepared.target_encoder, config.module_arguments)

    started = time.monotonic()
    alone = [trained(Alone(network(seed)), rows, config, seed) for seed in range(members)]
    between = time.monotonic()
    packed = trained(Packed(network(0), members), rows, config, 0)
    ended = time.monotonic()
    one = float(numpy.mean([rows.error(each) for each in alone]))
    return [one, rows.error(torch.stack(alone).mean(0)), rows.error(packed), between - started, ended - between]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--members", type=int, default=8)
    asked = parser.parse_args()
    lines, ratios = [], []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        one, mean, packed, *seconds = compared(table, asked.members)
        ratios.append(packed / mean)
        lines.append([table.name, one, mean, packed, f"{packed / mean - 1:+.1%}", *(f"{each:.0f}" for each in seconds)])
        print(*lines[-1], flush=True)
    middle = f"{numpy.exp(numpy.log(ratios).mean()) - 1:+.1%}"
    heading = ["table", "one network", f"mean of {asked.members}", "TabM-mini", "beside the mean", "s, mean", "s, TabM"]
    print(markdown(heading, [*lines, ["geometric mean", "", "", "", middle, "", ""]]))


if __name__ == "__main__":
    main()
