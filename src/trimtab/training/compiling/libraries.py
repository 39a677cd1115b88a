"""Libraries: compiled steps on disk, each under a name that says all it depends on.

Knows files; it knows no programs, and nothing of when something is compiled.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from trimtab.machine import as_before_compiling
from trimtab.training.compiling.compiled import BoundStep, CompiledStep
from trimtab.training.compiling.traced import Strides, TracedStep
from trimtab.training.programs.operands import Signature
from trimtab.training.programs.step import Features
from trimtab.whole_file import replacing

log = logging.getLogger(__name__)
CACHE_VARIABLE = "TRIMTAB_CACHE"
# A library takes some 3.3 MB, so that all of them together may take 1.7 GB of the disk. A guess.
KEPT_LIBRARIES = 512
# What lies about for longer was left by a compiler that was stopped: one takes half a minute, minutes at worst.
SECONDS_OF_AN_ATTEMPT = 3600
# How long the last steps took to compile here, and how many of them: a machine changes (a guess).
_SECONDS, KEPT_SECONDS = "seconds.json", 8


@dataclass(frozen=True)
class Compiled:
    """A compiled step, the names of the tensors it takes and the strides they must have, the features it has, and the
    only lanes and batch size that it serves, if it does not serve all."""

    step: CompiledStep
    names: tuple[str, ...]
    strides: tuple[Strides, ...]
    features: Features
    fixed: tuple[int, int] | None = None

    def serves(self, lanes: int, batch: int) -> bool:
        return self.fixed in (None, (lanes, batch))

    def bound_to(self, tensors: Mapping[str, Tensor]) -> BoundStep:
        """The program over the tensors it takes of `tensors`; RuntimeError where one does not lie as it was compiled
        for, since compiled code does not look and would read something else."""
        given = [tensors[name] for name in self.names]
        for name, tensor, strides in zip(self.names, given, self.strides, strict=True):
            if tensor.stride() != strides and not _lies_as(tensor, strides):
                raise RuntimeError(f"{name} has the strides {tensor.stride()}; it was compiled for {strides}.")
        return self.step.bound_to(given)


def _lies_as(tensor: Tensor, strides: Strides) -> bool:
    dimensions = zip(tensor.shape, tensor.stride(), strides, strict=True)
    return not tensor.numel() or all(size <= 1 or expected in (None, stride) for size, stride, expected in dimensions)


def name_of(key: str, signature: Signature) -> str:
    """The name of what is compiled for a program called `key`."""
    parts = (key, repr(signature), _machine(), _sources())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def load(path: Path, signature: Signature, *, threads: int) -> Compiled | None:
    """What was compiled into `path`; if that is damaged it is deleted, so that it is compiled again next time."""
    try:
        path.touch()
        document = json.loads(path.with_suffix(".json").read_text())
        # The system's loader does not survive a library that ends too soon.
        if hashlib.sha256(path.read_bytes()).hexdigest() != document["sha256"]:
            raise OSError(f"{path.name} is damaged")
        strides = tuple(tuple(of_one) for of_one in document["strides"])
        step = CompiledStep(path, threads=threads)
        return Compiled(step, tuple(document["names"]), strides, signature.features, signature.fixed)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        log.warning("A compiled step on disk cannot be used and is dropped: %s", error)
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def compile_into(out: Path, step: TracedStep) -> None:
    """Compile into `out`, which appears when it is whole, the names of its inputs before it."""
    from trimtab.training.compiling.lowering import lower

    out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder) / "step.so"
        with as_before_compiling():
            lower(step, part)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        document = {"names": step.names, "strides": step.strides, "sha256": digest}
        (Path(folder) / "step.json").write_text(json.dumps(document))
        os.replace(Path(folder) / "step.json", out.with_suffix(".json"))
        os.replace(part, out)
    _drop_oldest(out.parent)


def _drop_oldest(folder: Path) -> None:
    libraries = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime)
    for path in libraries[:-KEPT_LIBRARIES]:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
    for left in folder.glob("tmp*"):  # by compilers that were stopped
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > SECONDS_OF_AN_ATTEMPT:
                shutil.rmtree(left)


def note_seconds(folder: Path, seconds: float) -> None:
    """Remember what compiling a step took here; where that cannot be written it is not remembered."""
    with contextlib.suppress(OSError), replacing(folder / _SECONDS, is_shared=True) as part:
        part.write_text(json.dumps([*_noted(folder), round(seconds, 1)][-KEPT_SECONDS:]))


def usual_seconds(folder: Path, otherwise: float) -> float:
    """The median of what the last steps took to compile into `folder`; `otherwise` where none was."""
    noted = _noted(folder)
    return statistics.median(noted) if noted else otherwise


def _noted(folder: Path) -> list[float]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return [float(seconds) for seconds in json.loads((folder / _SECONDS).read_text())]
    return []


def cache_folder() -> Path:
    """Where compiled steps are kept: $TRIMTAB_CACHE, or the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"


@cache
def _machine() -> str:
    """What a library depends on besides its source: torch, and what this processor can do."""
    flags = ""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features")))
    return f"{torch.__version__} {platform.machine()} {flags}"


@cache
def _sources() -> str:
    """A digest of the code that libraries are traced from: another trimtab compiles anew."""
    package = Path(__file__).parents[2]
    files = sorted([*(package / "training").rglob("*.py"), *(package / "nets").glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
