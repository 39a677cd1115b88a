"""VmapProgram: any module made into one forward for all lanes, by `torch.func.vmap`.

One lane alone runs as it is, and so do the lanes of a module that vmap cannot take. Knows no losses and no data.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from trimtab.errors import ModuleError, first_line
from trimtab.training.programs.dropout import CountedDropout, with_counted_dropout
from trimtab.training.programs.layers import counts_rows, hold_padding_still
from trimtab.training.programs.program import Activity, Buffers, Layout, Masks, ModuleUse, bounds_of
from trimtab.training.warning import say_once

log = logging.getLogger(__name__)
OWN_DRAWS = (
    "Dropout inside this module's own functions keeps its rate, and its runs train one by one: only nn.Dropout is a "
    "knob."
)

ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Tanh,
    nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softsign, nn.PReLU,
)  # fmt: skip


@dataclass
class Ways:
    """What has been learnt about running a module, which all programs over copies of it share: whether vmap takes it
    (`is_proven` once it did), and whether all its random numbers are counted ones."""

    is_mapped: bool = True
    is_counted: bool = True
    is_proven: bool = False


class VmapProgram:
    """Any module through `torch.func.vmap`; lane by lane, said once, where vmap cannot take it."""

    def __init__(self, module: nn.Module, use: ModuleUse | None = None, ways: Ways | None = None) -> None:
        self._original, self.use, self.ways = module, use or ModuleUse(), ways or Ways()
        self.module, self.dropout_names = with_counted_dropout(module)
        hold_padding_still(self.module)
        self.dropouts = len(self.dropout_names)
        self._counted = [layer for layer in self.module.modules() if isinstance(layer, CountedDropout)]
        self.layout = Layout.of(self.module)
        counted = {f"{name}.{part}" for name in self.dropout_names for part in ("rate", "threshold", "key")}
        still = [*self.module.named_buffers(), *(p for p in self.module.named_parameters() if not p[1].requires_grad)]
        self.buffers = {name: value.detach().clone() for name, value in still if name not in counted}
        modules = list(self.module.named_modules())
        self.mixes_rows = self.use.mixes_rows or any(counts_rows(child) for _, child in modules)
        self.calls_module = True
        self.activations = tuple(name for name, child in modules if isinstance(child, ACTIVATION_MODULES))
        self._has_channels = any(isinstance(child, nn.Conv1d | nn.Conv2d | nn.Conv3d) for _, child in modules)
        self.key = ""
        self.falls_back = True
        self._rows: list[int] = []

    def forward(self, parameters: Buffers, inputs: tuple[Tensor, ...], masks: Masks | None, buffers: Buffers) -> Any:
        self.module.train(masks is not None)
        settings = buffers | (self._dropout_buffers(masks) if masks is not None else {})
        return self._over_lanes(self._one_lane, parameters, settings, inputs)

    @torch.no_grad()
    def watched(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], buffers: Buffers
    ) -> tuple[Any, tuple[Activity, ...]]:
        self.module.eval()
        outputs, *parts = self._over_lanes(self._one_lane_watched, parameters, buffers, inputs)
        layers = zip(*parts, self._rows, strict=True)
        return outputs, tuple(Activity(low, high, flat, rows) for low, high, flat, rows in layers)

    @property
    def parts(self) -> tuple[nn.Module, ModuleUse]:
        """What the same program is made of anew."""
        return self._original, self.use

    def for_another_thread(self) -> "VmapProgram":
        return VmapProgram(self._original, self.use, self.ways)

    def _over_lanes(self, function: Callable[..., Any], parameters: Buffers, settings: Buffers, inputs: tuple) -> Any:
        if not self.falls_back:
            return self._mapped(function, parameters, settings, inputs)
        # One lane alone needs no vmap. Batch normalisation keeps it all the same: the gradient of a bias before it is
        # nothing but rounding, which Adam makes steps of, and a run is to be the same in any company.
        is_alone, reason = inputs[0].shape[0] == 1 and not self.mixes_rows, ""
        if self.ways.is_mapped and not is_alone:
            before = {} if self.ways.is_proven else {name: value.clone() for name, value in settings.items()}
            try:
                result = self._mapped(function, parameters, settings, inputs)
                self.ways.is_proven = True
                return result
            except Exception as error:  # the caller's own code may raise anything
                reason = first_line(error)
                for name, value in before.items():  # it may have come half through, and changed some
                    settings[name].copy_(value)
        try:
            result = self._one_by_one(function, parameters, settings, inputs)
        except Exception as error:
            name = type(self.module).__name__
            raise ModuleError(f"{name} failed with {type(error).__name__}: {first_line(error)}") from error
        if reason:
            self.ways.is_mapped = False
            sentence = f"This module trains lane by lane, since vmap cannot take it: {reason}"
            say_once(log, self.use.told, sentence)
        return result

    def _mapped(self, function: Callable[..., Any], parameters: Buffers, settings: Buffers, inputs: tuple) -> Any:
        try:
            randomness = "error" if self.ways.is_counted else "different"
            return torch.vmap(function, randomness=randomness)(parameters, settings, inputs)
        except RuntimeError as error:
            if not self.ways.is_counted or "randomness" not in str(error):
                raise
            self.ways.is_counted = False
            say_once(log, self.use.told, OWN_DRAWS)
            return self._mapped(function, parameters, settings, inputs)

    @staticmethod
    def _one_by_one(function: Callable[..., Any], parameters: Buffers, settings: Buffers, inputs: tuple) -> Any:
        if inputs[0].shape[0] == 1:  # views, which cost autograd less than places in a stack
            named = ({n: p.squeeze(0) for n, p in part.items()} for part in (parameters, settings))
            result = function(*named, tuple(x.squeeze(0) for x in inputs))
            return pytree.tree_map(lambda x: x.unsqueeze(0), result)
        each = [
            function(
                {n: p[i] for n, p in parameters.items()},
                {n: s[i] for n, s in settings.items()},
                tuple(x[i] for x in inputs),
            )
            for i in range(inputs[0].shape[0])
        ]
        return pytree.tree_map(lambda *lanes: torch.stack(lanes), *each)

    def _one_lane(self, parameters: Buffers, settings: Buffers, inputs: tuple) -> Any:
        for layer in self._counted:
            layer.calls = 0
        outputs = functional_call(self.module, {**parameters, **settings}, *self.use.arguments(inputs))
        if self.use.ranks:
            leaves, tree = pytree.tree_flatten(outputs)
            if len(leaves) == len(self.use.ranks):
                pairs = zip(leaves, self.use.ranks, strict=True)
                outputs = pytree.tree_unflatten([_with_rows(leaf, rank) for leaf, rank in pairs], tree)
        if self.use.keeps_outputs or not isinstance(outputs, Tensor):
            return outputs
        return outputs.unsqueeze(-1) if outputs.dim() == 1 else outputs

    def _one_lane_watched(
        self, parameters: Buffers, settings: Buffers, inputs: tuple
    ) -> tuple[Any, list[Tensor], list[Tensor], list[Tensor]]:
        seen: list[Activity] = []

        def note(module: nn.Module, arguments: tuple, output: Tensor) -> None:
            units = 1 if self._has_channels and output.dim() > 2 else output.dim() - 1
            seen.append(Activity.of(output.movedim(units, 0).flatten(1), bounds_of(module)))

        hooks = []
        try:
            hooks.extend(self.module.get_submodule(name).register_forward_hook(note) for name in self.activations)
            outputs = self._one_lane(parameters, settings, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        self._rows = [layer.rows for layer in seen]
        return outputs, [a.low for a in seen], [a.high for a in seen], [a.flat for a in seen]

    def _dropout_buffers(self, masks: Masks) -> dict[str, Tensor]:
        buffers = {}
        for layer, name in enumerate(self.dropout_names):
            buffers[f"{name}.key"] = masks.keys[:, layer]
            if self.use.own_dropout:
                continue
            buffers[f"{name}.rate"], buffers[f"{name}.threshold"] = masks.rate, masks.threshold
        return buffers


def _with_rows(outputs: Tensor, rank: int) -> Tensor:
    """Outputs of `rank` dimensions where a `squeeze()` in the module took that of a single row too."""
    return outputs.unsqueeze(0) if outputs.dim() == rank - 1 else outputs
