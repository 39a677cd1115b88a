"""Diagnose: what is right and wrong with anybody's training, read off its log. Nothing is trained."""

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from trimtab.findings.check import RULES, check
from trimtab.findings.document import to_json
from trimtab.findings.finding import Findings
from trimtab.findings.logs.columns import Columns, Picks, columns_of
from trimtab.findings.logs.epochs import trained
from trimtab.findings.logs.reading import read
from trimtab.findings.replays import Replay, Stop, replayed, stop_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.terminal.diagnosis import FOUND, HEALTHY, NOT_JUDGED, diagnosis_in_text
from trimtab.text.wording import counted, sentence

WIDTH = 80


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What a log was understood as, and what follows from it; `print` shows it.

    Attributes:
        name: the file, or what else was read.
        format: what it was read as: "Lightning's metrics.csv".
        columns: which column is which curve, and the direction of the metric.
        notes: what was assumed, averaged or left out in reading, a sentence each.
        record: the curves, an entry per evaluation.
        findings: what is wrong, gravest first; why the rest is healthy; what could not be checked.
        stop: where training should have stopped, None where no validation rows were judged.
        stopping: what every stopping rule would have come to on these curves.
    """

    name: str
    format: str
    columns: Columns
    notes: tuple[str, ...]
    record: TrainingRecord
    findings: Findings
    stop: Stop | None
    stopping: tuple[Replay, ...]

    @property
    def epochs(self) -> int:
        """How many epochs the training took; how often it was evaluated where its log counts steps."""
        at = self.record.epochs
        if self.record.counts == "step" or not len(at):
            return len(at)
        every = float(at[1:].min() - at[0]) if len(at) > 1 else 1.0
        before = min(at[0], every)  # a log may begin in the middle
        return round(float(at[-1] - at[0] + before)) + int(at[0] == 0)

    @property
    def status(self) -> int:
        """0: nothing was found; 1: something was; 3: there was nothing that could be judged."""
        if self.findings.found:
            return FOUND
        return HEALTHY if self.findings.healthy else NOT_JUDGED

    @property
    def checked(self) -> tuple[str, ...]:
        """The checks that could run, by the ids of what they look for."""
        missing = {check.id for check in self.findings.not_checked}
        return tuple(name for name in RULES if name not in missing)

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers; None where there is no number."""
        told, stop = to_json(self.findings), self.stop
        curves = {"train": "train", "valid": "valid", "metric": "metric", "lr": "rate"}
        return {
            "epochs": self.epochs,
            "columns": {name: getattr(self.columns, curve) for name, curve in curves.items()},
            "findings": told["findings"],
            "not_checked": told["not_checked"],
            "stop": {name: None if stop is None else _number(getattr(stop, name)) for name in ("epoch", "gain")},
        }

    def text(self, *, everything: bool = False, width: int = WIDTH) -> str:
        """What `print` shows, for a width in characters; `everything`: all findings, and every stopping rule."""
        return diagnosis_in_text(self, width, everything=everything)

    def report(self, out: str | PathLike[str]) -> Path:
        """Write it as one HTML page that loads nothing, and return its path; DataError where it cannot be written."""
        from trimtab.report.record_report import record_page

        page = record_page(
            self.record, self.findings, kind="log", title=f"What {_called(self.name)} tells of a training",
            sentences=[sentence(f"{self.format}, {counted(self.epochs, 'epoch')}")], stop=self.stop,
            stopping=self.stopping, notices=self.notes,
        )  # fmt: skip
        return page.write(out)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        ids = ", ".join(finding.id for finding in self.findings.found) or "nothing found"
        return f"Diagnosis({self.name}, {self.epochs} epochs: {ids})"


def _called(name: str) -> str:
    """A log's file by its name; what was handed over in Python has none."""
    return Path(name).name if Path(name).suffix else "the log"


def diagnose(
    log: Any,
    *,
    train: str | None = None,
    valid: str | None = None,
    metric: str | None = None,
    lr: str | None = None,
    epoch: str | None = None,
    greater_is_better: bool | None = None,
    run: str | int | None = None,
) -> Diagnosis:
    """What is wrong with a training, whoever made it, by its log.

        print(tt.diagnose("train.log"))

    Args:
        log: a path (a file of any usual format, as it is or under gzip, or a folder: of an MLflow, W&B, TensorBoard or
            Lightning run, of a study of trimtab), "-" for standard input, a frame of any library, a dict of lists, a
            list of dicts, what Keras' `fit` gives, or what has curves: a run or a recorder of trimtab.
        train: the column of the training loss; found by its name where it is left out, like the others.
        valid: the column of the validation loss.
        metric: the column of the metric by which validation rows are judged, or what it is called ("accuracy").
        lr: the column of the learning rate.
        epoch: the column that counts, epochs or steps.
        greater_is_better: the direction of the metric; needed where its name does not tell.
        run: which training, where a log holds several: its name, or its number from 1 on. The last is meant otherwise;
            of a study the winner.

    Raises:
        DataError: there is no such file, or nothing in it that could be a log.
        OptionError: there is no such column or run, or nobody knows whether greater is better.
    """
    run = None if run is None else str(run)
    picks = Picks(train, valid, metric, lr, epoch, greater_is_better)
    found = read(log, run)
    columns = columns_of(found, picks)
    training = trained(found, columns, run)
    notes = (*found.notes, *columns.notes, *training.notes)
    record = training.record
    return Diagnosis(
        _named(log), found.format, columns, notes, record, check(record), stop_of(record), replayed(record)
    )


def _named(log: Any) -> str:
    if isinstance(log, str | Path):
        return "standard input" if str(log) == "-" else Path(log).name or str(log)
    return type(log).__name__


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
