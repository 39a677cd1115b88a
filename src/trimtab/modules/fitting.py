"""Fitting: networks, material and a loss brought together, so that the engine can train them.

Says what cannot work before a run begins. Knows networks, examples, losses and metrics; it trains nothing itself.
"""

import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from trimtab.errors import OptionError
from trimtab.modules.examples import Examples
from trimtab.modules.material import Material, joined
from trimtab.modules.networks import Networks, filled
from trimtab.modules.probe import arranged_targets, custom_loss, in_shape_of, task_of, tried
from trimtab.modules.recipe import Recipe
from trimtab.modules.streams import Stream
from trimtab.training.config import Config, Task
from trimtab.training.data import Fold, TrainingData
from trimtab.training.dropout import DROPOUT_KINDS
from trimtab.training.engine import Engine
from trimtab.training.losses import LossCoefficients
from trimtab.training.metrics import ALIASES, METRICS, Metric, default_metric, metric_for
from trimtab.training.mlp_program import program_for
from trimtab.training.program import Program, outputs_of
from trimtab.training.run import Request, RunRecord

TRAINING_ROWS_JUDGED = 2_000
BY_TASK = "by task"


class Fitting:
    """Runs of networks of one kind on one material, with one loss family: named losses of a task, or one function.

    `first` is a recipe of that family. `metric` is a name, None for the validation loss, or BY_TASK for the task's
    default. Everything that cannot work is said here, before a run begins.
    """

    def __init__(
        self,
        networks: Networks,
        material: Material,
        first: Recipe,
        *,
        metric: str | None,
        seed: int,
        device: torch.device,
        threads: int = 1,
        evaluate_every: int = 1,
        judges_by_loss: bool = False,
    ) -> None:
        self.networks, self.material, self.device, self.threads = networks, material, device, threads
        self.evaluate_every, self.seed, self.judges_by_loss = evaluate_every, seed, judges_by_loss
        self._untrained: dict[tuple, float] = {}
        module, some = networks.made(first.config.module_arguments, seed), material.first()
        self._tried = tried(module, some, own_dropout=first.has_own_dropout, keeps_outputs=first.function is not None)
        self.function = first.function
        if not first.has_own_dropout and not any(isinstance(m, DROPOUT_KINDS) for m in module.modules()):
            raise OptionError(
                f"dropout is {first.config.dropout:g}, and {type(module).__name__} has no nn.Dropout layer: add one, "
                "or leave dropout out."
            )
        self.objective = None
        if first.function is not None:
            self.objective = custom_loss(first.function, self._tried.outputs, self._tried.prepared(some))
        named = first.config.loss.name if "loss" in first.given and first.function is None else None
        self.task: Task = self._task(named, some, metric)
        self.loss_name = first.for_task(self.task).config.loss.name
        columns = self._tried.outputs.shape[1:] if isinstance(self._tried.outputs, Tensor) else (0, 0)
        self.metric = self._metric(metric, columns)
        self.outputs = 0
        if self.objective is None or self.metric is not None:
            self.outputs = columns[0] if columns else 1

    def _task(self, named: str | None, some: Examples, metric: str | None) -> Task:
        known = METRICS.get(ALIASES.get(metric, metric)) if metric else None
        if self.objective is not None and known is not None:
            return known.task
        return task_of(self._tried.outputs, some.targets, named)

    def _metric(self, name: str | None, columns: tuple[int, ...]) -> Metric | None:
        if name is None:
            return None
        if self.objective is not None and len(columns) > 1:
            if name == BY_TASK:
                return None
            raise OptionError(f"metric={name!r} reads one number per row and output; the network returns more.")
        if name == BY_TASK:
            return default_metric(self.task)
        return metric_for(name, self.task, columns[0] if columns else 1)

    def prepared(self, part: Examples, name: str) -> Examples:
        """Examples in the form that network and loss read."""
        part = self._tried.prepared(part)
        if self.function is not None:
            return in_shape_of(self._tried.outputs, part)
        return arranged_targets(self._tried.outputs, part, self.task, self.loss_name, name)

    def shown(self, error: float) -> float:
        return error if self.metric is None else self.metric.shown(error)

    def program(self, module: nn.Module) -> Program:
        """The way the engine runs `module`, over a copy of it."""
        return program_for(copy.deepcopy(module).to(self.device), self._tried.use)

    def trained(self, record: RunRecord) -> nn.Module:
        """The network with the weights of its best epoch, in evaluation mode."""
        made = self.networks.made(record.request.config.module_arguments, record.request.seed)
        return filled(made, record.weights, record.buffers).to(self.networks.dtype)

    @cached_property
    def kind(self) -> TrainingData:
        """How outputs and targets are read, over some rows."""
        some = self.prepared(self.material.first(), "train")
        return self.data(some, torch.arange(some.rows), torch.arange(some.rows))

    def data(self, rows: Examples, kept: Tensor, judged: Tensor) -> TrainingData:
        """`rows` as the engine reads them."""
        device = self.device
        target, *more = (y.to(device) for y in rows.targets)
        columns = max(1, self.outputs)
        return TrainingData(
            self.task, tuple(x.to(device) for x in rows.inputs), target, rows.weights.to(device),
            (Fold(kept.to(device), judged.to(device)),), self.outputs,
            torch.zeros(columns, dtype=torch.float64, device=device),
            torch.ones(columns, dtype=torch.float64, device=device),
            loss=self.objective, more_targets=tuple(more),
        )  # fmt: skip

    def engine(self, **options: Any) -> Engine:
        """An engine over the material, which must not be streamed; `options` are the engine's."""
        usual: dict[str, Any] = {"epochs_per_round": self.evaluate_every, "training_rows": TRAINING_ROWS_JUDGED,
                                 "judges_by_loss": self.judges_by_loss}  # fmt: skip
        return Engine(
            self.training_data, self.metric,
            lambda **arguments: copy.deepcopy(self.networks.made(arguments, self.seed)),
            use=self._tried.use, start=self.start, threads=self.threads, **(usual | options),
        )  # fmt: skip

    def best_score(self, record: RunRecord) -> float:
        """The metric at the run's best epoch, as users read it; without a metric its validation loss."""
        curves = dict(zip(record.curves.epoch, record.curves.validation_metric, strict=True))
        return curves.get(record.best_epoch, self.shown(record.error))

    def error_of(self, shown: float) -> float:
        """The error behind a figure that users read."""
        return 1 - shown if self.metric is not None and self.metric.greater_is_better else shown

    def untrained(self, request: Request) -> float:
        """The error on the validation rows before the first step; infinite where those are read anew each epoch."""
        if self.material.is_streamed:
            return float("inf")
        config = request.config
        key = (config.network, request.seed, config.loss)
        if key not in self._untrained:
            module, data = self.start(request), self.training_data
            program = self.program(module)
            rows = data.folds[0].validation.unsqueeze(0)
            tensors = {n: t.detach().to(self.device) for n, t in module.state_dict(keep_vars=True).items()}
            buffers = {name: tensors[name].unsqueeze(0) for name in program.buffers}
            outputs = outputs_of(program, program.layout.flatten(tensors).unsqueeze(0), data.gather(rows), buffers)
            error, _ = data.objective(outputs, data.targets_of(rows), data.weights[rows], self.losses(config))
            if self.metric is not None and self.outputs:
                error = self.metric.error(data.predictions(outputs), data.truth(rows), data.weights[rows].double())
            self._untrained[key] = float(error[0])
        return self._untrained[key]

    def losses(self, config: Config) -> LossCoefficients:
        """The loss of one lane."""
        classes = self.outputs if self.task == "classification" else 0
        return LossCoefficients.stack([config.loss], classes, self.device)

    @cached_property
    def training_data(self) -> TrainingData:
        """The material as the engine reads it; it must not be streamed."""
        train, valid = self.material.train, self.material.valid
        assert isinstance(train, Examples) and not isinstance(valid, Stream)
        judged = self.prepared(valid, "valid") if valid is not None else None
        return self.data(*joined(self.prepared(train, "train"), judged))

    def start(self, request: Request) -> nn.Module:
        return self.networks.made(request.config.module_arguments, request.seed)
