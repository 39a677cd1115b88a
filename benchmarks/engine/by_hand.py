"""Why not do it myself? The population by hand after PyTorch's tutorial, and the plain loop's own ways to be faster.

The tutorial is https://docs.pytorch.org/tutorials/intermediate/ensembling.html: stacked parameters, `functional_call`,
`vmap` of `grad`, eager; Adam is written over the stacked dicts. Knows nothing of trimtab.
"""

import copy
from collections.abc import Iterator
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.engine.lanes import lanes_of
from benchmarks.engine.loop import BetterLoop, LoopsInProcesses, network
from benchmarks.engine.shapes import Shape, rows_of
from benchmarks.page import table
from benchmarks.turns import Terms, in_turns, torch_set_to

Stacked = dict[str, Tensor]
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


class ByHand:
    """`lanes` networks of `shape` with a learning rate and a row order each: no stopping, refilling or evaluation."""

    def __init__(self, shape: Shape, *, lanes: int, threads: int) -> None:
        self.shape, self.lanes, self.threads = shape, lanes, threads
        models = [network(shape) for _ in range(lanes)]
        self.parameters, self.buffers = stack_module_state(models)  # type: ignore[arg-type]
        self.parameters = {name: value.detach() for name, value in self.parameters.items()}
        self.model = copy.deepcopy(models[0]).to("meta")
        self.learning_rates = torch.logspace(-4, -2, lanes)
        self._steps = self._train()

    def _train(self) -> Iterator[None]:
        """Epoch after epoch; gives way after each step."""
        x, y = rows_of(self.shape)
        first, second = ({n: torch.zeros_like(p) for n, p in self.parameters.items()} for _ in range(2))
        gradients_of = vmap(grad(self._loss))
        step = 0
        while True:
            order = torch.rand(self.lanes, self.shape.rows).argsort(dim=1)
            for start in range(0, self.shape.rows, self.shape.batch):
                index = order[:, start : start + self.shape.batch]
                gradients = gradients_of(self.parameters, self.buffers, x[index], y[index])
                step += 1
                self._adam(gradients, first, second, step)
                yield

    def _loss(self, parameters: Stacked, buffers: Stacked, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(functional_call(self.model, (parameters, buffers), (x,)), y)

    @torch.no_grad()
    def _adam(self, gradients: Stacked, first: Stacked, second: Stacked, step: int) -> None:
        for name, gradient in gradients.items():
            first[name].mul_(FIRST_DECAY).add_(gradient, alpha=1 - FIRST_DECAY)
            second[name].mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
            size = (second[name] / (1 - SECOND_DECAY**step)).sqrt_().add_(EPSILON)
            rates = self.learning_rates.view(-1, *(1,) * (gradient.dim() - 1)) / (1 - FIRST_DECAY**step)
            self.parameters[name].sub_(rates * first[name] / size)

    def pace(self, seconds: float) -> float:
        """Microseconds per lane-step over `seconds`, but at least one step."""
        with torch_set_to(threads=self.threads):
            started = perf_counter()
            steps, spent = 0, 0.0
            while steps == 0 or spent < seconds:
                next(self._steps)
                steps, spent = steps + 1, perf_counter() - started
        return spent / (steps * self.lanes) * 1e6


def _fastest_by_hand(shape: Shape, terms: Terms) -> ByHand:
    """The number of lanes and of threads that measure best, from those that ours may take."""
    tried = [ByHand(shape, lanes=n, threads=t) for n in shape.lanes for t in sorted({1, terms.threads})]
    for each in tried:
        each.pace(0)
    return min(tried, key=lambda each: each.pace(terms.seconds / 4))


def page(shapes: list[Shape], terms: Terms) -> str:
    head = [
        "d, width, layers, batch", "plain loop, us", "the same, fused Adam", "the same, compiled",
        f"the same in {terms.threads} processes", "by hand, `vmap` of `grad`", "ours, us per lane-step",
        "ours to the loop", "ours to the best of the others",
    ]  # fmt: skip
    return table(head, [_row(shape, terms) for shape in shapes])


def _row(shape: Shape, terms: Terms) -> list[str | float]:
    loop = partial(BetterLoop, shape, most_threads=terms.threads)
    by_hand, ours = _fastest_by_hand(shape, terms), lanes_of(shape, terms)
    contestants = {
        "loop": loop().pace,
        "fused": loop(is_fused=True).pace,
        "by hand": by_hand.pace,
        "ours": ours.pace,
    }
    if terms.compiles_the_loop:
        contestants["compiled"] = loop(is_compiled=True).pace
    with LoopsInProcesses(shape, terms.threads) as loops:
        paces = in_turns(contestants | {"processes": loops.pace}, terms)
    best = min(pace for name, pace in paces.items() if name != "ours")
    return [
        shape.words,
        paces["loop"],
        paces["fused"],
        paces.get("compiled", ""),
        paces["processes"],
        f"{paces['by hand']:.3g} ({by_hand.lanes} lanes, {by_hand.threads} threads)",
        f"{paces['ours']:.3g} ({ours.population.capacity} lanes)",
        f"{paces['loop'] / paces['ours']:.3g}x",
        f"{best / paces['ours']:.3g}x",
    ]
