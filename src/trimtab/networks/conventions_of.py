"""Conventions of a fitting: how its networks, targets and outputs are read, as a script writes it down."""

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trimtab.export.scripts.conventions import Conventions
from trimtab.export.scripts.forms import Form, cast
from trimtab.networks.examples import Examples
from trimtab.networks.fitting import Fitting
from trimtab.networks.probe import Tried
from trimtab.networks.targets import is_one_hot


def conventions_of(fitting: Fitting) -> Conventions:
    """The conventions by which `fitting` reads its examples."""
    own = None if fitting.metric is None else fitting.metric.own
    first, outputs = fitting.datasets.first, fitting.tried.outputs
    target, tree = first.targets[0], first.tree
    return Conventions(
        of_target=() if fitting.own is None else fitting.own.form.lines(tree),
        of_inputs=_casts(fitting, first),
        is_one_hot=fitting.own is None and fitting.task == "classification" and is_one_hot(target, fitting.outputs),
        one_output=fitting.one_output,
        columns=fitting.outputs,
        inputs=_form_of_inputs(fitting.tried, first),
        targets=Form() if tree is None else Form.of(pytree.tree_unflatten(first.targets, tree)),
        outputs=Form() if isinstance(outputs, Tensor) else Form.of(outputs),
        metric=None if own is None else own.function,
        metric_takes_weights=own is not None and own.takes_weights,
        greater_is_better=own is not None and own.greater_is_better,
    )


def _casts(fitting: Fitting, first: Examples) -> tuple[str, ...]:
    """The lines of a script that bring inputs into the types in which the network took them."""
    valid = fitting.datasets.valid
    parts = [first, *([valid.in_order_of(first.names)] if isinstance(valid, Examples) else [])]
    taken = fitting.tried.prepared(first.taken(torch.arange(1))).in_order_of(first.names)
    types = [
        str(x.dtype) if any(part.inputs[i].dtype != x.dtype for part in parts) else ""
        for i, x in enumerate(taken.inputs)
    ]
    if first.names:
        return cast(("X", "Xv"), dict(zip(first.names, types, strict=True)))
    return cast(("X", "Xv"), tuple(types) if first.in_tuple else types[0])


def _form_of_inputs(tried: Tried, first: Examples) -> Form:
    if first.names:
        named = dict(zip(first.names, first.inputs, strict=True))
        return Form.of(named, stars="" if tried.use.as_dict else "**")
    return Form.of(first.inputs, stars="*") if first.in_tuple else Form()
