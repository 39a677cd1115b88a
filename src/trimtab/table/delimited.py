"""Text with separators, block by block: separator, quotes and encoding are found, ragged rows are refused by line.

Every cell stays the text it was; what it means is for `cells`. Knows no paths: it is given bytes and a name to blame.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.table.cells import with_decimal_point
from trimtab.text.wording import counted

SEPARATORS = (",", ";", "\t", "|")
# Of a file, what its separator and its quotes are told by. Guesses: a header and some tens of long lines; more are read
# where a quote spans lines.
_SNIFFED_BYTES = 1 << 16
_SNIFFED_LINES = 100
# A quote that is never closed would otherwise pull the whole file into memory.
_LARGEST_BLOCK = 1 << 28
_NEWLINE, _QUOTE = 10, 34  # as bytes
NOT_UTF8 = "is not UTF-8: it was read as Latin-1 (Windows-1252)."
PLAIN_QUOTES = "quotes that do not pair up were read as plain characters."
_NO_TEXT = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1a")


@dataclass(frozen=True)
class Dialect:
    """How a file is written: its separator and the names of its columns."""

    separator: str
    names: tuple[str, ...]

    @property
    def has_decimal_comma(self) -> bool:
        """The comma is free for decimals only where it does not separate values."""
        return self.separator in ";\t"


@dataclass(frozen=True)
class Lines:
    """The lines of a block: where each starts and ends (bytes) and how many separators stand in it."""

    starts: np.ndarray
    ends: np.ndarray
    separators: np.ndarray


def dialect_of(stream: Iterable[bytes], name: str) -> Dialect:
    """How the text in `stream` is written, from its first block."""
    for block in _whole_lines(_decoded(stream, name, [])):
        return _open(block, name, [])[0]
    raise DataError(f"{name} is empty.")


def read_blocks(stream: Iterable[bytes], name: str, notices: list[str]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Frames of text, one per block of `stream`, with decimal points and as written; what should be said is appended to
    `notices`, once each."""
    dialect: Dialect | None = None
    line = 1
    for block in _whole_lines(_decoded(stream, name, notices)):
        body = block
        if dialect is None:
            dialect, body = _open(block, name, notices)
            line += block.count(b"\n", 0, len(block) - len(body))
        if body.strip(b"\n"):
            written = _parse(body, dialect, name, line, notices)
            yield (with_decimal_point(written) if dialect.has_decimal_comma else written), written
        line += body.count(b"\n")
    if dialect is None:
        raise DataError(f"{name} is empty.")


def _decoded(stream: Iterable[bytes], name: str, notices: list[str]) -> Iterator[bytes]:
    """The same bytes as UTF-8 with `\\n` between lines; refuses what is no text."""
    blocks = filter(None, stream)
    first = next(blocks, b"")
    _refuse_other_than_text(first, name)
    first = first.removeprefix(b"\xef\xbb\xbf")
    lone_returns = b"\r" in first and b"\n" not in first
    kept = b""
    for block in chain([first], blocks):
        block = kept + block
        # A letter of several bytes may be cut in two, and never at the end of a line.
        cut = len(block) if block.isascii() else max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        kept = block[cut:]
        yield _as_utf8(block[:cut], name, notices, lone_returns)
    yield _as_utf8(kept, name, notices, lone_returns)


def _as_utf8(block: bytes, name: str, notices: list[str], lone_returns: bool) -> bytes:
    if not block.isascii():
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            block = block.decode("cp1252", errors="replace").encode("utf-8")
            _say(notices, f"{name} {NOT_UTF8}")
    if b"\0" in block:
        raise DataError(f"{name} is binary data, not text. Give CSV, Parquet, Arrow, JSON lines or Excel.")
    return block.replace(b"\r", b"\n" if lone_returns else b"") if b"\r" in block else block


def _refuse_other_than_text(head: bytes, name: str) -> None:
    head = head[:_SNIFFED_BYTES]
    if head[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        raise DataError(f"{name} is written in UTF-32. Save it as UTF-8 and try again.")
    zeros = (head[0::2].count(b"\0"), head[1::2].count(b"\0"))
    # Text in UTF-16 has a zero in every second byte, and seldom one in the others.
    alternates = max(zeros) > 0.3 * len(head) / 2 and min(zeros) < 0.05 * len(head) / 2
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(head) >= 8 and alternates):
        raise DataError(f"{name} is written in UTF-16. Save it as UTF-8 and try again.")
    if head.translate(None, _NO_TEXT) != head and len(head) - len(head.translate(None, _NO_TEXT)) > len(head) / 200:
        raise DataError(f"{name} is binary data, not text. Give CSV, Parquet, Arrow, JSON lines or Excel.")


def _whole_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks that end where a line ends; a line break inside quotes ends none."""
    rest = b""
    for block in stream:
        rest += block
        cut = _last_line_end(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
    if rest.strip():
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _last_line_end(text: bytes) -> int:
    quotes = text.count(b'"')
    end = len(text)
    for _ in range(10_000):
        cut = text.rfind(b"\n", 0, end) + 1
        quotes -= text.count(b'"', cut, end)
        if not cut or quotes % 2 == 0:
            break
        end = cut - 1
    if cut == 0 and len(text) > _LARGEST_BLOCK:
        return text.rfind(b"\n") + 1
    return cut


def _open(block: bytes, name: str, notices: list[str]) -> tuple[Dialect, bytes]:
    """The dialect, from the first block, and that block without its header."""
    block = block.lstrip(b"\n")
    if not block.strip():
        raise DataError(f"{name} is empty.")
    separator = _find_separator(block)
    lines = _lines(block[: _SNIFFED_BYTES * 16], separator, quoted=True)
    end = int(lines.ends[0]) if len(lines.ends) else block.find(b"\n")
    header = _read(block[:end] + b"\n", [], separator, '"', header=True)
    if header is None or header.height != 1:
        end = block.find(b"\n")
        header = _read(block[:end] + b"\n", [], separator, None, header=True)
    if header is None:
        raise DataError(f"{name}: the first line, which should name the columns, cannot be read.")
    written = header.row(0)
    names = [(cell or "").strip() or f"column_{i + 1}" for i, cell in enumerate(written)]
    twice = [column for column, times in Counter(names).items() if times > 1]
    if twice:
        listed = ", ".join(f'"{column}"' for column in twice[:10])
        blanks = " (blanks around a name are no part of it)" if len(set(written)) == len(written) else ""
        raise DataError(f"{name} has columns of the same name: {listed}{blanks}. Give each column its own name.")
    if all(_is_number(column) for column in names):
        _say(notices, f"{name}: the first line holds only numbers, and was taken as the names of the columns.")
    return Dialect(separator, tuple(names)), block[end + 1 :]


def _find_separator(block: bytes) -> str:
    """The one that stands equally often in most of the first lines; of several such, the most frequent."""
    best, best_key = ",", (0.0, 0)
    for separator in SEPARATORS:
        for quoted in (True, False):
            lines = _lines(block[:_SNIFFED_BYTES], separator, quoted=quoted)
            counts = lines.separators[lines.ends > lines.starts][:_SNIFFED_LINES]
            if len(counts) == 0 or counts[0] == 0:
                continue
            agreement = statistics.fmean((counts == counts[0]).tolist()) - (0.0 if quoted else 1e-3)
            best, best_key = max((best, best_key), (separator, (agreement, int(counts[0]))), key=lambda pair: pair[1])
    return best


def _lines(block: bytes, separator: str, *, quoted: bool) -> Lines:
    codes = np.frombuffer(block, dtype=np.uint8)
    is_newline, is_separator = codes == _NEWLINE, codes == ord(separator)
    if quoted and b'"' in block:
        inside = np.bitwise_xor.accumulate((codes == _QUOTE).view(np.uint8)).view(bool)
        is_newline &= ~inside
        is_separator &= ~inside
    ends = np.flatnonzero(is_newline)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    counts = np.diff(np.searchsorted(np.flatnonzero(is_separator), ends), prepend=0)
    return Lines(starts, ends, counts)


def _parse(body: bytes, dialect: Dialect, name: str, first_line: int, notices: list[str]) -> pl.DataFrame:
    """The rows of `body`; quotes are first taken as such, and as plain characters when that does not add up."""
    problem = None
    for quote in ('"', None) if b'"' in body else ('"',):
        lines = _lines(body, dialect.separator, quoted=quote is not None)
        body_of_mode, lines = _without_blank_lines(body, lines, dialect)
        problem_of_mode = _ragged(body, lines, dialect, name, first_line)
        if problem_of_mode is None:
            frame = _read(body_of_mode, dialect.names, dialect.separator, quote)
            if frame is not None and frame.height == len(lines.ends):
                if quote is None:
                    _say(notices, f"{name}: {PLAIN_QUOTES}")
                return frame
        problem = problem or problem_of_mode
    raise problem or DataError(
        f"{name}: the rows from line {first_line} on cannot be split into columns. Look for a quote that is not closed."
    )


def _without_blank_lines(body: bytes, lines: Lines, dialect: Dialect) -> tuple[bytes, Lines]:
    is_filled = lines.ends > lines.starts
    if len(dialect.names) == 1 and is_filled.any():
        # The blank line of a single column is a row whose value is missing, except at the end of the file.
        is_filled[: np.flatnonzero(is_filled)[-1]] = True
    if is_filled.all():
        return body, lines
    kept = Lines(lines.starts[is_filled], lines.ends[is_filled], lines.separators[is_filled])
    bounds = zip(kept.starts.tolist(), kept.ends.tolist(), strict=True)
    return b"".join(body[start : end + 1] for start, end in bounds), kept


def _ragged(body: bytes, lines: Lines, dialect: Dialect, name: str, first_line: int) -> DataError | None:
    expected = len(dialect.names) - 1
    wrong = np.flatnonzero(lines.separators != expected)
    if len(wrong):
        row = int(wrong[0])
        line = first_line + body.count(b"\n", 0, int(lines.starts[row]))
        has = int(lines.separators[row]) + 1
        return DataError(
            f"{name}, line {line}: {counted(has, 'value')} where the header names {counted(expected + 1, 'column')} "
            f"(separator {_spoken(dialect.separator)}). Correct that line{_and_others(len(wrong) - 1)}."
        )
    if len(lines.ends) == 0 or int(lines.ends[-1]) < len(body.rstrip(b"\n")):
        start = int(lines.ends[-1]) + 1 if len(lines.ends) else 0
        line = first_line + body.count(b"\n", 0, start)
        return DataError(f"{name}: a quote that opens in line {line} or after it is never closed.")
    return None


def _and_others(lines: int) -> str:
    return f" and {counted(lines, 'other')} like it" if lines else ""


def _read(
    body: bytes, names: Iterable[str], separator: str, quote: str | None, *, header: bool = False
) -> pl.DataFrame | None:
    try:
        return pl.read_csv(
            body,
            has_header=False,
            separator=separator,
            quote_char=quote,
            schema=None if header else dict.fromkeys(names, pl.String),
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _spoken(separator: str) -> str:
    return "tab" if separator == "\t" else f'"{separator}"'


def _say(notices: list[str], text: str) -> None:
    if text not in notices:
        notices.append(text)
