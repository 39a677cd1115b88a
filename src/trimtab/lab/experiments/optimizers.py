"""Optimizers: who decides on steps; six of them on one surface, and all rates at once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn

from trimtab.knobs.table import KNOBS, OPTIMIZERS
from trimtab.lab.controls import Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.live import Live, finite, plain, regression
from trimtab.text.layout import number
from trimtab.training.randomness import initialised
from trimtab.training.run import Request

# "gd" is sgd on all rows, and two others go as Adam does where weights do not decay.
NAMES = tuple(name for name in OPTIMIZERS if name not in ("gd", "lion") and name != "adamw")
RATES = numpy.geomspace(1e-3, 1.0, 12)
ROWS, CELLS = 64, 45


@dataclass(frozen=True)
class Surface:
    """A loss of two weights: `value` of arrays of both, `first` where training begins, drawn over `x` and `y`."""

    value: Callable
    first: tuple[float, float]
    lowest: tuple[float, float]
    x: tuple[float, float] = (-2.0, 2.0)
    y: tuple[float, float] = (-2.0, 2.0)


def valley(a: Any, b: Any) -> Any:
    """A bent valley, flat along its floor [after Rosenbrock 1960]."""
    return 0.1 * (1 - a) ** 2 + (b - a * a) ** 2 + 0.01


def saddle(a: Any, b: Any) -> Any:
    """A pass between two hollows: at its middle no direction leads down but the way across."""
    return 1.5 + 0.5 * a * a - 0.5 * b * b + 0.125 * b**4


class Walker(nn.Module):
    """Two weights, whose output on any row is the height of the surface where they are."""

    def __init__(self, surface: Callable, first: tuple[float, float]) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.tensor(float(each))) for each in first)
        self.surface = surface

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.surface(self.a, self.b) + 0 * x[:, :1]


class Optimizers:
    name = "optimizers"
    choices = ()
    title = "Optimizers"
    question = "Who decides how far and where each step goes, and what does the learning rate do to it?"
    guess = "In the stretched bowl: which of the six will go straight to the middle, and which will zigzag?"
    words = (
        ("gradient", "the direction in which the loss grows fastest; every optimizer goes some way against it."),
        ("batch", "the rows that one step looks at: all of them, or a few, which is quicker and noisier."),
        ("momentum", "part of the last step is made again: through valleys instead of across them."),
        ("adaptive", "RMSprop and Adam divide by how large gradients were, so that all directions go as fast."),
    )
    controls = (
        Menu(
            "surface", "Surface",
            (("bowl", "A stretched bowl"), ("valley", "A bent valley"), ("saddle", "A pass between two hollows")),
            "bowl",
        ),
        Slider("rate", "Learning rate", 0.001, 1.0, 0.05, scale="log", hint="The same for all six."),
        Slider("stretch", "Stretch of the bowl", 1.0, 10.0, 4.0, scale="log", hint="How much steeper one side is."),
        Menu(
            "batch", "Rows of a step", (("0", "All 64"), ("16", "16"), ("4", "4"), ("1", "One")), "0",
            "Only the bowl is made of rows: the fewer a step sees, the more it jumps.",
        ),
        Slider("steps", "Steps", 20, 400, 150, whole=True),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        surface, x, y = self.surface(values)
        heights = self._heights(surface)
        edge = self.edge(x) if values["surface"] == "bowl" else math.nan
        yield {
            "kind": "begin", "names": [KNOBS["optimizer"].option(name).words for name in NAMES],
            "edge": finite([edge])[0],
            "surface": {"x": surface.x, "y": surface.y, "cells": CELLS, "values": finite(numpy.log10(heights).ravel())},
            "first": [*surface.first, float(surface.value(*surface.first))], "lowest": surface.lowest,
            "rates": finite(RATES),
        }  # fmt: skip
        live = self._live(values, [(name, values["rate"]) for name in NAMES], surface, x, y, stop)
        losses: dict[str, float] = {}
        for lanes in live.rounds():
            at = {place: self._at(live, place) for place in lanes}
            losses |= {NAMES[place]: float(surface.value(*weights)) for place, weights in at.items()}
            yield {
                "kind": "frame", "step": max(lane.step for lane in lanes.values()),
                "at": {str(place): finite([*weights, losses[NAMES[place]]]) for place, weights in at.items()},
            }  # fmt: skip
        if stop():
            return
        several = [(name, float(rate)) for name in NAMES for rate in RATES]
        others = self._live(values, several, surface, x, y, stop)
        first = float(surface.value(*surface.first))
        cells = [first] * len(several)
        for count, lanes in enumerate(others.rounds()):
            for place in range(len(several)):
                cells[place] = (
                    float(surface.value(*self._at(others, place))) if place in lanes or place in others.records
                    else cells[place]
                )  # fmt: skip
            if count % 5 == 0:
                yield {"kind": "frame", "map": finite(cells)}
        yield {"kind": "frame", "map": finite(cells)}
        yield self._outcome(values, losses, cells, edge, live)

    def _outcome(
        self, values: Values, losses: dict[str, float], cells: list[float], edge: float, live: Live
    ) -> Outcome:
        finished = {name: loss if math.isfinite(loss) and loss < 1e6 else math.inf for name, loss in losses.items()}
        best, worst = min(finished, key=finished.__getitem__), max(finished, key=finished.__getitem__)
        words = {name: KNOBS["optimizer"].option(name).words for name in NAMES}
        said = f"After {values['steps']} steps at a rate of {values['rate']:g}, {words[best]} is lowest "
        said += f"(loss {number(finished[best])}); "
        said += (
            f"{words[worst]} has diverged."
            if math.isinf(finished[worst])
            else f"{words[worst]} is highest ({number(finished[worst])})."
        )
        grid = numpy.array(cells, dtype=float).reshape(len(NAMES), len(RATES))
        grid[~(numpy.isfinite(grid) & (grid < 1e6))] = numpy.inf
        own = {name: float(RATES[row.argmin()]) for name, row in zip(NAMES, grid, strict=True)}
        said += " Each has a rate of its own: " + ", ".join(f"{words[name]} {own[name]:.2g}" for name in NAMES) + "."
        if math.isfinite(edge):
            said += f" Gradient descent without momentum diverges here from {number(edge)} on."
        return Outcome(said, {"losses": finished, "own": own, "edge": edge}, live.named_weights(NAMES.index(best)))

    # -- what they walk on

    def surface(self, values: Values) -> tuple[Surface, numpy.ndarray, numpy.ndarray]:
        """The surface, and the rows that it is made of (of those that are a formula: rows that say nothing)."""
        if values["surface"] != "bowl":
            form = {"valley": valley, "saddle": saddle}[values["surface"]]
            first, lowest = ((-1.5, 1.5), (1.0, 1.0)) if values["surface"] == "valley" else ((1.6, 0.02), (0.0, 2**0.5))
            rows = numpy.zeros((8, 1))
            return Surface(form, first, lowest), rows, numpy.zeros(8)
        rng = numpy.random.default_rng(2)
        x = rng.normal(size=(ROWS, 2)) * numpy.array([1.0, values["stretch"]])
        y = x @ numpy.array([0.8, 0.5]) + 0.3 * rng.normal(size=ROWS)

        def value(a: Any, b: Any) -> Any:
            misses = numpy.asarray(a)[..., None] * x[:, 0] + numpy.asarray(b)[..., None] * x[:, 1] - y
            with numpy.errstate(over="ignore", invalid="ignore"):
                return (misses**2).mean(-1)

        lowest = numpy.linalg.lstsq(x, y, rcond=None)[0]
        return Surface(value, (-1.5, 1.7), (float(lowest[0]), float(lowest[1]))), x, y

    @staticmethod
    def edge(x: numpy.ndarray) -> float:
        """The rate beyond which gradient descent diverges on the bowl: two over its largest curvature."""
        return float(2 / numpy.linalg.eigvalsh(2 * x.T @ x / len(x))[-1])

    @staticmethod
    def _heights(surface: Surface) -> numpy.ndarray:
        a, b = numpy.meshgrid(numpy.linspace(*surface.x, CELLS), numpy.linspace(*surface.y, CELLS))
        return surface.value(a, b)

    def _live(
        self, values: Values, several: list[tuple[str, float]], surface: Surface, x: numpy.ndarray, y: numpy.ndarray,
        stop: Stop,
    ) -> Live:  # fmt: skip
        is_bowl = values["surface"] == "bowl"
        batch = int(values["batch"]) if is_bowl else 0
        epochs = self.epochs(values)
        configs = [
            plain(name, rate, epochs, loss="mse" if is_bowl else "mae", batch=batch)
            for name, rate in several
        ]  # fmt: skip

        def made() -> nn.Module:
            return nn.Linear(2, 1, bias=False) if is_bowl else Walker(surface.value, surface.first)

        def start(request: Request) -> nn.Module:
            module = initialised(made, seed=0)
            if is_bowl:
                module.weight.data = torch.tensor([surface.first])  # type: ignore[union-attr]
            return module

        return Live(regression(x, y), made, configs, metric=None, one_start=True, start=start, stop=stop)

    @staticmethod
    def epochs(values: Values) -> int:
        """How many make so many steps: an epoch of small batches is several."""
        batch = int(values["batch"]) if values["surface"] == "bowl" else 0
        return -(-values["steps"] // (1 if batch == 0 else ROWS // batch))

    @staticmethod
    def _at(live: Live, place: int) -> tuple[float, float]:
        weights = live.weights(place).tolist()
        return weights[0], weights[1]

    def code(self, values: Values) -> str:
        if values["surface"] == "bowl":
            batch = int(values["batch"])
            return f"""import numpy
import torch
import trimtab as tt
from torch import nn

rng = numpy.random.default_rng(2)
x = rng.normal(size=({ROWS}, 2)) * [1.0, {values["stretch"]:g}]
y = x @ [0.8, 0.5] + 0.3 * rng.normal(size={ROWS})
data = torch.tensor(x).float(), torch.tensor(y).float().unsqueeze(1)

first = nn.Linear(2, 1, bias=False)
first.weight.data = torch.tensor([{list(self.surface(values)[0].first)}])
sweep = tt.sweep(
    first, data, valid=None, seeds=1, loss="mse", optimizer={list(NAMES)}, lr={values["rate"]:g},
    schedule="constant", batch_size={batch}, epochs={self.epochs(values)},
)
print(sweep)
"""
        body = {"valley": "0.1 * (1 - a) ** 2 + (b - a * a) ** 2 + 0.01",
                "saddle": "1.5 + 0.5 * a * a - 0.5 * b * b + 0.125 * b**4"}[values["surface"]]  # fmt: skip
        surface, _, _ = self.surface(values)
        return f"""import torch

a, b = (torch.tensor(each, requires_grad=True) for each in {surface.first})
optimizer = torch.optim.Adam([a, b], lr={values["rate"]:g})
for step in range({values["steps"]}):
    loss = {body}
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("at", a.item(), b.item(), "loss", loss.item())
"""
