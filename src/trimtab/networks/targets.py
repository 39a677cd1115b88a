"""Targets: what they are beside the outputs of a network, and how losses and metrics read both.

Raises what names the shape or the value that cannot be read. Knows examples, losses and metrics by name; it calls none.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trimtab.errors import LabelError, OptionError, ShapeError
from trimtab.knobs.knob import Task
from trimtab.knobs.table import CLASSIFICATION_LOSSES, LOGIT_LOSSES
from trimtab.networks.examples import Examples, converted
from trimtab.training.metrics import Metric

_SHARES = ", for shares between 0 and 1 nn.BCEWithLogitsLoss()"
# Losses of classes that can read one output, the logit of class 1.
OF_ONE_OUTPUT = (*LOGIT_LOSSES, "focal")


def task_of(outputs: Any, targets: tuple[Tensor, ...], loss: str | None) -> Task:
    """Classification where whole-number targets, one label a row or one-hot, stand against several outputs, unless a
    loss was named."""
    if loss is not None:
        return "classification" if loss in CLASSIFICATION_LOSSES + LOGIT_LOSSES else "regression"
    target = targets[0]
    has_scores = isinstance(outputs, Tensor) and outputs.dim() == 2 and outputs.shape[1] > 1
    if not has_scores or len(targets) > 1 or target.is_floating_point():
        return "regression"
    is_label = target.dim() == 1 or target.shape[1:] == (1,) or is_one_hot(target, outputs.shape[1])
    return "classification" if is_label else "regression"


def is_one_hot(target: Tensor, classes: int) -> bool:
    """Whether each row marks one of the classes with a 1 among zeros."""
    if target.dim() != 2 or target.shape[1] != classes or classes < 2:
        return False
    return bool(((target == 0) | (target == 1)).all()) and bool((target.sum(1) == 1).all())


def are_two_classes(targets: tuple[Tensor, ...]) -> bool:
    """Whether targets are one column of nothing but 0 and 1."""
    target = targets[0]
    is_column = len(targets) == 1 and (target.dim() == 1 or target.shape[1:] == (1,))
    return is_column and bool(((target == 0) | (target == 1)).all())


def arranged_targets(outputs: Any, examples: Examples, task: Task, loss: str, dtype: torch.dtype) -> Examples:
    """Examples with targets as the losses read them: floats `[rows, outputs]`, or class numbers int64 `[rows]`."""
    if not isinstance(outputs, Tensor) or len(examples.targets) != 1:
        raise ShapeError(
            f'The loss "{loss}" reads one output and one target; the network returns several, or there are several '
            "targets: give a loss function f(output, target) of your own."
        )
    if outputs.dim() > 2:
        raise ShapeError(
            f'The loss "{loss}" reads outputs of shape [rows, outputs]; the network returns {_per_row(outputs)}: give '
            "a loss function f(output, target) of your own."
        )
    columns = outputs.shape[1] if outputs.dim() == 2 else 1
    if task == "classification":
        return replace(examples, targets=(_labels(examples, classes_told(columns, loss), f'The loss "{loss}"'),))
    target = converted(examples, target_dtypes=(dtype,)).targets[0]
    if target.dim() == 1:
        target = target.unsqueeze(1)
    if target.dim() != 2 or target.shape[1] != columns:
        hint = ' Class numbers are given as whole numbers, or with loss="cross_entropy".' if columns > 1 else ""
        raise ShapeError(
            f"y of {examples.given_as}= has rows of shape {list(examples.targets[0].shape[1:])} and the network "
            f"returns {_per_row(outputs)}: a network needs as many outputs as there are targets.{hint}"
        )
    return replace(examples, targets=(target,))


def classes_told(columns: int, loss: str) -> int:
    """How many classes so many outputs of the network tell apart for a loss of that name."""
    if columns > 1 and loss in LOGIT_LOSSES:
        raise ShapeError(
            f'The loss "{loss}" reads one output, the logit of class 1; the network returns {columns}. For several '
            'classes use "cross_entropy", for several labels a row nn.BCEWithLogitsLoss().'
        )
    if columns == 1 and loss not in OF_ONE_OUTPUT:
        raise ShapeError(
            f'The loss "{loss}" needs one output per class; the network returns one: change the network, or take '
            'loss="bce", which reads one output as the logit of class 1.'
        )
    return max(2, columns)


def _labels(examples: Examples, classes: int, reader: str) -> Tensor:
    """Targets as class numbers; `reader` is what reads them, for messages."""
    target, name = examples.targets[0], examples.given_as
    if is_one_hot(target, classes):
        return target.argmax(1) if target.dtype != torch.bool else target.long().argmax(1)
    if target.dim() == 2 and target.shape[1] == 1:
        target = target.squeeze(1)
    if target.dim() != 1:
        raise ShapeError(
            f"y of {name}= has rows of shape {list(target.shape[1:])}: {reader} reads one class number a row, or rows "
            "with a 1 for their class among zeros."
        )
    if target.is_floating_point() and (odd := (target != target.round()).nonzero().flatten()).numel():
        row = int(odd[0])
        raise LabelError(
            f"y of {name}= holds {float(target[row]):g} at [{examples.place_of(row)}]: {reader} reads class numbers "
            f"0 to {classes - 1}. For numbers use a loss like mse{_SHARES if classes == 2 else ''}."
        )
    labels = target.long()
    if (odd := ((labels < 0) | (labels >= classes)).nonzero().flatten()).numel():
        row = int(odd[0])
        raise LabelError(
            f"y of {name}= holds class {int(labels[row])} at [{examples.place_of(row)}]: {reader} reads classes 0 to "
            f"{classes - 1} with this network."
        )
    return labels


def check_for_metric(outputs: Any, examples: Examples, metric: Metric) -> None:
    """Raise where `metric` cannot compare the outputs with the targets of a loss of the caller's own."""
    target = examples.targets[0]
    if not isinstance(outputs, Tensor) or outputs.dim() > 2 or len(examples.targets) > 1:
        raise OptionError(
            f'metric="{metric.name}" compares one output with one target, and there are several: leave it out, and the '
            "validation loss is the measure."
        )
    columns = outputs.shape[1] if outputs.dim() == 2 else 1
    if metric.task == "classification":
        _labels(examples, max(2, columns), f'metric="{metric.name}"')
        if target.dim() > 1 and target.shape[1:] != (1,):
            raise OptionError(f'metric="{metric.name}" reads class numbers: give y as whole numbers of shape [rows].')
    elif _columns(target) != columns:
        raise OptionError(
            f'metric="{metric.name}" compares outputs with targets one by one: the network returns '
            f"{_per_row(outputs)}, and y has {list(target.shape[1:])}. Leave it out, or give a network with as many "
            "outputs."
        )


def _columns(target: Tensor) -> int:
    """How many numbers a row of targets holds; 0 where they are no row."""
    return 0 if target.dim() > 2 else target.shape[1] if target.dim() == 2 else 1


def _per_row(outputs: Tensor) -> str:
    return f"{list(outputs.shape[1:])} per row"
