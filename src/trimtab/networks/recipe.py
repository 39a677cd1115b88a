"""Recipe: the training knobs as they are typed, made into a Config.

Knows names, ranges and what goes together; it knows no data and no networks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from trimtab.errors import OptionError, unknown_choice, unknown_knob
from trimtab.knobs.effects import is_read, parameter_of, refuse_unread
from trimtab.knobs.knob import CUSTOM, Task
from trimtab.knobs.table import (
    KNOBS,
    LOGIT_LOSSES,
    LOSS_ALIASES,
    LOSSES,
    NETWORK_KNOBS,
    OPTIMIZERS,
    SCHEDULES,
    fields_of,
    losses_for,
)
from trimtab.networks.networks import Networks
from trimtab.text.wording import counted, with_article
from trimtab.training.config import (
    Config,
    Group,
    Listed,
    Loss,
    Optimizer,
    Schedule,
    Stopping,
    refuse_idle_settings,
)
from trimtab.training.programs.dropout import DROPOUT_KINDS

OptimizerFactory = Callable[..., torch.optim.Optimizer]
CustomFunction = Callable[[Any, Any], torch.Tensor]

# Every knob of a training run by the name it is typed with.
DEFAULTS: dict[str, Any] = {name: KNOBS[name].default for name in NETWORK_KNOBS}
# Those that change what a loss is, so that losses cannot be compared by their values.
LOSS_KNOBS = frozenset(name for name in NETWORK_KNOBS if KNOBS[name].place.startswith("loss."))


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation score has not improved for `patience` epochs; the best epoch's weights remain.

    `min_improvement` is relative to the best score so far. `rule` may be one of Prechelt's instead of "patience": "gl"
    and "pq" stop at `threshold`, "up" after `patience` strips of `strip` epochs in which the score rose [Prechelt
    1998].
    """

    patience: int = 20
    min_improvement: float = 0.0
    rule: str = "patience"
    threshold: float = 5.0
    strip: int = 5

    @property
    def stopping(self) -> Stopping:
        return Stopping(self.rule, self.patience, self.min_improvement, self.threshold, self.strip)


@dataclass(frozen=True)
class Recipe:
    """The knobs of one run, checked; `given` are those that the caller named.

    `function` is a loss of the caller's own and `make_optimizer` an optimizer factory, None where names were given.
    """

    config: Config
    given: frozenset[str]
    function: CustomFunction | None
    make_optimizer: OptimizerFactory | None

    @property
    def has_own_dropout(self) -> bool:
        """Whether dropout layers keep their own rates."""
        return "dropout" not in self.given

    @property
    def asked_rows(self) -> int | None:
        """Rows of a step that somebody asked for, 0 for all; None where nobody did."""
        is_asked = "batch_size" in self.given or self.config.optimizer.name == "gd"
        return self.config.batch_size if is_asked else None

    def for_task(self, task: Task, *, is_of_logit: bool = False) -> "Recipe":
        """With the task's loss where none was named (for two classes told by one logit, if it `is_of_logit`); raises
        OptionError for a loss of the other task."""
        if self.function is not None:
            return self
        if "loss" not in self.given:
            name = "mse" if task == "regression" else "bce" if is_of_logit else "cross_entropy"
            return replace(self, config=replace(self.config, loss=replace(self.config.loss, name=name)))
        fitting = losses_for(task) + (LOGIT_LOSSES if task == "classification" else ())
        if self.config.loss.name not in fitting:
            raise unknown_choice(f"loss for {task}", self.config.loss.name, fitting)
        return self


def recipe(knobs: Mapping[str, Any], network: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of `knobs` (others at their defaults) for a network with these arguments.

    Raises OptionError for an unknown knob, naming the nearest one, and for a value that cannot be.
    """
    for name in knobs:
        if name not in DEFAULTS:
            raise unknown_knob(name, NETWORK_KNOBS)
    given = frozenset(name for name, value in knobs.items() if value is not None)
    v = {**DEFAULTS, **{name: plain(value) for name, value in knobs.items() if value is not None}}
    v |= {name: _number(name, v[name]) for name in NETWORK_KNOBS if KNOBS[name].bounds and v[name] is not None}
    if v["optimizer"] == "gd" and not KNOBS["batch_size"].asks_for_something(v["batch_size"]):
        given -= {"batch_size"}  # all rows in each step are what gd does anyway
    at_hand = {"dropout": v["dropout"] or 0.0, "groups": _groups(v["groups"])}
    config = Config(
        network=tuple((network or {}).items()),
        loss=_loss(v, given),
        optimizer=_optimizer(v, given),
        schedule=_schedule(v["schedule"]),
        stopping=_stopping(v["stop"]),
        **fields_of("", v | at_hand),
    )
    function, make_optimizer = (v[name] if callable(v[name]) else None for name in ("loss", "optimizer"))
    if function is not None:
        _refuse_loss_knobs(given)
    return Recipe(config, given, function, make_optimizer)  # type: ignore[arg-type]


def _number(name: str, value: Any) -> float:
    """A number of the kind that the knob takes; its bounds are checked where the config is made."""
    bounds = KNOBS[name].bounds
    if bounds is not None and bounds.is_whole:
        return bounds.whole(name, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionError(f"{name} is {value!r}: it must be a number.")
    return value


def _unchanging(value: Any) -> Any:
    """A knob's value as Python's own; a list in a form that stays what it is, since runs are known by their knobs."""
    return Listed.of(plain(value))


def split_knobs(networks: Networks, knobs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The knobs that the factory of networks takes, and those that belong to training; raises UnknownKnobError."""
    network = {name: _unchanging(value) for name, value in knobs.items() if name in networks.knobs}
    training = {name: value for name, value in knobs.items() if name not in network}
    if networks.takes_any_knob:
        network |= {n: _unchanging(training.pop(n)) for n in list(training) if n not in DEFAULTS}
    unknown = next((name for name in training if name not in DEFAULTS), None)
    if unknown is not None:
        raise unknown_knob(unknown, (*networks.knobs, *NETWORK_KNOBS))
    for name, value in network.items():
        try:
            hash(value)
        except TypeError:
            raise OptionError(
                f"{name} is {value!r}: what the function of networks takes must be a number, a name, a list, a tuple "
                "or something else that cannot be changed."
            ) from None
    return network, training


def check_against(wanted: Recipe, module: nn.Module, *, classes: int) -> None:
    """Raise OptionError for knobs that this module, with so many classes (0: numbers are predicted), cannot follow."""
    config, kind = wanted.config, type(module).__name__
    if not wanted.has_own_dropout and not any(isinstance(m, DROPOUT_KINDS) for m in module.modules()):
        raise OptionError(
            f"dropout is {config.dropout:g}, and {kind} has no nn.Dropout layer: add one, or leave dropout out."
        )
    loss = config.loss
    if not classes and (loss.class_weights or loss.label_smoothing):
        name = "class_weights" if loss.class_weights else "label_smoothing"
        raise OptionError(f"{name} belongs to losses of classes, and numbers are predicted: leave it out.")
    if loss.class_weights and len(loss.class_weights) != classes:
        raise OptionError(
            f"class_weights has {counted(len(loss.class_weights), 'number')}, and there are {classes} classes."
        )
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    idle = next((g for g in config.groups if not any(fnmatchcase(n, g.pattern) for n in names)), None)
    if idle is not None:
        known = ", ".join(names[:20])
        raise OptionError(f'groups: no parameter of {kind} is called like "{idle.pattern}". There are: {known}.')


def refuse_idle(recipes: Sequence[Recipe]) -> None:
    """Raise OptionError for a knob that somebody gave although none of these recipes reads it."""
    given = frozenset.union(*(each.given for each in recipes))
    configs = [each.config for each in recipes]
    if not any(config.loss.label_smoothing for config in configs):
        given -= {"label_smoothing"}
    # Without a loss that is named, it follows the task: what neither task's reads is read by none.
    losses = [(each.config.loss.name,) if "loss" in each.given else ("mse", "cross_entropy") for each in recipes]
    refuse_unread(given, {
        "loss": list(dict.fromkeys(name for names in losses for name in names)),
        "optimizer": list(dict.fromkeys(config.optimizer.name for config in configs)),
    })  # fmt: skip
    if "decay_course" in given and not any(config.optimizer.weight_decay for config in configs):
        raise OptionError(
            "decay_course has no effect: it says how weight decay falls, and there is none. Leave it out, or give "
            "weight_decay a value above 0."
        )
    if "dropout_course" in given and not any(config.dropout for config in configs):
        raise OptionError(
            "dropout_course has no effect: it says how the dropout that was given falls, and none was given. Leave it "
            "out, or give dropout a value above 0."
        )
    _refuse_idle_groups(configs)


def _refuse_idle_groups(configs: Sequence[Config]) -> None:
    """A group without effect of its own may keep its parameters from those behind it: all of them have to be idle."""
    groups = [group for config in configs for group in config.groups]
    decays = any(config.optimizer.weight_decay for config in configs)
    asked = next((group for group in groups if group.decay != 1), None)
    if asked is not None and not decays and all(group.rate == 1 for group in groups):
        raise OptionError(
            f'The group "{asked.pattern}" has no effect: its decay multiplies the weight decay, and there is none. '
            "Leave it out, or give it another rate, or a weight_decay above 0."
        )


def plain(value: Any) -> Any:
    """A numpy or torch number as Python's own."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value


def _loss(v: Mapping[str, Any], given: frozenset[str]) -> Loss:
    name = v["loss"]
    if isinstance(name, type):
        raise OptionError(f"loss is the class {name.__name__}: give what it makes, {name.__name__}(), or a function.")
    if callable(name):
        return Loss(CUSTOM)
    weights = _class_weights(v["class_weights"])
    if name is None:
        return Loss(label_smoothing=v["label_smoothing"], class_weights=weights)
    name = LOSS_ALIASES.get(str(name), str(name))
    if name not in LOSSES:
        raise unknown_choice("loss", name, LOSSES)
    own = parameter_of(name)
    parameter = float(v[own]) if own else 1.0
    if v["label_smoothing"] and not is_read("label_smoothing", {"loss": name}):
        raise OptionError(f"label_smoothing belongs to losses of classes, and the loss is {name}: leave it out.")
    return Loss(name, parameter, v["label_smoothing"], weights)


def _class_weights(given: Any) -> tuple[float, ...]:
    try:
        weights = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        weights = (math.nan,)
    if not all(0 < weight < math.inf for weight in weights):
        raise OptionError(f"class_weights is {given!r}: give one number above 0 for each class.")
    return weights


def _refuse_loss_knobs(given: frozenset[str]) -> None:
    useless = sorted(given & LOSS_KNOBS - {"loss"})
    if useless:
        raise OptionError(
            f"{useless[0]} belongs to trimtab's own losses: leave it out where the loss is a function of your own."
        )


def _optimizer(v: Mapping[str, Any], given: frozenset[str]) -> Optimizer:
    name = v["optimizer"]
    if isinstance(name, torch.optim.Optimizer):
        raise OptionError(
            f"optimizer is {with_article(type(name).__name__)} that was made already: give its class, or a function of "
            "the parameters, because each run trains its own copy of the network."
        )
    if callable(name):
        name = CUSTOM
    elif not isinstance(name, str) or name not in OPTIMIZERS:
        raise unknown_choice("optimizer", str(name), OPTIMIZERS)
    defaults = () if name == CUSTOM else KNOBS["optimizer"].option(name).defaults
    numbers = {**v, "optimizer": name, **{knob: value for knob, value in defaults if knob not in given}}
    return Optimizer(**fields_of("optimizer", numbers))


def _schedule(given: Any) -> Schedule:
    if isinstance(given, Schedule):
        refuse_idle_settings(given, "schedule", "schedule", "name")
        return given
    if not isinstance(given, str):
        raise OptionError(f"schedule is {given!r}: give a name ({', '.join(SCHEDULES)}) or a tt.Schedule.")
    return Schedule(given)


def _stopping(given: Any) -> Stopping:
    if given is None or given == "none":
        return Stopping("none")
    if isinstance(given, EarlyStopping):
        stopping = given.stopping
        refuse_idle_settings(given, "stopping rule", "stop", "rule")
        return stopping
    if isinstance(given, Stopping):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return EarlyStopping(patience=given).stopping
    raise OptionError(f"stop is {given!r}: give None, a patience in epochs, or tt.EarlyStopping(patience=20).")


def _groups(given: Any) -> tuple[Group, ...]:
    groups = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for group in groups:
        if not isinstance(group, Group):
            raise OptionError(f'groups holds {group!r}: give tt.Group("*.bias", rate=1.0, decay=0.0) and the like.')
    return groups
