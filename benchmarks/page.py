"""What a reader of RESULTS.md sees: the machine, and figures as a Markdown table.

Knows nothing of what was measured.
"""

import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import getloadavg
from pathlib import Path

import torch

from trimtab.machine import cores


def table(head: Sequence[str], rows: Iterable[Sequence[str | float | int]]) -> str:
    """A Markdown table; figures that are not text are shown with three digits."""
    lines = [list(head), ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def verdict(is_met: bool) -> str:
    return "pass" if is_met else "**miss**"


def machine(threads: int) -> str:
    """Date, versions, machine and command, one line each."""
    return "\n".join([
        f"{datetime.now(UTC):%Y-%m-%d}, trimtab {version('trimtab')}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {cores()} cores of {_processor()}, {threads} threads for the engine; "
        f"load average at the start {getloadavg()[0]:.1f}.",
        "",
        f"    python {' '.join(sys.orig_argv[1:])}",
    ])  # fmt: skip


def _processor() -> str:
    """The processor's name and the widest vectors and tiles it has (many virtual machines hide the name)."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in lines}
    flags = facts.get("flags", "").split()
    widest = [shown for flag, shown in (("avx512f", "AVX-512"), ("amx_bf16", "AMX")) if flag in flags]
    return f"{facts.get('model name', platform.machine())} ({', '.join(widest) or 'no AVX-512'})"
