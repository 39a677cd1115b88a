"""The portfolio: what a search of a table tries first, learnt on other tables; `portfolio.toml` says how.

Knows names and values alone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from trimtab.knobs.domains import Choice, Value
from trimtab.knobs.knob import Case, Task
from trimtab.knobs.table import FEW_COLUMNS, KNOBS, MANY_ROWS

# What stands in the file for another table's own: which of the usual batch sizes, and a share of the usual epochs.
BATCHES = ("small", "middle", "large")
# The first result is what somebody waits for: of so many that come first, all of which are tried in any case, the one
# that costs least is the very first (a guess; on concrete it is there after a third of the time).
WAITED_FOR = 3


@dataclass(frozen=True)
class Kind:
    """What tables share a list: they predict the same, and have few rows or many."""

    task: Task
    has_many_rows: bool

    @property
    def name(self) -> str:
        """That of its list in the file."""
        return f"{self.task}_of_{'many' if self.has_many_rows else 'few'}_rows"


KINDS = tuple(Kind(task, has_many) for task in ("regression", "classification") for has_many in (False, True))


def kind_of(task: Task, rows: int) -> Kind:
    """That of a table with so many training rows."""
    return Kind(task, rows >= MANY_ROWS)


@cache
def portfolio() -> Mapping[str, tuple[Mapping[str, Any], ...]]:
    """The lists of the file, one for each of `KINDS`, in the order in which they are tried."""
    lists = tomllib.loads(files("trimtab.tuning").joinpath("portfolio.toml").read_text(encoding="utf-8"))
    return {name: tuple(entries) for name, entries in lists.items()}


def first_guesses(case: Case) -> tuple[dict[str, Value], ...]:
    """What a search of such a table tries first, in order."""
    entries = portfolio()[kind_of(case.task, case.rows).name]
    quickest = min(entries[:WAITED_FOR], key=lambda entry: entry["epochs"] * entry["depth"] * entry["width"] ** 2)
    ordered = [quickest, *(entry for entry in entries if entry is not quickest)]
    return tuple(of_case(entry, case) for entry in ordered)


def of_case(entry: Mapping[str, Any], case: Case) -> dict[str, Value]:
    """An entry of the file as a search of such a table tries it."""
    values = dict(entry)
    sizes = KNOBS["batch_size"].domain(case)
    assert isinstance(sizes, Choice)
    values["batch_size"] = sizes.values[BATCHES.index(values.pop("batch"))]
    values["epochs"] = max(2, round(values["epochs"] * case.epochs))
    if values["inputs"] == "piecewise" and case.columns > FEW_COLUMNS:
        values["inputs"] = "periodic"  # of so many columns they cost more than they bring
    if case.metric == "mae" and values["loss"] == "mse":
        values["loss"] = "mae"
    return values
