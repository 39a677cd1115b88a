"""Alternatives: the configs that differ from a winner in exactly one knob, the most telling first.

Knows configs and the table of knobs; it trains nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trimtab.errors import TrimtabError
from trimtab.findings.worth.account import (
    AT_WINNERS_RATE,
    ENSEMBLE,
    HALF_OF_THE_ROWS,
    PREPARATION,
    QUARTER_OF_THE_ROWS,
    ROWS,
)
from trimtab.knobs.domains import Choice, Domain
from trimtab.knobs.effects import is_read, parameter_of
from trimtab.knobs.knob import CUSTOM, Task
from trimtab.knobs.table import KNOBS, NETWORK_KNOBS, OPTIMIZERS, SCHEDULES, fields_of, losses_for, placed_in
from trimtab.training.config import Config, Loss, Optimizer, Schedule

# Of the rows that train, and their shares of them.
Rows = Literal["all", "half", "quarter"]
SHARES: dict[Rows, float] = {"all": 1.0, "half": 0.5, "quarter": 0.25}
# What a rate is multiplied by, the most telling first.
RATES = (3.0, 1 / 3, 10.0, 0.1)
EPOCHS, BATCHES, WIDTHS, DECAYS = (0.5, 0.25, 2.0), (0.25, 4.0), (0.5, 2.0), (0.0, 10.0, 0.1)
# The values of losses' own parameters that are tried.
PARAMETERS = {"delta": (1.0, 0.3, 3.0), "gamma": (2.0, 1.0)}
# Of another optimizer around its typical rate, the best is taken.
OWN_RATES = (0.1, 1 / 3, 1.0, 3.0, 10.0)
# What is tried where a winner has none of it (guesses: usual strengths).
SOME_DROPOUT, SOME_DECAY, SOME_SMOOTHING = 0.2, 0.01, 0.1
MOST_DROPOUT = 0.9
# In which order knobs are looked at: one value of each, then the next values. Fewer rows cost less than anything else
# and share the winner's compiled step.
KNOBS_IN_ORDER = (
    "loss", "optimizer", "lr", "epochs", "schedule", ROWS, "width", "depth", "batch_size", "inputs", PREPARATION,
    "activation", "dropout", "weight_decay", "label_smoothing", AT_WINNERS_RATE, ENSEMBLE,
)  # fmt: skip


@dataclass(frozen=True)
class Alternative:
    """A config that differs from the winner's in one `knob`, and what it is there.

    `rows`: whether it trains on all rows of a fold or on some of them; `preparation` is what is done otherwise with
    their cells, "" where nothing is. `rates` are learning rates of which the best is to be found first, in the training
    parts: another optimizer would be judged by a rate that is not its own. `given` are the knobs where the value is not
    simply that of one knob.
    """

    knob: str
    value: Any
    config: Config
    rows: Rows = "all"
    preparation: str = ""
    rates: tuple[float, ...] = ()
    place: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def change(self) -> Mapping[str, Any]:
        """The knobs as they would be given to train so; nothing where that is no matter of knobs."""
        if self.given or self.rows != "all" or self.preparation:
            return self.given
        knob = "optimizer" if self.knob == AT_WINNERS_RATE else self.knob
        return {knob: self.value}

    @property
    def name(self) -> str:
        """What it is known by in a study."""
        return f"{self.knob}={self.value}"


@dataclass(frozen=True)
class Variable:
    """What can be changed about a winner beyond the knobs that every training has.

    `constants` are the numbers that an optimizer has here, `lr` being its typical rate; `domains` the values that knobs
    of the caller's own networks may have; `has_dropout`: whether the rate of dropout is a knob; `has_losses`: whether
    the loss is one of the table of knobs; `is_table`: whether the network is the one of tables; `preparations`: in
    which other ways its rows can be prepared.
    """

    task: Task
    constants: Callable[[str], Mapping[str, float]]
    is_table: bool
    domains: Mapping[str, Domain] = field(default_factory=dict)
    has_dropout: bool = True
    has_losses: bool = True
    losses: tuple[str, ...] = ()
    preparations: tuple[str, ...] = ()


def alternatives_of(winner: Config, variable: Variable, only: Collection[str] = ()) -> list[Alternative]:
    """All there are, or those of the knobs `only`, in the order in which they are to be trained: one of each first."""
    found = [
        # Half of the rows and a quarter are one learning curve: neither says much alone.
        replace(each, place=0 if knob == ROWS else place)
        for knob in _BY_KNOB for place, each in enumerate(_BY_KNOB[knob](winner, variable))
    ]  # fmt: skip
    found += _of_own_networks(winner, variable)
    asked = {*only, AT_WINNERS_RATE} if "optimizer" in only else {*only}
    chosen = [each for each in found if not asked or each.knob in asked]
    order = {knob: place for place, knob in enumerate(KNOBS_IN_ORDER)}
    return sorted(chosen, key=lambda each: (each.place, order.get(each.knob, order["width"])))


def with_rate(alternative: Alternative, rate: float) -> Alternative:
    """The same with the learning rate that was found for it."""
    return replace(alternative, config=_with_knob(alternative.config, "lr", rate), rates=())


def with_knobs(config: Config, change: Mapping[str, Any]) -> Config | None:
    """The config with other values of knobs; None where one of them is none of a config's, or cannot be."""
    try:
        for name, value in change.items():
            config = _with_knob(config, name, value)
    except (KeyError, TypeError, TrimtabError):
        return None
    return config


def _with_knob(config: Config, name: str, value: Any) -> Config:
    """The config with another value of a knob, which may be one of the caller's own networks."""
    network = dict(config.network)
    if name in network:
        return replace(config, network=tuple((network | {name: value}).items()))
    part, _, field = KNOBS[name].place.rpartition(".")
    change: dict[str, Any] = {field: value}
    if part:
        change = {part: replace(getattr(config, part), **change)}
    return replace(config, **change)


# -- knob by knob


def _losses(winner: Config, variable: Variable) -> list[Alternative]:
    if winner.loss.name == CUSTOM or not variable.has_losses:
        return []
    made = []
    # Other quantiles than the median are another quantity, and the median's loss is half of mae.
    names = [name for name in variable.losses or losses_for(variable.task) if name != "quantile"]
    for name in names:
        own = parameter_of(name)
        for parameter in PARAMETERS.get(own or "", (1.0,)):
            smoothing = winner.loss.label_smoothing if is_read("label_smoothing", {"loss": name}) else 0.0
            loss = Loss(name, parameter if own else 1.0, smoothing, winner.loss.class_weights)
            is_like = name == winner.loss.name and (
                own is None or abs(parameter - winner.loss.parameter) < 0.3 * parameter
            )
            if not is_like:
                value = f"{name} ({own} {parameter:g})" if own else name
                given = {"loss": name} | ({own: parameter} if own else {})
                made.append(Alternative("loss", value, replace(winner, loss=loss), given=given))
    # One value of each loss first.
    firsts = {each.config.loss.name: each for each in reversed(made)}
    return sorted(made, key=lambda each: firsts[each.config.loss.name] is not each)


def _optimizers(winner: Config, variable: Variable) -> list[Alternative]:
    made = []
    for name in _other_optimizers(winner):
        constants = variable.constants(name)
        config = _with_optimizer(winner, name, constants, constants["lr"])
        made.append(
            Alternative("optimizer", name, config, rates=tuple(factor * constants["lr"] for factor in OWN_RATES))
        )
    return made


def _optimizers_at_winners_rate(winner: Config, variable: Variable) -> list[Alternative]:
    rate = winner.optimizer.learning_rate
    return [
        Alternative(AT_WINNERS_RATE, name, _with_optimizer(winner, name, variable.constants(name), rate))
        for name in _other_optimizers(winner)
    ]


def _other_optimizers(winner: Config) -> list[str]:
    if winner.optimizer.name == CUSTOM:
        return []
    # The two that everybody asks about first; last the one that takes all rows at each step, another structure.
    telling = ("adam", "sgd")
    others = sorted(OPTIMIZERS, key=lambda name: (name not in telling, name == "gd"))
    # Without weight decay these two are one.
    twin = {"adam": "adamw", "adamw": "adam"}.get(winner.optimizer.name) if not winner.optimizer.weight_decay else None
    return [name for name in others if name not in (winner.optimizer.name, twin)]


def _with_optimizer(winner: Config, name: str, constants: Mapping[str, float], rate: float) -> Config:
    numbers = {**constants, "optimizer": name, "lr": rate, "weight_decay": winner.optimizer.weight_decay}
    optimizer = Optimizer(**fields_of("optimizer", numbers))
    return replace(winner, optimizer=optimizer, batch_size=0 if name == "gd" else winner.batch_size)


def _rates(winner: Config, variable: Variable) -> list[Alternative]:
    return [_with_number(winner, "lr", factor * winner.optimizer.learning_rate) for factor in RATES]


def _epochs(winner: Config, variable: Variable) -> list[Alternative]:
    return _scaled(winner, "epochs", EPOCHS, winner.epochs)


def _batch_sizes(winner: Config, variable: Variable) -> list[Alternative]:
    return _scaled(winner, "batch_size", BATCHES, winner.batch_size) if winner.batch_size else []


def _scaled(winner: Config, knob: str, factors: Sequence[float], value: int) -> list[Alternative]:
    """The winner with a whole number multiplied."""
    values = [max(1, round(factor * value)) for factor in factors]
    return [_with_value(winner, knob, each) for each in dict.fromkeys(values) if each != value]


def _schedules(winner: Config, variable: Variable) -> list[Alternative]:
    telling = ("constant", "cosine")
    names = [*telling, *(name for name in SCHEDULES if name not in telling)]
    return [
        Alternative("schedule", name, replace(winner, schedule=Schedule(name)))
        for name in names if name != winner.schedule.name
    ]  # fmt: skip


def _dropouts(winner: Config, variable: Variable) -> list[Alternative]:
    if not variable.has_dropout or not _is_read_by_network(winner, "dropout"):
        return []
    values = (0.0, min(MOST_DROPOUT, 2 * winner.dropout)) if winner.dropout else (SOME_DROPOUT,)
    return [_with_number(winner, "dropout", value) for value in values]


def _decays(winner: Config, variable: Variable) -> list[Alternative]:
    decay = winner.optimizer.weight_decay
    values = tuple(factor * decay for factor in DECAYS) if decay else (SOME_DECAY,)
    return [_with_number(winner, "weight_decay", value) for value in values]


def _smoothings(winner: Config, variable: Variable) -> list[Alternative]:
    if winner.loss.name == CUSTOM or not is_read("label_smoothing", {"loss": winner.loss.name}):
        return []
    value = 0.0 if winner.loss.label_smoothing else SOME_SMOOTHING
    return [_with_value(winner, "label_smoothing", value)]


def _fewer_rows(winner: Config, variable: Variable) -> list[Alternative]:
    return [
        Alternative(ROWS, HALF_OF_THE_ROWS, winner, rows="half"),
        Alternative(ROWS, QUARTER_OF_THE_ROWS, winner, rows="quarter"),
    ]


def _preparations(winner: Config, variable: Variable) -> list[Alternative]:
    return [Alternative(PREPARATION, name, winner, preparation=name) for name in variable.preparations]


def _widths(winner: Config, variable: Variable) -> list[Alternative]:
    network = dict(winner.network)
    if not variable.is_table or not network["depth"]:
        return []
    return [_with_value(winner, "width", max(1, round(factor * network["width"]))) for factor in WIDTHS]


def _depths(winner: Config, variable: Variable) -> list[Alternative]:
    depth = dict(winner.network).get("depth", 0) if variable.is_table else 0
    return [_with_value(winner, "depth", each) for each in (depth - 1, depth + 1)] if depth else []


def _inputs(winner: Config, variable: Variable) -> list[Alternative]:
    return _names_of_network(winner, variable, "inputs")


def _activations(winner: Config, variable: Variable) -> list[Alternative]:
    return _names_of_network(winner, variable, "activation")


def _names_of_network(winner: Config, variable: Variable, knob: str) -> list[Alternative]:
    if not variable.is_table or not _is_read_by_network(winner, knob):
        return []
    now = dict(winner.network)[knob]
    return [_with_value(winner, knob, name) for name in KNOBS[knob].names if name != now]


def _of_own_networks(winner: Config, variable: Variable) -> list[Alternative]:
    """Other values of what the caller's own function takes, as the space of the search has them."""
    network, made = dict(winner.network), []
    for knob, domain in variable.domains.items():
        if knob in network and knob not in NETWORK_KNOBS and isinstance(domain, Choice):
            others = [value for value in domain.values if value != network[knob]]
            made += [replace(_with_value(winner, knob, value), place=place) for place, value in enumerate(others)]
    return made


def _with_value(winner: Config, knob: str, value: Any) -> Alternative:
    return Alternative(knob, value, _with_knob(winner, knob, value))


def _with_number(winner: Config, knob: str, number: float) -> Alternative:
    """Known by three digits of the number."""
    return Alternative(knob, rounded(number), _with_knob(winner, knob, number))


def _is_read_by_network(winner: Config, knob: str) -> bool:
    network = dict(winner.network)
    return is_read(knob, {name: network[name] for name in placed_in("network").values() if name in network})


def rounded(value: float) -> float:
    """A number as it is shown and known by."""
    return float(f"{value:.3g}")


_BY_KNOB: dict[str, Callable[[Config, Variable], list[Alternative]]] = {
    "loss": _losses, "optimizer": _optimizers, "lr": _rates, "epochs": _epochs, "schedule": _schedules,
    "width": _widths, "depth": _depths, "batch_size": _batch_sizes, "inputs": _inputs, "activation": _activations,
    "dropout": _dropouts, "weight_decay": _decays, "label_smoothing": _smoothings, ROWS: _fewer_rows,
    PREPARATION: _preparations, AT_WINNERS_RATE: _optimizers_at_winners_rate,
}  # fmt: skip
