"""How long: thirty-two trainings on the same few rows, each with a validation loss that falls, and then rises."""

from collections.abc import Iterator

import numpy

from trimtab.lab.controls import Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number

SEEDS, EPOCHS, EVERY = 32, 600, 6
WIDTH, DEPTH, RATE = 48, 2, 0.01
JUDGED = 200
GRID = numpy.linspace(-1.1, 1.1, 61)


def wave(x: numpy.ndarray) -> numpy.ndarray:
    """What there is to be learnt."""
    return numpy.sin(4 * x) * (1 + x / 2)


def rows_of(count: int, noise: float, seed: int = 3) -> tuple[numpy.ndarray, numpy.ndarray]:
    rng = numpy.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    return x, wave(x) + noise * rng.normal(size=count)


class Duration:
    name = "duration"
    title = "How long"
    question = (
        "How long should a network train? Too short and it has learnt too little; too long and it learns the noise."
    )
    guess = "With 20 noisy rows: after how many of 600 epochs will it predict new rows best? Now halve the noise."
    words = (
        ("epoch", "one pass over all rows that are trained on."),
        ("training loss", "how wrong the network is on the rows it learns from."),
        ("validation loss", "how wrong it is on rows it has not seen: what counts."),
        ("patience", "for how many epochs without a better validation loss one goes on before giving up."),
    )
    controls = (
        Slider("rows", "Rows to learn from", 8, 200, 20, scale="log", whole=True, hint="More rows, less to overfit."),
        Slider("noise", "Noise", 0.0, 1.0, 0.4, hint="How much of each y is chance."),
        Slider("patience", "Patience", 6, 300, 60, whole=True, instant=True, hint="Read off the curves at once."),
        Slider("shown", "Network shown", 1, SEEDS, 1, whole=True, hint="Whose fit is drawn."),
    )

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        x, y = rows_of(values["rows"], values["noise"])
        new_x, new_y = rows_of(JUDGED, values["noise"], seed=5)
        all_x, all_y = numpy.concatenate([x, new_x]), numpy.concatenate([y, new_y])
        judges = numpy.arange(len(all_x)) >= len(x)
        yield {
            "kind": "begin", "x": finite(x), "y": finite(y), "grid": finite(GRID), "truth": finite(wave(GRID)),
            "seeds": SEEDS, "epochs": EPOCHS, "floor": values["noise"],
        }  # fmt: skip
        config = plain("adam", RATE, EPOCHS)
        factory = chain(1, 1, width=WIDTH, depth=DEPTH)
        live = Live(regression(all_x[:, None], all_y, judges), factory, [config] * SEEDS, every=EVERY, stop=stop)
        epochs: list[int] = []
        validation: list[list[float]] = []
        for lanes in live.rounds():
            if len(lanes) < SEEDS:
                break
            told = [lanes[place].curves for place in range(SEEDS)]
            epochs.append(told[0].epoch[-1])
            validation.append([curves.validation_metric[-1] for curves in told])
            fit = live.predicted([values["shown"] - 1], GRID[:, None])[0, :, 0]
            yield {
                "kind": "frame", "epoch": epochs[-1], "train": finite([curves.train_metric[-1] for curves in told]),
                "valid": finite(validation[-1]), "fit": finite(fit),
            }  # fmt: skip
        if epochs:
            yield self._outcome(values, live, numpy.array(epochs), numpy.array(validation))

    def _outcome(self, values: Values, live: Live, epochs: numpy.ndarray, validation: numpy.ndarray) -> Outcome:
        best = epochs[validation.argmin(0)]
        low, middle, high = numpy.quantile(best, [0.25, 0.5, 0.75])
        lowest, last = numpy.median(validation.min(0)), numpy.median(validation[-1])
        figures = {"best_epoch": middle, "lowest": lowest, "last": last, "low": low, "high": high}
        said = (
            f"The validation error was lowest after {middle:.0f} epochs ({low:.0f} to {high:.0f} for half of the "
            f"{SEEDS} networks): {number(lowest)} there, {number(last)} after {epochs[-1]}. "
        )
        dearer = last / lowest - 1
        said += (
            f"Going on to the end made it {100 * dearer:.0f} % worse: that is overfitting."
            if dearer > 0.02
            else "Going on to the end cost nothing here: with so many rows there is little noise to learn by heart."
        )
        return Outcome(said, figures, live.named_weights(values["shown"] - 1))

    def code(self, values: Values) -> str:
        network = chain_code(1, 1, width=WIDTH, depth=DEPTH)
        return f"""import numpy
import torch
import trimtab as tt
from torch import nn

def rows(count, seed):
    rng = numpy.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    y = numpy.sin(4 * x) * (1 + x / 2) + {values["noise"]:g} * rng.normal(size=count)
    return torch.tensor(x).float().unsqueeze(1), torch.tensor(y).float().unsqueeze(1)

run = tt.fit(
    lambda: {network},
    train=rows({values["rows"]}, seed=3), valid=rows({JUDGED}, seed=5), loss="mse", metric="rmse",
    optimizer="adam", lr={RATE:g}, schedule="constant", batch_size=0, epochs={EPOCHS}, evaluate_every={EVERY},
)
print("best epoch", run.best_epoch, "validation error", run.score)
"""
