"""The report of one training, whoever made it: its curves, where to stop, what is wrong. Trains nothing."""

from collections.abc import Sequence

import numpy

import trimtab
from trimtab.findings.finding import Findings
from trimtab.findings.replays import Replay, Stop
from trimtab.findings.training_record import TrainingRecord
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing
from trimtab.report.duration_chart import Curves, duration_chart, losses_chart_of
from trimtab.report.evidence_charts import layers_charts
from trimtab.report.page.page import Answer, Code, Kind, Page, Section
from trimtab.report.scales import covering, covering_wide
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence

# What the signals of a training are called, in the order in which they are drawn.
SIGNALS = {
    "gradient_norm": ("How long are its gradients?", "length of the gradient"),
    "update_ratio": ("How far does a step move the weights?", "length of a step, relative to the weights"),
    "dead_units": ("Do units fall silent?", "share of units that never answer"),
    "saturated_units": ("Are units saturated?", "share of saturated units"),
}


def record_page(
    record: TrainingRecord,
    findings: Findings,
    *,
    kind: Kind,
    title: str,
    sentences: Sequence[str],
    figure: str = "",
    figure_of: str = "",
    stop: Stop | None = None,
    stopping: Sequence[Replay] = (),
    facts: Sequence[tuple[str, str]] = (),
    code: Sequence[Code] = (),
    notices: Sequence[str] = (),
) -> Page:
    """The page of one training."""
    return Page(
        Answer(kind, title, list(sentences), figure=figure, figure_of=figure_of),
        [
            Section("duration", "How long was right", stop_in_words(stop, record), _durations(record, stopping)),
            Section("findings", "What is wrong, and what to change", charts=layers_charts(findings), findings=findings),
            Section("signals", "What went on inside", charts=_signals(record)),
            Section("made", "How it was made", facts=list(facts), code=list(code)),
        ],
        trimtab.__version__,
        notices,
    )


def stop_in_words(stop: Stop | None, record: TrainingRecord) -> list[str]:
    """Where training should have stopped, and what that would have gained."""
    if stop is None or not numpy.isfinite(stop.epoch):
        if record.validation_loss is not None or record.validation_metric is not None:
            return ["Where to stop nobody can say: no validation loss or metric is a number."]
        return ["Where to stop nobody can say without a validation loss or metric."]
    unit, what = record.counts, record.metric or "loss"
    text = f"The validation {what} is best at {unit} {stop.epoch:g}"
    if stop.saved <= 0:
        return [sentence(f"{text}, where training ended")]
    text += f"; what came after it, {counted(round(stop.saved), unit)}, gained nothing"
    if numpy.isfinite(stop.gain) and stop.gain > 0:
        text += f", and the last weights are worse by {number(stop.gain)}"
    return [sentence(text)]


def curves_of_record(record: TrainingRecord, *, of_losses: bool = False) -> Curves | None:
    """The curves by which a training is judged; or its losses. None where it has none."""
    is_scored = record.validation_metric is not None and record.greater_is_better is not None and not of_losses
    train = record.train_metric if is_scored else record.train_loss
    valid = record.validation_metric if is_scored else record.validation_loss
    empty = numpy.full(len(record.epochs), numpy.nan)
    train, valid = (
        empty if each is None else numpy.where(numpy.isfinite(each), each, numpy.nan) for each in (train, valid)
    )
    if not numpy.isfinite(valid).any():
        return None
    unit = (record.metric or "score") if is_scored else "loss"
    return Curves(
        record.epochs, train, valid, train[None], valid[None], unit, is_scored and bool(record.greater_is_better)
    )


def _durations(record: TrainingRecord, stopping: Sequence[Replay]) -> list[Chart]:
    charts = []
    curves = curves_of_record(record)
    if curves is not None and len(curves.epochs) > 1:
        charts.append(duration_chart(curves, counts=record.counts))
    losses = curves_of_record(record, of_losses=True)
    if losses is not None and curves is not None and curves.unit != "loss" and numpy.isfinite(losses.train).any():
        charts.append(losses_chart_of(losses))
    if stopping:
        charts.append(_rules(record, stopping))
    return charts


def _rules(record: TrainingRecord, stopping: Sequence[Replay]) -> Chart:
    unit = record.metric or "loss"
    rows = [[each.rule, f"{each.epochs:g}", f"{each.kept:g}", number(each.score)] for each in stopping]
    return Chart(
        "rules",
        "What would stopping rules have done?",
        "Each rule, read off the same curves.",
        None,
        Table(["rule", f"ends at {record.counts}", f"keeps {record.counts}", unit], rows, frozenset({1, 2, 3})),
    )


def _signals(record: TrainingRecord) -> list[Chart]:
    charts = []
    rate = record.rate
    if rate is not None and numpy.isfinite(rate).any() and numpy.ptp(rate[numpy.isfinite(rate)]) > 0:
        charts.append(_course(record, "rate", "How did the learning rate move?", "learning rate", rate))
    for name, (question, what) in SIGNALS.items():
        values = record.signals.get(name)
        if (
            values is not None
            and numpy.isfinite(values).sum() > 1
            and (name in ("gradient_norm", "update_ratio") or numpy.nanmax(values) > 0)
        ):
            charts.append(_course(record, name, question, what, values))
    return charts


def _course(record: TrainingRecord, name: str, question: str, what: str, values: numpy.ndarray) -> Chart:
    there = numpy.isfinite(values)
    at, line = record.epochs[there], values[there]
    text = f"From {number(float(line[0]))} to {number(float(line[-1]))}, at most {number(float(line.max()))}"
    text += f" at {record.counts} {at[int(line.argmax())]:g}"
    chosen = numpy.unique(numpy.linspace(0, len(at) - 1, 200).astype(int))
    rows = [[f"{at[i]:g}", number(float(line[i]))] for i in chosen]
    return Chart(
        name.replace("_", "-"),
        question,
        sentence(text),
        lambda width: _line(at[chosen], line[chosen], record.counts, what, width),
        Table([record.counts, what], rows, frozenset({0, 1})),
    )


def _line(at: numpy.ndarray, line: numpy.ndarray, counts: str, what: str, width: float) -> Drawing:
    left, right, top, bottom = 66.0, width - 14, 26.0, 200.0
    drawing = Drawing(width, bottom + 44, f"{what} by {counts}")
    x = covering(at.tolist(), left, right, most=4 if is_narrow(width) else 7, room=0.0, is_count=True)
    y = covering_wide(line.tolist(), bottom, top, most=5)
    drawing.axis_below(x, bottom, counts)
    drawing.axis_left(y, left, what, right=right)
    drawing.curve(((x.place(a), y.place(b)) for a, b in zip(at.tolist(), line.tolist(), strict=True)), "valid")
    return drawing
