"""Update: one step of every lane, each with the optimizer of its own: SGD, momentum, Adam, Lion and all others at once.

Sees buffers `[lanes, parameters]`, the terms of each lane's optimizer, learning rates and step numbers; knows no
modules, losses or schedules, and no optimizer by its name.

There are two running means, so that one in-place `lerp_` serves every optimizer:
    first  += (1 - b1) (gradient   - first)       momentum keeps (1 - b1) times torch's buffer, undone in the rate
    second += (1 - b2) (gradient^2 - second)      Adagrad's sum is t times a mean with 1 - b2 = 1/t
    parameters -= rate * direction / (sqrt(second) + epsilon)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.training.config import Optimizer
from trimtab.training.rules.coefficients import Coefficients
from trimtab.training.rules.groups import GroupCoefficients
from trimtab.training.rules.optimizers import Terms, terms_of


@dataclass(frozen=True)
class OptimizerCoefficients(Coefficients):
    """The optimizers of all lanes side by side, `[lanes, 1]` in the parameters' dtype unless said otherwise.

    A lane that does not need a term has the coefficient that leaves it out exactly; the flags say what no lane needs.
    `gain` float64 [lanes] is what the rate is multiplied by; `bias_bases` float64 [lanes, 2] are b1 and b2 of lanes
    with bias correction and 0 in the others.
    """

    first_weight: Float[Tensor, "lanes 1"]
    look_weight: Float[Tensor, "lanes 1"]
    second_weight: Float[Tensor, "lanes 1"]
    is_adaptive: Float[Tensor, "lanes 1"]
    sums_squares: Bool[Tensor, " lanes"]
    takes_sign: Bool[Tensor, "lanes 1"]
    coupled_decay: Float[Tensor, "lanes 1"]
    decoupled_decay: Float[Tensor, "lanes 1"]
    epsilon: Float[Tensor, " lanes"]
    gain: Float[Tensor, " lanes"]
    bias_bases: Float[Tensor, "lanes 2"]
    any_momentum: bool
    any_look_ahead: bool
    any_adaptive: bool
    all_adaptive: bool
    any_sum: bool
    any_sign: bool
    any_coupled_decay: bool
    any_decoupled_decay: bool

    @classmethod
    def stack(
        cls,
        optimizers: Sequence[Optimizer],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "OptimizerCoefficients":
        """Lay `optimizers`, one per lane, side by side."""
        terms = [terms_of(optimizer) for optimizer in optimizers]
        rows = torch.tensor([_row(each) for each in terms], dtype=torch.float64, device=device)
        column = rows.to(dtype).T.contiguous().unsqueeze(2).unbind(0)
        return cls(
            first_weight=column[0],
            look_weight=column[1],
            second_weight=column[2],
            is_adaptive=column[3],
            sums_squares=torch.tensor([each.sums_squares for each in terms], device=device),
            takes_sign=torch.tensor([[each.takes_sign] for each in terms], device=device),
            coupled_decay=column[4],
            decoupled_decay=column[5],
            epsilon=rows[:, 6],
            gain=rows[:, 7],
            bias_bases=rows[:, 8:],
            any_momentum=any(each.first_decay > 0 for each in terms),
            any_look_ahead=any(each.look_decay is not None for each in terms),
            any_adaptive=any(each.second_decay is not None for each in terms),
            all_adaptive=all(each.second_decay is not None for each in terms),
            any_sum=any(each.sums_squares for each in terms),
            any_sign=any(each.takes_sign for each in terms),
            any_coupled_decay=any(each.coupled_decay > 0 for each in terms),
            any_decoupled_decay=any(each.decoupled_decay > 0 for each in terms),
        )


def _row(t: Terms) -> tuple[float, ...]:
    """First weight, look weight, second weight, is adaptive, coupled and decoupled decay, epsilon, gain, b1, b2."""
    is_adaptive = t.second_decay is not None
    return (
        1 - t.first_decay,
        1 - (t.first_decay if t.look_decay is None else t.look_decay),
        1 - t.second_decay if t.second_decay is not None else 0.0,
        float(is_adaptive),
        t.coupled_decay,
        t.decoupled_decay,
        # With a second moment of 0 the divisor of a lane that is not adaptive is exactly this 1.
        t.epsilon if is_adaptive else 1.0,
        t.gain,
        t.first_decay if t.corrects_bias else 0.0,
        t.second_decay if t.corrects_bias and t.second_decay is not None else 0.0,
    )


class StepRates(NamedTuple):
    """What follows from a step's number and schedules, [lanes, 1] each.

    `rate` multiplies the direction, `epsilon` is added to the root of the second moment, `second_weight` is the weight
    of a new square in it; `decoupled` multiplies the decay that shrinks the weights themselves, `coupled` the decay
    that enters the gradient.
    """

    rate: Tensor
    epsilon: Tensor
    second_weight: Tensor
    decoupled: Tensor
    coupled: Tensor

    @classmethod
    def of(cls, row: Float[Tensor, "lanes columns"]) -> "StepRates":
        """From the columns that `step_rates` lays side by side."""
        return cls(*(row[:, i : i + 1] for i in range(len(cls._fields))))


def step_rates(
    c: OptimizerCoefficients,
    steps: Int[Tensor, "lanes steps"],
    learning_rates: Float[Tensor, "lanes steps"],
    decays: Float[Tensor, "lanes steps"] | None = None,
) -> Float[Tensor, "lanes steps columns"]:
    """The columns of `StepRates` for many steps at once, bias correction included; step numbers count from 1.

    lr / correction1 * m / (sqrt(v / correction2) + eps) is rate * m / (sqrt(v) + epsilon) with one division less. In
    float64, for 1 - b2 keeps too few digits in float32. `decays` are factors on the weight decay (None: 1).
    """
    learning_rates = learning_rates.double()
    decays = torch.ones_like(learning_rates) if decays is None else decays.double()
    rate = learning_rates * c.gain.unsqueeze(1)
    second_weight = c.second_weight.double().expand_as(rate)
    epsilon = c.epsilon.unsqueeze(1).expand_as(rate)
    if c.any_adaptive:
        counts = steps.double()
        correction1, correction2 = (1 - c.bias_bases[:, i : i + 1] ** counts for i in range(2))
        if c.any_sum:
            sums_squares = c.sums_squares.unsqueeze(1)
            correction2 = torch.where(sums_squares, 1 / counts, correction2)
            second_weight = torch.where(sums_squares, 1 / counts, second_weight)
        root = correction2.sqrt()
        rate, epsilon = rate * root / correction1, epsilon * root
    return torch.stack([rate, epsilon, second_weight, learning_rates * decays, decays], dim=2).to(c.first_weight)


class UpdateRule:
    """Advances the parameters of all lanes by one step, in place; holds nothing but room to compute in.

    Without `keeps_room` every result is a new tensor, as a compiler wants to see it.
    """

    def __init__(self, *, keeps_room: bool = True) -> None:
        self._keeps_room = keeps_room
        self._room: dict[str, Tensor] = {}

    def update(
        self,
        parameters: Float[Tensor, "lanes size"],
        gradient: Float[Tensor, "lanes size"],
        first: Float[Tensor, "lanes size"],
        second: Float[Tensor, "lanes size"],
        c: OptimizerCoefficients,
        rates: StepRates,
        groups: GroupCoefficients | None = None,
    ) -> None:
        """One step of every lane at `rates`, times those of `groups` ([lanes, 1] or [lanes, size]).

        `first` and `second` are the rule's state and start at 0; `gradient` is only read.
        """
        if groups is not None and not groups.any_groups:
            groups = None
        if c.any_coupled_decay:
            decay = c.coupled_decay * rates.coupled
            decay = decay * groups.decay if groups is not None else decay
            gradient = torch.addcmul(gradient, parameters, decay, out=self._out("gradient", gradient))
        if c.any_decoupled_decay:
            decay = c.decoupled_decay * rates.decoupled
            parameters.mul_(1 - (decay * groups.decay * groups.rate if groups is not None else decay))
        direction = self._direction(gradient, first, c)
        if c.any_adaptive:
            divisor = self._squares(gradient, c)
            second.lerp_(divisor, rates.second_weight)
            divisor = torch.sqrt(second, out=self._out("divisor", gradient)).add_(rates.epsilon)
            direction = torch.div(direction, divisor, out=self._out("divisor", gradient))
        parameters.addcmul_(direction, rates.rate * groups.rate if groups is not None else rates.rate, value=-1)

    def _squares(self, gradient: Tensor, c: OptimizerCoefficients) -> Tensor:
        out = self._out("divisor", gradient)
        if c.all_adaptive:
            return torch.mul(gradient, gradient, out=out)
        # A lane without second moment keeps 0 there even where the square of its gradient overflows.
        return torch.mul(gradient, c.is_adaptive, out=out).square_()

    def _direction(self, gradient: Tensor, first: Tensor, c: OptimizerCoefficients) -> Tensor:
        """Where the parameters go before scaling; brings the first moment up to date."""
        if not (c.any_momentum or c.any_sign):
            return gradient
        if not c.any_look_ahead:
            return first.lerp_(gradient, c.first_weight)
        direction = torch.lerp(first, gradient, c.look_weight, out=self._out("direction", gradient))
        first.lerp_(gradient, c.first_weight)
        if c.any_sign:
            direction = torch.where(c.takes_sign, direction.sign(), direction)
        return direction

    def _out(self, name: str, like: Tensor) -> Tensor | None:
        if not self._keeps_room:
            return None
        room = self._room.get(name)
        if room is None or room.numel() < like.numel() or room.device != like.device or room.dtype != like.dtype:
            room = self._room[name] = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
        return room[: like.numel()].view(like.shape)
