"""Shape: a network, a batch size and a number of rows, with data and configs to train it on; and the five we promise.

Knows neither loops nor lanes nor clocks.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trimtab.nets.mlp import MLP
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData

TRAINING_ROWS_PER_VALIDATION_ROW = 4  # a validation part of 20 % of all rows
EPOCHS, PATIENCE = 60, 15


@dataclass(frozen=True)
class Shape:
    """`inputs` columns through `depth` hidden ReLU layers of `width` to one output, in batches of `batch`.

    `rows` are training rows, `lanes` the numbers of lanes that are tried; the targets say how many times faster than
    the plain loop a lane-step has to be.
    """

    inputs: int
    width: int
    depth: int
    batch: int
    rows: int = 4_096
    lanes: tuple[int, ...] = ()
    float32_target: float | None = None
    bf16_target: float | None = None

    @property
    def key(self) -> list[int]:
        return [self.inputs, self.width, self.depth, self.batch]

    @property
    def name(self) -> str:
        return "-".join(map(str, self.key))

    @property
    def words(self) -> str:
        return ", ".join(map(str, self.key))

    @property
    def is_bound_by_products(self) -> bool:
        return self.width >= 128

    @property
    def operations(self) -> int:
        """Multiplications and additions in the matrix products of one step of one lane.

        Three products per weight matrix (outputs, gradient of weights, gradient of inputs); the columns of the data
        need no gradient.
        """
        first = self.inputs * self.width
        entries = first + (self.depth - 1) * self.width**2 + self.width
        return 2 * self.batch * (3 * entries - first)

    def config(self, *, learning_rate: float = 1e-3, epochs: int = EPOCHS, patience: int = PATIENCE) -> Config:
        """Adam as in the plain loop, with what the engine does beside it switched on: a schedule and early stopping."""
        return Config(
            network=(("activation", "relu"), ("depth", self.depth), ("inputs", "scaled"), ("width", self.width)),
            loss=Loss("mse"),
            optimizer=Optimizer("adam", learning_rate=learning_rate),
            schedule=Schedule("cosine"),
            stopping=Stopping("patience", patience=patience),
            batch_size=self.batch,
            epochs=epochs,
        )

    def module(self, **network: str | int | float) -> MLP:
        """The engine's factory."""
        return MLP(continuous=self.inputs, numbers=self.inputs, cardinalities=(), outputs=1, **network)  # type: ignore[arg-type]

    def training_data(self, device: str = "cpu") -> TrainingData:
        """The rows of `rows_of` as the engine reads them: training rows first, the validation part behind them."""
        x, y = rows_of(self, device)
        with torch.device(device):
            return TrainingData(
                task="regression",
                inputs=(x, torch.zeros(len(x), 0, dtype=torch.int64)),
                targets=y,
                weights=torch.ones(len(x)),
                folds=(Fold(torch.arange(self.rows), torch.arange(self.rows, len(x))),),
                outputs=1,
                mean=torch.zeros(1, dtype=torch.float64),
                scale=torch.ones(1, dtype=torch.float64),
            )


@lru_cache(maxsize=1)
def rows_of(shape: Shape, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Columns `[rows, inputs]` and a noisy smooth target `[rows, 1]`: training rows, then validation rows."""
    generator = torch.Generator().manual_seed(0)
    rows = shape.rows + shape.rows // TRAINING_ROWS_PER_VALIDATION_ROW
    x = torch.randn(rows, shape.inputs, generator=generator)
    direction = torch.randn(shape.inputs, 1, generator=generator) / shape.inputs**0.5
    y = torch.sin(2 * (x @ direction)) + 0.2 * torch.randn(rows, 1, generator=generator)
    return x.to(device), y.to(device)


SHAPES = (
    Shape(1, 16, 1, 32, rows=2_048, lanes=(128, 256, 512), float32_target=70),
    Shape(10, 32, 2, 32, rows=2_048, lanes=(64, 128, 256), float32_target=40),
    Shape(20, 128, 2, 256, lanes=(8, 16, 32, 64), float32_target=4.5, bf16_target=5),
    Shape(20, 256, 3, 256, lanes=(4, 8, 16, 32), float32_target=1.7, bf16_target=2.1),
    Shape(20, 512, 3, 256, lanes=(2, 4, 8), float32_target=1.3, bf16_target=2.4),
)
