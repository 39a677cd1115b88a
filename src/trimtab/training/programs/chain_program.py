"""ChainProgram: a plain `nn.Sequential` of linear layers, activations and dropout for all lanes at once.

Batched products and derivatives by formula instead of vmap and autograd, the same numbers. Chosen by structure; its
reference is `VmapProgram` over the same module (tests/training/programs/test_chain_program.py).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from trimtab.training.programs.lane_layers import (
    ELEMENTWISE,
    LaneActivation,
    LaneDropout,
    LaneLayer,
    LaneLinear,
    LaneReLU,
)
from trimtab.training.programs.program import Activity, Buffers, Layout, LossOf, Masks, ModuleUse, bounds_of


class ChainProgram:
    """Forward and backward of a chain of layers (see `is_chain`) over `[lanes, batch, columns]`."""

    def __init__(self, module: nn.Sequential, use: ModuleUse) -> None:
        self.module, self.use = module, use
        self.layout = Layout.of(module)
        self.buffers: Buffers = {}
        self.mixes_rows = use.mixes_rows
        self.calls_module = False
        named = dict(module.named_modules())
        self.activations = tuple(name for name, layer in named.items() if isinstance(layer, ELEMENTWISE))
        self.dropouts = sum(isinstance(layer, nn.Dropout) for layer in named.values())
        self.layers = list(self._of_lanes())
        # What layers are called, and whose they are, makes no difference to a compiled step.
        self.key = f"chain {[_words_of(layer, of_lanes) for layer, of_lanes in self.layers]}"

    def _of_lanes(self) -> Iterator[tuple[nn.Module, LaneLayer]]:
        """Each layer of the module, and what it is for all lanes."""
        chain = list(_in_order(self.module))
        linear = [layer for _, layer in chain if isinstance(layer, nn.Linear)]
        dropouts = [layer for layer in self.module.modules() if isinstance(layer, nn.Dropout)]
        calls = dict.fromkeys(dropouts, 0)
        before: nn.Module | None = None
        for name, layer in chain:
            if isinstance(layer, nn.Linear):
                yield layer, LaneLinear(name, is_first=layer is linear[0], is_last=layer is linear[-1])
            elif isinstance(layer, nn.Dropout):
                rate = layer.p if self.use.own_dropout else None
                yield layer, LaneDropout(dropouts.index(layer), call=calls[layer], rate=rate)
                calls[layer] += 1
            elif isinstance(layer, nn.ReLU):
                yield layer, LaneReLU(follows_linear=isinstance(before, nn.Linear))
            else:
                yield layer, LaneActivation(layer)
            before = layer

    @property
    def parts(self) -> tuple[nn.Module, ModuleUse]:
        """What the same program is made of anew."""
        return self.module, self.use

    def for_another_thread(self) -> "ChainProgram":
        return ChainProgram(self.module, self.use)

    def forward(
        self,
        parameters: Buffers,
        inputs: tuple[Tensor, ...],
        masks: Masks | None,
        buffers: Buffers,
        note: Callable[[nn.Module, Tensor], None] | None = None,
    ) -> Tensor:
        """As the protocol says; `note` is told the activations `[lanes, units, rows]` of each activation layer."""
        x = inputs[0].transpose(1, 2)
        for layer, of_lanes in self.layers:
            x = of_lanes.outputs(x, parameters, masks)
            if note is not None and isinstance(layer, ELEMENTWISE):
                note(layer, x)
        return x.transpose(1, 2)

    @torch.no_grad()
    def watched(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], buffers: Buffers
    ) -> tuple[Tensor, tuple[Activity, ...]]:
        seen: list[Activity] = []

        def note(layer: nn.Module, activations: Tensor) -> None:
            seen.append(Activity.of(activations, bounds_of(layer)))

        return self.forward(parameters, inputs, None, buffers, note), tuple(seen)

    @torch.no_grad()
    def derived(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks, loss_of: LossOf
    ) -> tuple[Tensor, list[Tensor]]:
        outputs = self.forward(parameters, inputs, masks, {})
        loss, slopes = loss_of(outputs)
        # A copy, for layers write over it; and of one output a view's strides would slow the products down fivefold.
        slope = slopes.to(outputs.dtype).transpose(1, 2).clone(memory_format=torch.contiguous_format)
        gradient: Buffers = {}
        for _, of_lanes in reversed(self.layers):
            slope = of_lanes.derived(slope, parameters, gradient)
            if isinstance(of_lanes, LaneLinear) and of_lanes.is_first:
                break
        return loss, [gradient[name].flatten(1) for name in self.layout.names]


def is_chain(module: nn.Module, use: ModuleUse | None) -> bool:
    """Whether `module`, called as `use` says, is nothing but linear layers, activations and dropout one after the other
    on a table of numbers, each as torch made it and all of them trained."""
    if type(module) is not nn.Sequential or use is None or use.names or use.ranks != (2,):
        return False
    # A subclass may do anything.
    kinds = (nn.Sequential, nn.Linear, nn.Dropout, *ELEMENTWISE)
    if not all(type(layer) in kinds and not _has_been_changed(layer) for layer in module.modules()):
        return False
    linear = [layer for _, layer in _in_order(module) if isinstance(layer, nn.Linear)]
    read = [p for layer in linear for p in (layer.weight, layer.bias) if p is not None]
    own = list(module.parameters())  # one that stands in two places is there once, and so is one that nothing reads
    if len(read) != len(own) or {id(p) for p in read} != {id(p) for p in own}:
        return False
    dtypes = {p.dtype for p in own}
    return bool(own) and all(p.requires_grad for p in own) and dtypes in ({torch.float32}, {torch.float64})


def _has_been_changed(layer: nn.Module) -> bool:
    """Whether a layer may do something else, or something more, than its class says."""
    hooks = (value for name, value in vars(layer).items() if name.endswith("hooks"))
    return "forward" in vars(layer) or bool(layer._buffers) or any(hooks)


def _words_of(layer: nn.Module, of_lanes: LaneLayer) -> str:
    """All that decides what a layer computes, its weights apart."""
    if isinstance(of_lanes, LaneDropout):
        return f"dropout {of_lanes.layer}, call {of_lanes.call}, rate {of_lanes.rate}"
    return repr(layer)


def _in_order(module: nn.Sequential, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in the order in which they are called, by the names that their parameters have."""
    for name, layer in module._modules.items():
        if isinstance(layer, nn.Sequential):
            yield from _in_order(layer, f"{before}{name}.")
        elif layer is not None:
            yield f"{before}{name}", layer
