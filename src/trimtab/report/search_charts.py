"""The search: its score trial by trial, learning rate by optimizer, and what each structure yielded. Knows trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy

from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing
from trimtab.report.scales import Names, clipped, covering, covering_powers
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord
from trimtab.tuning.words import trial_in_words

# Trials that are told in words: those of thousands would be half of the file, and of the time that it takes to write.
TOLD = 200


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

    @cached_property
    def words(self) -> dict[int, str]:
        """The configs of the best `TOLD` trials in words, by the trials' numbers."""
        best = sorted(self.scored, key=lambda each: each.error)[:TOLD]
        return {each.number: trial_in_words(each) for each in best}

    def said(self, record: TrialRecord) -> str:
        """What a trial's mark says: its number and score, and its config where it is one of the best."""
        words = self.words.get(record.number)
        return f"trial {record.number}: {number(self.shown(record))}{f': {words}' if words else ''}"

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
            search.words[each.number],
        ]
        for each in sorted(scored, key=lambda each: each.error)[:TOLD]
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
    best_of = "The best" if best.number == search.winner else "The best of those that were trained"
    text = f"{best_of} ran {best.config.optimizer.name} at {best.config.optimizer.learning_rate:.2g}"
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
    best_of = "The best" if best.number == search.winner else "The best of those that were trained"
    text = f"{best_of} had {_named(order[0])}: {number(search.shown(best))} {search.metric}"
    return Chart(
        "structures",
        "What did each structure yield?",
        sentence(text),
        lambda width: _structures(search, {shape: groups[shape] for shape in order}, width),
        Table(["structure", f"best {search.metric}", "trials"], rows, frozenset({1, 2})),
    )


def _progress(search: Search, width: float) -> Drawing:
    left, right, top, bottom = 58.0, width - 14, 26.0, 270.0
    scored = search.scored
    shown = [search.shown(each) for each in scored]
    drawing = Drawing(width, bottom + 44, f"{search.metric} of each trial in their order, with the best so far")
    x = covering([1.0, float(len(scored))], left, right, most=5, room=0.01, is_count=True)
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
        at, height = x.place(i), clipped(y.place(search.shown(each)), top, bottom)
        is_winner = each.number == search.winner
        kind = "hindsight" if is_winner else "pruned" if each.state == PRUNED else "point"
        drawing.dot(
            at,
            height,
            kind,
            search.said(each),
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
            steps[-1][1] - 10 if steps[-1][1] > top + 20 else steps[-1][1] + 16,
            "best so far",
            class_="small",
            anchor="end",
        )
    return drawing


def _rates(search: Search, trained: Sequence[TrialRecord], names: list[str], width: float) -> Drawing:
    narrow = is_narrow(width)
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
    left, top, row = (128.0 if is_narrow(width) else 150.0), 8.0, 26.0
    bottom = top + row * len(names)
    shown = {shape: [search.shown(each) for each in group] for shape, group in groups.items()}
    best = [max(values) if search.greater_is_better else min(values) for values in shown.values()]
    middle = [float(numpy.median(values)) for values in shown.values()]
    scale = covering([*best, *middle], left, width - 70, most=4 if is_narrow(width) else 6, room=0.1)
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
