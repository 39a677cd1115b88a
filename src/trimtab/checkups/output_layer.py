"""Output layer: whether what the network's outputs come from suits what the loss reads them as.

Seen in the graph behind the outputs, in the loss and in the targets. Knows modules; it trains nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from trimtab.checkups.setup import Setup
from trimtab.checkups.start import Start, code_of
from trimtab.checkups.suspicion import Change, Suspicion
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.findings.words import percent
from trimtab.text.wording import with_article
from trimtab.training.config import Loss

# As much of the truth beyond what an output can be is a fault; less may be rows that are odd (`findings.network`).
_BEYOND = 0.05
_BOUNDS = {"relu": (0.0, None), "softplus": (0.0, None), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0),
           "softmax": (0.0, 1.0), "log_softmax": (None, 0.0)}  # fmt: skip
_NEVER = 1e-30  # instead of a probability of 0, whose logarithm is no number
_WORDS = {"relu": "ReLU", "log_softmax": "log-softmax"}


def looked_at(setup: Setup, start: Start) -> Suspicion | NotChecked | str:
    """Whether output layer and loss suit each other."""
    reads, squashes = setup.reads, start.squashes
    if not reads:
        return NotChecked("wrong_output_layer", "the loss is a function of your own: nobody knows what it reads")
    if not isinstance(start.outputs, Tensor):
        return NotChecked("wrong_output_layer", "the network has several outputs")
    if reads == "log probabilities":
        return _of_log_probabilities(setup, start)
    if reads == "numbers":
        return _of_numbers(setup, start)
    if reads == "logits" and squashes not in ("", "log_softmax"):
        return _of_logits(start)
    return "The output layer suits the loss."


def _of_logits(start: Start) -> Suspicion:
    squashes = start.squashes
    if squashes == "softmax":
        finding = Finding(
            "double_softmax", "high",
            "The network's probabilities are put through softmax a second time: it ends with a softmax, and the loss "
            "has its own.",
            {"output": "softmax"},
            Effect("Probabilities stay far from sure, and gradients are small where the network is right."),
            _remedy(start),
        )  # fmt: skip
    else:
        finding = _wrong(
            f"it ends with {_named(squashes)}, and the loss reads any number, as a logit", {"output": squashes},
            "Outputs beyond the bound, which say that a prediction is sure, cannot be given.", start,
        )  # fmt: skip
    return Suspicion(finding, _changes(start), is_certain=True)


def _of_numbers(setup: Setup, start: Start) -> Suspicion | str:
    if start.squashes not in _BOUNDS:
        return "The output layer suits the loss: it can give any number."
    low, high = _BOUNDS[start.squashes]
    truth = setup.fitting.prepared(setup.train).targets[0]
    beyond = torch.zeros(truth.shape, dtype=torch.bool)
    beyond |= truth < low if low is not None else False
    beyond |= truth > high if high is not None else False
    share = float(beyond.flatten(1).any(1).double().mean()) if truth.dim() > 1 else float(beyond.double().mean())
    if share < _BEYOND:
        return f"The network ends with {_named(start.squashes)}, which reaches {percent(1 - share)} of the targets."
    ends = " and ".join(f"{word} {end:g}" for word, end in (("below", low), ("above", high)) if end is not None)
    finding = _wrong(
        f"it ends with {_named(start.squashes)}, which gives nothing {ends.replace(' and ', ' or ')}, and the truth of "
        f"{percent(share)} of the rows lies there",
        {"output": start.squashes, "beyond": share}, "These rows cannot be predicted, however long one trains.", start,
    )  # fmt: skip
    return Suspicion(finding, _changes(start), is_certain=True)


def _of_log_probabilities(setup: Setup, start: Start) -> Suspicion | str:
    """nn.NLLLoss reads logarithms of probabilities, and takes whatever it is given for some."""
    sums = start.outputs.double().exp().sum(1)
    if bool((sums - 1).abs().max() < 1e-3):
        return "The output layer suits the loss."
    is_raw = start.squashes == ""
    what = "raw numbers" if is_raw else f"what {_named(start.squashes)} gives"
    finding = _wrong(
        f"its outputs are {what}, and nn.NLLLoss reads logarithms of probabilities",
        {"output": start.squashes or "raw"},
        "Loss and gradients mean nothing: the loss falls without end while predictions need not get better.", start,
    )  # fmt: skip
    remedy = Remedy("Take the loss that reads raw outputs.", {"loss": "cross_entropy"}, code='loss="cross_entropy"')
    finding = replace(finding, remedy=remedy)
    if not is_raw:
        return Suspicion(finding, is_certain=True)
    return Suspicion(finding, (Change("loss cross_entropy", _with_cross_entropy, remedy),), is_certain=True)


def _with_cross_entropy(setup: Setup) -> Setup:
    recipe = setup.recipe
    config = replace(recipe.config, loss=Loss("cross_entropy"))
    return replace(setup, recipe=replace(recipe, config=config, function=None, given=recipe.given | {"loss"}))


def _wrong(words: str, evidence: dict[str, Any], effect: str, start: Start) -> Finding:
    text = f"The output layer does not suit the loss: {words}."
    return Finding("wrong_output_layer", "high", text, evidence, Effect(effect), _remedy(start))


def _named(squashes: str) -> str:
    return with_article(_WORDS.get(squashes, squashes))


# -- the same network without its last activation


def _remedy(start: Start) -> Remedy:
    text = "End the network with a plain linear layer, without an activation; the loss does the rest."
    if not start.place:
        return Remedy(text, code=f"return x  # in forward, without {start.squashes}")
    return Remedy(text, code=f"{code_of(start.place)} = nn.Identity()")


def _changes(start: Start) -> tuple[Change, ...]:
    """None where the activation is called by forward and cannot be taken back."""
    if not start.place and start.squashes not in _INVERSES:
        return ()

    def change(module: nn.Module) -> nn.Module:
        return _without(module, start.place) if start.place else _Undone(module, start.squashes)

    def made(setup: Setup) -> Setup:
        return replace(setup.with_network(change), squashes="")

    return (Change("no activation at the end", made, _remedy(start)),)


def _without(module: nn.Module, place: str) -> nn.Module:
    above, _, last = place.rpartition(".")
    setattr(module.get_submodule(above), last, nn.Identity())
    return module


class _Undone(nn.Module):
    """A network whose last activation, called by its forward, is taken back: what goes in comes out."""

    def __init__(self, module: nn.Module, squashes: str) -> None:
        super().__init__()
        self.module, self._inverse = module, _INVERSES[squashes]

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return self._inverse(self.module(*inputs, **named))


_INVERSES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda p: p.clamp_min(_NEVER).log(),
    "sigmoid": lambda p: p.clamp_min(_NEVER).log() - (1 - p).clamp_min(_NEVER).log(),
}
