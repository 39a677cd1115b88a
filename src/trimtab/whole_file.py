"""A file that appears only when it is whole: written beside its place, then renamed into it. Knows no content."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trimtab.errors import DataError


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """As `replacing`, where a user says what is written: raises DataError where `out` cannot be written."""
    if out.is_dir():
        raise DataError(f"{out} cannot be written: it is a folder.")
    try:
        _part_of(out, is_shared=True).touch()
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}.") from None
    with replacing(out, is_shared=True) as part:
        yield part


@contextmanager
def replacing(target: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """A file to write into, which takes the place of `target` at the end, or vanishes when something goes wrong.

    Its name follows from that of `target`, so that what a killed process has left of it is overwritten the next time;
    where others may write `target` at the same time (`is_shared`), it is one that no other thread or process uses.
    """
    part = _part_of(target, is_shared=is_shared)
    try:
        yield part
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make(target: Path, content: bytes) -> None:
    """The file with this content; FileExistsError where somebody else has made it first."""
    part = _part_of(target, is_shared=True)
    try:
        part.write_bytes(content)
        os.link(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_for(target: Path) -> Iterator[None]:
    """The folder that `target` is to stand in, made where it is missing, and gone again when something goes wrong."""
    made = make_folders(target.parent)
    try:
        yield
    except BaseException:
        take_back(made)
        raise


def make_folders(folder: Path) -> tuple[Path, ...]:
    """Make a folder and those above it that are missing; what was made, from the folder upwards. Raises OSError."""
    missing = tuple(place for place in (folder, *folder.parents) if not place.exists())
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def take_back(made: tuple[Path, ...]) -> None:
    """Take folders away that `make_folders` has made and nothing stands in."""
    for place in made:
        with suppress(OSError):
            place.rmdir()


def _part_of(target: Path, *, is_shared: bool) -> Path:
    own = f".{os.getpid()}-{threading.get_ident()}" if is_shared else ""
    return target.with_name(f".{target.name}{own}.part")
