"""Population: the stacked state of all lanes of one structure; the only state that changes while training.

Lanes in use are always the first ones: a lane that leaves is overwritten by the last, so every step works on a
contiguous prefix. Knows no trials, budgets or listeners.
"""

from dataclasses import dataclass, field

import numpy
import torch
from torch import Tensor

from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.program import Program
from trimtab.training.randomness import row_order
from trimtab.training.run import Curves, Request, RunRecord
from trimtab.training.schedules import RateSchedule
from trimtab.training.schedules import make as make_schedule
from trimtab.training.stopping import StoppingRule
from trimtab.training.stopping import make as make_stopping


@dataclass(frozen=True)
class Structure:
    """What runs must share to share a population."""

    network: tuple[tuple[str, str | int | float], ...]
    batch_size: int

    @classmethod
    def of(cls, config: Config) -> "Structure":
        return cls(config.network, config.batch_size)


@dataclass
class Lane:
    """One place in a population and the run that lives there."""

    request: Request
    batches: int
    schedule: RateSchedule
    stopping: StoppingRule
    epoch: int = 0
    step: int = 0
    error: float = float("inf")
    best_epoch: int = 0
    ended: str = ""
    curves: Curves = field(default_factory=Curves)


class Population:
    """Stacked lanes of one structure over one data set.

    `capacity` lanes at most; tensors are `[capacity, parameters]` and grow only when a lane is first used.
    """

    def __init__(self, structure: Structure, program: Program, data: TrainingData, capacity: int) -> None:
        self.structure, self.program, self.data, self.capacity = structure, program, data, capacity
        self.lanes: list[Lane] = []
        size = program.layout.size
        self.parameters, self.first, self.second, self.best, self.gradient = (
            torch.zeros(capacity, size, device=data.device) for _ in range(5)
        )
        self.buffers, self.best_buffers = (
            {name: _repeated(value, capacity, data.device) for name, value in program.buffers.items()} for _ in range(2)
        )
        validation = max(len(fold.validation) for fold in data.folds)
        self.validation_rows = torch.stack([_padded(fold.validation, validation) for fold in data.folds])
        self.validation_counts = torch.tensor([len(fold.validation) for fold in data.folds])
        self.best_predictions = numpy.zeros((capacity, validation, data.outputs), dtype=numpy.float32)
        self.is_changed = True
        self.shards: list = []
        self.lane_steps = 0

    @property
    def free(self) -> int:
        return self.capacity - len(self.lanes)

    def batch_size(self, fold: int) -> int:
        rows = len(self.data.folds[fold].train)
        return rows if self.structure.batch_size == 0 else min(self.structure.batch_size, rows)

    def _batches(self, fold: int) -> int:
        """Steps of one epoch; a module that mixes rows leaves out a short last batch."""
        rows, size = len(self.data.folds[fold].train), self.batch_size(fold)
        return rows // size if self.program.mixes_rows else -(-rows // size)

    def admit(self, request: Request, weights: Tensor) -> None:
        """Give the next free lane to `request`, starting from `weights` `[parameters]`."""
        place = len(self.lanes)
        batches = self._batches(request.fold)
        config = request.config
        schedule = make_schedule(config.schedule, batches * config.epochs, batches)
        self.lanes.append(Lane(request, batches, schedule, make_stopping(config.stopping)))
        self.parameters[place] = weights
        self.best[place] = weights
        self.first[place] = 0
        self.second[place] = 0
        for name, value in self.program.buffers.items():
            self.buffers[name][place] = self.best_buffers[name][place] = value
        self.best_predictions[place] = numpy.nan
        self.is_changed = True

    def rows_of_epochs(self, epochs: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The next `epochs` epochs of every lane: row numbers int64 [steps, lanes, batch] and which of them are real.

        A short last batch is padded with row 0 and False, as is a lane that has fewer batches than its neighbours.
        """
        batch = max(self.batch_size(lane.request.fold) for lane in self.lanes)
        steps = max(lane.batches for lane in self.lanes) * epochs
        rows = numpy.zeros((steps, len(self.lanes), batch), dtype=numpy.int64)
        is_real = numpy.zeros(rows.shape, dtype=bool)
        orders: dict[tuple[int, int, int], numpy.ndarray] = {}
        for i, lane in enumerate(self.lanes):
            train = self.data.folds[lane.request.fold].train
            size = self.batch_size(lane.request.fold)
            for k in range(min(epochs, lane.request.config.epochs - lane.epoch)):
                key = (lane.request.seed, lane.request.fold, lane.epoch + k)
                if key not in orders:
                    order = row_order(len(train), seed=key[0], fold=key[1], epoch=key[2])
                    orders[key] = train.numpy()[order] if train.device.type == "cpu" else train.cpu().numpy()[order]
                for b in range(lane.batches):
                    piece = orders[key][b * size : (b + 1) * size]
                    rows[k * lane.batches + b, i, : len(piece)] = piece
                    is_real[k * lane.batches + b, i, : len(piece)] = True
        return rows, is_real

    def keep_best(self, improved: numpy.ndarray, predictions: Tensor) -> None:
        """Copy parameters and predictions `[lanes, validation_rows, outputs]` of the lanes that just did their best."""
        index = torch.from_numpy(numpy.flatnonzero(improved))
        if len(index):
            self.best[index] = self.parameters[index]
            for name, value in self.buffers.items():
                self.best_buffers[name][index] = value[index]
            self.best_predictions[index.numpy()] = predictions[index].float().numpy(force=True)

    def record(self, place: int) -> RunRecord:
        """What remains of the run in lane `place`."""
        lane = self.lanes[place]
        count = int(self.validation_counts[lane.request.fold])
        return RunRecord(
            request=lane.request,
            curves=lane.curves,
            ended=lane.ended,
            error=lane.error,
            best_epoch=lane.best_epoch,
            epochs=lane.epoch,
            steps=lane.step,
            weights=self.best[place].clone(),
            predictions=self.best_predictions[place, :count].copy(),
            buffers={name: value[place].clone() for name, value in self.best_buffers.items()},
        )

    def remove(self, place: int) -> None:
        """Free lane `place`: the last lane moves there."""
        last = len(self.lanes) - 1
        if place != last:
            stacked = (self.parameters, self.first, self.second, self.best)
            for tensor in (*stacked, *self.buffers.values(), *self.best_buffers.values()):
                tensor[place] = tensor[last]
            self.best_predictions[place] = self.best_predictions[last]
            self.lanes[place] = self.lanes[last]
        self.lanes.pop()
        self.is_changed = True


def _repeated(value: Tensor, count: int, device: torch.device) -> Tensor:
    return value.to(device).unsqueeze(0).repeat(count, *(1,) * value.dim())


def _padded(rows: Tensor, length: int) -> Tensor:
    return torch.cat([rows, rows.new_zeros(length - len(rows))])
