"""Dropout whose rate and seed are data: what the engine puts in the place of `nn.Dropout*` in its own copy of a module.

Knows no lanes: under `vmap` its buffers carry one value per lane.
"""

import copy
import logging
import warnings

import torch
from torch import Tensor, nn

from trimtab.training.randomness import another_key, keep_mask, place_numbers, threshold_of

DROPOUT_KINDS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
log = logging.getLogger(__name__)


class CountedDropout(nn.Module):
    """Dropout with a mask that follows from a key and each place; `rate`, its `threshold` and the `key` are buffers.

    `calls` counts how often it was called since a forward began, for each call has a mask of its own.
    """

    rate: Tensor
    threshold: Tensor
    key: Tensor

    def __init__(self, rate: float, *, whole_channels: int = 0) -> None:
        super().__init__()
        self.whole_channels, self.calls = whole_channels, 0
        self.register_buffer("rate", torch.tensor(rate, dtype=torch.float32))
        self.register_buffer("threshold", threshold_of(torch.tensor(rate, dtype=torch.float32)))
        self.register_buffer("key", torch.tensor(0, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = x.shape if not self.whole_channels else (*x.shape[:2], *(1,) * (x.dim() - 2))
        places = place_numbers(tuple(kept), x.device)
        key = self.key if self.calls == 0 else self.key ^ another_key(self.calls)
        self.calls += 1
        mask = keep_mask(places, key, self.threshold)
        return x * (mask * (1 / (1 - self.rate))).to(x.dtype)


def with_counted_dropout(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of `module` whose dropout layers are counted ones, and the names of those layers."""
    module = copy.deepcopy(module)
    counted: dict[int, CountedDropout] = {}
    names = []
    # A layer that stands in several places is one layer in all of them.
    for name, old in list(module.named_modules(remove_duplicate=False)):
        if not isinstance(old, DROPOUT_KINDS):
            continue
        if id(old) not in counted:
            names.append(name)
            counted[id(old)] = _counted(name, old)
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, counted[id(old)])
    return module, tuple(names)


def _counted(name: str, old: nn.Module) -> CountedDropout:
    if isinstance(old, nn.AlphaDropout | nn.FeatureAlphaDropout):
        warnings.warn(f"{name}: alpha dropout is trained as plain dropout of the same rate.", stacklevel=4)
    whole = int(isinstance(old, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d))
    return CountedDropout(float(old.p), whole_channels=whole)  # type: ignore[arg-type]
