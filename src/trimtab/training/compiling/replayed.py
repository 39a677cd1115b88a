"""Replays: the operations of an uncompiled step written down once, and from then on made again without Python.

Calling some two hundred operations one by one takes as long as what small networks compute in them, and threads wait
for one another at Python's lock. TorchScript's interpreter makes the same operations in the same order, which gives the
same numbers to the bit, and does so without the lock; writing a step down takes some hundredths of a second and no
compiler.
Knows steps and their tensors; it knows no lanes, rounds or threads.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from trimtab.training.programs.operands import Operands
from trimtab.training.programs.step import Step

log = logging.getLogger(__name__)
# What a step changes, by how its operands' names begin.
CHANGED = ("parameters.", "first.", "second.", "average.", "buffers.", "totals")
# Of a plan, whose second dimension is the steps: there may be any number of them.
_BY_STEP = ("rows", "rates", "thresholds", "keys")
# Numbers of a tile's parameters above which calling takes a small part of what is computed (a guess).
MOST_NUMBERS = 4_000_000
# Steps as uncompiled ones that take as long as writing one down: what is made that often is worth it, as it was seen to
# be wanted (20 ms, 70 the first time in a process, and 1 to 2 ms saved by each step).
STEPS_TO_WRITE = 20
# torch writes one step down at a time.
_writing = threading.Lock()


class NotReplayableError(RuntimeError):
    """A step that looks at its numbers, or draws some of its own: what it does cannot be written down."""


class Replays:
    """The steps of one population that were written down, by what their tensors look like."""

    def __init__(self) -> None:
        self._kept: dict[tuple, _Replayed | None] = {}
        self._steps: Counter[tuple] = Counter()

    @property
    def are_impossible(self) -> bool:
        """Whether the last one that was to be written down could not be."""
        return bool(self._kept) and next(reversed(self._kept.values())) is None

    def bound(self, step: Step, operands: Operands, steps: int) -> "BoundReplay | None":
        """`step` over these operands, which is to be made so many times now; None as long as it was not made often
        enough for writing it down, and where that cannot be done."""
        if operands.state.parameters[0].numel() > MOST_NUMBERS:
            return None
        key = _key(step, operands)
        if key not in self._kept:
            self._steps[key] += steps
            if self._steps[key] < STEPS_TO_WRITE:
                return None
            with _writing:
                if key not in self._kept:
                    # Of other lanes the first one of a population is a fair sample.
                    self._kept[key] = _written(step, operands, is_checked=not self._kept)
        kept = self._kept[key]
        return None if kept is None else BoundReplay(kept, operands)


class BoundReplay:
    """A step that was written down, over the tensors that it works on."""

    def __init__(self, function: "_Replayed", operands: Operands) -> None:
        self._function, self._place = function, operands.place
        self._tensors = tuple(operands.tensors().values())

    def __call__(self, place: int) -> None:
        """Make the step at `place` of the plan."""
        self._place.fill_(place)
        with torch.no_grad():
            self._function(*self._tensors)


_Replayed = Callable[..., Tensor]


def _key(step: Step, operands: Operands) -> tuple:
    sizes = tuple(
        (name, value.dtype, value.shape[:1] + value.shape[2:] if name in _BY_STEP else value.shape)
        for name, value in operands.tensors().items()
    )
    return step.features, tuple(operands.coefficients.flags().values()), torch.get_float32_matmul_precision(), sizes


def _written(step: Step, operands: Operands, *, is_checked: bool) -> _Replayed | None:
    """The step as a function of its tensors; None where that could not be had, or is not the same."""
    try:
        # With a program and a rule of its own: what another step keeps its results in, that one writes into.
        own = Step(step.program.for_another_thread(), step.objective, step.features)
        given = _apart(operands)
        calls = _recorded(own, given)
        before = _apart(given)
        inputs = tuple(_apart(operands).tensors().values())
        function = _interpreted(_again(calls, tuple(given.tensors().values())), inputs)
        if is_checked:
            _check_alike(step, function, before)
    except Exception as error:  # whatever torch has against it: the step goes on as it did
        log.debug("A step is not replayed: %s", error, exc_info=True)
        return None
    return function


def _interpreted(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> _Replayed:
    """What `function` does with tensors like `inputs`, for TorchScript's interpreter.

    As `torch.jit.trace` does it, which would keep every function to the end of the process (2.6 MB each); in a thread
    of its own, since torch notes for each operation all calls that it stands in, which takes two thirds of the time.
    """

    def traced() -> Any:
        with torch.no_grad():
            return torch._C._create_graph_by_tracing(function, inputs, lambda value: "", True, False, None, [])[0]

    with ThreadPoolExecutor(1) as thread:
        graph = thread.submit(traced).result()
    unit = torch._C.CompilationUnit()
    unit.create_function("step", graph, False)
    return unit.find_function("step")


def _apart(operands: Operands) -> Operands:
    """The same with copies of all that a step changes."""
    tensors = {
        name: value.clone() if name.startswith(CHANGED) or name == "place" else value
        for name, value in operands.tensors().items()
    }
    return operands.replaced(tensors)


def _check_alike(step: Step, function: _Replayed, before: Operands) -> None:
    """Raise where another step, from other weights than those of the step that was written down, is not the same."""
    replayed, last = _apart(before), before.plan.rows.shape[1] - 1
    step(before.state, before.coefficients, before.data, before.plan, last)
    BoundReplay(function, replayed)(last)
    others = replayed.tensors()
    for name, value in before.tensors().items():
        is_alike = (value == others[name]) | (value.isnan() & others[name].isnan())
        if name.startswith(CHANGED) and not bool(is_alike.all()):
            raise NotReplayableError(f"{name} is not what it was")


@dataclass(frozen=True)
class _Call:
    function: Any
    arguments: tuple
    named: dict[str, Any]
    results: Any

    def written(self) -> list[Tensor]:
        """What it was given and has changed."""
        schema = self.function._schema.arguments
        given = [*zip(schema, self.arguments, strict=False), *((a, self.named.get(a.name)) for a in schema)]
        changed = [
            value for argument, value in given if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return [leaf for leaf in pytree.tree_leaves(changed) if isinstance(leaf, Tensor)]


class _Recorder(TorchDispatchMode):
    """Notes each operation below autograd, with what it was given and what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler, which takes two seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.nondeterministic_seeded}
        if tags & set(func.tags):
            raise NotReplayableError(f"{func} depends on numbers")
        results = func(*args, **(kwargs or {}))
        self.calls.append(_Call(func, args, kwargs or {}, results))
        return results


def _recorded(step: Step, operands: Operands) -> list[_Call]:
    """The operations of one step, which is made over `operands`."""
    with _Recorder() as recorder:
        step(operands.state, operands.coefficients, operands.data, operands.plan, operands.place)
    known = {id(value) for value in operands.tensors().values()}
    for call in recorder.calls:
        if any(id(value) not in known for value in call.written()):
            raise NotReplayableError(f"{call.function} writes into what is kept elsewhere")
        known |= {id(value) for value in pytree.tree_leaves(call.results)}
    return recorder.calls


def _again(calls: Sequence[_Call], first: Sequence[Tensor]) -> _Replayed:
    """Calls made again, with other inputs in the place of the first ones; the last of these is given back."""

    def again(*inputs: Tensor) -> Tensor:
        now: dict[int, Tensor] = {id(old): new for old, new in zip(first, inputs, strict=True)}

        def current(value: Any) -> Any:
            return now.get(id(value), value) if isinstance(value, Tensor) else value

        for call in calls:
            arguments, named = pytree.tree_map(current, (call.arguments, call.named))
            results = call.function(*arguments, **named)
            olds, news = pytree.tree_leaves(call.results), pytree.tree_leaves(results)
            now.update((id(old), new) for old, new in zip(olds, news, strict=True) if isinstance(old, Tensor))
        return inputs[-1]

    return again
