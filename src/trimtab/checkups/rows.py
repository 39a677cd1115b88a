"""Rows: those of a caller that a check-up trains on and judges by, few enough for short trainings.

Knows datasets; it knows no networks.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

import torch

from trimtab.networks.datasets import Datasets
from trimtab.networks.examples import Examples, split_rows
from trimtab.networks.streams import Stream
from trimtab.training.randomness import number_from

# Rows to train on, so many that a short training in usual batches sees them about twice; and to judge by: an error is
# known to 2 % of its spread by so many.
MOST_TRAINED, MOST_JUDGED = 4096, 2048


def few_rows(datasets: Datasets, seed: int) -> tuple[Datasets, tuple[str, ...]]:
    """The datasets with at most so many rows, drawn at random, those of a stream its first ones; and what was left out,
    a sentence each."""
    train, of_train = _few(datasets.train, MOST_TRAINED, number_from("few", seed))
    if datasets.valid is None:
        return Datasets(train, None), of_train
    valid, of_valid = _few(datasets.valid, MOST_JUDGED, number_from("few", seed, "valid"))
    return Datasets(train, valid), of_train + of_valid


def _few(part: Examples | Stream, most: int, seed: int) -> tuple[Examples, tuple[str, ...]]:
    if isinstance(part, Stream):
        with closing(part.epoch(seed)) as batches:
            rows = _joined(batches, most)
        return rows, (f"Of {part.given_as}= the first {rows.rows:,} rows were read, once: {part.reason}.",)
    if part.rows <= most:
        return part, ()
    _, held = split_rows(part.rows, most / part.rows, seed)
    return part.taken(held), (f"Of the {part.rows:,} rows of {part.given_as}= {most:,} were used, drawn at random.",)


def _joined(batches: Iterable[Examples], most: int) -> Examples:
    """The batches of a stream in one piece, as long as they have one shape."""
    pieces: list[Examples] = []
    for batch in batches:
        piece = batch.arranged_as(pieces[0]) if pieces else batch
        if pieces and _shapes(piece) != _shapes(pieces[0]):
            break
        pieces.append(piece)
        if sum(each.rows for each in pieces) >= most:
            break
    inputs = tuple(torch.cat(parts) for parts in zip(*(each.inputs for each in pieces), strict=True))
    targets = tuple(torch.cat(parts) for parts in zip(*(each.targets for each in pieces), strict=True))
    weights = torch.cat([each.weights for each in pieces])
    return replace(pieces[0], inputs=inputs, targets=targets, weights=weights, places=None)


def _shapes(part: Examples) -> list[torch.Size]:
    return [x.shape[1:] for x in (*part.inputs, *part.targets)]
