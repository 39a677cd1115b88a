"""ModuleSpace: the knobs of a network of the caller's own, as they write them down, made what a search turns.

Knows names, ranges and recipes; it knows no data and trains nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from trimtab.errors import OptionError
from trimtab.knobs.domains import Choice, Domain, Range, Value
from trimtab.knobs.knob import Task
from trimtab.knobs.table import CLASSIFICATION_LOSSES, LOGIT_LOSSES, REGRESSION_LOSSES
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import EarlyStopping, Recipe, plain, recipe, refuse_idle, split_knobs
from trimtab.networks.several import is_sequence, several, takes_sequence
from trimtab.text.wording import with_article
from trimtab.training.config import Config, Listed, whole
from trimtab.tuning.space import natural_epochs, usual_patience

HOW_TO_WRITE = 'Write a list of values, or a range as (low, high) or (low, high, "log").'


@dataclass(frozen=True)
class Sequences(Choice):
    """A choice among values that are lists or tuples, by the names that a search knows them by."""

    meant: tuple[Any, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Sequences":
        meant = tuple(Listed.of(list(value) if is_sequence(value) else plain(value)) for value in values)
        return cls(tuple(map(repr, meant)), (1.0,) * len(meant), meant)

    def value_of(self, name: Value) -> Any:
        return self.meant[self.values.index(name)]


def domains_of(space: Mapping[str, Any], networks: Networks | None = None) -> dict[str, Domain]:
    """`space` as domains, for `networks` of a factory if there is one; raises OptionError for what is no list of values
    and no range."""
    if not isinstance(space, Mapping):
        raise OptionError(
            f'space is {with_article(type(space).__name__)}: give a dict such as {{"lr": (1e-4, 1e-1, "log")}}.'
        )
    if not space:
        raise OptionError('space is empty: name at least one knob, such as {"lr": (1e-4, 1e-1, "log")}.')
    odd = [name for name in space if not isinstance(name, str)]
    if odd:
        raise OptionError(f"space holds {odd[0]!r}: its keys are names of knobs.")
    return {name: _domain(name, given, networks) for name, given in space.items()}


def _domain(name: str, given: Any, networks: Networks | None) -> Domain:
    if isinstance(given, (Choice, Range)):
        return given
    is_listed = takes_sequence(networks, name)
    if isinstance(given, tuple) and not is_listed and _is_range(given):
        return _range(name, given)
    if not is_sequence(given):
        raise OptionError(
            f"{name} is {given!r} in space. {HOW_TO_WRITE} Give a knob with one fixed value as {name}=..."
        )
    values = several(networks, name, list(given) if isinstance(given, tuple) else given)
    values = [given] if values is None else [plain(value) for value in values]
    if any(is_sequence(value) for value in values):
        domain: Choice = Sequences.of(values)
    else:
        odd = [value for value in values if not isinstance(value, (str, int, float))]
        if odd:
            raise OptionError(
                f"{name} may be {odd[0]!r} in space: values must be numbers, names or lists. Give anything else as "
                f"{name}=..."
            )
        domain = Choice(tuple(values), (1.0,) * len(values))
    if not values or len(set(domain.values)) < len(values):
        raise OptionError(f"{name} has {'no values' if not values else 'a value twice'} in space. {HOW_TO_WRITE}")
    return domain


def _is_range(given: tuple) -> bool:
    numbers = [plain(value) for value in given[:2]]
    are_numbers = len(numbers) == 2 and all(_is_number(value) for value in numbers)
    return are_numbers and (len(given) == 2 or (len(given) == 3 and isinstance(given[2], str)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range(name: str, given: tuple) -> Range:
    low, high = (plain(value) for value in given[:2])
    if len(given) == 3 and given[2] != "log":
        raise OptionError(f'{name} ends in "{given[2]}" in space: only "log" is known. {HOW_TO_WRITE}')
    is_log = len(given) == 3
    if not math.isfinite(low) or not math.isfinite(high):
        raise OptionError(f"{name} runs from {low} to {high} in space: both ends must be finite.")
    if not low < high or (is_log and low <= 0):
        raise OptionError(f"{name} runs from {low} to {high} in space: the low end must be lower" + (
            ", and above 0 on a logarithmic scale." if is_log else "."))  # fmt: skip
    whole = isinstance(low, int) and isinstance(high, int)
    # Before anything is learnt all of the range is as likely: three spreads cover it.
    spread = float(numpy.log(high / low)) / 3 if is_log else 1.0
    return Range(float(low), float(high), log=is_log, integer=whole, spread=spread)


@dataclass(frozen=True)
class ModuleSpace:
    """The knobs that a search of the caller's networks turns (`domains`), and those that stand still (`fixed`)."""

    networks: Networks
    domains: Mapping[str, Domain]
    fixed: Mapping[str, Any]
    rows: int
    task: Task = "regression"
    is_of_logit: bool = False

    @property
    def structural(self) -> tuple[str, ...]:
        return tuple(name for name in self.domains if name in (*self.networks.knobs, "batch_size"))

    @property
    def first(self) -> dict[str, Value]:
        """The first value of every list, and the low end of every range."""
        return {name: _ends(domain)[0] for name, domain in self.domains.items()}

    @property
    def guesses(self) -> Sequence[Mapping[str, Value]]:
        return ()

    @property
    def natural_epochs(self) -> int:
        return whole("epochs", self.fixed.get("epochs", natural_epochs(self.rows)), least=1)

    def draw(self, rng: numpy.random.Generator) -> dict[str, Value]:
        return {name: domain.draw(rng) for name, domain in self.domains.items()}

    def config(self, values: Mapping[str, Value], *, may_shorten: bool = False) -> Config:
        wanted = self.recipe(values, may_shorten=may_shorten)
        return wanted.for_task(self.task, is_of_logit=self.is_of_logit).config

    def recipe(self, values: Mapping[str, Value], *, may_shorten: bool = False) -> Recipe:
        """The recipe of `values` and what stands still; runs stop early unless `stop` says otherwise."""
        knobs = {**self.fixed, **{name: self._meant(name, value) for name, value in values.items()}}
        epochs = knobs.setdefault("epochs", self.natural_epochs)
        if may_shorten:
            knobs["epochs"] = values["epochs"]
        knobs.setdefault("stop", EarlyStopping(patience=usual_patience(int(epochs))))
        network, training = split_knobs(self.networks, {name: Listed.of(value) for name, value in knobs.items()})
        return recipe(training, network)

    def _meant(self, name: str, value: Value) -> Any:
        domain = self.domains.get(name)
        return domain.value_of(value) if isinstance(domain, Sequences) else value

    def for_task(self, task: Task, *, is_of_logit: bool = False) -> "ModuleSpace":
        return replace(self, task=task, is_of_logit=is_of_logit)

    @property
    def losses(self) -> Sequence[Recipe]:
        """Recipes that differ in their loss alone: one for each that the search may take."""
        names = _ends(self.domains["loss"]) if "loss" in self.domains else ()
        return [self.recipe({**self.first, "loss": name}) for name in names]

    def check_losses(self) -> None:
        """Raise OptionError where the search may take losses of numbers and losses of classes."""
        names = [loss.config.loss.name for loss in self.losses]
        of_numbers, of_classes = (
            [n for n in names if n in kind] for kind in (REGRESSION_LOSSES, CLASSIFICATION_LOSSES + LOGIT_LOSSES)
        )
        if of_numbers and of_classes:
            raise OptionError(
                f"loss may be {of_numbers[0]} or {of_classes[0]} in space: one is of numbers, the other of classes. "
                "Leave one of them out."
            )

    def check(self) -> None:
        """Make the configs at the ends of every domain, so that what cannot be is said before the search."""
        if self.recipe(self.first).make_optimizer is not None:
            raise OptionError(
                "A search trains its runs side by side, by the optimizers that trimtab knows: name one of them, or "
                "train with your own by tt.fit or tt.sweep."
            )
        for name, domain in self.domains.items():
            for value in _ends(domain):
                self.recipe({**self.first, name: value}).for_task(self.task)

    def refuse_idle(self) -> None:
        """Raise OptionError for a knob that no run of this space reads."""
        every = [{**self.first, name: value} for name, domain in self.domains.items() for value in _ends(domain)]
        refuse_idle([self.recipe(values) for values in every])


def _ends(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Choice):
        return domain.values
    return (round(domain.low), round(domain.high)) if domain.integer else (domain.low, domain.high)
