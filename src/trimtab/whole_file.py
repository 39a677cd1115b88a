"""A file that appears only when it is whole: written beside its place, then renamed into it. Knows no content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import DataError


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A file beside `out` to write into, which takes its place at the end, or vanishes when something goes wrong.

    Raises DataError where `out` cannot be written.
    """
    if out.is_dir():
        raise DataError(f"{out} cannot be written: it is a folder.")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.touch()
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}.") from None
    try:
        yield part
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
