"""Several: whether what a caller gave for a knob is one value or a list of values, which for some knobs are lists too.

Knows knobs and what a factory of networks takes; it knows no data and trains nothing.
"""

from collections.abc import Mapping
from typing import Any

from trimtab.errors import FactoryError
from trimtab.knobs.table import KNOBS, NETWORK_KNOBS
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import plain
from trimtab.training.config import Listed


def several(networks: Networks | None, name: str, given: Any) -> list[Any] | None:
    """The values that `given` holds, None where it is one value.

    Where a knob's one value is a sequence (groups, class weights, an argument that the factory's signature says is a
    list) several of them are a list of sequences, and a flat one is that value.
    """
    if takes_sequence(networks, name):
        entries = _entries(given, dimensions=2)
        return entries if entries is not None and any(is_sequence(each) for each in entries) else None
    # A tuple may be the one value of what a factory takes.
    if isinstance(given, tuple) and (name not in NETWORK_KNOBS or (networks is not None and name in networks.knobs)):
        return None
    return _entries(given, dimensions=1)


def takes_sequence(networks: Networks | None, name: str) -> bool:
    """Whether one value of the knob `name` is a sequence."""
    if networks is None or name not in networks.knobs:
        return name in KNOBS and KNOBS[name].is_sequence
    return bool(networks.takes_sequence(name))


def is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, range)) or getattr(value, "ndim", 0) > 0 or hasattr(value, "to_list")


def is_one_after_all(networks: Networks, name: str, values: list[Any], others: Mapping[str, Any], seed: int) -> bool:
    """Whether a factory whose signature does not say so takes the list of `values` as its argument `name`: it can do
    nothing with the first of them alone."""
    if networks.takes_sequence(name) is not None or any(is_sequence(each) for each in values):
        return False
    try:
        networks.made({**others, name: plain(values[0])}, seed)
        return False
    except FactoryError:
        pass
    try:
        networks.made({**others, name: Listed.of(values)}, seed)
        return True
    except FactoryError:
        return False


def _entries(given: Any, dimensions: int) -> list[Any] | None:
    """The entries of a list, tuple, range, array, tensor or series; None for anything else."""
    if isinstance(given, (list, tuple, range)):
        return list(given)
    if not 0 < getattr(given, "ndim", 1 if hasattr(given, "to_list") else 0) <= dimensions:
        return None
    return given.to_list() if hasattr(given, "to_list") else given.tolist()
