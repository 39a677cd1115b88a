"""Scaling: whether inputs and target have a size that networks start with, and the same rows scaled.

The rules are those of `findings.data.scaling`. Knows rows; it trains nothing.
"""

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from trimtab.checkups.setup import Setup
from trimtab.checkups.start import Start
from trimtab.checkups.suspicion import Change, Suspicion
from trimtab.findings.data.scaling import unscaled_inputs, unscaled_target
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.networks.examples import Examples

Looked = Suspicion | NotChecked | str
# Activations whose outputs are never below 0: a target before them keeps its mean.
POSITIVE = ("relu", "softplus")
# Columns whose mean is within half a spread of 0, and whose spread within twice of 1, are scaled; for others scaling is
# tried, and is wanting where it takes more than this share off the error (guesses).
NEAR, CLEARLY = 0.5, 0.1
_INPUTS = Remedy(
    "Subtract each column's mean and divide by its standard deviation, both of the training rows.",
    code="X = (X - X_train.mean(0)) / X_train.std(0)",
)
_TARGET = Remedy(
    "Train on the target minus its mean, divided by its standard deviation, and turn predictions back.",
    code="y = (y - y_train.mean()) / y_train.std()",
)
# Rows, columns and numbers that are looked at, evenly chosen: their sizes show in fewer.
_ROWS, _COLUMNS, _NUMBERS = 4096, 256, 20_000


def inputs_looked_at(setup: Setup, start: Start) -> Looked:
    """Whether inputs that are numbers are of about one size."""
    floats = [x for x in setup.train.inputs if x.is_floating_point()]
    if not floats:
        return NotChecked("unscaled_inputs", "no input is a float")
    if start.scales_inputs:
        return "The network scales its inputs itself: it begins with a batch normalisation."
    targets = torch.zeros(1).double().numpy()
    found = [unscaled_inputs(TableRecord.of_arrays(cells, targets.repeat(len(cells)))) for cells in map(_cells, floats)]
    wrong = [each for each in found if isinstance(each, Finding)]
    mild = next((moments for moments in map(_odd_one, floats) if moments is not None), None)
    if not wrong and mild is None:
        return "Inputs are scaled."
    finding = max(wrong, key=lambda each: each.evidence["steps_times"]) if wrong else _mild("unscaled_inputs", mild)
    several = "" if len(setup.train.inputs) == 1 else " Each input by itself."
    is_table = all(x.dim() <= 2 for x in floats)
    text = finding.remedy.text if is_table else "Subtract the mean of an input and divide by its standard deviation."
    code = finding.remedy.code if is_table else "X = (X - X_train.mean()) / X_train.std()"
    remedy = Remedy(f"{text}{several}", code=code)
    change = Change("inputs scaled", scaled_inputs, remedy)
    said = "Inputs are not of mean 0 and spread 1, and scaling them brought {}."
    return Suspicion(finding, (change,), least=0.0 if wrong else CLEARLY, otherwise=said)


def target_looked_at(setup: Setup, start: Start) -> Looked:
    """Whether the target, where numbers are predicted, is of the size of a network's first outputs."""
    if setup.reads != "numbers":
        why = "classes are predicted" if setup.reads else "the loss is a function of your own"
        return NotChecked("unscaled_target", why)
    targets = setup.fitting.prepared(setup.train).targets[0].double()
    if targets.dim() > 2:
        return NotChecked("unscaled_target", "a target is more than a row of numbers")
    own = targets.reshape(len(targets), -1)
    found = unscaled_target(TableRecord.of_arrays(own[:, :1].numpy(), own.numpy()))
    is_grave = isinstance(found, Finding)
    if not isinstance(found, Finding):
        if (mild := _odd_one(targets)) is None:
            return "The target is scaled."
        found = _mild("unscaled_target", mild)
    if setup.fitting.metric is None:
        return Suspicion(found) if is_grave else "The target is of the size that a network gives at its start."
    is_positive = start.squashes in POSITIVE
    code = "y = y / y_train.std()" if is_positive else found.remedy.code
    text = (
        "Divide the target by its standard deviation, and turn predictions back." if is_positive else found.remedy.text
    )
    change = Change("target scaled", scaled_target, Remedy(text, code=code))
    said = "The target is not of mean 0 and spread 1, and scaling it brought {}."
    return Suspicion(found, (change,), least=0.0 if is_grave else CLEARLY, otherwise=said)


def scaled_inputs(setup: Setup) -> Setup:
    """The same with inputs that are numbers at mean 0 and standard deviation 1 over the training rows: column by column
    where they are columns, else all numbers of an input alike. Columns of one value are only moved."""
    moments = [_moments(x) if x.is_floating_point() else None for x in setup.train.inputs]

    def change(part: Examples) -> Examples:
        own = part.arranged_as(setup.train)
        inputs = (x if m is None else ((x.double() - m[0]) / m[1]).to(x.dtype)
                  for x, m in zip(own.inputs, moments, strict=True))  # fmt: skip
        return replace(own, inputs=tuple(inputs))

    return setup.with_examples(change)


def scaled_target(setup: Setup) -> Setup:
    """The same with a target of mean 0 and standard deviation 1 over the training rows; of mean as it is where the
    network's outputs cannot be negative."""
    fitting = setup.fitting
    given = fitting.prepared(setup.train).targets[0].double()
    mean, scale = _moments(given)
    if setup.squashes in POSITIVE:
        mean = torch.zeros_like(mean)

    def change(part: Examples) -> Examples:
        target = part.targets[0]
        scaled = (target.double() - mean.reshape(target.shape[1:] or ())) / scale.reshape(target.shape[1:] or ())
        return replace(part, targets=(scaled.float() if target.dtype != torch.float64 else scaled,))

    columns = max(1, fitting.outputs)
    return replace(
        setup.with_examples(change), mean=mean.reshape(-1).expand(columns), scale=scale.reshape(-1).expand(columns)
    )


def _odd_one(x: Tensor) -> tuple[float, float] | None:
    """Mean and spread of the column that is farthest from mean 0 and spread 1; None where all are near."""
    cells = torch.from_numpy(_cells(x))
    mean, spread = cells.mean(0), cells.std(0, correction=0)
    mean, spread = mean[spread > 0], spread[spread > 0]
    odd = (mean.abs() > NEAR * spread) | (spread > 1 / NEAR) | (spread < NEAR)
    if not bool(odd.any()):
        return None
    far = torch.where(odd, (mean.square() + spread.square()).log().abs(), -1.0)
    worst = int(far.argmax())
    return float(mean[worst]), float(spread[worst])


def _mild(name: str, moments: tuple[float, float] | None) -> Finding:
    """What the rules of `findings.data.scaling` do not call a fault, and is one where scaling helps."""
    mean, spread = moments or (0.0, 1.0)
    what, code = ("inputs are", _INPUTS) if name == "unscaled_inputs" else ("target is", _TARGET)
    return Finding(
        name, "medium",
        f"The {what} not scaled: one column has mean {mean:,.4g} and spread {spread:,.4g}, where networks learn best "
        "from 0 and 1.",
        {"mean": mean, "spread": spread}, Effect("Training takes more steps than it need."), code,
    )  # fmt: skip


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.double()
    mean, spread = (x.mean(0), x.std(0, correction=0)) if x.dim() <= 2 else (x.mean(), x.std(correction=0))
    return mean, torch.where(spread > 0, spread, 1.0)


def _cells(x: Tensor) -> NDArray[Any]:
    """`[rows, columns]` of an input, some of them; one column of all numbers where they are no columns."""
    if x.dim() > 2:
        flat = x.flatten()
        return flat[:: max(1, len(flat) // _NUMBERS)].double().unsqueeze(1).numpy()
    columns = x.double().reshape(len(x), -1)
    return columns[:_ROWS, :: max(1, columns.shape[1] // _COLUMNS)].numpy()
