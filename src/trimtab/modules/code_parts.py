"""CodeParts: what a function does, in words that are the same in every process: its instructions, and what it reads.

Knows functions and bytecode. What the values that a function reads are made of is for others to say.
"""

import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
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


def names_read(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function reads from around it, by name: its closure, and the globals that its code speaks of; of the
    caller's own modules what is read of them (`losses.focal`)."""
    yield from closure_of(function)
    attributes: set[str] = set()
    spoken_of: set[str] = set()
    for code in _with_inner(function.__code__):
        for one in _instructions(code):
            if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                spoken_of.add(one.argval)
            elif one.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
                attributes.add(one.argval)
    for name in sorted(spoken_of & function.__globals__.keys()):
        value = function.__globals__[name]
        if not isinstance(value, ModuleType):
            yield name, value
        elif owner_of(value.__name__, getattr(value, "__file__", None)) == "own":
            for inner in sorted(attributes & vars(value).keys()):
                yield f"{name}.{inner}", vars(value)[inner]


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
