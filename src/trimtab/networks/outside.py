"""Outside: what a function reads that stands neither in its code nor around it: the environment, files, the clock.

Knows functions and bytecode. Variables of the environment are known by their values; the rest is only named.
"""

import hashlib
import os
import re
import types
from collections.abc import Collection, Iterator

from trimtab.networks.code_parts import Reads

ENVIRONMENT = type(os.environ)
_BUILTINS = ("open", "input", "eval", "exec", "__import__")
_OF_MODULES = {
    "sys": ("argv", "stdin", "modules"),
    "time": ("time", "time_ns", "monotonic", "perf_counter"),
    "os": ("listdir", "scandir", "stat", "getcwd"),
    "torch": ("load",),
    "numpy": ("load", "loadtxt", "genfromtxt", "fromfile", "memmap"),
}
_METHODS = ("read_text", "read_bytes")
_NAME = re.compile(r"[A-Za-z_]\w*")


def environment_read(function: types.FunctionType, reads: Reads) -> dict[str, str] | None:
    """Digests of the variables of the environment that the function may read, by name: those that its code, or a text
    that it reads, names. None where it reads some that nothing names; {} where it reads none."""
    values = list(reads.values(function))
    is_read = any(isinstance(value, ENVIRONMENT) or value is os.getenv for value in values)
    if not is_read and not (reads.speaks_of(function, "os") and {"environ", "getenv"} & reads.attributes):
        return {}
    texts = {*reads.texts, *(value for value in values if isinstance(value, str))}
    names = sorted(text for text in texts if _NAME.fullmatch(text))
    return {name: _digest_of(os.environ.get(name)) for name in names} or None


def others_read(function: types.FunctionType, reads: Reads) -> Iterator[str]:
    """What else the function reads from outside, by the names that stand in it: "open", "sys.argv"."""
    for name in _BUILTINS:
        if name in reads.globals and name not in function.__globals__:
            yield name
    for module, names in _OF_MODULES.items():
        if reads.speaks_of(function, module):
            yield from (f"{module}.{name}" for name in _there(names, reads.attributes))
    yield from _there(_METHODS, reads.attributes)


def _there(names: tuple[str, ...], attributes: Collection[str]) -> list[str]:
    return [name for name in names if name in attributes]


def _digest_of(value: str | None) -> str:
    """Of a value and not the value itself: it may be a secret, and a checkpoint is a file."""
    return "not set" if value is None else "#" + hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:16]
