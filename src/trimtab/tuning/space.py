"""The space of a search: which knobs it turns, which stand still, and the config that values of them make.

What a knob is, and what is tried of it, stands in the table of knobs. Knows no Optuna and no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol

import numpy

from trimtab.errors import unknown_choice
from trimtab.knobs.domains import Choice, Domain, Range, Value, held
from trimtab.knobs.effects import asked_for, flag, is_read, parameter_of, refuse_unread
from trimtab.knobs.knob import Case, Task
from trimtab.knobs.table import KNOBS, TABLE_KNOBS, fields_of, placed_in
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.tuning.portfolio import first_guesses

# The standard deviation of the logarithm of rates around the optimizer's typical one (a guess): two in three lie within
# a factor of 2.2.
RATE_SPREAD = 0.8
# A network of the middle, from which sweeps start.
MIDDLE: Mapping[str, Value] = {
    "optimizer": "adamw", "lr": 4e-3, "schedule": "cosine", "width": 128, "depth": 2, "activation": "silu",
    "inputs": "periodic", "sigma": 0.15, "dropout": 0.0, "weight_decay": 0.02, "label_smoothing": 0.0,
    "loss": "mse", "delta": 1.0, "gamma": 1.0,
}  # fmt: skip


def check_fixed(fixed: Mapping[str, Value], task: Task) -> dict[str, Value]:
    """The knobs a user fixed, checked against what exists; raises OptionError with the nearest name or the list."""
    checked: dict[str, Value] = {}
    for name, value in fixed.items():
        if name not in TABLE_KNOBS:
            raise unknown_choice("knob", name, TABLE_KNOBS)
        if value is not None and value != "auto":
            checked[name] = _checked(name, value, task)
    return checked


def _checked(name: str, value: Value, task: Task) -> Value:
    knob = KNOBS[name]
    if knob.bounds is not None and knob.bounds.is_whole:
        return knob.bounds.whole(name, value)
    if knob.bounds is not None:
        knob.bounds.require(flag(name), value)
    elif value not in knob.names_for(task):
        is_by_task = knob.names_for(task) != knob.names
        raise unknown_choice(f"{name} for {task}" if is_by_task else name, str(value), knob.names_for(task))
    return value


def knobs_of(config: Config) -> dict[str, Value]:
    """The knobs that training by `config` reads, and what they are: a loss without a delta has none."""
    network = config.module_arguments
    parts = {"loss": config.loss.name, "optimizer": config.optimizer.name, **network}
    places = {name: KNOBS[name].place for name in TABLE_KNOBS if name not in placed_in("network").values()}
    knobs = {name: attrgetter(place)(config) for name, place in places.items()} | network
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


def is_guess(space: SearchSpace, values: Mapping[str, Value]) -> bool:
    """Whether these are what `space` tries first, as far as its knobs are turned and hold it."""
    return any(held(guess, space.domains).items() <= values.items() for guess in space.guesses)


@dataclass(frozen=True)
class Space:
    """The knobs this study turns (`domains`) and those that stand still (`fixed`)."""

    task: Task
    domains: Mapping[str, Domain]
    natural_epochs: int
    fixed: Mapping[str, Value] = field(default_factory=dict)
    guesses: Sequence[Mapping[str, Value]] = ()

    @property
    def structural(self) -> tuple[str, ...]:
        return tuple(name for name in TABLE_KNOBS if KNOBS[name].is_structural)

    def draw(self, rng: numpy.random.Generator) -> dict[str, Value]:
        """Values for all knobs before anything is learnt; the rate is drawn around the optimizer's typical one."""
        values = {name: domain.draw(rng) for name, domain in self.domains.items()}
        domain = self.domains.get("lr")
        if isinstance(domain, Range):
            optimizer = str(values.get("optimizer", self.fixed.get("optimizer")))
            rate = constants_of(optimizer)["lr"] * math.exp(rng.normal(0.0, RATE_SPREAD))
            values["lr"] = float(min(domain.high, max(domain.low, rate)))
        return values

    def config(self, values: Mapping[str, Value], *, may_shorten: bool = False) -> Config:
        """The training configuration that `values` and the fixed knobs make.

        `may_shorten`: the epochs in `values` count even where the user fixed more, since the time ends before.
        """
        v: dict[str, Any] = {**values, **self.fixed}
        epochs = int(values["epochs"] if may_shorten else v["epochs"])
        loss, optimizer = str(v["loss"]), str(v["optimizer"])
        constants = constants_of(optimizer) | {name: float(v[name]) for name in ("lr", "weight_decay")}
        return Config(
            network=tuple((name, v[name]) for name in placed_in("network") if name != "sigma"),
            initial=(("sigma", float(v.get("sigma", KNOBS["sigma"].default))),),
            loss=self._loss(loss, v),
            optimizer=Optimizer(optimizer, **fields_of("optimizer", constants)),
            schedule=Schedule(str(v["schedule"])),
            stopping=Stopping("patience", patience=int(v.get("patience", usual_patience(epochs)))),
            batch_size=int(v["batch_size"]),
            epochs=epochs,
            dropout=float(v["dropout"]),
        )

    def _loss(self, loss: str, values: Mapping[str, Any]) -> Loss:
        parameter = parameter_of(loss)
        # Searched for cross-entropy alone; where somebody holds it still, focal loss has it too.
        smoothed = values if loss == "cross_entropy" else self.fixed
        return Loss(
            loss,
            parameter=1.0 if parameter is None else float(values.get(parameter, KNOBS[parameter].default)),
            label_smoothing=float(smoothed.get("label_smoothing", KNOBS["label_smoothing"].default)),
        )


def constants_of(optimizer: str) -> dict[str, float]:
    """The numbers of an optimizer as they stand in networks for tables, `lr` being the rate that is typical of it."""
    return defaults_of(optimizer) | dict(KNOBS["optimizer"].option(optimizer).in_tables)


def defaults_of(optimizer: str) -> dict[str, float]:
    """The same as they stand elsewhere: torch's own."""
    numbers = {name: KNOBS[name].default for name in placed_in("optimizer").values() if KNOBS[name].bounds is not None}
    return numbers | dict(KNOBS["optimizer"].option(optimizer).defaults)


def usual_patience(epochs: int) -> int:
    """Epochs without improvement after which a run of so many ends (a guess): what comes later seldom makes up."""
    return max(10, epochs // 4)


def space_for(task: Task, metric: str, *, rows: int, columns: int, fixed: Mapping[str, Value]) -> Space:
    """The space of a table with `rows` training rows per fold and `columns` encoded number columns."""
    case = Case(task, metric, rows, columns, natural_epochs(rows))
    domains = {name: KNOBS[name].domain(case) for name in TABLE_KNOBS}
    free = {name: domain for name, domain in domains.items() if domain is not None and name not in fixed}
    refuse_idle(fixed, {name: domain.values for name, domain in free.items() if isinstance(domain, Choice)})
    return Space(task, free, case.epochs, dict(fixed), first_guesses(case))


def refuse_idle(fixed: Mapping[str, Value], tried: Mapping[str, Sequence[Value]]) -> None:
    """Raise OptionError for a knob held still that has no effect beside the others: `tried` are the values of those
    that are turned."""
    refuse_unread(asked_for(fixed), {**tried, **{name: (value,) for name, value in fixed.items()}})


def natural_epochs(rows: int) -> int:
    """Epochs that suit `rows` training rows: 200 at 1,000 rows, fewer with more, as each then holds more steps.

    A guess: on small tables near the 256 epochs of RealMLP [Holzmüller et al. 2024], and from 280,000 rows on the few
    that minutes allow.
    """
    return int(min(250, max(12, 200 * (1_000 / rows) ** 0.5)))
