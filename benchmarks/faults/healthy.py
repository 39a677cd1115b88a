"""Healthy controls: reasonably tuned trainings of every data set, in the ways in which people train. Trains nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task

EPOCHS = 120
Knobs = Mapping[str, Any]


def candidates(task: Task) -> list[Setup]:
    """What is tried to find a good training of `task`."""
    return [
        Setup("", "candidate", task.name, {"width": 64, "depth": 2}, _knobs(lr, decay, dropout), split=0)
        for lr in (1e-3, 3e-3, 1e-2)
        for decay in (0.0, 0.1)
        for dropout in (0.0, 0.2)
    ]


def _knobs(lr: float, decay: float, dropout: float) -> dict[str, Any]:
    return {"optimizer": "adamw", "lr": lr, "weight_decay": decay, "dropout": dropout, "batch_size": 32,
            "epochs": EPOCHS, "stop": 20}  # fmt: skip


def controls(task: Task, tuned: Setup, kept: float) -> Iterator[Setup]:
    """The tuned training, which kept epoch `kept`, again: other seeds, schedules, dropout, small validation parts,
    other networks. Patience ends them, or a schedule that is as long as the tuned one took."""
    knobs, network = dict(tuned.knobs) | {"epochs": 300}, dict(tuned.network)
    planned = int(min(150, max(15, 1.3 * kept)))
    for seed in (1, 2, 3):
        yield Setup("", "tuned", task.name, network, knobs, seed)
    for seed in (4, 5, 8):
        # The cycle's peak is above the rate that suits a constant one, but no more than thrice.
        cycle = knobs | {"schedule": "one_cycle", "lr": min(0.01, 2 * knobs["lr"]), "epochs": planned, "stop": None}
        yield Setup("", "one_cycle", task.name, network, cycle, seed)
        yield Setup("", "cosine", task.name, network, knobs | {"schedule": "cosine", "epochs": planned}, seed)
        yield Setup("", "dropout", task.name, network, knobs | {"dropout": 0.3}, seed)
        yield Setup("", "few validation rows", task.name, network, knobs, seed, valid=40)
    for seed in (6, 7):
        yield Setup("", "tanh", task.name, network | {"activation": "tanh", "width": 32}, knobs, seed)
        yield Setup("", "silu", task.name, network | {"activation": "silu"}, knobs, seed)
