"""Dropout whose rate and seed are data: what the engine puts in the place of `nn.Dropout*` in its own copy of a module.

Knows no lanes: under `vmap` its buffers carry one value per lane.
"""

import copy
import logging
import warnings

import torch
from torch import Tensor, nn

from trimtab.training.randomness import keep_mask, place_numbers, threshold_of

DROPOUT_KINDS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
log = logging.getLogger(__name__)


class CountedDropout(nn.Module):
    """Dropout with a mask that follows from a key and each place; `rate`, its `threshold` and the `key` are buffers."""

    rate: Tensor
    threshold: Tensor
    key: Tensor

    def __init__(self, rate: float, *, whole_channels: int = 0) -> None:
        super().__init__()
        self.whole_channels = whole_channels
        self.register_buffer("rate", torch.tensor(rate, dtype=torch.float32))
        self.register_buffer("threshold", threshold_of(torch.tensor(rate, dtype=torch.float32)))
        self.register_buffer("key", torch.tensor(0, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = x.shape if not self.whole_channels else (*x.shape[:2], *(1,) * (x.dim() - 2))
        places = place_numbers(tuple(kept), x.device)
        mask = keep_mask(places, self.key, self.threshold)
        return x * (mask * (1 / (1 - self.rate)))


def with_counted_dropout(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of `module` whose dropout layers are counted ones, and the names of those layers."""
    module = copy.deepcopy(module)
    names = [name for name, child in module.named_modules() if isinstance(child, DROPOUT_KINDS)]
    for name in names:
        old = module.get_submodule(name)
        if isinstance(old, nn.AlphaDropout | nn.FeatureAlphaDropout):
            warnings.warn(f"{name}: alpha dropout is trained as plain dropout of the same rate.", stacklevel=3)
        whole = int(isinstance(old, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d))
        rate = float(old.p)  # type: ignore[arg-type]
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, CountedDropout(rate, whole_channels=whole))
    return module, tuple(names)
