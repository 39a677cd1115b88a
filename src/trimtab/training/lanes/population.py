"""Population: the stacked state of all lanes of one structure; the only state that changes while training.

Lanes in use are always the first ones, those with the most steps to make before those with fewer, so that every step
works on a contiguous prefix and no idle lane is computed. Knows no trials, budgets or listeners.
"""

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from trimtab.training.compiling.libraries import Compiled
from trimtab.training.compiling.replayed import Replays
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.plans import RowOrders
from trimtab.training.programs.program import Buffers, Program
from trimtab.training.programs.step import FIRST_TENSOR, Features, LaneCoefficients, State
from trimtab.training.rules.coefficients import joined_flags
from trimtab.training.run import Request, RunRecord

# Steps of a round at least. A guess: planning, noting and evaluating cost as much as a few steps.
STEPS_PER_ROUND = 12
# Evaluating is to stay below this share of the time. A guess: early stopping wants it often, training seldom.
SHARE_OF_EVALUATION = 0.15
# A row that is evaluated costs so much of one that is trained on, and more in a network of few parameters, where all
# that is done beside the products costs more than they do: 0.95, 0.63 and 0.61 were measured at 60, 1,500 and 20,000
# parameters (benchmarks/RESULTS.md, "Compiled evaluations").
COST_OF_EVALUATION, MORE_IF_SMALL, SMALL_NETWORK = 0.6, 0.35, 500


@dataclass(frozen=True)
class Part:
    """Row numbers of all folds side by side `[folds, rows]`, short ones filled up with row 0, and how many count."""

    rows: Tensor
    counts: Tensor

    @classmethod
    def of(cls, rows: list[Tensor]) -> "Part":
        longest = max(len(part) for part in rows)
        filled = [torch.cat([part, part.new_zeros(longest - len(part))]) for part in rows]
        return cls(torch.stack(filled), torch.tensor([len(part) for part in rows]))


@dataclass(frozen=True)
class Structure:
    """What runs must share to share a population."""

    network: tuple[tuple[str, Any], ...]
    batch_size: int

    @classmethod
    def of(cls, config: Config) -> "Structure":
        return cls(config.network, config.batch_size)


class Population:
    """Stacked lanes of one structure over one data set.

    Evaluated every `epochs_per_round` epochs (0: as often as costs little), on `training_rows` of the training rows
    too, or on the rows `beside` of each fold.

    `capacity` lanes at most; `lane_steps` are the steps that lanes made, `place_steps` those that all places together
    could have made meanwhile, empty ones included; `compiled_steps` those of the former that a compiled step made,
    `bfloat16_steps` those with products in bfloat16.
    """

    def __init__(
        self,
        structure: Structure,
        program: Program,
        data: TrainingData,
        capacity: int,
        *,
        epochs_per_round: int = 0,
        training_rows: int = 0,
        beside: tuple[Tensor, ...] = (),
    ) -> None:
        self.structure, self.program, self.data, self.capacity = structure, program, data, capacity
        self.lanes: list[Lane] = []
        layout, device = program.layout, data.device
        self.parameters, self.first, self.second, self.best = (
            torch.zeros(capacity, layout.size, dtype=layout.dtype, device=device) for _ in range(4)
        )
        self.average: Tensor | None = None
        self.totals = torch.zeros(capacity, FIRST_TENSOR + len(layout.names), dtype=layout.dtype, device=device)
        self.buffers, self.best_buffers = (
            {name: _repeated(value, capacity, device) for name, value in program.buffers.items()} for _ in range(2)
        )
        self.classes = data.outputs if data.task == "classification" else 0
        self.table = LaneCoefficients.stack([Config()], layout.names, self.classes, device, layout.dtype).mapped(
            lambda value: value.repeat(capacity, *(1,) * (value.dim() - 1))
        )
        self.validation = Part.of([fold.validation for fold in data.folds])
        noted = list(beside) or [_spread(fold.train, training_rows) for fold in data.folds if training_rows]
        self.training = Part.of(noted) if noted else None
        self.best_predictions = numpy.zeros((capacity, self.validation.rows.shape[1], data.outputs), layout.numpy_dtype)
        self.orders = RowOrders(data)
        self.epochs_per_round = epochs_per_round or self._epochs_per_round()
        # How the lanes are stepped at present: by which compiled step or which that were written down, in which tiles
        # (each Tile for so many lanes and threads at most), by which optimizers, by which Worker of each thread.
        self.is_changed = True
        self.compiled: Compiled | None = None
        self.replays: Replays | None = None
        self.tiles: list = []
        self.tiled_for: tuple[int, int] = (0, 0)
        self.optimizers = self.table.optimizers
        self.workers: list = []
        self.lane_steps = self.place_steps = self.compiled_steps = self.bfloat16_steps = 0

    @property
    def free(self) -> int:
        return self.capacity - len(self.lanes)

    @property
    def is_judged(self) -> bool:
        """Whether there are validation rows at all."""
        return self.validation.rows.shape[1] > 0

    @property
    def utilisation(self) -> float:
        """Useful lane-steps out of those that all places could have made."""
        return self.lane_steps / max(1, self.place_steps)

    @property
    def features(self) -> Features:
        """What the lanes in use need of a step, signals apart."""
        configs = [lane.request.config for lane in self.lanes]
        return Features(
            dropout=any(config.dropout > 0 for config in configs),
            averaging=self.average is not None,
            norms=any(config.gradient_clip > 0 for config in configs),
        )

    @property
    def evaluated(self) -> Tensor:
        """The weights that are evaluated and kept: averages where lanes have them (and the weights where not)."""
        return self.parameters if self.average is None else self.average

    def batch_size(self, fold: int) -> int:
        rows = len(self.data.folds[fold].train)
        return rows if self.structure.batch_size == 0 else min(self.structure.batch_size, rows)

    def batches(self, fold: int) -> int:
        """Steps of one epoch; a module that mixes rows leaves out a short last batch."""
        rows, size = len(self.data.folds[fold].train), self.batch_size(fold)
        return rows // size if self.program.mixes_rows else -(-rows // size)

    def _epochs_per_round(self) -> int:
        """Epochs between evaluations: enough steps to be worth a round, and few enough rows to evaluate."""
        folds = range(len(self.data.folds))
        rounds = -(-STEPS_PER_ROUND // max(self.batches(fold) for fold in folds))
        cost = COST_OF_EVALUATION + MORE_IF_SMALL / (1 + self.program.layout.size / SMALL_NETWORK)
        # All folds' lanes are evaluated on as many rows as the largest has; of growing windows, the first train on few.
        evaluated = len(folds) * self.validation.rows.shape[1] * cost
        trained = sum(self.batches(fold) * self.batch_size(fold) for fold in folds)
        return max(rounds, -(-int(evaluated * (1 - SHARE_OF_EVALUATION)) // max(1, int(SHARE_OF_EVALUATION * trained))))

    def admit(self, request: Request, weights: Tensor, buffers: Buffers | None = None) -> None:
        """Give the next free lane to `request`, starting from `weights` `[parameters]` (and its module's `buffers`)."""
        place, config = len(self.lanes), request.config
        batches, layout = self.batches(request.fold), self.program.layout
        own = LaneCoefficients.stack([config], layout.names, self.classes, self.data.device, layout.dtype)
        size = self.batch_size(request.fold)
        self.lanes.append(Lane.of(request, batches=batches, size=size, flags=own.flags()))
        if config.averaging and self.average is None:
            self.average = self.parameters.clone()
        values = own.tensors()
        for name, tensor in self.table.tensors().items():
            tensor[place] = values[name][0]
        self.first[place] = self.second[place] = 0
        for tensor in (self.parameters, self.best, self.average):
            if tensor is not None:
                tensor[place] = weights
        for name, value in (buffers or self.program.buffers).items():
            self.buffers[name][place] = self.best_buffers[name][place] = value
        self.best_predictions[place] = numpy.nan
        self.is_changed = True

    def coefficients(self, first: int, last: int) -> LaneCoefficients:
        """Those of the lanes from `first` to `last` (exclusive), what stood in idle places among them."""
        flags = joined_flags(lane.flags for lane in self.lanes[first:last])
        return self.table.mapped(lambda value: value[first:last]).replaced(flags)

    def state(self, first: int, last: int, *, is_flat: bool) -> State:
        """What a step changes of those lanes, as views; averages too, once a lane has one."""
        layout = self.program.layout

        def own(tensor: Tensor) -> tuple[Tensor, ...]:
            # `.data` has a version counter of its own: autograd would take another thread's step for a change of ours.
            rows = tensor.data[first:last]
            return (rows,) if is_flat else layout.in_blocks(rows)

        return State(
            own(self.parameters),
            own(self.first),
            own(self.second),
            () if self.average is None else own(self.average),
            {name: value.data[first:last] for name, value in self.buffers.items()},
            self.totals[first:last],
            layout,
            is_flat,
        )

    def taken_out(self, place: int) -> dict[str, Any]:
        """A copy of all that lane `place` holds, for `put_back`."""
        tensors = [tensor[place].clone().cpu() for tensor in self._by_lane()]
        return {"by_lane": tensors, "best_predictions": torch.from_numpy(self.best_predictions[place].copy())}

    def put_back(self, place: int, taken: dict[str, Any]) -> None:
        for tensor, value in zip(self._by_lane(), taken["by_lane"], strict=True):
            tensor[place] = value
        self.best_predictions[place] = taken["best_predictions"].numpy()

    def arrange(self) -> None:
        """Put the lanes with most steps in the coming round first, moving as few as that takes; most rounds find them
        so."""
        steps = numpy.array([lane.steps_of(self.epochs_per_round) for lane in self.lanes])
        places = numpy.flatnonzero(steps != -numpy.sort(-steps))
        if not len(places):
            return
        order = places[numpy.argsort(-steps[places], kind="stable")]
        source, target = torch.from_numpy(order), torch.from_numpy(places)
        for tensor in self._by_lane():
            tensor[target.to(tensor.device)] = tensor[source.to(tensor.device)]
        self.best_predictions[places] = self.best_predictions[order]
        moved = [self.lanes[place] for place in order]
        for place, lane in zip(places, moved, strict=True):
            self.lanes[place] = lane
        self.is_changed = True

    def keep_best(self, first: int, improved: numpy.ndarray, predictions: Tensor | None) -> None:
        """Copy weights and predictions `[lanes, validation_rows, outputs]` of those lanes from `first` on that just
        did their best."""
        chosen = numpy.flatnonzero(improved)
        if not len(chosen):
            return
        index = torch.from_numpy(chosen + first).to(self.best.device)
        self.best[index] = self.evaluated[index]
        for name, value in self.buffers.items():
            self.best_buffers[name][index] = value[index]
        if predictions is not None:
            self.best_predictions[chosen + first] = predictions[torch.from_numpy(chosen)].numpy(force=True)

    def record(self, place: int) -> RunRecord:
        """What remains of the run in lane `place`."""
        lane = self.lanes[place]
        count = int(self.validation.counts[lane.request.fold])
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
            for tensor in self._by_lane():
                tensor[place] = tensor[last]
            self.best_predictions[place] = self.best_predictions[last]
            self.lanes[place] = self.lanes[last]
        self.lanes.pop()
        self.is_changed = True

    def _by_lane(self) -> list[Tensor]:
        stacked = [self.parameters, self.first, self.second, self.best, *self.table.tensors().values()]
        stacked += [*self.buffers.values(), *self.best_buffers.values()]
        return stacked if self.average is None else [*stacked, self.average]


def _repeated(value: Tensor, count: int, device: torch.device) -> Tensor:
    return value.to(device).unsqueeze(0).repeat(count, *(1,) * value.dim())


def _spread(rows: Tensor, most: int) -> Tensor:
    """At most so many of `rows`, evenly over all of them."""
    return rows if len(rows) <= most else rows[torch.linspace(0, len(rows) - 1, most).long()]
