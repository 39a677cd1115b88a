"""All runs: what each knob yielded, and every trial's curve; a script shows those of a stretch of a knob alone.

Knows trials and curves.
"""

import math
from collections.abc import Sequence

import numpy
import polars

from trimtab.knobs.domains import Value
from trimtab.knobs.table import label_of
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, cut, room_for
from trimtab.report.scales import Names, Scale, clipped, covering, covering_wide
from trimtab.report.search_charts import Search
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import figure

# Points of a curve that are drawn at most: more lie closer than a pixel.
POINTS = 60
# Knobs whose yield is drawn.
MOST_KNOBS = 12
# Curves that are drawn at most: the best, and of the rest every so many-th, so that the file stays small.
CURVES = 200


def knobs_chart(search: Search) -> Chart | None:
    """Every trial's score by each knob that was turned; a stretch of one that is marked on the page shows the runs in
    it, here and among the curves. None where nothing was turned."""
    knobs = _turned(search)
    if not knobs:
        return None
    rows = [
        [str(each.number), number(search.shown(each)), *(str(_short(each.values.get(knob))) for knob in knobs)]
        for each in _chosen(search)
    ]
    labels = [label_of(knob) for knob in knobs]
    text = f"{counted(len(knobs), 'knob')} turned by the search: {listed(labels)}"
    return Chart(
        "knobs",
        "What did each knob yield?",
        sentence(text),
        lambda width: _knobs(search, knobs, width),
        Table(["trial", search.metric, *labels], rows, frozenset({0, 1})),
        f"Each point is a trial{_shares(search)}. Drag over a stretch of a knob to see only the runs in it, "
        "also among the curves below; click to see all again.",
    )


def curves_chart(search: Search, curves: polars.DataFrame) -> Chart | None:
    """Faint validation curves of all trials, the winner's in colour; a script filters them by knob."""
    if curves.is_empty():
        return None
    chosen = _chosen(search)
    lines = _lines(curves, [each.number for each in chosen], "validation_metric")
    if len(lines) < 2:
        return None
    thick = "the winner's is drawn thick" if search.winner in lines else "the winner was solved, and has no curve"
    text = f"{counted(len(lines), 'trial')}; {thick}"
    return Chart(
        "all-curves",
        "How did all runs go?",
        sentence(text),
        lambda width: _all_curves(search, lines, width),
        None,
        f"Each line is a trial's validation score, the mean over its folds, by epoch{_shares(search)}. Point at a line "
        "to read which it is.",
    )


def _knobs(search: Search, knobs: Sequence[str], width: float) -> Drawing:
    per_row = 2 if is_narrow(width) else 4
    height, gap = 118.0, 40.0
    rows = math.ceil(len(knobs) / per_row)
    chosen = _chosen(search)
    drawing = Drawing(width, rows * (height + gap), f"{search.metric} of each trial by the value of each knob")
    shown = [search.shown(each) for each in chosen]
    edge = numpy.quantile(shown, 0.75 if not search.greater_is_better else 0.25)
    ends = [min(shown), float(edge)] if not search.greater_is_better else [float(edge), max(shown)]
    margin = room_for(covering(ends, 100.0, 0.0, most=3)) + 2
    size = (width - margin) / per_row
    for i, knob in enumerate(knobs):
        left, top = margin + size * (i % per_row), 18 + (height + gap) * (i // per_row)
        right, bottom = left + size - 18, top + height - 18
        y = covering(ends, bottom, top, most=3)
        with_it = [each for each in chosen if knob in each.values]
        values = [each.values[knob] for each in with_it]
        x, place = _axis_of(values, left, right)
        drawing.bar(left, top - 2, right, bottom, "plate", "")
        label = label_of(knob)
        drawing.text(left, top - 6, cut(label, size - 18), class_="small strong")
        drawing.axis_below(x, bottom, "")
        if i % per_row == 0:
            drawing.axis_left(y, left, "")
        for each in with_it:
            at, value = clipped(y.place(search.shown(each)), top, bottom), each.values[knob]
            said = f"trial {each.number}: {label} {_short(value)}: {number(search.shown(each))} {search.metric}"
            kind = "hindsight" if each.number == search.winner else "point"
            drawing.dot(place[value], at, kind, said, 4 if each.number == search.winner else 2.8, str(each.number))
    return drawing


def _axis_of(values: Sequence[Value], left: float, right: float) -> tuple[Scale, dict[Value, float]]:
    """The axis of a knob's values, and where each of them lies."""
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != len(values):
        names = sorted({str(value) for value in values})
        bands = Names(names, left, right)
        return bands, {value: bands.place(names.index(str(value))) for value in values}
    scale = covering_wide(numbers, left, right, most=3)
    return scale, {value: scale.place(at) for value, at in zip(values, numbers, strict=True)}


def _turned(search: Search) -> list[str]:
    """Knobs with more than one value among the trials, those that most trials turned first."""
    counts: dict[str, set[str]] = {}
    times: dict[str, int] = {}
    for each in _chosen(search):
        for knob, value in each.values.items():
            counts.setdefault(knob, set()).add(str(value))
            times[knob] = times.get(knob, 0) + 1
    turned = [knob for knob, values in counts.items() if len(values) > 1]
    return sorted(turned, key=lambda knob: -times[knob])[:MOST_KNOBS]


def _short(value: object) -> object:
    return figure(value) if isinstance(value, float) else value


def _all_curves(search: Search, lines: dict[int, tuple[list[int], list[float]]], width: float) -> Drawing:
    left, right, top, bottom = 58.0, width - 14, 26.0, 300.0
    drawing = Drawing(width, bottom + 44, f"validation {search.metric} of all trials by epoch")
    # As high as three in four of the trials end; those that are worse leave the picture at its edge.
    values = [value for _, line in lines.values() for value in (line[-1], min(line), max(line))]
    last = [line[-1] for _, line in lines.values()]
    ends = numpy.array(
        [min(values), numpy.quantile(last, 0.75)]
        if not search.greater_is_better
        else [numpy.quantile(last, 0.25), max(values)]
    )
    epochs = [epoch for line, _ in lines.values() for epoch in (line[0], line[-1])]
    x = covering(epochs, left, right, room=0.0, is_count=True)
    y = covering(ends.tolist(), bottom, top)
    drawing.axis_below(x, bottom, "epoch")
    drawing.axis_left(y, left, f"{search.metric} on validation rows", right=right)
    records = {each.number: each for each in search.trials}
    for trial, (epochs, line) in sorted(lines.items(), key=lambda pair: pair[0] == search.winner):
        points = [(x.place(epoch), y.place(value)) for epoch, value in zip(epochs, line, strict=True)]
        said = search.said(records[trial])
        drawing.curve(points, "valid" if trial == search.winner else "faint", said, str(trial), (top, bottom))
    return drawing


def _lines(curves: polars.DataFrame, trials: list[int], column: str) -> dict[int, tuple[list[int], list[float]]]:
    """The mean over the folds of each trial, at `POINTS` epochs at most, as far as all its folds go."""
    there = curves.filter(polars.col("trial").is_in(trials) & polars.col(column).is_finite().fill_null(value=False))
    counts = there.group_by("trial").agg(polars.col("fold").n_unique().alias("folds"))
    means = (
        there.group_by("trial", "epoch")
        .agg(polars.col(column).mean().alias("mean"), polars.len().alias("count"))
        .join(counts, on="trial")
        .filter(polars.col("count") == polars.col("folds"))
        .sort("trial", "epoch")
    )
    lines = {}
    for (trial,), rows in means.group_by("trial", maintain_order=True):
        chosen = numpy.unique(numpy.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int))
        if len(chosen) > 1:
            lines[trial] = (rows["epoch"].gather(chosen).to_list(), rows["mean"].gather(chosen).to_list())
    return lines


def _shares(search: Search) -> str:
    count = len(search.scored)
    return "" if count <= CURVES else f" (of {count:,} the best {CURVES // 2}, and some of every part of the rest)"


def _chosen(search: Search) -> list[TrialRecord]:
    """The trials whose curves are drawn: all, or the best half of `CURVES` and some of every part of the rest."""
    ordered = sorted(search.scored, key=lambda each: each.error)
    if len(ordered) <= CURVES:
        return ordered
    best, rest = ordered[: CURVES // 2], ordered[CURVES // 2 :]
    return best + rest[:: math.ceil(len(rest) / (CURVES // 2))]
