"""OwnOptimizer: an optimizer of the caller's own, made over the parameters of a run.

Knows the arguments that optimizers take; it knows no data and trains nothing.
"""

import inspect
from collections.abc import Mapping

import torch
from torch import nn

from trimtab.errors import OptionError, first_line
from trimtab.knobs.table import placed_in
from trimtab.networks.recipe import OptimizerFactory, Recipe
from trimtab.text.wording import with_article
from trimtab.training.lanes.solo import MakeOptimizer

# Knobs that a factory may take, by the names that torch's own have for them, and those that only trimtab's own update
# rule reads.
_HANDED_ON = ("lr", "weight_decay", "momentum")
_OF_OWN_RULE = {*placed_in("optimizer").values(), "groups", "decay_course"} - {*_HANDED_ON, "optimizer"}


def optimizer_of(recipe: Recipe) -> MakeOptimizer | None:
    """The caller's optimizer over given parameters; it is given rate, decay and momentum where it takes them and they
    were given."""
    factory = recipe.make_optimizer
    if factory is None:
        return None
    arguments = arguments_of(recipe)

    def make(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        try:
            optimizer = factory(parameters, **arguments)
        except Exception as error:
            raise OptionError(f"The optimizer factory raised {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise OptionError(
                f"The optimizer factory gave {with_article(type(optimizer).__name__)}: it must return a "
                "torch.optim.Optimizer."
            )
        own = {id(parameter) for parameter in parameters}
        if not all(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            raise OptionError(
                f"The optimizer factory gave {with_article(type(optimizer).__name__)} over other parameters than "
                "those it was given: each run trains a copy of the network, whose parameters are its first argument."
            )
        return optimizer

    return make


def arguments_of(recipe: Recipe) -> dict[str, float]:
    """What the caller's factory is called with beside the parameters, nothing where there is none; raises OptionError
    for knobs that it does not take."""
    factory = recipe.make_optimizer
    if factory is None:
        return {}
    settings = recipe.config.optimizer
    knobs = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "momentum": settings.momentum}
    taken = _parameters(factory)
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    for name in sorted(recipe.given & {*_HANDED_ON, *_OF_OWN_RULE}):
        if name in _OF_OWN_RULE or not (takes_all or name in taken):
            raise OptionError(
                f"{name} has no effect here: your optimizer takes no argument of that name. Set it where the optimizer "
                f"is made, and leave {name} out."
            )
    return {name: knobs[name] for name in _HANDED_ON if name in recipe.given or _needs(taken, name)}


def _parameters(factory: OptimizerFactory) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a function of C
        return {}


def _needs(taken: Mapping[str, inspect.Parameter], name: str) -> bool:
    """Whether the factory cannot do without `name`."""
    return name in taken and taken[name].default is inspect.Parameter.empty
