"""Datasets: what runs train on and what they are judged on, as the caller gave both.

Knows examples and streams; it knows no networks.
"""

import numbers
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trimtab.errors import DataError, OptionError
from trimtab.networks.examples import Examples, check_finite, split_rows
from trimtab.networks.streams import Stream, examples, split_stream
from trimtab.training.randomness import number_from


@dataclass(frozen=True)
class Datasets:
    """Examples or a stream to train on, and to judge by; `valid` None: the training rows judge themselves."""

    train: Examples | Stream
    valid: Examples | Stream | None

    @classmethod
    def read(cls, train: Any, valid: Any, *, seed: int, batch_size: int | None) -> "Datasets":
        """From what a caller gave as train= and valid= (a share of the training rows, drawn at random, or rows of its
        own); raises DataError for what cannot be used."""
        rows = examples(train, "train", batch_size=batch_size)
        if isinstance(rows, Examples):
            check_finite(rows)
        if valid is None:
            if isinstance(rows, Stream):
                raise DataError(
                    "valid= is missing: rows that are read anew in each epoch cannot be validation rows too."
                )
            return cls(rows, None)
        if isinstance(valid, numbers.Real) and not isinstance(valid, bool):
            return cls(*_split(rows, float(valid), number_from("valid", seed)))
        judged = examples(valid, "valid", batch_size=batch_size)
        if isinstance(judged, Examples):
            check_finite(judged)
        return cls(rows, judged)

    @staticmethod
    def one_of(train: Any, data: Any) -> Any:
        """The rows to train on, which may be given by either name; raises OptionError for both, and for neither."""
        if train is not None and data is not None:
            raise OptionError("train= and data= are two names for the same thing: give one of them.")
        if train is None and data is None:
            raise OptionError("There is no data: give train=(X, y).")
        return data if train is None else train

    @property
    def is_streamed(self) -> bool:
        return isinstance(self.train, Stream) or isinstance(self.valid, Stream)

    @property
    def has_weights(self) -> bool:
        """Whether some rows count more than others."""
        parts = (part for part in (self.train, self.valid) if isinstance(part, Examples))
        return any(bool((part.weights != 1).any()) for part in parts)

    @property
    def reason(self) -> str:
        """Why it is read anew each epoch."""
        return next(part.reason for part in (self.train, self.valid) if isinstance(part, Stream))

    @property
    def batch_size(self) -> int | None:
        """That of the loader the training rows came from, or of its first batch."""
        size = self.train.batch_size
        return self.first.rows if size is None and isinstance(self.train, Stream) else size

    @cached_property
    def first(self) -> Examples:
        """Some training rows, to try a network on: all of them, or the first batch of a stream."""
        if isinstance(self.train, Examples):
            return self.train
        with closing(self.train.epoch(0)) as batches:
            batch = next(batches, None)
        if batch is None:
            drops = self.train.source.drop_last
            reason = "its loader drops batches that are not full, and has no full one" if drops else "it has no rows"
            raise DataError(f"train= gave no batch: {reason}.")
        return batch


def _split(rows: Examples | Stream, share: float, seed_number: int) -> tuple[Any, Any]:
    if isinstance(rows, Stream):
        return split_stream(rows, share, seed_number)
    kept, held = split_rows(rows.rows, share, seed_number)
    return rows.taken(kept), rows.taken(held)


def joined(train: Examples, valid: Examples | None) -> tuple[Examples, Tensor, Tensor]:
    """All rows in one piece, and the numbers of those to train on and those to judge by."""
    kept = torch.arange(train.rows)
    if valid is None:
        return train, kept, kept
    return train.followed_by(valid), kept, torch.arange(train.rows, train.rows + valid.rows)
