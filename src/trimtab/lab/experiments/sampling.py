"""Representative data: what a network cannot know of places that nobody has sampled, and what validation says of it."""

from collections.abc import Iterator

import numpy

from trimtab.lab.controls import Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.experiments.duration import GRID, wave
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number

SEEDS, EPOCHS, EVERY = 8, 300, 6
WIDTH, DEPTH, RATE = 32, 2, 0.01
ROWS, NOISE, POPULATION = 120, 0.15, 1_000
# The share of the rows that judges.
JUDGED = 0.25


class Sampling:
    name = "sampling"
    title = "Representative data"
    question = (
        "Is the data like what the network will meet? It can be right on all rows it was given, and wrong beyond."
    )
    guess = "Sample the left half alone. What will the validation error be, and what the error over the whole range?"
    words = (
        ("population", "all rows that the network will meet one day."),
        ("sample", "the rows that somebody has collected: here those within the painted part."),
        ("validation rows", "rows of the sample that are held back to judge the network."),
    )
    controls = (
        Slider("low", "Sampled from", -1.0, 0.8, -1.0, hint="The left end of the painted part."),
        Slider("high", "Sampled up to", -0.8, 1.0, 0.0, hint="The right end of it."),
        Menu(
            "split", "Validation rows",
            (("shuffled", "By chance"), ("time", "The latest, if x is time"), ("group", "A whole group of neighbours")),
            "shuffled",
            "Rows by chance look like those that train; the latest, or a whole group, are as strange as what comes.",
        ),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        low, high = sorted((values["low"], values["high"]))
        high = max(high, low + 0.1)
        rng = numpy.random.default_rng(11)
        x = numpy.sort(rng.uniform(low, high, ROWS))
        y = wave(x) + NOISE * rng.normal(size=ROWS)
        count = round(JUDGED * ROWS)
        first = self.first_judged(values["split"])
        chosen = rng.permutation(ROWS)[:count] if first is None else numpy.arange(first, first + count)
        judges = numpy.isin(numpy.arange(ROWS), chosen)
        all_x = numpy.linspace(-1, 1, POPULATION)
        all_y = wave(all_x) + NOISE * rng.normal(size=POPULATION)
        yield {
            "kind": "begin", "x": finite(x), "y": finite(y), "judges": judges.tolist(), "grid": finite(GRID),
            "truth": finite(wave(GRID)), "part": [low, high], "seeds": SEEDS, "epochs": EPOCHS,
        }  # fmt: skip
        config = plain("adam", RATE, EPOCHS, schedule="cosine")
        factory = chain(1, 1, width=WIDTH, depth=DEPTH)
        live = Live(regression(x[:, None], y, judges), factory, [config] * SEEDS, every=EVERY, stop=stop)
        inside = (all_x >= low) & (all_x <= high)
        errors = {}
        places = list(range(SEEDS))
        for lanes in live.rounds():
            if len(lanes) < SEEDS:
                break
            errors = self._errors(live.predicted(places, all_x[:, None])[:, :, 0] - all_y, inside)
            errors["validation"] = float(numpy.median([lane.curves.validation_metric[-1] for lane in lanes.values()]))
            yield {
                "kind": "frame", "epoch": lanes[0].epoch,
                "errors": {name: finite([e])[0] for name, e in errors.items()},
                "fits": [finite(fit) for fit in live.predicted(places, GRID[:, None])[:, :, 0]],
            }  # fmt: skip
        if errors:
            yield Outcome(self._sentence(errors), errors, live.named_weights(0))

    @staticmethod
    def first_judged(split: str) -> int | None:
        """The first of the rows in a row that judge, these being sorted by x; None where they are drawn by chance."""
        count = round(JUDGED * ROWS)
        return {"shuffled": None, "time": ROWS - count, "group": (ROWS - count) // 2}[split]

    @staticmethod
    def _errors(misses: numpy.ndarray, inside: numpy.ndarray) -> dict[str, float]:
        """Medians over networks of their root mean squares over the population, and inside and outside of the part."""
        parts = {"everywhere": numpy.ones_like(inside), "inside": inside, "outside": ~inside}
        return {
            name: float(numpy.median(numpy.sqrt((misses[:, part] ** 2).mean(1)))) if part.any() else float("nan")
            for name, part in parts.items()
        }

    @staticmethod
    def _sentence(errors: dict[str, float]) -> str:
        said, real = errors["validation"], errors["everywhere"]
        begin = (
            f"The validation rows promise an error of {number(said)}; over the whole population it is {number(real)}"
        )
        if real > 1.3 * said:
            return (
                f"{begin}, {real / said:.1f} times as much: inside the sampled part {number(errors['inside'])}, "
                f"outside {number(errors['outside'])}. No validation row came from there."
            )
        if real < said / 1.3:
            return f"{begin}, less than promised: the rows held back were stranger than most."
        return f"{begin}, much as promised: the sample is like the population."

    def code(self, values: Values) -> str:
        low, high = sorted((values["low"], values["high"]))
        network = chain_code(1, 1, width=WIDTH, depth=DEPTH)
        first = self.first_judged(values["split"])
        chosen = f"rng.permutation({ROWS})" if first is None else f"numpy.roll(numpy.arange({ROWS}), -{first})"
        return f"""import numpy
import torch
import trimtab as tt
from torch import nn

rng = numpy.random.default_rng(11)
x = numpy.sort(rng.uniform({low:g}, {max(high, low + 0.1):g}, {ROWS}))
y = numpy.sin(4 * x) * (1 + x / 2) + {NOISE} * rng.normal(size={ROWS})
order = {chosen}
judge, train = order[:{round(JUDGED * ROWS)}], order[{round(JUDGED * ROWS)}:]

def rows(part):
    return torch.tensor(x[part]).float().unsqueeze(1), torch.tensor(y[part]).float().unsqueeze(1)

run = tt.fit(
    lambda: {network},
    train=rows(train), valid=rows(judge), loss="mse", metric="rmse", optimizer="adam", lr={RATE:g},
    schedule="cosine", batch_size=0, epochs={EPOCHS},
)
everywhere = numpy.linspace(-1, 1, {POPULATION})
truth = numpy.sin(4 * everywhere) * (1 + everywhere / 2) + {NOISE} * rng.normal(size={POPULATION})
with torch.no_grad():
    predicted = run.module(torch.tensor(everywhere).float().unsqueeze(1)).squeeze().numpy()
print("validation", run.score, "everywhere", float(numpy.sqrt(numpy.mean((predicted - truth) ** 2))))
"""
