"""The script of a run: how a network of the caller's own was trained, in plain PyTorch. Knows no data."""

from collections.abc import Mapping
from typing import Any

from torch import nn

import trimtab
from trimtab.export.scripts.literals import WIDTH, comment, indented, literal
from trimtab.export.scripts.losses import error_function, loss_call, loss_function, shown
from trimtab.export.scripts.optimizers import LION, groups_function, schedule_function
from trimtab.export.scripts.sources import Source, source_of, source_of_module, spread_out
from trimtab.export.scripts.text import imported, tidy
from trimtab.export.scripts.training import KEPT, Loop, constants
from trimtab.training.config import Config, Task
from trimtab.training.dropout import DROPOUT_KINDS
from trimtab.training.layers import counts_rows
from trimtab.training.randomness import number_from
from trimtab.tuning.words import figure, loss_in_words
from trimtab.wording import listed

_NO_SOURCE = "Its source code could not be read: put it here."
_DATA = '''\
def data():
    """Put your rows here: X, y to train on and Xv, yv to judge by, as tensors."""
    raise SystemExit("Put your rows into data() first.")
'''
_SHARED_DATA = '''\
def data():
    """Put your rows here: X, y, as tensors."""
    raise SystemExit("Put your rows into data() first.")


def split(X, y):
    """(X, y, Xv, yv): the rows to train on, and those drawn to judge by, the same as in the run."""
    order = torch.from_numpy(numpy.random.default_rng({number}).permutation(len(y)))
    held = max(1, round({share} * len(y)))
    train, valid = order[held:].sort().values, order[:held].sort().values
    return X[train], y[train], X[valid], y[valid]
'''


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
) -> str:
    """A script with `train(module, X, y, Xv, yv)` that trains as `config` says, without trimtab.

    Arguments:
        module: the network; its source goes into the script where it can be had, else its place is marked.
        loss, optimizer: functions of the caller's own in the place of those that `config` names.
        metric: what the best epoch was judged by; None is the loss on the validation rows.
        share: of the rows were set aside to judge by; None where they were given.
        every: epochs between two evaluations.
        keeps_dropout: dropout layers keep their own rates; else `config.dropout` is put in their place.
        optimizer_arguments: what an `optimizer` of the caller's own is called with beside the parameters.
    """
    network = source_of_module(module)
    sources = {"loss": source_of(loss) if loss else None, "optimizer": source_of(optimizer) if optimizer else None}
    pieces = [f"SEED = {seed}\n{constants(config)}", *_definitions(network, *sources.values())]
    pieces += _functions(config, task, metric, sources)
    own = _own_optimizer(sources["optimizer"], optimizer_arguments or {})
    pieces.append(_train(config, task, module, metric, sources, own, every=every, keeps_dropout=keeps_dropout))
    pieces += [_data(share, seed), _main(module, network, metric, is_shared=share is not None)]
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


def _definitions(*sources: Source | None) -> list[str]:
    """Classes and functions, each once, and what is missing beside them."""
    found = [source for source in sources if source is not None]
    texts = list(dict.fromkeys(text for source in found for text in source.definitions))
    missing = list(dict.fromkeys(name for source in found for name in source.needs))
    if missing:
        texts.insert(0, comment(f"Copy these from your own code: {listed(missing)}.") + "\n")
    return texts


def _functions(config: Config, task: Task, metric: str | None, sources: dict[str, Source | None]) -> list[str]:
    pieces = []
    own = sources["loss"]
    if own is not None:
        marked = 'raise SystemExit("Put your loss here.")'
        value = f"return {own.expression}(output, target).mean()" if own.expression else f"{marked}  # {_NO_SOURCE}"
        pieces.append(f'''\
def loss(output, target):
    """The loss of the run, as one number."""
    if target.is_floating_point() and target.numel() == output.numel():
        target = target.reshape(output.shape)
    {value}
''')
    else:
        pieces.append(loss_function(config.loss, has_weights=False))
    pieces.append(error_function(metric, has_weights=False) if metric else "")
    pieces.append(schedule_function(config.schedule))
    if sources["optimizer"] is None:
        pieces += [groups_function(config) if config.groups else "", LION if config.optimizer.name == "lion" else ""]
    return [piece for piece in pieces if piece]


def _train(
    config: Config,
    task: Task,
    module: nn.Module,
    metric: str | None,
    sources: dict[str, Source | None],
    optimizer: str,
    *,
    every: int,
    keeps_dropout: bool,
) -> str:
    is_own_loss, is_numbers = sources["loss"] is not None, task == "regression"
    columns = ".reshape(len({0}), -1)" if is_numbers and not is_own_loss else ""

    def value(inputs: str, target: str) -> str:
        output = f"{{0}}({inputs}){columns.format(inputs)}"
        return f"loss({output}, {target})" if is_own_loss else loss_call(config.loss, output, target)

    if metric is None:
        judged = ["with torch.no_grad():", f"    score = {value('Xv', 'yv').format(KEPT)}.item()"]
    else:
        unscaled = "" if is_numbers else ".softmax(dim=1)"
        reshaped = ".reshape(len(Xv), -1)" if is_numbers else ""
        truth = "yv.double().reshape(len(yv), -1).numpy()" if is_numbers else "yv.numpy()"
        found = f"{KEPT}(Xv){reshaped}.double(){unscaled}.numpy()"
        judged = ["with torch.no_grad():", f"    score = error({found}, {truth})"]
    loop = Loop(
        config,
        loss=value("X[rows]", "y[rows]").format("network"),
        order="torch.randperm(len(y))",
        count="len(y)",
        judge=(f"{KEPT}.eval()", *judged),
        every=every,
        drops_last=any(counts_rows(child) for child in module.modules()),
        optimizer=optimizer,
    )
    targets = []
    if not is_own_loss:
        targets = ["y, yv = (rows.float().reshape(len(rows), -1) for rows in (y, yv))"] if is_numbers else [
            "y, yv = (rows.long().reshape(-1) for rows in (y, yv))"
        ]  # fmt: skip
    lines = ["torch.manual_seed(SEED)", "network = copy.deepcopy(module)"]
    lines += [] if keeps_dropout else _dropout(config, module)
    return f'''\
def train(module, X, y, Xv, yv):
    """A copy of `module` trained on X, y, as it was when it did best on Xv, yv; and its score there."""
{indented(chr(10).join([*lines, *targets]))}
{indented(loop.text())}
    return {loop.kept}.eval(), {shown(metric or "", "best_score")}
'''


def _own_optimizer(source: Source | None, arguments: Mapping[str, float]) -> str:
    """The call of an optimizer of the caller's own; "" where there is none."""
    if source is None:
        return ""
    if not source.expression:
        return f'exit("Put your optimizer here.")  # {_NO_SOURCE}'
    words = "".join(f", {name}={literal(value)}" for name, value in arguments.items())
    return f"{source.expression}(network.parameters(){words})"


def _dropout(config: Config, module: nn.Module) -> list[str]:
    kinds = sorted({f"nn.{type(child).__name__}" for child in module.modules() if isinstance(child, DROPOUT_KINDS)})
    which = kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"
    if not kinds:
        return []
    return [
        "for layer in network.modules():",
        f"    if isinstance(layer, {which}):",
        f"        layer.p = {literal(config.dropout)}",
    ]


def _data(share: float | None, seed: int) -> str:
    return _DATA if share is None else _SHARED_DATA.format(share=literal(share), number=number_from("valid", seed))


def _main(module: nn.Module, network: Source, metric: str | None, *, is_shared: bool) -> str:
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
