"""Compiler: steps compiled by torch into shared libraries, beside the training or before it, and kept on disk.

A step is compiled once for any number of lanes, rows and steps and any batch size. Knows programs and files; it knows
no runs, and nothing of when compiling is worth its time.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trimtab.errors import first_line
from trimtab.training.arguments import Signature
from trimtab.training.compiled import CompiledStep
from trimtab.training.mlp_program import MLPProgram
from trimtab.training.program import Program
from trimtab.training.step import Features

if TYPE_CHECKING:
    from trimtab.training.tracing import Graph

log = logging.getLogger(__name__)
CACHE_VARIABLE = "TRIMTAB_CACHE"
KEPT_LIBRARIES = 256
SECONDS_OF_AN_ATTEMPT = 3600
# The wrapper around the kernels is long and runs once a step: compiling it without optimisation costs nothing there.
_OPTIONS = {"aot_inductor.compile_wrapper_opt_level": "O0", "max_autotune": False}


@dataclass(frozen=True)
class Compiled:
    """A compiled step, the names of the tensors it takes, the features it has, and the only lanes and batch size that
    it serves, if it does not serve all."""

    step: CompiledStep
    names: tuple[str, ...]
    features: Features
    fixed: tuple[int, int] | None = None


class Compiler:
    """Finds compiled steps on disk, or has them made; an attempt that failed is not repeated."""

    def __init__(self, *, threads: int = 1, folder: Path | None = None) -> None:
        self.threads = threads
        self.folder = folder or cache_folder() / "steps"
        self._pending: dict[str, Future] = {}
        self._loaded: dict[str, Compiled | None] = {}
        self._waiting: list[threading.Thread] = []
        self._children: list[subprocess.Popen] = []
        self._starting, self._is_closing = threading.Lock(), False
        self.seconds = 0.0

    def ready(self, program: Program, signature: Signature) -> Compiled | None:
        """The compiled step, if it is here already; never waits."""
        if not can_compile():
            return None
        if not program.key:
            return self._loaded.get(_memo(program, signature))
        name = self._name(program.key, signature)
        if name in self._loaded:
            return self._loaded[name]
        if name in self._pending and not self._pending[name].done():
            return None
        failed = name in self._pending and self._pending[name].exception() is not None
        if failed:
            log.warning("A step could not be compiled and runs as it is: %s", self._pending[name].exception())
            self._loaded[name] = None
        elif self._library(name).exists():
            self._loaded[name] = self._load(name, signature)
        return self._loaded.get(name)

    def is_busy(self) -> bool:
        return any(not future.done() for future in self._pending.values())

    def prepare(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> None:
        """Have the step compiled in a process of its own; `ready` gives it when it is there.

        A module that only this process knows is compiled in a thread.
        """
        if not can_compile():
            return
        if not program.key:
            self._prepare_here(program, signature, sizes)
            return
        name = self._name(program.key, signature)
        if name not in self._pending and name not in self._loaded and not self._library(name).exists():
            self._pending[name] = future = Future()
            arguments = (name, program, signature, future)
            thread = threading.Thread(target=self._in_child, args=arguments, daemon=True, name="trimtab-compiler")
            self._waiting.append(thread)
            thread.start()

    def made(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> Compiled | None:
        """The compiled step, compiled now if need be; None where it cannot be (said once).

        A module that cannot be traced for any number of lanes and rows is compiled for `sizes`, lanes and batch size.
        """
        if not can_compile():
            return None
        if program.key:
            self.prepare(program, signature, sizes)
            name = self._name(program.key, signature)
            with contextlib.suppress(Exception):  # said by `ready`
                if name in self._pending:
                    self._pending[name].result()
            return self.ready(program, signature)
        return self._made_here(program, signature, sizes)

    def close(self) -> None:
        """Stop what compiles in a process of its own, and the threads that wait for it."""
        with self._starting:
            self._is_closing = True
            for process in self._children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # with the C++ compiler that it waits for
        for thread in self._waiting:
            thread.join()
        self._waiting.clear()
        self._is_closing = False

    def _made_here(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> Compiled | None:
        """Trace a module that no other process can build; its graph is its name."""
        memo = _memo(program, signature)
        if memo not in self._loaded:
            try:
                self._loaded[memo] = self._traced_and_made(program, signature, sizes)
            except Exception as error:
                log.warning("This module's step cannot be compiled and runs as it is: %s", first_line(error))
                self._loaded[memo] = None
        return self._loaded[memo]

    def _traced_and_made(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> Compiled | None:
        from trimtab.training.tracing import traced

        try:
            graph = traced(program, signature)
        except Exception:  # of any kind: what vmap takes with sizes that it knows it may still refuse without
            signature = replace(signature, fixed=sizes)
            graph = traced(program, signature)
        name = self._name(graph.module.code + _constants_of(graph.module), signature)
        if not self._library(name).exists():
            _compile(graph, self._library(name))
        return self._load(name, signature)

    def _prepare_here(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> None:
        memo = _memo(program, signature)
        if memo in self._loaded or memo in self._pending:
            return
        self._pending[memo] = future = Future()

        def compile_and_tell() -> None:
            self._made_here(program, signature, sizes)
            future.set_result(None)

        threading.Thread(target=compile_and_tell, daemon=True, name="trimtab-compiler").start()

    def _name(self, key: str, signature: Signature) -> str:
        parts = (key, repr(signature), _machine(), _sources())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _library(self, name: str) -> Path:
        return self.folder / f"{name}.so"

    def _load(self, name: str, signature: Signature) -> Compiled | None:
        """The step in the library `name`; one that is damaged is deleted, so that it is compiled again next time."""
        path = self._library(name)
        try:
            path.touch()
            document = json.loads(path.with_suffix(".json").read_text())
            # The system's loader does not survive a library that ends too soon.
            if hashlib.sha256(path.read_bytes()).hexdigest() != document["sha256"]:
                raise OSError(f"{path.name} is damaged")
            return Compiled(
                CompiledStep(path, threads=self.threads), tuple(document["names"]), signature.features, signature.fixed
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            log.warning("A compiled step on disk cannot be used and is dropped: %s", first_line(error))
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def _in_child(self, name: str, program: Program, signature: Signature, future: Future) -> None:
        assert isinstance(program, MLPProgram)
        spec = {"network": program.module.arguments, "signature": asdict(signature), "out": str(self._library(name))}
        try:
            process, errors = self._run_child(json.dumps(spec))
            if process.returncode != 0:
                raise RuntimeError((errors.strip().splitlines() or ["the compiler was stopped"])[-1])
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)

    def _run_child(self, spec: str) -> tuple[subprocess.Popen, str]:
        """The process when it has ended, and what it complained of."""
        with self._starting:
            if self._is_closing:
                raise RuntimeError("the compiler was stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", "trimtab.training.compiler"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
            self._children.append(process)
        try:
            return process, process.communicate(spec)[1]
        finally:
            with self._starting:
                self._children.remove(process)


def _memo(program: Program, signature: Signature) -> str:
    return f"{id(program)} {signature}"


@cache
def can_compile() -> bool:
    """Whether there is a C++ compiler; says once where there is none."""
    found = any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++"))
    if not found:
        log.warning("There is no C++ compiler (g++) here: training runs uncompiled, which is slower.")
    return found


def cache_folder() -> Path:
    """Where compiled steps and measured widths are kept: $TRIMTAB_CACHE, or the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"


@cache
def _machine() -> str:
    """What a compiled step depends on besides its source: torch, and what this processor can do."""
    flags = ""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features")))
    return f"{torch.__version__} {platform.machine()} {flags}"


@cache
def _sources() -> str:
    """A digest of the code that a step is traced from: another trimtab compiles anew."""
    package = Path(__file__).parent.parent
    files = sorted([*(package / "training").glob("*.py"), *(package / "nets").glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _compile(graph: "Graph", out: Path) -> None:
    """Compile into `out`, which appears when it is whole, the names of its inputs before it."""
    import torch._inductor

    out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder) / "step.so"
        options = {**_OPTIONS, "aot_inductor.output_path": str(part)}
        torch._inductor.aot_compile(graph.module, graph.fakes, options=options)
        document = {"names": graph.names, "sha256": hashlib.sha256(part.read_bytes()).hexdigest()}
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


def _constants_of(graph: torch.fx.GraphModule) -> str:
    """A digest of the tensors that a traced module brought along."""
    digest = hashlib.sha256()
    for name, value in sorted(vars(graph).items()):
        if isinstance(value, Tensor):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _main() -> None:
    """Compile what standard input describes: how `Compiler.prepare` has it done in a process of its own."""
    from trimtab.nets.mlp import MLP
    from trimtab.training.tracing import traced

    spec = json.load(sys.stdin)
    torch.set_num_threads(1)
    spec["network"]["cardinalities"] = tuple(spec["network"]["cardinalities"])
    program = MLPProgram(MLP(**spec["network"]))
    _compile(traced(program, Signature.from_json(spec["signature"])), Path(spec["out"]))


if __name__ == "__main__":
    _main()
