"""A network of my own: sixty-four trainings of one network on points of two classes, and the surface of each."""

import base64
from collections.abc import Iterator

import numpy

from trimtab.errors import OptionError
from trimtab.lab.controls import Cloud, Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.live import Live, chain, chain_code, classes, finite, plain
from trimtab.nets.mlp import ACTIVATIONS
from trimtab.text.layout import number
from trimtab.text.wording import counted
from trimtab.training.config import Config

CONFIGS, EPOCHS, EVERY, BATCH, ROWS = 64, 120, 2, 32, 300
CELLS = 36
OWN = "own"
SIDE = 1.3
# Drawn from these, evenly in their logarithms.
RATES, DECAYS = (3e-4, 0.3), (1e-5, 0.1)


def points(kind: str, rows: int, noise: float, seed: int = 0) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Points `[rows, 2]` and their classes, 0 or 1."""
    rng = numpy.random.default_rng(seed)
    y = numpy.arange(rows) % 2
    if kind == "circle":
        radius = numpy.where(y == 0, rng.uniform(0, 0.45, rows), rng.uniform(0.65, 1.0, rows))
        angle = rng.uniform(0, 2 * numpy.pi, rows)
        x = radius[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)], 1)
    elif kind == "corners":
        x = rng.uniform(0.1, 1, (rows, 2)) * numpy.where(rng.random((rows, 1)) < 0.5, 1, -1)
        x[:, 1] *= numpy.where(y == 0, 1, -1)
    elif kind == "spiral":
        along = rng.uniform(0.08, 1, rows)
        angle = 3.4 * numpy.pi * along**0.8 + numpy.pi * y
        x = along[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)], 1)
    else:
        x = numpy.where(y == 0, -0.5, 0.5)[:, None] + 0.25 * rng.normal(size=(rows, 2))
    return x + 0.25 * noise * rng.normal(size=(rows, 2)), y


def points_for(values: Values) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The points that are asked for; OptionError where they are of a table that nobody has given."""
    if values["data"] != OWN:
        return points(values["data"], ROWS, values["noise"])
    if not values[OWN]:
        raise OptionError('There is no table yet: choose a file under "A table of my own".')
    rows = numpy.array(values[OWN], dtype=float)
    return rows[:, :2], rows[:, 2].astype(int)


class Network:
    name = "network"
    choices = ()
    title = "A network of my own"
    question = (
        "How large should a network be, and how is it best trained? Sixty-four tries at once, on points of two classes."
    )
    guess = "The spiral, with one hidden layer of four units: can any of the sixty-four learn it? And with three of 32?"
    words = (
        ("hidden layer", "units between input and output, each a weighted sum bent by the activation."),
        ("activation", "the bend: without it any number of layers is still a straight line."),
        ("dropout", "units left out by chance while training, so that none is relied on alone."),
        ("dead unit", "one that gives the same for all rows: it has nothing left to learn."),
    )
    controls = (
        Menu(
            "data", "Points",
            (
                ("circle", "A circle"), ("corners", "Four corners"), ("spiral", "Two spirals"), ("blobs", "Two heaps"),
                (OWN, "My own"),
            ),
            "spiral",
        ),
        Cloud(
            OWN, "A table of my own", menu="data",
            hint="CSV, Parquet or Excel: its first two columns of numbers, and its last one with two values.",
        ),
        Slider("noise", "Noise", 0.0, 1.0, 0.2, hint="Not for a table of my own."),
        Slider("width", "Units of a layer", 1, 64, 24, scale="log", whole=True),
        Slider("depth", "Hidden layers", 0, 4, 2, whole=True),
        Menu("activation", "Activation", tuple((name, name) for name in ACTIVATIONS), "tanh"),
        Slider("dropout", "Dropout", 0.0, 0.6, 0.0),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        x, y = points_for(values)
        judges = numpy.arange(len(x)) % 3 == 0
        configs = self.configs(values)
        yield {
            "kind": "begin", "x": [finite(row) for row in x], "y": y.tolist(), "judges": judges.tolist(), "side": SIDE,
            "cells": CELLS, "epochs": EPOCHS, "rates": finite([each.optimizer.learning_rate for each in configs]),
            "decays": finite([each.optimizer.weight_decay for each in configs]),
        }  # fmt: skip
        factory = chain(
            2, 2, width=values["width"], depth=values["depth"], activation=values["activation"], dropout=True
        )
        live = Live(classes(x, y, judges), factory, configs, every=EVERY, metric="log_loss", one_start=True, stop=stop)
        losses, dead = numpy.full(CONFIGS, numpy.nan), numpy.zeros(CONFIGS)
        epoch = 0
        for lanes in live.rounds():
            for place, lane in lanes.items():
                losses[place] = lane.curves.validation_metric[-1]
                dead[place] = lane.curves.dead_units[-1] if values["depth"] else 0.0
                epoch = lane.epoch
            if not numpy.isfinite(losses).any():
                break
            best = int(numpy.nanargmin(losses))
            frame = {"kind": "frame", "epoch": epoch, "valid": finite(losses), "best": best}
            if epoch % 10 == 0 or epoch == EPOCHS:
                frame["surface"] = self._surfaces(live, [best])[0]
            yield frame
        if live.records and not stop():
            # From here on each network is what it was at its best epoch.
            outcome = self._outcome(values, live, configs, dead)
            yield {
                "kind": "frame", "surfaces": self._surfaces(live, list(range(CONFIGS))), "dead": finite(dead),
                "valid": finite(outcome.figures["errors"]), "best": outcome.figures["best"],
            }  # fmt: skip
            yield outcome

    def _outcome(self, values: Values, live: Live, configs: list[Config], dead: numpy.ndarray) -> Outcome:
        errors = numpy.array([live.records[place].error for place in range(CONFIGS)])
        errors[~numpy.isfinite(errors)] = numpy.inf
        best = int(errors.argmin())
        rates = numpy.array([each.optimizer.learning_rate for each in configs])
        good = rates[errors <= errors[best] * 1.2 + 1e-6]
        beside = "no other came within 20 % of it"
        if len(good) > 1:
            ends = number(float(good.min())), number(float(good.max()))
            beside = f"what came within 20 % of it had rates from {ends[0]} to {ends[1]}"
        said = (
            f"The best of {CONFIGS} reached a validation log loss of {number(float(errors[best]))} after "
            f"{counted(live.records[best].best_epoch, 'epoch')}, with a learning rate of {number(float(rates[best]))}; "
            f"{beside}. Half of all did worse than {number(float(numpy.median(errors)))} (guessing: 0.693)."
        )
        if values["depth"] and dead[best] > 0:
            said += f" {100 * dead[best]:.0f} % of its units are dead."
        figures = {"best": best, "errors": errors.tolist(), "rate": float(rates[best])}
        return Outcome(said, figures, live.named_weights(best))

    @staticmethod
    def configs(values: Values) -> list[Config]:
        rng = numpy.random.default_rng(1)
        made = []
        for _ in range(CONFIGS):
            rate, decay = (float(numpy.exp(rng.uniform(*numpy.log(ends)))) for ends in (RATES, DECAYS))
            rate, decay = (float(f"{each:.3g}") for each in (rate, decay))
            made.append(
                plain(
                    "adamw", rate, EPOCHS, loss="cross_entropy", schedule="cosine", batch=BATCH, decay=decay,
                    dropout=values["dropout"],
                )
            )  # fmt: skip
        return made

    @staticmethod
    def _surfaces(live: Live, places: list[int]) -> list[str]:
        """The chance of class 1 over the square, row by row from the bottom, in 256 steps, base64."""
        along = numpy.linspace(-SIDE, SIDE, CELLS)
        a, b = numpy.meshgrid(along, along)
        chances = live.predicted(places, numpy.stack([a.ravel(), b.ravel()], 1))[:, :, 1]
        bytes_of = numpy.nan_to_num(255 * chances, nan=127).round().astype(numpy.uint8)
        return [base64.b64encode(each.tobytes()).decode() for each in bytes_of]

    def code(self, values: Values) -> str:
        network = chain_code(
            2,
            2,
            width=values["width"],
            depth=values["depth"],
            activation=values["activation"],
            dropout=values["dropout"],
        )
        if values["data"] == OWN:
            rows = ", ".join(f"({a:g}, {b:g}, {label})" for a, b, label in values[OWN])
            begin = f"""rows = torch.tensor([{rows}])
x, y = rows[:, :2], rows[:, 2].long()"""
        else:
            begin = f"""from trimtab.lab.experiments.network import points

x, y = points("{values["data"]}", {ROWS}, {values["noise"]:g})
x, y = torch.tensor(x).float(), torch.tensor(y)"""
        return f"""import torch
import trimtab as tt
from torch import nn
{begin}
judges = torch.arange(len(x)) % 3 == 0

study = tt.tune(
    lambda: {network},
    train=(x[~judges], y[~judges]), valid=(x[judges], y[judges]), loss="cross_entropy", metric="log_loss",
    space={{"lr": ({RATES[0]:g}, {RATES[1]:g}, "log"), "weight_decay": ({DECAYS[0]:g}, {DECAYS[1]:g}, "log")}},
    optimizer="adamw", schedule="cosine", batch_size={BATCH}, epochs={EPOCHS}, trials=16,
)
print(study.summary())
"""
