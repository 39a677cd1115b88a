"""Compiler: steps and evaluations compiled by torch into shared libraries, beside the training or before it.

Each is compiled once for any number of lanes, rows and steps and any batch size. Knows programs and processes; it knows
no runs, and nothing of when compiling is worth its time.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from trimtab.training import libraries
from trimtab.training.arguments import Signature
from trimtab.training.libraries import Compiled, cache_folder, name_of
from trimtab.training.mlp_program import MLPProgram
from trimtab.training.program import Program

log = logging.getLogger(__name__)


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
            return self._loaded.get(_memo(program, signature))
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
        """Have what is wanted compiled in a process of its own; `ready` gives each when it is there.

        A module that only this process knows is compiled in a thread.
        """
        if not can_compile():
            return
        if not program.key:
            self._prepare_here(program, wanted)
            return
        missing = {name_of(program.key, each.signature): each for each in wanted}
        missing = {name: each for name, each in missing.items() if self._is_missing(name)}
        if missing:
            attempt: Future = Future()
            self._pending |= dict.fromkeys(missing, attempt)
            arguments = (program, missing, attempt)
            thread = threading.Thread(target=self._in_child, args=arguments, daemon=True, name="trimtab-compiler")
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
            with contextlib.suppress(Exception):  # said by `ready`
                if attempt := self._pending.get(name_of(program.key, each.signature)):
                    attempt.result()

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

    def _make_here(self, program: Program, wanted: Sequence[Wanted]) -> None:
        """Trace a module that no other process can build; its graph is its name."""
        for place, each in enumerate(wanted):
            memo = _memo(program, each.signature)
            if memo not in self._loaded:
                try:
                    self._loaded[memo] = self._traced_and_made(program, each.signature, each.sizes)
                except Exception as error:
                    kind = each.signature.kind
                    log.warning("This module's %s cannot be compiled and runs as it is: %s", kind, _first_line(error))
                    self._loaded |= {_memo(program, left.signature): None for left in wanted[place:]}
                    return

    def _traced_and_made(self, program: Program, signature: Signature, sizes: tuple[int, int]) -> Compiled | None:
        from trimtab.training.tracing import traced

        try:
            graph = traced(program, signature)
        except Exception:  # of any kind: what vmap takes with sizes that it knows it may still refuse without
            signature = replace(signature, fixed=sizes)
            graph = traced(program, signature)
        library = self._library(name_of(graph.module.code + _constants_of(graph.module), signature))
        if not library.exists():
            libraries.compile_into(library, graph)
        return libraries.load(library, signature, threads=self.threads)

    def _prepare_here(self, program: Program, wanted: Sequence[Wanted]) -> None:
        memos = [_memo(program, each.signature) for each in wanted]
        if all(memo in self._loaded or memo in self._pending for memo in memos):
            return
        attempt: Future = Future()
        self._pending |= dict.fromkeys(memos, attempt)

        def compile_and_tell() -> None:
            self._make_here(program, wanted)
            attempt.set_result(None)

        threading.Thread(target=compile_and_tell, daemon=True, name="trimtab-compiler").start()

    def _is_missing(self, name: str) -> bool:
        return name not in self._pending and name not in self._loaded and not self._library(name).exists()

    def _library(self, name: str) -> Path:
        return self.folder / f"{name}.so"

    def _in_child(self, program: Program, missing: dict[str, Wanted], attempt: Future) -> None:
        assert isinstance(program, MLPProgram)
        outs = [
            {"signature": asdict(each.signature), "out": str(self._library(name))} for name, each in missing.items()
        ]
        spec = {"network": program.module.arguments, "libraries": outs}
        try:
            process, errors = self._run_child(json.dumps(spec))
            if process.returncode != 0:
                raise RuntimeError((errors.strip().splitlines() or ["the compiler was stopped"])[-1])
            attempt.set_result(None)
        except Exception as error:
            attempt.set_exception(error)

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


def _constants_of(graph: torch.fx.GraphModule) -> str:
    """A digest of the tensors that a traced module brought along."""
    digest = hashlib.sha256()
    for name, value in sorted(vars(graph).items()):
        if isinstance(value, Tensor):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _main() -> None:
    """Compile what standard input describes: how `Compiler.prepare` has it done in a process of its own."""
    from trimtab.nets.mlp import MLP
    from trimtab.training.tracing import traced

    spec = json.load(sys.stdin)
    torch.set_num_threads(1)
    spec["network"]["cardinalities"] = tuple(spec["network"]["cardinalities"])
    program = MLPProgram(MLP(**spec["network"]))
    for library in spec["libraries"]:
        libraries.compile_into(Path(library["out"]), traced(program, Signature.from_json(library["signature"])))


if __name__ == "__main__":
    _main()
