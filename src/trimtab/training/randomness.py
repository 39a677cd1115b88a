"""Randomness that is counted, not drawn: a run's weights, row orders and masks follow from numbers alone.

Nothing here advances torch's or numpy's global generators, and nothing depends on a lane or on the hour of admission.
"""

import hashlib
import math
import random
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy
import torch
from jaxtyping import Bool, Int
from torch import Tensor

Made = TypeVar("Made")
# torch initialises weights from one generator per process: two studies in two threads must not draw at once.
_GLOBAL_GENERATOR = threading.RLock()
# Odd 32-bit numbers that scatter bits well, written as int32: the golden ratio [Knuth 1973], a step of MurmurHash3's
# finaliser [Appleby 2011], and one that a search for hashes of low bias found [Wellons 2018].
_ODD = 0x9E3779B1 - (1 << 32)
_MIX = 0x85EBCA6B - (1 << 32)
_MULTIPLIER = 0x2C1B3C6D


def number_from(*parts: int | str) -> int:
    """A 63-bit number that is the same for equal parts on every machine and in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def initialised(factory: Callable[[], Made], seed: int) -> Made:
    """Build a module with initial weights that follow from `seed`; the caller's generators stay where they are."""
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which also seeds every accelerator and takes as long as building the module.
        torch.default_generator.manual_seed(number_from("weights", seed))
        return factory()


class SeededGenerators:
    """torch's, numpy's and Python's global generators, as somebody else's code (a Dataset that augments) draws from
    them: inside, they go on from where this object left them; outside, they are the caller's, untouched."""

    def __init__(self, seed: int) -> None:
        self._before: tuple = ()
        generator = numpy.random.RandomState(seed % 2**32)
        self._own = (
            torch.Generator().manual_seed(seed).get_state(),
            generator.get_state(),
            random.Random(seed).getstate(),
        )
        self._first = self._own

    @property
    def have_drawn(self) -> bool:
        """Whether what ran inside has drawn from any of them."""
        return _numbers(self._own) != _numbers(self._first)

    def __enter__(self) -> "SeededGenerators":
        _GLOBAL_GENERATOR.acquire()
        try:
            self._before = _states()
            _set_states(self._own)
        except BaseException:
            _GLOBAL_GENERATOR.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._own = _states()
        finally:
            try:
                _set_states(self._before)
            finally:
                _GLOBAL_GENERATOR.release()


def _states() -> tuple:
    return torch.default_generator.get_state(), numpy.random.get_state(), random.getstate()  # noqa: NPY002


def _numbers(states: tuple) -> tuple:
    """States in a form that can be compared."""
    return states[0].numpy().tobytes(), states[1][1].tobytes(), states[1][2:], states[2]


def _set_states(states: tuple) -> None:
    torch.default_generator.set_state(states[0])
    numpy.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


def own_draws(seed: int, epoch: int) -> SeededGenerators:
    """For what a module or a loss draws from the global generators in the epochs from `epoch` on."""
    return SeededGenerators(number_from("draws", seed, epoch))


def row_order(rows: int, *, seed: int, fold: int, epoch: int) -> numpy.ndarray:
    """The order in which an epoch visits its training rows: a permutation of `rows`, int64 [rows]."""
    return numpy.random.Generator(numpy.random.Philox(number_from("rows", seed, fold, epoch))).permutation(rows)


def place_numbers(shape: tuple[int | torch.SymInt, ...], device: torch.device) -> Int[Tensor, "..."]:
    """A scrambled 32-bit number for each place of one lane's activations; the same for every lane."""
    places = torch.arange(math.prod(shape), dtype=torch.int32, device=device)  # type: ignore[call-overload]
    places = _scramble(_scramble(places * _ODD + 1))
    return places.view(shape)


def mask_key(seed: Int[Tensor, "*lanes"], step: Int[Tensor, "*lanes"], layer: int) -> Int[Tensor, "*lanes"]:
    """The number that tells one mask from another: one per (run seed, step of the run, layer)."""
    # Odd multipliers of linear congruential generators of 64 bits [Knuth's MMIX, twice; L'Ecuyer 1999], then mixed as
    # the first half of splitmix64 does it [Steele et al. 2014]: only 32 bits are kept.
    # Python's own product of the fourth layer on would not fit into 64 bits: it wraps as tensors' do.
    of_layer = (layer * 2862933555777941757 + (1 << 63)) % (1 << 64) - (1 << 63)
    key = seed * 6364136223846793005 + step * 1442695040888963407 + of_layer
    key = key ^ (key >> 29)
    key = key * -4658895280553007687
    return (key ^ (key >> 32)).to(torch.int32)


def mask_keys(seed: Int[Tensor, "*lanes"], step: Int[Tensor, "*lanes"], layers: int) -> Int[Tensor, "*lanes layers"]:
    """The keys of all dropout layers side by side."""
    if not layers:
        return torch.zeros(*step.shape, 0, dtype=torch.int32, device=step.device)
    return torch.stack([mask_key(seed, step, layer) for layer in range(layers)], dim=-1)


def another_key(call: int) -> int:
    """What to combine a mask's key with where a layer is called again in one forward."""
    return (call * 0x9E3779B1) & 0x7FFFFFFF  # the golden ratio in 32 bits [Knuth 1973], below the sign


def threshold_of(rate: Tensor) -> Int[Tensor, "..."]:
    """Where in int32 a hash must lie at least to be kept at dropout of `rate`."""
    return (rate.double() * 4294967296.0 - 2147483648.0).to(torch.int32)


def keep_mask(places: Int[Tensor, "..."], key: Int[Tensor, "..."], threshold: Tensor) -> Bool[Tensor, "..."]:
    """True where an activation survives dropout: an integer hash of its place, the same everywhere.

    The product's high bits decide, so the hash is compared as it stands, over all of int32. Nothing here is wider than
    32 bits, or a compiled step would work on one number at a time.
    """
    drawn = (places ^ key).mul_(_MIX)
    drawn = drawn.bitwise_xor_(drawn >> 15).mul_(_MULTIPLIER)
    return drawn >= threshold


def _scramble(x: Tensor) -> Tensor:
    x = x ^ (x >> 15)
    x = x * _MULTIPLIER
    return x ^ (x >> 12)
