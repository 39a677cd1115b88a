"""What a person reads in a terminal: notes, plain progress lines, the schema and the summary.

Listens to a search and prints; it decides nothing, starts nothing and never raises into what it listens to.
"""

import io
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from trimtab.text.layout import number, paragraph, table_in_text
from trimtab.text.wording import counted, listed

if TYPE_CHECKING:
    from trimtab.studies.results import Study
    from trimtab.table.prepare import Prepared
    from trimtab.table.schema import Schema
    from trimtab.tuning.study import Progress

SECONDS_BETWEEN_LINES = 5.0
COLUMNS_SHOWN, CLASSES_SHOWN = 40, 30
# A budget beyond this is none.
LONGEST_SHOWN = 30 * 86_400.0
# Wide enough for a table where no terminal says how wide it is.
PLAIN_WIDTH = 120
PARTS = {"validation": "valid", "test": "test"}
MODELS = {"mean": "mean", "linear": "linear model", "default_mlp": "default MLP"}
COLUMNS = MODELS | {"linear": "linear"}


def console_on(stream: TextIO) -> Console:
    """A console that prints texts as they are: no markup, no colouring of what looks like code.

    It is as wide as the terminal, or as COLUMNS in the environment says. Where neither says so, texts stay on one line.
    """
    columns = os.environ.get("COLUMNS", "")
    is_told = stream.isatty() or (columns.isdecimal() and int(columns) > 0)
    width = None if is_told else PLAIN_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width, soft_wrap=not is_told)


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

    def release(self) -> None:
        """Give the keyboard back; from whatever thread, since the process may end at once."""

    def close(self) -> None:
        """Give the terminal back."""


class Notices(Silent):
    """Prints what a user ought to know, and nothing of the progress."""

    def __init__(self, stream: TextIO) -> None:
        self.console = console_on(stream)

    @quietly
    def notice(self, text: str) -> None:
        say(self.console, f"Note: {text}", indent="  ")

    @quietly
    def started(self, out: Path) -> None:
        self.out = out
        self.console.print(f"Study folder: {out}", soft_wrap=True)


class PlainLines(Notices):
    """Progress as lines of text, one every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown = -math.inf

    @quietly
    def schema(self, schema: "Schema") -> None:
        print_schema(self.console, schema)

    @quietly
    def baseline(self, name: str, metric: str, score: float) -> None:
        if not math.isfinite(score):
            return  # it was interrupted
        self.console.print(f"Baseline {MODELS.get(name, name)}: validation {metric} {number(score)}", soft_wrap=True)

    @quietly
    def progress(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            say(self.console, "; ".join(progress_in_words(progress)), indent="  ")


def progress_in_words(progress: "Progress") -> list[str]:
    """Time, counts and speed, then the best config so far."""
    best = "no trial finished yet"
    if progress.best_trial is not None:
        from trimtab.tuning.words import trial_in_words

        best = f"best {progress.metric} {number(progress.best_score)}: {trial_in_words(progress.best_trial)}"
    left = f", {clock(progress.seconds_left)} left" if progress.seconds_left < LONGEST_SHOWN else ""
    return [
        f"{progress.phase}{left}",
        counted(progress.trials_done, "trial"),
        counted(progress.lanes_alive, "lane"),
        f"{progress.steps_per_second:,.0f} steps/s",
        best,
    ]


def print_schema(console: Console, schema: "Schema", *, most: int | None = COLUMNS_SHOWN) -> None:
    """Each column's role and the reason for it, the target first, and which task was chosen why.

    Of more than `most` columns the first are shown; None shows all.
    """
    columns = sorted(schema.columns, key=lambda column: column.role != "target")
    rows = [
        (column.name, column.role, column.dtype, f"{column.missing:,}", f"{column.distinct:,}", column.reason)
        for column in columns[:most]
    ]
    headings = ("column", "role", "type", "missing", "distinct", "why")
    console.print(table_in_text(headings, rows, console.width, right=(3, 4)), soft_wrap=True)
    if most is not None and len(columns) > most:
        more = counted(len(columns) - most, "more column")
        say(console, f"... and {more}: trimtab fit DATA --target COL --dry-run shows all")
    say(console, f"Task: {schema.task} of {listed(schema.targets)} ({schema.task_reason})", indent="  ")


def print_columns(console: Console, prepared: "Prepared") -> None:
    """All that a dry run shows, through a pager where it is longer than the screen and somebody sits there."""
    with console.capture() as captured:
        print_schema(console, prepared.schema, most=None)
        print_rows(console, prepared)
    text = captured.get()
    if console.is_terminal and sys.stdin.isatty() and text.count("\n") >= console.height:
        with console.pager():
            console.print(text, soft_wrap=True, end="")
    else:
        console.print(text, soft_wrap=True, end="")


def print_next(console: Console, commands: Sequence[Sequence[str]]) -> None:
    """What might be done now, as commands that can be copied."""
    console.print("\nTry next:")
    for command in commands:
        console.print(f"  {shlex.join(['trimtab', *command])}", soft_wrap=True)


def print_rows(console: Console, prepared: "Prepared") -> None:
    """How many rows are trained on, judged by and tested on, and how many each class has."""
    rows = prepared.counts
    judged = f"in {len(prepared.folds)} folds, each held out in turn to judge by"
    if len(prepared.folds) == 1:
        judged = f"{rows.valid:,} to judge by"
    tested = f"{rows.test:,} to test on" if rows.test else "none to test on"
    say(console, f"Rows: {counted(rows.train, 'row')} to train on, {judged}, {tested}", indent="  ")
    classes = list(prepared.class_counts().items())
    shown = [f"{label} {count:,}" for label, count in classes[:CLASSES_SHOWN]]
    if len(classes) > CLASSES_SHOWN:
        shown.append(counted(len(classes) - CLASSES_SHOWN, "rarer class", "rarer classes"))
    if shown:
        say(console, f"Classes, with their rows: {', '.join(shown)}", indent="  ")


def summary_in_text(study: "Study", width: int = 80) -> str:
    """What `print_summary` prints, as text."""
    if "baselines" not in study.summary():
        return _networks_in_text(study, width)
    stream = io.StringIO()
    print_summary(Console(file=stream, markup=False, highlight=False, emoji=False, width=width), study)
    return stream.getvalue().strip("\n")


def _networks_in_text(study: "Study", width: int) -> str:
    """The same of a study of the caller's own networks, which has no baselines."""
    from trimtab.tuning.verdicts import effort_in_words

    result = study.summary()
    parts = [("validation", result["validation"]), *([("test", result["test"])] if result["test"] else [])]
    headings = ["metric", *(f"{part}, {counted(result['rows'][PARTS[part]], 'row')}" for part, _ in parts)]
    rows = [[name, *(number(scores.get(name)) for _, scores in parts)] for name in result["validation"]]
    blocks = [
        paragraph(f"Best config: {study.words}.", width),
        table_in_text(headings, rows, width, right=range(1, len(headings))),
        f"Study:  {result['out']}  ({effort_in_words(result)})",
    ]
    return "\n\n".join(blocks)


def print_summary(console: Console, study: "Study") -> None:
    """The best config in words, its figures beside each baseline's, and where everything is."""
    from trimtab.tuning.verdicts import effort_in_words, ensemble_in_words, verdicts

    result = study.summary()
    console.print()
    say(console, f"Best config: {study.words}.")
    say(console, ensemble_in_words(result))
    _print_figures(console, result)
    for text in verdicts(result):
        say(console, text, indent="  ")
    console.print()
    out = Path(result["out"])
    say(console, f"Model:  {out / 'model'}")
    for name, file in (("Curves", out / "curves.parquet"), ("Rows", out / "predictions.parquet")):
        if file.exists():
            say(console, f"{name + ':':8}{file}")
    say(console, f"Study:  {out}  ({effort_in_words(result)})")


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
    say(console, rows_in_words(result))
    console.print(table_in_text(headings, rows, console.width, right=right), soft_wrap=True)
    console.print()
