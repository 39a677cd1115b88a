"""What this process may use of the machine: cores, memory, devices. Knows nothing of training."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from trimtab.errors import OptionError
from trimtab.settings.shared_setting import SharedSetting

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_COMPILERS_FOLDERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")  # noted in the environment for processes it starts


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
    """Set torch and Python up for lanes that share the cores; what was set before is put back.

    Two threads per product wait for each other at every one of them, which on a shared machine costs up to tenfold; and
    a thread that comes back from a product should not wait 5 ms for the interpreter.
    """
    with one_torch_thread(), _switch_interval.at(5e-5):
        yield


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch works with one thread for what this thread asks of it; others, and those to come, keep theirs."""
    before = torch.get_num_threads()
    _set_torch_threads(1)
    try:
        yield
    finally:
        _set_torch_threads(before)


def be_a_thread_of_lanes(threads: int = 1) -> None:
    """Set the calling thread, which is ours alone, up for stepping lanes; where they are fewer than the cores, each of
    its products is made by so many `threads`."""
    _set_torch_threads(threads)
    torch.set_flush_denormal(True)


def _set_torch_threads(count: int) -> None:
    """torch keeps a number for every thread, and one more that new threads begin with: setting the first sets both, so
    a new thread notes the second and puts it back."""
    if torch.get_num_threads() == count:
        return
    is_noted, is_set = threading.Event(), threading.Event()

    def keep() -> None:
        usual = torch.get_num_threads()
        is_noted.set()
        is_set.wait()
        torch.set_num_threads(usual)

    keeper = threading.Thread(target=keep, daemon=True, name="trimtab-keeper")
    with _torch_threads:
        keeper.start()
        try:
            is_noted.wait()
            torch.set_num_threads(count)
        finally:
            is_set.set()
            keeper.join()


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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """numpy and scipy multiply with one thread."""
    with _blas_threads.at(1):
        yield


@contextmanager
def as_before_compiling() -> Iterator[None]:
    """What torch's compiler sets for the whole process while it works is put back afterwards."""
    with _compiling.at(True):
        yield


def _put_compiling(_: bool) -> Callable[[], object]:
    """Nothing is set here; what there is now is put back."""
    environment, limit = set(os.environ), sys.getrecursionlimit()
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    had_monitor = getattr(bars, "monitor", None) is not None

    def put_back() -> None:
        for name in _COMPILERS_FOLDERS:
            if name not in environment:
                os.environ.pop(name, None)
        with contextlib.suppress(RecursionError):  # this deep in the caller's own program
            sys.setrecursionlimit(limit)
        bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
        if bars is not None and bars.monitor is not None and not had_monitor:
            bars.monitor.exit()  # a thread that looks after progress bars
            bars.monitor = None

    return put_back


def _put_switch_interval(seconds: float) -> Callable[[], object]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    return lambda: sys.setswitchinterval(before)


def _put_blas_threads(count: int) -> Callable[[], object]:
    """threadpoolctl lets a thread that has set a limit rule until it ends, so it is one that ends with the limit."""
    is_set, is_over = threading.Event(), threading.Event()

    def keep() -> None:
        try:
            with threadpool_limits(count, user_api="blas"):
                is_set.set()
                is_over.wait()
        finally:
            is_set.set()

    keeper = threading.Thread(target=keep, daemon=True, name="trimtab-keeper")
    keeper.start()
    is_set.wait()

    def put_back() -> None:
        is_over.set()
        keeper.join()

    return put_back


_torch_threads = threading.Lock()
_switch_interval = SharedSetting(_put_switch_interval)
_blas_threads = SharedSetting(_put_blas_threads)
_compiling = SharedSetting(_put_compiling)


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
