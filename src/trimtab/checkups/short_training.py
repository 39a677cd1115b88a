"""ShortTraining: set-ups trained for a few hundred steps, all seeds side by side, as long as there is time.

Knows set-ups and a clock; it draws no conclusions.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy
import torch
from torch import Tensor

from trimtab.checkups.setup import Setup
from trimtab.listeners.listener import Listener
from trimtab.listeners.listeners import Listeners
from trimtab.networks.divergence import has_diverged
from trimtab.networks.recipe import Recipe
from trimtab.networks.runs import NamedRecipe, Runs
from trimtab.training.config import Optimizer, Schedule, Stopping
from trimtab.training.lanes.reports import STOPPED
from trimtab.training.run import RunRecord

# Evaluations of a short training: the best of so many is within a few steps of the best of all.
EVALUATIONS = 10


@dataclass(frozen=True)
class Outcome:
    """What one short training came to at its best epoch: its `error`, lower is better and in original units, infinite
    where there is none; `predictions` `[rows, outputs]` of the rows to judge by, where they are predictions; by how
    much the loss on these rows fell; and whether it diverged."""

    error: float
    predictions: numpy.ndarray | None
    fall: float
    has_diverged: bool


@dataclass
class ShortTraining:
    """Trains for `steps` steps from each of `seeds`, until `deadline` (a reading of `time.monotonic`).

    `lane_seconds` is what a step of one run took when it was measured last.
    """

    steps: int
    seeds: Sequence[int]
    deadline: float
    lane_seconds: float = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.deadline - time.monotonic()

    def has_time_for(self, runs: int, steps: int | None = None, share: float = 1.0) -> bool:
        """Whether so many runs could end within a `share` of the time that is left."""
        return share * self.left > runs * (self.steps if steps is None else steps) * self.lane_seconds

    def outcomes(
        self, setup: Setup, rates: Sequence[float] = (), seeds: int | None = None
    ) -> list[list[Outcome]] | None:
        """What each of `rates` (none: its own) came to from each seed, or the first `seeds` of them; None where the
        time was over before."""
        own = [setup.recipe_with_rate(rate) for rate in rates] or [setup.recipe]
        from_ = self.seeds[:seeds]
        if not self.has_time_for(len(own) * len(from_)):
            return None
        setup = replace(setup, evaluate_every=max(1, _epochs(setup, self.steps) // EVALUATIONS))
        recipes = [as_planned(each, _epochs(setup, self.steps)) for each in own]
        records = self.trained(setup, [(recipe, seed) for recipe in recipes for seed in from_])
        if records is None:
            return None
        each = [outcome_of(setup, record) for record in records]
        return [each[i : i + len(from_)] for i in range(0, len(each), len(from_))]

    def trained(self, setup: Setup, runs: Sequence[tuple[Recipe, int]]) -> list[RunRecord] | None:
        """The runs, each a recipe from a seed; None where the time was over before they ended."""
        began = time.monotonic()
        jobs = [NamedRecipe(f"run {place}", recipe, seed) for place, (recipe, seed) in enumerate(runs)]
        records = Runs(setup.fitting, Listeners([_Clock(self.deadline)])).made(jobs)
        self.lane_seconds = (time.monotonic() - began) / max(1, sum(record.steps for record in records))
        return None if any(record.ended == STOPPED for record in records) else records


class _Clock(Listener):
    """Ends runs when the time is over."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        return time.monotonic() > self._deadline


def _epochs(setup: Setup, steps: int) -> int:
    """Epochs in which at least so many steps are taken."""
    size = setup.recipe.config.batch_size or setup.train.rows
    return max(1, math.ceil(steps / math.ceil(setup.train.rows / size)))


def as_planned(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe for so many epochs at a constant rate, to the end."""
    config = replace(recipe.config, epochs=epochs, schedule=Schedule("constant"), stopping=Stopping("none"))
    return replace(recipe, config=config)


def with_adam(recipe: Recipe, rate: float) -> Recipe:
    """The recipe with trimtab's own Adam, nothing that holds weights back, and all rows in every step."""
    optimizer = Optimizer("adam", learning_rate=rate)
    config = replace(recipe.config, optimizer=optimizer, batch_size=0, gradient_clip=0.0, averaging=0.0, groups=())
    return replace(recipe, config=config, make_optimizer=None)


def outcome_of(setup: Setup, record: RunRecord) -> Outcome:
    """What a run came to in original units."""
    fitting = setup.fitting
    untrained = fitting.untrained(record.request)
    lowest = min((loss for loss in record.curves.validation_loss if math.isfinite(loss)), default=math.inf)
    fall = untrained[1] - lowest if math.isfinite(untrained[1] - lowest) else -math.inf
    told = record.predictions
    predictions = told if fitting.outputs and len(told) == setup.judged.rows else None
    error = record.error
    if predictions is not None and fitting.metric is not None and setup.scale is not None and setup.mean is not None:
        predictions = predictions * setup.scale.numpy() + setup.mean.numpy()
        truth, weights = truth_and_weights(setup)
        rows = torch.from_numpy(predictions)[None].double()
        error = float(fitting.metric.error(rows, truth[None], weights[None])[0])
    diverged = has_diverged(record, untrained)
    return Outcome(error if math.isfinite(error) else math.inf, predictions, fall, diverged)


def truth_and_weights(setup: Setup) -> tuple[Tensor, Tensor]:
    """Of the rows to judge by, in original units."""
    data = setup.fitting.training_data
    rows = data.folds[0].validation
    truth, weights = data.truth(rows).cpu(), data.weights[rows].cpu().double()
    return (truth if setup.scale is None or setup.mean is None else truth * setup.scale + setup.mean), weights
