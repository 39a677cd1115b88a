"""Modules: where the networks of lanes come from, how they are called, and the weights that runs begin with.

Knows factories and seeds; it knows no losses and trains nothing.
"""

import threading
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.program import ModuleUse, Program
from trimtab.training.randomness import initialised, number_from
from trimtab.training.run import Request

Factory = Callable[..., nn.Module]
Weights = tuple[Tensor, dict[str, Tensor]]
# A guess: a search's trials begin with one seed and as many folds as it has, ten at most in practice; starts of up to
# a million parameters (4 MB each) take 64 MB together.
REMEMBERED_STARTS, MOST_REMEMBERED = 16, 1_000_000


class Modules:
    """Networks that `factory(**network)` makes, called as `use` says.

    A run begins with the weights of the module that `start` gives for it, or of one that follows from its seed and
    fold. They `draw` where they, or the loss, take random numbers from the global generators.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        use: ModuleUse | None = None,
        start: Callable[[Request], nn.Module] | None = None,
        draw: bool = False,
    ) -> None:
        self.factory, self.use, self.start, self.draw = factory, use, start, draw
        self._programs: dict[tuple, list[Program]] = {}
        self._starts: dict[tuple, Weights] = {}
        self._building = threading.Lock()  # whoever proposes asks for widths from a thread of its own

    def programs(self, network: tuple, device: torch.device, count: int = 1) -> list[Program]:
        """At least so many programs of a network, for as many threads; built on first use."""
        with self._building:
            if network not in self._programs:
                module = initialised(lambda: self.factory(**dict(network)), seed=0)
                self._programs[network] = [program_for(module.to(device), self.use)]
            programs = self._programs[network]
            while len(programs) < count:
                programs.append(programs[0].for_another_thread())
            return programs

    def weights(self, program: Program, request: Request) -> Weights:
        """Parameters `[parameters]` and buffers that a run begins with; all trials of a search begin with the same."""
        if self.start is not None:
            return _weights_of(self.start(request), program)
        config = request.config
        key = (config.network, config.initial, request.seed, request.fold)
        if key in self._starts:
            return self._starts[key]
        seed = number_from("run", request.seed, request.fold)
        weights = _weights_of(initialised(partial(self.factory, **config.module_arguments), seed), program)
        if len(weights[0]) <= MOST_REMEMBERED:
            while len(self._starts) >= REMEMBERED_STARTS:
                del self._starts[next(iter(self._starts))]
            self._starts[key] = weights
        return weights


def _weights_of(module: nn.Module, program: Program) -> Weights:
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return program.layout.flatten(tensors), {name: tensors[name].detach() for name in program.buffers}
