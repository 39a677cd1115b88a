"""SourceCode: where that of something can be had: functions, lambdas, layers of torch and classes of the caller's own.

Looks at objects and at the files they came from; it writes no script.
"""

import ast
import functools
import importlib
import inspect
import textwrap
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_PLACES = ("torch.optim", "torch.nn", "torch.nn.functional", "torch")
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class SourceCode:
    """`expression` stands for the object once `definitions` have run, after `imports`.

    `expression` is "" where the object cannot be written down. `needs` are names it uses and nobody could write down.
    """

    expression: str = ""
    definitions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def source_of(thing: Any) -> SourceCode:
    """The source of a function, a lambda, a class or something of torch."""
    if isinstance(thing, nn.Module):
        return source_of_module(thing)
    if isinstance(thing, functools.partial):
        return _partial(thing)
    for place in _PLACES:
        name = getattr(thing, "__name__", "")
        if name and getattr(importlib.import_module(place), name, None) is thing:
            return SourceCode(f"{place}.{name}".replace("torch.nn.", "nn.", 1))
    text = _text(thing)
    if text is None:
        return SourceCode()
    if getattr(thing, "__name__", "") == "<lambda>":
        found = _lambdas(text)
        return _with_names(SourceCode(f"({found[0]})"), [thing]) if len(found) == 1 else SourceCode()
    return _with_names(SourceCode(thing.__name__, (text,)), [thing])


def source_of_module(module: nn.Module) -> SourceCode:
    """The source of a network: an expression where it is made of torch's own layers, else the classes in it."""
    expression = _expression(module)
    if expression:
        return SourceCode(expression)
    classes = list(dict.fromkeys(type(child) for child in module.modules() if not _is_torch(type(child))))
    texts = {own: _text(own) for own in classes}
    known = [own for own in classes if texts[own] is not None]
    missing = tuple(own.__name__ for own in classes if texts[own] is None)
    # Parts stand before the whole, which is listed first.
    source = SourceCode("", tuple(str(texts[own]) for own in reversed(known)), (), missing)
    functions = [f for own in known for f in vars(own).values() if isinstance(f, types.FunctionType)]
    return _with_names(source, functions, known={own.__name__ for own in known})


def _partial(thing: functools.partial) -> SourceCode:
    function = source_of(thing.func)
    arguments = [*thing.args, *thing.keywords.values()]
    if not function.expression or not all(isinstance(value, _PLAIN) for value in arguments):
        return SourceCode()
    words = [repr(value) for value in thing.args] + [f"{name}={value!r}" for name, value in thing.keywords.items()]
    expression = f"functools.partial({', '.join([function.expression, *words])})"
    return SourceCode(expression, function.definitions, (*function.imports, "import functools"), function.needs)


def _text(thing: Any) -> str | None:
    try:
        return textwrap.dedent(inspect.getsource(thing)).strip() + "\n"
    except (OSError, TypeError):
        return None


def _lambdas(text: str) -> list[str]:
    """The lambdas in a piece of source, which may be part of a longer statement."""
    for start in range(len(text)):
        if not text.startswith("lambda", start):
            continue
        for end in range(len(text), start, -1):
            try:
                tree = ast.parse(text[start:end].strip(), mode="eval")
            except SyntaxError:
                continue
            if isinstance(tree.body, ast.Lambda):
                return [ast.unparse(tree.body), *_lambdas(text[end:])]
    return []


def _with_names(source: SourceCode, functions: Iterable[Callable], known: Iterable[str] = ()) -> SourceCode:
    """`source` with what its functions use from around them: imports, plain constants, and the rest by name."""
    imports, constants, needs = list(source.imports), [], list(source.needs)
    skipped = {*known, "torch", "nn"}
    for function in functions:
        try:
            found = inspect.getclosurevars(function)
        except (TypeError, ValueError):
            continue
        # `super()` without arguments closes over the class.
        names = {**found.globals, **found.nonlocals}
        names.pop("__class__", None)
        for name, value in names.items():
            if name in skipped:
                continue
            skipped.add(name)
            if isinstance(value, types.ModuleType):
                imports.append(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
            elif isinstance(value, _PLAIN):
                constants.append(f"{name} = {value!r}\n")
            elif _is_torch(value):
                imports.append(f"from {value.__module__} import {value.__name__} as {name}")
            else:
                needs.append(name)
    return SourceCode(source.expression, (*constants, *source.definitions), tuple(imports), tuple(needs))


def _is_torch(value: Any) -> bool:
    module = getattr(value, "__module__", None) or ""
    return (module == "torch" or module.startswith("torch.")) and hasattr(value, "__name__")


def _expression(module: nn.Module) -> str:
    """The expression that makes `module` anew, "" where it is not made of torch's layers alone."""
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        return ""
    if kind in (nn.Sequential, nn.ModuleList):
        parts = [_expression(child) for child in module]  # type: ignore[union-attr]
        if not all(parts):
            return ""
        listed = ", ".join(parts)
        return f"nn.ModuleList([{listed}])" if kind is nn.ModuleList else f"nn.Sequential({listed})"
    tried = (module.extra_repr(), _arguments(module))
    return next((f"nn.{kind.__name__}({text})" for text in tried if _is_remade(module, text)), "")


def _arguments(module: nn.Module) -> str:
    """The arguments of a layer that keeps them under their own names, where they are not the defaults."""
    parameters = inspect.signature(type(module)).parameters
    values = {name: (getattr(module, name, p.default), p.default) for name, p in parameters.items()}
    return ", ".join(f"{name}={value!r}" for name, (value, default) in values.items() if value is not default)


def _is_remade(module: nn.Module, arguments: str) -> bool:
    """Whether these arguments make a layer like `module`."""
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        assert isinstance(call, ast.Call)
        values = [ast.literal_eval(argument) for argument in call.args]
        keywords = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        with torch.random.fork_rng(devices=[]):
            made = type(module)(*values, **keywords)
    except Exception:  # of any kind: a layer of the caller's own raises what it likes
        return False
    return repr(made) == repr(module) and _settings(made) == _settings(module) and not list(module.children())


def _settings(module: nn.Module) -> dict[str, Any]:
    """All by which two layers of one kind may differ, weights aside."""
    plain = {name: value for name, value in vars(module).items() if isinstance(value, (*_PLAIN, tuple))}
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    return {**plain, "training": None, "shapes": shapes}


def spread_out(expression: str, width: int, indent: str = "") -> str:
    """`expression` on several lines where it is too long for one: one line for each argument of a call."""
    if len(indent) + len(expression) <= width:
        return expression
    call = ast.parse(expression, mode="eval").body
    if not isinstance(call, ast.Call) or not call.args or call.keywords:
        return expression
    inner = indent + "    "
    parts = [spread_out(ast.get_source_segment(expression, part) or "", width, inner) for part in call.args]
    lines = "".join(f"{inner}{part},\n" for part in parts)
    return f"{ast.get_source_segment(expression, call.func)}(\n{lines}{indent})"
