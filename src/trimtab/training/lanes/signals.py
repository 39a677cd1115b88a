"""Signals: what a round tells about a run beside its losses: gradients, updates, noise, dead and saturated units.

Functions of what the steps added up and of the moments they left, for lanes side by side (a run by itself is one lane).
Decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.training.lanes.lane import Lane
from trimtab.training.programs.program import Activity
from trimtab.training.programs.step import FIRST_TENSOR, LOSS, NOTED_EVERY, WEIGHT, Features

# A unit that moves less than this over all validation rows says nothing about them. A guess: some ten times the
# rounding of a float32 near 1.
_STILL = 1e-6
# A unit that lies near a bound in this share of the rows passes hardly any gradient. A guess.
_MOSTLY = 0.95
_SCALARS = ("gradient_norm", "update_ratio", "noise_scale", "dead_units", "saturated_units")
_PARTS = ("gradient_norms", "dead_by_layer", "saturated_by_layer")


@dataclass(frozen=True)
class Signals:
    """What is noted of lanes beside losses and metric: the learning rate, and all signals unless `only_losses`."""

    only_losses: bool = False

    @property
    def features(self) -> Features:
        """What a step has to do for them."""
        return Features(norms=not self.only_losses)

    def noted(
        self,
        lanes: Sequence[Lane],
        totals: Float[Tensor, "lanes columns"],
        first: Float[Tensor, "lanes size"],
        update_ratios: Float[Tensor, " lanes"],
        activities: Sequence[tuple[Activity, ...]],
    ) -> dict[str, list]:
        """Each signal by name, an entry per lane, since the lanes' last evaluation.

        `totals` are what the steps added up, `first` the first moments, `update_ratios` the lengths of the last steps
        relative to the weights, `activities` what the layers of each tile did (nothing where none was evaluated).
        """
        count, totals = len(lanes), totals.cpu()
        steps = torch.tensor([lane.steps_since_evaluation() for lane in lanes], dtype=torch.float32)
        noted: dict[str, list] = {
            "train_loss": train_loss(totals).tolist(),
            "learning_rate": [lane.last_rate() for lane in lanes],
        }
        if self.only_losses or not activities:
            return noted | dict.fromkeys(_SCALARS, [math.nan] * count) | dict.fromkeys(_PARTS, [[]] * count)
        squares = squared_norms(totals, (steps / NOTED_EVERY).ceil())
        rows = torch.tensor([lane.size for lane in lanes], dtype=torch.float32)
        made = torch.tensor([lane.step for lane in lanes])
        mean = torch.linalg.vector_norm(first, dim=1).cpu()
        noise = noise_scale([lane.momentum for lane in lanes], squares.sum(1), mean, made, rows)
        dead, saturated, units = of_layers(activities, count)
        return noted | {
            "gradient_norm": squares.sum(1).sqrt().tolist(),
            "gradient_norms": squares.sqrt().tolist(),
            "update_ratio": update_ratios.tolist(),
            "noise_scale": noise.tolist(),
            "dead_by_layer": dead.tolist(),
            "saturated_by_layer": saturated.tolist(),
            "dead_units": mean_over_layers(dead, units).tolist(),
            "saturated_units": mean_over_layers(saturated, units).tolist(),
        }


ALL_SIGNALS = Signals()


def train_loss(totals: Float[Tensor, "lanes columns"]) -> Float[Tensor, " lanes"]:
    """The mean loss of the rows that were seen, each row counting by its weight."""
    return totals[:, LOSS] / totals[:, WEIGHT]


def squared_norms(totals: Tensor, steps: Float[Tensor, " lanes"]) -> Float[Tensor, "lanes tensors"]:
    """Mean squared gradient norm of each parameter tensor over the `steps` at which it was noted."""
    return totals[:, FIRST_TENSOR:] / steps.unsqueeze(1)


def noise_scale(
    momenta: list[float],
    squared: Float[Tensor, " lanes"],
    first: Float[Tensor, " lanes"],
    steps: Tensor,
    batch_rows: Float[Tensor, " lanes"],
) -> Float[Tensor, " lanes"]:
    """The batch size beyond which averaging more rows hardly steadies the gradient, tr(S) / |G|^2 [McCandlish 2018].

    From the mean squared norm of single gradients and `first`, the norm of their running mean m of weight 1 - b: with
    S/B the covariance of one batch, E|g|^2 = |G|^2 + tr(S)/B and E|m|^2 = |G|^2 + (1 - b)/(1 + b) tr(S)/B. `momenta`
    are each lane's b, 0 for a rule that keeps no running mean: NaN then, and where noise hides the gradient altogether.
    """
    b = torch.tensor(momenta, dtype=torch.float64, device=first.device)
    mean = first.double().square() / (1 - b ** steps.double()).square()
    share = (1 - b) / (1 + b)
    spread = (squared.double() - mean) / (1 - share)
    gradient = mean - share * spread
    scale = batch_rows.double() * spread.clamp_min(0) / gradient
    return torch.where((b > 0) & (gradient > 0), scale, torch.nan)


def dead_share(activity: Activity) -> Float[Tensor, " lanes"]:
    """The share of units that give every validation row the same."""
    return ((activity.high - activity.low) < _STILL).float().mean(1)


def saturated_share(activity: Activity) -> Float[Tensor, " lanes"]:
    """The share of units that lie in the flat part near a bound in nearly all rows; 0 for a layer without bounds."""
    return (activity.flat >= _MOSTLY * activity.rows).float().mean(1)


def of_layers(activities: Sequence[tuple[Activity, ...]], lanes: int) -> tuple[Tensor, Tensor, list[int]]:
    """Shares of dead and saturated units `[lanes, layers]` of tiles of lanes, and the units of each layer."""
    units = [activity.low.shape[1] for activity in activities[0]]
    if not units:
        empty = torch.empty(lanes, 0, dtype=torch.float32)
        return empty, empty, units
    dead, saturated = (
        torch.cat([torch.stack([share(layer) for layer in tile], dim=1) for tile in activities]).cpu()
        for share in (dead_share, saturated_share)
    )
    return dead, saturated, units


def mean_over_layers(shares: Float[Tensor, "lanes layers"], units: list[int]) -> Float[Tensor, " lanes"]:
    """The share among all units; NaN where there is no activation layer."""
    weights = torch.tensor(units, dtype=torch.float32)
    return (shares * weights).sum(1) / weights.sum()
