"""Fitting: networks, datasets and a loss brought together, so that the engine can train them.

Says what cannot work before a run begins. Knows networks, examples, losses and metrics; it trains nothing itself.
"""

import copy
import dataclasses
import logging
import math
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from trimtab.errors import DataError, OptionError, ShapeError
from trimtab.findings.data.seconds import MOST_SECONDS
from trimtab.findings.finding import Findings, Outcome
from trimtab.findings.loss import outliers_dominate_loss
from trimtab.findings.of_run import facts_of
from trimtab.networks.datasets import Datasets, joined
from trimtab.networks.examples import Examples
from trimtab.networks.found_in_rows import found_in_rows
from trimtab.networks.networks import Networks
from trimtab.networks.own_loss import OwnLoss, own_loss
from trimtab.networks.probe import Tried, tried
from trimtab.networks.reading import Reading
from trimtab.networks.recipe import Recipe, check_against
from trimtab.networks.streams import Stream
from trimtab.networks.targets import arranged_targets, check_for_metric, classes_told
from trimtab.text.wording import counted, listed
from trimtab.training.config import Config
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.metrics import greater_is_better
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.training.programs.layers import counts_rows
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.program import Layout, Program
from trimtab.training.programs.vmap_program import OWN_DRAWS
from trimtab.training.randomness import own_draws
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.run import Request, RunRecord
from trimtab.training.untrained import untrained_loss
from trimtab.training.warning import say_once

log = logging.getLogger(__name__)
# Training rows, evenly chosen, that show over- and underfitting: their mean error is known to 2 % of its spread.
TRAINING_ROWS_JUDGED = 2_000


class Fitting:
    """Runs of networks of one kind on the same datasets, with one loss family: named losses of a task, or one function.

    `first` is a recipe of that family. `metric` is a name, a metric of the caller's own, None for the validation loss,
    or `reading.BY_TASK` for the task's default. Everything that cannot work is said here, before a run begins.
    """

    def __init__(
        self,
        networks: Networks,
        datasets: Datasets,
        first: Recipe,
        *,
        metric: str | OwnMetric | None,
        seed: int,
        device: torch.device,
        threads: int = 1,
        evaluate_every: int = 1,
        judges_by_loss: bool = False,
    ) -> None:
        if callable(metric):
            raise OptionError(
                "metric is a function: say which way is better, as tt.Metric(function, greater_is_better=True)."
            )
        self.networks, self.datasets, self.device, self.threads = networks, datasets, device, threads
        self.evaluate_every, self.seed, self.judges_by_loss = evaluate_every, seed, judges_by_loss
        self._untrained: dict[tuple, tuple[float, float]] = {}
        self._found_in_rows: Findings | None = None
        self.named = first.config.module_arguments
        module = networks.made(self.named, seed)
        self.tried = self._tried_out(module, first)
        self.own: OwnLoss | None = None
        if first.function is not None:
            self.own = own_loss(first.function, self.tried.outputs, self.tried.rows, networks.told)
        self.objective = None if self.own is None else self.own.objective
        self.dtype = self._dtype(module)
        named = first.config.loss.name if "loss" in first.given and self.own is None else None
        self.reading = Reading(self.tried, datasets.first, self.own, named=named, metric=metric)
        self.task, self.metric = self.reading.task, self.reading.metric
        self.outputs, self.one_output = self.reading.outputs, self.reading.one_output
        self.loss_name = self.complete(first).config.loss.name
        if text := self.reading.words_of_two_classes:
            say_once(log, networks.told, text)
        self.draws = self.tried.draws or (self.objective is not None and self.objective.draws)
        if self.tried.draws:
            say_once(log, networks.told, OWN_DRAWS)
        self._say_precision(module)
        self.check(first)

    def _tried_out(self, module: nn.Module, first: Recipe) -> Tried:
        is_own = first.function is not None
        some = self.datasets.first
        found = tried(module, some, own_dropout=first.has_own_dropout, keeps_outputs=is_own, told=self.networks.told)
        # A batch that is not full is left out wherever the rows of one belong together.
        if not some.drops_last:
            return found
        return dataclasses.replace(found, use=dataclasses.replace(found.use, mixes_rows=True))

    def _dtype(self, module: nn.Module) -> torch.dtype:
        """In which losses are computed: that of the flat weights, or of the outputs where they are wider."""
        outputs = [x.dtype for x in pytree.tree_leaves(self.tried.outputs) if x.is_floating_point()]
        return reduce(torch.promote_types, outputs, Layout.of(module).dtype)

    def _say_precision(self, module: nn.Module) -> None:
        layout = Layout.of(module)
        if not layout.is_uniform:
            own, kept = (listed(str(d).removeprefix("torch.") for d in sorted({*dtypes}, key=str))
                         for dtypes in (layout.dtypes, (layout.dtype,)))  # fmt: skip
            say_once(
                log, self.networks.told,
                f"{type(module).__name__} computes in {own}, as it was given; between the steps its weights are kept "
                f"in {kept}, so that small updates are not lost.",
            )  # fmt: skip

    def complete(self, recipe: Recipe) -> Recipe:
        """A recipe with the loss that it has where none was named."""
        return recipe.for_task(self.task, is_of_logit=self.one_output == "logit")

    def check_loss(self, recipe: Recipe) -> None:
        """Raise ShapeError for a loss of classes that cannot read the network's outputs."""
        outputs = self.tried.outputs
        if self.own is None and self.task == "classification" and isinstance(outputs, Tensor) and outputs.dim() <= 2:
            classes_told(outputs.shape[1] if outputs.dim() == 2 else 1, self.complete(recipe).config.loss.name)

    def check(self, recipe: Recipe) -> None:
        """Raise where a run of this recipe, of the same family as the first, cannot work."""
        module = self.networks.made(recipe.config.module_arguments, self.seed)
        if recipe.config.module_arguments != self.named:
            outputs = self._tried_out(module, recipe).outputs
            shapes, expected = (
                [tuple(x.shape[1:]) for x in pytree.tree_leaves(each)] for each in (outputs, self.tried.outputs)
            )
            if shapes != expected:
                raise ShapeError(
                    f"{type(module).__name__} returns {shapes} per row with {recipe.config.module_arguments} and "
                    f"{expected} with {self.named}: its outputs must stay the same."
                )
        self.check_loss(recipe)
        check_against(recipe, module, classes=self.outputs if self.task == "classification" else 0)
        train, size = self.datasets.train, recipe.config.batch_size
        rows = train.rows if isinstance(train, Examples) else 2
        self._say_left_out(module, rows, size)
        if min(size or rows, rows) < 2 and any(isinstance(m, _BatchNorm) for m in module.modules()):
            raise OptionError(
                f"{type(module).__name__} normalises over the rows of a batch, and a batch would have one row: "
                "give more rows, or a larger batch_size."
            )

    def _say_left_out(self, module: nn.Module, rows: int, size: int) -> None:
        """Say which rows a network that mixes those of a batch is not trained on."""
        train = self.datasets.train
        if not isinstance(train, Examples) or train.drops_last or not size or size >= rows or not rows % size:
            return
        if self.tried.use.mixes_rows or any(counts_rows(layer) for layer in module.modules()):
            say_once(
                log, self.networks.told,
                f"{type(module).__name__} mixes the rows of a batch, so a short batch cannot be padded: of {rows:,} "
                f"rows in batches of {size}, each epoch leaves {counted(rows % size, 'row')} out, others each time.",
            )  # fmt: skip

    def prepared(self, part: Examples) -> Examples:
        """Examples in the form that network and loss read."""
        part = self.tried.prepared(part).with_targets_as(self.datasets.first)
        self._check_weights(part)
        if self.own is None:
            return arranged_targets(self.tried.outputs, part, self.task, self.loss_name, self.dtype)
        if self.metric is not None:
            check_for_metric(self.tried.outputs, part, self.metric)
        return self.own.form.applied(part)

    @property
    def drops_last(self) -> bool:
        """Whether a last batch that is not full is left out, be the network's layers as they are."""
        return self.tried.use.mixes_rows

    def _check_weights(self, part: Examples) -> None:
        """Raise OptionError where rows have weights that the loss or the metric cannot count."""
        if bool((part.weights == part.weights[:1]).all()):
            return
        if self.own is not None and self.own.objective.mixes_rows:
            raise OptionError(
                f"The rows of {part.given_as}= have weights, and the loss gives one number in which no row can be told "
                "from the others: let it give one number for each row, or leave the weights out."
            )
        own = None if self.metric is None else self.metric.own
        if own is not None and not own.takes_weights:
            raise OptionError(
                f"The rows of {part.given_as}= have weights, and the metric {own.name} is not told them: give it a "
                "third argument, weight, or leave the weights out."
            )

    def shown(self, error: float) -> float:
        return self.judging.shown(error)

    def program(self, module: nn.Module) -> Program:
        """The way the engine runs `module`, over a copy of it."""
        return program_for(copy.deepcopy(module).to(self.device), self.tried.use)

    def trained(self, record: RunRecord) -> nn.Module:
        """The network with the weights of its best epoch, in evaluation mode."""
        request = record.request
        return self.networks.filled(request.config.module_arguments, request.seed, record.weights, record.buffers)

    @cached_property
    def kind(self) -> TrainingData:
        """How outputs and targets are read, over some rows."""
        some = self.prepared(self.datasets.first)
        return self.data(some, torch.arange(some.rows), torch.arange(some.rows))

    def data(self, rows: Examples, kept: Tensor, judged: Tensor) -> TrainingData:
        """`rows` as the engine reads them."""
        device = self.device
        target, *more = (y.to(device) for y in rows.targets)
        columns = max(1, self.outputs)
        return TrainingData(
            self.task, tuple(x.to(device) for x in rows.inputs), target, rows.weights.to(device, self.dtype),
            (Fold(kept.to(device), judged.to(device)),), self.outputs,
            torch.zeros(columns, dtype=torch.float64, device=device),
            torch.ones(columns, dtype=torch.float64, device=device),
            loss=self.objective, more_targets=tuple(more), one_output=self.one_output,
        )  # fmt: skip

    @property
    def judging(self) -> Judging:
        """By what runs are judged, and how often."""
        return Judging(
            self.metric, by_loss=self.judges_by_loss, every=self.evaluate_every, training_rows=TRAINING_ROWS_JUDGED
        )

    def engine(self, judging: Judging | None = None, *, over: TrainingData | None = None, **options: Any) -> Engine:
        """An engine over the datasets, which must not be streamed, or `over` the same data with other folds; `options`
        are the engine's."""
        modules = Modules(
            lambda **arguments: copy.deepcopy(self.networks.made(arguments, self.seed)),
            use=self.tried.use, start=self.start, draw=self.draws,
        )  # fmt: skip
        data = self.training_data if over is None else over
        return Engine(data, modules, judging or self.judging, threads=self.threads, **options)

    def best_score(self, record: RunRecord) -> float:
        """The metric at the run's best epoch, as users read it; without a metric its validation loss."""
        curves = dict(zip(record.curves.epoch, record.curves.validation_metric, strict=True))
        return curves.get(record.best_epoch, self.shown(record.error))

    def facts(self, record: RunRecord) -> dict[str, float]:
        """What is known of a run beside its curves (`findings.training_record.FACTS`)."""
        known = {"parameters": float(record.weights.numel())}
        if self.datasets.is_streamed or not self.outputs:
            return known
        data = self.training_data
        fold = data.folds[0]
        if self.own is not None and data.targets.dim() > 2:
            return known
        told = facts_of(record.predictions, data.truth(fold.validation), data.truth(fold.train), self.metric)
        return known | told | {"outputs": float(self.outputs)}

    def outliers(self, record: RunRecord) -> Outcome:
        """Whether a few rows make most of a run's loss, by its predictions for the validation rows."""
        if self.own is not None or self.task != "regression" or self.datasets.is_streamed or not self.outputs:
            return None
        data = self.training_data
        truth = data.truth(data.folds[0].validation).cpu().numpy()
        if len(truth) != len(record.predictions):
            return None  # no epoch had a finite score: nothing was predicted
        return outliers_dominate_loss(truth, record.predictions, record.request.config.loss.name)

    def error_of(self, shown: float) -> float:
        """The error behind a figure that users read."""
        return 1 - shown if greater_is_better(self.metric) else shown

    def untrained(self, request: Request) -> tuple[float, float]:
        """The losses on training and validation rows before the first step; infinite where they are read anew."""
        if self.datasets.is_streamed:
            return math.inf, math.inf
        config = request.config
        key = (config.network, request.seed if self.networks.factory is not None else 0, config.loss)
        if key not in self._untrained:
            fold = self.training_data.folds[0]
            chosen = torch.linspace(0, len(fold.train) - 1, min(TRAINING_ROWS_JUDGED, len(fold.train))).long()
            parts = fold.train[chosen.to(self.device)], fold.validation
            self._untrained[key] = tuple(self._loss_of(request, rows) for rows in parts)  # type: ignore
        return self._untrained[key]

    def _loss_of(self, request: Request, rows: Tensor) -> float:
        module, data = self.start(request), self.training_data
        with self.draws_of(request.seed, 0):
            return untrained_loss(self.program(module), module, data, rows, self.losses(request.config))

    def draws_of(self, seed: int, epoch: int) -> AbstractContextManager[object]:
        """Generators for what a module or a loss draws in an epoch; nothing where neither draws."""
        return own_draws(seed, epoch) if self.draws else nullcontext()

    def losses(self, config: Config) -> LossCoefficients:
        """The loss of one lane."""
        classes = self.outputs if self.task == "classification" else 0
        return LossCoefficients.stack([config.loss], classes, self.device, self.dtype)

    @cached_property
    def training_data(self) -> TrainingData:
        """The datasets as the engine reads them; they must not be streamed."""
        train, valid = self.datasets.train, self.datasets.valid
        assert isinstance(train, Examples) and not isinstance(valid, Stream)
        trained = self.prepared(train)
        data = self.data(*joined(trained, None if valid is None else self.prepared(valid)))
        judged = data.folds[0].validation
        if self.metric is not None and self.metric.is_binary_only and len(data.truth(judged).unique()) < 2:
            raise DataError(
                f"{self.metric.name} needs validation rows of both classes, and all of them are of one: give other "
                "rows as valid=, or another metric."
            )
        return data

    def found_in_rows(self, seconds: float = MOST_SECONDS) -> Findings:
        """What is wrong with the rows, as far as can be said before training; looked for once."""
        if self._found_in_rows is None:
            self._found_in_rows = found_in_rows(self, seconds)
        return self._found_in_rows

    def start(self, request: Request) -> nn.Module:
        return self.networks.made(request.config.module_arguments, request.seed)
