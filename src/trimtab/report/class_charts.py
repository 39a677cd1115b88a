"""The errors of a model of classes: which are taken for which, and whether probabilities are what they say.

Knows truths, predictions and probabilities.
"""

from collections.abc import Sequence

import numpy

from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import LETTER, Drawing, cut
from trimtab.report.scales import covering
from trimtab.text.wording import counted, sentence

# Classes that are drawn at most: a larger square could not be read.
CLASSES = 14
# Groups of equally many rows that a probability is judged by.
GROUPS = 10


def confusion_chart(truth: Sequence[str], prediction: Sequence[str], labels: Sequence[str]) -> Chart:
    """Rows by true and predicted class; of many classes the most frequent."""
    counts = dict.fromkeys(labels, 0)
    for label in truth:
        counts[label] = counts.get(label, 0) + 1
    shown = sorted(counts, key=lambda label: -counts[label])[:CLASSES]
    shown = [label for label in counts if label in shown]
    place = {label: i for i, label in enumerate(shown)}
    table = numpy.zeros((len(shown), len(shown)), dtype=int)
    for true, said in zip(truth, prediction, strict=True):
        if true in place and said in place:
            table[place[true], place[said]] += 1
    right = sum(true == said for true, said in zip(truth, prediction, strict=True))
    text = f"{right / max(len(truth), 1):.1%} of {counted(len(truth), 'row')} are predicted right".replace("%", " %", 1)
    wrong = table - numpy.diag(numpy.diag(table))
    if wrong.any():
        i, j = numpy.unravel_index(int(wrong.argmax()), wrong.shape)
        text += (
            f"; what is mistaken most often: {shown[int(i)]} for {shown[int(j)]}, {counted(int(wrong.max()), 'row')}"
        )
    rows = [[shown[i], *(str(count) for count in table[i].tolist())] for i in range(len(shown))]
    note = f"Of {len(counts)} classes the {CLASSES} most frequent." if len(counts) > CLASSES else ""
    return Chart(
        "confusion",
        "Which classes are mistaken for which?",
        sentence(text),
        lambda width: _square(table, shown, width),
        Table(["true class", *(f"predicted {label}" for label in shown)], rows, frozenset(range(1, len(shown) + 1))),
        note,
    )


def calibration_chart(probability: numpy.ndarray, is_so: numpy.ndarray, label: str) -> Chart | None:
    """Whether of the rows that are given a probability [rows] so many are so [rows]; None where there are too few."""
    if len(probability) < 5 * GROUPS:
        return None
    groups = [part for part in numpy.array_split(numpy.argsort(probability, kind="stable"), GROUPS) if len(part)]
    said = numpy.array([probability[part].mean() for part in groups])
    were = numpy.array([is_so[part].mean() for part in groups])
    sizes = numpy.array([len(part) for part in groups])
    off = float((sizes * numpy.abs(said - were)).sum() / sizes.sum())
    # The mean distance of a share of so many rows from its probability, where that is right.
    chance = float((sizes * numpy.sqrt(2 / numpy.pi * said * (1 - said) / sizes)).sum() / sizes.sum())
    text = f"Its probabilities of {label} are off by {100 * off:.1f} percentage points in the mean"
    text += f"; {100 * chance:.1f} would be chance alone on {counted(len(probability), 'row')}"
    rows = [
        [f"{100 * a:.1f} %", f"{100 * b:.1f} %", str(size)]
        for a, b, size in zip(said, were, sizes.tolist(), strict=True)
    ]
    return Chart(
        "calibration",
        "Are its probabilities what they say?",
        sentence(text),
        lambda width: _reliability(said, were, sizes, label, width),
        Table([f"predicted for {label}", "were so", "rows"], rows, frozenset({0, 1, 2})),
        f"Rows in {GROUPS} groups of the same size by their probability; the bars are 95 % intervals of a share "
        "[Wilson 1927]. On the line, probabilities are right.",
    )


def _square(table: numpy.ndarray, labels: Sequence[str], width: float) -> Drawing:
    narrow = is_narrow(width)
    longest = max(len(label) for label in labels)
    left = min(150.0, 0.33 * width, max(56.0, LETTER * longest + 16))
    size = min((width - left - 10) / len(labels), 74.0)
    top = 44.0
    drawing = Drawing(width, top + size * len(labels) + 12, "rows by true class (down) and predicted class (across)")
    drawing.text(left, 12, "predicted", class_="title")
    drawing.text(0, top - 10, "true", class_="title")
    # Where classes cannot be told apart in the room above their columns, numbers say which rows are meant.
    is_numbered = len({cut(label, size - LETTER) for label in labels}) < len(labels)
    down = [f"{i}: {label}" if is_numbered else label for i, label in enumerate(labels, 1)]
    across = [str(i) if is_numbered else label for i, label in enumerate(labels, 1)]
    totals = numpy.maximum(table.sum(axis=1), 1)
    for i, label in enumerate(labels):
        drawing.text(left - 10, top + size * (i + 0.5) + 4, cut(down[i], left - 12), class_="label", anchor="end")
        drawing.text(left + size * (i + 0.5), top - 10, cut(across[i], size - LETTER), class_="tick", anchor="middle")
        for j, other in enumerate(labels):
            share = table[i, j] / totals[i]
            shade = 0 if share < 0.02 else min(5, 1 + int(share * 5))
            x, y = left + size * j, top + size * i
            said = f"{counted(int(table[i, j]), 'row')} of {label} predicted as {other} ({100 * share:.0f} %)"
            drawing.bar(x, y, x + size, y + size, f"cell s{shade}", said)
            if size >= (24 if narrow else 28):
                drawing.text(
                    x + size / 2,
                    y + size / 2 + 4,
                    str(table[i, j]),
                    anchor="middle",
                    class_="on-dark" if shade >= 4 else "value",
                )
    return drawing


def _reliability(said: numpy.ndarray, were: numpy.ndarray, sizes: numpy.ndarray, label: str, width: float) -> Drawing:
    left, right, top = 58.0, width - 14, 26.0
    bottom = top + min(360.0, right - left)
    right = left + min(right - left, 480.0)
    drawing = Drawing(width, bottom + 44, f"share of rows that are {label} by the probability that they were given")
    x, y = covering([0.0, 100.0], left, right, room=0.0), covering([0.0, 100.0], bottom, top, room=0.0)
    drawing.axis_below(x, bottom, f"predicted probability of {label}, %", top=top)
    drawing.axis_left(y, left, "were so, %", right=right)
    drawing.line(left, bottom, right, top, "reference")
    for a, b, size in zip(said.tolist(), were.tolist(), sizes.tolist(), strict=True):
        low, high = _wilson(b, size)
        at = x.place(100 * a)
        drawing.line(at, y.place(100 * low), at, y.place(100 * high), "whisker unsure-line")
        drawing.dot(
            at, y.place(100 * b), "accent-dot", f"predicted {100 * a:.1f} %, were so {100 * b:.1f} % of {size} rows", 5
        )
    return drawing


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many rows [Wilson 1927]."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * numpy.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
