"""Losses: value and derivative by formula, each lane with its own kind and parameter.

Knows no networks, optimizers or data. Nothing here goes through autograd, and no lane's numbers enter another's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.training.config import Loss
from trimtab.training.rules.coefficients import Coefficients

# Large enough that any error but 0 ends up at a bound, so that clamping is the sign.
_STEEP = 1e38
# Far below any weight or probability that counts, and far above the least that float32 holds (1e-38).
_TINY = 1e-30


@dataclass(frozen=True)
class LossCoefficients(Coefficients):
    """The losses of all lanes side by side.

    Regression reads `[lanes, 1, 1]` tensors: mse, mae, huber and quantile have the derivative
    `clamp(steepness * error, low, high)`, and their value is `derivative * (error - bend * derivative)`; log_cosh has
    formulas of its own and `is_log_cosh` says where. Classification reads `gamma` (0 where a lane has no focal
    loss), `smoothing` `[lanes, 1, 1]` and `class_weights` `[lanes, classes]`.
    """

    steepness: Float[Tensor, "lanes 1 1"]
    low: Float[Tensor, "lanes 1 1"]
    high: Float[Tensor, "lanes 1 1"]
    bend: Float[Tensor, "lanes 1 1"]
    is_log_cosh: Bool[Tensor, "lanes 1 1"]
    gamma: Float[Tensor, "lanes 1 1"]
    smoothing: Float[Tensor, "lanes 1 1"]
    class_weights: Float[Tensor, "lanes classes"]
    any_log_cosh: bool
    any_smoothing: bool
    any_focal: bool
    any_class_weights: bool

    @classmethod
    def stack(
        cls,
        losses: Sequence[Loss],
        classes: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "LossCoefficients":
        """Lay `losses`, one per lane, side by side; `classes` is the number of classes, 0 for regression."""
        shapes = torch.tensor([_shape(loss) for loss in losses], dtype=dtype, device=device)
        steepness, low, high, bend = (shapes[:, i].contiguous().view(-1, 1, 1) for i in range(4))
        log_cosh = [loss.name == "log_cosh" for loss in losses]
        gamma = [loss.parameter if loss.name == "focal" else 0.0 for loss in losses]
        smoothing = [loss.label_smoothing for loss in losses]
        weights = [loss.class_weights or (1.0,) * classes for loss in losses]
        return cls(
            steepness=steepness,
            low=low,
            high=high,
            bend=bend,
            is_log_cosh=torch.tensor(log_cosh, device=device).view(-1, 1, 1),
            gamma=torch.tensor(gamma, dtype=dtype, device=device).view(-1, 1, 1),
            smoothing=torch.tensor(smoothing, dtype=dtype, device=device).view(-1, 1, 1),
            class_weights=torch.tensor(weights, dtype=dtype, device=device).view(len(losses), classes),
            any_log_cosh=any(log_cosh),
            any_smoothing=any(smoothing),
            any_focal=any(gamma),
            any_class_weights=any(loss.class_weights for loss in losses),
        )


def _shape(loss: Loss) -> tuple[float, float, float, float]:
    """Steepness, low, high and bend of a loss whose derivative is a clamped line; zeros for the others."""
    if loss.name == "mse":
        return 2.0, -math.inf, math.inf, 0.25
    if loss.name == "huber":
        return 1.0, -loss.parameter, loss.parameter, 0.5
    if loss.name == "mae":
        return _STEEP, -1.0, 1.0, 0.0
    if loss.name == "quantile":
        return _STEEP, -loss.parameter, 1.0 - loss.parameter, 0.0
    return 0.0, 0.0, 0.0, 0.0


def regression_loss(
    output: Float[Tensor, "lanes batch outputs"],
    target: Float[Tensor, "lanes batch outputs"],
    weight: Float[Tensor, "lanes batch"],
    coefficients: LossCoefficients,
) -> tuple[Float[Tensor, " lanes"], Float[Tensor, "lanes batch outputs"]]:
    """Each lane's weighted mean loss over rows and outputs, and its derivative with respect to `output`.

    mse: e^2; mae: |e|; huber: e^2/2 within delta, delta (|e| - delta/2) beyond [Huber 1964]; log_cosh: log cosh e;
    quantile: -tau e below the target, (1 - tau) e above it [Koenker & Bassett 1978]; e is output minus target. At e = 0
    mae and quantile have derivative 0. A lane whose weights are all 0 has value and derivative 0.
    """
    error = output - target
    share = _shares(weight, weight.sum(1, keepdim=True) * output.shape[2])
    slope = torch.clamp(error * coefficients.steepness, coefficients.low, coefficients.high)
    derivative = slope * share
    # The weight multiplies before the error does, so that a huge error in a row of weight 0 stays 0.
    value = (derivative * (error - coefficients.bend * slope)).sum((1, 2))
    if coefficients.any_log_cosh:
        # Chosen by number, not by gradient: what the other formula makes of a huge error is dropped here.
        values, derivatives = _log_cosh(error, share)
        value = torch.where(coefficients.is_log_cosh.flatten(), values, value)
        derivative = torch.where(coefficients.is_log_cosh, derivatives, derivative)
    return value, derivative


def _shares(weight: Tensor, total: Tensor) -> Float[Tensor, "lanes batch 1"]:
    """Each row's part of its lane's mean; 0 everywhere in a lane whose weights are all 0."""
    return (weight / total.clamp_min(_TINY)).unsqueeze(2)


def _log_cosh(error: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    # log cosh e = |e| + log(1 + exp(-2 |e|)) - log 2 never leaves the range of floats. Not by torch's softplus, whose
    # last bits depend on where a number lies among all others, and so on how many lanes there are.
    size = error.abs()
    values = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
    return (values * share).sum((1, 2)), error.tanh() * share


def classification_loss(
    logits: Float[Tensor, "lanes batch classes"],
    target: Int[Tensor, "lanes batch"],
    weight: Float[Tensor, "lanes batch"],
    coefficients: LossCoefficients,
) -> tuple[Float[Tensor, " lanes"], Float[Tensor, "lanes batch classes"]]:
    """Each lane's weighted mean loss over rows, and its derivative with respect to `logits`.

    A row's loss is -sum_c t_c (1 - p_c)^gamma log p_c [Lin et al. 2017; gamma 0 is cross-entropy], where
    t_c = class weight of c * ((1 - smoothing) [c is the label] + smoothing / classes). The mean divides by the sum of
    row weight * class weight of the row's label, with smoothing too: `torch.nn.functional.cross_entropy`'s definition.
    """
    log_probability = logits.log_softmax(2)
    if coefficients.any_focal or coefficients.any_class_weights:
        return _modulated(log_probability, target, weight, coefficients)
    share = _shares(weight, weight.sum(1, keepdim=True))
    label = target.unsqueeze(2)
    probability = log_probability.exp()
    if not coefficients.any_smoothing:
        value = -(log_probability.gather(2, label) * share).sum((1, 2))
        return value, (probability * share).scatter_add_(2, label, -share)
    spread = coefficients.smoothing / logits.shape[2]
    on_label = 1 - coefficients.smoothing
    bounded = log_probability.clamp_min(-1 / _TINY)
    loss = on_label * bounded.gather(2, label) + spread * bounded.sum(2, keepdim=True)
    derivative = ((probability - spread) * share).scatter_add_(2, label, -on_label * share)
    return -(loss * share).sum((1, 2)), derivative


def logit_loss(
    logit: Float[Tensor, "lanes batch 1"],
    target: Int[Tensor, "lanes batch"],
    weight: Float[Tensor, "lanes batch"],
    coefficients: LossCoefficients,
) -> tuple[Float[Tensor, " lanes"], Float[Tensor, "lanes batch 1"]]:
    """The same of two classes where a network gives one number, the logit of class 1: that of class 0 is then 0.

    Without class weights and smoothing it is `torch.nn.functional.binary_cross_entropy_with_logits`: with z the logit
    and y the class, log(1 + e^z) - y z.
    """
    value, derivative = classification_loss(
        torch.cat([torch.zeros_like(logit), logit], dim=2), target, weight, coefficients
    )
    return value, derivative[:, :, 1:]


def _modulated(
    log_probability: Tensor, target: Tensor, weight: Tensor, coefficients: LossCoefficients
) -> tuple[Tensor, Tensor]:
    """The same with class weights and the focal factor, for every class at once."""
    classes = log_probability.shape[2]
    label = target.unsqueeze(2)
    label_weight = coefficients.class_weights.gather(1, target)
    share = _shares(weight, (weight * label_weight).sum(1, keepdim=True))
    spread = coefficients.class_weights.unsqueeze(1) * coefficients.smoothing / classes
    aim = spread.expand_as(log_probability).clone()
    aim.scatter_add_(2, label, (1 - coefficients.smoothing) * label_weight.unsqueeze(2))
    aim *= share
    log_probability = log_probability.clamp_min(-1 / _TINY)
    probability = log_probability.exp()
    slope = -aim
    if coefficients.any_focal:
        # 1 - p loses its digits where p is near 1; expm1 does not. The quotient log p / (1 - p) stays near -1 there.
        rest = -torch.expm1(log_probability)
        factor = rest**coefficients.gamma
        slope *= factor * (1 - coefficients.gamma * probability * log_probability / rest.clamp_min(_TINY))
        aim *= factor
    value = -(aim * log_probability).sum((1, 2))
    return value, slope - probability * slope.sum(2, keepdim=True)
