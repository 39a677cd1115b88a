"""The plain MLP for all lanes at once: batched products instead of vmap, the same numbers.

Chosen by structure; its reference is `VmapProgram` over the same module (tests/training/programs/test_mlp_program.py).
Activations lie as its layers want them, see `lane_layers`.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.nets.embeddings import PiecewiseEmbedding
from trimtab.nets.mlp import MLP
from trimtab.training.programs.chain_program import ChainProgram, is_chain
from trimtab.training.programs.lane_layers import LaneDropout, linear
from trimtab.training.programs.program import Activity, Buffers, Layout, Masks, ModuleUse, Program, bounds_of
from trimtab.training.programs.vmap_program import VmapProgram


class MLPProgram:
    """Forward of `nets.MLP` over `[lanes, batch, columns]`."""

    def __init__(self, module: MLP) -> None:
        self.module = module
        self.layout = Layout.of(module)
        self.buffers: Buffers = {}
        self.mixes_rows = self.calls_module = False
        self.tables = len(module.categories.tables) if module.categories is not None else 0
        self.activations = tuple(f"hidden.{layer}" for layer in range(module.depth))
        self.dropouts = module.depth
        self.key = f"MLP {module.arguments}"
        self._dropout = [LaneDropout(layer) for layer in range(module.depth)]

    def for_another_thread(self) -> "MLPProgram":
        return MLPProgram(self.module)

    def forward(
        self,
        parameters: Buffers,
        inputs: tuple[Tensor, ...],
        masks: Masks | None,
        buffers: Buffers,
        note: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """As the protocol says; `note` is told the activations `[lanes, units, rows]` of each hidden layer."""
        numbers, codes = inputs
        numbers = numbers.transpose(1, 2)
        if self.module.depth == 0:
            result = linear(numbers, parameters["output.weight"], parameters["output.bias"])
            for features in self._embedded(parameters, codes):
                result = result + features
            return result.transpose(1, 2)
        features = self._features(parameters, numbers, codes)
        for layer in range(self.module.depth):
            bias, weight = parameters[f"hidden.{layer}.bias"], parameters[f"hidden.{layer}.weight"]
            if layer == 0 and self.module.scale is not None:
                weight = _with_scaled_columns(weight, parameters["scale.weight"])
            features = self.module.activation(linear(features, weight, bias))
            if note is not None:
                note(features)
            if masks is not None and masks.any_dropout:
                features = self._dropout[layer].outputs(features, parameters, masks)
        return linear(features, parameters["output.weight"], parameters["output.bias"]).transpose(1, 2)

    @torch.no_grad()
    def watched(
        self, parameters: Buffers, inputs: tuple[Tensor, ...], buffers: Buffers
    ) -> tuple[Tensor, tuple[Activity, ...]]:
        layers: list[Activity] = []
        bounds = bounds_of(self.module.activation)

        def note(activations: Tensor) -> None:
            layers.append(Activity.of(activations, bounds))

        return self.forward(parameters, inputs, None, buffers, note), tuple(layers)

    def last_hidden(self, parameters: Buffers, inputs: tuple[Tensor, ...]) -> Float[Tensor, "lanes batch units"]:
        """What the output layer is given; of networks with a hidden layer."""
        layers: list[Tensor] = []
        self.forward(parameters, inputs, None, {}, layers.append)
        return layers[-1].transpose(1, 2)

    def _features(self, parameters: Buffers, numbers: Tensor, codes: Tensor) -> Tensor:
        continuous, piecewise = self.module.continuous, self.module.piecewise
        if self.module.periodic is not None or piecewise is not None:
            x, others = numbers[:, :continuous], numbers[:, continuous:]
            made = self._periodic(parameters, x) if piecewise is None else self._piecewise(piecewise, parameters, x)
            numbers = torch.cat([made, others], dim=1)
        return torch.cat([numbers, *self._embedded(parameters, codes)], dim=1) if self.tables else numbers

    def _periodic(self, parameters: Buffers, x: Tensor) -> Tensor:
        frequency, phase = parameters["periodic.frequency"], parameters["periodic.phase"]
        turns = torch.addcmul(phase.unsqueeze(3), frequency.unsqueeze(3), x.unsqueeze(2))
        waves = torch.cos(turns.mul(2 * math.pi))
        return _beside(x, waves, parameters["periodic.weight"], parameters["periodic.bias"])

    @staticmethod
    def _piecewise(embedding: PiecewiseEmbedding, parameters: Buffers, x: Tensor) -> Tensor:
        start, slope = (edges.view(1, *edges.shape, 1) for edges in (embedding.start, embedding.slope))
        shares = (x.unsqueeze(2) - start).mul_(slope).clamp_(0, 1)  # in place: with its bins a batch is large
        return _beside(x, shares, parameters["piecewise.weight"], parameters["piecewise.bias"])

    def _embedded(self, parameters: Buffers, codes: Tensor) -> list[Tensor]:
        result = []
        for i in range(self.tables):
            table = parameters[f"categories.tables.{i}.weight"]
            lanes, count, size = table.shape
            first = torch.arange(lanes, device=codes.device).mul_(count).view(lanes, 1)
            rows = nn.functional.embedding(codes[:, :, i] + first, table.reshape(lanes * count, size))
            result.append(rows.transpose(1, 2))
        return result


def _beside(
    x: Float[Tensor, "lanes columns batch"], features: Float[Tensor, "lanes columns features batch"],
    weight: Float[Tensor, "lanes columns features size"], bias: Float[Tensor, "lanes columns size"],
) -> Float[Tensor, "lanes all_features batch"]:  # fmt: skip
    """Each column and, behind it, what a linear layer of its own makes of its features."""
    lanes, columns, batch = x.shape
    mixed = torch.baddbmm(
        bias.reshape(lanes * columns, -1, 1), weight.flatten(0, 1).transpose(1, 2), features.flatten(0, 1)
    ).view(lanes, columns, weight.shape[3], batch)
    return torch.cat([x.unsqueeze(2), mixed], dim=2).flatten(1, 2)


def _with_scaled_columns(weight: Tensor, scale: Tensor) -> Tensor:
    """The weight that does to numbers what `weight` does to numbers times `scale`.

    There are fewer weights than numbers in a batch, and then nothing asks for the gradient of the numbers, which costs
    a product.
    """
    scaled = weight[:, :, : scale.shape[1]] * scale.unsqueeze(1)
    return scaled if scaled.shape[2] == weight.shape[2] else torch.cat([scaled, weight[:, :, scale.shape[1] :]], dim=2)


def program_for(module: nn.Module, use: ModuleUse | None = None) -> Program:
    """The fastest program that gives this module's numbers."""
    if isinstance(module, nn.Sequential) and use is not None and is_chain(module, use):
        return ChainProgram(module, use)
    return MLPProgram(module) if type(module) is MLP and use is None else VmapProgram(module, use)
