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
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
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
        features = self.network.features(numbers, codes).unsqueeze(0) * self.factors
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


class Rows:
    """A prepared table: its first fold's rows, and those of the test part."""

    def __init__(self, prepared: Prepared, data: TrainingData) -> None:
        assert prepared.test is not None
        self.data, self.fold, self.metric = data, data.folds[0], default_metric(data.task)
        encoded = prepared.encoder.encode(prepared.test)
        self.test = torch.tensor(encoded.numbers), torch.tensor(encoded.codes)
        self.truth = prepared.target_encoder.truth(prepared.test)

    def of(self, places: Tensor) -> list[Tensor]:
        return [inputs[places] for inputs in self.data.inputs]

    def loss(self, outputs: Tensor, places: Tensor) -> Tensor:
        """The mean of the members' losses."""
        targets = self.data.targets[places]
        if self.data.task == "classification":
            return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.repeat(len(outputs)))
        return nn.functional.mse_loss(outputs, targets.expand_as(outputs))

    def said(self, outputs: Tensor) -> numpy.ndarray:
        """What all members predict together."""
        return self.data.predictions(outputs).mean(0).numpy()

    def error(self, said: numpy.ndarray) -> float:
        """The metric's on test rows."""
        return error_of(self.metric, said, self.truth)


def trained(model: nn.Module, rows: Rows, config: Config, seed: int) -> numpy.ndarray:
    """What it predicts for the test rows, as it was at its best epoch on the validation rows."""
    draw, fold = torch.Generator().manual_seed(seed), rows.fold
    optimizer = torch.optim.AdamW(
        model.parameters(), config.optimizer.learning_rate, weight_decay=config.optimizer.weight_decay
    )
    per_epoch = max(1, len(fold.train) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * per_epoch)
    truth = rows.data.truth(fold.validation).numpy()
    lowest, best = float("inf"), numpy.empty(0)
    for _ in range(config.epochs):
        order = fold.train[torch.randperm(len(fold.train), generator=draw)]
        for step in range(per_epoch):
            batch = order[step * config.batch_size : (step + 1) * config.batch_size]
            optimizer.zero_grad()
            rows.loss(model(*rows.of(batch)), batch).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            error = error_of(rows.metric, rows.said(model(*rows.of(fold.validation))), truth)
            if error < lowest:
                lowest, best = error, rows.said(model(*rows.test))
    return best


def compared(table: Table, members: int) -> list[float]:
    """Test errors of one network (the mean of all), their mean and TabM-mini, and seconds of both trainings."""
    prepared, data = laid_out(table, *table.typed_split(0))
    rows, config = Rows(prepared, data), config_with(prepared, dropout=0.0)

    def network(seed: int) -> MLP:
        torch.manual_seed(seed)
        return build(prepared.encoder, prepared.target_encoder, config.module_arguments)

    started = time.monotonic()
    alone = [trained(Alone(network(seed)), rows, config, seed) for seed in range(members)]
    between = time.monotonic()
    packed = trained(Packed(network(0), members), rows, config, 0)
    ended = time.monotonic()
    one = float(numpy.mean([rows.error(each) for each in alone]))
    return [one, rows.error(numpy.mean(alone, axis=0)), rows.error(packed), between - started, ended - between]


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
