"""Compiler: steps and evaluations compiled by torch into shared libraries, beside the training or before it.

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
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from trimtab.errors import first_line
from trimtab.training.compiling import libraries
from trimtab.training.compiling.libraries import Compiled, cache_folder, name_of
from trimtab.training.programs.arguments import Signature
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.program import Program
from trimtab.training.programs.vmap_program import VmapProgram

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Wanted:
    """What is to be compiled, for any sizes; where a module cannot be traced for any, for `sizes`, lanes and batch."""

    signature: Signature
    sizes: tuple[int, int]


class Compiler:
    """Finds what was compiled on disk, or has it made; an attempt that failed is not repeated.

    What is wanted together is made one after the other; the first that fails ends the attempt.
    """

    def __init__(self, *, threads: int = 1, folder: Path | None = None) -> None:
        self.threads = threads
        self.folder = folder or cache_folder() / "steps"
        self._pending: dict[str, Future] = {}
        self._loaded: dict[str, Compiled | None] = {}
        self._told: set[Future] = set()
        self._waiting: list[threading.Thread] = []
        self._children: list[subprocess.Popen] = []
        self._starting, self._is_closing = threading.Lock(), False

    def ready(self, program: Program, signature: Signature) -> Compiled | None:
        """What was compiled for this signature, if it is here already; never waits."""
        if not can_compile():
            return None
        if not program.key:
            memo = _memo(program, signature)
            attempt = self._pending.get(memo)
            if memo not in self._loaded and attempt is not None and attempt.done() and attempt.exception() is not None:
                self._tell(attempt)
                self._loaded[memo] = None
            return self._loaded.get(memo)
        name = name_of(program.key, signature)
        if name not in self._loaded:
            attempt = self._pending.get(name)
            if self._library(name).exists():  # and whole, though its attempt may go on with what else is wanted
                self._loaded[name] = libraries.load(self._library(name), signature, threads=self.threads)
            elif attempt is not None and attempt.done() and attempt.exception() is not None:
                self._tell(attempt)
                self._loaded[name] = None
        return self._loaded.get(name)

    def _tell(self, attempt: Future) -> None:
        if attempt not in self._told:
            self._told.add(attempt)
            log.warning("A step could not be compiled and runs as it is: %s", attempt.exception())

    def is_busy(self) -> bool:
        return any(not future.done() for future in self._pending.values())

    def prepare(self, program: Program, wanted: Sequence[Wanted]) -> None:
        """Have what is wanted compiled in a process of its own; `ready` gives each when it is there."""
        if not can_compile():
            return
        if not program.key:
            missing = {_memo(program, each.signature): each for each in wanted}
            missing = {m: each for m, each in missing.items() if m not in self._pending and m not in self._loaded}
            compile_it = self._send_in_child
        else:
            missing = {name_of(program.key, each.signature): each for each in wanted}
            missing = {name: each for name, each in missing.items() if self._is_missing(name)}
            compile_it = self._in_child
        if missing:
            attempt: Future = Future()
            self._pending |= dict.fromkeys(missing, attempt)
            arguments = (compile_it, program, missing, attempt)
            thread = threading.Thread(target=self._attempt, args=arguments, daemon=True, name="trimtab-compiler")
            self._waiting.append(thread)
            thread.start()

    def made(self, program: Program, wanted: Sequence[Wanted]) -> None:
        """Have what is wanted compiled now if need be, so that `ready` gives it, or None where it cannot be compiled
        (said once)."""
        if not can_compile():
            return
        if not program.key:
            self._make_here(program, wanted)
            return
        self.prepare(program, wanted)
        for each in wanted:
            attempt = self._pending.get(name_of(program.key, each.signature))
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

    def _make_here(self, program: Program, wanted: Sequence[Wanted]) -> None:
        """Trace a module that no other process can build; its graph is its name."""
        for place, each in enumerate(wanted):
            memo = _memo(program, each.signature)
            if memo not in self._loaded:
                try:
                    self._loaded[memo] = self._traced_and_made(program, each.signature, each.sizes)
                except Exception as error:
                    kind = each.signature.kind
                    log.warning("This module's %s cannot be compiled and runs as it is: %s", kind, first_line(error))
                    self._loaded |= {_memo(program, left.signature): None for left in wanted[place:]}
                    return

    def _traced_and_made(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> Compiled | None:
        library, signature = _traced_into(self.folder, program, Wanted(signature, sizes))
        return libraries.load(library, signature, threads=self.threads)

    def _is_missing(self, name: str) -> bool:
        return name not in self._pending and name not in self._loaded and not self._library(name).exists()

    def _library(self, name: str) -> Path:
        return self.folder / f"{name}.so"

    @staticmethod
    def _attempt(
        compile_it: Callable[[Program, dict[str, Wanted]], None],
        program: Program,
        missing: dict[str, Wanted],
        attempt: Future,
    ) -> None:
        try:
            compile_it(program, missing)
            attempt.set_result(None)
        except BaseException as error:  # whoever waits must not wait for ever
            attempt.set_exception(error)

    def _in_child(self, program: Program, missing: dict[str, Wanted]) -> None:
        """Have another process build the network anew and compile it."""
        assert isinstance(program, MLPProgram)
        outs = [
            {"signature": asdict(each.signature), "out": str(self._library(name))} for name, each in missing.items()
        ]
        self._run_child({"network": program.module.arguments, "libraries": outs})

    def _send_in_child(self, program: Program, missing: dict[str, Wanted]) -> None:
        """Send a module that only this process knows to another, which says under which name it compiled it."""
        import cloudpickle  # takes classes and functions of a script or a notebook by value

        assert isinstance(program, VmapProgram)
        outs = [{"signature": asdict(each.signature), "sizes": each.sizes} for each in missing.values()]
        content = base64.b64encode(cloudpickle.dumps(program.parts)).decode()
        spec = {"pickled": content, "path": sys.path, "folder": str(self.folder), "libraries": outs}
        made = json.loads(self._run_child(spec).splitlines()[-1])
        for (memo, each), (library, fixed) in zip(missing.items(), made, strict=True):
            signature = replace(each.signature, fixed=None if fixed is None else (fixed[0], fixed[1]))
            self._loaded[memo] = libraries.load(Path(library), signature, threads=self.threads)

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


def _kill(process: subprocess.Popen) -> None:
    """End a compiler, with the C++ compiler that it waits for."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _memo(program: Program, signature: Signature) -> str:
    return f"{id(program)} {signature}"


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
        graph = traced(program, signature)
    except Exception:  # of any kind: what vmap takes with sizes that it knows it may still refuse without
        signature = replace(signature, fixed=wanted.sizes)
        graph = traced(program, signature)
    library = folder / f"{name_of(graph.module.code + _constants_of(graph.module), signature)}.so"
    if not library.exists():
        libraries.compile_into(library, graph)
    return library, signature


def _main() -> None:
    """Compile what standard input describes: how `Compiler.prepare` has it done in a process of its own."""
    from trimtab.nets.mlp import MLP
    from trimtab.training.compiling.tracing import traced

    spec = json.load(sys.stdin)
    torch.set_num_threads(1)
    if "pickled" in spec:
        sys.path[:] = spec["path"]
        program = VmapProgram(*pickle.loads(base64.b64decode(spec["pickled"])))  # noqa: S301 - by the caller itself
        made = []
        for each in spec["libraries"]:
            wanted = Wanted(Signature.from_json(each["signature"]), tuple(each["sizes"]))
            library, signature = _traced_into(Path(spec["folder"]), program, wanted)
            made.append((str(library), signature.fixed))
        print(json.dumps(made))  # noqa: T201 - how a process answers
        return
    spec["network"]["cardinalities"] = tuple(spec["network"]["cardinalities"])
    program = MLPProgram(MLP(**spec["network"]))
    for library in spec["libraries"]:
        libraries.compile_into(Path(library["out"]), traced(program, Signature.from_json(library["signature"])))


if __name__ == "__main__":
    _main()
