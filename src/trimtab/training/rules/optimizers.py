"""Optimizers: what each of them does with a gradient g, told in the terms of the one update that all lanes share.

An optimizer is a function of a few lines: its formula, where it comes from, and its terms. Knows no tensors; how the
terms of many lanes make one step is told in `update`. Parity with `torch.optim` is a test.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from trimtab.knobs.knob import CUSTOM
from trimtab.training.config import Optimizer


@dataclass(frozen=True)
class Terms:
    """What tells one optimizer from another; the defaults leave a term out, exactly.

    `first_decay` b1 and `second_decay` b2 are those of the running means of g and of g^2 (None: no second mean, and no
    division); the direction is the first mean, or, with a `look_decay`, (1 - look_decay) g + look_decay * that mean as
    it was before g. `gain` multiplies the learning rate and `epsilon` is added to the root of the second mean.
    `corrects_bias`: both means are divided by 1 - b^t after t steps; `sums_squares`: the second mean stands for the sum
    of all squares; `takes_sign`: only the direction's sign counts. `coupled_decay` enters the gradient, as an L2 term
    does; `decoupled_decay` shrinks the weights themselves.
    """

    first_decay: float = 0.0
    look_decay: float | None = None
    second_decay: float | None = None
    epsilon: float = 1.0
    gain: float = 1.0
    coupled_decay: float = 0.0
    decoupled_decay: float = 0.0
    corrects_bias: bool = False
    sums_squares: bool = False
    takes_sign: bool = False

    @property
    def averages_gradients(self) -> bool:
        """Whether the first mean is one of the gradients that the direction is made of, which tells their noise."""
        return self.first_decay > 0 and not self.takes_sign


def terms_of(optimizer: Optimizer) -> Terms:
    """The terms of one lane's optimizer."""
    return _OPTIMIZERS[optimizer.name](optimizer)


def _sgd(o: Optimizer) -> Terms:
    """p -= lr * g: stochastic where g is that of a batch, gradient descent ("gd") where it is that of all rows."""
    return Terms(coupled_decay=o.weight_decay)


def _momentum(o: Optimizer) -> Terms:
    """m = b m + g; p -= lr * m, as torch has it [Polyak 1964]: the running mean is (1 - b) m."""
    return replace(_sgd(o), first_decay=o.momentum, gain=1 / (1 - o.momentum))


def _nesterov(o: Optimizer) -> Terms:
    """p -= lr * (g + b m), with the m that g has entered [Sutskever et al. 2013]: of the mean before g, b^2 is left."""
    return replace(_momentum(o), look_decay=o.momentum**2)


def _adagrad(o: Optimizer) -> Terms:
    """p -= lr * g / (sqrt(sum of all g^2) + epsilon) [Duchi et al. 2011]."""
    return Terms(second_decay=o.second_decay, epsilon=o.epsilon, coupled_decay=o.weight_decay, sums_squares=True)


def _rmsprop(o: Optimizer) -> Terms:
    """v = b2 v + (1 - b2) g^2; p -= lr * g / (sqrt(v) + epsilon) [Tieleman & Hinton 2012]."""
    return Terms(second_decay=o.second_decay, epsilon=o.epsilon, coupled_decay=o.weight_decay)


def _adam(o: Optimizer) -> Terms:
    """p -= lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon), with the running means m of g and v of g^2
    [Kingma & Ba 2015]."""
    return replace(_rmsprop(o), first_decay=o.momentum, corrects_bias=True)


def _adamw(o: Optimizer) -> Terms:
    """Adam, whose decay shrinks the weights instead of entering the gradient [Loshchilov & Hutter 2019]."""
    return replace(_adam(o), coupled_decay=0.0, decoupled_decay=o.weight_decay)


def _lion(o: Optimizer) -> Terms:
    """p -= lr * sign(b1 m + (1 - b1) g), and then m = b2 m + (1 - b2) g; decay as AdamW's [Chen et al. 2023]."""
    return Terms(first_decay=o.second_decay, look_decay=o.momentum, takes_sign=True, decoupled_decay=o.weight_decay)


_OPTIMIZERS: dict[str, Callable[[Optimizer], Terms]] = {
    "gd": _sgd,
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
    # One of the caller's own moves the weights itself: none of the terms is read.
    CUSTOM: _sgd,
}
