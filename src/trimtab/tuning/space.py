"""The knobs: name, meaning in one sentence, what the search tries, and the config that a set of values makes.

Knows no Optuna and no torch, so that the command line can print it at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy

from trimtab.errors import OptionError, unknown_choice
from trimtab.knobs import OFF_AT_0, is_read, refuse_unread
from trimtab.training.config import (
    OPTIMIZERS,
    SCHEDULES,
    Config,
    Loss,
    Optimizer,
    Schedule,
    Stopping,
    Task,
    losses_for,
    require,
)

Value = str | int | float
ACTIVATIONS = ("relu", "silu", "gelu", "mish", "selu", "tanh")
INPUTS = ("scaled", "periodic")


@dataclass(frozen=True)
class Choice:
    """One of a few values; `weights` say how often each is drawn before anything has been learnt."""

    values: tuple[Value, ...]
    weights: tuple[float, ...]

    def draw(self, rng: numpy.random.Generator) -> Value:
        return self.values[rng.choice(len(self.values), p=numpy.array(self.weights) / sum(self.weights))]

    def describe(self) -> str:
        return ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number between `low` and `high`, on a logarithmic scale where `log`; `center` is drawn most before learning."""

    low: float
    high: float
    log: bool = False
    integer: bool = False
    center: float | None = None
    spread: float = 1.0

    def draw(self, rng: numpy.random.Generator) -> Value:
        if self.log:
            center = self.center or math.sqrt(self.low * self.high)
            value = math.exp(rng.normal(math.log(center), self.spread))
        else:
            value = rng.uniform(self.low, self.high)
        value = min(self.high, max(self.low, value))
        return round(value) if self.integer else float(value)

    def describe(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (" (logarithmic)" if self.log else "")


Domain = Choice | Range


@dataclass(frozen=True)
class Knob:
    """One thing that can be turned. `is_structural` knobs decide which runs can share a population."""

    name: str
    meaning: str
    range_text: str
    is_structural: bool = False


KNOBS = (
    Knob("loss",
         "what training minimises; large errors weigh most in mse, least in mae, in between in huber and log_cosh",
         "mse, mae, huber, log_cosh, quantile; cross_entropy, focal; all but quantile are tried"),
    Knob("delta",
         "for huber: the error, in standard deviations of the target, beyond which errors no longer count squared",
         "tried: 0.1 to 3"),
    Knob("tau", "for the quantile loss: which quantile of the target is predicted", "between 0 and 1"),
    Knob("gamma", "for focal loss: how much more the rows count that are still predicted wrongly", "tried: 0.5 to 3"),
    Knob("optimizer",
         "how weights follow the gradient: gd uses all rows at each step, sgd a batch, adam adapts the rate "
         "of each weight",
         ", ".join(OPTIMIZERS) + "; tried: adamw, adam, nesterov, lion, rmsprop"),
    Knob("lr",
         "the learning rate, the length of a step; training diverges if it is too large, and is slow if it "
         "is too small",
         "tried: 1e-05 to 1"),
    Knob("schedule", "how the learning rate changes during training", ", ".join(SCHEDULES)),
    Knob("batch_size",
         "rows in each step: small batches are noisy, large ones steady, but an epoch has fewer of them; 0 is all rows",
         "tried: three sizes that suit the rows, from 32 to 512", is_structural=True),
    Knob("epochs", "the most passes over the training rows", "depends on the rows and the budget"),
    Knob("patience", "epochs without improvement after which a run stops; the weights of its best epoch are kept",
         "a quarter of the epochs, at least 10"),
    Knob("width", "units in each hidden layer", "tried: 32, 64, 128, 256", is_structural=True),
    Knob("depth", "number of hidden layers; 0 is a linear model", "tried: 1 to 4", is_structural=True),
    Knob("activation",
         "the activation function of the hidden units",
         ", ".join(ACTIVATIONS) + "; all but gelu are tried",
         is_structural=True),
    Knob("inputs", "how numbers enter the network: scaled, or with learned sine and cosine features as well (periodic)",
         ", ".join(INPUTS), is_structural=True),
    Knob("sigma", "for periodic inputs: how high their frequencies are at the start", "tried: 0.02 to 1"),
    Knob("dropout",
         "the share of hidden units that is switched off at random in each step, against overfitting",
         "tried: 0 to 0.5"),
    Knob("weight_decay",
         "how strongly the weights are pulled towards zero, against overfitting",
         "tried: 1e-06 to 0.5"),
    Knob("label_smoothing", "the share of each label that is spread over all classes, against overconfidence",
         "tried: 0 to 0.2"),
)  # fmt: skip
KNOB_NAMES = tuple(knob.name for knob in KNOBS)
STRUCTURAL = tuple(knob.name for knob in KNOBS if knob.is_structural)
TYPICAL_RATES = {
    "gd": 0.1, "sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.02,
    "rmsprop": 1e-3, "adam": 3e-3, "adamw": 3e-3, "lion": 3e-4,
}  # fmt: skip
FIRST_GUESSES = (
    {"optimizer": "adamw", "lr": 4e-3, "schedule": "cosine", "width": 128, "depth": 2, "activation": "silu",
     "inputs": "periodic", "sigma": 0.15, "dropout": 0.0, "weight_decay": 0.02, "label_smoothing": 0.0,
     "loss": "mse", "delta": 1.0, "gamma": 1.0},
    {"optimizer": "adamw", "lr": 3e-3, "schedule": "one_cycle", "width": 128, "depth": 3, "activation": "silu",
     "inputs": "periodic", "sigma": 0.3, "dropout": 0.1, "weight_decay": 0.02, "label_smoothing": 0.05,
     "loss": "huber", "delta": 0.8, "gamma": 1.0},
    {"optimizer": "adamw", "lr": 4e-3, "schedule": "cosine", "width": 64, "depth": 2, "activation": "silu",
     "inputs": "scaled", "sigma": 0.1, "dropout": 0.3, "weight_decay": 0.1, "label_smoothing": 0.1,
     "loss": "mse", "delta": 1.0, "gamma": 1.0},
    {"optimizer": "adamw", "lr": 2e-3, "schedule": "cosine", "width": 256, "depth": 3, "activation": "silu",
     "inputs": "periodic", "sigma": 0.1, "dropout": 0.15, "weight_decay": 0.02, "label_smoothing": 0.05,
     "loss": "mse", "delta": 1.0, "gamma": 1.0},
)  # fmt: skip
_WHOLE = {"batch_size": 0, "epochs": 1, "patience": 1, "width": 1, "depth": 0}


def check_fixed(fixed: Mapping[str, Value], task: Task) -> dict[str, Value]:
    """The knobs a user fixed, checked against what exists; raises OptionError with the nearest name or the list."""
    choices = {
        "loss": losses_for(task),
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "activation": ACTIVATIONS,
        "inputs": INPUTS,
    }
    checked: dict[str, Value] = {}
    for name, value in fixed.items():
        if name not in KNOB_NAMES:
            raise unknown_choice("knob", name, KNOB_NAMES)
        if value is None or value == "auto":
            continue
        if name in choices:
            if value not in choices[name]:
                raise unknown_choice(f"{name} for {task}" if name == "loss" else name, str(value), choices[name])
        elif name in _WHOLE:
            if not (isinstance(value, (int, float)) and value == int(value) and value >= _WHOLE[name]):
                raise OptionError(f"{name} is {value!r}: it must be a whole number of at least {_WHOLE[name]}.")
            value = int(value)
        checked[name] = value
    _check_numbers(checked)
    return checked


def _check_numbers(fixed: Mapping[str, Value]) -> None:
    limits = {"lr": (0.0, 1e6, True), "delta": (0.0, 1e6, True), "tau": (0.0, 1.0, True), "gamma": (0.0, 100.0, False),
              "sigma": (0.0, 100.0, True), "dropout": (0.0, 0.95, False), "weight_decay": (0.0, 1e3, False),
              "label_smoothing": (0.0, 0.9, False)}  # fmt: skip
    for name, (low, high, low_open) in limits.items():
        if name in fixed:
            require(f"--{name.replace('_', '-')}", fixed[name], low, high, low_open=low_open)


def knobs_of(config: Config) -> dict[str, Value]:
    """The knobs that training by `config` reads, and what they are: a loss without a delta has none."""
    network, parameter = config.module_arguments, config.loss.parameter
    parts = {"loss": config.loss.name, "optimizer": config.optimizer.name, **network}
    knobs = {
        "loss": config.loss.name, "delta": parameter, "tau": parameter, "gamma": parameter,
        "label_smoothing": config.loss.label_smoothing, "optimizer": config.optimizer.name,
        "lr": config.optimizer.learning_rate, "weight_decay": config.optimizer.weight_decay,
        "schedule": config.schedule.name, "batch_size": config.batch_size, "epochs": config.epochs,
        "patience": config.stopping.patience, "dropout": config.dropout, **network,
    }  # fmt: skip
    return {name: value for name, value in knobs.items() if is_read(name, parts)}


class SearchSpace(Protocol):
    """What a search has to know of its knobs: `domains` are those it turns, `fixed` those that are held still,
    `structural` those that decide which runs may share a population, `guesses` the values to try first."""

    @property
    def domains(self) -> Mapping[str, Domain]: ...

    @property
    def fixed(self) -> Mapping[str, Any]: ...

    @property
    def structural(self) -> tuple[str, ...]: ...

    @property
    def guesses(self) -> Sequence[Mapping[str, Value]]: ...

    @property
    def natural_epochs(self) -> int: ...

    def draw(self, rng: numpy.random.Generator) -> dict[str, Value]: ...

    def config(self, values: Mapping[str, Value], *, may_shorten: bool = False) -> Config: ...


@dataclass(frozen=True)
class Space:
    """The knobs this study turns (`domains`) and those that stand still (`fixed`)."""

    task: Task
    domains: Mapping[str, Domain]
    natural_epochs: int
    fixed: Mapping[str, Value] = field(default_factory=dict)

    @property
    def structural(self) -> tuple[str, ...]:
        return STRUCTURAL

    @property
    def guesses(self) -> Sequence[Mapping[str, Value]]:
        return FIRST_GUESSES

    def draw(self, rng: numpy.random.Generator) -> dict[str, Value]:
        """Values for all knobs before anything is learnt; the rate is drawn around the optimizer's typical one."""
        values = {name: domain.draw(rng) for name, domain in self.domains.items()}
        domain = self.domains.get("lr")
        if isinstance(domain, Range):
            typical = TYPICAL_RATES[str(values.get("optimizer", self.fixed.get("optimizer", "adamw")))]
            rate = typical * math.exp(rng.normal(0.0, 0.8))
            values["lr"] = float(min(domain.high, max(domain.low, rate)))
        return values

    def config(self, values: Mapping[str, Value], *, may_shorten: bool = False) -> Config:
        """The training configuration that `values` and the fixed knobs make.

        `may_shorten`: the epochs in `values` count even where the user fixed more, since the time ends before.
        """
        v = {**values, **self.fixed}
        epochs = int(values["epochs"] if may_shorten else v["epochs"])
        loss = str(v["loss"])
        parameter = {"huber": v.get("delta", 1.0), "quantile": v.get("tau", 0.5), "focal": v.get("gamma", 2.0)}
        # Searched for cross-entropy alone; where somebody holds it still, focal loss has it too.
        smoothed = v if loss == "cross_entropy" else self.fixed
        optimizer = str(v["optimizer"])
        return Config(
            network=tuple((name, v[name]) for name in ("width", "depth", "activation", "inputs")),
            initial=(("sigma", float(v.get("sigma", 0.1))),),
            loss=Loss(
                loss,
                parameter=float(parameter.get(loss, 1.0)),
                label_smoothing=float(smoothed.get("label_smoothing", 0.0)),
            ),
            optimizer=Optimizer(
                optimizer,
                learning_rate=float(v["lr"]),
                second_decay=0.98 if optimizer in ("adam", "adamw") else 0.99,
                weight_decay=float(v["weight_decay"]),
            ),
            schedule=Schedule(str(v["schedule"])),
            stopping=Stopping("patience", patience=int(v.get("patience", max(10, epochs // 4)))),
            batch_size=int(v["batch_size"]),
            epochs=epochs,
            dropout=float(v["dropout"]),
        )


def space_for(task: Task, metric: str, *, rows: int, columns: int, fixed: Mapping[str, Value]) -> Space:
    """The space of a table with `rows` training rows per fold and `columns` encoded number columns."""
    domains: dict[str, Domain] = {}
    if task == "classification":
        domains["loss"] = Choice(("cross_entropy", "focal"), (0.85, 0.15))
        domains["gamma"] = Range(0.5, 3.0)
        domains["label_smoothing"] = Range(0.0, 0.2)
    elif metric == "mae":
        domains["loss"] = Choice(("mae", "huber", "log_cosh", "mse"), (0.4, 0.3, 0.2, 0.1))
        domains["delta"] = Range(0.1, 3.0, log=True)
    else:
        domains["loss"] = Choice(("mse", "huber", "log_cosh", "mae"), (0.55, 0.3, 0.1, 0.05))
        domains["delta"] = Range(0.1, 3.0, log=True, center=0.8)
    domains["optimizer"] = Choice(("adamw", "adam", "nesterov", "lion", "rmsprop"), (0.6, 0.15, 0.1, 0.1, 0.05))
    domains["lr"] = Range(1e-5, 1.0, log=True)
    domains["schedule"] = Choice(
        ("cosine", "one_cycle", "warmup_cosine", "step", "plateau", "constant"), (0.4, 0.3, 0.1, 0.08, 0.07, 0.05)
    )
    domains["batch_size"] = _batch_sizes(rows)
    natural = natural_epochs(rows)
    domains["epochs"] = Range(max(2, natural // 3), natural * 2, log=True, integer=True, center=natural, spread=0.4)
    domains["width"] = Choice((32, 64, 128, 256), (0.1, 0.25, 0.45, 0.2))
    domains["depth"] = Choice((1, 2, 3, 4), (0.2, 0.4, 0.3, 0.1))
    domains["activation"] = Choice(("silu", "relu", "selu", "tanh", "mish"), (0.4, 0.3, 0.13, 0.1, 0.07))
    domains["inputs"] = Choice(INPUTS, (0.35, 0.65) if columns <= 200 else (0.9, 0.1))
    domains["sigma"] = Range(0.02, 1.0, log=True, center=0.15, spread=0.7)
    domains["dropout"] = Range(0.0, 0.5)
    domains["weight_decay"] = Range(1e-6, 0.5, log=True, center=0.01, spread=2.0)
    free = {name: domain for name, domain in domains.items() if name not in fixed}
    refuse_idle(fixed, {name: domain.values for name, domain in free.items() if isinstance(domain, Choice)})
    return Space(task, free, natural, dict(fixed))


def refuse_idle(fixed: Mapping[str, Value], tried: Mapping[str, Sequence[Value]]) -> None:
    """Raise OptionError for a knob held still that has no effect beside the others: `tried` are the values of those
    that are turned."""
    given = [name for name, value in fixed.items() if not (name in OFF_AT_0 and value == 0)]
    refuse_unread(given, {**tried, **{name: (value,) for name, value in fixed.items()}})


def natural_epochs(rows: int) -> int:
    """Epochs that suit `rows` training rows: 200 at 1,000 rows, fewer with more, as each then holds more steps."""
    return int(min(250, max(12, 200 * (1_000 / rows) ** 0.5)))


def _batch_sizes(rows: int) -> Choice:
    if rows <= 2_000:
        return Choice((32, 64, 128), (0.15, 0.4, 0.45))
    if rows <= 12_000:
        return Choice((64, 128, 256), (0.3, 0.4, 0.3))
    return Choice((128, 256, 512), (0.2, 0.5, 0.3))
