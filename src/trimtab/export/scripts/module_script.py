"""The script of a run: how a network of the caller's own was trained, in plain PyTorch. Knows no data."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import trimtab
from trimtab.export.scripts.conventions import Conventions
from trimtab.export.scripts.data_functions import data_functions, taken_apart
from trimtab.export.scripts.forms import ONE, Form, taken_function
from trimtab.export.scripts.literals import WIDTH, comment, indented, literal
from trimtab.export.scripts.losses import loss_call
from trimtab.export.scripts.own_functions import functions, needs_closure, own_optimizer, shown_score
from trimtab.export.scripts.source_code import SourceCode, source_of, source_of_module, spread_out
from trimtab.export.scripts.text import imported, tidy
from trimtab.export.scripts.training import KEPT, Loop, constants
from trimtab.knobs.knob import Task
from trimtab.text.wording import listed
from trimtab.training.config import Config
from trimtab.training.programs.dropout import DROPOUT_KINDS
from trimtab.training.programs.layers import counts_rows
from trimtab.training.programs.program import Layout
from trimtab.tuning.words import figure, loss_in_words


def module_script(
    config: Config,
    *,
    task: Task,
    module: nn.Module,
    loss: Any = None,
    optimizer: Any = None,
    metric: str | None = None,
    seed: int = 0,
    share: float | None = None,
    every: int = 1,
    keeps_dropout: bool = True,
    optimizer_arguments: Mapping[str, float] | None = None,
    has_weights: bool = False,
    drops_last: bool = False,
    reading: Conventions | None = None,
) -> str:
    """A script with `train(module, X, y, Xv, yv)` that trains as `config` says, without trimtab; where rows have
    weights, their function is `train(module, X, y, Xv, yv, w, wv)`.

    Arguments:
        module: the network; its source goes into the script where it can be had, else its place is marked.
        loss, optimizer: functions of the caller's own in the place of those that `config` names.
        metric: what the best epoch was judged by; None is the loss on the validation rows.
        share: of the rows were set aside to judge by; None where they were given.
        every: epochs between two evaluations.
        keeps_dropout: dropout layers keep their own rates; else `config.dropout` is put in their place.
        optimizer_arguments: what an `optimizer` of the caller's own is called with beside the parameters.
        drops_last: a last batch that is short was left out.
        reading: how targets and outputs were read.
    """
    network, reading = source_of_module(module), reading or Conventions()
    own_functions = {"loss": loss, "optimizer": optimizer, "metric": reading.metric}
    sources = {name: source_of(function) if function else None for name, function in own_functions.items()}
    pieces = [f"SEED = {seed}\n{constants(config)}", *_definitions(network, *sources.values())]
    pieces += functions(config, task, metric, sources, reading, has_weights=has_weights)
    own = own_optimizer(sources["optimizer"], optimizer_arguments or {})
    how = {
        "every": every, "keeps_dropout": keeps_dropout, "has_weights": has_weights, "drops_last": drops_last,
        "needs_closure": callable(optimizer) and needs_closure(optimizer, module),
    }  # fmt: skip
    pieces.append(_train(config, task, module, metric, sources, own, reading, **how))
    pieces += [
        taken_function(taken_apart(reading, loss, is_split=share is not None, has_weights=has_weights)),
        *data_functions(share, seed, reading, has_weights=has_weights),
        _main(module, network, metric, is_shared=share is not None),
    ]
    body = tidy("\n\n".join(pieces))
    more = [line for source in (network, *sources.values()) if source is not None for line in source.imports]
    head = _about(config, metric, module, has_own_loss=loss is not None, has_own_optimizer=optimizer is not None)
    return f"{head}\n\n{imported(body, more)}\n\n{body}"


def _about(
    config: Config, metric: str | None, module: nn.Module, *, has_own_loss: bool, has_own_optimizer: bool
) -> str:
    name = type(module).__name__
    o = config.optimizer
    how = "an optimizer of your own" if has_own_optimizer else f"{o.name}, learning rate {figure(o.learning_rate)}"
    how += "" if config.schedule.name == "constant" else f", schedule {config.schedule.name}"
    loss = "a loss of your own" if has_own_loss else loss_in_words(config)
    size = f"batches of {config.batch_size}" if config.batch_size else "all rows in each step"
    text = (
        f"How trimtab {trimtab.__version__} trained {name}, in plain PyTorch: {how}, {loss}, {size}. Needs no trimtab."
    )
    judged = f"Keeps the weights of the epoch with the best {metric or 'loss'} on validation rows."
    return f"{comment(text)}\n{comment(judged)}"


def _definitions(*sources: SourceCode | None) -> list[str]:
    """Classes and functions, each once, and what is missing beside them."""
    found = [source for source in sources if source is not None]
    texts = list(dict.fromkeys(text for source in found for text in source.definitions))
    missing = list(dict.fromkeys(name for source in found for name in source.needs))
    if missing:
        texts.insert(0, comment(f"Copy these from your own code: {listed(missing)}.") + "\n")
    return texts


def _train(
    config: Config,
    task: Task,
    module: nn.Module,
    metric: str | None,
    sources: dict[str, SourceCode | None],
    optimizer: str,
    reading: Conventions,
    *,
    every: int,
    keeps_dropout: bool,
    has_weights: bool,
    drops_last: bool,
    needs_closure: bool,
) -> str:
    is_own_loss, is_numbers = sources["loss"] is not None, task == "regression"
    inputs, targets = reading.inputs, reading.targets if is_own_loss else ONE  # a named loss reads one tensor
    is_of_logit = reading.one_output == "logit" and not is_numbers

    def value(network: str, x: str, y: str, weight: str, count: str) -> str:
        output = f"{network}({inputs.stars}{x})"
        if is_numbers and not is_own_loss:
            output += f".reshape({f'len({x})' if inputs.is_plain else count}, -1)"
        weight = weight if has_weights else ""
        output = f"two({output})" if is_of_logit and not is_own_loss else output
        own = f"loss({output}, {y}{weight and ', '}{weight})"
        return own if is_own_loss else loss_call(config.loss, output, y, weight)

    if metric is None:
        judged = [f"    score = {value(KEPT, 'Xv', 'yv', 'wv', 'len(yv)')}.item()"]
    else:
        judged = _judged(task, reading, targets, is_own_loss=is_own_loss, has_weights=has_weights)
    loop = Loop(
        config,
        loss=value("network", inputs.rows_of("X", "rows"), targets.rows_of("y", "rows"), "w[rows]", "len(rows)"),
        order=f"torch.randperm(len(y{targets.first}))",
        count=f"len(y{targets.first})",
        judge=(f"{KEPT}.eval()", "with torch.no_grad():", *judged),
        every=every,
        drops_last=drops_last or any(counts_rows(child) for child in module.modules()),
        optimizer=optimizer,
        weight="w[rows]" if has_weights else "",
        has_buffers=any(True for _ in module.buffers()),
        dropouts=_dropout_kinds(module),
        needs_closure=needs_closure,
    )
    reads = []
    if not is_own_loss:
        floats = "double" if Layout.of(module).dtype == torch.float64 else "float"
        labels = "argmax(dim=1)" if reading.is_one_hot else "reshape(-1)"
        read = f"{floats}().reshape(len(rows), -1)" if is_numbers else f"long().{labels}"
        if reading.targets.is_plain:
            reads = [f"y, yv = (rows.{read} for rows in (y, yv))"]
        else:
            reads = [f"y, yv = (rows.{read} for rows in (y{reading.targets.first}, yv{reading.targets.first}))"]
    lines = ["torch.manual_seed(SEED)", "network = copy.deepcopy(module)", *reading.of_inputs]
    lines += [] if keeps_dropout else _dropout(config, module)
    return f'''\
def train(module, X, y, Xv, yv{", w, wv" if has_weights else ""}):
    """A copy of `module` trained on X, y, as it was when it did best on Xv, yv; and its score there."""
{indented(chr(10).join([*lines, *reads]))}
{indented(loop.text())}
    return {loop.kept}.eval(), {shown_score(metric, reading)}
'''


def _judged(task: Task, reading: Conventions, targets: Form, *, is_own_loss: bool, has_weights: bool) -> list[str]:
    """Lines that set `score` to the error of the kept network by the metric."""
    is_numbers, truth = task == "regression", "yv" if targets.is_plain else "target"
    count = "len(Xv)" if reading.inputs.is_plain else f"len({truth})"
    unscaled, reshaped = ("", f".reshape({count}, -1)") if is_numbers else (".softmax(dim=1)", "")
    output = f"{KEPT}({reading.inputs.stars}Xv)"
    if reading.one_output == "probability":
        output, unscaled = f"torch.stack([1 - {output}, {output}], dim=1).reshape({count}, 2)", ""
    output = f"two({output})" if reading.one_output == "logit" and not is_numbers else output
    if is_numbers:
        truth += f".double().reshape(len({truth}), -1)"
    elif is_own_loss:
        truth += ".reshape(-1).long()"
    weights = ", wv.double().numpy()" if has_weights else ""
    found = f"{output}{reshaped}.double(){unscaled}.numpy()"
    if targets.is_plain:
        return [f"    score = error({found}, {truth}.numpy(){weights})"]
    lines = (f"target = yv{targets.first}", f"truth = {truth}.numpy()", f"score = error({found}, truth{weights})")
    return [f"    {line}" for line in lines]


def _dropout_kinds(module: nn.Module) -> str:
    """The classes of its layers that drop units, as `isinstance` takes them; "" where there are none."""
    kinds = sorted({f"nn.{type(child).__name__}" for child in module.modules() if isinstance(child, DROPOUT_KINDS)})
    return kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})" if kinds else ""


def _dropout(config: Config, module: nn.Module) -> list[str]:
    which = _dropout_kinds(module)
    if not which:
        return []
    return [
        "for layer in network.modules():",
        f"    if isinstance(layer, {which}):",
        f"        layer.p = {literal(config.dropout)}",
    ]


def _main(module: nn.Module, network: SourceCode, metric: str | None, *, is_shared: bool) -> str:
    name = type(module).__name__
    made = spread_out(network.expression, WIDTH - 10, "    ") or f"{name}()"
    note = "" if network.expression else "  # with the arguments that you gave it"
    rows = "split(*data())" if is_shared else "data()"
    return f"""\
if __name__ == "__main__":
    torch.manual_seed(SEED)
    network = {made}{note}
    network, score = train(network, *{rows})
    print(f"best {metric or "loss"} on validation rows: {{score:.5g}}")
"""
