"""Progress: what a search tells a person while it runs: notes, and plain lines for logs and pipes.

Listens to a search and prints; it decides nothing, starts nothing and never raises into what it listens to.
"""

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from trimtab.listeners.listener import Listener
from trimtab.terminal.console import clock, console_on, quietly, say
from trimtab.terminal.findings import print_findings
from trimtab.terminal.schema import print_schema
from trimtab.text.layout import number
from trimtab.text.wording import counted

if TYPE_CHECKING:
    from trimtab.findings.finding import Findings
    from trimtab.table.schema import Schema
    from trimtab.tuning.progress import Progress

SECONDS_BETWEEN_LINES = 5.0  # a log of an hour has seven hundred lines (a guess)
# A budget beyond this is none.
LONGEST_SHOWN = 30 * 86_400.0
MODELS = {"mean": "mean", "linear": "linear model", "default_mlp": "default MLP"}


class Silent(Listener):
    """Listens and prints nothing, but remembers where the study is."""

    out: Path | None = None

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def study_started(self, out: Path) -> None:
        self.out = out

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
    def findings(self, findings: "Findings") -> None:
        if findings.found:
            print_findings(self.console, findings, what="the data", more="study.findings has them")

    @quietly
    def study_started(self, out: Path) -> None:
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
