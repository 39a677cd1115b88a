"""What a call could leave behind in its process, and in the caller's own module: noted before it, compared after it."""

import contextlib
import gc
import hashlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import psutil
import torch
from threadpoolctl import threadpool_info
from torch import nn

RUNNING = ("threads", "child processes", "open files")
SECONDS_TO_END = 10.0  # a guess: more than any thread or process takes to end on a machine that is busy


def noted(modules: Iterable[nn.Module] = (), folders: Iterable[Path] = ()) -> dict[str, Any]:
    """Everything by its name, in forms that can be compared."""
    return {
        "threads": sorted(f"{thread.name} {thread.ident}" for thread in threading.enumerate()),
        "child processes": sorted(child.pid for child in psutil.Process().children(recursive=True)),
        "open files": _open_files(),
        "files": sorted(str(path) for folder in folders for path in folder.rglob("*")),
        "modules": [_of_module(module) for module in modules],
        **_settings(),
    }


def _settings() -> dict[str, Any]:
    import optuna

    return {
        "torch threads": (torch.get_num_threads(), in_another_thread(torch.get_num_threads)),
        "torch": (
            torch.get_float32_matmul_precision(), torch.get_default_dtype(), torch.get_default_device(),
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"),
            torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(),
            torch.backends.mkldnn.enabled, float(torch.tensor(1e-39) * 1) == 0,
            torch._C._functorch.maybe_current_level(),
        ),
        "threads of BLAS": sorted((each["filepath"], each["num_threads"]) for each in threadpool_info()),
        "torch's generator": _digest(torch.default_generator.get_state().numpy().tobytes()),
        "numpy's generator": _digest(pickle.dumps(numpy.random.get_state())),
        # Not Python's own: whoever checks shapes in these tests draws from it.
        "optuna's verbosity": optuna.logging.get_verbosity(),
        "logging": _loggers(),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "the process": (Path.cwd(), _umask(), list(sys.path), sys.getswitchinterval(), sys.getrecursionlimit()),
        "streams": tuple((id(s), getattr(s, "errors", "")) for s in (sys.stdin, sys.stdout, sys.stderr)),
        "hooks": (sys.excepthook, threading.excepthook, sys.gettrace(), sys.getprofile()),
        "numpy": (numpy.geterr(), numpy.get_printoptions()),
    }  # fmt: skip


@contextmanager
def nothing_left(modules: Iterable[nn.Module] = (), folders: Iterable[Path] = ()) -> Iterator[None]:
    """Fails where something is otherwise after the block than before it, whether the block raises or not."""
    modules, folders = list(modules), list(folders)
    before = noted(modules, folders)
    try:
        yield
    finally:
        left = _difference(before, noted(modules, folders))
        until = time.monotonic() + SECONDS_TO_END
        while left and time.monotonic() < until:  # what has ended may take a moment to be gone
            gc.collect()
            time.sleep(0.02)
            left = _difference(before, noted(modules, folders))
        assert not left, left


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple]:
    # What is imported on the way may make loggers; they are nobody's yet.
    after = after | {"logging": {name: after["logging"].get(name) for name in before["logging"]}}
    # What another call had begun may end meanwhile: of what runs and is open only what is new is left by this one.
    new = {name: [each for each in after[name] if each not in before[name]] for name in RUNNING}
    before = before | {name: [] for name in RUNNING}
    after = after | new
    return {name: _parted(before[name], after[name]) for name in before if before[name] != after[name]}


def _parted(before: Any, after: Any) -> tuple:
    """What was there before alone, and what is there now alone."""
    if isinstance(before, dict):
        before, after = list(before.items()), list(after.items())
    if isinstance(before, (list, tuple)):
        return [x for x in before if x not in after], [x for x in after if x not in before]
    return before, after


def in_another_thread(function: Any) -> Any:
    """What `function` gives in a thread that is new."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(function()))
    thread.start()
    thread.join()
    return given[0]


def _open_files() -> list[str]:
    names = []
    for number in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of looking
            names.append(f"{number.name} {number.readlink()}")
    return sorted(name for name in names if "/proc/" not in name)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _loggers() -> dict[str, tuple]:
    named = {"": logging.root} | {
        name: logger for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    }
    return {
        name: (logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled)
        for name, logger in named.items()
        if not name.startswith("torch.")  # made, with a level, when a part of torch is imported
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _of_module(module: nn.Module) -> dict[str, Any]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    return {
        "hooks": [len(getattr(child, kind)) for child in module.modules() for kind in kinds],
        "hooks of gradients": [len(getattr(p, "_post_accumulate_grad_hooks", None) or ()) for p in module.parameters()],
        "training": [child.training for child in module.modules()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "gradients": [p.grad is None for p in module.parameters()],
        "values": [t.detach().clone().tolist() for t in module.state_dict().values()],
        "attributes": [sorted(vars(child)) for child in module.modules()],
    }
