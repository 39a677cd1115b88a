"""The walkthrough in a terminal: prose, code, what the code printed, pictures as text; a chapter at a time.

Runs cells through a session and knows nothing of what they compute.
"""

from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from trimtab.text.lettering import text_of
from trimtab.walkthrough.picture import Picture, SideBySide
from trimtab.walkthrough.session import Output, Session
from trimtab.walkthrough.source import Chapter, Code, introduction

INDENT = 2
PLAIN_WIDTH = 80  # where no terminal says how wide it is
LONGEST_LINE = 100  # prose is hard to read in longer ones


def reading_console(stream: TextIO) -> Console:
    """A console as wide as is good to read; 80 letters where no terminal says how wide it is."""
    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    console.width = min(console.width, LONGEST_LINE) if stream.isatty() else PLAIN_WIDTH
    return console


def wait_for_reader() -> None:
    """Until Enter is pressed; when there is nobody any more, go on."""
    try:
        input("Enter goes on to the next chapter, Ctrl-C ends. ")
    except EOFError:
        return


def show_introduction(console: Console) -> None:
    _prose(console, introduction())


def show(chapters: Iterable[Chapter], console: Console, wait: Callable[[], object]) -> None:
    """Tell and run each chapter; `wait` is called between two of them."""
    for i, chapter in enumerate(chapters):
        if i:
            wait()
        session = Session()
        for cell in chapter.cells:
            if isinstance(cell, Code):
                _code(console, cell.text)
                _output(console, session.run(cell.text))
            else:
                _prose(console, cell.text)


def _prose(console: Console, text: str) -> None:
    first, _, rest = text.partition("\n")
    if first.startswith("#"):
        title = first.lstrip("# ")
        console.print(Text("\n" + title, style="bold"), Rule(style="dim"), sep="\n")
        text = rest.strip()
    if text:
        console.print(Markdown(text, code_theme="ansi_dark"))
        console.print()


def _code(console: Console, code: str) -> None:
    shown = Syntax(code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
    console.print(Padding(shown, (0, 0, 1, INDENT)))


def _output(console: Console, output: Output) -> None:
    """What a cell gave, apart from its code by a line in the margin."""
    parts = [Text(output.printed.rstrip("\n"))] if output.printed.strip() else []
    if isinstance(output.value, (Picture, SideBySide)):
        parts.append(text_of(output.value, console.width - INDENT))
    elif output.value is not None:
        parts.append(Text(repr(output.value)))
    for part in parts:
        for line in part.split("\n", allow_blank=True):
            console.print(Text("| ", style="dim").append_text(line), soft_wrap=True)
        console.print()
