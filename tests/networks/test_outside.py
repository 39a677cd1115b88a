"""What a function reads from outside is known again where it can be, and named where it cannot."""

import os
import re
import sys
import types

import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.networks.differences import differences
from trimtab.networks.fingerprint import fingerprint


def defined(source):
    """The loss of somebody's script."""
    module = types.ModuleType("somebodys_script")
    vars(module)["torch"] = torch
    exec(source, vars(module))  # noqa: S102
    return vars(module)["loss"]


ENVIRONMENT = {
    "by its name": "import os\ndef loss(o, t): return o ** float(os.environ['POWER_X'])",
    "with a value instead": "import os\ndef loss(o, t): return o ** float(os.environ.get('POWER_X', '2'))",
    "by getenv": "import os\ndef loss(o, t): return o ** float(os.getenv('POWER_X'))",
    "taken from os": "from os import environ\ndef loss(o, t): return o ** float(environ['POWER_X'])",
    "getenv taken from os": "from os import getenv\ndef loss(o, t): return o ** float(getenv('POWER_X'))",
    "imported inside": "def loss(o, t):\n    import os\n    return o ** float(os.environ['POWER_X'])",
    "taken from os inside": "def loss(o, t):\n    from os import environ as e\n    return o ** float(e['POWER_X'])",
    "named elsewhere": "import os\nNAME = 'POWER_X'\ndef loss(o, t): return o ** float(os.environ[NAME])",
    "in a function of it": (
        "import os\ndef power(): return float(os.environ['POWER_X'])\ndef loss(o, t): return o ** power()"
    ),
}  # fmt: skip
OWN_MODULES = {
    "of a module in a package": "import pack_x.inner_x\ndef loss(o, t): return o ** pack_x.inner_x.POWER",
    "imported inside": "def loss(o, t):\n    from pack_x.inner_x import POWER\n    return o ** POWER",
    "of a module imported inside": "def loss(o, t):\n    import pack_x.inner_x as own\n    return o ** own.POWER",
    "by getattr": "from pack_x import inner_x\ndef loss(o, t): return o ** getattr(inner_x, 'POWER')",
}
UNKNOWN = {
    "a file": ("def loss(o, t): return o * float(open('scale.txt').read())", "open"),
    "a path": ("from pathlib import Path\ndef loss(o, t): return o * float(Path('s').read_text())", "read_text"),
    "the arguments": ("import sys\ndef loss(o, t): return o * len(sys.argv)", r"sys\.argv"),
    "the clock": ("import time as t0\ndef loss(o, t): return o * t0.time()", r"time\.time"),
    "tensors from a file": ("def loss(o, t): return o * torch.load('w.pt')", r"torch\.load"),
    "code in a text": ("def loss(o, t): return o * eval(TEXT)", "eval"),
    "any variable": ("import os\ndef loss(o, t): return o * float(os.environ[t])", r"os\.environ"),
}


@pytest.mark.parametrize("source", ENVIRONMENT.values(), ids=ENVIRONMENT)
def test_another_value_in_the_environment_is_another_loss(source, monkeypatch):
    monkeypatch.setenv("POWER_X", "2")
    loss, heard = defined(source), []
    before = fingerprint({"the loss": loss}, heard.append)
    monkeypatch.setenv("OTHER_X", "changes nothing")
    assert differences(before, fingerprint({"the loss": loss}, heard.append)) == "" and heard == []
    monkeypatch.setenv("POWER_X", "a secret")
    now = fingerprint({"the loss": loss})
    assert "POWER_X in the environment is another" in differences(before, now) and "a secret" not in str(now)
    monkeypatch.delenv("POWER_X")
    assert "POWER_X in the environment is another" in differences(before, fingerprint({"the loss": loss}))


@pytest.mark.parametrize("source", OWN_MODULES.values(), ids=OWN_MODULES)
def test_what_own_modules_hold_is_known_however_it_is_reached(source, monkeypatch):
    package, inner = types.ModuleType("pack_x"), types.ModuleType("pack_x.inner_x")
    vars(package)["inner_x"], vars(inner)["POWER"] = inner, 2
    monkeypatch.setitem(sys.modules, "pack_x", package)
    monkeypatch.setitem(sys.modules, "pack_x.inner_x", inner)
    loss = defined(source)
    before = fingerprint({"the loss": loss})
    vars(inner)["POWER"] = 3
    assert "POWER was 2 and is 3" in differences(before, fingerprint({"the loss": loss}))


def test_globals_by_their_names_in_texts():
    loss = defined("POWER = 2\ndef loss(o, t): return o ** globals()['POWER']")
    before = fingerprint({"the loss": loss})
    loss.__globals__["POWER"] = 3
    assert "POWER was 2 and is 3" in differences(before, fingerprint({"the loss": loss}))


@pytest.mark.parametrize(("source", "name"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_nothing_tells_is_said(source, name):
    heard: list[str] = []
    fingerprint({"the loss": defined(source)}, heard.append)
    (sentence,) = heard
    assert re.search(rf"whether {name} \(read from outside\) is the same when a run is resumed", sentence)


def test_a_function_of_the_standard_library_is_none_of_the_callers():
    heard: list[str] = []
    parts = fingerprint({"it": {"getenv": os.getenv, "join": os.path.join}}, heard.append)
    assert heard == [] and parts["it"] == {"getenv": "os.getenv", "join": "posixpath.join"}


def test_a_run_does_not_go_on_with_another_value_in_the_environment(tmp_path, monkeypatch):
    x = torch.arange(12.0).reshape(6, 2)

    def loss(output, target):
        return (output - target).abs() ** float(os.environ["POWER_X"])

    def fit(epochs):
        return tt.fit(nn.Linear(2, 1), (x, x[:, :1]), None, loss=loss, epochs=epochs, checkpoint=tmp_path)

    monkeypatch.setenv("POWER_X", "2")
    torch.manual_seed(0)
    fit(1)
    monkeypatch.setenv("POWER_X", "3")
    torch.manual_seed(0)
    with pytest.raises(tt.CheckpointError, match="the loss differs: POWER_X in the environment is another"):
        fit(2)
