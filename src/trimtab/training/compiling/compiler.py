"""Compiler: steps compiled by torch into shared libraries, beside the training or before it.

Each is compiled once for any number of lanes, rows and steps and any batch size. Knows programs and processes; it knows
no runs, and nothing of when compiling is worth its time.
"""

import base64
import contextlib
import hashlib
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from trimtab.errors import first_line
from trimtab.training.compiling import libraries
from trimtab.training.compiling.libraries import Compiled, cache_folder, name_of
from trimtab.training.programs.chain_program import ChainProgram
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.operands import Signature
from trimtab.training.programs.program import Program
from trimtab.training.programs.vmap_program import VmapProgram

log = logging.getLogger(__name__)
# How long Ctrl-C may have to wait; far less than compiling takes.
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Wanted:
    """What is to be compiled, for any sizes; where a module cannot be traced for any, for `sizes`, lanes and batch."""

    signature: Signature
    sizes: tuple[int, int]


class Compiler:
    """Finds what was compiled on disk, or has it made; an attempt that failed is not repeated."""

    def __init__(self, *, threads: int = 1, folder: Path | None = None) -> None:
        self.threads = threads
        self.folder = folder or cache_folder() / "steps"
        self._pending: dict[str, Future] = {}
        self._loaded: dict[str, Compiled | None] = {}
        self._waiting: list[threading.Thread] = []
        self._children: list[subprocess.Popen] = []
        self._starting, self._is_closing = threading.Lock(), False

    def ready(self, program: Program, signature: Signature) -> Compiled | None:
        """What was compiled for this signature, if it is here already; never waits."""
        if not can_compile():
            return None
        name = _name(program, signature)
        if name not in self._loaded:
            attempt = self._pending.get(name)
            if self._is_on_disk(program, name):
                self._loaded[name] = libraries.load(self._library(name), signature, threads=self.threads)
            elif attempt is not None and attempt.done() and attempt.exception() is not None:
                log.warning("A step could not be compiled and runs as it is: %s", attempt.exception())
                self._loaded[name] = None
        return self._loaded.get(name)

    def usual_seconds(self, otherwise: float) -> float:
        """What compiling a step beside other work took on this machine lately, `otherwise` where none was compiled."""
        return libraries.usual_seconds(self.folder, otherwise)

    def is_busy(self) -> bool:
        return any(not future.done() for future in self._pending.values())

    def prepare(self, program: Program, wanted: Wanted) -> None:
        """Have a step compiled in a process of its own; `ready` gives it when it is there."""
        name = _name(program, wanted.signature)
        if not can_compile() or name in self._pending or name in self._loaded or self._is_on_disk(program, name):
            return
        self._pending[name] = attempt = Future()
        thread = threading.Thread(
            target=self._attempt, args=(program, name, wanted, attempt), daemon=True, name="trimtab-compiler"
        )
        self._waiting.append(thread)
        thread.start()

    def made(self, program: Program, wanted: Wanted) -> None:
        """Have a step compiled now if need be, so that `ready` gives it, or None where it cannot be compiled (said
        once)."""
        if not can_compile():
            return
        if not program.key:
            self._make_here(program, wanted)
            return
        self.prepare(program, wanted)
        attempt = self._pending.get(_name(program, wanted.signature))
        while attempt is not None and not attempt.done():
            # Not without end, which would keep Ctrl-C waiting too where another thread is told of it.
            wait([attempt], timeout=SECONDS_BETWEEN_LOOKS)

    def close(self) -> None:
        """Stop what compiles in a process of its own, and the threads that wait for it."""
        with self._starting:
            self._is_closing = True
            for process in self._children:
                _kill(process)
        try:
            for thread in self._waiting:
                thread.join()
        finally:
            self._waiting.clear()
            self._is_closing = False

    def _make_here(self, program: Program, wanted: Wanted) -> None:
        """Trace a module that no other process can build; its graph is its name."""
        name = _name(program, wanted.signature)
        if name in self._loaded:
            return
        try:
            library, signature = _traced_into(self.folder, program, wanted)
            self._loaded[name] = libraries.load(library, signature, threads=self.threads)
        except Exception as error:
            log.warning("This module's step cannot be compiled and runs as it is: %s", first_line(error))
            self._loaded[name] = None

    def _is_on_disk(self, program: Program, name: str) -> bool:
        return bool(program.key) and self._library(name).exists()

    def _library(self, name: str) -> Path:
        return self.folder / f"{name}.so"

    def _attempt(self, program: Program, name: str, wanted: Wanted, attempt: Future) -> None:
        began = time.monotonic()
        try:
            (self._in_child if program.key else self._send_in_child)(program, name, wanted)
            libraries.note_seconds(self.folder, time.monotonic() - began)
            attempt.set_result(None)
        except BaseException as error:  # whoever waits must not wait for ever
            attempt.set_exception(error)

    def _in_child(self, program: Program, name: str, wanted: Wanted) -> None:
        """Have another process build the network anew and compile it."""
        spec = _network_of(program) | {"out": str(self._library(name))}
        self._run_child(spec | {"signature": asdict(wanted.signature)})

    def _send_in_child(self, program: Program, name: str, wanted: Wanted) -> None:
        """Send a module that only this process knows to another, which says under which name it compiled it."""
        spec = _network_of(program) | {"folder": str(self.folder)}
        printed = self._run_child(spec | {"signature": asdict(wanted.signature), "sizes": wanted.sizes})
        library, fixed = json.loads(printed.splitlines()[-1])
        signature = replace(wanted.signature, fixed=None if fixed is None else (fixed[0], fixed[1]))
        self._loaded[name] = libraries.load(Path(library), signature, threads=self.threads)

    def _run_child(self, spec: dict) -> str:
        """What another process printed when it had compiled what `spec` describes; RuntimeError where it could not."""
        with self._starting:
            if self._is_closing:
                raise RuntimeError("the compiler was stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", "trimtab.training.compiling.compiler"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
            self._children.append(process)
        with process:  # closes its pipes and waits for it
            try:
                printed, errors = process.communicate(json.dumps(spec))
            except BaseException:
                _kill(process)
                raise
            finally:
                with self._starting:
                    self._children.remove(process)
        if process.returncode != 0:
            raise RuntimeError((errors.strip().splitlines() or ["the compiler was stopped"])[-1])
        return printed


def _network_of(program: Program) -> dict:
    """What another process builds the same program of."""
    if isinstance(program, MLPProgram):
        return {"network": program.module.arguments}
    import cloudpickle  # takes classes and functions of a script or a notebook by value

    assert isinstance(program, VmapProgram | ChainProgram)
    content = cloudpickle.dumps((type(program), *program.parts))
    return {"pickled": base64.b64encode(content).decode(), "path": sys.path}


def _program_of(spec: dict) -> Program:
    """That program again."""
    from trimtab.nets.mlp import MLP

    if "network" in spec:
        spec["network"]["cardinalities"] = tuple(spec["network"]["cardinalities"])
        return MLPProgram(MLP(**spec["network"]))
    sys.path[:] = spec["path"]
    kind, *parts = pickle.loads(base64.b64decode(spec["pickled"]))  # noqa: S301 - by the caller itself
    return kind(*parts)


def _kill(process: subprocess.Popen) -> None:
    """End a compiler, with the C++ compiler that it waits for."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _name(program: Program, signature: Signature) -> str:
    """What a step is called in this process; on disk too where `program` has a key."""
    return name_of(program.key, signature) if program.key else f"{id(program)} {signature}"


@cache
def can_compile() -> bool:
    """Whether there is a C++ compiler; says once where there is none."""
    found = any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++"))
    if not found:
        log.warning("There is no C++ compiler (g++) here: training runs uncompiled, which is slower.")
    return found


def _constants_of(graph: torch.fx.GraphModule) -> str:
    """A digest of the tensors that a traced module brought along."""
    digest = hashlib.sha256()
    for name, value in sorted(vars(graph).items()):
        if isinstance(value, Tensor):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _traced_into(folder: Path, program: Program, wanted: Wanted) -> tuple[Path, Signature]:
    """Compile a module whose graph is its name; the library, and the signature that it has at last."""
    from trimtab.training.compiling.tracing import traced

    signature = wanted.signature
    try:
        step = traced(program, signature)
    except Exception:  # of any kind: what vmap takes with sizes that it knows it may still refuse without
        signature = replace(signature, fixed=wanted.sizes)
        step = traced(program, signature)
    library = folder / f"{name_of(step.module.code + _constants_of(step.module), signature)}.so"
    if not library.exists():
        libraries.compile_into(library, step)
    return library, signature


def _main() -> None:
    """Compile what standard input describes: how `Compiler.prepare` has it done in a process of its own."""
    from trimtab.training.compiling.tracing import traced

    spec = json.load(sys.stdin)
    torch.set_num_threads(1)
    program, signature = _program_of(spec), Signature.from_json(spec["signature"])
    if "out" in spec:
        libraries.compile_into(Path(spec["out"]), traced(program, signature))
        return
    library, signature = _traced_into(Path(spec["folder"]), program, Wanted(signature, tuple(spec["sizes"])))
    print(json.dumps((str(library), signature.fixed)))  # noqa: T201 - how a process answers


if __name__ == "__main__":
    _main()
