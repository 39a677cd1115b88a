"""A digest of a table and of the options that shape what is made of it: equal digests, equal tensors and splits.

Knows cells as bytes only; it depends on values and types, not on how any library hashes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl


def table_digest(frames: Iterable[pl.DataFrame | None], options: Mapping[str, object]) -> str:
    """Hex digest (32 characters) of the cells of `frames` and of `options` (JSON values)."""
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True, default=str).encode(), digest_size=16)
    for frame in frames:
        digest.update(b"frame")
        for column in frame.iter_columns() if frame is not None else ():
            _add(digest, column)
    return digest.hexdigest()


def _add(digest, column: pl.Series) -> None:
    digest.update(f"\n{column.name}\n{column.dtype}\n{len(column)}\n".encode())
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        digest.update(repr(column.to_list()).encode())
        return
    if column.null_count():
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        column = column.fill_null(strategy="zero") if column.dtype.is_numeric() else column
    if column.dtype.is_float() or column.dtype.is_integer():
        digest.update(np.ascontiguousarray(column.to_numpy()))
        return
    text = column.cast(pl.Int64) if column.dtype.is_temporal() else column.cast(pl.String, strict=False)
    if text.dtype == pl.Int64:
        digest.update(np.ascontiguousarray(text.fill_null(0).to_numpy()))
        return
    digest.update(np.ascontiguousarray(text.str.len_bytes().fill_null(0).to_numpy()))
    digest.update((text.str.join("").item() or "").encode())
