"""Diagnosis: what a log was understood as, its curves drawn in letters, and what was found. Knows a diagnosis by its
parts alone."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy
from rich.console import Console

from trimtab.findings.finding import Findings
from trimtab.findings.logs.columns import Columns
from trimtab.findings.replays import Replay, Stop
from trimtab.findings.training_record import Curve, TrainingRecord
from trimtab.terminal.console import printed, say
from trimtab.terminal.findings import MOST_SHOWN, print_findings
from trimtab.text.chart import Chart, Line, Mark
from trimtab.text.layout import number, table_in_text
from trimtab.text.lettering import text_of
from trimtab.text.wording import counted, listed

# Of a `Diagnosed`, and the exit status of the command line: nothing was found, something was, nothing could be judged.
HEALTHY, FOUND, NOT_JUDGED = 0, 1, 3
WIDEST_CHART, MOST_DRAWN = 100, 1000
_MOST_LISTED = 12
# Curves over more than this factor are drawn by their logarithm (a guess).
_LOG_FROM = 50.0


class Diagnosed(Protocol):
    """What is asked of a `Diagnosis`."""

    @property
    def name(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def epochs(self) -> int: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def record(self) -> TrainingRecord: ...
    @property
    def findings(self) -> Findings: ...
    @property
    def stop(self) -> Stop | None: ...
    @property
    def stopping(self) -> tuple[Replay, ...]: ...
    @property
    def status(self) -> int: ...
    @property
    def checked(self) -> tuple[str, ...]: ...


def diagnosis_in_text(diagnosis: Diagnosed, width: int = 80, *, everything: bool = False) -> str:
    """What `print_diagnosis` prints, as text."""
    return printed(width, lambda console: print_diagnosis(console, diagnosis, everything=everything))


def print_diagnosis(console: Console, diagnosis: Diagnosed, *, everything: bool = False) -> None:
    """What was understood, the curves, where to stop, the findings, and what could not be checked.

    Of many findings the gravest, and no stopping rules, unless `everything` is asked for.
    """
    _print_columns(console, diagnosis)
    _print_chart(console, diagnosis)
    _print_stop(console, diagnosis)
    if everything:
        _print_rules(console, diagnosis)
    console.print()
    if diagnosis.status == NOT_JUDGED:
        few = len(diagnosis.record.epochs)
        why = f": {counted(few, 'evaluation tells', 'evaluations tell')} no trend" if few else ""
        say(console, f"Nothing could be judged{why}.")
    else:
        most = None if everything else MOST_SHOWN
        print_findings(console, diagnosis.findings, what="this training", most=most, has_evidence=True)
    _print_checks(console, diagnosis)


# -- what was understood


def _print_columns(console: Console, diagnosis: Diagnosed) -> None:
    record, columns = diagnosis.record, diagnosis.columns
    curves = (
        ("training", columns.train), ("validation", columns.valid), ("metric", columns.metric),
        ("learning rate", columns.rate),
    )  # fmt: skip
    rows = [(what, column or "none", _direction(columns, column)) for what, column in curves]
    rows.append(("step" if record.counts == "step" else "epoch", _counter(record, columns), ""))
    say(console, f"{diagnosis.name}: {diagnosis.format}, {_length(diagnosis)}.")
    console.print()
    console.print(table_in_text(("curve", "column", "better where"), rows, console.width), soft_wrap=True)
    said = (*diagnosis.notes, *_left_out(columns))
    if said:
        console.print()
    for text in said:
        say(console, text, indent="  ")


def _direction(columns: Columns, column: str | None) -> str:
    if column is None or column == columns.rate:
        return ""
    is_metric = column in (columns.train_metric, columns.validation_metric)
    return "greater" if is_metric and columns.greater_is_better else "smaller"


def _counter(record: TrainingRecord, columns: Columns) -> str:
    found = columns.step if record.counts == "step" else columns.epoch or columns.step
    return found or "none: evaluations are counted"


def _length(diagnosis: Diagnosed) -> str:
    at = diagnosis.record.epochs
    if not len(at):
        return "no curves"
    if diagnosis.record.counts == "step":
        return f"{counted(len(at), 'evaluation')}, steps {at[0]:g} to {at[-1]:g}"
    evaluated = "" if len(at) == diagnosis.epochs else f", {counted(len(at), 'evaluation')}"
    return f"{counted(diagnosis.epochs, 'epoch')} ({at[0]:g} to {at[-1]:g}){evaluated}"


def _left_out(columns: Columns) -> list[str]:
    said = []
    unused = [name for name in columns.unused if name not in columns.unknown]
    if unused:
        said.append(f"Not looked at: {_some(unused)} (--train, --valid and --metric point at columns).")
    if columns.unknown:
        said.append(
            f"Not judged, since nobody knows whether greater is better: {_some(columns.unknown)} (--metric COLUMN "
            "--greater-is-better true, or false)."
        )
    if columns.train is None and columns.valid is None:
        said.append(
            "No loss was found by its name: point at the columns with --train and --valid. There are: "
            f"{_some(columns.names)}."
        )
    return said


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return listed(names if more <= 0 else [*names[:_MOST_LISTED], f"{more} more"])


# -- the chart


def _print_chart(console: Console, diagnosis: Diagnosed) -> None:
    """The curves that are judged, and the epoch at which to stop."""
    record, columns = diagnosis.record, diagnosis.columns
    train, valid, what = record.train_loss, record.validation_loss, "loss"
    if columns.validation_loss is None and record.validation_metric is not None:
        train, valid, what = record.train_metric, record.validation_metric, record.metric
    lines = [
        Line(*_thinned(record.epochs, curve), label)
        for curve, label in ((train, "training"), (valid, "validation"))
        if curve is not None and numpy.isfinite(curve).any()
    ]
    if not lines or len(record.epochs) < 2:
        return
    values = numpy.concatenate([line.y[numpy.isfinite(line.y)] for line in lines])
    is_log = bool(values.min() > 0 and values.max() > _LOG_FROM * values.min())
    marks = _mark(diagnosis, valid)
    chart = Chart([*lines, *marks], record.counts, what, "the curves of the log", log="y" if is_log else "")
    console.print()
    console.print(text_of(chart, min(console.width, WIDEST_CHART)), soft_wrap=True)


def _thinned(at: Curve, curve: Curve) -> tuple[Curve, Curve]:
    """A chart has a hundred places: of very many entries every so-manieth is drawn, and the last."""
    every = -(-len(at) // MOST_DRAWN)
    drawn = numpy.arange(len(at) - 1, -1, -every)[::-1]
    return at[drawn], curve[drawn]


def _mark(diagnosis: Diagnosed, valid: Any) -> list[Mark]:
    stop = diagnosis.stop
    if stop is None or valid is None or not numpy.isfinite(stop.epoch):
        return []
    at = int(numpy.argmin(numpy.abs(diagnosis.record.epochs - stop.epoch)))
    if not numpy.isfinite(valid[at]):
        return []
    return [Mark([stop.epoch], [valid[at]], f"best, {diagnosis.record.counts} {stop.epoch:g}")]


# -- where to stop


def _print_stop(console: Console, diagnosis: Diagnosed) -> None:
    stop, record = diagnosis.stop, diagnosis.record
    if len(record.epochs) < 2:
        return
    console.print()
    if stop is None or not numpy.isfinite(stop.epoch):
        say(console, "Where to stop: nobody can say without a validation loss or metric.", indent="  ")
        return
    unit, what = record.counts, record.metric or "loss"
    said = f"Where to stop: at {unit} {stop.epoch:g}, where the validation {what} is best."
    if stop.saved <= 0:
        say(console, f"{said} That is where training ended.", indent="  ")
        return
    gain = f"What came after it, {counted(round(stop.saved), unit)}, gained nothing. {_gain(stop, what)}"
    say(console, f"{said} {gain}", indent="  ")


def _gain(stop: Stop, what: str) -> str:
    if not numpy.isfinite(stop.gain):
        return "The training was lost after it."
    if stop.gain <= 0:
        return "Its weights were kept: nothing was lost."
    share = f" ({100 * stop.share:.0f} % of the error)" if numpy.isfinite(stop.share) else ""
    return f"The last weights are worse by {number(stop.gain)} in {what}{share}."


def _print_rules(console: Console, diagnosis: Diagnosed) -> None:
    """What every stopping rule comes to on these curves."""
    rows = [(each.rule, f"{each.epochs:g}", f"{each.kept:g}", number(each.score)) for each in diagnosis.stopping]
    if rows:
        headings = ("stopping rule", "ends at", "keeps", diagnosis.record.metric or "loss")
        console.print()
        console.print(table_in_text(headings, rows, console.width, right=(1, 2, 3)), soft_wrap=True)


# -- what was checked, and what could not be


def _print_checks(console: Console, diagnosis: Diagnosed) -> None:
    """The checks that ran, and those that could not, by the reason why."""
    if diagnosis.checked:
        console.print()
        say(console, f"Checked: {listed(diagnosis.checked)}.", indent="  ")
    reasons: dict[str, list[str]] = {}
    for each in diagnosis.findings.not_checked:
        reasons.setdefault(each.why, []).append(each.id)
    if reasons:
        console.print()
        say(console, "Not checked:")
    for why, ids in reasons.items():
        is_all = len(reasons) == 1 and not diagnosis.checked
        say(console, f"  - {why}: {'all checks' if is_all else listed(ids)}", indent="    ")
