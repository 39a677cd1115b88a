"""Live: networks that train side by side on the engine, looked at after each round.

Knows tensors, configs and the engine; it knows no experiment and no page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from trimtab.nets.mlp import ACTIVATIONS
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import METRICS
from trimtab.training.programs.program import ModuleUse, outputs_of
from trimtab.training.run import Request, RunRecord


def regression(
    x: numpy.ndarray, y: numpy.ndarray, validation: numpy.ndarray | None = None, *, scaled: bool = False
) -> TrainingData:
    """Rows `x` `[rows, columns]` and what is to be predicted `[rows]`; those that `validation` `[rows]` marks judge.
    With `scaled` the target has mean 0 and standard deviation 1 while it is trained on."""
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if scaled else (0.0, 1.0)
    targets = ((y - mean) / scale).reshape(-1, 1)
    return _data("regression", x, torch.from_numpy(targets.astype(numpy.float32)), validation, 1, mean, scale)


def classes(x: numpy.ndarray, y: numpy.ndarray, validation: numpy.ndarray, count: int = 2) -> TrainingData:
    """Rows `x` `[rows, columns]` and the number of each one's class `[rows]`."""
    return _data("classification", x, torch.from_numpy(y.astype(numpy.int64)), validation, count, 0.0, 1.0)


def _data(
    task: str, x: numpy.ndarray, targets: Tensor, validation: numpy.ndarray | None, outputs: int, mean: float,
    scale: float,
) -> TrainingData:  # fmt: skip
    judges = numpy.zeros(len(x), dtype=bool) if validation is None else validation
    fold = Fold(torch.from_numpy(numpy.flatnonzero(~judges)), torch.from_numpy(numpy.flatnonzero(judges)))
    return TrainingData(
        task,  # type: ignore[arg-type]
        (torch.from_numpy(numpy.ascontiguousarray(x, dtype=numpy.float32)),),
        targets,
        torch.ones(len(x)),
        (fold,),
        outputs,
        torch.full((outputs,), mean, dtype=torch.float64),
        torch.full((outputs,), scale, dtype=torch.float64),
    )


def plain(
    optimizer: str, rate: float, epochs: int, *, loss: Loss | str = "mse", schedule: str = "constant", batch: int = 0,
    decay: float = 0.0, dropout: float = 0.0,
) -> Config:  # fmt: skip
    """A config as an experiment has it: all epochs, without stopping; `batch` 0 is all rows."""
    return Config(
        loss=loss if isinstance(loss, Loss) else Loss(loss),
        optimizer=Optimizer(optimizer, learning_rate=rate, weight_decay=decay),
        schedule=Schedule(schedule), stopping=Stopping("none"), batch_size=batch, epochs=epochs, dropout=dropout,
    )  # fmt: skip


@dataclass
class Live:
    """The networks of `factory`, one for each of `configs`, trained on `data` until `stop` says so.

    They begin with weights that follow from their places (with `one_start` all with the same, where `start` is given
    with those of its module), and are looked at every `every` epochs. All configs share one structure.
    """

    data: TrainingData
    factory: Callable[[], nn.Module]
    configs: Sequence[Config]
    every: int = 1
    metric: str | None = "rmse"
    one_start: bool = False
    start: Callable[[Request], nn.Module] | None = None
    stop: Callable[[], bool] = lambda: False
    records: dict[int, RunRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        metric = None if self.metric is None else METRICS[self.metric]
        judging = Judging(metric, every=self.every, training_rows=self.data.rows)
        # Said to take one tensor of rows, a chain of layers is trained by formula.
        modules = Modules(self.factory, use=ModuleUse(ranks=(2,)), start=self.start)
        self.engine = Engine(self.data, modules, judging, should_stop=self.stop)
        self.population = self.engine.population(Structure.of(self.configs[0]), len(self.configs))

    def rounds(self) -> Iterator[dict[int, Lane]]:
        """The networks that still train by their places among the configs, after each round."""
        population = self.population
        seeds = [0 if self.one_start else place for place in range(len(self.configs))]
        self.engine.admit(
            population,
            [Request(n, each, 0, seed) for n, (each, seed) in enumerate(zip(self.configs, seeds, strict=True))],
        )
        try:
            while population.lanes:
                is_whole = self.engine.advance(population)
                yield {lane.request.trial: lane for lane in population.lanes if lane.curves.epoch}
                for record in self.engine.retire(population, "" if is_whole else "told to stop"):
                    self.records[record.request.trial] = record
        finally:
            self.engine.close()

    def weights(self, place: int) -> Tensor:
        """The parameters `[size]` that a network has now; those of its best epoch when it has ended."""
        if place in self.records:
            return self.records[place].weights
        return self.population.parameters[self._lane(place)]

    def named_weights(self, place: int) -> dict[str, Tensor]:
        """The same by the names that they have in the module."""
        views = self.population.program.layout.views(self.weights(place).clone())
        return {name: value.contiguous() for name, value in views.items()}

    def predicted(self, places: Sequence[int], x: numpy.ndarray) -> numpy.ndarray:
        """What some of the networks now say of rows `x` `[rows, columns]`: `[places, rows, outputs]` in original units,
        or the chances of classes."""
        flat = torch.stack([self.weights(place) for place in places])
        rows = torch.from_numpy(numpy.ascontiguousarray(x, dtype=numpy.float32)).expand(len(places), *x.shape)
        return self.data.predictions(outputs_of(self.population.program, flat, (rows,))).numpy()

    def _lane(self, place: int) -> int:
        return next(n for n, lane in enumerate(self.population.lanes) if lane.request.trial == place)


def chain(
    columns: int, outputs: int, *, width: int, depth: int, activation: str = "tanh", dropout: bool = False
) -> Callable[[], nn.Module]:
    """A factory of plain networks: `depth` hidden layers of `width` units, each with `dropout` behind it if wanted."""

    def made() -> nn.Module:
        parts: list[nn.Module] = []
        inputs = columns
        for _ in range(depth):
            parts += [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
            parts += [nn.Dropout(0.0)] if dropout else []
            inputs = width
        return nn.Sequential(*parts, nn.Linear(inputs, outputs))

    return made


def chain_code(
    columns: int, outputs: int, *, width: int, depth: int, activation: str = "tanh", dropout: float = 0.0
) -> str:
    """The same network as it is written in PyTorch."""
    layer = ACTIVATIONS[activation].__name__
    parts, inputs = [], columns
    for _ in range(depth):
        parts += [f"nn.Linear({inputs}, {width})", f"nn.{layer}()"]
        parts += [f"nn.Dropout({dropout:g})"] if dropout else []
        inputs = width
    return f"nn.Sequential({', '.join([*parts, f'nn.Linear({inputs}, {outputs})'])})"


def finite(values: Any) -> list[float | None]:
    """Numbers for a page, which knows no NaN and no infinity: None in their places, five digits of the others."""
    return [float(f"{value:.5g}") if numpy.isfinite(value) else None for value in numpy.asarray(values, float).tolist()]
