"""Loss functions: the same points, the same start, four losses; what an outlier weighs in each."""

from collections.abc import Iterator

import numpy

from trimtab.knobs.table import losses_for
from trimtab.lab.controls import Menu, Points, Slider, Values
from trimtab.lab.experiment import Event, Outcome, Stop
from trimtab.lab.experiments.duration import GRID
from trimtab.lab.live import Live, chain, chain_code, finite, plain, regression
from trimtab.text.layout import number
from trimtab.training.config import Loss

# A loss that is nearly Huber's would hide behind its curve.
NAMES = tuple(name for name in losses_for("regression") if name != "log_cosh")
CALLED = {"mse": "MSE", "mae": "MAE"}
EPOCHS, EVERY, RATE = 400, 8, 0.02
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


class Losses:
    name = "losses"
    choices = ()
    title = "Loss functions"
    question = "What should training minimise? A loss says how bad each miss is, and so who is listened to."
    guess = "Two of the points were measured wrongly. Which of the four lines will they pull up most, and which least?"
    words = (
        ("MSE", "the mean of squared misses: one that is ten times as large counts a hundred times."),
        ("MAE", "the mean of absolute misses: one that is ten times as large counts ten times."),
        ("Huber", "squared for small misses, absolute for those beyond delta."),
        ("quantile", "misses above the line and below it count differently: q of all points should lie below."),
    )
    controls = (
        Slider("delta", "Huber's delta", 0.05, 3.0, 0.5, scale="log", hint="In standard deviations of the target."),
        Slider("quantile", "Quantile", 0.05, 0.95, 0.5, hint="Which share of the points should lie below."),
        Menu("model", "Model", (("line", "A line"), ("curve", "A network")), "line", "What is fitted."),
        Points("points", "Points", POINTS, "Drag a point, or press on an empty place to add one."),
    )

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        points = numpy.array(values["points"])
        x, y = points[:, 0], points[:, 1]
        yield {"kind": "begin", "names": [self.called(name) for name in NAMES], "grid": finite(GRID), "epochs": EPOCHS}
        configs = [
            plain("adam", RATE, EPOCHS, loss=Loss(name, self.parameter(name, values)), schedule="cosine")
            for name in NAMES
        ]  # fmt: skip
        factory = chain(1, 1, width=WIDTH, depth=DEPTHS[values["model"]])
        live = Live(
            regression(x[:, None], y, scaled=True), factory, configs, every=EVERY, metric=None, one_start=True,
            stop=stop,
        )  # fmt: skip
        places, told = list(range(len(NAMES))), None
        scale = float(y.std()) or 1.0
        for lanes in live.rounds():
            if len(lanes) < len(NAMES):
                break
            fitted = live.predicted(places, x[:, None])[:, :, 0]
            told = [
                contributions(name, (y - line) / scale, self.parameter(name, values))
                for name, line in zip(NAMES, fitted, strict=True)
            ]
            yield {
                "kind": "frame", "epoch": lanes[0].epoch, "lines": [
                    finite(line) for line in live.predicted(places, GRID[:, None])[:, :, 0]
                ], "added": [finite(each / max(1e-12, each.sum())) for each in told],
            }  # fmt: skip
        if told is not None:
            yield self._outcome(values, live, points, told)

    def _outcome(self, values: Values, live: Live, points: numpy.ndarray, told: list[numpy.ndarray]) -> Outcome:
        shares = {name: each / max(1e-12, each.sum()) for name, each in zip(NAMES, told, strict=True)}
        row = int(shares["mse"].argmax())
        x, y = points[row]
        at = live.predicted(list(range(len(NAMES))), numpy.array([[x]]))[:, 0, 0]
        lines = dict(zip(NAMES, at.tolist(), strict=True))
        heaviest = {name: float(share[row]) for name, share in shares.items()}
        said = (
            f"The point at x = {number(x)}, y = {number(y)} alone is {100 * heaviest['mse']:.0f} % of the squared "
            f"loss, {100 * heaviest['huber']:.0f} % of Huber's and {100 * heaviest['mae']:.0f} % of the absolute one. "
            f"At its place MSE predicts {number(lines['mse'])}, MAE {number(lines['mae'])}."
        )
        figures = {"shares": heaviest, "lines": lines, "row": row}
        return Outcome(said, figures, live.named_weights(NAMES.index("huber")))

    @staticmethod
    def parameter(name: str, values: Values) -> float:
        return values["quantile"] if name == "quantile" else values["delta"] if name == "huber" else 1.0

    @staticmethod
    def called(name: str) -> str:
        return CALLED.get(name, name.capitalize())

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
        train=(x, scaled), valid=None, loss=loss, optimizer="adam", lr={RATE:g}, schedule="cosine", batch_size=0,
        epochs={EPOCHS}, **own,
    )
    with torch.no_grad():
        print(loss, "at the last point:", (runs[loss].module(x[-1:]) * y.std(correction=0) + y.mean()).item())
"""

    def _own(self, name: str, values: Values) -> dict[str, float]:
        names = {"huber": "delta", "quantile": "tau"}
        return {names[name]: self.parameter(name, values)} if name in names else {}
