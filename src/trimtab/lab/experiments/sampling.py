"""Representative data: what a network cannot know of places that nobody has sampled, and what validation says of it."""

from collections.abc import Iterator

import numpy

from trimtab.lab.controls import Menu, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.experiments.duration import GRID, wave
from trimtab.lab.guess import Bracket, beside
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number

SEEDS, EPOCHS, EVERY = 8, 300, 6
WIDTH, DEPTH, RATE = 32, 2, 0.01
ROWS, NOISE, POPULATION = 120, 0.15, 1_000
# The share of the rows that judges.
JUDGED = 0.25
# Errors that differ by less are alike: by 30 rows that judge, one is known to 13 % [1 / sqrt(2 n)], and twice that
# is 26 %.
ALIKE = 1.3
# The share of the population that is nearly all of it: a guess.
NEARLY_ALL = 0.9


class Sampling:
    name = "sampling"
    title = "Representative data"
    question = (
        "Is the data like what the network will meet? It can be right on all rows it was given, and wrong beyond."
    )
    guess = (
        "Only the left half is sampled, and a quarter of its rows is held back to judge. How large will the error over "
        "the whole range be, beside the one that these rows promise?"
    )
    choices = (
        Bracket("less", "smaller", 0.0, 1 / ALIKE),
        Bracket("same", "about the same", 1 / ALIKE, ALIKE),
        Bracket("twice", "up to twice as much", ALIKE, 2.0),
        Bracket("five", "two to five times as much", 2.0, 5.0),
        Bracket("more", "more than five times", 5.0),
    )
    next = "Now paint the whole width, or let the latest rows judge: what is promised comes nearer to what there is."
    words = (
        ("network", "a formula with many adjustable numbers, its weights, that are learnt from rows."),
        ("population", "all rows that the network will meet one day."),
        ("sample", "the rows that somebody has collected: here those within the painted part."),
        ("validation rows", "rows of the sample that are held back to judge the network."),
        (
            "error",
            "here the root mean squared error: square what each row is missed by, take the mean, then its square root.",
        ),
        ("median", "the middle one of sorted numbers: here of the errors of eight networks."),
    )
    controls = (
        Slider("low", "Sampled from", -1.0, 0.8, -1.0, hint="The left end of the painted part."),
        Slider("high", "Sampled up to", -0.8, 1.0, 0.0, hint="The right end of it."),
        Menu(
            "split", "Validation rows",
            (("shuffled", "By chance"), ("time", "The latest, if x is time"), ("group", "A group at the left end")),
            "shuffled",
            "Rows by chance lie among those that train. The latest, or a group at the left end, lie beyond them: there "
            "the network is asked about places it has not seen.",
        ),
    )  # fmt: skip

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        low, high = self.part(values)
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
            covered = float(inside.mean())
            yield Outcome(
                self._sentence(values, errors, covered), errors | {"covered": covered}, live.named_weights(0),
                brief=f"promised {number(errors['validation'])}, over the population {number(errors['everywhere'])}",
                compared=self._compared(values, errors),
            )  # fmt: skip

    @staticmethod
    def part(values: Values) -> tuple[float, float]:
        """The two ends of what is sampled, the lower first, and at least 0.1 between them."""
        low, high = sorted((values["low"], values["high"]))
        return low, max(high, low + 0.1)

    @staticmethod
    def first_judged(split: str) -> int | None:
        """The first of the rows in a row that judge, these being sorted by x; None where they are drawn by chance."""
        count = round(JUDGED * ROWS)
        return {"shuffled": None, "time": ROWS - count, "group": 0}[split]

    @staticmethod
    def _errors(misses: numpy.ndarray, inside: numpy.ndarray) -> dict[str, float]:
        """Medians over networks of their root mean squares over the population, and inside and outside of the part."""
        parts = {"everywhere": numpy.ones_like(inside), "inside": inside, "outside": ~inside}
        return {
            name: float(numpy.median(numpy.sqrt((misses[:, part] ** 2).mean(1)))) if part.any() else float("nan")
            for name, part in parts.items()
        }

    @classmethod
    def _sentence(cls, values: Values, errors: dict[str, float], covered: float) -> str:
        """What validation promised, what came, and why: `covered` is the share of the population that was sampled."""
        said, real = errors["validation"], errors["everywhere"]
        low, high = cls.part(values)
        begin = (
            ""
            if (low, high) == (values["low"], values["high"])
            else f"The sampled part goes from {low:g} to {high:g}. "
        )
        begin += (
            f"The validation rows promise an error of {number(said)}; over the whole population it is {number(real)}"
        )
        inside, outside = errors["inside"], errors["outside"]
        parts = f"inside the sampled part {number(inside)}, outside {number(outside)}"
        if real > ALIKE * said:
            times = f"{begin}, {real / said:.1f} times as much"
            if outside > inside:
                return f"{times}: {parts}. No validation row came from there."
            return f"{times}: the validation rows are easier than the whole population."
        if real < said / ALIKE:
            return f"{begin}, less than promised: the validation rows are harder than the whole population."
        begin += ", much as promised"
        if covered < NEARLY_ALL or not _are_alike(inside, said):
            return f"{begin}, but by luck: {parts}, and no validation row came from there."
        if covered == 1 or _are_alike(inside, outside):
            return f"{begin}: the sample is like the population."
        rest = f"where only {100 * (1 - covered):.0f} % of the population lie, too few to count for much"
        return f"{begin}: {parts}, {rest}."

    @classmethod
    def _compared(cls, values: Values, errors: dict[str, float]) -> dict[str, str]:
        """The guesses beside how many times as much as promised it was."""
        times = errors["everywhere"] / errors["validation"]
        low, high = cls.part(values)
        return beside(cls.choices, times, f"sampled from {low:g} to {high:g} it was {times:.1f} times as much")

    def code(self, values: Values) -> str:
        low, high = self.part(values)
        network = chain_code(1, 1, width=WIDTH, depth=DEPTH)
        first = self.first_judged(values["split"])
        chosen = f"rng.permutation({ROWS})" if first is None else f"numpy.roll(numpy.arange({ROWS}), -{first})"
        return f"""import numpy
import torch
import trimtab as tt
from torch import nn

rng = numpy.random.default_rng(11)
x = numpy.sort(rng.uniform({low:g}, {high:g}, {ROWS}))
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


def _are_alike(one: float, other: float) -> bool:
    return max(one, other) <= ALIKE * min(one, other)
