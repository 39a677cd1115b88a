"""SoloRun: one run by itself, batch after batch: with an optimizer of the caller's own, or batches that are read anew.

Follows the same rules as a lane of a population (row weights, schedules, counted dropout, stopping, best weights), one
step at a time. Knows no other runs, and nothing of where its batches come from.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.errors import DataError, OptionError, first_line
from trimtab.training.data import TrainingData
from trimtab.training.lanes.judging import Judging, LaneScores
from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.plans import steps_ahead
from trimtab.training.lanes.precision import multiplying
from trimtab.training.lanes.signals import ALL_SIGNALS, Signals
from trimtab.training.programs.program import Activity, Program, looked_at
from trimtab.training.programs.step import (
    FIRST_TENSOR,
    Batches,
    Features,
    LaneCoefficients,
    Plan,
    State,
    Step,
)
from trimtab.training.run import Request, RunRecord

# Steps whose rates and masks are planned together: planning one costs as much as planning many. A guess.
PLANNED_AT_ONCE = 32
MakeOptimizer = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Batch:
    """Rows trained on, or evaluated, together: inputs and targets `[rows, ...]`, weights float32 `[rows]`."""

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    weights: Tensor

    def one_lane(self) -> "Batch":
        """The same with a lane dimension in front."""
        inputs, targets = (tuple(x.unsqueeze(0) for x in part) for part in (self.inputs, self.targets))
        return Batch(inputs, targets, self.weights.unsqueeze(0))


class SoloRun:
    """A run of `program` from `weights` `[parameters]` and `buffers` on; its epochs have `batches` of `size` rows.

    `kind` says how outputs and targets are read; its rows are not. What judges the run and what is noted of it is that
    of lanes: `judging` and `signals`. Without `make_optimizer` the config's own rule moves
    the weights; with it the caller's, whose learning rates (those it starts with) the schedule multiplies.
    """

    def __init__(
        self,
        program: Program,
        kind: TrainingData,
        judging: Judging,
        request: Request,
        *,
        weights: Tensor,
        buffers: dict[str, Tensor],
        batches: int,
        size: int,
        make_optimizer: MakeOptimizer | None = None,
        signals: Signals = ALL_SIGNALS,
    ) -> None:
        self.program, self.kind, self.judging, self.signals = program, kind, judging, signals
        config, layout = request.config, program.layout
        classes = kind.outputs if kind.task == "classification" else 0
        self.coefficients = LaneCoefficients.stack([config], layout.names, classes, weights.device, layout.dtype)
        self.lane = Lane.of(request, batches=batches, size=size, flags=self.coefficients.flags())
        flat = weights.unsqueeze(0)
        self.parameters, self.best, self.average = flat.clone(), flat.clone(), flat.clone()
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        self.buffers, self.best_buffers = ({n: b.unsqueeze(0).clone() for n, b in buffers.items()} for _ in range(2))
        self.totals = torch.zeros(1, FIRST_TENSOR + len(layout.names), dtype=layout.dtype, device=weights.device)
        self.best_predictions: numpy.ndarray | None = None
        self.update_ratio = math.nan
        self._planned: list[Plan] = []
        self._rows = torch.empty(1, 1, 0, dtype=torch.int64)
        self._step = Step(program, kind.objective, Features(dropout=True, averaging=bool(config.averaging)))
        self._trained = [torch.nn.Parameter(view[0]) for view in layout.stored(self.parameters).values()]
        self.optimizer = make_optimizer(self._trained) if make_optimizer else None
        average = (self.average,) if config.averaging else ()
        moments = (self.parameters,), (self.first,), (self.second,)
        self._state = State(*moments, average, self.buffers, self.totals, layout)
        groups = self.optimizer.param_groups if self.optimizer else []
        self._rates = [float(group["lr"]) if "lr" in group else None for group in groups]
        self._takes_closure = self.optimizer is not None and _takes_closure(self.optimizer)

    # -- training

    def train(self, batches: Iterable[Batch]) -> None:
        """Take the run through the batches of an epoch, and count it."""
        with multiplying("high"):
            self._train(batches)

    def _train(self, batches: Iterable[Batch]) -> None:
        left = iter(batches)
        batch = next(left, None)
        if batch is None:
            raise DataError("train= gave no batch in this epoch: a loader must be readable once per epoch.")
        while batch is not None:
            following = next(left, None)
            before = self.parameters.clone() if following is None else None
            self._advance(batch)
            self.lane.step += 1
            if before is not None:
                change, size = (torch.linalg.vector_norm(x) for x in (self.parameters - before, before))
                self.update_ratio = float(change / size)
            batch = following
        self.lane.epoch += 1

    def _next_plan(self, rows: int) -> Plan:
        """What the next step does with a batch of `rows` rows; many steps are planned at once."""
        device = self.parameters.device
        if not self._planned:
            ahead = steps_ahead(self.lane, self.coefficients.optimizers, PLANNED_AT_ONCE, device, self.program.dropouts)
            self._planned = ahead[::-1]
        if self._rows.shape[2] != rows:
            self._rows = torch.arange(rows, device=device).view(1, 1, -1)
        return replace(self._planned.pop(), rows=self._rows)

    def _advance(self, batch: Batch) -> None:
        plan = self._next_plan(len(batch.weights))
        targets, *more = batch.targets
        data = Batches(batch.inputs, targets, torch.cat([batch.weights, batch.weights.new_zeros(1)]), tuple(more))
        if self.optimizer is None:
            self._step(self._state, self.coefficients, data, plan, 0)
            return
        factor = float(self.lane.schedule.factors(self.lane.step, 1)[0])
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            if rate is not None:
                group["lr"] = rate * factor
        self._move(self.optimizer, data, plan)

    def _move(self, optimizer: torch.optim.Optimizer, data: Batches, plan: Plan) -> None:
        """One step of the caller's optimizer, which may ask for loss and gradient as often as it likes."""
        noted: list[Tensor] = []

        @torch.enable_grad()
        def closure() -> Tensor:
            totals, pieces = self._step.gradients(self._state, self.coefficients, data, plan, 0)
            for parameter, piece in zip(self._trained, pieces, strict=True):
                parameter.grad = piece[0].view(parameter.shape).clone()
            noted.append(totals)
            return totals[0, 0] / totals[0, 1]

        if not self._takes_closure:
            closure()
        try:
            optimizer.step(*((closure,) if self._takes_closure else ()))  # type: ignore[call-overload]
        except (RuntimeError, TypeError, ValueError) as error:
            reason = first_line(error)
            raise OptionError(f"The optimizer {type(optimizer).__name__} failed in its step: {reason}") from error
        if not noted:  # it takes a closure, and leaves it: so it wants the gradients there before
            self._takes_closure = False
            self._move(optimizer, data, plan)
            return
        self.totals.add_(noted[0])
        self._gather_moved()
        if self._step.features.averaging:
            decay = min(self.lane.request.config.averaging, (1 + self.lane.step + 1) / (10 + self.lane.step + 1))
            self.average.lerp_(self.parameters, 1 - decay)

    def _gather_moved(self) -> None:
        """Take over parameters that an optimizer put elsewhere in memory, as `p.data = ...` does."""
        views = self.program.layout.stored(self.parameters)
        for parameter, view in zip(self._trained, views.values(), strict=True):
            if parameter.data_ptr() != view.data_ptr():
                view[0].copy_(parameter.detach())
                parameter.data = view[0]

    # -- evaluating

    def evaluate(self, validation: Iterable[Batch], again: Iterable[Batch] | None) -> None:
        """Judge the run as it stands, keep its weights if it did its best, and note its signals."""
        with multiplying("high"):
            judged, activity = self._judged(validation, watch=not self.signals.only_losses)
            trained = float(self._judged(again)[0].errors[0]) if again is not None else math.nan
        score = float(judged.scores[0])
        if score < self.lane.error:
            self._keep_best(judged.predictions)
        ratio = torch.tensor([self.update_ratio], dtype=torch.float64)
        noted = self.signals.noted([self.lane], self.totals, self.first, ratio, [activity])
        values = {name: column[0] for name, column in noted.items()} | {
            "train_metric": self.judging.shown(trained),
            "validation_loss": float(judged.losses[0]),
            "validation_metric": self.judging.shown(float(judged.errors[0])),
        }
        if self.optimizer is not None:
            values["learning_rate"] = float(self.optimizer.param_groups[0].get("lr", math.nan))
        self.lane.note(values, score)
        self.totals.zero_()
        self._planned = []  # a schedule may have heard something new

    def _keep_best(self, predictions: Tensor | None) -> None:
        self.best.copy_(self._evaluated)
        for name, value in self.buffers.items():
            self.best_buffers[name].copy_(value)
        kept = self.program.layout.numpy_dtype
        self.best_predictions = None if predictions is None else predictions[0].numpy(force=True).astype(kept)

    @property
    def _evaluated(self) -> Tensor:
        return self.average if self._step.features.averaging else self.parameters

    def _judged(self, batches: Iterable[Batch], *, watch: bool = False) -> tuple[LaneScores, tuple[Activity, ...]]:
        """The run on all batches of a part, and, where that is to be watched, what each activation layer did."""
        parameters = self.program.layout.views(self._evaluated)
        outputs, targets, weights = [], [], []
        activity: tuple[Activity, ...] | None = () if watch else None
        for batch in batches:
            lane = batch.one_lane()
            piece, activity = looked_at(self.program, parameters, lane.inputs, self.buffers, activity)
            outputs.append(piece)
            targets.append(lane.targets)
            weights.append(lane.weights)
        if not outputs:
            raise DataError("valid= gave no batch: a loader must be readable once per epoch.")
        result = pytree.tree_map(lambda *pieces: torch.cat(pieces, dim=1), *outputs)
        truth = [torch.cat(parts, dim=1) for parts in zip(*targets, strict=True)]
        whole = truth[0] if len(truth) == 1 else tuple(truth)
        weight = torch.cat(weights, dim=1)
        return self.judging.judged(self.kind, result, whole, weight, self.coefficients.losses), activity or ()

    def record(self) -> RunRecord:
        """What remains of the run."""
        lane = self.lane
        empty = numpy.zeros((0, self.kind.outputs), self.program.layout.numpy_dtype)
        return RunRecord(
            request=lane.request, curves=lane.curves, ended=lane.ended, error=lane.error, best_epoch=lane.best_epoch,
            epochs=lane.epoch, steps=lane.step, weights=self.best[0].clone(),
            predictions=empty if self.best_predictions is None else self.best_predictions,
            buffers={name: value[0].clone() for name, value in self.best_buffers.items()},
        )  # fmt: skip

    # -- what a checkpoint holds

    def tensors(self) -> dict[str, Any]:
        """Everything that changes, apart from the lane's own account."""
        return {
            "parameters": self.parameters, "first": self.first, "second": self.second, "average": self.average,
            "best": self.best, "buffers": self.buffers, "best_buffers": self.best_buffers,
            "optimizer": copy.deepcopy(self.optimizer.state_dict()) if self.optimizer else None,
            "best_predictions": None if self.best_predictions is None else torch.from_numpy(self.best_predictions),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Take the state that `tensors` gave."""
        for name in ("parameters", "first", "second", "average", "best"):
            getattr(self, name).copy_(saved[name])
        for name in ("buffers", "best_buffers"):
            for key, value in getattr(self, name).items():
                value.copy_(saved[name][key])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
        predictions = saved["best_predictions"]
        self.best_predictions = None if predictions is None else predictions.numpy()


def _takes_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` can be given a function that computes loss and gradients."""
    try:
        inspect.signature(optimizer.step).bind(lambda: None)
    except TypeError:
        return False
    return True
