"""By heart: whether a network can learn a few rows by heart in a few steps; where it cannot, whether one of ours can.

What can not has no way from these inputs to these targets, however long it is trained [Karpathy 2019, A Recipe for
Training Neural Networks]. Knows set-ups; what is wrong is said elsewhere.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from trimtab.checkups.scaling import scaled_inputs, scaled_target
from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import ShortTraining, as_planned, with_adam
from trimtab.networks.datasets import Datasets
from trimtab.networks.examples import Examples
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import Recipe
from trimtab.training.config import Config

ROWS, STEPS = 32, 200
EVALUATE_EVERY = 50  # steps
# A network that leaves more of the error than this has not learnt the rows; a control that leaves less than the second
# has (guesses: what lies between is not judged).
NOT_LEARNT, LEARNT = 0.5, 0.1
# Rates of Adam of which the best counts: one of them suits nearly any network for so few steps.
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# The control: its width, and columns that it reads of wide inputs (evenly chosen).
WIDTH, _COLUMNS = 128, 1024


@dataclass(frozen=True)
class ByHeart:
    """What is left of the error on `rows` rows after `steps` steps, as a share of what a constant leaves: by the
    network, at the best of a few rates, and by the control network: None where the network has learnt them, or there
    can be none."""

    rows: int
    steps: int
    left: float
    rate: float
    control: float | None


def learnt_by_heart(setup: Setup, training: ShortTraining) -> ByHeart | None:
    """`setup`, which `can_be_learnt`, on a few of its rows, all scaled, and a control where it fails; None where there
    is not enough time."""
    if not training.has_time_for(2 * len(RATES), STEPS):
        return None
    order = torch.randperm(setup.train.rows, generator=torch.Generator().manual_seed(setup.seed))
    fair = scaled(setup)
    few = fair.train.taken(order[:ROWS].sort().values)
    measure = "" if setup.fitting.metric is None else "r2" if setup.fitting.task == "regression" else "accuracy"
    own = replace(fair, datasets=Datasets(few, None), metric=measure, evaluate_every=EVALUATE_EVERY)
    own = replace(own, mean=None, scale=None)
    mine = _least_left(own, training)
    if mine is None:
        return None
    left, rate = mine
    other = control_of(own) if left > NOT_LEARNT else None
    theirs = None if other is None else _least_left(other, training)
    return ByHeart(few.rows, STEPS, left, rate, None if theirs is None else theirs[0])


def _least_left(setup: Setup, training: ShortTraining) -> tuple[float, float] | None:
    """The smallest share that is left at any of the rates, and the rate."""
    recipes = [as_planned(with_adam(setup.recipe, rate), STEPS) for rate in RATES]
    setup = replace(setup, recipe=recipes[0])
    records = training.trained(setup, [(recipe, setup.seed) for recipe in recipes])
    if records is None:
        return None
    constant = _left_by_constant(setup)
    left = [record.error / constant if math.isfinite(record.error) else math.inf for record in records]
    best = min(range(len(left)), key=left.__getitem__)
    return left[best], RATES[best]


def can_be_learnt(setup: Setup) -> bool:
    """Whether it can be told when rows are learnt: by the task's own metric, or by a loss of labels 0 and 1."""
    return setup.fitting.metric is not None or (
        setup.reads in ("logits", "probabilities") and all(_are_labels(target) for target in setup.train.targets)
    )


def _are_labels(target: Tensor) -> bool:
    return bool(((target == 0) | (target == 1)).all())


def _left_by_constant(setup: Setup) -> float:
    """The error of a constant: 1 of r2; of accuracy the share of rows that are not of the largest class; of a loss of
    labels 0 and 1 their entropy."""
    data, fitting = setup.fitting.training_data, setup.fitting
    least = 1.0 / setup.train.rows
    if fitting.metric is None:
        share = setup.train.targets[0].double().mean(0).clamp(least / 2, 1 - least / 2)
        return float(-(share * share.log() + (1 - share) * (1 - share).log()).mean())
    if fitting.task == "regression":
        return 1.0
    counts = torch.bincount(data.truth(data.folds[0].train).cpu().flatten())
    return max(1.0 - float(counts.max() / counts.sum()), least)


def scaled(setup: Setup) -> Setup:
    """`setup` with inputs, and a target of numbers, scaled: what it can learn is asked, not at which sizes."""
    fair = scaled_inputs(setup)
    is_plain = fair.reads == "numbers" and not fair.squashes and fair.scale is None
    is_possible = is_plain and fair.fitting.metric is not None
    return scaled_target(fair) if is_possible else fair


# -- the control


def control_of(setup: Setup) -> Setup | None:
    """The same rows and loss with a network of ours in the place of the caller's: two hidden layers over all inputs,
    each column scaled; None where outputs are more than a row of numbers."""
    outputs = setup.fitting.tried.outputs
    if not isinstance(outputs, Tensor) or outputs.dim() > 2:
        return None
    columns = tuple(outputs.shape[1:])
    scaled = scaled_inputs(setup.with_examples(_as_columns))
    inputs = scaled.train.inputs[0].shape[1]

    def make() -> nn.Module:
        return Control(inputs, columns)

    networks = Networks(make)
    networks.told = setup.networks.told
    config, given = setup.recipe.config, setup.recipe.given & {"loss", "lr", "batch_size"}
    own = Config(loss=config.loss, optimizer=config.optimizer, batch_size=config.batch_size, epochs=config.epochs)
    recipe = Recipe(own, given, setup.recipe.function, setup.recipe.make_optimizer)
    return replace(scaled, networks=networks, recipe=recipe, squashes="")


class Control(nn.Module):
    """A multi-layer perceptron with two hidden layers of SiLU units."""

    def __init__(self, inputs: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        hidden = (nn.Linear(inputs, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU())
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTH, math.prod(outputs)))
        self._is_flat = not outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return y.squeeze(-1) if self._is_flat else y


def _as_columns(part: Examples) -> Examples:
    """All inputs side by side as float columns, some of them where there are very many."""
    flat = torch.cat([x.reshape(len(x), -1).float() for x in part.inputs], dim=1)
    flat = flat[:, :: max(1, math.ceil(flat.shape[1] / _COLUMNS))].contiguous()
    return replace(part, inputs=(flat,), names=(), in_tuple=False)
