"""Streams: Datasets and DataLoaders, collected where their items stay the same, read anew each epoch where they do not.

Knows how loaders are made; it knows no networks and no training.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from trimtab.errors import DataError
from trimtab.modules.examples import HOW_TO_GIVE, Examples, from_batch, from_pair
from trimtab.training.randomness import SeededGenerators

COLLECTED_AT_ONCE = 256
READ_TWICE = 64


@dataclass(frozen=True)
class Stream:
    """Batches that are read anew in every epoch, since their items are not the same twice (augmentation) or can only be
    read in order (an IterableDataset).

    `reason` says which of the two, as it is told to the caller.
    """

    source: DataLoader
    batch_size: int
    reason: str

    @property
    def batches(self) -> int | None:
        """Batches of an epoch, None where the source does not say."""
        try:
            return len(self.source)
        except TypeError:
            return None

    def epoch(self, seed: int) -> Iterator[Examples]:
        """The batches of one epoch; the same seed reads the same, and the caller's generators stay where they are."""
        generators = SeededGenerators(seed)
        with generators:
            batches = iter(self.source)
        while True:
            with generators:
                batch = next(batches, None)
            if batch is None:
                return
            yield from_batch(batch)


def examples(given: Any, name: str, *, batch_size: int | None = None) -> Examples | Stream:
    """What a caller gave as `name` (train or valid); raises DataError for what cannot be read so.

    `batch_size` is for Datasets that have to be read anew; a DataLoader brings its own.
    """
    if isinstance(given, DataLoader):
        return _from_loader(given, name)
    if isinstance(given, IterableDataset):
        return Stream(DataLoader(given, batch_size=batch_size or 32), batch_size or 32, "it can only be read in order")
    if isinstance(given, Dataset):
        return _from_dataset(given, name, default_collate, batch_size)
    if isinstance(given, (tuple, list)) and len(given) in (2, 3):
        return from_pair(*given, name=name)
    what = f"a {type(given).__name__}" if not isinstance(given, (tuple, list)) else f"{len(given)} things"
    raise DataError(f"{name}= is {what}. {HOW_TO_GIVE}")


def split_stream(stream: Stream, share: float, seed_number: int) -> tuple[Stream, Stream]:
    """A stream over a Dataset with a length as two, by items drawn at random."""
    dataset = stream.source.dataset
    if isinstance(dataset, IterableDataset):
        raise DataError("Items that can only be read in order cannot be split: give valid=(Xv, yv) or a second loader.")
    total = len(dataset)  # type: ignore[arg-type]
    held = max(1, round(share * total))
    order = numpy.random.default_rng(seed_number).permutation(total).tolist()
    parts = (Subset(dataset, sorted(order[held:])), Subset(dataset, sorted(order[:held])))
    loaders = [_loader_like(stream.source, part, shuffle=i == 0) for i, part in enumerate(parts)]
    return tuple(Stream(loader, stream.batch_size, stream.reason) for loader in loaders)  # type: ignore[return-value]


def _from_loader(loader: DataLoader, name: str) -> Examples | Stream:
    if isinstance(loader.dataset, IterableDataset):
        return Stream(loader, loader.batch_size or 1, "it can only be read in order")
    is_usual = (
        loader.batch_size is not None
        and type(loader.batch_sampler) is BatchSampler
        and type(loader.sampler) in (RandomSampler, SequentialSampler)
        and not getattr(loader.sampler, "replacement", False)
    )
    if not is_usual:
        return Stream(loader, loader.batch_size or 1, "it has a sampler of its own")
    read = _from_dataset(loader.dataset, name, loader.collate_fn, loader.batch_size)
    return Stream(loader, loader.batch_size or 1, read.reason) if isinstance(read, Stream) else read


def _from_dataset(
    dataset: Dataset, name: str, collate: Callable[[list], Any], batch_size: int | None
) -> Examples | Stream:
    total = _length(dataset, name)
    if type(dataset) is TensorDataset:
        return replace(from_batch(dataset.tensors), batch_size=batch_size)
    with SeededGenerators(0):
        first = [dataset[i] for i in range(total)]
        again = [(i, dataset[i]) for i in sorted({int(i) for i in numpy.linspace(0, total - 1, READ_TWICE)})]
    if not all(_is_same(first[i], item) for i, item in again):
        loader = DataLoader(dataset, batch_size=batch_size or 32, shuffle=True, collate_fn=collate)
        return Stream(loader, batch_size or 32, "its items change from one reading to the next")
    try:
        pieces = [
            from_batch(collate(first[start : start + COLLECTED_AT_ONCE]))
            for start in range(0, total, COLLECTED_AT_ONCE)
        ]
        whole = pieces[0]
        for field in ("inputs", "targets"):
            parts = zip(*(getattr(piece, field) for piece in pieces), strict=True)
            whole = replace(whole, **{field: tuple(torch.cat(part) for part in parts)})
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"The items of {name}= cannot be laid side by side: {reason}.") from error
    return replace(whole, weights=torch.ones(total), batch_size=batch_size)


def _length(dataset: Dataset, name: str) -> int:
    try:
        total = len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise DataError(
            f"The Dataset of {name}= has no length: give it __len__, or make it an IterableDataset."
        ) from None
    if total == 0:
        raise DataError(f"{name}= has no rows.")
    return total


def _is_same(one: Any, other: Any) -> bool:
    """Whether two readings of an item hold the same numbers, NaN being like NaN."""
    mine, theirs = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return len(mine) == len(theirs) and all(_is_same_leaf(a, b) for a, b in zip(mine, theirs, strict=True))


def _is_same_leaf(one: Any, other: Any) -> bool:
    if isinstance(one, (Tensor, numpy.ndarray)):
        a, b = torch.as_tensor(one), torch.as_tensor(other)
        return a.shape == b.shape and bool(torch.isclose(a, b, rtol=0, atol=0, equal_nan=True).all())
    return one == other or (
        isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    )


def _loader_like(loader: DataLoader, dataset: Dataset, *, shuffle: bool) -> DataLoader:
    return DataLoader(
        dataset, batch_size=loader.batch_size, shuffle=shuffle, collate_fn=loader.collate_fn,
        num_workers=loader.num_workers, pin_memory=loader.pin_memory,
    )  # fmt: skip
