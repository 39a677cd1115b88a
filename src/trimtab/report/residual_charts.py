"""The errors of a model of numbers: predicted against true, their distribution, and what each row adds to each loss.

Knows truths and predictions.
"""

import math
from collections.abc import Callable

import numpy

from trimtab.findings.words import percent
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing
from trimtab.report.scales import covering
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence

# Rows that are drawn as points at most, drawn by chance; the file would be large with more, and no clearer.
POINTS = 800
# The ends [rows] around predictions [rows].
Bounds = Callable[[numpy.ndarray], tuple[numpy.ndarray, numpy.ndarray]]
BINS = 36
# Of rows whose truth lies in the intervals that are drawn.
SHARE = 0.9
# The share of rows whose part in a loss is told: the twentieth with the largest errors.
WORST = 0.05


def predicted_chart(
    truth: numpy.ndarray, prediction: numpy.ndarray, unit: str, rows: numpy.ndarray, odd: frozenset[int],
    bounds: Bounds | None = None, *, are_new: bool = False,
) -> Chart:  # fmt: skip
    """Predictions [rows] against truths [rows] with numbers `rows` [rows]; those in `odd` are marked. `bounds` gives
    the ends of the intervals, of the share `SHARE`, around predictions [n], each [n]; what they hold of rows that
    `are_new` to them is told."""
    error: numpy.ndarray = prediction - truth
    r = numpy.corrcoef(truth, prediction)[0, 1] if numpy.ptp(truth) > 0 and numpy.ptp(prediction) > 0 else math.nan
    worst = int(numpy.argmax(numpy.abs(error)))
    half = float(numpy.median(numpy.abs(error)))
    text = f"Half of the rows are predicted within {number(half)} of the truth"
    pair = f"true {number(truth[worst])}, predicted {number(prediction[worst])}"
    text += f"; the largest error is {number(abs(error[worst]))}, in row {rows[worst]} ({pair})"
    if bounds is not None and are_new:
        low, high = bounds(prediction)
        held = float(((low <= truth) & (truth <= high)).mean())
        text += (
            f". Intervals that are to hold the truth in {percent(SHARE)} of rows hold it in {percent(held)} of these"
        )
    order = numpy.argsort(-numpy.abs(error))[:100]
    cells = [[str(rows[i]), *(number(float(each[i])) for each in (truth, prediction, error))] for i in order.tolist()]
    note = (
        f"Each point is a row; on the line they would be exact. r = {r:.3f}."
        if math.isfinite(r)
        else "Each point is a row; on the line they would be exact."
    )
    if bounds is not None:
        note += f" Between the dotted lines lies the truth of {percent(SHARE)} of rows, by errors on rows kept aside."
    if odd:
        note += f" Marked: {counted(len(odd), 'row')} named by a finding."
    return Chart(
        "predicted",
        "How near are predictions to the truth?",
        sentence(text),
        lambda width: _scatter(truth, prediction, unit, rows, odd, bounds, width),
        Table(["row", "true", "predicted", "error"], cells, frozenset({0, 1, 2, 3})),
        note,
    )


def residuals_chart(truth: numpy.ndarray, prediction: numpy.ndarray, unit: str) -> Chart:
    """How errors are distributed."""
    error = prediction - truth
    mean, spread = float(error.mean()), float(error.std())
    share = float((numpy.abs(error - mean) > 3 * spread).mean()) if spread else 0.0
    text = f"Errors are {number(mean)} in the mean, with a standard deviation of {number(spread)}"
    text += f"; {share:.1%} of the rows lie more than three of these away (0.3% of a normal distribution do)".replace(
        "%", " %"
    )
    counts, edges = numpy.histogram(error, bins=_bins(error))
    rows = [[f"{number(edges[i])} to {number(edges[i + 1])}", str(counts[i])] for i in range(len(counts))]
    return Chart(
        "residuals",
        "How are the errors distributed?",
        sentence(text),
        lambda width: _histogram(error, unit, width),
        Table(["error (predicted less true)", "rows"], rows, frozenset({1})),
    )


def losses_chart(truth: numpy.ndarray, prediction: numpy.ndarray) -> Chart | None:
    """What share of each loss the rows with the largest errors make up; None where all is predicted exactly."""
    error = numpy.sort(numpy.abs(prediction - truth))[::-1]
    if not len(error) or error[0] == 0:
        return None
    delta = float(numpy.median(error)) * 1.345 / 0.6745 or float(error[0])
    parts = {
        "MSE": error**2,
        f"Huber ({number(delta)})": numpy.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta)),
        "MAE": error,
    }
    shares = {name: numpy.cumsum(values) / values.sum() for name, values in parts.items()}
    worst = max(1, math.ceil(WORST * len(error)))
    at = {name: float(share[worst - 1]) for name, share in shares.items()}
    text = "The twentieth of the rows with the largest errors makes up "
    text += ", ".join(f"{value:.0%} of the {name.split(' ')[0]}".replace("%", " %") for name, value in at.items())
    rows = []
    for hundredths in (1, 2, 5, 10, 20, 50):
        count = max(1, math.ceil(hundredths / 100 * len(error)))
        rows.append([f"{hundredths} %", *(f"{share[count - 1]:.0%}".replace("%", " %") for share in shares.values())])
    return Chart(
        "losses",
        "Which rows does each loss listen to?",
        sentence(text),
        lambda width: _shares(shares, width),
        Table(["rows with the largest errors", *shares], rows, frozenset({1, 2, 3})),
        "A loss whose curve rises steeply at the left is ruled by few rows: MSE by the largest errors, MAE by all "
        "alike, Huber's loss between the two (its threshold here is 1.345 robust standard deviations of the errors "
        "[Huber 1964]).",
    )


def _scatter(
    truth: numpy.ndarray, prediction: numpy.ndarray, unit: str, rows: numpy.ndarray, odd: frozenset[int],
    bounds: Bounds | None, width: float,
) -> Drawing:  # fmt: skip
    left, right, top = 62.0, width - 14, 26.0
    bottom = top + min(420.0, right - left)
    drawing = Drawing(width, bottom + 44, f"predicted against true {unit}")
    low, high = numpy.quantile(numpy.concatenate([truth, prediction]), [0.0, 1.0]).tolist()
    x, y = covering([low, high], left, right), covering([low, high], bottom, top)
    drawing.axis_below(x, bottom, f"true {unit}", top=top)
    drawing.axis_left(y, left, f"predicted {unit}", right=right)
    drawing.line(x.place(low), y.place(low), x.place(high), y.place(high), "reference")
    if bounds is not None:
        told = numpy.linspace(float(prediction.min()), float(prediction.max()), 60)
        for ends in bounds(told):
            inside = (ends >= low) & (ends <= high)
            points = [(x.place(a), y.place(b)) for a, b in zip(ends[inside], told[inside], strict=True)]
            drawing.curve(points, "bound")
    for i in _some(len(truth)):
        said = f"row {rows[i]}: true {number(truth[i])}, predicted {number(prediction[i])}"
        drawing.dot(x.place(truth[i]), y.place(prediction[i]), "odd" if int(rows[i]) in odd else "point", said, 3)
    return drawing


def _histogram(error: numpy.ndarray, unit: str, width: float) -> Drawing:
    left, right, top, bottom = 52.0, width - 14, 26.0, 230.0
    counts, edges = numpy.histogram(error, bins=_bins(error))
    drawing = Drawing(width, bottom + 44, f"rows by their error in {unit}")
    x = covering([float(edges[0]), float(edges[-1])], left, right, most=5 if is_narrow(width) else 8, room=0.0)
    y = covering([0.0, float(counts.max())], bottom, top, most=5, room=0.0)
    drawing.axis_below(x, bottom, f"error: predicted less true {unit}")
    drawing.axis_left(y, left, "rows", right=right)
    for i, count in enumerate(counts.tolist()):
        said = f"{number(edges[i])} to {number(edges[i + 1])}: {counted(count, 'row')}"
        drawing.bar(x.place(edges[i]) + 0.5, y.place(count), x.place(edges[i + 1]) - 0.5, bottom, "accent-bar", said)
    if edges[0] < 0 < edges[-1]:
        drawing.line(x.place(0.0), top, x.place(0.0), bottom, "zero")
    return drawing


def _shares(shares: dict[str, numpy.ndarray], width: float) -> Drawing:
    left, right, top, bottom = 58.0, width - 14, 26.0, 260.0
    drawing = Drawing(width, bottom + 44, "share of each loss by the share of rows with the largest errors")
    x = covering([0.0, 100.0], left, right, room=0.0)
    y = covering([0.0, 100.0], bottom, top, room=0.0)
    drawing.axis_below(x, bottom, "rows with the largest errors, %", top=top)
    drawing.axis_left(y, left, "share of the loss, %", right=right)
    at = bottom - 20 - 18 * len(shares)
    for (name, share), kind in zip(shares.items(), ("second", "third", "best"), strict=True):
        chosen = numpy.unique(numpy.linspace(0, len(share) - 1, 160).astype(int))
        points = [(x.place(0.0), y.place(0.0))]
        points += [(x.place(100 * (i + 1) / len(share)), y.place(float(100 * share[i]))) for i in chosen.tolist()]
        drawing.curve(points, kind, name)
        at += 18
        drawing.curve([(right - 190, at - 4), (right - 160, at - 4)], kind)
        drawing.text(right - 152, at, name, class_="small strong")
    return drawing


def _bins(error: numpy.ndarray) -> numpy.ndarray:
    """Edges that cover all errors; they are of equal width, and as many as can be told apart."""
    low, high = float(error.min()), float(error.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - 0.5, high + 0.5
    return numpy.linspace(low, high, min(BINS, max(6, int(2 * len(error) ** (1 / 3)) * 2)) + 1)


def _some(count: int) -> list[int]:
    """Numbers of rows to draw: all, or `POINTS` of them."""
    if count <= POINTS:
        return list(range(count))
    return numpy.sort(numpy.random.default_rng(0).choice(count, POINTS, replace=False)).tolist()
