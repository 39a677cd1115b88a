"""Groups: parameter tensors with a learning rate and a weight decay of their own, chosen by patterns of their names.

Knows names and multipliers; it knows no optimizers and no modules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.training.config import Config, Group
from trimtab.training.rules.coefficients import Coefficients


@dataclass(frozen=True)
class GroupCoefficients(Coefficients):
    """What multiplies learning rate and weight decay of each parameter tensor, [lanes, tensors]."""

    rate: Float[Tensor, "lanes tensors"]
    decay: Float[Tensor, "lanes tensors"]
    any_groups: bool

    @classmethod
    def stack(
        cls,
        configs: Sequence[Config],
        names: Sequence[str],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "GroupCoefficients":
        """The groups of each lane's config over the parameters called `names`."""
        chosen = [[_group_of(name, config.groups) for name in names] for config in configs]
        return cls(
            rate=torch.tensor([[group.rate for group in row] for row in chosen], dtype=dtype, device=device),
            decay=torch.tensor([[group.decay for group in row] for row in chosen], dtype=dtype, device=device),
            any_groups=any(config.groups for config in configs),
        )

    def over_block(self, block: slice, sizes: Sequence[int]) -> "GroupCoefficients":
        """For neighbouring tensors of these `sizes` as one: a column for each number, [lanes, 1] for one tensor."""
        if block.stop - block.start == 1:
            return self.mapped(lambda value: value[:, block])
        return self.mapped(
            lambda value: torch.cat(
                [value[:, i : i + 1].expand(-1, sizes[i]) for i in range(block.start, block.stop)], 1
            )
        )

    def over_flat(self, sizes: Sequence[int]) -> "GroupCoefficients":
        """For flat rows of parameters: one column per parameter; laid out once, for it takes longer than a step."""
        if "_over_flat" not in self.__dict__:
            counts = torch.tensor(list(sizes), device=self.rate.device)
            self.__dict__["_over_flat"] = self.mapped(lambda value: value.repeat_interleave(counts, dim=1))
        return self.__dict__["_over_flat"]


_PLAIN = Group("*")


def _group_of(name: str, groups: Sequence[Group]) -> Group:
    return next((group for group in groups if fnmatchcase(name, group.pattern)), _PLAIN)
