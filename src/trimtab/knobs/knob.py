"""Knob: one thing that can be turned, with all that is known of it in one place.

Knows neither the other knobs nor any run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.knobs.domains import Bounds, Choice, Domain, Value
from trimtab.text.wording import listed

Task = Literal["regression", "classification"]

# Stands for a loss or an optimizer of the caller's own. Which knobs it reads is checked where it is called.
CUSTOM = "custom"


@dataclass(frozen=True)
class Option:
    """A value that is a name.

    Attributes:
        words: how results describe it; `{}` stands for the parameter of a loss.
        of: the task of a loss.
        aliases: other names by which callers may know it.
        reads: the settings of `tt.Schedule` or `tt.EarlyStopping` that have an effect with this option.
        defaults: values of other knobs with this option, where they differ from the defaults of those knobs.
        in_tables: the same for networks that are trained for a table.
    """

    name: str
    words: str = ""
    of: Task | Literal["two classes", ""] = ""
    aliases: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    defaults: tuple[tuple[str, float], ...] = ()
    in_tables: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Reader:
    """What reads a knob: a `part` (loss, optimizer, inputs, depth) that is one of `by`, or anything else than `but`.

    `implied` is the value that the options in `but` give the knob anyway: to ask for it changes nothing.
    """

    part: str
    by: tuple[Any, ...] = ()
    but: tuple[Any, ...] = ()
    implied: Value | None = None

    def is_there(self, value: object) -> bool:
        return value == CUSTOM or (value in self.by if self.by else value not in self.but)

    @property
    def words(self) -> str:
        return listed(self.by) if self.by else f"every {self.part} but {listed(self.but)}"


@dataclass(frozen=True)
class Case:
    """What the values that a search of a table tries depend on.

    `metric` is what is optimised, `rows` are those that train in a fold, `columns` the encoded ones of numbers,
    `epochs` those that suit so many rows.
    """

    task: Task = "regression"
    metric: str = "rmse"
    rows: int = 1_000
    columns: int = 10
    epochs: int = 200


# Cases that differ in what is tried of a knob of names.
_KINDS_OF_CASES = (Case(), Case(metric="mae"), Case("classification", "log_loss"))
_TASKS = ("regression", "classification", "")


@dataclass(frozen=True)
class Knob:
    """One thing that can be turned: one of `options`, a number within `bounds`, or something else.

    Attributes:
        place: where a `Config` has it; arguments of the network are in "network".
        prior: what a search of a table draws it from, as a domain or by the case; `prior_words` are what is said of
            that where no domain says it.
        swept: what a sweep of a table tries where that is not what a search would; `points`, in how many places.
        readers: what gives it an effect; all of them have to be there.
        default: what stands where it is not given, in trainings of a network of the caller's own.
        title: what messages call it, where that is not its name.
        of_tables: it may be fixed in whatever trains networks for tables: `tt.tune`, the estimators, sweeps of tables,
            `trimtab fit`.
        of_networks: it may be set in whatever trains networks of the caller's own: `tt.fit`, `tt.sweep`, `tt.tune`.
        is_structural: runs that differ in it cannot share a population.
        is_off_at_0: the value 0 switches it off, which changes nothing where the knob has no effect anyway.
        is_sequence: one value of it is a sequence already.
        edges: the ends of the prior beyond which a better value may lie.
    """

    name: str
    meaning: str
    place: str
    options: tuple[Option, ...] = ()
    bounds: Bounds | None = None
    prior: Domain | Callable[[Case], Domain | None] | None = None
    prior_words: str = ""
    swept: Domain | None = None
    points: int = 12
    readers: tuple[Reader, ...] = ()
    default: Any = None
    title: str = ""
    of_tables: bool = True
    of_networks: bool = True
    is_structural: bool = False
    is_off_at_0: bool = False
    is_sequence: bool = False
    edges: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What messages call it."""
        return self.title or self.name

    @property
    def label(self) -> str:
        """What stands beside its values in a picture or a table."""
        return self.called.removeprefix("the ").replace("_", " ")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options)

    def names_for(self, *kinds: str) -> tuple[str, ...]:
        """The names of options that are of one of these kinds (a task, "two classes") or of no kind at all."""
        return tuple(option.name for option in self.options if option.of in (*kinds, ""))

    def option(self, name: str) -> Option:
        return next(option for option in self.options if option.name == name)

    def domain(self, case: Case) -> Domain | None:
        """What a search of a table draws it from; None where it is not searched."""
        return self.prior(case) if callable(self.prior) else self.prior

    def asks_for_something(self, value: object) -> bool:
        """Whether setting it to `value` could have an effect beside some values of the other knobs."""
        implied = [reader.implied for reader in self.readers if reader.implied is not None]
        return not (self.is_off_at_0 and value == 0) and value not in implied

    @property
    def range_text(self) -> str:
        """What it may be and what of that is tried, as the help of the command line says it."""
        tried = self.prior_words or self._tried()
        if not self.options:
            return tried or (self.bounds.describe() if self.bounds is not None else "")
        by_task = [", ".join(option.name for option in self.options if option.of == task) for task in _TASKS]
        return "; ".join(text for text in (*by_task, tried) if text)

    def _tried(self) -> str:
        domains = [domain for case in _KINDS_OF_CASES if (domain := self.domain(case)) is not None]
        if not domains or not self.options:
            return f"tried: {domains[0].describe()}" if domains else ""
        tried = {str(value): None for domain in domains if isinstance(domain, Choice) for value in domain.values}
        left = [name for name in self.names_for(*_TASKS) if name not in tried]
        if len(left) < 2:
            return f"all but {left[0]} are tried" if left else ""
        return f"tried: {', '.join(tried)}"
