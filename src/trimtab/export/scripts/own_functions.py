"""The functions that a script's loop calls: losses, metrics and optimizers, of the caller's own where there are some.

Knows their source and how a run took its tensors; it knows no loop.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from trimtab.export.scripts.conventions import Conventions
from trimtab.export.scripts.literals import literal
from trimtab.export.scripts.losses import error_function, loss_function, shown
from trimtab.export.scripts.optimizers import LION, groups_function, schedule_function
from trimtab.export.scripts.source_code import SourceCode
from trimtab.knobs.knob import Task
from trimtab.training.config import Config

_NO_SOURCE = "Its source code could not be read: put it here."
_TWO = '''\
def two(logit):
    """The logits of both classes, of which that of class 0 is 0."""
    return torch.stack([torch.zeros_like(logit), logit], dim=1).reshape(len(logit), 2)
'''


def functions(
    config: Config,
    task: Task,
    metric: str | None,
    sources: dict[str, SourceCode | None],
    reading: Conventions,
    *,
    has_weights: bool,
) -> list[str]:
    pieces = []
    own = sources["loss"]
    if own is not None:
        pieces.append(_own_loss(own.expression, reading, has_weights=has_weights))
    else:
        pieces.append(loss_function(config.loss, has_weights=has_weights))
    if sources["metric"] is not None:
        pieces.append(_own_error(sources["metric"], task, reading, has_weights=has_weights))
    else:
        pieces.append(error_function(metric, has_weights=has_weights) if metric else "")
    pieces.append(_TWO if reading.one_output == "logit" and task == "classification" else "")
    pieces.append(schedule_function(config.schedule))
    if sources["optimizer"] is None:
        pieces += [groups_function(config) if config.groups else "", LION if config.optimizer.name == "lion" else ""]
    return [piece for piece in pieces if piece]


def _own_loss(expression: str, reading: Conventions, *, has_weights: bool) -> str:
    """`def loss(output, target)` around a loss of the caller's own, with `weight` where rows have weights."""
    if not expression:
        value = f'    raise SystemExit("Put your loss here.")  # {_NO_SOURCE}'
    elif has_weights:
        value = _weighted_loss(expression, reading)
    else:
        value = f"    return {expression}(output, target).mean()"
    form = "".join(f"    {line}\n" for line in reading.of_target)
    return f'''\
def loss(output, target{", weight" if has_weights else ""}):
    """The loss of the run, as one number."""
{form}{value}
'''


def _weighted_loss(expression: str, reading: Conventions) -> str:
    if reading.outputs.is_plain and reading.targets.is_plain:
        count, by_row = "len(output)", ""
        each = f"{expression}(output[i : i + 1], target[i : i + 1]) for i in range(len(output))"
    else:
        count, by_row = "len(weight)", "        each = torch.arange(len(weight)).split(1)\n"
        each = f"{expression}(taken(output, row), taken(target, row)) for row in each"
    return f"""\
    values = {expression}(output, target)
    if values.dim() == 0:  # one number for all rows: what it is for each of them
{by_row}        values = torch.stack([{each}])
    return (weight * values.reshape({count}, -1).mean(1)).sum() / weight.sum()"""


def _own_error(source: SourceCode, task: Task, reading: Conventions, *, has_weights: bool) -> str:
    """`def error(prediction, truth)`, with `weight` where rows have weights, by a metric of the caller's own: lower is
    better."""
    columns = "[:, 0]" if reading.columns == 1 and task == "regression" else ""
    weight = "weight" if has_weights else "numpy.ones(len(truth))"
    given = f"prediction{columns}, truth{columns}" + (f", {weight}" if reading.metric_takes_weights else "")
    value = f"{'1 - ' if reading.greater_is_better else ''}{source.expression}({given})"
    body = f"return {value}" if source.expression else f'raise SystemExit("Put your metric here.")  # {_NO_SOURCE}'
    taken = ", weight" if has_weights else ""
    return f'def error(prediction, truth{taken}):\n    """By the metric of the run; lower is better."""\n    {body}\n'


def shown_score(metric: str | None, reading: Conventions) -> str:
    if reading.metric is not None:
        return "1 - best_score" if reading.greater_is_better else "best_score"
    return shown(metric or "", "best_score")


def needs_closure(optimizer: Callable[..., Any], module: nn.Module) -> bool:
    """Whether `step` of what this function makes cannot do without a function that computes loss and gradients."""
    try:
        step = optimizer(module.parameters()).step
    except Exception:  # the caller's own code, which wants more arguments
        return False
    try:
        inspect.signature(step).bind()
    except TypeError:
        return True
    return False


def own_optimizer(source: SourceCode | None, arguments: Mapping[str, float]) -> str:
    """The call of an optimizer of the caller's own; "" where there is none."""
    if source is None:
        return ""
    if not source.expression:
        return f'exit("Put your optimizer here.")  # {_NO_SOURCE}'
    words = "".join(f", {name}={literal(value)}" for name, value in arguments.items())
    return f"{source.expression}(network.parameters(){words})"
