"""How long was right: the curves of one config on every fold, their minimum, and what lies before and behind it.

Knows curves of numbers.
"""

import math
from dataclasses import dataclass

import numpy
import polars

from trimtab.findings.trends import smooth
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing
from trimtab.report.scales import Linear, Logarithmic, covering, covering_powers, covering_wide
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence

# A score within a hundredth of the best counts as good as it: how wide "about right" is drawn (a guess).
AS_GOOD = 0.01
# From so many times the lowest error on, an axis with powers shows more (a guess).
LOG_FROM = 2.5
# Epochs that are listed in the table at most.
LISTED = 60


@dataclass(frozen=True)
class Curves:
    """Curves by epoch [epochs], the mean over `folds` [folds, epochs] (NaN where a fold had ended)."""

    epochs: numpy.ndarray
    train: numpy.ndarray
    validation: numpy.ndarray
    train_folds: numpy.ndarray
    validation_folds: numpy.ndarray
    unit: str
    greater_is_better: bool

    @property
    def best(self) -> int:
        """Where the mean on validation rows is best."""
        values = self.validation if self.greater_is_better else -self.validation
        return int(numpy.nanargmax(values))

    @property
    def last(self) -> int:
        """Where the mean on validation rows ends."""
        return int(numpy.flatnonzero(numpy.isfinite(self.validation))[-1])


def curves_by_epoch(runs: polars.DataFrame, unit: str, *, greater_is_better: bool) -> Curves | None:
    """Curves from rows of epoch, fold, train_metric and validation_metric (or losses where there is no metric); None
    where nothing was evaluated."""
    train, valid = ("train_metric", "validation_metric") if unit else ("train_loss", "validation_loss")
    there = runs.filter(polars.col(valid).is_finite().fill_null(value=False))
    if there.is_empty():
        return None
    epochs = there["epoch"].unique().sort().to_numpy()
    place = {epoch: i for i, epoch in enumerate(epochs)}
    folds = there["fold"].unique().sort().to_list()
    lines = {name: numpy.full((len(folds), len(epochs)), numpy.nan) for name in (train, valid)}
    for fold, epoch, *values in there.select("fold", "epoch", train, valid).iter_rows():
        for name, value in zip((train, valid), values, strict=True):
            lines[name][folds.index(fold), place[epoch]] = math.nan if value is None else value
    # The mean is of all folds: beyond the first that stopped, the ones that go on would be compared with others.
    whole = numpy.isfinite(lines[valid]).all(axis=0)
    whole = whole if whole.any() else numpy.isfinite(lines[valid]).any(axis=0)
    means = {name: numpy.where(whole, _mean(values), numpy.nan) for name, values in lines.items()}
    return Curves(
        epochs.astype(float), means[train], means[valid], lines[train], lines[valid], unit or "loss", greater_is_better
    )


def duration_chart(curves: Curves, ended: str = "", *, counts: str = "epoch") -> Chart:
    """The picture of it."""
    best, last = curves.best, curves.last
    epoch, score = curves.epochs[best], curves.validation[best]
    text = f"{_capital(curves.unit)} on validation rows is best at {counts} {epoch:g}: {number(score)}"
    if numpy.isfinite(curves.train[best]):
        text += f", with {number(curves.train[best])} on training rows"
    if last > best:
        text += f". By {counts} {curves.epochs[last]:g} it is {number(curves.validation[last])}"
    folds = len(curves.validation_folds)
    note = (
        "Shaded on the left: still more than 1 % worse than the best (underfitting); on the right: more than 1 % worse "
        "again (overfitting)."
    )
    if folds > 1:
        note = f"Thick: the mean of {counted(folds, 'fold')}, as far as all of them go; thin: each fold. {note}"
    return Chart(
        "curves",
        "How long was right?",
        sentence(f"{text}{f'. {ended}' if ended else ''}"),
        lambda width: _drawn(curves, width, counts),
        _table(curves, counts),
        note,
    )


def losses_chart_of(curves: Curves) -> Chart:
    """The loss itself on both kinds of rows: where they part, the network learns its training rows by heart."""
    best = curves.best
    last = int(numpy.flatnonzero(numpy.isfinite(curves.validation) & numpy.isfinite(curves.train))[-1])
    apart = curves.validation[last] / curves.train[last] if curves.train[last] > 0 else math.inf
    text = f"At the last epoch the loss on validation rows is {_times(apart)} that on training rows"
    if numpy.isfinite(curves.train[best]) and curves.train[best] > 0:
        at_best = _times(curves.validation[best] / curves.train[best])
        where = f"at its best epoch ({curves.epochs[best]:.0f})"
        text += f", as {where}" if at_best == _times(apart) else f", {where} {at_best}"
    return Chart(
        "losses-by-epoch",
        "Does it learn its training rows by heart?",
        sentence(text),
        lambda width: _drawn(curves, width),
        _table(curves),
        "The training loss is a mean over the epoch, with dropout where there is some, so that it lags behind and may "
        "lie above the other at first.",
    )


def _table(curves: Curves, counts: str = "epoch") -> Table:
    chosen = numpy.unique(numpy.linspace(0, len(curves.epochs) - 1, LISTED).astype(int))
    rows = [
        [f"{curves.epochs[i]:.0f}", number(float(curves.train[i])), number(float(curves.validation[i]))]
        for i in chosen
        if numpy.isfinite(curves.validation[i])
    ]
    return Table([counts, f"training {curves.unit}", f"validation {curves.unit}"], rows, frozenset({0, 1, 2}))


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 100 else "more than a hundred times"


def _capital(text: str) -> str:
    """A loss's name begins with a capital; a metric's is written as it is typed."""
    return "Loss" if text == "loss" else text


def _drawn(curves: Curves, width: float, counts: str = "epoch") -> Drawing:
    left, right, top, bottom = 58.0, width - 86, 44.0, 308.0
    drawing = Drawing(
        width, bottom + 44, f"training and validation {curves.unit} by {counts}, with the best one marked"
    )
    x = covering(curves.epochs.tolist(), left, right, most=4 if is_narrow(width) else 7, room=0.0, is_count=True)
    y = _height(curves, bottom, top)
    drawing.axis_below(x, bottom, counts)
    drawing.axis_left(y, left, "", right=right)
    drawing.text(
        0, 12, f"{curves.unit} (mean over folds)" if len(curves.validation_folds) > 1 else curves.unit, class_="title"
    )
    low, high = _about_right(curves)
    if low > 0:
        drawing.bar(left, top, x.place(curves.epochs[low]), bottom, "area under", "underfitting: more epochs do better")
    # No further than the mean goes: where some folds had ended nothing is known of all.
    if high < curves.last:
        begin, end = (x.place(curves.epochs[place]) for place in (high, curves.last))
        drawing.bar(begin, top, end, bottom, "area over", "overfitting: more epochs do worse")
    several = len(curves.validation_folds) > 1
    for lines, kind in () if not several else ((curves.train_folds, "foldtrain"), (curves.validation_folds, "fold")):
        for line in lines:
            drawing.curve(_points(curves.epochs, line, x, y), kind, within=(top, bottom))
    names = ((curves.train, "train", "training"), (curves.validation, "valid", "validation"))
    ends = []
    for line, kind, name in names:
        points = _points(curves.epochs, line, x, y)
        drawing.curve(points, kind)
        if points:
            ends.append((*points[-1], name))
    ends.sort(key=lambda end: end[1])
    apart = 7 if len(ends) == 2 and ends[1][1] - ends[0][1] < 14 else 0
    for (at, height, name), moved in zip(ends, (-apart, apart), strict=False):
        drawing.text(at + 9, height + moved + 4, name, class_="small")
    best = curves.best
    at, height = x.place(curves.epochs[best]), y.place(curves.validation[best])
    drawing.line(at, top, at, bottom, "reference")
    drawing.dot(
        at, height, "hindsight", f"best {counts} {curves.epochs[best]:g}: {number(curves.validation[best])}", 5.5
    )
    drawing.text(
        at,
        top - 8,
        f"best: {counts} {curves.epochs[best]:g}",
        class_="small strong",
        anchor="end" if at > (left + right) / 2 else "start",
    )
    return drawing


def _height(curves: Curves, bottom: float, top: float) -> Linear | Logarithmic:
    """As high as the means go, and as far down as the best fold: where a fold begins is seldom of interest."""
    whole = curves.validation_folds[numpy.isfinite(curves.validation_folds)]
    means = numpy.concatenate([curves.train, curves.validation])
    means = means[numpy.isfinite(means)]
    if curves.greater_is_better:
        return covering([*means.tolist(), float(whole.max())], bottom, top)
    if isinstance(covering_wide(means.tolist(), bottom, top, wide=LOG_FROM), Linear):
        return covering([*means.tolist(), float(whole.min())], bottom, top)
    # One fold that comes to next to nothing would leave no room for all else.
    return covering_powers([*means.tolist(), max(float(whole.min()), float(means.min()) / 10)], bottom, top)


def _about_right(curves: Curves) -> tuple[int, int]:
    """From which to which epoch validation rows are within a hundredth of the best, around the best."""
    # Single epochs jump by more than that: the course is told by running medians, as rules read it.
    values = numpy.where(numpy.isfinite(curves.validation), _smoothed(curves.validation), numpy.nan)
    best = values[curves.best]
    worse = best - values if curves.greater_is_better else values - best
    good = (worse <= AS_GOOD * abs(best)) & numpy.isfinite(values)
    low = high = curves.best
    while low > 0 and (good[low - 1] or not numpy.isfinite(values[low - 1])):
        low -= 1
    while high < len(values) - 1 and (good[high + 1] or not numpy.isfinite(values[high + 1])):
        high += 1
    return low, high


def _points(
    epochs: numpy.ndarray, line: numpy.ndarray, x: Linear, y: Linear | Logarithmic
) -> list[tuple[float, float]]:
    found = []
    for epoch, value in zip(epochs.tolist(), line.tolist(), strict=True):
        if math.isfinite(value) and (value > 0 or isinstance(y, Linear)):
            found.append((x.place(epoch), y.place(value)))
    return found


def _smoothed(line: numpy.ndarray) -> numpy.ndarray:
    whole = numpy.isfinite(line)
    found = numpy.full(len(line), numpy.nan)
    found[whole] = smooth(line[whole], min(9, max(1, int(whole.sum()) // 8)))
    return found


def _mean(lines: numpy.ndarray) -> numpy.ndarray:
    count = numpy.isfinite(lines).sum(axis=0)
    return numpy.where(count > 0, numpy.nansum(lines, axis=0) / numpy.maximum(count, 1), numpy.nan)
