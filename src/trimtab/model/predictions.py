"""Predictions of a whole file: batches of rows in, CSV or Parquet out, in bounded memory.

Knows files and the model's answer to a frame; it knows no options, no terminal and nothing of how a model was found.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import polars

from trimtab.errors import OptionError
from trimtab.model.model import Model
from trimtab.table.frames import column_called, fits_text
from trimtab.table.read import BATCH_ROWS, read_batches
from trimtab.table.schema import require_column
from trimtab.whole_file import beside

SUFFIXES = (".csv", ".parquet")


def predict_file(
    model: Model,
    data: str | Path,
    out: str | Path,
    *,
    notice: Callable[[str], None],
    keep: Sequence[str] = (),
    interval: float | None = None,
    may_replace: bool = False,
) -> int:
    """Predict every row of the file `data` into `out` (.csv or .parquet), after its columns `keep`; returns the number
    of rows. `interval` as in `Model.predict`.

    `out` appears only when it is whole, and takes an older file's place only if it `may_replace` it. Raises DataError
    for rows the model cannot take, OptionError for a bad `out` and for columns that cannot be kept.
    """
    data, out = Path(data), Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise OptionError(f'Predictions are written as .csv or .parquet, not as "{out.name}".')
    if out.exists() and data.exists() and out.samefile(data):
        raise OptionError(f"{out} is the table to predict for: write the predictions to another file.")
    if out.exists() and not may_replace:
        raise OptionError(f"{out} exists already: choose another file, or replace it with --force.")
    batches = _batches(model, data, keep, notice, interval)
    write = _write_parquet if out.suffix.lower() == ".parquet" else _write_csv_file
    with beside(out) as part:
        return write(batches, part)


def predict_stream(
    model: Model,
    data: str | Path,
    stream: IO[bytes],
    *,
    notice: Callable[[str], None],
    keep: Sequence[str] = (),
    interval: float | None = None,
) -> int:
    """Predict every row of the file `data` as CSV into an open binary stream; returns the number of rows. `interval` as
    in `Model.predict`."""
    return _write_csv(_batches(model, Path(data), keep, notice, interval), stream)


def _batches(
    model: Model, data: Path, keep: Sequence[str], notice: Callable[[str], None], interval: float | None
) -> Iterator[polars.DataFrame]:
    reading: list[str] = []
    first = 0
    for frame in read_batches(data, notices=reading):
        while reading:
            notice(reading.pop(0))
        kept = _kept(frame, keep)
        predictions, notices = model.predict_frame(frame, interval)
        twice = next((name for name in keep if name in predictions.columns), None)
        if twice is not None:
            raise OptionError(
                f'--keep {twice}: the predictions have a column "{twice}" of their own. Rename the column of the file.'
            )
        is_part = first > 0 or frame.height == BATCH_ROWS
        for text in notices:
            notice(f"Rows {first + 1:,} to {first + frame.height:,}: {text}" if is_part else text)
        first += frame.height
        yield kept.hstack(predictions) if keep else predictions


def _kept(frame: polars.DataFrame, keep: Sequence[str]) -> polars.DataFrame:
    """The columns to hand on, as they stand in the file."""
    keep = [column_called(name, frame.columns) for name in keep]
    for name in keep:
        require_column(frame, name, "--keep")
        if not fits_text(frame[name].dtype):
            raise OptionError(f"--keep {name}: the column holds {frame[name].dtype}, which no table of text can hold.")
    if len(set(keep)) < len(keep):
        raise OptionError(f"--keep names a column twice: {', '.join(keep)}.")
    return frame.select(keep)


def _write_csv(batches: Iterator[polars.DataFrame], stream: IO[bytes]) -> int:
    rows = 0
    for frame in batches:
        _write_all(stream, frame.write_csv(include_header=rows == 0).encode())
        rows += frame.height
    stream.flush()
    return rows


def _write_all(stream: IO[bytes], content: bytes) -> None:
    # Unbuffered (PYTHONUNBUFFERED), a stream may take a part and say how much.
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def _write_csv_file(batches: Iterator[polars.DataFrame], part: Path) -> int:
    with part.open("wb") as stream:
        return _write_csv(batches, stream)


def _write_parquet(batches: Iterator[polars.DataFrame], part: Path) -> int:
    # Polars writes a Parquet file in one go: the batches become files of their own, then one scan streams over them.
    rows = 0
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=part.name) as pieces:
        for number, frame in enumerate(batches):
            frame.write_parquet(Path(pieces) / f"{number:06d}.parquet")
            rows += frame.height
        polars.scan_parquet(Path(pieces) / "*.parquet").sink_parquet(part)
    return rows
