"""Setup: a network, rows and knobs that could be trained as they are, and what is made of them by changing one thing.

Knows networks, datasets and recipes; it trains nothing and finds nothing wrong.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.machine import cores
from trimtab.networks.datasets import Datasets
from trimtab.networks.examples import Examples
from trimtab.networks.fitting import Fitting
from trimtab.networks.networks import Networks, copied
from trimtab.networks.reading import BY_TASK
from trimtab.networks.recipe import Recipe
from trimtab.training.randomness import SeededGenerators

# What a loss reads the outputs of a network as; "" where nobody knows: it is a function of the caller's own.
Reads = Literal["numbers", "logits", "log probabilities", "probabilities", ""]
_OWN_LOSSES: tuple[tuple[Reads, tuple[type[nn.Module], ...], tuple[Any, ...]], ...] = (
    ("numbers", (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
     (functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, functional.huber_loss)),
    ("logits", (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss),
     (functional.cross_entropy, functional.binary_cross_entropy_with_logits)),
    ("log probabilities", (nn.NLLLoss,), (functional.nll_loss,)),
    ("probabilities", (nn.BCELoss,), (functional.binary_cross_entropy,)),
)  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """What could be trained: `networks`, `datasets` of tensors, a `recipe`.

    `mean` and `scale` `[outputs]` lead predictions back to original units where the target was scaled; None elsewhere.
    `metric` is what runs are judged by, "" for what suits the loss; `squashes` is the activation that
    outputs come from, as a `Start` tells it.
    """

    networks: Networks
    datasets: Datasets
    recipe: Recipe
    seed: int
    device: torch.device
    mean: Tensor | None = None
    scale: Tensor | None = None
    evaluate_every: int = 1
    metric: str = ""
    squashes: str = ""

    @cached_property
    def fitting(self) -> Fitting:
        """The parts brought together; raises a TrimtabError for what cannot be trained."""
        return Fitting(
            self.networks, self.datasets, self.recipe, metric=self.metric or self._metric,
            seed=self.seed, device=self.device, threads=cores(), evaluate_every=self.evaluate_every,
        )  # fmt: skip

    @property
    def train(self) -> Examples:
        assert isinstance(self.datasets.train, Examples)
        return self.datasets.train

    @property
    def judged(self) -> Examples:
        """The rows to judge by: those to train on where there are no others."""
        valid = self.datasets.valid
        assert valid is None or isinstance(valid, Examples)
        return self.train if valid is None else valid

    @property
    def reads(self) -> Reads:
        """What the loss reads outputs as."""
        if self.recipe.function is None:
            return "logits" if self.fitting.task == "classification" else "numbers"
        return self._own_reads

    @property
    def _metric(self) -> str | None:
        """By what set-ups with different units of loss can be compared: the task's own metric; None, the loss, where
        that would judge by something that the loss does not mean."""
        function = self.recipe.function
        if function is None:
            return None if self.recipe.config.loss.name == "quantile" else BY_TASK
        is_classes = not self.train.targets[0].is_floating_point()
        return BY_TASK if self._own_reads == "numbers" or (self._own_reads and is_classes) else None

    @property
    def _own_reads(self) -> Reads:
        function = self.recipe.function
        for reads, kinds, functions in _OWN_LOSSES:
            if isinstance(function, kinds) or any(function is each for each in functions):
                return reads
        return ""

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.recipe.config.optimizer.learning_rate

    def with_rate(self, rate: float) -> "Setup":
        return replace(self, recipe=self.recipe_with_rate(rate))

    def recipe_with_rate(self, rate: float) -> Recipe:
        config = self.recipe.config
        config = replace(config, optimizer=replace(config.optimizer, learning_rate=rate))
        return replace(self.recipe, config=config, given=self.recipe.given | {"lr"})

    def with_examples(self, change: Callable[[Examples], Examples]) -> "Setup":
        """The same with other rows, those to judge by changed alike."""
        valid = None if self.datasets.valid is None else change(self.judged)
        return replace(self, datasets=Datasets(change(self.train), valid))

    def with_network(self, change: Callable[[nn.Module], nn.Module]) -> "Setup":
        """The same with each network changed, a copy of it; what the change draws follows from the seed."""
        given, seed = self.networks, self.seed

        def changed(module: nn.Module) -> nn.Module:
            with SeededGenerators(seed):
                return change(module)

        if given.module is not None:
            networks = Networks(changed(copied(given.module)))
        else:
            factory = given.factory
            assert factory is not None

            @functools.wraps(factory)
            def make(*arguments: Any, **named: Any) -> nn.Module:
                return changed(factory(*arguments, **named))

            networks = Networks(make)
        networks.told = given.told
        return replace(self, networks=networks)

    def module(self) -> nn.Module:
        """The network of the first seed, a copy of one's own on the processor."""
        return copied(self.networks.made(self.recipe.config.module_arguments, self.seed)).cpu()
