"""A file becomes a frame: CSV and its kin, Parquet, Arrow, JSON lines, Excel; as they are or under gzip and zstd.

Knows nothing of roles or targets. Whatever is wrong with a file leaves here as a DataError that names it.
"""

import difflib
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trimtab.errors import DataError
from trimtab.table.delimited import NOT_UTF8, PLAIN_QUOTES, Dialect, dialect_of, read_blocks

# What of a large file is in memory at a time: some tens of megabytes of a usual table, and few enough batches that
# starting each costs nothing. Guesses.
BATCH_ROWS = 100_000
_BLOCK_BYTES = 1 << 23
_SUFFIX_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json lines",
    ".xlsx": "excel",
    ".xls": "excel",
    ".xlsm": "excel",
}
_MAGIC_KINDS = {b"PAR1": "parquet", b"ARROW1": "arrow"}
_FOREIGN_MAGIC = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"\x89PNG": "a picture",
    b"\x89HDF": "an HDF5 file: export the table as CSV or Parquet",
    b"\x80\x04\x95": "a Python pickle: save the table as CSV or Parquet",
}

_Block = tuple[pl.DataFrame, pl.DataFrame | None]


@dataclass(frozen=True)
class ReadTable:
    """A table as it was read, cells of text files still as text, and what should be said about the reading.

    `written` is the table of a text file as it stands there, where `frame` has a decimal point for every decimal comma;
    None for a file that knows types.
    """

    frame: pl.DataFrame
    notices: tuple[str, ...] = ()
    written: pl.DataFrame | None = None


@dataclass(frozen=True)
class Written:
    """How a file is written, for whoever reads it without trimtab: its kind ("delimited", "parquet", "arrow", "json
    lines", "excel"), and of delimited text the dialect, whether it is UTF-8, and whether its quotes are quotes."""

    kind: str
    dialect: Dialect | None = None
    is_utf8: bool = True
    has_quotes: bool = True


def how_written(path: str | Path) -> Written:
    """Raises DataError where there is no table that can be read."""
    path = Path(path)
    with _blaming(path):
        kind = _kind(path, _head(path))
        if kind != "delimited":
            return Written(kind)
        notices: list[str] = []
        for _ in _delimited(path, notices):
            pass
        said = " ".join(notices)
        return Written(kind, dialect_of(_blocks(path), path.name), NOT_UTF8 not in said, PLAIN_QUOTES not in said)


def read_table(path: str | Path) -> ReadTable:
    """The whole table at `path`. Raises DataError when there is none, or none that can be read."""
    notices: list[str] = []
    pairs = list(_frames(Path(path), notices))
    frame = pl.concat([frame for frame, _ in pairs], rechunk=True) if pairs else pl.DataFrame()
    if frame.width == 0 or frame.height == 0:
        raise DataError(f"{Path(path).name} has a header but no rows." if frame.width else f"{path} holds no table.")
    return ReadTable(frame, tuple(notices), _as_written(frame, pairs))


def read_batches(path: str | Path, rows: int = BATCH_ROWS, notices: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """The same rows in the same order as `read_table`, at most `rows` at a time and in bounded memory.

    What should be said is appended to `notices`. JSON lines and Excel are read whole, then cut.
    """
    for frame, _ in _frames(Path(path), [] if notices is None else notices):
        for start in range(0, frame.height, rows):
            yield frame.slice(start, rows)


def _as_written(frame: pl.DataFrame, pairs: Sequence[_Block]) -> pl.DataFrame | None:
    texts = [written for _, written in pairs if written is not None]
    if len(texts) < len(pairs):
        return None
    return frame if all(block is written for block, written in pairs) else pl.concat(texts)


def _frames(path: Path, notices: list[str]) -> Iterator[_Block]:
    """Blocks of rows; those of a text file also as they are written there."""
    with _blaming(path):
        head = _head(path)
        kind = _kind(path, head)
        if kind == "parquet":
            yield from ((frame, None) for frame in _parquet(path))
        elif kind == "arrow":
            yield _whole(pl.read_ipc, path, head), None
        elif kind == "json lines":
            yield _whole(lambda source: pl.read_ndjson(source, infer_schema_length=None), path, head), None
        elif kind == "excel":
            yield _excel(path), None
        else:
            yield from _delimited(path, notices)


def _delimited(path: Path, notices: list[str]) -> Iterator[_Block]:
    header_only = True
    for block in read_blocks(_blocks(path), path.name, notices):
        header_only = False
        yield block
    if header_only:
        raise DataError(f"{path.name} has a header but no rows.")


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    height = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    if height <= BATCH_ROWS:
        yield pl.read_parquet(path, glob=False)
        return
    for start in range(0, height, BATCH_ROWS):
        yield pl.scan_parquet(path, glob=False).slice(start, BATCH_ROWS).collect()


def _whole(read, path: Path, head: bytes) -> pl.DataFrame:
    if _compression(head) is None:
        return read(path)
    return read(io.BytesIO(b"".join(_blocks(path))))


def _excel(path: Path) -> pl.DataFrame:
    try:
        import fastexcel  # noqa: F401
    except ImportError as error:
        raise DataError(f'Reading {path.name} needs an extra: pip install "trimtab[excel]".') from error
    frame = pl.read_excel(path, engine="calamine", infer_schema_length=None)
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width else frame


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give one file with a table in it.")
    if not path.exists():
        raise DataError(f"There is no file {path}.{_near(path)}")
    with path.open("rb") as stream:
        head = stream.read(16)
    if not head:
        raise DataError(f"{path.name} is empty.")
    return head


def _near(path: Path) -> str:
    try:
        names = [other.name for other in itertools.islice(path.parent.iterdir(), 1000)]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / near[0]}?" if near else ""


def _kind(path: Path, head: bytes) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".gzip", ".zst", ".zstd")]
    kind = _SUFFIX_KINDS.get(suffixes[-1] if suffixes else "")
    for magic, found in _MAGIC_KINDS.items():
        if head.startswith(magic):
            return found
    if kind is not None:
        return kind
    for magic, what in _FOREIGN_MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} is {what}.")
    return "delimited"


def _compression(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else None


def _blocks(path: Path) -> Iterator[bytes]:
    """The unpacked content of `path`."""
    compression = _compression(_head(path))
    if compression == "zstd":
        yield from _zstd_blocks(path)
        return
    with gzip.open(path, "rb") if compression == "gzip" else path.open("rb") as stream:
        yield from iter(lambda: stream.read(_BLOCK_BYTES), b"")


def _zstd_blocks(path: Path) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise DataError(f"Reading {path.name} needs zstandard: pip install zstandard, or unpack it first.") from error
    frame = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as stream:
        for packed in iter(lambda: stream.read(_BLOCK_BYTES // 8), b""):
            while packed:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(packed)
                packed = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Whatever a reader raises becomes a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is damaged or cut off: its compressed data ends too early.") from error
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied.") from error
    except MemoryError as error:
        raise DataError(f"{path.name} is too large for the memory of this machine.") from error
    except (Exception, pl.exceptions.PanicException) as error:
        if not _is_about_data(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0][:200].rstrip(". ")
        raise DataError(f"{path.name} cannot be read, it may be damaged or cut off: {reason}.") from error


def _is_about_data(error: BaseException) -> bool:
    """Readers of other libraries raise their own kinds; only what Python itself calls a bug passes through."""
    return not isinstance(error, (AttributeError, NameError, AssertionError, ImportError))
