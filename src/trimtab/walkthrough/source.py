"""Chapters as they are written: Markdown, in which every ```python block is a cell that runs.

Knows neither what runs the cells nor who shows them.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from trimtab.errors import OptionError

CHAPTERS = 7
_CELL = re.compile(r"^```python\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Prose:
    """What is told before the next block runs, in Markdown."""

    text: str


@dataclass(frozen=True)
class Code:
    """A block that runs; the value of its last line is shown, as in a notebook."""

    text: str


Cell = Prose | Code


@dataclass(frozen=True)
class Chapter:
    """A chapter runs by itself: it needs no name from the chapters before it."""

    number: int
    title: str
    cells: tuple[Cell, ...]


def cells_of(text: str) -> tuple[Cell, ...]:
    """Prose and code of a Markdown text, in order."""
    found: list[Cell] = []
    # A pattern with one group splits into prose, code, prose, code, ..., prose.
    for i, piece in enumerate(_CELL.split(text)):
        if piece.strip():
            found.append(Code(piece) if i % 2 else Prose(piece.strip()))
    return tuple(found)


@cache
def introduction() -> str:
    """What stands before the first chapter, in Markdown."""
    return _read("introduction.md").strip()


@cache
def chapter(number: int) -> Chapter:
    """The chapter of that number, from 1; raises OptionError where there is none."""
    if not 1 <= number <= CHAPTERS:
        raise OptionError(f"There is no chapter {number}: the walkthrough has chapters 1 to {CHAPTERS}.")
    cells = cells_of(_read(f"chapter_{number}.md"))
    heading = cells[0].text.splitlines()[0]
    return Chapter(number, heading.removeprefix(f"## {number}. "), cells)


def chapters() -> tuple[Chapter, ...]:
    return tuple(chapter(number) for number in range(1, CHAPTERS + 1))


def _read(name: str) -> str:
    return (files(__package__ or __name__) / name).read_text(encoding="utf-8")
