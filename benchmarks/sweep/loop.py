"""The network of this benchmark, and the plain PyTorch loop that trains it once, as a careful user writes it.

Knows nothing of trimtab.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

WIDTH = 64


def network(inputs: int) -> nn.Sequential:
    """Two hidden layers of 64 units."""
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )  # fmt: skip


@dataclass(frozen=True)
class Loop:
    """Adam over shuffled batches of rows in memory; the validation rows are judged after each epoch."""

    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor
    batch: int
    epochs: int

    def best_loss(self, rate: float, seed: int) -> float:
        """The validation loss at the best epoch of one training from its beginning."""
        torch.manual_seed(seed)
        model, loss = network(self.x.shape[1]), nn.MSELoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        best = inf
        for _ in range(self.epochs):
            model.train()
            order = torch.randperm(len(self.x))
            for start in range(0, len(self.x), self.batch):
                index = order[start : start + self.batch]
                optimizer.zero_grad()
                loss(model(self.x[index]), self.y[index]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                best = min(best, loss(model(self.x_validation), self.y_validation).item())
        return best
