"""The rules unscaled_inputs and unscaled_target, for tensors that a network of one's own trains on.

Tables are scaled by trimtab itself. Knows columns and targets; it knows no network.
"""

import numpy
from numpy.typing import NDArray

from trimtab.findings.checked import Checked
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Effect, Finding, Remedy
from trimtab.text.wording import counted

# How many times as many steps of gradient descent inputs may take: of 400 sets of up to 29 columns with spreads
# of 0.5 to 2 and means of -1 to 1, with which nobody finds fault, the worst took 204 times as many.
MOST_STEPS = 210.0
# Targets this many times their spread away from 0, or so many times larger or smaller than what a network gives at its
# start (about 1), are not soon reached at a rate of 0.001: 1,000 steps of Adam move an output by about 1.
FAR, LARGE = 3.0, 30.0
# Of a column that was scaled by its range the largest value is 1; of rows to come, or of a sample, a little off.
ABOUT_ONE = 2.0


def unscaled_inputs(record: TableRecord) -> Checked:
    """Columns of the inputs differ so much in size, or lie so far from 0, that gradient descent becomes slow.

    Rule: steps of gradient descent go with the condition number of the matrix of second moments of the inputs and a one
    for the bias [LeCun, Bottou, Orr and Muller 1998]; a finding is made where it is more than 210 times that of
    the same columns with mean 0 and spread 1. Columns of one value are left out, and those that are scaled otherwise:
    whose largest value is about 1 (scaled by their range, or one-hot), or that have one value in most rows and none
    beyond 1, of which the spread tells how rare the others are.
    """
    cells = numpy.stack([c.values for c in record.features if c.is_ordered], axis=1) if record.features else None
    if cells is None or not cells.size:
        return None
    spread = numpy.nanstd(cells, axis=0)
    judged = (spread > 0) & ~_are_scaled_by_range(cells)
    names = [
        c.name for c, is_judged in zip((c for c in record.features if c.is_ordered), judged, strict=True) if is_judged
    ]
    if not names:
        return "Inputs are of about one size." if (spread > 0).any() else None
    cells, spread = cells[:, judged], spread[judged]
    mean = numpy.nanmean(cells, axis=0)
    scaled = numpy.nan_to_num((cells - mean) / spread)
    times = _condition(numpy.nan_to_num(cells)) / _condition(scaled)
    if times <= MOST_STEPS:
        return "Inputs are of about one size."
    size = numpy.sqrt(mean**2 + spread**2)
    large, small = int(size.argmax()), int(size.argmin())
    what = (
        f"{names[large]} is about {_times(size[large] / size[small])} times as large as {names[small]}"
        if size[large] > 10 * size[small]
        else f"{names[large]} lies {_times(abs(mean[large]) / spread[large])} times its spread away from 0"
        if abs(mean[large]) > 3 * spread[large]
        else f"the spread of {names[large]} is {_times(spread[large])}, not about 1"
    )
    return Finding(
        "unscaled_inputs",
        "high" if times > MOST_STEPS**2 else "medium",
        f"The inputs are not scaled: {what}.",
        {"steps_times": float(times), "means": dict(zip(names, mean.tolist(), strict=True)),
         "spreads": dict(zip(names, spread.tolist(), strict=True))},
        Effect(f"Gradient descent needs about {_times(times)} times as many steps."),
        Remedy("Subtract each column's mean and divide by its standard deviation, both of the training rows.",
               code="X = (X - X_train.mean(0)) / X_train.std(0)"),
    )  # fmt: skip


def _are_scaled_by_range(cells: NDArray[numpy.float64]) -> NDArray[numpy.bool_]:
    """The columns `[columns]` whose numbers lie within 1, or nearly, and reach it or are mostly one value."""
    largest = numpy.nanmax(numpy.abs(cells), axis=0)
    is_mostly_one = (cells == numpy.nanmedian(cells, axis=0)).mean(0) > 0.5
    return (largest <= ABOUT_ONE) & ((largest >= 1 / ABOUT_ONE) | is_mostly_one)


def _condition(cells: NDArray[numpy.float64]) -> float:
    """Of the second moments with a one for the bias; but of the largest alone, relative to 1, where all are large."""
    with_bias = numpy.column_stack([cells, numpy.ones(len(cells))])
    values = numpy.linalg.eigvalsh(with_bias.T @ with_bias / len(cells))
    return float(values[-1] / max(values[0], 1e-14 * values[-1]))


def unscaled_target(record: TableRecord) -> Checked:
    """The target is far from what a network gives at its start.

    Rule: a network's output starts near 0 with a spread near 1 [Glorot and Bengio 2010]. A finding is made where the
    target's mean lies more than 3 of its spreads, and more than 3, away from 0, or where its spread is more than 30 or
    less than 1/30.
    """
    if record.task != "regression":
        return None
    mean, spread = record.targets.mean(0), record.targets.std(0)
    is_far = (abs(mean) > FAR * spread) & (abs(mean) > FAR)
    is_sized = (spread > LARGE) | ((spread < 1 / LARGE) & (spread > 0))
    wrong = numpy.flatnonzero((is_far | is_sized) & (spread > 0))
    if not len(wrong):
        return "The target is of the size that a network gives at its start."
    i = int(wrong[numpy.argmax(abs(numpy.log(numpy.maximum(spread[wrong], abs(mean[wrong])))))])
    which = (
        "The target" if record.targets.shape[1] == 1 else f"Output {i} of {counted(record.targets.shape[1], 'output')}"
    )
    return Finding(
        "unscaled_target",
        "high" if abs(mean[i]) > LARGE * spread[i] or spread[i] > LARGE**2 else "medium",
        f"{which} is not scaled: its mean is {mean[i]:,.4g} and its spread {spread[i]:,.4g} in its own unit, where a "
        "network starts with about 0 and 1.",
        {"means": mean.tolist(), "spreads": spread.tolist()},
        Effect("Training spends its first epochs on finding the target's size, or never does."),
        Remedy("Train on the target minus its mean, divided by its standard deviation, and turn predictions back.",
               code="y = (y - y_train.mean()) / y_train.std()"),
    )  # fmt: skip


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
