"""Layers of torch that the lanes of a population need to be careful with.

Knows single layers; it knows no lanes and no programs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm


def counts_rows(layer: nn.Module) -> bool:
    """Whether what a layer does, or keeps for later, depends on which rows are in a batch and how many."""
    if isinstance(layer, _InstanceNorm):
        return layer.track_running_stats
    return isinstance(layer, _BatchNorm) or bool(getattr(layer, "scale_grad_by_freq", False))


class _StillPadding(nn.Embedding):
    """An embedding whose row for padding has no gradient, whatever `torch.vmap` makes of its number.

    vmap lays the tables of all lanes end to end and moves the codes along, but not `padding_idx`: the rows of all lanes
    but the first would be trained.
    """

    def forward(self, codes: Tensor) -> Tensor:  # pyrefly: ignore[bad-override-param-name]
        assert self.padding_idx is not None  # see hold_padding_still
        is_padding = torch.arange(self.num_embeddings, device=self.weight.device).view(-1, 1).eq(self.padding_idx)
        weight = torch.where(is_padding, self.weight.detach(), self.weight)
        return functional.embedding(codes, weight, None, self.max_norm, self.norm_type, self.scale_grad_by_freq)


def hold_padding_still(module: nn.Module) -> None:
    """Change the embeddings of `module`, an own copy, so that their row for padding is not trained in any lane."""
    for layer in module.modules():
        if type(layer) is nn.Embedding and layer.padding_idx is not None and layer.max_norm is None:
            layer.__class__ = _StillPadding
