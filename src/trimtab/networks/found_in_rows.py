"""What is wrong with the rows that networks of the caller's own train on, told before any of them is trained.

Knows a fitting and the rules on tensors; it trains nothing. A network that scales what it is given is seen at work.
"""

from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor, nn

from trimtab.findings.data.of_tensors import of_tensors
from trimtab.findings.data.scaling import FAR, LARGE
from trimtab.findings.data.table_record import MOST_ROWS
from trimtab.findings.finding import Findings, NotChecked
from trimtab.networks.examples import Examples
from trimtab.networks.networks import copied
from trimtab.training.randomness import SeededGenerators

if TYPE_CHECKING:
    from trimtab.networks.fitting import Fitting

CHECKED = ("unscaled_inputs", "unscaled_target", "duplicate_rows", "class_imbalance")
# Columns beyond which pictures begin, and what looking at a cell takes on a slow machine, and at a product of two
# columns (twice what was measured).
MOST_COLUMNS, SECONDS_PER_CELL, SECONDS_PER_PRODUCT = 500, 2e-6, 4e-9
# Seconds that are spent of those that there are: a network may be trained in less (a guess).
ENOUGH_SECONDS, FEWEST_ROWS = 1.0, 200
# Rows by which it is seen what a network does to its inputs (a guess).
ROWS_SHOWN = 64


def found_in_rows(fitting: "Fitting", seconds: float) -> Findings:
    """What is wrong with training and validation rows, as far as their numbers tell, in a sample that takes no more
    than so many seconds."""
    if fitting.datasets.is_streamed:
        return _not_checked("the rows are read anew in every epoch")
    data = fitting.training_data
    given, *others = data.inputs
    if others or given.dim() != 2 or not given.is_floating_point():
        return _not_checked("the inputs are no table of numbers: one tensor of floats, [rows, columns]")
    if not fitting.outputs or data.targets.dim() > 2 or data.more_targets:
        return _not_checked("the targets are read by a loss of your own alone")
    columns = given.shape[1]
    each = columns * (SECONDS_PER_CELL + columns * SECONDS_PER_PRODUCT)
    most = min(MOST_ROWS, int(min(seconds, ENOUGH_SECONDS) / each) // 2)  # of each part
    if columns > MOST_COLUMNS or most < min(FEWEST_ROWS, data.rows):
        return _not_checked(f"{columns:,} columns are too many to look at in {seconds:.1f} s")
    fold = data.folds[0]
    train, valid = _sampled(fold.train, most, fitting.seed), _sampled(fold.validation, most, fitting.seed)
    inputs, truth = _array(given[train]), _array(data.truth(train))
    judges_itself = fitting.datasets.valid is None
    started = fitting.networks.made(fitting.named, fitting.seed)
    return of_tensors(
        inputs, truth,
        valid=None if judges_itself else (_array(given[valid]), _array(data.truth(valid))),
        is_scaled_inside=_scales_inputs(fitting, started), is_target_scaled_inside=_scales_target(fitting),
        rows=_numbers(fitting, train.cpu(), None if judges_itself else valid.cpu()), of_rows=data.rows,
    )  # fmt: skip


def _not_checked(why: str) -> Findings:
    return Findings(not_checked=tuple(NotChecked(name, why) for name in CHECKED))


def _sampled(rows: Tensor, most: int, seed: int) -> Tensor:
    """These rows, or `most` of them by chance, in their order."""
    if len(rows) <= most:
        return rows
    chosen = numpy.random.default_rng(seed).choice(len(rows), most, replace=False)
    return rows[torch.from_numpy(numpy.sort(chosen)).to(rows.device)]


def _array(values: Tensor) -> numpy.ndarray:
    return values.detach().cpu().double().numpy() if values.is_floating_point() else values.cpu().numpy()


def _numbers(fitting: "Fitting", train: Tensor, valid: Tensor | None) -> numpy.ndarray:
    """The numbers of these rows in what the caller gave: validation rows of their own are counted by themselves."""
    datasets = fitting.datasets
    assert isinstance(datasets.train, Examples)
    kept = train if datasets.train.places is None else datasets.train.places[train]
    if valid is None or not isinstance(datasets.valid, Examples):
        return kept.numpy()
    own = valid - datasets.train.rows
    held = own if datasets.valid.places is None else datasets.valid.places[own]
    return numpy.concatenate([kept.numpy(), held.numpy()])


def _scales_inputs(fitting: "Fitting", started: nn.Module) -> bool:
    """Whether the first layer with weights sees other numbers than the network is given, or normalises them."""
    data = fitting.training_data
    module = copied(started).cpu().eval()
    given = data.inputs[0][data.folds[0].train[:ROWS_SHOWN]].cpu()
    seen: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple) -> None:
        if not seen and inputs and isinstance(inputs[0], Tensor):
            seen.append((layer, inputs[0]))

    weighted = [layer for layer in module.modules() if any(True for _ in layer.parameters(recurse=False))]
    for layer in weighted:
        layer.register_forward_pre_hook(note)
    args, kwargs = fitting.tried.use.arguments((given,))
    try:
        with torch.no_grad(), SeededGenerators(0):
            module(*args, **kwargs)
    except Exception:  # said with all its reasons where it happens in training
        return False
    if not seen:
        return False
    layer, first = seen[0]
    # torch has no name for what all its normalisations are: BatchNorm1d, LayerNorm, RMSNorm.
    is_norm = type(layer).__name__.rstrip("123d").endswith("Norm")
    is_given = first.numel() == given.numel() and bool(torch.equal(first.flatten(), given.flatten().to(first.dtype)))
    return is_norm or (not is_given and layer is not module)


def _scales_target(fitting: "Fitting") -> bool:
    """Whether the outputs of the network that nobody has trained are of the target's size already."""
    outputs = fitting.tried.outputs
    if fitting.task != "regression" or not isinstance(outputs, Tensor) or len(outputs) < 2:
        return False
    data = fitting.training_data
    truth = data.truth(data.folds[0].train).cpu()
    told = outputs.detach().double().reshape(len(outputs), -1) * data.scale.cpu() + data.mean.cpu()
    if told.shape[1] != truth.shape[1]:
        return False
    mean, spread = truth.mean(0), truth.std(0, correction=0)
    is_near = (told.mean(0) - mean).abs() <= FAR * spread
    is_sized = (told.std(0) * LARGE >= spread) & (told.std(0) <= LARGE * spread)
    return bool((is_near & is_sized).all())
