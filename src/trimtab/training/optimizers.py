"""Optimizers: one rule whose coefficients make each lane's SGD, momentum, Nesterov, Adagrad, RMSprop, Adam or Lion.

Sees flat buffers `[lanes, parameters]`, learning rates and step numbers; knows no modules, losses or schedules.

Every rule is written with two running means, so that one in-place `lerp_` serves each of them:
    first  += (1 - b1) (gradient   - first)       momentum keeps (1 - b1) times torch's buffer, undone in the rate
    second += (1 - b2) (gradient^2 - second)      Adagrad's sum is t times a mean with 1 - b2 = 1/t
    parameters -= rate * direction / (sqrt(second) + epsilon)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.training.config import Optimizer

_HAS_MOMENTUM = ("momentum", "nesterov", "adam", "adamw", "lion")
_IS_ADAPTIVE = ("adagrad", "rmsprop", "adam", "adamw")
_IS_DECOUPLED = ("adamw", "lion")
_HAS_BIAS_CORRECTION = ("adam", "adamw")


@dataclass(frozen=True)
class OptimizerCoefficients:
    """The optimizers of all lanes side by side, `[lanes, 1]` float32 unless said otherwise.

    A lane that does not need a term has the coefficient that leaves it out exactly; the flags say what no lane needs.
    `gain` float64 [lanes] is what the rate is multiplied by; `bias_bases` float64 [2, lanes] are b1 and b2 of lanes
    with bias correction and 0 in the others.
    """

    first_weight: Float[Tensor, "lanes 1"]
    look_weight: Float[Tensor, "lanes 1"]
    second_weight: Float[Tensor, "lanes 1"]
    is_adaptive: Float[Tensor, "lanes 1"]
    is_adagrad: Bool[Tensor, " lanes"]
    is_lion: Bool[Tensor, " lanes"]
    coupled_decay: Float[Tensor, "lanes 1"]
    decoupled_decay: Float[Tensor, "lanes 1"]
    epsilon: Float[Tensor, " lanes"]
    gain: Float[Tensor, " lanes"]
    bias_bases: Float[Tensor, "2 lanes"]
    any_momentum: bool
    any_look_ahead: bool
    any_adaptive: bool
    all_adaptive: bool
    any_adagrad: bool
    any_lion: bool
    any_coupled_decay: bool
    any_decoupled_decay: bool

    @classmethod
    def stack(cls, optimizers: Sequence[Optimizer], device: torch.device | str = "cpu") -> "OptimizerCoefficients":
        """Lay `optimizers`, one per lane, side by side."""
        rows = torch.tensor([_row(optimizer) for optimizer in optimizers], dtype=torch.float64, device=device)
        names = [optimizer.name for optimizer in optimizers]
        column = rows.float().split(1, dim=1)
        return cls(
            first_weight=column[0],
            look_weight=column[1],
            second_weight=column[2],
            is_adaptive=column[3],
            is_adagrad=torch.tensor([name == "adagrad" for name in names], device=device),
            is_lion=torch.tensor([name == "lion" for name in names], device=device),
            coupled_decay=column[4],
            decoupled_decay=column[5],
            epsilon=rows[:, 6],
            gain=rows[:, 7],
            bias_bases=rows[:, 8:].T.contiguous(),
            any_momentum=any(optimizer.name in _HAS_MOMENTUM and optimizer.momentum > 0 for optimizer in optimizers),
            any_look_ahead=any(name in ("nesterov", "lion") for name in names),
            any_adaptive=any(name in _IS_ADAPTIVE for name in names),
            all_adaptive=all(name in _IS_ADAPTIVE for name in names),
            any_adagrad="adagrad" in names,
            any_lion="lion" in names,
            any_coupled_decay=any(o.weight_decay > 0 and o.name not in _IS_DECOUPLED for o in optimizers),
            any_decoupled_decay=any(o.weight_decay > 0 and o.name in _IS_DECOUPLED for o in optimizers),
        )

    def select(self, lanes: Int[Tensor, " chosen"]) -> "OptimizerCoefficients":
        """The coefficients of `lanes` alone, in that order; flags stay, for a term too many changes nothing."""
        chosen = {
            name: value.index_select(1 if name == "bias_bases" else 0, lanes)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **chosen)


def _row(optimizer: Optimizer) -> tuple[float, ...]:
    """first weight, look weight, second weight, is adaptive, coupled and decoupled decay, epsilon, gain, b1, b2."""
    name = optimizer.name
    momentum = optimizer.momentum if name in _HAS_MOMENTUM else 0.0
    is_adaptive, is_decoupled = name in _IS_ADAPTIVE, name in _IS_DECOUPLED
    is_corrected = name in _HAS_BIAS_CORRECTION
    return (
        1 - (optimizer.second_decay if name == "lion" else momentum),
        1 - (momentum**2 if name == "nesterov" else momentum),
        1 - optimizer.second_decay if is_adaptive else 0.0,
        float(is_adaptive),
        0.0 if is_decoupled else optimizer.weight_decay,
        optimizer.weight_decay if is_decoupled else 0.0,
        # With a second moment of 0 the divisor of a lane that is not adaptive is exactly this 1.
        optimizer.epsilon if is_adaptive else 1.0,
        1 / (1 - momentum) if name in ("momentum", "nesterov") else 1.0,
        momentum if is_corrected else 0.0,
        optimizer.second_decay if is_corrected else 0.0,
    )


class UpdateRule:
    """Advances the parameters of all lanes by one step, in place; holds nothing but room to compute in."""

    def __init__(self) -> None:
        self._room: dict[str, Tensor] = {}

    def update(
        self,
        parameters: Float[Tensor, "lanes size"],
        gradient: Float[Tensor, "lanes size"],
        first: Float[Tensor, "lanes size"],
        second: Float[Tensor, "lanes size"],
        coefficients: OptimizerCoefficients,
        rates: "StepRates",
        active: Bool[Tensor, " lanes"] | None = None,
    ) -> None:
        """One step of every active lane (None: of all) at `rates`; nothing of the others changes by one bit.

        `first` and `second` are the rule's state and start at 0; `gradient` is only read.
        SGD as in torch.optim; Adam [Kingma & Ba 2015], AdamW [Loshchilov & Hutter 2019], Lion [Chen et al. 2023].
        """
        if active is None or bool(active.all()):
            self._update(parameters, gradient, first, second, coefficients, rates)
            return
        lanes = active.nonzero().squeeze(1)
        p, g, m, v = (tensor.index_select(0, lanes) for tensor in (parameters, gradient, first, second))
        self._update(p, g, m, v, coefficients.select(lanes), StepRates(*(value[lanes] for value in rates)))
        for whole, part in ((parameters, p), (first, m), (second, v)):
            whole.index_copy_(0, lanes, part)

    def _update(
        self,
        parameters: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        c: OptimizerCoefficients,
        rates: "StepRates",
    ) -> None:
        if c.any_coupled_decay:
            gradient = torch.addcmul(gradient, parameters, c.coupled_decay, out=self._scratch("gradient", gradient))
        if c.any_decoupled_decay:
            parameters.mul_(rates.kept)
        direction = self._direction(gradient, first, c)
        if c.any_adaptive:
            divisor = self._scratch("divisor", gradient)
            if not c.all_adaptive:
                # A lane without second moment keeps 0 there even where the square of its gradient overflows.
                torch.mul(gradient, c.is_adaptive, out=divisor)
                divisor.square_()
            else:
                torch.mul(gradient, gradient, out=divisor)
            second.lerp_(divisor, rates.second_weight)
            torch.sqrt(second, out=divisor).add_(rates.epsilon)
            direction = torch.div(direction, divisor, out=divisor)
        parameters.addcmul_(direction, rates.rate, value=-1)

    def _direction(self, gradient: Tensor, first: Tensor, c: OptimizerCoefficients) -> Tensor:
        """Where the parameters go before scaling; brings the first moment up to date."""
        if not (c.any_momentum or c.any_lion):
            return gradient
        if not c.any_look_ahead:
            return first.lerp_(gradient, c.first_weight)
        direction = torch.lerp(first, gradient, c.look_weight, out=self._scratch("direction", gradient))
        first.lerp_(gradient, c.first_weight)
        if c.any_lion:
            lions = c.is_lion.nonzero().squeeze(1)
            direction.index_copy_(0, lions, direction.index_select(0, lions).sign_())
        return direction

    def _scratch(self, name: str, like: Tensor) -> Tensor:
        room = self._room.get(name)
        if room is None or room.numel() < like.numel() or room.device != like.device or room.dtype != like.dtype:
            room = self._room[name] = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
        return room[: like.numel()].view(like.shape)


class StepRates(NamedTuple):
    """What follows from a step's number and learning rate, float32 [lanes, 1] each.

    `rate` multiplies the direction, `epsilon` is added to the root of the second moment, `second_weight` is the weight
    of a new square in it, `kept` the share of the weights that decoupled decay leaves.
    """

    rate: Tensor
    epsilon: Tensor
    second_weight: Tensor
    kept: Tensor


def step_rates(
    c: OptimizerCoefficients, steps: Int[Tensor, "steps lanes"], learning_rates: Float[Tensor, "steps lanes"]
) -> list[StepRates]:
    """The rates of many steps at once, bias correction included; step numbers count from 1.

    lr / correction1 * m / (sqrt(v / correction2) + eps) is rate * m / (sqrt(v) + epsilon) with one division less. In
    float64, for 1 - b2 keeps too few digits in float32.
    """
    rate = learning_rates * c.gain
    second_weight = c.second_weight.squeeze(1).double().expand_as(rate)
    epsilon = c.epsilon.expand_as(rate)
    if c.any_adaptive:
        counts = steps.double()
        correction1, correction2 = 1 - c.bias_bases[0] ** counts, 1 - c.bias_bases[1] ** counts
        if c.any_adagrad:
            correction2 = torch.where(c.is_adagrad, 1 / counts, correction2)
            second_weight = torch.where(c.is_adagrad, 1 / counts, second_weight)
        root = correction2.sqrt()
        rate, epsilon = rate * root / correction1, epsilon * root
    kept = 1 - learning_rates * c.decoupled_decay.squeeze(1)
    columns = [value.float().unsqueeze(2).unbind(0) for value in (rate, epsilon, second_weight, kept)]
    return [StepRates(*values) for values in zip(*columns, strict=True)]
