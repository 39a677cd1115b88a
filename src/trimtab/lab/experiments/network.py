"""A network of my own: sixty-four trainings of one network on points of two classes, and the surface of each."""

import base64
from collections.abc import Iterator

import numpy
from scipy import stats

from trimtab.errors import OptionError
from trimtab.lab.controls import Cloud, Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.guess import Bracket, beside
from trimtab.lab.live import Live, chain, chain_code, classes, finite, plain
from trimtab.nets.mlp import ACTIVATIONS
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence
from trimtab.training.config import Config
from trimtab.training.run import RunRecord

CONFIGS, EPOCHS, EVERY, BATCH, ROWS = 64, 120, 2, 32, 300
CELLS = 36
OWN = "own"
SIDE = 1.3
# Who has this share of the validation points right is said to have learnt it. A guess: without noise all can be right.
LEARNT = 0.95
# The best of so many is better than guessing where guessing had, over all of them, at most this chance to do as well.
BY_CHANCE = 0.05
# What each activation of the table of knobs does, in its order.
BENDS = (
    "ReLU: 0 for what is below 0", "SiLU: ReLU, its corner rounded", "GELU: much like SiLU", "Mish: much like SiLU",
    "SELU: keeps sums as large as they were", "tanh: squeezed between -1 and 1",
)  # fmt: skip
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
    title = "A network of my own"
    question = (
        "How large must a network be, and at which learning rates does it learn? Sixty-four trainings of it at once, "
        "which differ in their learning rate and weight decay, drawn by chance."
    )
    guess = (
        "Two spirals and two hidden layers of 24 units: how many of the sixty-four will get 95 % of the validation "
        "points right, which were kept apart to judge them?"
    )
    choices = (
        Bracket("none", "none", 0, 1),
        Bracket("few", "1 to 15", 1, 16),
        Bracket("some", "16 to 40", 16, 41),
        Bracket("most", "more than 40", 41),
    )
    next = "Now take the hidden layers away, then the units, and see which networks still learn it."
    words = (
        ("hidden layer", "units between input and output, each a weighted sum bent by the activation."),
        ("activation", "the bend: without it any number of layers is still a straight line."),
        ("log loss", "how little chance is given to the true class: 0 at best, 0.693 where two are as likely."),
        ("epoch", "one pass over all points that are learnt from; the learning rate is how far each step goes."),
        ("weight decay", "each step also shrinks the weights a little, lest they grow large to learn points by heart."),
        ("dropout", "the share of units left out by chance in each step, so that none is relied on alone."),
        ("dead unit", "one that gives the same for all rows, and so tells the next layer nothing of them."),
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
            hint="CSV, Parquet or Excel: two columns of numbers, a last one of two values. A copied link has its rows.",
        ),
        Slider("noise", "Noise", 0.0, 1.0, 0.2),
        Slider("depth", "Hidden layers", 0, 4, 2, whole=True, hint="None: a straight line parts the classes."),
        Slider("width", "Units of a layer", 1, 64, 24, scale="log", whole=True),
        Menu("activation", "Activation", tuple(zip(ACTIVATIONS, BENDS, strict=True)), "tanh"),
        Slider("dropout", "Dropout", 0.0, 0.6, 0.0),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        x, y = points_for(values)
        judges = numpy.arange(len(x)) % 3 == 0
        configs = self.configs(values)
        yield {
            "kind": "begin", "x": [finite(row) for row in x], "y": y.tolist(), "judges": judges.tolist(), "side": SIDE,
            "cells": CELLS, "epochs": EPOCHS, "rates": finite([each.optimizer.learning_rate for each in configs]),
            "decays": finite([each.optimizer.weight_decay for each in configs]), "isOwn": values["data"] == OWN,
            "guess": finite([self.guessed(y, judges)[1]])[0],
        }  # fmt: skip
        factory = chain(
            2, 2, width=values["width"], depth=values["depth"], activation=values["activation"], dropout=True
        )
        live = Live(classes(x, y, judges), factory, configs, every=EVERY, metric="log_loss", one_start=True, stop=stop)
        losses = numpy.full(CONFIGS, numpy.nan)
        epoch = 0
        for lanes in live.rounds():
            for place, lane in lanes.items():
                losses[place] = lane.curves.validation_metric[-1]
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
            outcome = self._outcome(values, live, configs, y, judges)
            yield {
                "kind": "frame", "surfaces": self._surfaces(live, list(range(CONFIGS))),
                "dead": finite(outcome.figures["dead"]), "right": finite(outcome.figures["right"]),
                # As many digits as the sentence has, lest one number be rounded in two ways.
                "valid": [None if each is None else float(f"{each:.3e}") for each in outcome.figures["errors"]],
                "best": outcome.figures["best"],
            }  # fmt: skip
            yield outcome

    def _outcome(
        self, values: Values, live: Live, configs: list[Config], y: numpy.ndarray, judges: numpy.ndarray
    ) -> Outcome:
        records = [live.records[place] for place in range(CONFIGS)]
        errors = numpy.array([record.error for record in records])
        errors[~numpy.isfinite(errors)] = numpy.inf
        rows, best = int(judges.sum()), int(errors.argmin())
        rates = numpy.array([each.optimizer.learning_rate for each in configs])
        right = numpy.array([(record.predictions.argmax(1) == y[judges]).sum() for record in records])
        guess, loss = self.guessed(y, judges)
        winner = f"The best of {CONFIGS} by its log loss has {right[best]} of {counted(rows, 'validation point')} right"
        winner += f" ({100 * right[best] / rows:.0f} %)"
        if self.is_guessing(int(right.max()), guess, rows):
            said = [
                f"{winner}; guessing the class of most has {guess}",
                "As far as so few points can tell, none of the networks has learnt anything",
            ]
        else:
            epoch = records[best].best_epoch
            said = [
                f"{winner}, with a log loss of {number(float(errors[best]))} after {counted(epoch, 'epoch')} at a "
                f"learning rate of {number(rates[best])} (guessing: {guess} right, a log loss of {number(loss)})",
                self._learnt(rates[right >= LEARNT * rows]),
            ]
        dead = [self._dead(values, record) for record in records]
        if dead[best] > 0:
            harm = ", which it can do without" if right[best] >= LEARNT * rows else ""
            said.append(f"{100 * dead[best]:.0f} % of its units are dead{harm}")
        figures = {
            "best": best, "errors": [float(each) if numpy.isfinite(each) else None for each in errors],
            "rate": configs[best].optimizer.learning_rate, "right": (right / rows).tolist(), "dead": dead,
        }  # fmt: skip
        learnt = int((right >= LEARNT * rows).sum())
        at = self._at(rates[right >= LEARNT * rows])
        came = f"with these points and this size {counted(learnt, 'network')} of {CONFIGS} learnt it"
        return Outcome(
            " ".join(sentence(each) for each in said), figures, live.named_weights(best),
            brief=f"the best has {100 * right[best] / rows:.0f} % right, {learnt} of {CONFIGS} learnt it{at}",
            compared=beside(self.choices, learnt, came),
        )  # fmt: skip

    @staticmethod
    def _learnt(rates: numpy.ndarray) -> str:
        """How many learnt it, and at which learning rates, of the `rates` of those that did."""
        said = f"If learnt means {100 * LEARNT:.0f} % right, {len(rates) or 'none'} of the {CONFIGS} learnt it"
        return said + Network._at(rates)

    @staticmethod
    def _at(rates: numpy.ndarray) -> str:
        """From which learning rate to which, where there are several."""
        return f", at learning rates from {number(rates.min())} to {number(rates.max())}" if len(rates) > 1 else ""

    @staticmethod
    def _dead(values: Values, record: RunRecord) -> float:
        """The share of dead units at the best epoch, whose weights are kept."""
        curves = record.curves
        return (
            curves.dead_units[curves.epoch.index(record.best_epoch)] if values["depth"] and record.best_epoch else 0.0
        )

    @staticmethod
    def guessed(y: numpy.ndarray, judges: numpy.ndarray) -> tuple[int, float]:
        """How many validation rows are right, and at which log loss, for who knows nothing but how many rows to learn
        from each class has."""
        shares = numpy.bincount(y[~judges], minlength=2) / (~judges).sum()
        chances = numpy.clip(shares[y[judges]], 1e-9, 1)
        return int((y[judges] == shares.argmax()).sum()), float(-numpy.log(chances).mean())

    @staticmethod
    def is_guessing(right: int, guess: int, rows: int) -> bool:
        """Whether chance could have had so many right in one of all networks, by a binomial test of each."""
        return bool(stats.binom.sf(right - 1, rows, guess / rows) * CONFIGS > BY_CHANCE)

    @staticmethod
    def configs(values: Values) -> list[Config]:
        rng = numpy.random.default_rng(1)
        drawn = [[float(numpy.exp(rng.uniform(*numpy.log(ends)))) for ends in (RATES, DECAYS)] for _ in range(CONFIGS)]
        made = []
        # Number 1 has the lowest rate: whoever goes through them sees what the rate does.
        for pair in sorted(drawn):
            rate, decay = (float(f"{each:.3g}") for each in pair)
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
