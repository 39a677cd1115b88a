"""The script of a run: how a network of the caller's own was trained, in plain PyTorch. Knows no data."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

import trimtab
from trimtab.export.scripts.forms import ONE, Form, taken_function
from trimtab.export.scripts.literals import WIDTH, comment, indented, literal
from trimtab.export.scripts.losses import error_function, loss_call, loss_function, shown
from trimtab.export.scripts.optimizers import LION, groups_function, schedule_function
from trimtab.export.scripts.sources import Source, source_of, source_of_module, spread_out
from trimtab.export.scripts.text import imported, tidy
from trimtab.export.scripts.training import KEPT, Loop, constants
from trimtab.knobs.knob import Task
from trimtab.text.wording import listed
from trimtab.training.config import Config
from trimtab.training.programs.dropout import DROPOUT_KINDS
from trimtab.training.programs.layers import counts_rows
from trimtab.training.programs.program import Layout
from trimtab.training.randomness import number_from
from trimtab.tuning.words import figure, loss_in_words

_NO_SOURCE = "Its source code could not be read: put it here."
_DATA = '''\
def data():
    """Put your rows here: {what}, as tensors{weights}.{forms}"""
    raise SystemExit("Put your rows into data() first.")
'''
_SPLIT = '''\
def split(X, y{own}):
    """(X, y, Xv, yv{both}): the rows to train on, and those drawn to judge by, the same as in the run."""
    order = torch.from_numpy(numpy.random.default_rng({number}).permutation({count}))
    held = max(1, round({share} * {count}))
    train, valid = order[held:].sort().values, order[:held].sort().values
    return {parts}
'''


@dataclass(frozen=True)
class Reading:
    """How a run read targets and outputs.

    `of_target` are lines that bring `target` into the form in which a loss of the caller's own took it, `of_inputs`
    those that bring X and Xv into the types in which the network took them; `is_one_hot`
    says that labels came as rows with a 1 for their class; `one_output` is what a single output says of two classes;
    `columns` those of a prediction. `inputs`, `targets` and `outputs` are the forms in which a network and a loss take
    and give tensors, `knows_forms` False where nobody noted them. `metric` is a function of the caller's own, of which
    greater figures may be better.
    """

    of_target: tuple[str, ...] = ()
    of_inputs: tuple[str, ...] = ()
    is_one_hot: bool = False
    one_output: str | None = None
    columns: int = 0
    inputs: Form = ONE
    targets: Form = ONE
    outputs: Form = ONE
    knows_forms: bool = True
    metric: Any = None
    metric_takes_weights: bool = False
    greater_is_better: bool = False

    def noted(self) -> dict[str, Any]:
        """What of it can be written down as JSON."""
        forms = {name: asdict(getattr(self, name)) for name in _FORMS}
        return {name: getattr(self, name) for name in _NOTED} | forms

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Reading":
        """What was `noted`; an older trimtab did not note forms."""
        plain: dict[str, Any] = {name: note[name] for name in _NOTED if name in note}
        forms: dict[str, Any] = {name: Form(**note[name]) for name in _FORMS if name in note}
        return cls(**plain, **forms, knows_forms="inputs" in note)


_NOTED, _FORMS = ("of_inputs", "is_one_hot", "one_output", "columns"), ("inputs", "targets", "outputs")


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
    reading: Reading | None = None,
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
    network, reading = source_of_module(module), reading or Reading()
    own_functions = {"loss": loss, "optimizer": optimizer, "metric": reading.metric}
    sources = {name: source_of(function) if function else None for name, function in own_functions.items()}
    pieces = [f"SEED = {seed}\n{constants(config)}", *_definitions(network, *sources.values())]
    pieces += _functions(config, task, metric, sources, reading, has_weights=has_weights)
    own = _own_optimizer(sources["optimizer"], optimizer_arguments or {})
    how = {"every": every, "keeps_dropout": keeps_dropout, "has_weights": has_weights, "drops_last": drops_last}
    how["needs_closure"] = callable(optimizer) and _needs_closure(optimizer, module)
    pieces.append(_train(config, task, module, metric, sources, own, reading, **how))
    pieces += [
        taken_function(_taken_apart(reading, loss, is_split=share is not None, has_weights=has_weights)),
        *_data(share, seed, reading, has_weights=has_weights),
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


def _definitions(*sources: Source | None) -> list[str]:
    """Classes and functions, each once, and what is missing beside them."""
    found = [source for source in sources if source is not None]
    texts = list(dict.fromkeys(text for source in found for text in source.definitions))
    missing = list(dict.fromkeys(name for source in found for name in source.needs))
    if missing:
        texts.insert(0, comment(f"Copy these from your own code: {listed(missing)}.") + "\n")
    return texts


def _functions(
    config: Config,
    task: Task,
    metric: str | None,
    sources: dict[str, Source | None],
    reading: Reading,
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


def _own_loss(expression: str, reading: Reading, *, has_weights: bool) -> str:
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


def _weighted_loss(expression: str, reading: Reading) -> str:
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


def _train(
    config: Config,
    task: Task,
    module: nn.Module,
    metric: str | None,
    sources: dict[str, Source | None],
    optimizer: str,
    reading: Reading,
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
    return {loop.kept}.eval(), {_shown(metric, reading)}
'''


def _judged(task: Task, reading: Reading, targets: Form, *, is_own_loss: bool, has_weights: bool) -> list[str]:
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


_TWO = '''\
def two(logit):
    """The logits of both classes, of which that of class 0 is 0."""
    return torch.stack([torch.zeros_like(logit), logit], dim=1).reshape(len(logit), 2)
'''


def _own_error(source: Source, task: Task, reading: Reading, *, has_weights: bool) -> str:
    """`def error(prediction, truth)`, with `weight` where rows have weights, by a metric of the caller's own: lower is
    better."""
    columns = "[:, 0]" if reading.columns == 1 and task == "regression" else ""
    weight = "weight" if has_weights else "numpy.ones(len(truth))"
    given = f"prediction{columns}, truth{columns}" + (f", {weight}" if reading.metric_takes_weights else "")
    value = f"{'1 - ' if reading.greater_is_better else ''}{source.expression}({given})"
    body = f"return {value}" if source.expression else f'raise SystemExit("Put your metric here.")  # {_NO_SOURCE}'
    taken = ", weight" if has_weights else ""
    return f'def error(prediction, truth{taken}):\n    """By the metric of the run; lower is better."""\n    {body}\n'


def _shown(metric: str | None, reading: Reading) -> str:
    if reading.metric is not None:
        return "1 - best_score" if reading.greater_is_better else "best_score"
    return shown(metric or "", "best_score")


def _needs_closure(optimizer: Callable[..., Any], module: nn.Module) -> bool:
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


def _own_optimizer(source: Source | None, arguments: Mapping[str, float]) -> str:
    """The call of an optimizer of the caller's own; "" where there is none."""
    if source is None:
        return ""
    if not source.expression:
        return f'exit("Put your optimizer here.")  # {_NO_SOURCE}'
    words = "".join(f", {name}={literal(value)}" for name, value in arguments.items())
    return f"{source.expression}(network.parameters(){words})"


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


def _taken_apart(reading: Reading, loss: Any, *, is_split: bool, has_weights: bool) -> list[Form]:
    """The forms of all that rows are taken of."""
    forms = [reading.inputs]
    forms += [reading.targets] if loss is not None or is_split else []
    return forms + ([reading.outputs] if loss is not None and has_weights else [])


def _data(share: float | None, seed: int, reading: Reading, *, has_weights: bool) -> list[str]:
    own, both = (", w", ", w, wv") if has_weights else ("", "")
    if share is None:
        weights = "; and the weights w, wv of the rows" if has_weights else ""
        what, forms = "X, y to train on and Xv, yv to judge by", _forms(reading, "X and Xv", "y and yv")
        return [_DATA.format(what=what, weights=weights, forms=forms)]
    named = ((reading.inputs, "X"), (reading.targets, "y"))
    taken = [form.rows_of(name, rows) for rows in ("train", "valid") for form, name in named]
    parts = ", ".join([*taken, *(["w[train]", "w[valid]"] if has_weights else [])])
    count = f"len(y{reading.targets.first})"
    number = number_from("valid", seed)
    split = _SPLIT.format(share=literal(share), number=number, own=own, both=both, parts=parts, count=count)
    weights = ", and the weights w of the rows" if has_weights else ""
    return [_DATA.format(what="X, y", weights=weights, forms=_forms(reading, "X", "y")), split]


def _forms(reading: Reading, inputs: str, targets: str) -> str:
    """What stands in the docstring of `data` of inputs and targets that are several tensors, or may be."""
    if not reading.knows_forms:
        text = "It is not known whether X or y are several tensors: if so, take `rows` of each of them in train()."
        return f"\n\n    {text}\n    "
    named = ((inputs, reading.inputs), (targets, reading.targets))
    lines = [f"{name}: {form.shown}" for name, form in named if not form.is_plain]
    wrapped = [textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent="        ", break_long_words=False)
               for line in lines]  # fmt: skip
    return "\n\n" + "\n".join(wrapped) + "\n    " if lines else ""


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
