"""The live panel of a search: in a terminal, and as one line in a notebook; and which of them a caller of Python sees.

Listens to a search and shows it; it decides nothing and never raises into what it listens to.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trimtab.terminal.console import quietly
from trimtab.terminal.progress import Notices, PlainLines, Silent, progress_in_words
from trimtab.text.wording import counted

if TYPE_CHECKING:
    from trimtab.tuning.progress import Progress

ON_INTERRUPT = "Ctrl-C stops here and keeps the best so far."
MOST_WORKERS_SHOWN = 8  # lines: a terminal has 24 (a guess)
SECONDS_BETWEEN_UPDATES = 0.5  # often enough to look alive; drawing it takes some milliseconds (a guess)


class Quiet:
    """A terminal that shows nothing of what is typed, so that no ^C and no empty line tears the panel apart."""

    def __init__(self, stream: TextIO) -> None:
        self._before: list[Any] | None = None
        try:
            import termios
        except ImportError:
            return  # another system, whose terminal is left as it is
        try:
            self._terminal = stream.fileno()
            # To set a terminal from the background would stop the process.
            if os.tcgetpgrp(self._terminal) != os.getpgrp():
                return
            before = termios.tcgetattr(self._terminal)
            silent = list(before)
            silent[3] &= ~termios.ECHO
            termios.tcsetattr(self._terminal, termios.TCSANOW, silent)
            self._before = before
        except (OSError, ValueError, termios.error):
            return  # nobody types here

    def end(self) -> None:
        """Show again what is typed; may be called more than once, and from a signal's thread."""
        if self._before is None:
            return
        import termios

        before, self._before = self._before, None
        try:
            termios.tcsetattr(self._terminal, termios.TCSANOW, before)
        except (OSError, termios.error):
            return


class LivePanel(PlainLines):
    """The panel that redraws itself four times a second while the search runs; `said` is its last line."""

    def __init__(self, stream: TextIO, said: str = ON_INTERRUPT) -> None:
        super().__init__(stream)
        self._latest: Progress | None = None
        self._said = said
        self._live: Live | None = None
        self._quiet: Quiet | None = None

    def progress(self, progress: "Progress") -> None:
        self._latest = progress
        if self._live is None:
            self._open()

    def interrupted(self, text: str) -> None:
        self._said = text
        if self._live is None:
            super().interrupted(text)

    def release(self) -> None:
        if self._quiet is not None:
            self._quiet.end()

    def close(self) -> None:
        self.release()
        self._stop()

    @quietly
    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    @quietly
    def _open(self) -> None:
        self._quiet = Quiet(self.console.file)  # type: ignore[arg-type]
        self._live = Live(
            get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True,
            redirect_stdout=False,
        )  # fmt: skip
        self._live.start()

    def _render(self) -> RenderableType:
        if self._latest is None:
            return Text("")
        when, *counts, best = progress_in_words(self._latest)
        bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
        bar.add_column()
        bar.add_column(ratio=1)
        bar.add_column(justify="right")
        bar.add_row(when, ProgressBar(total=1.0, completed=self._latest.share), f"{self._latest.share:4.0%}")
        lines = [bar, Text("   ".join(counts)), *_of_workers(self._latest.workers), Text(best, style="bold")]
        return Panel(Group(*lines, *([Text(self._said, style="dim")] if self._said else [])),
                     title="trimtab", title_align="left")  # fmt: skip


def _of_workers(workers: Sequence[str]) -> list[Text]:
    """A line for each, and one for those beyond."""
    beyond = len(workers) - MOST_WORKERS_SHOWN
    lines = [Text(each, style="dim") for each in workers[:MOST_WORKERS_SHOWN]]
    return [*lines, *([Text(f"and {counted(beyond, 'more worker')}", style="dim")] if beyond > 0 else [])]


class NotebookLine(Notices):
    """One line below a notebook's cell that says how far the search is."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown = 0.0
        self._place: Any = None

    def progress(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_UPDATES:
            self._shown = now
            self._show(f"{progress.share:.0%}: {'; '.join(progress_in_words(progress))}")

    def close(self) -> None:
        if self._place is not None:
            self._show("")

    def _show(self, text: str) -> None:
        from IPython.display import display

        content = {"text/plain": text}
        if self._place is None:
            self._place = display(content, raw=True, display_id=True)
        else:
            self._place.update(content, raw=True)


def view_in_python() -> Silent:
    """What shows a search to a caller of Python: a line in a notebook, the panel in a terminal, nothing elsewhere."""
    if _is_notebook():
        return NotebookLine(sys.stderr)
    if sys.stderr is not None and sys.stderr.isatty():
        return LivePanel(sys.stderr, said="")
    return Silent()


def _is_notebook() -> bool:
    """Whether this is the kernel of a notebook; IPython is not imported to find out."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")
