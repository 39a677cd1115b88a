"""One process's way to a finished sweep of learning rates, told as JSON: importing, the sweep, the same again.

    python -m benchmarks.sweep.once THREADS [--quick]

`seconds` runs it. Knows nothing of caches.
"""

import json
import sys
from time import perf_counter, process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROWS, KEPT, INPUTS, BATCH = 1_000, 800, 10, 32


def rows() -> "tuple[Tensor, Tensor]":
    """Rows whose target is a smooth function of three inputs, with noise; the first `KEPT` are to train on."""
    import torch

    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, INPUTS, generator=draw)
    y = (2 * x[:, :1]).sin() + x[:, 1:2] * x[:, 2:3] + 0.1 * torch.randn(ROWS, 1, generator=draw)
    return x, y


def main() -> None:
    started = perf_counter()
    import torch  # noqa: F401 - timed by itself

    has_torch = perf_counter()
    import trimtab

    sweep = trimtab.sweep  # the name is resolved, and what it needs imported, on first use
    imported = perf_counter()
    from benchmarks.sweep.loop import network
    from benchmarks.sweep.terms import SEEDS, Terms

    terms = Terms(is_quick="--quick" in sys.argv, threads=int(sys.argv[1]))
    x, y = rows()
    figures: dict = {"torch": has_torch - started, "trimtab": imported - has_torch}
    for name in ("sweep", "again"):
        begun, worked = perf_counter(), process_time()
        found = sweep(
            lambda: network(INPUTS), (x[:KEPT], y[:KEPT]), (x[KEPT:], y[KEPT:]), lr=terms.rates, seeds=SEEDS,
            epochs=terms.epochs, batch_size=BATCH, threads=terms.threads,
        )  # fmt: skip
        figures |= {name: perf_counter() - begun, f"{name}_cpu": process_time() - worked}
        figures["losses"] = found.table["best"].to_list()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
