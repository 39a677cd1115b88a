"""Content: the bytes of a log, wherever they come from, and what they are as text and as JSON.

Knows compression and encodings, and no log.
"""

import gzip
import json
import re
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.errors import DataError

STANDARD_INPUT = "-"
_GZIP = b"\x1f\x8b"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
# Colours and other orders to terminals; and steps back, by which old bars were drawn.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x08")
_WORDS = {"nan": "NaN", "inf": "Infinity", "None": "null", "True": "true", "False": "false"}
# Of a binary file these would be a wrong guess: text has no zero bytes (PNG, pickle, SQLite and zip have).
_HEAD = 8192


@dataclass(frozen=True)
class Content:
    """`data` is unpacked; `path` is where it was found, None for standard input."""

    name: str
    data: bytes
    path: Path | None = None

    @classmethod
    def at(cls, path: Path) -> "Content":
        """The file at `path`; raises DataError where it cannot be read."""
        try:
            return cls(path.name, _unpacked(path.read_bytes(), str(path)), path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from None

    @classmethod
    def of_standard_input(cls) -> "Content":
        if sys.stdin is None or sys.stdin.isatty():
            raise DataError("There is nothing on standard input: pipe the log in, as in trimtab diagnose - < FILE.")
        return cls("standard input", _unpacked(sys.stdin.buffer.read(), "standard input"))

    @cached_property
    def is_text(self) -> bool:
        return self.data[:2] in _BOMS or b"\0" not in self.data[:_HEAD]

    @cached_property
    def text(self) -> str:
        """Without colours; what cannot be decoded is replaced: numbers are ASCII in every encoding but UTF-16."""
        encoding = next((name for bom, name in _BOMS.items() if self.data.startswith(bom)), "utf-8")
        text = self.data.decode(encoding, errors="replace").lstrip("\ufeff")
        return _ESCAPES.sub("", text) if "\x1b" in text or "\x08" in text else text

    @cached_property
    def document(self) -> Any:
        """The JSON document that this is, NaN allowed, or the printed dict of Python; None where it is neither."""
        text = self.text.strip()
        if text[:1] not in ("{", "["):
            return None
        for spelt in (text, _as_json(text)):
            try:
                return json.loads(spelt)
            except (ValueError, RecursionError):
                continue
        return None


def _as_json(text: str) -> str:
    """What `print(history)` shows of a dict."""
    if "'" not in text or '"' in text:
        return ""
    for word, spelt in _WORDS.items():
        text = re.sub(rf"(?<![\w.]){word}(?![\w.])", spelt, text)
    return text.replace("'", '"')


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        pass
    # A file that is still being written, or was cut off: what there is of it counts.
    unpacked = zlib.decompressobj(wbits=31)
    try:
        found = unpacked.decompress(data)
    except zlib.error:
        found = b""
    if not found:
        raise DataError(f"{name} is a damaged gzip file: copy it again.")
    return found
