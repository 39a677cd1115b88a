"""Config: one complete training configuration, and its parts; all frozen, all checked when made.

Knows no tables, no tensors and no search: a config is data.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import OptionError, unknown_choice
from trimtab.knobs.domains import Bounds
from trimtab.knobs.effects import parameter_of
from trimtab.knobs.knob import CUSTOM
from trimtab.knobs.table import COURSES, KNOBS, LOSSES, OPTIMIZERS, SCHEDULES, STOPPING_RULES, placed_in
from trimtab.text.wording import listed


def refuse_idle_settings(owner: Any, what: str, knob: str, called: str) -> None:
    """Raise OptionError for a setting of `owner`, the `what`, that is not at its default and has no effect there:
    `called` is the field that holds the option's name, `knob` the one that has these options."""
    name, options = getattr(owner, called), KNOBS[knob].options
    reads = KNOBS[knob].option(name).reads
    for each in dataclasses.fields(owner):
        if each.name != called and each.name not in reads and getattr(owner, each.name) != each.default:
            readers = [option.name for option in options if each.name in option.reads]
            raise OptionError(
                f"{each.name}={getattr(owner, each.name)!r} has no effect on the {what} {name}: it belongs to "
                f"{listed(readers)}. Leave it out, or choose another {what}."
            )


def whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`, and of 63 bits at most; raises OptionError otherwise."""
    is_whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not is_whole or not least <= int(value) < 1 << 63:
        raise OptionError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
    return int(value)


def require(name: str, value: object, low: float, high: float = math.inf, *, low_open: bool = False) -> None:
    """Raise OptionError unless `value` is a finite number in [low, high] (or (low, high])."""
    Bounds(low, high, low_open).require(name, value)


def require_knob(name: str, value: object) -> None:
    """Raise OptionError unless `value` is a number that the knob `name` can be."""
    knob = KNOBS[name]
    assert knob.bounds is not None
    knob.bounds.require(knob.called, value)


@dataclass(frozen=True)
class Loss:
    """The quantity that training minimises.

    `parameter` is what the table of knobs calls its own (huber's delta, in units of the scaled target); those that have
    none ignore it.
    """

    name: str = "mse"
    parameter: float = 1.0
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in (*LOSSES, CUSTOM):
            raise unknown_choice("loss", self.name, LOSSES)
        if own := parameter_of(self.name):
            require_knob(own, self.parameter)
        require_knob("label_smoothing", self.label_smoothing)


@dataclass(frozen=True)
class Optimizer:
    """An update rule and its constants; `learning_rate` is the peak that a schedule scales.

    `momentum` is SGD's momentum, or the decay of the first moment (beta 1); `second_decay` that of the second moment
    (beta 2 of Adam and Lion, alpha of RMSprop). `weight_decay` is decoupled in adamw and lion, an L2 term in the rest.
    """

    name: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    second_decay: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in (*OPTIMIZERS, CUSTOM):
            raise unknown_choice("optimizer", self.name, OPTIMIZERS)
        for field_name, knob in placed_in("optimizer").items():
            if KNOBS[knob].bounds is not None:
                require_knob(knob, getattr(self, field_name))


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over a run, as a factor on the optimizer's rate.

    `warmup` is the share of all steps spent rising (one_cycle, warmup_cosine); `factor` what a step or a plateau
    multiplies the rate by; `every` the share of all steps between two steps; `patience` (epochs) is plateau's.
    """

    name: str = "cosine"
    warmup: float = 0.1
    factor: float = 0.3
    every: float = 0.3
    patience: int = 10

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise unknown_choice("schedule", self.name, SCHEDULES)
        require("warmup", self.warmup, 0, 0.99)
        require("factor", self.factor, 0, 1, low_open=True)
        require("every", self.every, 0, 1, low_open=True)
        require("patience", self.patience, 0)


@dataclass(frozen=True)
class Stopping:
    """When a run ends before its last epoch; the best epoch's weights remain whatever the rule.

    `patience` (epochs without relative improvement of `min_improvement`) belongs to "patience"; `threshold` is alpha
    of GL and PQ, `strip` the length k of PQ and UP in epochs, `patience` also UP's number of strips [Prechelt 1998].
    """

    name: str = "patience"
    patience: int = 20
    min_improvement: float = 0.0
    threshold: float = 5.0
    strip: int = 5

    def __post_init__(self) -> None:
        if self.name not in STOPPING_RULES:
            raise unknown_choice("stopping rule", self.name, STOPPING_RULES)
        require("patience", self.patience, 1)
        require("min_improvement", self.min_improvement, 0, 0.999)
        require("threshold", self.threshold, 0, low_open=True)
        require("strip", self.strip, 1)


@dataclass(frozen=True)
class Group:
    """Parameters with a rate and a decay of their own: those whose names match `pattern` (as file names do: `*.bias`).

    `rate` multiplies the learning rate and `decay` the weight decay; 0 leaves the parameters still, or out of decay.
    A parameter belongs to the first group whose pattern it matches.
    """

    pattern: str
    rate: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        require(f"the rate multiplier of {self.pattern}", self.rate, 0)
        require(f"the decay multiplier of {self.pattern}", self.decay, 0)


class Listed(tuple):
    """A list that cannot be changed, so that what holds one can be compared and looked up."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(list(self))

    @classmethod
    def of(cls, value: Any) -> Any:
        """`value` with every list in it as one of these."""
        if isinstance(value, (list, tuple)):
            return (cls if isinstance(value, (list, cls)) else tuple)(cls.of(each) for each in value)
        return value

    @classmethod
    def undone(cls, value: Any) -> Any:
        """The same with lists in their places again."""
        if isinstance(value, tuple):
            return (list if isinstance(value, cls) else tuple)(cls.undone(each) for each in value)
        return value


@dataclass(frozen=True)
class Config:
    """One complete training configuration.

    `network` holds the arguments of the module factory (for tables: width, depth, activation, ...), sorted by name, so
    that equal structures compare equal; `initial` those that shape only its initial weights, so that runs which differ
    in them can share a population. `batch_size` 0 means all rows (and is what optimizer "gd" always uses).

    `dropout_course` and `decay_course` say how dropout and weight decay fall over the planned steps. `gradient_clip` is
    the largest norm of a gradient (0: as it comes). `averaging` is the decay of an exponential moving average of the
    weights, which is then evaluated and kept instead of the weights themselves (0: none).
    """

    network: tuple[tuple[str, Any], ...] = ()
    initial: tuple[tuple[str, float], ...] = ()
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    stopping: Stopping = field(default_factory=Stopping)
    batch_size: int = 128
    epochs: int = 200
    dropout: float = 0.0
    dropout_course: str = "constant"
    decay_course: str = "constant"
    gradient_clip: float = 0.0
    averaging: float = 0.0
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", tuple(sorted(self.network)))
        object.__setattr__(self, "initial", tuple(sorted(self.initial)))
        for name in ("batch_size", "epochs", "dropout", "gradient_clip", "averaging"):
            require_knob(name, getattr(self, name))
        for course in (self.dropout_course, self.decay_course):
            if course not in COURSES:
                raise unknown_choice("course", course, COURSES)
        if self.optimizer.name == "gd":
            object.__setattr__(self, "batch_size", 0)

    @property
    def module_arguments(self) -> dict[str, Any]:
        """What the module factory is called with."""
        return dict(self.network) | dict(self.initial)

    @property
    def follows_a_plan(self) -> bool:
        """Whether rate, dropout or weight decay follow a course over all planned epochs."""
        courses = (self.dropout_course, self.decay_course)
        return self.schedule.name not in ("constant", "plateau") or any(course != "constant" for course in courses)

    def to_json(self) -> dict:
        """A plain dict that `from_json` turns into an equal config."""
        document = dataclasses.asdict(self) | {"network": dict(self.network), "initial": dict(self.initial)}
        document["loss"]["class_weights"] = list(self.loss.class_weights)
        document["groups"] = list(document["groups"])
        return document

    @classmethod
    def from_json(cls, document: dict) -> "Config":
        values: dict[str, Any] = dict(document)
        loss: dict[str, Any] = {**values["loss"], "class_weights": tuple(values["loss"]["class_weights"])}
        parts = {"optimizer": Optimizer, "schedule": Schedule, "stopping": Stopping}
        values |= {name: part(**values[name]) for name, part in parts.items()} | {"loss": Loss(**loss)}
        values |= {name: tuple((n, Listed.of(v)) for n, v in values[name].items()) for name in ("network", "initial")}
        values["groups"] = tuple(Group(**group) for group in values.get("groups", ()))
        return cls(**values)
