"""Diagnosis: what a log was understood as, its curves drawn in letters, and what was found. Knows a diagnosis by its
parts alone."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy

from trimtab.findings.finding import Finding, Findings, NotChecked
from trimtab.findings.logs.columns import Columns
from trimtab.findings.replays import Replay, Stop
from trimtab.findings.training_record import TrainingRecord
from trimtab.text.chart import Chart, Line, Mark
from trimtab.text.layout import number, paragraph, table_in_text
from trimtab.text.lettering import text_of
from trimtab.text.wording import counted, listed, sentence

MOST_FINDINGS = 5
_WIDEST_CHART = 100
_MOST_UNUSED = 12
# A curve over more than this is drawn by its logarithm (a guess).
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


def diagnosis_in_text(diagnosis: Diagnosed, width: int = 80, *, everything: bool = False) -> str:
    """Blocks of text: what was understood, the chart, where to stop, the findings, what was checked and what not."""
    blocks = [
        _understood(diagnosis, width),
        _chart(diagnosis, width),
        _stop_in_words(diagnosis, width),
        _rules(diagnosis.stopping, width) if everything else "",
        _findings(diagnosis, width, everything=everything),
        _not_checked(diagnosis.findings.not_checked, width),
    ]
    return "\n\n".join(block for block in blocks if block)


def _understood(diagnosis: Diagnosed, width: int) -> str:
    record, columns = diagnosis.record, diagnosis.columns
    rows = [
        ("training", columns.train, _direction(diagnosis, columns.train)),
        ("validation", columns.valid, _direction(diagnosis, columns.valid)),
        ("metric", columns.metric, _direction(diagnosis, columns.metric)),
        ("learning rate", columns.rate, ""),
        ("step" if record.counts == "step" else "epoch", _counter(diagnosis), ""),
    ]
    table = table_in_text(
        ("curve", "column", "better where"), [(what, column or "none", way) for what, column, way in rows], width - 2
    )
    lines = [paragraph(f"{diagnosis.name}: {diagnosis.format}, {_length(diagnosis)}.", width)]
    lines += [f"  {line}" for line in table.splitlines()]
    lines += [_say(text, width) for text in (*diagnosis.notes, *_left_out(columns))]
    return "\n".join(lines)


def _direction(diagnosis: Diagnosed, column: str | None) -> str:
    columns = diagnosis.columns
    if column is None:
        return ""
    is_metric = column in (columns.train_metric, columns.validation_metric)
    return "greater" if is_metric and columns.greater_is_better else "smaller"


def _counter(diagnosis: Diagnosed) -> str:
    columns = diagnosis.columns
    found = columns.step if diagnosis.record.counts == "step" else columns.epoch or columns.step
    return found or "(evaluations, counted)"


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
        more = len(unused) - _MOST_UNUSED
        names = unused if more <= 0 else [*unused[:_MOST_UNUSED], f"{more} more"]
        said.append(f"Not looked at: {listed(names)} (--train, --valid or --metric point at them).")
    if columns.unknown:
        names = listed(columns.unknown[:_MOST_UNUSED])
        said.append(
            f"Not judged, since nobody knows whether greater is better: {names} (--metric COLUMN "
            "--greater-is-better true, or false)."
        )
    if columns.train is None and columns.valid is None:
        said.append("No loss was found by its name: point at the columns with --train and --valid.")
    return said


# -- the chart


def _chart(diagnosis: Diagnosed, width: int) -> str:
    """The curves that are judged, and the epoch at which to stop."""
    record = diagnosis.record
    train, valid, what = record.train_loss, record.validation_loss, "loss"
    if (valid is None and record.validation_metric is not None) or (train is None and valid is None):
        train, valid, what = record.train_metric, record.validation_metric, record.metric
    lines = [
        Line(record.epochs, curve, label)
        for curve, label in ((train, "training"), (valid, "validation"))
        if curve is not None and numpy.isfinite(curve).any()
    ]
    if not lines or len(record.epochs) < 2:
        return ""
    values = numpy.concatenate([line.y for line in lines])
    values = values[numpy.isfinite(values)]
    is_log = values.min() > 0 and values.max() > _LOG_FROM * values.min()
    marks = _mark(diagnosis, valid)
    chart = Chart([*lines, *marks], record.counts, what, "the curves of the log", log="y" if is_log else "")
    return text_of(chart, min(width, _WIDEST_CHART)).plain


def _mark(diagnosis: Diagnosed, valid: Any) -> list[Mark]:
    stop = diagnosis.stop
    if stop is None or valid is None or not numpy.isfinite(stop.epoch):
        return []
    at = int(numpy.argmin(numpy.abs(diagnosis.record.epochs - stop.epoch)))
    if not numpy.isfinite(valid[at]):
        return []
    return [Mark([stop.epoch], [valid[at]], f"best, {diagnosis.record.counts} {stop.epoch:g}")]


# -- where to stop


def _stop_in_words(diagnosis: Diagnosed, width: int) -> str:
    stop, record = diagnosis.stop, diagnosis.record
    if stop is None or not numpy.isfinite(stop.epoch):
        return _say("Where to stop: nobody can say without a validation loss or metric.", width)
    unit, what = record.counts, record.metric or "loss"
    said = f"Where to stop: at {unit} {stop.epoch:g}, where the validation {what} is best."
    if stop.saved <= 0:
        return _say(f"{said} That is where training ended.", width)
    gain = _gain(stop, what)
    return _say(f"{said} {gain} What came after it, {counted(round(stop.saved), unit)}, gained nothing.", width)


def _gain(stop: Stop, what: str) -> str:
    if not numpy.isfinite(stop.gain):
        return "The training was lost after it."
    if stop.gain <= 0:
        return "Its weights were kept: nothing was lost."
    share = f" ({100 * stop.share:.2g} % of the error)" if numpy.isfinite(stop.share) else ""
    return f"The last weights are {number(stop.gain)} worse in {what}{share}."


def _rules(stopping: Iterable[Replay], width: int) -> str:
    """Every stopping rule on these curves."""
    rows = [(each.rule, f"{each.epochs:g}", f"{each.kept:g}", number(each.score)) for each in stopping]
    if not rows:
        return ""
    table = table_in_text(("stopping rule", "ends at", "keeps", "score"), rows, width - 2, right=(1, 2, 3))
    return "\n".join(["What stopping rules come to on this curve:", *(f"  {line}" for line in table.splitlines())])


# -- findings


def _findings(diagnosis: Diagnosed, width: int, *, everything: bool) -> str:
    found = diagnosis.findings.found
    if not found:
        if diagnosis.status:
            return _say("Nothing could be judged.", width)
        return "\n".join([_say("Nothing wrong was found.", width), *_listed(diagnosis.findings.healthy, width)])
    shown = found if everything else found[:MOST_FINDINGS]
    parts = [f"{counted(len(found), 'finding')}, gravest first:"]
    parts += ["\n".join(_finding(each, width)) for each in shown]
    if len(found) > len(shown):
        parts.append(f"{counted(len(found) - len(shown), 'more finding')}: --all shows them.")
    if diagnosis.findings.healthy:
        parts.append("\n".join(["Healthy:", *_listed(diagnosis.findings.healthy, width)]))
    return "\n\n".join(parts)


def _finding(finding: Finding, width: int) -> list[str]:
    effect = sentence(finding.effect.text) + (" (measured)" if finding.effect.is_measured else " (estimated)")
    lines = [paragraph(f"{finding.id} ({finding.severity}): {finding.statement}", width)]
    lines += _under("evidence", _evidence(finding.evidence), width)
    lines += _under("effect", effect, width)
    return lines + _under("remedy", _remedy(finding), width)


def _evidence(evidence: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in evidence.items())


def _remedy(finding: Finding) -> str:
    remedy = finding.remedy
    how = listed([each for each in (remedy.flag, remedy.code) if each], "or")
    return sentence(remedy.text) + (f" ({how})" if how else "")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | numpy.ndarray):
        return listed(map(_value, value))
    if isinstance(value, Mapping):
        return _evidence(value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no"}.get(value, "unknown")
    return f"{value:g}" if float(value).is_integer() and abs(value) < 1e6 else number(float(value))


def _under(what: str, text: str, width: int) -> list[str]:
    return [paragraph(f"  {what}: {text}", width, indent="    ")] if text else []


def _listed(texts: Iterable[str], width: int) -> list[str]:
    return [paragraph(f"  - {text}", width, indent="    ") for text in texts]


def _not_checked(checks: Iterable[NotChecked], width: int) -> str:
    reasons: dict[str, list[str]] = {}
    for each in checks:
        reasons.setdefault(each.why, []).append(each.id)
    lines = [paragraph(f"  - {listed(ids)}: {why}", width, indent="    ") for why, ids in reasons.items()]
    return "\n".join(["Not checked:", *lines]) if lines else ""


def _say(text: str, width: int) -> str:
    return paragraph(text, width)
