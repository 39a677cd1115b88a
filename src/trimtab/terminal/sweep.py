"""What a person reads of a sweep in a terminal: how far it is, and what its values came to. Trains nothing."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from trimtab.errors import OptionError
from trimtab.listeners.listener import Listener
from trimtab.terminal.console import say
from trimtab.terminal.findings import print_findings
from trimtab.text.layout import table_in_text
from trimtab.text.wording import listed
from trimtab.whole_file import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trimtab.sweeps.result import Sweep

# Back to the first column, and everything in the line gone: a ^C that the terminal showed too.
CLEARED = "\r\x1b[2K"
PICTURES = (".png", ".svg", ".pdf")


class EpochLine(Listener):
    """One line on a terminal that says how far training is; nothing where nobody looks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = stream.isatty()
        self._latest = ""
        self._epochs = 0

    def __enter__(self) -> "EpochLine":
        return self

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._epochs = max(self._epochs, config["epochs"])

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> None:
        text = f"epoch {values['epoch']:g} of {self._epochs}"
        if self._is_shown and text != self._latest:
            self._latest = text
            self._stream.write(f"{CLEARED}{text}")
            self._stream.flush()

    def __exit__(self, *exception: object) -> None:
        if self._latest:
            self._stream.write(CLEARED)
            self._stream.flush()


def print_sweep(console: Console, sweep: "Sweep") -> None:
    """A table with a row per value, and what follows from it."""
    knob = sweep.knobs[0]
    headings = (knob, sweep.metric or "validation loss", "from", "to", "last epoch", "best epoch", "")
    rows = []
    for place, row in enumerate(sweep.table.iter_rows(named=True)):
        note = "best" if place == sweep.place else "cannot be told apart" if row[knob] in sweep.like_best else ""
        note = "no score" if math.isnan(row["best"]) else note
        note = f"diverged ({row['diverged']})" if row["diverged"] else note
        cells = [row["best"], row["best_low"], row["best_high"], row["final"], row["best_epoch"]]
        rows.append([_text(row[knob]), *map(_text, cells), note])
    console.print(table_in_text(headings, rows, console.width, right=range(1, 6)), soft_wrap=True)
    console.print()
    say(console, sweep.words)
    console.print()
    print_findings(console, sweep.findings, what="this sweep", more="sweep.findings has them")


def save_figure(figure: "Figure", path: str) -> None:
    """Write a picture, whole or not at all."""
    target = Path(path)
    if target.suffix.lower() not in PICTURES:
        raise OptionError(f"{path} is not a picture file: its name must end in {listed(PICTURES, 'or')}.")
    try:
        with replacing(target) as part:
            figure.savefig(part, dpi=150, format=target.suffix.lower().removeprefix("."))
    except OSError as error:
        raise OptionError(f"{path} cannot be written ({error.strerror}): choose another file.") from None


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
