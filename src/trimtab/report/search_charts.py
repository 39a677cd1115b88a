"""All runs: the score over the search, learning rate by optimizer, what each structure yielded, and curves to brush.

Knows trials and curves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import polars

from trimtab.knobs.domains import Value
from trimtab.report.chart import Chart, Table
from trimtab.report.drawing import Drawing
from trimtab.report.scales import Names, Scale, covering, covering_powers
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord
from trimtab.tuning.words import figure, trial_in_words

# Points of a curve that are drawn at most: more lie closer than a pixel.
POINTS = 60
# Knobs whose yield is drawn, and from how many times its least value on a knob's axis has powers.
MOST_KNOBS, LOG_FROM = 12, 20.0
# Curves that are drawn at most: the best, and of the rest every so many-th, so that the file stays small.
CURVES = 300


@dataclass(frozen=True)
class Search:
    """The trials of a study with what they are compared by."""

    trials: Sequence[TrialRecord]
    metric: str
    greater_is_better: bool
    winner: int

    @property
    def scored(self) -> list[TrialRecord]:
        return [each for each in self.trials if math.isfinite(each.error)]

    def shown(self, record: TrialRecord) -> float:
        return 1 - record.error if self.greater_is_better else record.error


def progress_chart(search: Search) -> Chart | None:
    """The score of each trial in their order, with the best so far."""
    scored = search.scored
    if len(scored) < 2:
        return None
    best = min(scored, key=lambda each: each.error)
    first = next(i for i, each in enumerate(scored) if each.number == best.number) + 1
    cut = sum(each.state == PRUNED for each in scored)
    text = f"The best of {counted(len(scored), 'trial')} was number {first} in order: "
    text += f"{number(search.shown(best))} {search.metric}"
    if cut:
        text += f"; {counted(cut, 'trial')} ended early because others were ahead"
    rows = [
        [
            str(each.number),
            number(search.shown(each)),
            "ended early" if each.state == PRUNED else "to the end",
            trial_in_words(each),
        ]
        for each in sorted(scored, key=lambda each: each.error)[:200]
    ]
    return Chart(
        "trials",
        "What did the search find, and when?",
        sentence(text),
        lambda width: _progress(search, width),
        Table(["trial", search.metric, "trained", "config"], rows, frozenset({0, 1})),
    )


def rates_chart(search: Search) -> Chart | None:
    """Learning rate and optimizer of every trial, coloured by score; None where one optimizer was tried alone."""
    trained = [each for each in search.scored if each.config.optimizer.learning_rate > 0 and not _is_solved(each)]
    names = sorted({each.config.optimizer.name for each in trained})
    if len(trained) < 4 or not names:
        return None
    best = min(trained, key=lambda each: each.error)
    text = f"The best ran {best.config.optimizer.name} at {best.config.optimizer.learning_rate:.2g}"
    yields = {
        name: min((each for each in trained if each.config.optimizer.name == name), key=lambda each: each.error)
        for name in names
    }
    others = [each for name, each in yields.items() if name != best.config.optimizer.name]
    if others:
        second = min(others, key=lambda each: each.error)
        rate = f"{second.config.optimizer.name} at {second.config.optimizer.learning_rate:.2g}"
        text += f"; the best of another optimizer was {rate} with {number(search.shown(second))} {search.metric}"
    rows = [
        [
            name,
            f"{each.config.optimizer.learning_rate:.2g}",
            number(search.shown(each)),
            str(sum(other.config.optimizer.name == name for other in trained)),
        ]
        for name, each in yields.items()
    ]
    return Chart(
        "rates",
        "Which optimizer at which learning rate?",
        sentence(text),
        lambda width: _rates(search, trained, names, width),
        Table(["optimizer", "best learning rate", f"best {search.metric}", "trials"], rows, frozenset({1, 2, 3})),
        "The darker, the better its score ranks among all; hollow: ended early. The search looks where it was good "
        "before, so that an empty place was not worth a visit rather than bad: what a choice is worth stands above.",
    )


def structures_chart(search: Search) -> Chart | None:
    """The best score of each structure (depth and width)."""
    groups: dict[tuple[int, int], list[TrialRecord]] = {}
    for each in search.scored:
        shape = _shape(each)
        if shape is not None:
            groups.setdefault(shape, []).append(each)
    if len(groups) < 2:
        return None
    order = sorted(groups, key=lambda shape: min(each.error for each in groups[shape]))
    best = min(groups[order[0]], key=lambda each: each.error)
    rows = [
        [_named(shape), number(search.shown(min(groups[shape], key=lambda each: each.error))), str(len(groups[shape]))]
        for shape in order
    ]
    text = f"The best had {_named(order[0])}: {number(search.shown(best))} {search.metric}"
    return Chart(
        "structures",
        "What did each structure yield?",
        sentence(text),
        lambda width: _structures(search, {shape: groups[shape] for shape in order}, width),
        Table(["structure", f"best {search.metric}", "trials"], rows, frozenset({1, 2})),
    )


def curves_chart(search: Search, curves: polars.DataFrame) -> Chart | None:
    """Faint validation curves of all trials, the winner's in colour; a script filters them by knob."""
    if curves.is_empty():
        return None
    chosen = _chosen(search)
    lines = _lines(curves, [each.number for each in chosen], "validation_metric")
    if len(lines) < 2:
        return None
    text = f"{counted(len(lines), 'trial')}; the winner's is drawn thick"
    return Chart(
        "all-curves",
        "How did all runs go?",
        sentence(text),
        lambda width: _all_curves(search, lines, width),
        None,
        "Each line is a trial's validation score, the mean over its folds, by epoch. Point at a line for its config.",
    )


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
    text = f"{counted(len(knobs), 'knob')} turned by the search: {listed(knobs)}"
    return Chart(
        "knobs",
        "What did each knob yield?",
        sentence(text),
        lambda width: _knobs(search, knobs, width),
        Table(["trial", search.metric, *knobs], rows, frozenset({0, 1})),
        "Each point is a trial. Drag over a stretch of a knob to see only the runs in it, also among the curves below; "
        "click to see all again.",
    )


def _progress(search: Search, width: float) -> Drawing:
    left, right, top, bottom = 58.0, width - 14, 26.0, 270.0
    scored = search.scored
    shown = [search.shown(each) for each in scored]
    drawing = Drawing(width, bottom + 44, f"{search.metric} of each trial in their order, with the best so far")
    x = covering([1.0, float(len(scored))], left, right, most=5, room=0.01)
    # A trial that ruined all would flatten the others: the axis ends at thrice the spread of the better half.
    middle, best = float(numpy.median(shown)), min(shown) if not search.greater_is_better else max(shown)
    limit = best + 3 * (middle - best)
    kept = [
        value for value in shown if (value <= limit) != search.greater_is_better or value == limit or middle == best
    ]
    y = covering(kept or shown, bottom, top)
    drawing.axis_below(x, bottom, "trial, in the order in which they were asked for")
    drawing.axis_left(y, left, f"{search.metric} on validation rows", right=right)
    steps: list[tuple[float, float]] = []
    so_far = math.inf
    for i, each in enumerate(scored, 1):
        at, height = x.place(i), _clipped(y.place(search.shown(each)), top, bottom)
        is_winner = each.number == search.winner
        kind = "hindsight" if is_winner else "pruned" if each.state == PRUNED else "point"
        drawing.dot(
            at,
            height,
            kind,
            f"trial {each.number}: {number(search.shown(each))}: {trial_in_words(each)}",
            6 if is_winner else 3.5,
        )
        if each.state == COMPLETE and each.error < so_far:
            if steps:
                steps.append((at, steps[-1][1]))
            so_far = each.error
            steps.append((at, height))
    if steps:
        drawing.curve([*steps, (right, steps[-1][1])], "best")
        drawing.text(
            right,
            steps[-1][1] - 8 if steps[-1][1] > top + 20 else steps[-1][1] + 16,
            "best so far",
            class_="small",
            anchor="end",
        )
    return drawing


def _rates(search: Search, trained: Sequence[TrialRecord], names: list[str], width: float) -> Drawing:
    narrow = width < 500
    left, right, top = (74.0 if narrow else 90.0), width - 14, 10.0
    row = 40.0
    bottom = top + row * len(names)
    drawing = Drawing(width, bottom + 44, "learning rate and optimizer of each trial; darker ones scored better")
    x = covering_powers([each.config.optimizer.learning_rate for each in trained], left, right, most=4 if narrow else 7)
    y = Names(names, top, bottom)
    drawing.axis_below(x, bottom, "learning rate", top=top)
    for place, name in y.ticks():
        drawing.text(left - 10, y.place(place) + 4, name, class_="label", anchor="end")
        drawing.line(left, y.place(place), right, y.place(place), "grid")
    ranks = {
        each.number: i / max(1, len(trained) - 1) for i, each in enumerate(sorted(trained, key=lambda one: one.error))
    }
    crowd: dict[tuple[int, int], int] = {}
    for each in sorted(trained, key=lambda one: -one.error):
        at, lane = x.place(each.config.optimizer.learning_rate), names.index(each.config.optimizer.name)
        slot = (lane, round(at / 9))
        crowd[slot] = crowd.get(slot, 0) + 1
        off = (crowd[slot] // 2) * 8.0 * (-1 if crowd[slot] % 2 else 1)
        height = y.place(lane) + max(-row / 2 + 5, min(row / 2 - 5, off))
        shade = 5 - min(5, int(ranks[each.number] * 6))
        kind = "hindsight" if each.number == search.winner else "pruned" if each.state == PRUNED else f"cell s{shade}"
        drawing.dot(
            at,
            height,
            kind,
            f"trial {each.number}: {each.config.optimizer.name} at "
            f"{each.config.optimizer.learning_rate:.2g}: {number(search.shown(each))} {search.metric}",
            6,
        )
    return drawing


def _structures(search: Search, groups: dict[tuple[int, int], list[TrialRecord]], width: float) -> Drawing:
    names = [_named(shape) for shape in groups]
    left, top, row = (128.0 if width < 500 else 150.0), 8.0, 26.0
    bottom = top + row * len(names)
    shown = {shape: [search.shown(each) for each in group] for shape, group in groups.items()}
    best = [max(values) if search.greater_is_better else min(values) for values in shown.values()]
    middle = [float(numpy.median(values)) for values in shown.values()]
    scale = covering([*best, *middle], left, width - 70, most=4 if width < 500 else 6, room=0.1)
    drawing = Drawing(width, bottom + 44, f"best and median {search.metric} of each structure")
    drawing.axis_below(scale, bottom, f"{search.metric}: best of its trials, and the middle one", top=top)
    for i, (name, one, half) in enumerate(zip(names, best, middle, strict=True)):
        y = top + row * (i + 0.5)
        drawing.text(left - 10, y + 4, name, class_="label", anchor="end")
        drawing.line(scale.place(one), y, scale.place(half), y, "whisker unsure-line")
        drawing.dot(scale.place(half), y, "open", f"{name}: the middle of its trials scores {number(half)}", 4)
        drawing.dot(scale.place(one), y, "accent-dot", f"{name}: best {number(one)} {search.metric}", 5)
        drawing.text(width - 56, y + 4, counted(len(list(groups.values())[i]), "trial"), class_="small")
    return drawing


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
    x = covering([epoch for epochs, _ in lines.values() for epoch in (epochs[0], epochs[-1])], left, right, room=0.0)
    y = covering(ends.tolist(), bottom, top)
    drawing.axis_below(x, bottom, "epoch")
    drawing.axis_left(y, left, f"{search.metric} on validation rows", right=right)
    words = {each.number: trial_in_words(each) for each in search.trials}
    for trial, (epochs, line) in sorted(lines.items(), key=lambda pair: pair[0] == search.winner):
        points = [(x.place(epoch), y.place(value)) for epoch, value in zip(epochs, line, strict=True)]
        said = f"trial {trial}: {words.get(trial, '')}"
        drawing.curve(points, "valid" if trial == search.winner else "faint", said, str(trial), (top, bottom))
    return drawing


def _knobs(search: Search, knobs: Sequence[str], width: float) -> Drawing:
    per_row = 2 if width < 500 else 4
    size, height, gap = (width - 34) / per_row, 118.0, 40.0
    rows = math.ceil(len(knobs) / per_row)
    chosen = _chosen(search)
    drawing = Drawing(width, rows * (height + gap), f"{search.metric} of each trial by the value of each knob")
    shown = [search.shown(each) for each in chosen]
    edge = numpy.quantile(shown, 0.75 if not search.greater_is_better else 0.25)
    ends = [min(shown), float(edge)] if not search.greater_is_better else [float(edge), max(shown)]
    for i, knob in enumerate(knobs):
        left, top = 34 + size * (i % per_row), 18 + (height + gap) * (i // per_row)
        right, bottom = left + size - 18, top + height - 18
        y = covering(ends, bottom, top, most=3)
        with_it = [each for each in chosen if knob in each.values]
        values = [each.values[knob] for each in with_it]
        x, place = _axis_of(values, left, right)
        drawing.bar(left, top - 2, right, bottom, "plate", "")
        drawing.text(left, top - 6, knob, class_="small strong")
        drawing.axis_below(x, bottom, "")
        if i % per_row == 0:
            drawing.axis_left(y, left, "")
        for each in with_it:
            at, value = _clipped(y.place(search.shown(each)), top, bottom), each.values[knob]
            said = f"trial {each.number}: {knob} {_short(value)}: {number(search.shown(each))} {search.metric}"
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
    is_wide = min(numbers) > 0 and max(numbers) > LOG_FROM * min(numbers)
    scale = (covering_powers if is_wide else covering)(numbers, left, right, most=3)
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


def _chosen(search: Search) -> list[TrialRecord]:
    """The trials whose curves are drawn: all, or the best half of `CURVES` and some of every part of the rest."""
    ordered = sorted(search.scored, key=lambda each: each.error)
    if len(ordered) <= CURVES:
        return ordered
    best, rest = ordered[: CURVES // 2], ordered[CURVES // 2 :]
    return best + rest[:: math.ceil(len(rest) / (CURVES // 2))]


def _shape(record: TrialRecord) -> tuple[int, int] | None:
    network = dict(record.config.network)
    depth, width = network.get("depth"), network.get("width")
    return (
        (int(depth), int(width))
        if isinstance(depth, int) and isinstance(width, int) and not _is_solved(record)
        else None
    )


def _is_solved(record: TrialRecord) -> bool:
    return record.name in ("mean", "linear")


def _named(shape: tuple[int, int]) -> str:
    depth, width = shape
    return "no hidden layer" if depth == 0 else f"{counted(depth, 'layer')} of {width}"


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
