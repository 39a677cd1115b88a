"""Fingerprint: what is trained, told by what it is made of, the same in every process.

Functions are known by their code, constants, closures, defaults and the functions of their own that they call; objects
and modules by their classes, attributes, parameters and buffers. Knows no runs and no files.
"""

import enum
import functools
import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from copyreg import _slotnames, dispatch_table  # type: ignore[attr-defined]
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket

from trimtab.networks.code_parts import (
    Reads,
    closure_of,
    constants_of,
    defaults_of,
    instructions_of,
    names_read,
    owner_of,
    owner_of_function,
)
from trimtab.networks.differences import CODE, CONSTANT, DIGEST, PYTHON, Parts
from trimtab.networks.outside import ENVIRONMENT, environment_read, others_read
from trimtab.text.wording import counted, listed

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_TOLD_BY_REPR = (torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, range, slice)
# Beyond so many items a sequence is told as one; beyond so many characters a value is not shown but told by a digest:
# what differs is to fit in a sentence (guesses).
_LISTED_ONE_BY_ONE, _LONGEST_WORDS = 32, 60
# What a class has beside what was written in it.
_OF_EVERY_CLASS = frozenset({
    "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__firstlineno__", "__static_attributes__",
    "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__", "__dataclass_fields__",
    "__dataclass_params__", "__match_args__", "__qualname__", "__slots__", "__repr__", "__str__", "extra_repr",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__hash__", "__eq__", "__type_params__",
    "__slotnames__",
})  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def fingerprint(things: Mapping[str, Any], told: Callable[[str], None] = lambda sentence: None) -> Parts:
    """The parts of each of `things` by its noun. `told` hears a sentence about what cannot be known again."""
    parts: Parts = {PYTHON: {"": ".".join(map(str, sys.version_info[:2]))}}
    for noun, thing in things.items():
        walk = _Walk()
        try:
            walk.note(thing, "")
        except RecursionError:
            walk.unknown[""] = "a chain of very many objects"
        parts[noun] = walk.parts
        if walk.unknown:
            where = listed(f"{path or 'it'} ({kind})" for path, kind in walk.unknown.items())
            told(f"In {noun} nothing tells whether {where} is the same when a run is resumed: it is taken to be.")
    return parts


class _Walk:
    """Notes the parts of one thing. `unknown` are the kinds of what nothing stable can be said of, by their paths."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        self._seen: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no two of what is seen have the same id

    def note(self, thing: Any, path: str) -> None:
        if isinstance(thing, enum.Enum):
            self._say(path, f"{_name_of(type(thing))}.{thing.name}")
        elif isinstance(thing, (*_PLAIN, *_TOLD_BY_REPR)):
            self._say(path, repr(thing))
        elif isinstance(thing, (tuple, frozenset)):  # the same object or not: Python is free to keep one of equal ones
            self._note_new(thing, path)
        elif id(thing) in self._seen:
            self._say(path, f"the same as {self._seen[id(thing)] or 'the whole'}")
        else:
            self._seen[id(thing)] = path
            self._kept.append(thing)
            self._note_new(thing, path)

    def _note_new(self, thing: Any, path: str) -> None:
        for kind, way in _WAYS:
            if isinstance(thing, kind):
                way(self, thing, path)
                return
        self._object(thing, path)

    def _say(self, path: str, words: str) -> None:
        self.parts[path] = words if len(words) <= _LONGEST_WORDS else _digest(words.encode())

    # -- data

    def _tensor(self, thing: Tensor, path: str) -> None:
        value = thing.detach()
        if isinstance(thing, nn.Parameter) and not thing.requires_grad:
            self._say(_of(path, "frozen"), "True")
        if value.is_sparse or value.is_quantized or value.is_meta:
            self._say(path, _digest(repr(value).encode()))
            return
        if value.numel() == 1 and value.dim() == 0:
            self._say(path, repr(value.item()))
            return
        value = value.cpu().contiguous()
        value = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
        content = value.reshape(-1).view(torch.uint8).numpy().tobytes()
        self._say(path, _digest(f"{tuple(value.shape)} {thing.dtype}".encode() + content))

    def _array(self, thing: numpy.ndarray, path: str) -> None:
        if thing.dtype.hasobject:
            self._many(list(thing.ravel()), path)
            return
        if thing.ndim == 0:
            self._say(path, repr(thing.item()))
            return
        content = numpy.ascontiguousarray(thing).tobytes()
        self._say(path, _digest(f"{thing.shape} {thing.dtype.str}".encode() + content))

    def _number(self, thing: numpy.generic, path: str) -> None:
        self._say(path, repr(thing.item()))

    def _generator(self, thing: torch.Generator, path: str) -> None:
        self._say(path, _digest(thing.get_state().numpy().tobytes()))

    def _many(self, things: Any, path: str) -> None:
        things = list(things)
        if len(things) > _LISTED_ONE_BY_ONE:
            self._all_in_one(((f"[{i}]", each) for i, each in enumerate(things)), path)
            return
        self._say(path, counted(len(things), "entry", "entries"))
        for i, each in enumerate(things):
            self.note(each, f"{path}[{i}]")

    def _set(self, things: Any, path: str) -> None:
        self._say(path, _digest("\n".join(sorted(_in_one(each) for each in things)).encode()))

    def _mapping(self, thing: Mapping, path: str) -> None:
        named = sorted(((_key(key), value) for key, value in thing.items()), key=lambda pair: pair[0])
        if len(named) > _LISTED_ONE_BY_ONE:
            self._all_in_one(named, path)
            return
        if not named:
            self._say(path, "empty")
        for name, value in named:
            self.note(value, _of(path, name))

    def _all_in_one(self, named: Any, path: str) -> None:
        """A digest of many things, which would be too many lines."""
        inner = _Walk()
        inner._seen, inner._kept = dict(self._seen), self._kept
        for name, each in named:
            inner.note(each, name)
        self.unknown |= {_of(path, where): kind for where, kind in inner.unknown.items()}
        self._say(path, _digest(repr(sorted(inner.parts.items())).encode()))

    # -- functions and classes

    def _function(self, thing: FunctionType, path: str) -> None:
        owner = owner_of_function(thing)
        if owner == "library":
            self._say(path, _name_of(thing))
            if thing.__closure__:  # what a decorator of torch's wraps
                self._of_library(closure_of(thing), path)
            return
        self._say(_of(path, CODE), _digest(instructions_of(thing.__code__).encode()))
        for i, value in enumerate(constants_of(thing.__code__)):
            self.note(value, _of(path, f"{CONSTANT} ({i + 1})"))
        for name, value in defaults_of(thing):
            self.note(value, _of(path, name))
        reads = Reads.of(thing)
        for name, value in names_read(thing, reads) if owner == "own" else closure_of(thing):
            if isinstance(value, ENVIRONMENT):
                continue
            # A method closes over its class by `super()`.
            if not (name == "__class__" and isinstance(value, type)):
                self.note(value, _of(path, name))
        if owner == "own":
            self._outside(thing, reads, path)
        self._attributes(thing, path, but=("__wrapped__",))

    def _outside(self, thing: FunctionType, reads: Reads, path: str) -> None:
        variables = environment_read(thing, reads)
        for name, value in (variables or {}).items():
            self._say(_of(path, f"{name} in the environment"), value)
        unnamed = ["os.environ"] if variables is None else []
        for name in (*unnamed, *others_read(thing, reads)):
            self.unknown[_of(path, name)] = "read from outside"

    def _environment(self, thing: Any, path: str) -> None:
        self.unknown[path] = "the environment"

    def _partial(self, thing: functools.partial, path: str) -> None:
        self.note(thing.func, path)
        for i, value in enumerate(thing.args):
            self.note(value, f"{path}[{i}]")
        for name, value in sorted(thing.keywords.items()):
            self.note(value, _of(path, name))

    def _method(self, thing: MethodType, path: str) -> None:
        self.note(thing.__self__, path)
        self.note(thing.__func__, _of(path, thing.__func__.__name__))

    def _builtin(self, thing: Any, path: str) -> None:
        self._say(_of(path, "its name"), _name_of(thing))
        owner = getattr(thing, "__self__", None)
        if owner is not None and not isinstance(owner, (ModuleType, type)):
            self.note(owner, path)

    def _class(self, thing: type, path: str) -> None:
        self._say(path, _name_of(thing))
        self._class_code(thing, path, without=())

    def _class_code(self, kind: type, path: str, *, without: tuple[str, ...]) -> None:
        """The methods and attributes of a class of the caller's own, and of those that it inherits from."""
        for own in kind.__mro__:
            if _owner(own) == "library" or (id(own) in self._seen and own is not kind):
                continue
            self._seen.setdefault(id(own), path)
            self._kept.append(own)
            for name, value in sorted(vars(own).items()):
                if name not in _OF_EVERY_CLASS and name not in without and not _is_slot(value):
                    self.note(value, _of(path, name))

    def _property(self, thing: property, path: str) -> None:
        for part in ("fget", "fset"):
            if getattr(thing, part) is not None:
                self.note(getattr(thing, part), path if part == "fget" else _of(path, part))

    def _wrapping(self, thing: Any, path: str) -> None:
        self.note(thing.__func__, path)

    def _cached(self, thing: functools.cached_property, path: str) -> None:
        self.note(thing.func, path)

    # -- objects

    def _module(self, thing: nn.Module, path: str) -> None:
        kind = type(thing)
        is_of_library = _owner(kind) == "library"
        self._say(path, _name_of(kind))
        if isinstance(thing, torch.jit.ScriptModule):
            self._say(_of(path, CODE), _digest(str(getattr(thing, "code", "")).encode()))
        elif id(kind) not in self._seen:
            self._class_code(kind, path, without=("__init__",))
        for name, value in sorted(vars(thing).items()):
            # What torch's layers keep for themselves follows from their other attributes.
            if name not in _OF_EVERY_MODULE and not (is_of_library and name.startswith("_")):
                self.note(value, _of(path, name))
        for name in _HOOKS:
            if hooks := getattr(thing, name, None):
                self.note(list(hooks.values()), _of(path, name))
        for name, value in (*thing._parameters.items(), *thing._buffers.items(), *thing._modules.items()):
            self.note(value, _of(path, name))

    def _script(self, thing: Any, path: str) -> None:
        self._say(path, _digest(str(thing.code).encode()))

    def _operator(self, thing: Any, path: str) -> None:
        self._say(path, str(thing))

    def _named_module(self, thing: ModuleType, path: str) -> None:
        self._say(path, thing.__name__)

    def _object(self, thing: Any, path: str) -> None:
        kind = type(thing)
        is_of_library = _owner(kind) == "library"
        if kind not in (list, tuple, dict, set, frozenset):
            self._say(path, _name_of(kind))
        if not is_of_library:
            if id(kind) not in self._seen:
                self._class_code(kind, path, without=("__init__",))
            self._attributes(thing, path)
        way = next((way for kind, way in _ENTRIES if isinstance(thing, kind)), None)
        if way is not None:
            way(self, thing, path if is_of_library else _of(path, "its entries"))
        elif is_of_library:
            self._reduced(thing, path)

    def _attributes(self, thing: Any, path: str, but: tuple[str, ...] = ()) -> None:
        values = dict(getattr(thing, "__dict__", {}))
        if not isinstance(thing, FunctionType):
            values |= {name: getattr(thing, name) for name in _slotnames(type(thing)) if hasattr(thing, name)}
        for name, value in sorted(values.items()):
            if name not in but:
                self.note(value, _of(path, name))

    def _reduced(self, thing: Any, path: str) -> None:
        """What pickle would keep of an object whose class belongs to Python or a library."""
        if hasattr(thing, "__wrapped__"):  # as functools.cache leaves it
            self.note(thing.__wrapped__, path)
            return
        try:
            reduce = dispatch_table.get(type(thing))
            kept = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception:  # of any kind: it is nobody's promise that this works
            self.unknown[path] = _name_of(type(thing))
            return
        if isinstance(kept, str):
            self._say(_of(path, "its name"), kept)
            return
        _, arguments, *state = kept
        for i, value in enumerate(arguments):
            if not isinstance(value, type):
                self.note(value, f"{path}[{i}]")
        for value in state[:1]:
            if isinstance(value, Mapping):
                for name, each in sorted(value.items(), key=str):
                    self.note(each, _of(path, str(name)))
            elif value is not None:
                self.note(value, _of(path, "its state"))
        for entries in state[1:3]:
            if entries is not None:
                self._many(entries, _of(path, "its entries"))

    def _of_library(self, named: Iterator[tuple[str, Any]], path: str) -> None:
        """What of the caller's stands in something of torch's, which also keeps things for itself."""
        kinds = (FunctionType, functools.partial, MethodType, nn.Module, *_PLAIN)
        for name, value in named:
            if isinstance(value, kinds) or _owner(type(value)) != "library":
                self.note(value, _of(path, name))


def _in_one(thing: Any) -> str:
    inner = _Walk()
    inner.note(thing, "")
    return repr(sorted(inner.parts.items()))


def _key(key: Any) -> str:
    return key if isinstance(key, str) else repr(key) if isinstance(key, _PLAIN) else _in_one(key)


def _is_slot(value: Any) -> bool:
    return type(value).__name__ in ("member_descriptor", "getset_descriptor")


def _owner(kind: type) -> str:
    return owner_of(kind.__module__, getattr(sys.modules.get(kind.__module__), "__file__", None))


def _name_of(thing: Any) -> str:
    """The name of a class or a function, with its module unless it is the caller's own, which may run as a script."""
    name = getattr(thing, "__qualname__", getattr(thing, "__name__", ""))
    module = getattr(thing, "__module__", None) or ""
    is_own = owner_of(module, getattr(sys.modules.get(module), "__file__", None)) == "own"
    return name if is_own or module == "builtins" or not module else f"{module}.{name}"


def _digest(content: bytes) -> str:
    return DIGEST + hashlib.sha256(content).hexdigest()[:24]


def _of(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_WAYS: tuple[tuple[Any, Callable[[_Walk, Any, str], None]], ...] = (
    (ENVIRONMENT, _Walk._environment),
    (Tensor, _Walk._tensor),
    (nn.Module, _Walk._module),
    (torch.jit.ScriptFunction, _Walk._script),
    ((OpOverload, OpOverloadPacket), _Walk._operator),
    (numpy.ndarray, _Walk._array),
    (numpy.generic, _Walk._number),
    (torch.Generator, _Walk._generator),
    (FunctionType, _Walk._function),
    (functools.partial, _Walk._partial),
    (MethodType, _Walk._method),
    ((BuiltinFunctionType, MethodWrapperType, type(str.join), type(object.__init__)), _Walk._builtin),
    (type, _Walk._class),
    (property, _Walk._property),
    ((staticmethod, classmethod), _Walk._wrapping),
    (functools.cached_property, _Walk._cached),
    (ModuleType, _Walk._named_module),
)
_ENTRIES: tuple[tuple[Any, Callable[[_Walk, Any, str], None]], ...] = (
    (dict, _Walk._mapping),
    ((set, frozenset), _Walk._set),
    ((list, tuple, deque), _Walk._many),
)
