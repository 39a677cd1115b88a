"""CodeParts: what a function does, in words that are the same in every process: its instructions, and what it reads.

Knows functions and bytecode. What the values that a function reads are made of is for others to say.
"""

import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal

# Whose code belongs to a version of Python or of a library, and is told by name.
_BY_NAME = frozenset({*sys.stdlib_module_names, "torch", "numpy", "trimtab"})
_INSTALLED = tuple({str(Path(sysconfig.get_paths()[name]).resolve()) for name in ("purelib", "platlib")})
Owner = Literal["library", "installed", "own"]


def owner_of(module: str | None, file: str | None) -> Owner:
    """Whose code this is: that of Python, torch, numpy or trimtab; of another installed package; or the caller's."""
    if (module or "").partition(".")[0] in _BY_NAME:
        return "library"
    return "installed" if file and str(Path(file).resolve()).startswith(_INSTALLED) else "own"


def owner_of_function(function: FunctionType) -> Owner:
    # A decorator gives its wrapper the module of what it wraps, and the code stays its own.
    file = function.__code__.co_filename
    if file.startswith("<frozen "):  # as Python keeps modules that it needs to start
        return "library"
    module = sys.modules.get(function.__module__)
    if module is not None and getattr(module, "__file__", None) == file:
        return owner_of(function.__module__, file)
    library = next((name for name in ("torch", "numpy", "trimtab") if _lies_in(file, name)), None)
    return "library" if library or _is_of_python(file) else owner_of(None, file)


def _lies_in(file: str, package: str) -> bool:
    home = getattr(sys.modules.get(package), "__file__", None)
    return bool(home) and file.startswith(str(Path(str(home)).parent) + "/")


def _is_of_python(file: str) -> bool:
    return file.startswith(sysconfig.get_paths()["stdlib"]) and not file.startswith(_INSTALLED)


def instructions_of(code: CodeType) -> str:
    """A digest of what a function does, its plain constants aside; comments, line numbers and docstrings are not in
    it."""
    digest = hashlib.sha256(repr((code.co_argcount, code.co_kwonlyargcount, code.co_flags & 0x0F)).encode())
    for one in _instructions(code):
        value = one.argval
        if one.opname == "KW_NAMES":  # names of arguments, which dis leaves out
            value = code.co_consts[one.arg or 0]
        elif isinstance(value, CodeType):
            value = instructions_of(value)
        elif one.opcode in dis.hasconst:
            value = type(value).__name__
        digest.update(f"{one.opname} {value!r};".encode())
    digest.update(code.co_exceptiontable)
    return digest.hexdigest()[:16]


def constants_of(code: CodeType) -> Iterator[Any]:
    """The plain constants in the order in which they are read, those of functions inside included."""
    for one in _instructions(code):
        if isinstance(one.argval, CodeType):
            yield from constants_of(one.argval)
        elif one.opcode in dis.hasconst and one.opname != "KW_NAMES" and one.argval is not None:
            yield one.argval


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    return (one for one in dis.get_instructions(code) if one.opname not in ("RESUME", "CACHE", "NOP"))


def closure_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The values that a function closes over, by name."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it is filled later
            continue


@dataclass(frozen=True)
class Reads:
    """What a function's code speaks of, inner functions included: names from around it, attributes of whatever, modules
    that it imports when it runs, and texts."""

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, function: FunctionType) -> "Reads":
        found: dict[str, set[str]] = {"globals": set(), "attributes": set(), "imports": set(), "texts": set()}
        for code in _with_inner(function.__code__):
            for one in _instructions(code):
                if (kind := _SPOKEN.get(one.opname)) is not None:
                    found[kind].add(one.argval)
                elif one.opcode in dis.hasconst and isinstance(one.argval, str):
                    found["texts"].add(one.argval)
        return cls(**{kind: frozenset(names) for kind, names in found.items()})

    def speaks_of(self, function: FunctionType, module: str) -> bool:
        """Whether the code reads this module, under whatever name, or imports it."""
        around = (function.__globals__.get(name) for name in self.globals)
        is_around = any(isinstance(value, ModuleType) and value.__name__ == module for value in around)
        return is_around or module in self.imports

    def values(self, function: FunctionType) -> Iterator[Any]:
        """What stands under the names that are read, in its closure, and in the modules that it imports."""
        yield from (value for _, value in closure_of(function))
        yield from (function.__globals__[name] for name in self.globals & function.__globals__.keys())
        for name in self.imports & sys.modules.keys():
            yield from (vars(sys.modules[name])[each] for each in self.attributes & vars(sys.modules[name]).keys())


_SPOKEN = {
    "LOAD_GLOBAL": "globals", "LOAD_NAME": "globals", "LOAD_ATTR": "attributes", "LOAD_METHOD": "attributes",
    "IMPORT_FROM": "attributes", "IMPORT_NAME": "imports",
}  # fmt: skip


def names_read(function: FunctionType, reads: Reads) -> Iterator[tuple[str, Any]]:
    """What a function reads from around it, by name: its closure, and the globals that its code speaks of; of the
    caller's own modules what is read of them (`losses.focal`), those that are imported when it runs included."""
    yield from closure_of(function)
    named = set(reads.globals)
    if "globals" in named and "globals" not in function.__globals__:
        named |= reads.texts
    for name in sorted(named & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            yield from _read_of(value, name, reads, {id(value)})
        else:
            yield name, value
    for name in sorted(reads.imports & sys.modules.keys()):
        yield from _read_of(sys.modules[name], name, reads, {id(sys.modules[name])})


def _read_of(module: ModuleType, path: str, reads: Reads, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """What is read of a module of the caller's own, and of the modules in it (`package.module.POWER`)."""
    if owner_of(module.__name__, getattr(module, "__file__", None)) != "own":
        return
    # By getattr as well: a name in a text may be an attribute.
    for name in sorted((reads.attributes | reads.texts) & vars(module).keys()):
        value = vars(module)[name]
        if not isinstance(value, ModuleType):
            yield f"{path}.{name}", value
        elif id(value) not in seen:
            seen.add(id(value))
            yield from _read_of(value, f"{path}.{name}", reads, seen)


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def defaults_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The default arguments by name."""
    for name, parameter in inspect.signature(function, follow_wrapped=False).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            yield name, parameter.default
