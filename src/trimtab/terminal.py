"""What a person reads in a terminal: the live panel, plain progress lines, the schema and the summary.

Listens to a search and prints; it decides nothing, starts nothing and never raises into what it listens to.
"""

import math
import os
import re
import time
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trimtab.layout import number, paragraph, table_in_text

if TYPE_CHECKING:
    from trimtab.results import Study
    from trimtab.table.schema import Schema
    from trimtab.tuning.study import Progress

SECONDS_BETWEEN_LINES = 5.0
COLUMNS_SHOWN = 40
# Wide enough for a table where no terminal says how wide it is.
PLAIN_WIDTH = 120
MODELS = {"mean": "mean", "linear": "linear model", "default_mlp": "default MLP"}
COLUMNS = MODELS | {"linear": "linear"}


def console_on(stream: TextIO) -> Console:
    """A console that prints texts as they are: no markup, no colouring of what looks like code."""
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def clock(seconds: float) -> str:
    """ "1:05" or "2:00:07" for a duration."""
    minutes, second = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def _quietly(method: Callable) -> Callable:
    """A terminal that went away must not end a search."""

    @wraps(method)
    def guarded(*arguments: Any) -> None:
        try:
            method(*arguments)
        except (OSError, ValueError):
            return

    return guarded


class Silent:
    """Listens and prints nothing, but remembers where the study is."""

    out: Path | None = None

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def started(self, out: Path) -> None:
        self.out = out

    def notice(self, text: str) -> None:
        """Told what a user ought to know."""

    def interrupted(self, text: str) -> None:
        """Say something from within a signal handler: no lock and no buffer may be touched."""
        os.write(2, f"\n{text}\n".encode())

    def close(self) -> None:
        """Give the terminal back."""


class Notices(Silent):
    """Prints what a user ought to know, and nothing of the progress."""

    def __init__(self, stream: TextIO) -> None:
        self.console = console_on(stream)

    @_quietly
    def notice(self, text: str) -> None:
        self.console.print(f"Note: {text}", soft_wrap=True)

    @_quietly
    def started(self, out: Path) -> None:
        self.out = out
        self.console.print(f"Study folder: {out}", soft_wrap=True)


class PlainLines(Notices):
    """Progress as lines of text, one every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown = -math.inf

    @_quietly
    def schema(self, schema: "Schema") -> None:
        print_schema(self.console, schema)

    @_quietly
    def baseline(self, name: str, metric: str, score: float) -> None:
        self.console.print(f"Baseline {MODELS.get(name, name)}: validation {metric} {number(score)}", soft_wrap=True)

    @_quietly
    def progress(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            self.console.print("; ".join(progress_in_words(progress)), soft_wrap=True)


class LivePanel(PlainLines):
    """The panel that redraws itself four times a second while the search runs."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._latest: Progress | None = None
        self._said = "Ctrl-C finishes with the best so far"
        self._live: Live | None = None

    def progress(self, progress: "Progress") -> None:
        self._latest = progress
        if self._live is None:
            self._open()

    def interrupted(self, text: str) -> None:
        self._said = text
        if self._live is None:
            super().interrupted(text)

    @_quietly
    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    @_quietly
    def _open(self) -> None:
        self._live = Live(
            get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True,
            redirect_stdout=False,
        )  # fmt: skip
        self._live.start()

    def _render(self) -> RenderableType:
        if self._latest is None:
            return Text("")
        state, best = progress_in_words(self._latest)[:-1], progress_in_words(self._latest)[-1]
        lines = Group(Text("   ".join(state)), Text(best, style="bold"), Text(self._said, style="dim"))
        return Panel(lines, title="trimtab", title_align="left")


def progress_in_words(progress: "Progress") -> list[str]:
    """Time, counts and speed, then the best config so far."""
    best = "no trial finished yet"
    if progress.best_trial is not None:
        from trimtab.tuning.words import trial_in_words

        best = f"best {number(progress.best_score)}: {trial_in_words(progress.best_trial)}"
    left = f", {clock(progress.seconds_left)} left" if math.isfinite(progress.seconds_left) else ""
    return [
        progress.phase + left,
        f"{progress.trials_done:,} trials",
        f"{progress.lanes_alive:,} lanes",
        f"{progress.steps_per_second:,.0f} steps/s",
        best,
    ]


def print_schema(console: Console, schema: "Schema") -> None:
    """Each column's role and the reason for it, and which task was chosen why."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("column", "role", "type", "missing", "distinct", "why"):
        table.add_column(heading, justify="right" if heading in ("missing", "distinct") else "left")
    for column in schema.columns[:COLUMNS_SHOWN]:
        table.add_row(
            Text(column.name), column.role, column.dtype, f"{column.missing:,}", f"{column.distinct:,}",
            Text(column.reason),
        )  # fmt: skip
    console.print(table)
    if len(schema.columns) > COLUMNS_SHOWN:
        console.print(f"... and {len(schema.columns) - COLUMNS_SHOWN:,} more columns")
    console.print(f"Task: {schema.task} of {', '.join(schema.targets)} ({schema.task_reason})", soft_wrap=True)


def print_summary(console: Console, study: "Study") -> None:
    """The best config in words, its figures beside each baseline's, and where everything is."""
    from trimtab.tuning.verdicts import effort_in_words, ensemble_in_words, verdicts

    result = study.summary()
    say = partial(_say, console)
    console.print()
    say(f"Best config: {study.words}.")
    say(ensemble_in_words(result))
    _print_figures(console, result)
    for text in verdicts(result):
        say(text, indent="  ")
    console.print()
    out = Path(result["out"])
    say(f"Model:  {out / 'model'}")
    for name, file in (("Curves", out / "curves.parquet"), ("Rows", out / "predictions.parquet")):
        if file.exists():
            say(f"{name + ':':8}{file}")
    say(f"Study:  {out}  ({effort_in_words(result)})")


def _print_figures(console: Console, result: dict[str, Any]) -> None:
    """The model's figures with their intervals, and those of the baselines on the same rows."""
    from trimtab.tuning.verdicts import rows_in_words

    scores = result["test"] or result.get("nested") or result["validation"]
    intervals = result.get("intervals") or {result["metric"]: result["interval"]}
    names = result["baselines"]
    headings = ["metric", "trimtab", "95 % interval", *(COLUMNS.get(name, name) for name in names)]
    rows = []
    for metric, score in scores.items():
        ends = intervals.get(metric)
        interval = f"[{number(ends[0])}, {number(ends[1])}]" if ends else ""
        rows.append([metric, number(score), interval, *(number(names[name].get(metric)) for name in names)])
    right = {1, *range(3, len(headings))}
    console.print()
    _say(console, rows_in_words(result))
    console.print(table_in_text(headings, rows, console.width, right=right), soft_wrap=True)
    console.print()


def _say(console: Console, text: str, *, indent: str = "") -> None:
    """A paragraph; an interval is not broken, a single word that is too wide stays whole."""
    kept = re.sub(r"\[[^\]]*\]", lambda interval: interval[0].replace(" ", "\xa0"), text)
    if text:
        console.print(paragraph(kept, console.width, indent=indent).replace("\xa0", " "), soft_wrap=True)
