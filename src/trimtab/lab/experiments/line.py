"""The line: one neuron, two weights, learns y = 2 x + 1 by going downhill."""

import math
from collections.abc import Iterator

import numpy
from torch import nn

from trimtab.lab.controls import Menu, Points, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.guess import Bracket, beside
from trimtab.lab.live import Live, finite, plain, regression
from trimtab.text.layout import number
from trimtab.text.wording import counted
from trimtab.training.randomness import initialised
from trimtab.training.run import NOT_FINITE, Request

X = numpy.linspace(-1.0, 2.0, 16)
# Drawn once, so that the points are the same in every browser: standard deviation 0.2.
NOISE = numpy.random.default_rng(4).normal(0, 0.2, len(X))
POINTS = tuple((round(float(x), 2), round(float(2 * x + 1 + e), 2)) for x, e in zip(X, NOISE, strict=True))
# Where training begins, far from the answer.
FIRST_SLOPE, FIRST_SHIFT = -1.0, 3.5
# So many times the loss that it began with is beyond all bounds: a guess.
BEYOND = 1e6
# The loss is drawn over these.
SLOPES, SHIFTS, CELLS = (-2.5, 5.0), (-2.5, 4.5), 41


class Line:
    name = "line"
    title = "The line"
    question = "How does a network learn? The smallest one there is has two numbers, and you can watch both."
    guess = "From which learning rate on will gradient descent no longer settle, but swing further with each step?"
    choices = (
        Bracket("low", "below 0.1", 0.0, 0.1),
        Bracket("middle", "0.1 to 0.4", 0.1, 0.4),
        Bracket("high", "0.4 to 0.8", 0.4, 0.8),
        Bracket("higher", "above 0.8", 0.8),
    )
    next = "Now turn the learning rate beyond that, and watch the steps."
    words = (
        (
            "network",
            "a formula with adjustable numbers, its weights, that are learnt from examples. It is made of neurons.",
        ),
        ("neuron", "the smallest part: it multiplies what comes in by weights, and adds a bias. Here there is one."),
        ("weight", "what x is multiplied by: the slope of the line."),
        ("bias", "what is added then: where the line crosses x = 0."),
        ("loss", "how wrong the line is: here the mean of the squared distances between points and line."),
        ("step", "one change of weight and bias, downhill on the loss."),
        ("gradient descent", "each step is the learning rate times the slope of the loss: long where it is steep."),
        ("Adam", "an optimizer that fits the length of its steps to the slopes it has met, for each number apart."),
        (
            "exact answer",
            "the line with the lowest loss. One neuron has a formula for it; larger networks have none, and so are "
            "trained.",
        ),
    )
    controls = (
        Slider("rate", "Learning rate", 0.001, 1.0, 0.1, scale="log", hint="How far each step goes."),
        Slider("steps", "Steps", 5, 300, 80, whole=True, hint="How many steps there are."),
        Menu(
            "optimizer",
            "Optimizer",
            (("gd", "Gradient descent"), ("adam", "Adam")),
            "gd",
            "What decides how far each step goes, and where to.",
        ),
        Points("points", "Points", POINTS, "Drag a point, or press on an empty place to add one."),
    )

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        points = numpy.array(values["points"])
        x, y = points[:, 0], points[:, 1]
        slope, shift, edge = self.exact(x, y)
        yield {
            "kind": "begin", "exact": finite([slope, shift]), "edge": finite([edge])[0],
            "surface": {"x": SLOPES, "y": SHIFTS, "cells": CELLS, "values": finite(self._surface(x, y).ravel())},
            "first": [FIRST_SLOPE, FIRST_SHIFT, *finite([self.loss(x, y, FIRST_SLOPE, FIRST_SHIFT)])],
        }  # fmt: skip
        config = plain(values["optimizer"], values["rate"], values["steps"])
        live = Live(regression(x[:, None], y), lambda: nn.Linear(1, 1), [config], start=self._start, stop=stop)
        at, step = (FIRST_SLOPE, FIRST_SHIFT), 0
        for lanes in live.rounds():
            for lane in lanes.values():
                slope_now, shift_now = live.weights(0).tolist()
                loss = self.loss(x, y, slope_now, shift_now)
                yield {"kind": "frame", "step": lane.epoch, "at": finite([slope_now, shift_now, loss])}
                if math.isfinite(loss):
                    at, step = (slope_now, shift_now), lane.epoch
        yield self._outcome(values, live, (slope, shift, edge), at, step, self.loss(x, y, *at))

    def _outcome(
        self, values: Values, live: Live, exact: tuple[float, float, float], at: tuple[float, float], step: int,
        loss: float,
    ) -> Outcome:  # fmt: skip
        slope, shift, edge = exact
        figures = {"weight": at[0], "bias": at[1], "loss": loss, "slope": slope, "shift": shift, "edge": edge}
        points = numpy.array(values["points"])
        first = self.loss(points[:, 0], points[:, 1], FIRST_SLOPE, FIRST_SHIFT)
        ended = next(iter(live.records.values()), None)
        if (ended is not None and ended.ended == NOT_FINITE) or not loss < BEYOND * max(1.0, first):
            taken = counted(step, "step")
            lost = ", and with the next one too large to be counted" if step < values["steps"] else ""
            said = (
                f"The loss has grown beyond all bounds: after {taken} of {values['steps']} it was {number(loss)}{lost}."
            )
        else:
            said = (
                f"After {counted(values['steps'], 'step')} the weight is {number(at[0])} and the bias {number(at[1])}; "
                f"the exact answer is {number(slope)} and {number(shift)}. The loss is {number(loss)}; it began at "
                f"{number(first)}."
            )
        if values["optimizer"] == "gd":
            said += " " + self._beside_the_edge(values["rate"], edge)
        brief = f"weight {number(at[0])}, bias {number(at[1])}, loss {number(loss)}"
        came = f"with these points it settles up to a rate of {number(edge)}"
        return Outcome(said, figures, live.named_weights(0), brief=brief, compared=beside(self.choices, edge, came))

    @staticmethod
    def _beside_the_edge(rate: float, edge: float) -> str:
        """Along the steepest direction a step multiplies the distance from the valley by 1 - 2 rate / edge."""
        holds = f"Gradient descent settles here up to a rate of {number(edge)}"
        if rate > edge:
            further = "before long each step goes further past the valley than the one before"
            return f"{holds}; {rate:g} is beyond it: {further}."
        if rate > edge / 2:
            return f"{holds}; {rate:g} is below it: each step goes past the valley, but less far than the one before."
        return f"{holds}; {rate:g} is below half of it: no step goes past the valley."

    @staticmethod
    def _start(request: Request) -> nn.Module:
        module = initialised(lambda: nn.Linear(1, 1), seed=0)
        nn.init.constant_(module.weight, FIRST_SLOPE)
        nn.init.constant_(module.bias, FIRST_SHIFT)
        return module

    @staticmethod
    def loss(x: numpy.ndarray, y: numpy.ndarray, slope: float, shift: float) -> float:
        with numpy.errstate(over="ignore", invalid="ignore"):
            return float(numpy.mean((slope * x + shift - y) ** 2))

    @staticmethod
    def exact(x: numpy.ndarray, y: numpy.ndarray) -> tuple[float, float, float]:
        """The line of least squares, and the rate beyond which gradient descent diverges: two over the largest
        curvature of the loss [Goodfellow, Bengio and Courville 2016, section 4.3]."""
        columns = numpy.stack([x, numpy.ones_like(x)], axis=1)
        slope, shift = numpy.linalg.lstsq(columns, y, rcond=None)[0]
        curvature = numpy.linalg.eigvalsh(2 * columns.T @ columns / len(x))[-1]
        return float(slope), float(shift), float(2 / curvature)

    @staticmethod
    def _surface(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
        slopes, shifts = numpy.linspace(*SLOPES, CELLS), numpy.linspace(*SHIFTS, CELLS)
        lines = slopes[None, :, None] * x + shifts[:, None, None]
        return numpy.log10(((lines - y) ** 2).mean(-1) + 1e-4)

    def code(self, values: Values) -> str:
        optimizer = "Adam" if values["optimizer"] == "adam" else "SGD"
        x, y = ([point[i] for point in values["points"]] for i in (0, 1))
        return f"""import torch
from torch import nn

x = torch.tensor({x}).unsqueeze(1)
y = torch.tensor({y}).unsqueeze(1)

neuron = nn.Linear(1, 1)
nn.init.constant_(neuron.weight, {FIRST_SLOPE})
nn.init.constant_(neuron.bias, {FIRST_SHIFT})
optimizer = torch.optim.{optimizer}(neuron.parameters(), lr={values["rate"]:g})
for step in range({values["steps"]}):
    loss = nn.functional.mse_loss(neuron(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    loss = nn.functional.mse_loss(neuron(x), y)
print("weight", neuron.weight.item(), "bias", neuron.bias.item(), "loss", loss.item())
"""
