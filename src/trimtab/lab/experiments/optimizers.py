"""Optimizers: who decides on steps; six of them on one surface, and all rates at once."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy
import torch
from torch import nn

from trimtab.knobs.effects import is_read
from trimtab.knobs.table import KNOBS, OPTIMIZERS
from trimtab.lab.controls import Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.experiments.surfaces import Surface, Walker, saddle, valley
from trimtab.lab.experiments.walks import DIVERGED, Endings, Way
from trimtab.lab.guess import Named, among
from trimtab.lab.live import Live, finite, plain, regression
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.lane import Lane
from trimtab.training.lanes.plans import RowOrders
from trimtab.training.randomness import initialised, row_order
from trimtab.training.run import Request

# "gd" is sgd on all rows, and two others go as Adam does where weights do not decay.
NAMES = tuple(name for name in OPTIMIZERS if name not in ("gd", "lion") and name != "adamw")
CALLED = {"momentum": "Momentum", "nesterov": "Nesterov"}
RATES = numpy.geomspace(1e-3, 1.0, 12)
ROWS, CELLS = 64, 45
# From which stretch on it is seen who divides a step by the size of its gradients (who has an epsilon, lest that be 0):
# a guess.
STRETCHED = 1.5
# Where a step sees some of the rows, losses jump: what counts is where they were over so many last steps, as a share.
JUMPY = 0.1
# A way that turns back upon itself so often is called a zigzag; steps shorter than this share of the way from the start
# to the lowest place are not seen. Both are guesses.
ZIGZAG, SEEN = 3, 0.01


class OneByOne(RowOrders):
    """The batches of whole epochs one at a time: each is an epoch of its own, after which the lanes are looked at."""

    def batches(self, lane: Lane, epoch: int) -> numpy.ndarray:
        whole, place = divmod(epoch, ROWS // lane.size)
        order = row_order(ROWS, seed=lane.request.seed, fold=lane.request.fold, epoch=whole)
        return order[place * lane.size : (place + 1) * lane.size].astype(self.dtype)[None]


def called(name: str) -> str:
    return CALLED.get(name, KNOBS["optimizer"].option(name).words)


class Optimizers:
    name = "optimizers"
    title = "Optimizers"
    question = "Who decides how far and where each step goes, and what does the learning rate do to it?"
    guess = "In the stretched bowl: which of the six will go to the middle on the straightest way?"
    choices = tuple(
        Named(name, called(name)) for name in NAMES
    )  # fmt: skip
    next = "Now set the stretch to 1: the steepest way down then leads straight to the middle, and SGD follows it."
    words = (
        (
            "loss, gradient",
            "how wrong a network with these weights is, and the direction in which that grows fastest: optimizers go "
            "against it, as far as the learning rate says.",
        ),
        (
            "surface",
            "the loss of each pair of weights, as a landscape; a pass (a saddle) is lowest along one way and highest "
            "across it.",
        ),
        ("SGD", "plain gradient descent: each step is rate times gradient."),
        (
            "Momentum",
            "makes most of the last step again: it gains speed, and swings past the end; Nesterov looks ahead, and "
            "brakes earlier.",
        ),
        (
            "RMSprop, Adam",
            "divide what a step does along each weight by how large the gradients along it were of late, so that steep "
            "and flat ones are gone at one pace; Adam also makes some of the last step again. Adagrad divides by all "
            "gradients since the start, and so takes ever shorter steps.",
        ),
        ("diverged", f"in the end the loss is above {DIVERGED:g} times its first value, or beyond all numbers."),
    )
    controls = (
        Menu(
            "surface", "Surface",
            (("bowl", "A stretched bowl"), ("valley", "A bent valley"), ("saddle", "A pass between two hollows")),
            "bowl",
        ),
        Slider("rate", "Learning rate", 0.001, 1.0, 0.02, scale="log", hint="The same for all six."),
        Slider(
            "stretch", "Stretch of the bowl", 1.0, 10.0, 4.0, scale="log",
            hint="How much steeper one side is. Only the bowl has it.",
        ),
        Menu(
            "batch", "Rows of a step", (("0", "All 64"), ("16", "16"), ("4", "4"), ("1", "One")), "0",
            "The bowl is the mean loss over 64 rows: the fewer of them a step sees, the more it jumps.",
        ),
        Slider("steps", "Steps", 20, 400, 150, whole=True),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        surface, x, y = self.surface(values)
        heights = self._heights(surface)
        edge = self.edge(x) if values["surface"] == "bowl" else math.nan
        yield {
            "kind": "begin", "names": [called(name) for name in NAMES],
            "edge": finite([edge])[0],
            "surface": {"x": surface.x, "y": surface.y, "cells": CELLS, "values": finite(numpy.log10(heights).ravel())},
            "first": [*surface.first, float(surface.value(*surface.first))], "lowest": surface.lowest,
            "least": float(surface.value(*surface.lowest[0])),
            "rates": finite(RATES), "diverged": DIVERGED,
        }  # fmt: skip
        first = float(surface.value(*surface.first))
        live = self._live(values, [(name, values["rate"]) for name in NAMES], surface, x, y, stop)
        walked = [numpy.array([surface.first] * len(NAMES))]
        for lanes in live.rounds():
            walked.append(self._at(live, len(NAMES)))
            heights = surface.value(*walked[-1].T)
            yield {
                "kind": "frame", "step": len(walked) - 1,
                "at": {str(place): finite([*walked[-1][place], heights[place]]) for place in lanes},
            }  # fmt: skip
        if stop():
            return
        several = [(name, float(rate)) for name in NAMES for rate in RATES]
        others = self._live(values, several, surface, x, y, stop)
        cells = []
        for count, _ in enumerate(others.rounds()):
            cells.append(surface.value(*self._at(others, len(several)).T))
            if count % 5 == 0:
                yield {"kind": "frame", "map": self._shown(cells[-1], first)}
        if stop():
            return
        grid = Endings.of(numpy.array(cells), first, last=self._last(values))
        yield {"kind": "frame", "map": self._shown(cells[-1], first), "suited": self._suited(grid)}
        yield self._outcome(values, surface, numpy.array(walked), grid, edge, live)

    @staticmethod
    def _shown(losses: numpy.ndarray, first: float) -> list[float | None]:
        return finite(numpy.where(losses < DIVERGED * first, losses, numpy.nan))

    def _outcome(
        self, values: Values, surface: Surface, walked: numpy.ndarray, grid: Endings, edge: float, live: Live
    ) -> Outcome:
        first, last = float(surface.value(*surface.first)), self._last(values)
        with numpy.errstate(all="ignore"):
            heights = surface.value(walked[..., 0], walked[..., 1])
        ends = Endings.of(heights, first, last=last)
        said = [
            f"After {values['steps']} steps at a rate of {values['rate']:g} {self._ranked(ends, last)}",
            self._ways(ways := self._walks(surface, walked, ends)),
        ]
        if math.isfinite(edge):
            fewer = ", and with fewer it may do so earlier" if self.batch(values) else ""
            said.append(f"With all rows in each step SGD diverges beyond a rate of {number(edge)}{fewer}")
        figures = {
            "losses": dict(zip(NAMES, ends.middle.tolist(), strict=True)), "edge": edge, "ways": ways,
            "own": {name: (float(RATES[low]), float(RATES[high])) for name, low, high in self._ranges(grid)},
        }  # fmt: skip
        best = int(ends.middle.argmin())
        straight = self._straightest(ways)
        came = f"{listed(called(name) for name in straight)} went straightest{self._why(values, straight)}"
        return Outcome(
            " ".join(sentence(each) for each in said if each), figures, live.named_weights(best),
            brief=self._ranked(ends, last), compared=among(self.choices, straight, came),
        )  # fmt: skip

    @staticmethod
    def _why(values: Values, straight: Collection[str]) -> str:
        """Why in the bowl those do that divide by the size of the gradients: known where it is stretched at all."""
        is_stretched = values["surface"] == "bowl" and values["stretch"] > STRETCHED
        divide = all(is_read("epsilon", {"optimizer": name}) for name in straight)
        if not is_stretched or not straight or not divide:
            return ""
        return ", for dividing by the size of gradients undoes the stretch"

    def _last(self, values: Values) -> int:
        """Over how many steps a loss in the end is the median."""
        return max(1, round(JUMPY * values["steps"])) if self.batch(values) else 1

    @staticmethod
    def _straightest(ways: Mapping[str, Way]) -> list[str]:
        """Those whose ways are the straightest, as far as the sentence tells them apart."""
        least = min((way.detour for way in ways.values()), default=0.0)
        return [name for name, way in ways.items() if way.detour < least + 0.005]

    def _ranked(self, ends: Endings, last: int) -> str:
        """Which of them are lowest, which highest, and which have diverged."""
        lost = [called(name) for name, loss in zip(NAMES, ends.middle, strict=True) if math.isinf(loss)]
        gone = f"{listed(lost)} {'has' if len(lost) == 1 else 'have'} diverged"
        if len(lost) == len(NAMES):
            return f"all {len(NAMES)} have diverged"
        alike = ends.alike()
        lowest = [called(name) for name, is_one in zip(NAMES, alike, strict=True) if is_one]
        loss = number(float(ends.middle.min()))
        loss = f"median loss of the last {counted(last, 'step')} {loss}" if last > 1 else f"loss {loss}"
        how = "is lowest" if len(lowest) == 1 else "are equally low, as far as can be told apart"
        said = f"{listed(lowest)} {how} ({loss})"
        rest = numpy.where(alike | numpy.isinf(ends.middle), -numpy.inf, ends.middle)
        if not lost and numpy.isfinite(rest).any():
            worst = int(rest.argmax())
            return f"{said}; {called(NAMES[worst])} is highest ({number(float(rest[worst]))})"
        return f"{said}; {gone}" if lost else said

    @staticmethod
    def _walks(surface: Surface, walked: numpy.ndarray, ends: Endings) -> dict[str, Way]:
        """The ways of those that have come to a lowest place."""
        seen = SEEN * float(numpy.linalg.norm(numpy.subtract(surface.first, surface.lowest[0])))
        return {
            name: Way.of(walked[:, place], seen, surface.nearest(walked[-1, place]))
            for place, name in enumerate(NAMES)
            if math.isfinite(ends.middle[place]) and surface.has_come(walked[-1, place])
        }

    def _ways(self, ways: Mapping[str, Way]) -> str:
        """Who went straight, and who zigzagged; who has hardly moved has done neither."""
        if len(ways) < 2:
            who = f"{called(*ways)} alone" if ways else "None of them"
            return f"{who} came to the lowest place in so many steps"
        straight, round_about = self._straightest(ways), max(ways, key=lambda name: ways[name].detour)
        least, most = ways[straight[0]].detour, ways[round_about].detour
        if round_about in straight:
            alike = f"equally straight ({least:.2f} times the straight line)"
            said = f"The {len(ways)} that came to the lowest place went {alike}"
        else:
            named = listed(called(name) for name in straight)
            said = (
                f"Of the {len(ways)} that came to the lowest place {named} went straightest ({least:.2f} times the "
                f"straight line), {called(round_about)} took the longest way round ({most:.2f} times)"
            )
        zigzags = [f"{called(name)} ({way.turns} times)" for name, way in ways.items() if way.turns >= ZIGZAG]
        return f"{said}; back and forth went {listed(zigzags)}" if zigzags else f"{said}; none zigzagged"

    @staticmethod
    def _ranges(grid: Endings) -> list[tuple[str, int, int]]:
        """For each optimizer that has not diverged at all rates, the first and the last of those neighbours of its best
        rate that do as well."""
        ranges, count = [], len(RATES)
        for row, name in enumerate(NAMES):
            own = slice(row * count, (row + 1) * count)
            ends = Endings(grid.middle[own], grid.low[own], grid.high[own])
            if not numpy.isfinite(ends.middle).any():
                continue
            alike, low = ends.alike(), int(ends.middle.argmin())
            high = low
            while low > 0 and alike[low - 1]:
                low -= 1
            while high < count - 1 and alike[high + 1]:
                high += 1
            ranges.append((name, low, high))
        return ranges

    def _suited(self, grid: Endings) -> str:
        """Which rates suit each optimizer, for the caption of the map."""
        told = [
            f"{called(name)} {RATES[low]:.2g}" + (f" to {RATES[high]:.2g}" if high > low else "")
            for name, low, high in self._ranges(grid)
        ]
        return f"Of the {len(RATES)} rates these suit best: {', '.join(told)}." if told else ""

    # -- what they walk on

    def surface(self, values: Values) -> tuple[Surface, numpy.ndarray, numpy.ndarray]:
        """The surface, and the rows that it is made of (of those that are a formula: rows that say nothing)."""
        if values["surface"] != "bowl":
            form = {"valley": valley, "saddle": saddle}[values["surface"]]
            hollows = ((0.0, 2**0.5), (0.0, -(2**0.5)))
            first, lowest = ((-1.5, 1.5), ((1.0, 1.0),)) if values["surface"] == "valley" else ((1.6, 0.02), hollows)
            return Surface(form, first, lowest), numpy.zeros((8, 1)), numpy.zeros(8)
        rng = numpy.random.default_rng(2)
        x = rng.normal(size=(ROWS, 2)) * numpy.array([1.0, values["stretch"]])
        y = x @ numpy.array([0.8, 0.5]) + 0.3 * rng.normal(size=ROWS)

        def value(a: Any, b: Any) -> Any:
            misses = numpy.asarray(a)[..., None] * x[:, 0] + numpy.asarray(b)[..., None] * x[:, 1] - y
            with numpy.errstate(over="ignore", invalid="ignore"):
                return (misses**2).mean(-1)

        lowest = numpy.linalg.lstsq(x, y, rcond=None)[0]
        return Surface(value, (-1.5, 1.7), ((float(lowest[0]), float(lowest[1])),)), x, y

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
        is_bowl, batch = values["surface"] == "bowl", self.batch(values)
        configs = [
            plain(name, rate, values["steps"], loss="mse" if is_bowl else "mae", batch=batch)
            for name, rate in several
        ]  # fmt: skip

        def made() -> nn.Module:
            return nn.Linear(2, 1, bias=False) if is_bowl else Walker(surface.value, surface.first)

        def start(request: Request) -> nn.Module:
            module = initialised(made, seed=0)
            if is_bowl:
                module.weight.data = torch.tensor([surface.first])  # type: ignore[union-attr]
            return module

        data = self._by_step(regression(x, y), batch)
        live = Live(data, made, configs, metric=None, one_start=True, start=start, stop=stop)
        if batch:
            live.population.orders = OneByOne(data)
        return live

    @staticmethod
    def _by_step(data: TrainingData, batch: int) -> TrainingData:
        """An epoch as long as one step: of so many rows, whichever they are."""
        if not batch:
            return data
        fold = data.folds[0]
        return replace(data, folds=(Fold(fold.train[:batch], fold.validation),))

    @staticmethod
    def batch(values: Values) -> int:
        """Rows of a step, 0 where it is all of them."""
        return int(values["batch"]) if values["surface"] == "bowl" else 0

    def epochs(self, values: Values) -> int:
        """How many whole epochs make at least so many steps: one of small batches is several."""
        batch = self.batch(values)
        return -(-values["steps"] // (1 if batch == 0 else ROWS // batch))

    @staticmethod
    def _at(live: Live, count: int) -> numpy.ndarray:
        """Where each of `count` is, `[count, 2]`; not a number once it has ended, which here is beyond all numbers."""
        at = numpy.full((count, 2), numpy.nan)
        for place, lane in enumerate(live.population.lanes):
            at[lane.request.trial] = live.population.parameters[place].numpy()
        return at

    def code(self, values: Values) -> str:
        if values["surface"] == "bowl":
            batch, epochs = self.batch(values), self.epochs(values)
            of_epochs = (
                f"  # {epochs} of {ROWS // batch} steps each; the page ends after {values['steps']}" if batch else ""
            )
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
    schedule="constant", batch_size={batch}, epochs={epochs},{of_epochs}
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
