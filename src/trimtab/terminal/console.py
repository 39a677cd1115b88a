"""Console: where texts are printed, how they break, and a duration as a clock. Knows nothing of what is printed."""

import io
import math
import os
import re
import shlex
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TextIO

from rich.console import Console

from trimtab.text.layout import paragraph

# Wide enough for a table where no terminal says how wide it is.
PLAIN_WIDTH = 120


def console_on(stream: TextIO) -> Console:
    """A console that prints texts as they are: no markup, no colouring of what looks like code.

    It is as wide as the terminal, or as COLUMNS in the environment says. Where neither says so, texts stay on one line.
    """
    columns = os.environ.get("COLUMNS", "")
    is_told = stream.isatty() or (columns.isdecimal() and int(columns) > 0)
    width = None if is_told else PLAIN_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width, soft_wrap=not is_told)


def printed(width: int, print_on: Callable[[Console], None]) -> str:
    """What is printed on a console so wide, as text."""
    stream = io.StringIO()
    print_on(Console(file=stream, markup=False, highlight=False, emoji=False, width=width))
    return stream.getvalue().strip("\n")


def say(console: Console, text: str, *, indent: str = "") -> None:
    """Print `text`, if there is any, on lines that break between words where the width is known, and on one line
    elsewhere. An interval is not broken, and a single word that is too wide stays whole."""
    if not text:
        return
    if not console.soft_wrap:
        kept = re.sub(r"\[[^\]]*\]", lambda interval: interval[0].replace(" ", "\xa0"), text)
        text = paragraph(kept, console.width, indent=indent).replace("\xa0", " ")
    console.print(text, soft_wrap=True)


def clock(seconds: float) -> str:
    """ "1:05" or "2:00:07" for a duration."""
    minutes, second = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def quietly(method: Callable) -> Callable:
    """A terminal that went away must not end a search."""

    @wraps(method)
    def guarded(*arguments: Any) -> None:
        try:
            method(*arguments)
        except (OSError, ValueError):
            return

    return guarded


def print_next(console: Console, commands: Sequence[Sequence[str]]) -> None:
    """What might be done now, as commands that can be copied."""
    console.print("\nTry next:")
    for command in commands:
        console.print(f"  {shlex.join(['trimtab', *command])}", soft_wrap=True)
