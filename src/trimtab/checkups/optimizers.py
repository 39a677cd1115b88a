"""Optimizers: what one of the caller's own does, where trimtab has a rule that takes the same steps, and its rate.

Runs with trimtab's own rules train side by side, which with the caller's they cannot. Knows recipes; it trains nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from trimtab.errors import OptionError
from trimtab.knobs.table import OPTIMIZERS
from trimtab.networks.networks import copied
from trimtab.networks.own_optimizer import arguments_of, optimizer_of
from trimtab.networks.recipe import Recipe, recipe
from trimtab.training.config import Optimizer

# What a group of one of torch's own optimizers may have otherwise than by default, and still be a rule of trimtab's.
_KNOWN, _OF_SGD = {"lr", "weight_decay"}, {"momentum", "nesterov"}


def with_own_rule(wanted: Recipe, module: nn.Module) -> Recipe:
    """The recipe with trimtab's rule in the place of an optimizer of torch that does the same to `module`; else with
    the rate that its optimizer begins with, where that can be given."""
    make = optimizer_of(wanted)
    if make is None:
        return wanted
    made = make([p for p in copied(module).parameters() if p.requires_grad])
    name, group = type(made).__name__.lower(), made.param_groups[0]
    if type(made) is not getattr(torch.optim, type(made).__name__, None) or name not in OPTIMIZERS:
        return _with_its_rate(wanted, group)
    kind: Any = type(made)
    usual = kind([nn.Parameter(torch.zeros(1))]).param_groups[0]
    differing = {key for key in usual if key != "params" and group.get(key) != usual[key]}
    known = _KNOWN | (_OF_SGD if name == "sgd" else set())
    if len(made.param_groups) > 1 or not differing <= known or isinstance(group["lr"], torch.Tensor):
        return _with_its_rate(wanted, group)
    return replace(wanted, config=replace(wanted.config, optimizer=_rule(name, group)), make_optimizer=None)


def _rule(name: str, group: Mapping[str, Any]) -> Optimizer:
    momentum = group.get("momentum", 0.0) if name == "sgd" else 0.0
    if momentum:
        name = "nesterov" if group["nesterov"] else "momentum"
    knobs = {"optimizer": name, "lr": group["lr"], "weight_decay": group["weight_decay"]}
    return recipe(knobs | ({"momentum": momentum} if momentum else {})).config.optimizer


def _with_its_rate(wanted: Recipe, group: Mapping[str, Any]) -> Recipe:
    named = replace(wanted, given=wanted.given | {"lr"})
    rate = group.get("lr")
    if "lr" in wanted.given or not isinstance(rate, (int, float)):
        return wanted
    try:
        arguments_of(named)
    except OptionError:
        return wanted
    optimizer = replace(wanted.config.optimizer, learning_rate=float(rate))
    return replace(named, config=replace(named.config, optimizer=optimizer))


def rate_of(wanted: Recipe) -> float | None:
    """The learning rate; None where only an optimizer of the caller's own knows it."""
    is_known = wanted.make_optimizer is None or "lr" in wanted.given
    return wanted.config.optimizer.learning_rate if is_known else None
