"""What is trained is told apart by all that shapes it, is the same in every process, and what differs is named."""

import functools
import json
import os
import re
import subprocess
import sys
import threading
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from trimtab.networks.differences import PYTHON, differences
from trimtab.networks.fingerprint import fingerprint

PAIR = (1, 2)


def unlike(one: Any, other: Any) -> str:
    return differences(fingerprint({"the loss": one}), fingerprint({"the loss": other}))


def defined(source: str, name: str = "loss", **around: Any) -> Any:
    """A function of somebody's script."""
    module = types.ModuleType("somebodys_script")
    vars(module).update({"torch": torch, "nn": nn, "functools": functools, **around})
    exec(source, vars(module))  # noqa: S102
    return vars(module)[name]


def module_of(**values: Any) -> types.ModuleType:
    module = types.ModuleType("losses_of_mine")
    vars(module).update(values)
    return module


def in_network(source: str) -> nn.Module:
    torch.manual_seed(0)
    return defined(f"class Net(nn.Module):\n{source}", "Net")()


NET = """
    def __init__(self):
        super().__init__()
        self.layer, self.slope = nn.Linear(2, 1), {slope}
        self.register_buffer("scale", torch.tensor([{scale}]), persistent=False)
    def forward(self, x):
        return {forward}
    def helped(self, x):
        return x * {helped}
"""


def net(**how: Any) -> nn.Module:
    usual = {"slope": 0.1, "scale": 1.0, "forward": "self.helped(self.layer(x))", "helped": 2}
    return in_network(NET.format(**(usual | how)))


def hooked(factor: float) -> nn.Module:
    module = net()
    module.layer.register_forward_hook(lambda m, i, o: o * factor)
    return module


def frozen(*, is_frozen: bool) -> nn.Module:
    module = net()
    module.layer.bias.requires_grad_(not is_frozen)
    return module


def tied(*, is_tied: bool) -> nn.Module:
    torch.manual_seed(0)
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    if is_tied:
        other.weight = one.weight
    return nn.Sequential(one, other)


@dataclass(frozen=True)
class Weighted:
    """A loss that is an object."""

    weight: float

    def __call__(self, output, target):
        return self.weight * (output - target).abs().mean()

    def method(self, output, target):
        return self(output, target)


class Slotted:
    __slots__ = ("power",)

    def __init__(self, power):
        self.power = power

    def __call__(self, output, target):
        return (output - target).abs() ** self.power


def closing(value):
    return lambda output, target: (output - target).abs() ** value


def twice_closing(value):
    inner = closing(value)
    return lambda output, target: inner(output, target) * 2


def decorated(value):
    return torch.no_grad()(closing(value))


LOSS = "def loss(o, t{default}):\n    {doc}return ((o - t){operation} {constant}).mean(){comment}"


def loss(default="", doc="", operation=" **", constant="2", comment=""):
    return defined(LOSS.format(default=default, doc=doc, operation=operation, constant=constant, comment=comment))


UNLIKE = {
    "an edited body": (loss(), loss(operation=" *"), "its code is another"),
    "a constant in the code": (loss(), loss(constant="3"), r"a constant in its code \(1\) was 2 and is 3"),
    "a default argument": (loss(default=", p=1"), loss(default=", p=2"), "p was 1 and is 2"),
    "a default by keyword": (loss(default=", *, p=1"), loss(default=", *, p=2"), "p was 1 and is 2"),
    "a name in a call": (defined("def loss(o, t): return torch.sum(o, dim=0)"),
                         defined("def loss(o, t): return torch.sum(o, axis=0)"), "its code"),
    "another function of torch": (nn.functional.mse_loss, nn.functional.l1_loss, "mse_loss and is .*l1_loss"),
    "another one of C": (torch.sub, torch.mul, "its name"),
    "a closure": (closing(2), closing(3), "value was 2 and is 3"),
    "a closure of a tensor": (closing(torch.ones(3)), closing(torch.zeros(3)), "value is another"),
    "a closure of a tensor without dimensions": (
        closing(torch.tensor(1.0)), closing(torch.tensor(2.0)), r"value was 1.0 and is 2.0"),
    "a closure of another type": (closing(2), closing(2.0), "value was 2 and is 2.0"),
    "a closure in a closure": (twice_closing(2), twice_closing(3), "inner.value was 2 and is 3"),
    "what a decorator of torch wraps": (decorated(2), decorated(3), "value was 2 and is 3"),
    "what is mapped": (torch.vmap(closing(2)), torch.vmap(closing(3)), "value was 2 and is 3"),
    "what is cached": (functools.cache(closing(2)), functools.cache(closing(3)), "value was 2 and is 3"),
    "a global number": (defined("def loss(o, t): return o * K", K=1), defined("def loss(o, t): return o * K", K=2),
                        "K was 1 and is 2"),
    "a global list": (defined("def loss(o, t): return o * K[1]", K=[1, 2]),
                      defined("def loss(o, t): return o * K[1]", K=[1, 3]), r"K\[1\] was 2 and is 3"),
    "a function that is called": (
        defined("def help(x): return x * 2\ndef loss(o, t): return help(o - t)"),
        defined("def help(x): return x * 3\ndef loss(o, t): return help(o - t)"),
        r"help.a constant in its code \(1\) was 2 and is 3"),
    "a global in a function inside": (
        defined("def loss(o, t): return (lambda x: x * K)(o)", K=1),
        defined("def loss(o, t): return (lambda x: x * K)(o)", K=2), "K was 1 and is 2"),
    "a part of a module of ones own": (
        defined("def loss(o, t): return own.f(o)", own=module_of(f=closing(2))),
        defined("def loss(o, t): return own.f(o)", own=module_of(f=closing(3))), "own.f.value was 2 and is 3"),
    "a class that is called": (
        defined("class Scale:\n    def __init__(self): self.k = 1\ndef loss(o, t): return o * Scale().k"),
        defined("class Scale:\n    def __init__(self): self.k = 2\ndef loss(o, t): return o * Scale().k"),
        "Scale.__init__.a constant"),
    "a partial": (functools.partial(nn.functional.huber_loss, delta=1.0),
                  functools.partial(nn.functional.huber_loss, delta=0.1), "delta was 1.0 and is 0.1"),
    "a partial's place": (functools.partial(closing(2), 1), functools.partial(closing(2), 2), r"\[0\] was 1 and is 2"),
    "a layer's setting": (nn.HuberLoss(delta=1.0), nn.HuberLoss(delta=0.1), "delta was 1.0 and is 0.1"),
    "a layer's buffer": (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
                         nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])), "weight is another"),
    "an object's attribute": (Weighted(1.0), Weighted(2.0), "weight was 1.0 and is 2.0"),
    "a bound method's object": (Weighted(1.0).method, Weighted(2.0).method, "weight was 1.0 and is 2.0"),
    "a slot": (Slotted(1), Slotted(2), "power was 1 and is 2"),
    "an object's class": (defined("class L:\n    def __call__(self, o, t): return o * 2", "L")(),
                          defined("class L:\n    def __call__(self, o, t): return o * 3", "L")(), "a constant"),
    "an attribute of the class": (defined("class L:\n    k = 2\n    def __call__(self, o, t): return o", "L")(),
                                  defined("class L:\n    k = 3\n    def __call__(self, o, t): return o", "L")(),
                                  "k was 2 and is 3"),
    "a class it inherits from": (
        defined("class B:\n    k = 2\nclass L(B):\n    def __call__(self, o, t): return o", "L")(),
        defined("class B:\n    k = 3\nclass L(B):\n    def __call__(self, o, t): return o", "L")(), "k was 2 and is 3"),
    "a network's attribute": (net(), net(slope=0.2), "slope was 0.1 and is 0.2"),
    "a network's forward": (net(), net(forward="self.helped(self.layer(-x))"), "forward.its code"),
    "what forward calls": (net(), net(helped=3), "helped.a constant"),
    "a buffer that no file holds": (net(), net(scale=2.0), "scale is another"),
    "a hook": (hooked(1.0), hooked(2.0), "factor was 1.0 and is 2.0"),
    "a frozen parameter": (frozen(is_frozen=False), frozen(is_frozen=True), "layer.bias.frozen"),
    "tied parameters": (tied(is_tied=False), tied(is_tied=True), "1.weight is another"),
    "another layer": (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh()), "0 was .*ReLU and is .*Tanh"),
    "a dict": ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b was 2 and is 3"),
    "a set": ({"a", "b"}, {"a", "c"}, "it is another"),
    "an array": (numpy.arange(3), numpy.arange(3) + 1, "it is another"),
    "a long list": (list(range(99)), [*range(98), 0], "it is another"),
    "one entry more": ([1, 2], [1, 2, 3], "2 entries and is 3 entries"),
    "a seed": (numpy.random.default_rng(0), numpy.random.default_rng(1), "is"),
    "a generator of torch": (torch.Generator().manual_seed(0), torch.Generator().manual_seed(1), "it is another"),
    "a script": (torch.jit.script(nn.ReLU()), torch.jit.script(nn.Tanh()), "is another"),
    "a flag of None": (Weighted(0.0), Weighted(None), "weight was 0.0 and is None"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNLIKE)
def test_what_is_unlike_is_told_apart_and_named(case):
    one, other, words = UNLIKE[case]
    assert re.search(words, unlike(one, other)), unlike(one, other)
    assert unlike(one, one) == "" and unlike(other, other) == ""


ALIKE = {
    "comments, empty lines and docstrings": (loss(), loss(doc='"""Squares."""\n    ', comment="  # mean")),
    "another name": (loss(), defined("def other(o, t):\n    return ((o - t) ** 2).mean()", "other")),
    "two of the same": (closing(2), closing(2)),
    "two networks": (net(), net()),
    "copies": (nn.HuberLoss(), nn.HuberLoss()),
    "training or not": (net().eval(), net()),
    "the order of a set": ({"a", "b", "c"}, {"c", "b", "a"}),
    "equal tuples, be they one object or two": (closing((PAIR, PAIR)), closing((PAIR, (*PAIR,)))),
    "a name that is an attribute": (
        defined("def loss(o, t): return o.mean()", mean=1), defined("def loss(o, t): return o.mean()", mean=2)),
    "what nobody reads": (
        defined("def loss(o, t): return o", K=1), defined("def loss(o, t): return o", K=2)),
}  # fmt: skip


@pytest.mark.parametrize("case", ALIKE)
def test_what_is_alike_is_not_told_apart(case):
    assert unlike(*ALIKE[case]) == ""


def test_using_a_thing_changes_no_fingerprint():
    for thing in (net(), nn.LSTM(2, 3, 2), torch.ops.aten.relu.default, functools.cache(lambda x: x), Weighted(2.0)):
        before = fingerprint({"it": thing})
        if callable(thing):
            thing(torch.ones(4, 2), torch.ones(4, 2)) if isinstance(thing, Weighted) else thing(torch.ones(4, 2))
        assert differences(before, fingerprint({"it": thing})) == ""


def test_what_cannot_be_known_again_is_said():
    heard: list[str] = []
    lock = threading.Lock()
    fingerprint({"the loss": closing(lock), "the network": net(), "the optimizer": torch.optim.Adam}, heard.append)
    assert heard == [
        "In the loss nothing tells whether value (_thread.lock) is the same when a run is resumed: it is taken to be."
    ]
    for layer in (nn.LSTM(2, 3), nn.MultiheadAttention(4, 2), nn.Transformer(8, 2, 1, 1, batch_first=True)):
        fingerprint({"the network": layer}, heard.append)
    assert len(heard) == 1


def test_what_holds_itself_has_an_end():
    own: list[Any] = [1]
    own.append(own)
    assert unlike(own, own) == ""

    def recursive(output, target):
        return recursive(output, target) if output is None else output

    assert unlike(recursive, recursive) == ""


def test_code_of_another_python_is_not_compared():
    before, now = fingerprint({"the loss": loss()}), fingerprint({"the loss": loss(operation=" *")})
    before[PYTHON] = {"": "3.99"}
    assert differences(before, now) == ""
    before["the loss"]["p"] = "1"
    assert "p is no longer there" in differences(before, now)


def some_of_all() -> list[Any]:
    return [
        net(), loss(), {"a", "b", "c", "d"}, Weighted(1.0), twice_closing((1, frozenset("abcd"))), hooked(2.0),
        torch.vmap(closing(2)), numpy.random.default_rng(0), Weighted(1.0).method, nn.LSTM, tied(is_tied=True),
    ]  # fmt: skip


THERE = """
import json, sys
sys.path.insert(0, {folder!r})
from test_fingerprint import fingerprint, some_of_all
print(json.dumps([fingerprint({{"it": thing}}) for thing in some_of_all()]))
"""


def test_it_is_the_same_in_every_process():
    script = THERE.format(folder=str(Path(__file__).parent))
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )  # fmt: skip
    assert json.loads(ended.stdout) == [fingerprint({"it": thing}) for thing in some_of_all()]
    assert "0x" not in ended.stdout
