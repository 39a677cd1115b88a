"""Loss functions: the same points, the same start, four losses; how far the two farthest points pull each fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy
import torch

from trimtab.knobs.table import losses_for
from trimtab.lab.controls import Menu, Points, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.experiments.duration import GRID
from trimtab.lab.guess import Named, among
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.training.config import Config, Loss
from trimtab.training.data import Fold, TrainingData

# A loss that is nearly Huber's would hide behind its curve.
NAMES = tuple(name for name in losses_for("regression") if name != "log_cosh")
CALLED = {"mse": "MSE", "mae": "MAE"}
# Adam has to forget the size of early gradients soon: with its usual 0.999, once most points lie below a line of 0.95,
# steps are too short to reach the lowest loss in so many epochs; with 0.9 lines do reach it at every quantile.
EPOCHS, EVERY, RATE, SECOND_DECAY = 400, 8, 0.05, 0.9
# In standard deviations of the target: two lines so near to each other are one in the picture.
TELLABLE = 0.01
# Below four points, nothing could be fitted without two of them.
FEWEST_POINTS = 4
WIDTH, DEPTHS = 24, {"line": 0, "curve": 2}
_X = numpy.linspace(-1, 1, 24)
_Y = 0.8 * _X + numpy.random.default_rng(8).normal(0, 0.08, len(_X))
# Twenty-four points near a line, two of them measured wrongly.
POINTS = tuple(
    (round(float(x), 2), round(float(y) + (1.9 if place in (16, 20) else 0.0), 2))
    for place, (x, y) in enumerate(zip(_X, _Y, strict=True))
)


def contributions(name: str, misses: numpy.ndarray, parameter: float) -> numpy.ndarray:
    """What each row adds to a loss, of its residual (truth minus prediction) in standard deviations of the target."""
    size = numpy.abs(misses)
    if name == "mse":
        return size**2
    if name == "huber":
        return numpy.where(size <= parameter, size**2 / 2, parameter * (size - parameter / 2))
    if name == "quantile":
        return numpy.maximum(parameter * misses, (parameter - 1) * misses)
    return size


def pulls_of(name: str, misses: numpy.ndarray, parameter: float) -> numpy.ndarray:
    """How hard each row pulls at the fit: the size of its loss's derivative by the prediction, which is 0 in sum once
    nothing moves any more."""
    size = numpy.abs(misses)
    if name == "mse":
        return 2 * size
    if name == "huber":
        return numpy.minimum(size, parameter)
    if name == "quantile":
        return numpy.where(misses > 0, parameter, 1 - parameter)
    return numpy.ones_like(size)


def called(name: str) -> str:
    return CALLED.get(name, name.capitalize())


class Losses:
    name = "losses"
    title = "Loss functions"
    question = "What should training minimise? A loss says how bad each miss is, and so who is listened to."
    guess = "Two of the points were measured wrongly. Which of the four lines will they pull up most?"
    choices = tuple(Named(name, f"{called(name)} most") for name in NAMES)
    next = "Now drag one of the two back to the others, or press somewhere to add a third."
    words = (
        (
            "MSE",
            "mean squared error: squares each miss (how far a point is from the line): one that is ten times as large "
            "counts a hundred times.",
        ),
        ("MAE", "mean absolute error: takes misses as they are: one that is ten times as large counts ten times."),
        ("Huber", "squared for small misses, absolute for those beyond delta."),
        (
            "quantile q",
            "misses above the line count q, those below it 1 - q: a share q of all points comes to lie below.",
        ),
    )
    controls = (
        Slider(
            "delta",
            "Huber's delta",
            0.05,
            3.0,
            0.5,
            scale="log",
            hint="Up to which miss Huber is squared, in standard deviations: how far y usually is from its mean.",
        ),
        Slider(
            "quantile",
            "Quantile q",
            0.05,
            0.95,
            0.8,
            hint="Which share of the points should lie below. At 0.5 the quantile line is that of MAE.",
        ),
        Menu("model", "Model", (("line", "A line"), ("curve", "A network")), "line", "What is fitted."),
        Points("points", "Points", POINTS, "Drag a point, or press on an empty place to add one."),
    )

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        points = numpy.array(values["points"])
        x, y = points[:, 0], points[:, 1]
        yield {"kind": "begin", "names": [called(name) for name in NAMES], "grid": finite(GRID), "epochs": EPOCHS}
        data = regression(x[:, None], y, scaled=True)
        live, places, fitted = self._live(values, data, stop), list(range(len(NAMES))), None
        scale = float(y.std()) or 1.0
        for lanes in live.rounds():
            if len(lanes) < len(NAMES):
                break
            fitted = live.predicted(places, x[:, None])[:, :, 0]
            misses = {name: (y - line) / scale for name, line in zip(NAMES, fitted, strict=True)}
            yield {
                "kind": "frame", "epoch": lanes[0].epoch, "lines": [
                    finite(line) for line in live.predicted(places, GRID[:, None])[:, :, 0]
                ],
                "added": self._shares(contributions, misses, values),
                "pulled": self._shares(pulls_of, misses, values),
            }  # fmt: skip
        if fitted is None or stop():
            return
        far = self.farthest(y, fitted[NAMES.index("mae")])
        pulls = {}
        if len(far):
            rest = torch.from_numpy(numpy.setdiff1d(numpy.arange(len(y)), far))
            folds = (Fold(rest, torch.zeros(0, dtype=torch.int64)),)
            without = self._live(values, replace(data, folds=folds), stop)
            for _ in without.rounds():
                pass
            if stop():
                return
            moved = fitted[:, far] - without.predicted(places, x[far, None])[:, :, 0]
            towards = numpy.sign(y[far] - fitted[NAMES.index("mae"), far])
            pulls = dict(zip(NAMES, (moved * towards).mean(1).tolist(), strict=True))
            lines = without.predicted(places, GRID[:, None])[:, :, 0]
            yield {"kind": "frame", "far": far.tolist(), "without": [finite(line) for line in lines]}
        yield self._outcome(values, live, fitted, far, pulls)

    def _shares(
        self, measure: Callable[[str, numpy.ndarray, float], numpy.ndarray], misses: Mapping[str, numpy.ndarray],
        values: Values,
    ) -> list[list[float | None]]:  # fmt: skip
        """What of a measure's sum over all rows is each row's, for each loss."""
        told = [measure(name, each, self.parameter(name, values)) for name, each in misses.items()]
        return [finite(each / max(1e-12, each.sum())) for each in told]

    def _live(self, values: Values, data: TrainingData, stop: Stop) -> Live:
        factory = chain(1, 1, width=WIDTH, depth=DEPTHS[values["model"]])
        configs = [self._config(name, values) for name in NAMES]
        return Live(data, factory, configs, every=EVERY, metric=None, one_start=True, stop=stop)

    def _config(self, name: str, values: Values) -> Config:
        config = plain("adam", RATE, EPOCHS, loss=Loss(name, self.parameter(name, values)), schedule="cosine")
        return replace(config, optimizer=replace(config.optimizer, second_decay=SECOND_DECAY))

    @staticmethod
    def farthest(y: numpy.ndarray, line: numpy.ndarray) -> numpy.ndarray:
        """The two rows that are farthest from a line, which is MAE's as it is moved least by what is wrong; none where
        too few would remain."""
        misses = numpy.abs(y - line)
        return numpy.sort(misses.argsort()[-2:]) if len(y) >= FEWEST_POINTS else numpy.zeros(0, dtype=int)

    def _outcome(
        self, values: Values, live: Live, fitted: numpy.ndarray, far: numpy.ndarray, pulls: dict[str, float]
    ) -> Outcome:
        points = numpy.array(values["points"])
        y, scale = points[:, 1], float(points[:, 1].std()) or 1.0
        said = []
        if pulls:
            said.append(self._pulled(points[far, 0], pulls, TELLABLE * scale))
        misses = y - fitted[NAMES.index("quantile")]
        below, beside = int((misses > TELLABLE * scale).sum()), int((numpy.abs(misses) <= TELLABLE * scale).sum())
        below = len(y) - below - beside
        on = f", {counted(beside, 'lies', 'lie')} on it" if beside else ""
        said.append(
            f"Below the quantile line {'lies' if below == 1 else 'lie'} {below} of {counted(len(y), 'point')} "
            f"({100 * below / len(y):.0f} %){on}; asked for were {100 * values['quantile']:.3g} %"
        )
        figures = {"pulls": pulls, "far": far.tolist(), "below": below, "on": beside}
        most = self.pulled_most(pulls, TELLABLE * scale)
        compared = among(self.choices, most, f"{self._are(most)} pulled most") if len(most) < len(NAMES) else {}
        brief = "pulled was " + listed(
            f"{called(name)} {self._far(pull, TELLABLE * scale)}" for name, pull in pulls.items()
        )
        return Outcome(
            " ".join(sentence(each) for each in said), figures, live.named_weights(NAMES.index("huber")),
            brief=brief if pulls else "", compared=compared,
        )  # fmt: skip

    @staticmethod
    def pulled_most(pulls: Mapping[str, float], tellable: float) -> list[str]:
        """The losses whose lines are pulled most, as far as can be told apart; all where they are alike."""
        return [name for name, pull in pulls.items() if pull >= max(pulls.values()) - tellable]

    def _are(self, names: Sequence[str]) -> str:
        return f"{listed(called(name) for name in names)} {'is' if len(names) == 1 else 'are'}"

    @staticmethod
    def _far(pull: float, tellable: float) -> str:
        """How far a line is pulled, as it stands behind its name."""
        if abs(pull) < tellable:
            return f"hardly at all (less than {number(tellable)})"
        return f"by {number(abs(pull))}" + (" away from them" if pull < 0 else "")

    def _pulled(self, places: numpy.ndarray, pulls: dict[str, float], tellable: float) -> str:
        """How far two points at the x `places` move each line, and which of them most and least."""
        told = [f"{called(name)}'s {self._far(pull, tellable)}" for name, pull in pulls.items()]
        two = " and ".join(f"{place:g}" for place in places)
        said = f"The two points farthest from MAE's line, at x = {two}, pull the lines towards them: {listed(told)}"
        low, high = min(pulls.values()), max(pulls.values())
        if high - low <= tellable:
            return f"{said}, all four alike"
        most = self.pulled_most(pulls, tellable)
        least = [called(name) for name, pull in pulls.items() if pull <= low + tellable]
        return f"{said}. {self._are(most)} pulled most, {listed(least)} least"

    @staticmethod
    def parameter(name: str, values: Values) -> float:
        return values["quantile"] if name == "quantile" else values["delta"] if name == "huber" else 1.0

    def code(self, values: Values) -> str:
        network = chain_code(1, 1, width=WIDTH, depth=DEPTHS[values["model"]])
        x, y = ([point[i] for point in values["points"]] for i in (0, 1))
        return f"""import torch
import trimtab as tt
from torch import nn

x = torch.tensor({x}).unsqueeze(1)
y = torch.tensor({y}).unsqueeze(1)
scaled = (y - y.mean()) / y.std(correction=0)

runs = {{}}
for loss, own in {[(name, self._own(name, values)) for name in NAMES]}:
    runs[loss] = tt.fit(
        lambda: {network},
        train=(x, scaled), valid=None, loss=loss, optimizer="adam", lr={RATE:g}, second_decay={SECOND_DECAY:g},
        schedule="cosine", batch_size=0, epochs={EPOCHS}, **own,
    )
    with torch.no_grad():
        print(loss, "at the last point:", (runs[loss].module(x[-1:]) * y.std(correction=0) + y.mean()).item())
"""

    def _own(self, name: str, values: Values) -> dict[str, float]:
        names = {"huber": "delta", "quantile": "tau"}
        return {names[name]: self.parameter(name, values)} if name in names else {}
