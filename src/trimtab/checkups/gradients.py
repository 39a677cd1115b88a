"""Gradients: whether they reach every parameter and every unit at the start, and keep their size on the way.

The rules on units and layers are those of `findings.network`. Knows what a `Start` tells; it trains nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy
import torch
from torch import nn

from trimtab.checkups.setup import Setup
from trimtab.checkups.start import Start, code_of
from trimtab.checkups.suspicion import Change, Suspicion
from trimtab.findings import network
from trimtab.findings.data.scaling import LARGE
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.words import percent, times
from trimtab.text.wording import counted, listed

_SHOWN = 4  # names that a sentence bears
# Activations with flat ends, through many of which gradients vanish, and those behind which units die.
_FLAT, _DYING = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign), (nn.ReLU, nn.ReLU6)
# A gradient that small beside the last layer's is less than the error of a float32.
_NOTHING = float(numpy.finfo(numpy.float32).eps)


def reached(start: Start) -> Suspicion | str:
    """Whether every parameter gets a gradient: those that forward leaves out or detaches have none, and those whose
    gradient is 0 in every step, be a layer dead or not, do not learn either."""
    dead = any(share == 1 for share in start.dead.values())
    missing = start.unreached + (() if dead else start.at_zero)
    if not missing:
        return "Gradients reach every parameter."
    numbers = dict(zip(start.names, start.sizes, strict=True))
    share = sum(numbers[name] for name in missing) / sum(start.sizes)
    owner = missing[0].rpartition(".")[0]
    finding = Finding(
        "vanishing_gradients",
        "high" if share > 0.01 else "medium",
        f"No gradient reaches {len(missing)} of the {counted(len(start.names), 'parameter')}, {percent(share)} of all "
        f"trained numbers: {_some(missing)}.",
        {"parameters": list(missing), "share": share},
        Effect("They stay as they were initialised, whatever the training."),
        Remedy(
            "Look in forward for detach(), .data, torch.no_grad() or a branch that is never used between them and the "
            "output; if they are meant to stay as they are, say so.",
            code=f"{code_of(owner)}.requires_grad_(False)",
        ),
    )  # fmt: skip
    return Suspicion(finding, is_certain=True)


def units(setup: Setup, start: Start) -> Suspicion | NotChecked | str:
    """Whether a layer's units are dead: no row gives their weights a gradient."""
    if not start.dead:
        return NotChecked("dead_units", "the network has no linear or convolutional layer that is trained")
    found = network.dead_units(_record(start, dead_by_layer=numpy.array([list(start.dead.values())])))
    if not isinstance(found, Finding):
        return "Rows reach the units of every layer."
    share = found.evidence["share"]
    # Behind a layer that is dead altogether those before it seem to be so too: the last is the cause.
    place = [name for name, each in start.dead.items() if each == share][-1]
    again = Change(
        "dead layer made anew", lambda each: each.with_network(lambda module: _made_anew(module, [place])),
        Remedy("Initialise the layer anew, as torch does.", code=f"{code_of(place)}.reset_parameters()"),
    )  # fmt: skip
    changes = [again]
    if _has(setup, _DYING):
        changes.append(_silu("ReLU", _DYING))
    finding = replace(
        found,
        statement=f"{percent(share)} of the units of layer {place or 'one'} are dead before training begins: no row "
        "gives their weights a gradient.",
        evidence={"layer": place, "share": share, "by_layer": dict(start.dead)},
        remedy=again.remedy,
    )  # fmt: skip
    return Suspicion(finding, tuple(changes), is_certain=True)


def flow(setup: Setup, start: Start) -> Suspicion | NotChecked | str:
    """Whether gradients keep their size from the last layer to the first."""
    found = network.vanishing_gradients(_record(start, gradient_norms=start.norms))
    if isinstance(found, NotChecked):
        return found
    if not isinstance(found, Finding):
        return "Gradients keep their size from the last layer to the first."
    changes = (_silu("sigmoid and tanh", _FLAT),) if _has(setup, _FLAT) else ()
    if not changes and found.evidence["ratio"] > _NOTHING:
        return "Gradients are smaller at the first layer than at the last, which these layers bear."
    remedy = changes[0].remedy if changes else replace(found.remedy, change={}, flag="", code="nn.SiLU()")
    return Suspicion(
        replace(found, remedy=remedy), changes, is_certain=not changes,
        otherwise=f"Gradients are {times(1 / found.evidence['ratio'])} smaller at the first layer than at the last; "
        "other activations brought {{}}.",
    )  # fmt: skip


def size(setup: Setup, start: Start) -> Suspicion | NotChecked | str:
    """Whether first outputs and gradients have a size to begin with: numbers, and outputs not `LARGE` times as far off
    as a constant would be."""
    is_lost = bool(numpy.isinf(start.norms[0]).any()) or not numpy.isfinite(start.loss)
    far = _beside_constant(setup, start)
    if not is_lost and far < LARGE:
        return "The first gradients are of usual size."
    beside = "" if is_lost else f": it starts {times(far)} as far from the truth as a constant"
    change = Change(
        "weights made anew", lambda each: each.with_network(_made_anew),
        Remedy("Start from smaller weights, such as torch's own.", code="layer.reset_parameters()  # of each layer"),
    )  # fmt: skip
    finding = Finding(
        "exploding_gradients", "high", f"The network's first gradients are enormous{beside}.",
        {"start": far, "norm": float(numpy.nanmax(start.norms[0])) if start.norms.size else 0.0},
        Effect("Training spends its first epochs on bringing outputs back, or never does."), change.remedy,
    )  # fmt: skip
    return Suspicion(finding, (change,), otherwise="First outputs are far off, and other weights brought {}.")


def _beside_constant(setup: Setup, start: Start) -> float:
    """How far the first outputs are from the truth, relative to the best constant; 0 where nobody knows."""
    fitting = setup.fitting
    if fitting.metric is None or not fitting.outputs or not isinstance(start.outputs, torch.Tensor):
        return 0.0
    part = fitting.prepared(setup.train.taken(torch.arange(len(start.outputs))))
    rows = torch.arange(part.rows)
    data = fitting.data(part, rows, rows)
    outputs = start.outputs if start.outputs.dim() > 1 else start.outputs.unsqueeze(1)
    if len(data.truth(rows).unique()) < 2:
        return 0.0
    truth, weights = data.truth(rows)[None], torch.ones(1, part.rows, dtype=torch.float64)
    told = data.predictions(outputs.unsqueeze(0))
    if fitting.task == "classification":
        shares = torch.bincount(truth[0].flatten(), minlength=told.shape[-1]).double() / part.rows
        constant = shares.expand(1, part.rows, -1)
    else:
        constant = truth.mean(1, keepdim=True).expand_as(truth)
        # A target far from 0 is found by its own rule: what is asked is how far the outputs spread.
        told = told - told.mean(1, keepdim=True) + constant
    mine, best = (float(fitting.metric.error(each, truth, weights)[0]) for each in (told, constant))
    return mine / best if best > 0 else 0.0


def _record(start: Start, **by_layer: numpy.ndarray) -> TrainingRecord:
    steps = len(next(iter(by_layer.values())))
    return TrainingRecord(numpy.arange(steps, dtype=float), by_layer=by_layer, counts="step")


def _has(setup: Setup, kinds: tuple[type[nn.Module], ...]) -> bool:
    return any(isinstance(part, kinds) for part in setup.module().modules())


def _silu(what: str, kinds: tuple[type[nn.Module], ...]) -> Change:
    def swapped(module: nn.Module) -> nn.Module:
        for part in list(module.modules()):
            for name, child in list(part.named_children()):
                if isinstance(child, kinds):
                    setattr(part, name, nn.SiLU())
        return module

    remedy = Remedy(f"Take SiLU units instead of {what}.", code="nn.SiLU()")
    return Change(f"SiLU for {what}", lambda setup: setup.with_network(swapped), remedy)


def _made_anew(module: nn.Module, places: Sequence[str] | None = None) -> nn.Module:
    """With the parts at `places` (None: all) initialised as when they were made."""
    for name, part in module.named_modules():
        is_meant = places is None or any(name == place or name.endswith(f".{place}") for place in places)
        if is_meant and callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return module


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return listed(names if more <= 0 else [*names[:_SHOWN], f"{more} more"])
