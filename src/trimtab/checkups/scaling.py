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
from trimtab.findings.finding import Finding, NotChecked, Remedy
from trimtab.networks.examples import Examples

Looked = Suspicion | NotChecked | str
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
    if not wrong:
        return "Inputs are of about one size."
    finding = max(wrong, key=lambda each: each.evidence["steps_times"])
    several = "" if len(setup.train.inputs) == 1 else " Each input by itself."
    is_table = all(x.dim() <= 2 for x in floats)
    text = finding.remedy.text if is_table else "Subtract the mean of an input and divide by its standard deviation."
    code = finding.remedy.code if is_table else "X = (X - X_train.mean()) / X_train.std()"
    remedy = Remedy(f"{text}{several}", code=code)
    change = Change("inputs scaled", scaled_inputs, remedy)
    return Suspicion(finding, (change,), otherwise="Inputs are not scaled, and scaling them brought nothing.")


def target_looked_at(setup: Setup, start: Start) -> Looked:
    """Whether the target, where numbers are predicted, is of the size of a network's first outputs."""
    if setup.reads != "numbers":
        why = "classes are predicted" if setup.reads else "the loss is a function of your own"
        return NotChecked("unscaled_target", why)
    targets = setup.fitting.prepared(setup.train).targets[0].double()
    if targets.dim() > 2:
        return NotChecked("unscaled_target", "a target is more than a row of numbers")
    found = unscaled_target(
        TableRecord.of_arrays(
            targets[:, :1].numpy() if targets.dim() > 1 else targets[:, None].numpy(), targets.numpy()
        )
    )
    if not isinstance(found, Finding):
        return found if isinstance(found, str) else "The target is of the size that a network gives at its start."
    if start.squashes in ("sigmoid", "tanh", "softmax") or setup.fitting.metric is None:
        return Suspicion(found)
    code = found.remedy.code if start.squashes == "" else "y = y / y_train.std()"
    text = (
        found.remedy.text
        if start.squashes == ""
        else "Divide the target by its standard deviation, and turn predictions back."
    )
    change = Change("target scaled", scaled_target, Remedy(text, code=code))
    return Suspicion(found, (change,), otherwise="The target is not scaled, and scaling it brought nothing.")


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
    if setup.is_positive:
        mean = torch.zeros_like(mean)

    def change(part: Examples) -> Examples:
        target = part.targets[0]
        scaled = (target.double() - mean.reshape(target.shape[1:] or ())) / scale.reshape(target.shape[1:] or ())
        return replace(part, targets=(scaled.float() if target.dtype != torch.float64 else scaled,))

    columns = max(1, fitting.outputs)
    return replace(
        setup.with_examples(change), mean=mean.reshape(-1).expand(columns), scale=scale.reshape(-1).expand(columns)
    )


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
