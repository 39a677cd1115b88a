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
from trimtab.training.lanes import signals
from trimtab.training.lanes.engine import why_ended
from trimtab.training.lanes.plans import Lane, steps_ahead
from trimtab.training.lanes.precision import multiplying
from trimtab.training.metrics import Metric
from trimtab.training.programs.program import Activity, Program
from trimtab.training.programs.step import (
    FIRST_TENSOR,
    NOTED_EVERY,
    Features,
    LaneCoefficients,
    Plan,
    Rows,
    State,
    Step,
)
from trimtab.training.rules.schedules import make as make_schedule
from trimtab.training.rules.stopping import make as make_stopping
from trimtab.training.run import Request, RunRecord

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


@dataclass(frozen=True)
class _Seen:
    """One lane on all batches of a part."""

    error: float
    loss: float
    predictions: numpy.ndarray | None
    activity: tuple[Activity, ...]


class SoloRun:
    """A run of `program` from `weights` `[parameters]` and `buffers` on; its epochs have `batches` of `size` rows.

    `kind` says how outputs and targets are read; its rows are not. Without `make_optimizer` the config's own rule moves
    the weights; with it the caller's, whose learning rates (those it starts with) the schedule multiplies.
    """

    def __init__(
        self,
        program: Program,
        kind: TrainingData,
        metric: Metric | None,
        request: Request,
        *,
        weights: Tensor,
        buffers: dict[str, Tensor],
        batches: int,
        size: int,
        make_optimizer: MakeOptimizer | None = None,
        judges_by_loss: bool = False,
    ) -> None:
        self.judges_by_loss = judges_by_loss
        self.program, self.kind, self.metric = program, kind, metric
        config, layout = request.config, program.layout
        classes = kind.outputs if kind.task == "classification" else 0
        self.coefficients = LaneCoefficients.stack([config], layout.names, classes, weights.device, layout.dtype)
        schedule = make_schedule(config.schedule, batches * config.epochs, batches, request.factors)
        self.lane = Lane(request, batches, size, schedule, make_stopping(config.stopping), self.coefficients.flags())
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
        data = Rows(batch.inputs, targets, torch.cat([batch.weights, batch.weights.new_zeros(1)]), tuple(more))
        if self.optimizer is None:
            self._step(self._state, self.coefficients, data, plan, 0)
            return
        factor = float(self.lane.schedule.factors(self.lane.step, 1)[0])
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            if rate is not None:
                group["lr"] = rate * factor
        self._move(self.optimizer, data, plan)

    def _move(self, optimizer: torch.optim.Optimizer, data: Rows, plan: Plan) -> None:
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
        lane = self.lane
        with multiplying("high"):
            seen = self._seen(validation, watch=True)
            trained = self._seen(again, watch=False).error if again is not None else math.nan
        judged = self._judged(seen)
        if judged < lane.error:
            lane.error, lane.best_epoch = judged, lane.epoch
            self.best.copy_(self._evaluated)
            for name, value in self.buffers.items():
                self.best_buffers[name].copy_(value)
            self.best_predictions = seen.predictions
        values = self._signals(seen) | {
            "epoch": lane.epoch,
            "train_metric": self._shown(trained),
            "validation_loss": seen.loss,
            "validation_metric": self._shown(seen.error),
        }
        lane.curves.append(values)
        lane.errors.append(judged)
        lane.schedule.observe(judged, lane.epoch)
        lane.ended = why_ended(lane, judged, loss=seen.loss, train_loss=values["train_loss"])
        self.totals.zero_()
        self._planned = []  # a schedule may have heard something new

    def _judged(self, seen: _Seen) -> float:
        """What decides which epoch is the best, as the engine's lanes are judged."""
        if self.judges_by_loss or self.metric is None:
            return seen.loss
        instead = seen.loss if self.metric.is_binary_only else math.nan
        return seen.error if math.isfinite(seen.error) else instead

    @property
    def _evaluated(self) -> Tensor:
        return self.average if self._step.features.averaging else self.parameters

    def _shown(self, error: float) -> float:
        return error if self.metric is None else self.metric.shown(error)

    def _seen(self, batches: Iterable[Batch], *, watch: bool) -> _Seen:
        kind, parameters = self.kind, self.program.layout.views(self._evaluated)
        outputs, targets, weights = [], [], []
        activity: tuple[Activity, ...] = ()
        for batch in batches:
            lane = batch.one_lane()
            if watch:
                piece, seen = self.program.watched(parameters, lane.inputs, self.buffers)
                activity = tuple(a | b for a, b in zip(activity, seen, strict=True)) if activity else seen
            else:
                with torch.no_grad():
                    piece = self.program.forward(parameters, lane.inputs, None, self.buffers)
            outputs.append(piece)
            targets.append(lane.targets)
            weights.append(lane.weights)
        if not outputs:
            raise DataError("valid= gave no batch: a loader must be readable once per epoch.")
        result = pytree.tree_map(lambda *pieces: torch.cat(pieces, dim=1), *outputs)
        truth = [torch.cat(parts, dim=1) for parts in zip(*targets, strict=True)]
        weight = torch.cat(weights, dim=1)
        loss, _ = kind.objective(
            result, truth[0] if len(truth) == 1 else tuple(truth), weight, self.coefficients.losses
        )
        predictions = kind.predictions(result) if kind.outputs else None
        error = float(loss[0])
        if self.metric is not None and predictions is not None:
            error = float(self.metric.error(predictions, kind.truth_of(truth[0]), weight.double())[0])
        kept = None if predictions is None else predictions[0].numpy(force=True).astype(self.program.layout.numpy_dtype)
        return _Seen(error, float(loss[0]), kept, activity)

    def _signals(self, seen: _Seen) -> dict[str, Any]:
        lane = self.lane
        totals = self.totals.cpu()
        steps = torch.tensor([lane.steps_since_evaluation()], dtype=torch.float32)
        squares = signals.squared_norms(totals, (steps / NOTED_EVERY).ceil())
        dead, saturated, units = signals.of_layers([seen.activity], 1)
        noise = math.nan
        if self.optimizer is None:
            first = torch.linalg.vector_norm(self.first, dim=1).cpu()
            sizes, made = torch.tensor([lane.size], dtype=torch.float32), torch.tensor([lane.step])
            noise = float(signals.noise_scale([lane.request.config], squares.sum(1), first, made, sizes)[0])
        rate = self.optimizer.param_groups[0].get("lr", math.nan) if self.optimizer else lane.last_rate()
        return {
            "train_loss": float(signals.train_loss(totals)[0]),
            "learning_rate": float(rate),
            "gradient_norm": float(squares.sum().sqrt()),
            "gradient_norms": squares[0].sqrt().tolist(),
            "update_ratio": self.update_ratio,
            "noise_scale": noise,
            "dead_by_layer": dead[0].tolist(),
            "saturated_by_layer": saturated[0].tolist(),
            "dead_units": float(signals.mean_over_layers(dead, units)[0]),
            "saturated_units": float(signals.mean_over_layers(saturated, units)[0]),
        }

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
