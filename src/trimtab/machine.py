"""What this process may use of the machine: cores, memory, devices. Knows nothing of training."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from trimtab.errors import OptionError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def cores() -> int:
    """Cores this process may use: its affinity, and the quota of its control group where there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def available_memory() -> int:
    """Bytes of memory that are free for this process, 0 where the machine does not tell."""
    free = []
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError, KeyError):
        pass
    return max(0, min(free, default=0))


def keep_freed_memory() -> None:
    """Ask the C library to keep freed memory for the next step instead of returning it page by page (glibc only).

    Training allocates the same few large tensors at every step; this saves about a fifth of its time. For a process of
    our own: the setting cannot be taken back.
    """
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return


@contextmanager
def lanes_in_threads() -> Iterator[None]:
    """Set torch and Python up for lanes that share the cores; the last study to end puts both settings back.

    Two threads per product wait for each other at every one of them, which on a shared machine costs up to tenfold; and
    a thread that comes back from a product should not wait 5 ms for the interpreter.
    """
    with _settings.lock:
        if _settings.users == 0:
            _settings.before = torch.get_num_threads(), sys.getswitchinterval()
            torch.set_num_threads(1)
            sys.setswitchinterval(5e-5)
        _settings.users += 1
    try:
        yield
    finally:
        with _settings.lock:
            _settings.users -= 1
            if _settings.users == 0:
                torch.set_num_threads(_settings.before[0])
                sys.setswitchinterval(_settings.before[1])


@contextmanager
def no_denormals() -> Iterator[None]:
    """In this thread, numbers too small for float32's full precision (below 1e-38) count as 0, where the processor can.

    A run that has learnt its rows by heart has gradients full of them, and each costs a hundred times what others do.
    """
    is_set_already = float(torch.tensor(1e-39) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(is_set_already)


@dataclass
class _ProcessSettings:
    """What belongs to the whole process, and how many studies run under it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    before: tuple[int, float] = (1, 0.005)


_settings = _ProcessSettings()


def device_named(name: str | torch.device) -> torch.device:
    """The device called `name` ("auto", "cpu", "cuda", "cuda:1"); raises OptionError with the list of what is here."""
    name = str(name)
    there = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device("cuda" if "cuda" in there else "cpu")
    if name not in there:
        raise OptionError(f'There is no device "{name}" here. Choose one of: auto, {", ".join(there)}.')
    return torch.device(name)
