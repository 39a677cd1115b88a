"""What each column is worth, how the prediction moves with the strongest, and where the model is bad.

Knows importances, dependences and slices.
"""

from collections.abc import Sequence

import numpy

from trimtab.evaluation.slices import Slice
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.columns import Dependence, Importance
from trimtab.report.drawing import Drawing, cut, room_for, width_of
from trimtab.report.scales import Names, covering
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence

ROW, SHOWN = 24.0, 20


def importance_chart(found: Sequence[Importance], left: Sequence[str], measure: str, rows: str) -> Chart | None:
    """What each column is worth; None where none was looked at."""
    if not found:
        return None
    sure = [each for each in found if each.low > 0]
    text = (
        f"Without {found[0].column}, {measure} would grow by {number(found[0].grows)}"
        if sure
        else ("No column by itself is surely worth anything")
    )
    if len(sure) > 1:
        text += f"; then come {listed(each.column for each in sure[1:4])}"
    idle = [each.column for each in found if each.low <= 0]
    if idle and sure:
        named = listed(idle[:6]) + " and others" * (len(idle) > 6)
        text += f". {counted(len(idle), 'column')} cannot be told from worthless: {named}"
    note = (
        f"By how much the error on {rows} grows when one column's values are dealt out anew among the rows; lines are "
        "intervals over rows that hold together in 95 % of tables. Columns that tell the same share their worth."
    )
    if len(found) > SHOWN:
        note += f" Drawn are {SHOWN} of {len(found)}; the table has all."
    if left:
        note += f" No time for {counted(len(left), 'more column')}."
    table = [[each.column, number(each.grows), f"{number(each.low)} to {number(each.high)}"] for each in found]
    return Chart(
        "columns-worth",
        "What is each column worth to the model?",
        sentence(text),
        lambda width: _bars(found[:SHOWN], measure, width),
        Table(["column", f"{measure} grows by", "interval"], table, frozenset({1, 2})),
        note,
    )


def dependence_chart(found: Dependence, unit: str, place: int) -> Chart:
    """How the prediction moves with one column."""
    low, high = int(numpy.argmin(found.mean)), int(numpy.argmax(found.mean))
    names = [number(value) if isinstance(value, float | int) else value for value in found.values]
    text = (
        f"All else as it is, the mean prediction is lowest at {found.column} {names[low]} ({number(found.mean[low])}) "
    )
    text += f"and highest at {names[high]} ({number(found.mean[high])})"
    rows = [[name, number(mean)] for name, mean in zip(names, found.mean, strict=True)]
    return Chart(
        f"moves-{place}",
        f"How does the prediction move with {found.column}?",
        sentence(text),
        lambda width: _course(found, unit, width),
        Table([found.column, f"mean predicted {unit}"], rows, frozenset({0, 1})),
        "Thick: the mean over rows; thin: some rows, each with this column changed and nothing else. Where columns go "
        "together, some of these rows could not exist.",
    )


def slices_chart(slices: Sequence[Slice], whole: float, metric: str) -> Chart | None:
    """Where the model is worse than elsewhere; None where nothing could be cut into slices."""
    if not slices:
        return None
    worse = [each for each in slices if each.is_worse]
    if worse:
        first = worse[0]
        own = f"{number(first.figure.value)} on {counted(first.rows, 'row')}"
        text = f"Worst where {first.column} is {first.values}: {metric} {own}, against {number(whole)} on all"
        if len(worse) > 1:
            text += f"; {counted(len(worse) - 1, 'other part')} surely worse too"
    else:
        text = f"In no part of the rows is it worse than elsewhere beyond noise ({metric} {number(whole)} on all)"
    shown = [*worse, *(each for each in slices if not each.is_worse)][:14]
    table = [
        [
            each.column,
            each.values,
            str(each.rows),
            number(each.figure.value),
            f"{number(each.figure.low)} to {number(each.figure.high)}",
            "yes" if each.is_worse else "",
        ]
        for each in slices
    ]
    return Chart(
        "slices",
        "Where is it bad?",
        sentence(text),
        lambda width: _slices(shown, whole, metric, width),
        Table(["column", "values", "rows", metric, "95 % interval", "worse"], table, frozenset({2, 3, 4})),
        "Rows that are alike in one column. Coloured: worse than all other rows beyond noise, all parts together being "
        "wrong about that once in twenty tables.",
    )


def _bars(found: Sequence[Importance], measure: str, width: float) -> Drawing:
    longest = max(width_of(each.column) for each in found)
    left, top = min(longest + 16, 0.42 * width), 6.0
    bottom = top + ROW * len(found)
    scale = covering(
        [0.0, *(end for each in found for end in (each.low, each.high))],
        left,
        width - 14,
        most=4 if is_narrow(width) else 7,
    )
    drawing = Drawing(width, bottom + 44, f"growth of {measure} without each column")
    drawing.axis_below(scale, bottom, f"growth of {measure}", top=top)
    drawing.line(scale.place(0.0), top, scale.place(0.0), bottom, "zero")
    for i, each in enumerate(found):
        y = top + ROW * (i + 0.5)
        drawing.row_name(each.column, left, y + 4)
        ends = f"interval {number(each.low)} to {number(each.high)}"
        said = f"{each.column}: {measure} grows by {number(each.grows)}, {ends}"
        drawing.bar(
            scale.place(0.0), y - 7, scale.place(each.grows), y + 7, "accent-bar" if each.low > 0 else "plain-bar", said
        )
        drawing.line(scale.place(each.low), y, scale.place(each.high), y, "zero")
    return drawing


def _course(found: Dependence, unit: str, width: float) -> Drawing:
    right, top, bottom = width - 14, 26.0, 240.0
    drawing = Drawing(width, bottom + 44, f"predicted {unit} by {found.column}")
    values = numpy.concatenate([found.courses.ravel(), found.mean])
    y = covering(values.tolist(), bottom, top)
    left = max(44.0, room_for(y))
    if found.is_number:
        x = covering([float(value) for value in found.values], left, right, most=4 if is_narrow(width) else 7)
        places = [x.place(float(value)) for value in found.values]
    else:
        x = Names([str(value) for value in found.values], left, right)
        places = [x.place(i) for i in range(len(found.values))]
    drawing.axis_below(x, bottom, cut(found.column, right))
    drawing.axis_left(y, left, cut(f"predicted {unit}", right), right=right)
    for line in found.courses:
        drawing.curve(zip(places, (y.place(value) for value in line.tolist()), strict=True), "faint")
    drawing.curve(zip(places, (y.place(value) for value in found.mean.tolist()), strict=True), "valid")
    for place, value, mean in zip(places, found.values, found.mean.tolist(), strict=True):
        name = number(value) if isinstance(value, float | int) else value
        drawing.dot(place, y.place(mean), "accent-dot", f"{found.column} {name}: {number(mean)}", 3)
    return drawing


def _slices(slices: Sequence[Slice], whole: float, metric: str, width: float) -> Drawing:
    names = [f"{each.column}: {each.values}" for each in slices]
    narrow = is_narrow(width)
    row = 40.0 if narrow else 26.0
    left = 8.0 if narrow else min(max(map(width_of, names)) + 16, 330.0)
    top = 18.0
    bottom = top + row * len(slices)
    ends = [end for each in slices for end in (each.figure.low, each.figure.high) if end == end]
    scale = covering([whole, *ends, *(each.figure.value for each in slices)], left, width - 64, most=4 if narrow else 6)
    drawing = Drawing(width, bottom + 44, f"{metric} of parts of the rows, beside that of all")
    drawing.axis_below(scale, bottom, metric, top=top)
    drawing.line(scale.place(whole), top - 4, scale.place(whole), bottom, "reference")
    drawing.text(scale.place(whole), 10, "all rows", class_="small", anchor="middle")
    for i, (each, name) in enumerate(zip(slices, names, strict=True)):
        y = top + row * i + (28 if narrow else row / 2)
        kind = "bad" if each.is_worse else "unsure"
        drawing.row_name(name, left, y + 4, above=y - 12 if narrow else None)
        if each.figure.low == each.figure.low:
            drawing.line(scale.place(each.figure.low), y, scale.place(each.figure.high), y, f"whisker {kind}-line")
        drawing.dot(
            scale.place(each.figure.value),
            y,
            f"{kind}-dot",
            f"{name}: {metric} {number(each.figure.value)}, {counted(each.rows, 'row')}",
            4.5,
        )
        drawing.text(width - 56, y + 4, counted(each.rows, "row"), class_="small")
    return drawing
