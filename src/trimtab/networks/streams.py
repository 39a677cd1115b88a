"""Streams: Datasets and DataLoaders, collected where their items stay the same, read anew each epoch where they do not.

Knows how loaders are made; it knows no networks and no training.
"""

import logging
import math
from collections.abc import Callable, Generator
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

from trimtab.errors import DataError, first_line
from trimtab.networks.examples import (
    HOW_TO_GIVE,
    Examples,
    check_finite,
    check_weights,
    from_batch,
    from_pair,
    split_rows,
)
from trimtab.text.wording import counted, sentence, with_article
from trimtab.training.randomness import SeededGenerators

log = logging.getLogger(__name__)
# Items that are put together at once, so that a large Dataset is not held twice in memory, and by which a collate
# function is tried (a guess).
COLLECTED_AT_ONCE = 256
# Items, evenly chosen, that are read twice to see whether they change: one in a hundred that does is found in half of
# all cases, and an item that changes seldom does so alone (a guess).
READ_TWICE = 64
# Rows of a batch where nobody said how many: the usual size of loaders of examples.
USUAL_BATCH = 32


@dataclass(frozen=True)
class Stream:
    """Batches that are read anew in every epoch, since their items are not the same twice (augmentation) or can only be
    read in order (an IterableDataset).

    `batch_size` is None where every batch has a size of its own; `reason` says why it is read anew, as it is told to
    the caller, and `given_as` what argument it came by.
    """

    source: DataLoader
    batch_size: int | None
    reason: str
    given_as: str = "train"

    @property
    def batches(self) -> int | None:
        """Batches of an epoch, None where the source does not say."""
        try:
            return len(self.source)
        except TypeError:
            return None

    def epoch(self, seed: int) -> Generator[Examples]:
        """The batches of one epoch; the same seed reads the same, and the caller's generators stay where they are."""
        generators, own, read = SeededGenerators(seed), _OwnGenerators(self.source, seed), 0
        with generators, own:
            batches = iter(self.source)
        try:
            while True:
                with generators, own:
                    batch = next(batches, None)
                if batch is None:
                    return
                rows = from_batch(batch, self.given_as)
                rows = replace(rows, places=torch.arange(read, read + rows.rows))
                check_finite(rows)
                yield rows
                read += rows.rows
        finally:
            self._end_workers(batches)

    def _end_workers(self, batches: Any) -> None:
        """An epoch that is left early, by an error too, leaves no process of the loader behind; those that the caller
        wants to last go on."""
        end = getattr(batches, "_shutdown_workers", None)
        if end is not None and not self.source.persistent_workers:
            end()


class _OwnGenerators:
    """The generators that a loader brings for itself: inside, they go on from where this object left them; outside,
    they are the caller's, untouched."""

    def __init__(self, loader: DataLoader, seed: int) -> None:
        given = (loader.generator, getattr(loader.sampler, "generator", None))
        self._generators = list({id(g): g for g in given if g is not None}.values())
        self._own = [torch.Generator(g.device).manual_seed(seed).get_state() for g in self._generators]
        self._before: list[Tensor] = []

    def __enter__(self) -> None:
        self._before = [generator.get_state() for generator in self._generators]
        self._set(self._own)

    def __exit__(self, *exception: object) -> None:
        self._own = [generator.get_state() for generator in self._generators]
        self._set(self._before)

    def _set(self, states: list[Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)


def examples(given: Any, name: str, *, batch_size: int | None = None) -> Examples | Stream:
    """What a caller gave as `name` (train or valid); raises DataError for what cannot be read so.

    `batch_size` (0: all rows) is for Datasets that have to be read anew; a DataLoader brings its own.
    """
    if isinstance(given, DataLoader):
        return _from_loader(given, name)
    if isinstance(given, IterableDataset):
        size = batch_size or USUAL_BATCH
        return Stream(DataLoader(given, batch_size=size), size, "it can only be read in order", name)
    if isinstance(given, Dataset):
        return _from_dataset(given, name, default_collate, batch_size)
    if isinstance(given, (tuple, list)) and len(given) in (2, 3):
        return from_pair(*given, name=name)
    is_several = isinstance(given, (tuple, list))
    what = (
        f"a {type(given).__name__} of {counted(len(given), 'thing')}"
        if is_several
        else with_article(type(given).__name__)
    )
    raise DataError(f"{name}= is {what}. {HOW_TO_GIVE}")


def split_stream(stream: Stream, share: float, seed_number: int) -> tuple[Stream, Stream]:
    """A stream over a Dataset with a length as two, by items drawn at random."""
    dataset, size = stream.source.dataset, stream.batch_size
    if isinstance(dataset, IterableDataset) or size is None or not _is_usual(stream.source):
        raise DataError(f"No share of train= can be set aside, since {stream.reason}: give valid=(Xv, yv).")
    kept, held = split_rows(len(dataset), share, seed_number)  # type: ignore[arg-type]
    parts = (Subset(dataset, kept.tolist()), Subset(dataset, held.tolist()))
    train, valid = (_loader_like(stream.source, part, shuffle=i == 0) for i, part in enumerate(parts))
    return replace(stream, source=train), replace(stream, source=valid)


def _is_usual(loader: DataLoader) -> bool:
    """Whether the loader gives every item once, in order or shuffled."""
    sampler = loader.sampler
    return (
        loader.batch_size is not None
        and type(loader.batch_sampler) is BatchSampler
        and type(sampler) in (RandomSampler, SequentialSampler)
        and not getattr(sampler, "replacement", False)
        and len(sampler) == len(loader.dataset)  # type: ignore[arg-type]
    )


def _from_loader(loader: DataLoader, name: str) -> Examples | Stream:
    if isinstance(loader.dataset, IterableDataset):
        return Stream(loader, loader.batch_size, "it can only be read in order", name)
    if not _is_usual(loader):
        return Stream(loader, loader.batch_size, "it has a sampler of its own", name)
    read = _from_dataset(loader.dataset, name, loader.collate_fn, loader.batch_size)
    if isinstance(read, Stream):
        return replace(read, source=loader)
    if name == "train" and type(loader.sampler) is SequentialSampler:
        log.warning("The loader of train= does not shuffle; trimtab does: every epoch has an order of its own.")
    size = loader.batch_size or 0
    if name == "train" and loader.drop_last and read.rows < size:
        raise DataError(
            f"The loader of train= drops every batch: there are {read.rows} rows, fewer than the {size} of one batch."
        )
    return replace(read, drops_last=loader.drop_last)


def _from_dataset(
    dataset: Dataset, name: str, collate: Callable[[list], Any], batch_size: int | None
) -> Examples | Stream:
    total = _length(dataset, name)
    if type(dataset) is TensorDataset and collate is default_collate:
        whole = from_batch(dataset.tensors, name)
        check_weights(whole.weights, name)
        return replace(whole, batch_size=batch_size)
    generators = SeededGenerators(0)
    with generators:
        first = [_item(dataset, i, name) for i in range(total)]
        again = [
            (i, _item(dataset, i, name)) for i in sorted({int(i) for i in numpy.linspace(0, total - 1, READ_TWICE)})
        ]
    reason = ""
    if generators.have_drawn or not all(_is_same(first[i], item) for i, item in again):
        reason = "its items change from one reading to the next"
    elif collate is not default_collate and not _lays_side_by_side(collate, first):
        reason = "its collate_fn does more than stack items"
    if reason:
        size = USUAL_BATCH if batch_size is None else batch_size or total
        return Stream(DataLoader(dataset, size, shuffle=True, collate_fn=collate), size, reason, name)
    try:
        pieces = [
            from_batch(collate(first[start : start + COLLECTED_AT_ONCE]), name)
            for start in range(0, total, COLLECTED_AT_ONCE)
        ]
        whole = pieces[0]
        pieces = [whole, *(piece.arranged_as(whole) for piece in pieces[1:])]
        for field in ("inputs", "targets"):
            parts = zip(*(getattr(piece, field) for piece in pieces), strict=True)
            joined: dict[str, Any] = {field: tuple(torch.cat(part) for part in parts)}
            whole = replace(whole, **joined)
        weights = torch.cat([piece.weights for piece in pieces])
    except DataError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise DataError(sentence(f"The items of {name}= cannot be stacked: {first_line(error)}")) from error
    check_weights(weights, name)
    return replace(whole, weights=weights, batch_size=batch_size)


def _item(dataset: Dataset, place: int, name: str) -> Any:
    try:
        return dataset[place]
    except Exception as error:  # the caller's own code may raise anything
        kind = type(error).__name__
        reason = f"Item {place} of the Dataset of {name}= raised {kind}: {first_line(error)}"
        raise DataError(sentence(reason)) from error


def _lays_side_by_side(collate: Callable[[list], Any], items: list) -> bool:
    """Whether a batch is what its items give one by one, twice in a row: no noise, no padding to the longest."""
    items = items[:COLLECTED_AT_ONCE]
    generators = SeededGenerators(0)
    with generators:
        whole, again, single = collate(items), collate(items), [collate([item]) for item in items]
    try:
        joined = pytree.tree_map(lambda *parts: torch.cat(parts), *single)
    except (RuntimeError, ValueError, TypeError):
        return False
    return not generators.have_drawn and _is_same(whole, again) and _is_same(whole, joined)


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
