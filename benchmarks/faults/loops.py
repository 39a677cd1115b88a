"""Plain PyTorch loops with something wrong in them, told to a recorder as anybody's loop would be."""

import math

import numpy
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.faults.networks import network
from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task
from trimtab.findings.training_record import TrainingRecord

_OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def without_zero_grad(
    setup: Setup, task: Task, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor]
) -> TrainingRecord:
    """The loop that forgets `optimizer.zero_grad()`; or (loop "plain") the same that does not, and that stops ten
    epochs after its best, whose weights it keeps."""
    torch.manual_seed(setup.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps are tiny: more threads wait for each other
    try:
        return _trained(setup, task, train, valid)
    finally:
        torch.set_num_threads(threads)


def _trained(setup: Setup, task: Task, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor]) -> TrainingRecord:
    module = network(task.inputs.shape[1], task.outputs, **setup.network, is_flat=task.is_regression)
    knobs = dict(setup.knobs)
    optimizer = _OPTIMIZERS[knobs["optimizer"]](module.parameters(), lr=knobs["lr"])
    loss_of = mse_loss if task.is_regression else cross_entropy
    (inputs, targets), (judged, truth) = train, valid
    size, rows = knobs.get("batch_size", 32), len(targets)
    curves: dict[str, list[float]] = {"train": [], "valid": [], "norm": []}
    best = 0
    for _ in range(knobs["epochs"]):
        order, losses, squares = torch.randperm(rows), [], []
        for batch in order.split(size):
            if setup.loop != "no zero_grad":
                optimizer.zero_grad()
            loss = loss_of(module(inputs[batch]), targets[batch])
            loss.backward()
            losses.append(loss.detach())
            squares.append(torch.nn.utils.clip_grad_norm_(module.parameters(), math.inf).square())
            optimizer.step()
        with torch.no_grad():
            curves["train"].append(float(torch.stack(losses).mean()))
            curves["valid"].append(loss_of(module(judged), truth).item())
            curves["norm"].append(float(torch.stack(squares).mean().sqrt()))
        best = int(numpy.argmin(curves["valid"]))
        if setup.loop == "plain" and len(curves["valid"]) - best > 10:
            break
    epochs = numpy.arange(1.0, len(curves["valid"]) + 1)
    valid_curve = numpy.array(curves["valid"])
    return TrainingRecord(
        epochs, train_loss=numpy.array(curves["train"]), validation_loss=valid_curve,
        rate=numpy.full(len(epochs), knobs["lr"]), signals={"gradient_norm": numpy.array(curves["norm"])},
        kept=float(best + 1) if setup.loop == "plain" else None,
        knobs={"optimizer": knobs["optimizer"], "lr": knobs["lr"], "batch_size": size},
        facts={"train_rows": float(rows), "validation_rows": float(len(truth))},
        task="regression" if task.is_regression else "classification",
    )  # fmt: skip
