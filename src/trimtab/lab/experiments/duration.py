"""How long: thirty-two trainings on the same few rows, each with a validation loss that falls, and then rises."""

from collections.abc import Iterator, Mapping

import numpy

from trimtab.lab.controls import Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.guess import Bracket, beside
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number
from trimtab.text.wording import counted

SEEDS, EPOCHS, EVERY = 32, 600, 6
WIDTH, DEPTH, RATE = 48, 2, 0.01
JUDGED = 200
# By less than this share of an error it may differ after chance alone, by less than this one it is little harm, and
# errors of less than this share of the spread of y leave next to nothing to be learnt: guesses, all three.
NEXT_TO_NOTHING, A_LITTLE, SMALL = 0.02, 0.1, 0.1
# Where half of the networks are best in the last tenth, training was too short: a guess.
TOO_SHORT = 0.9
GRID = numpy.linspace(-1.1, 1.1, 61)


def wave(x: numpy.ndarray) -> numpy.ndarray:
    """What there is to be learnt."""
    return numpy.sin(4 * x) * (1 + x / 2)


def rows_of(count: int, noise: float, seed: int = 3) -> tuple[numpy.ndarray, numpy.ndarray]:
    rng = numpy.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    return x, wave(x) + noise * rng.normal(size=count)


def _rms(misses: numpy.ndarray) -> float:
    return float(numpy.sqrt(numpy.mean(misses**2)))


class Duration:
    name = "duration"
    title = "How long"
    question = (
        "How long should a network train? Too short and it has learnt too little; too long and it learns the noise."
    )
    guess = "With 20 noisy rows: after how many of 600 epochs will it predict new rows best?"
    choices = (
        Bracket("soon", "fewer than 50", 0, 50),
        Bracket("early", "50 to 150", 50, 150),
        Bracket("late", "150 to 400", 150, 400),
        Bracket("end", "400 or more", 400),
    )
    next = "Now drag the epoch back to where the validation error is lowest: what is drawn is the fit of that epoch."
    words = (
        (
            "network",
            f"a formula with many adjustable numbers, its weights, that are learnt from rows; the {SEEDS} differ in "
            "the weights that they start from.",
        ),
        ("epoch", "one pass over all rows that are trained on."),
        ("training error", "how wrong the network is on the rows it learns from; this is what falls in training."),
        ("validation error", f"how wrong it is on {JUDGED} rows it has not seen, as noisy as the others: what counts."),
        ("rmse", "root mean squared error, how both are measured: square each miss, take the mean, then its root."),
        ("overfitting", "the training error goes on falling while the validation error rises."),
        ("patience", "for how many epochs without a lower validation error one goes on before giving up."),
        ("median", "the middle one of sorted numbers: as many of the 32 networks are above it as below it."),
    )
    controls = (
        Slider("rows", "Rows to learn from", 8, 200, 20, scale="log", whole=True, hint="Each is a pair of x and y."),
        Slider("noise", "Noise", 0.0, 1.0, 0.4, hint="How far chance throws each y, typically."),
        Slider(
            "patience",
            "Patience",
            6,
            300,
            60,
            whole=True,
            instant=True,
            hint="Who stops keeps the best network until then. Where: the dashed line, and the words below the curves.",
        ),
        Slider("shown", "Network shown", 1, SEEDS, 1, whole=True, hint="Whose fit is drawn."),
    )

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        x, y = rows_of(values["rows"], values["noise"])
        new_x, new_y = rows_of(JUDGED, values["noise"], seed=5)
        all_x, all_y = numpy.concatenate([x, new_x]), numpy.concatenate([y, new_y])
        judges = numpy.arange(len(all_x)) >= len(x)
        yield {
            "kind": "begin", "x": finite(x), "y": finite(y), "grid": finite(GRID), "truth": finite(wave(GRID)),
            "seeds": SEEDS, "epochs": EPOCHS, "every": EVERY, "noise": finite([_rms(y - wave(x))])[0],
        }  # fmt: skip
        config = plain("adam", RATE, EPOCHS)
        factory = chain(1, 1, width=WIDTH, depth=DEPTH)
        live = Live(regression(all_x[:, None], all_y, judges), factory, [config] * SEEDS, every=EVERY, stop=stop)
        epochs: list[int] = []
        training: list[list[float]] = []
        validation: list[list[float]] = []
        for lanes in live.rounds():
            if len(lanes) < SEEDS:
                break
            told = [lanes[place].curves for place in range(SEEDS)]
            epochs.append(told[0].epoch[-1])
            training.append([curves.train_metric[-1] for curves in told])
            validation.append([curves.validation_metric[-1] for curves in told])
            fit = live.predicted([values["shown"] - 1], GRID[:, None])[0, :, 0]
            yield {
                "kind": "frame", "epoch": epochs[-1], "train": finite(training[-1]),
                "valid": finite(validation[-1]), "fit": finite(fit),
            }  # fmt: skip
        if epochs:
            curves = numpy.array(epochs), numpy.array(training), numpy.array(validation)
            yield self._outcome(values, live, *curves, noise=_rms(y - wave(x)), spread=float(new_y.std()))

    def _outcome(
        self, values: Values, live: Live, epochs: numpy.ndarray, training: numpy.ndarray, validation: numpy.ndarray, *,
        noise: float, spread: float,
    ) -> Outcome:  # fmt: skip
        places, every = validation.argmin(0), numpy.arange(SEEDS)
        best = epochs[places]
        low, middle, high = numpy.quantile(best, [0.25, 0.5, 0.75], method="lower")  # epochs that there were
        figures = {
            "best_epoch": middle, "low": low, "high": high,
            "lowest": numpy.median(validation.min(0)), "last": numpy.median(validation[-1]),
            "train_then": numpy.median(training[places, every]), "train_last": numpy.median(training[-1]),
            "noise": noise, "spread": spread,
        }  # fmt: skip
        lowest, last = number(figures["lowest"]), number(figures["last"])
        said = (
            f"The validation error was lowest after {middle:.0f} epochs (the median of {SEEDS} networks; half of them "
            f"had theirs between {low:.0f} and {high:.0f}): {lowest} there, {last} after {epochs[-1]}. "
            f"{self.verdict(values, figures)}"
        )
        rows = f"with {values['rows']} rows and noise {values['noise']:g}"
        return Outcome(
            said, figures, live.named_weights(values["shown"] - 1),
            brief=f"lowest after {middle:.0f} epochs, {lowest} there and {last} after {epochs[-1]}",
            compared=beside(self.choices, float(middle), f"{rows} the median was {counted(round(middle), 'epoch')}"),
        )  # fmt: skip

    @staticmethod
    def verdict(values: Values, figures: Mapping[str, float]) -> str:
        """What going on to the end did, and why: by the noise there is to learn, and by what was learnt of it."""
        last, lowest, noise, rows = figures["last"], figures["lowest"], figures["noise"], values["rows"]
        worse = last / lowest - 1
        has_noise = values["noise"] > 0
        there_is = "little noise" if has_noise else "no noise"
        if figures["best_epoch"] > TOO_SHORT * EPOCHS:
            return f"Most networks were still getting better near the end: {EPOCHS} epochs are too few here."
        if last < SMALL * figures["spread"]:
            spread = f"the spread of y (its standard deviation), {number(figures['spread'])}"
            why = f"there is {there_is} to learn by heart, and going on does next to no harm"
            return f"Both are small beside {spread}: {why}."
        if worse > NEXT_TO_NOTHING:
            then, now = figures["train_then"], figures["train_last"]
            moved = f"while the training error went from {number(then)} to {number(now)}"
            if now >= then:
                return f"It was {100 * worse:.0f} % worse in the end, {moved}: the steps are too long to settle."
            why = "" if has_noise else " to few rows, for there is no noise to learn by heart"
            a_little = "a little " if worse < A_LITTLE else ""
            return (
                f"Going on to the end made it {100 * worse:.0f} % worse, {moved}: that is {a_little}overfitting{why}."
            )
        begin = "Going on to the end cost next to nothing here"
        if not has_noise:
            return f"{begin}: there is no noise to learn by heart."
        if lowest**2 > 2 * values["noise"] ** 2:
            return f"{begin}: the noise is small beside what the network does not know of places between the rows."
        if figures["train_last"] > noise / 2:
            return f"{begin}: {rows} rows are too many for the network to learn most of their noise by heart."
        return f"{begin}, though the network has learnt most of the noise by heart."

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
