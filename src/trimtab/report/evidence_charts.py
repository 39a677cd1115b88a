"""What findings rest on, where it can be drawn: columns whose values differ between parts, layers whose units are lost.

Knows findings, and columns of values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy
import polars

from trimtab.findings.finding import Finding
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, room_for
from trimtab.report.scales import Linear, Names, covering
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence

# Bins of numbers, values of labels that are drawn, columns of one finding.
BINS, LABELS, COLUMNS = 16, 9, 2
# Of numbers that have no more different values than this each is drawn for itself.
_FEW = 12
_LOST = {
    "dead_units": ("Which layers have dead units?", "dead units", "dead"),
    "saturated_activations": ("Which layers are saturated?", "units at the bounds of their activation", "saturated"),
}


@dataclass(frozen=True)
class Shares:
    """Which share of the rows of two parts has each of some values; `names` are these values, or ranges of them."""

    names: Sequence[str]
    here: numpy.ndarray
    there: numpy.ndarray

    @property
    def apart(self) -> float:
        """The share of one part's rows that would have to change for the two to be alike."""
        return float(numpy.abs(self.here - self.there).sum() / 2)


def layers_charts(findings: Iterable[Finding]) -> list[Chart]:
    """The layers of all findings that are about some."""
    return [chart for chart in map(layers_chart, findings) if chart is not None]


def layers_chart(finding: Finding) -> Chart | None:
    """The share of lost units in each layer; None for a finding that is about none."""
    shares = finding.evidence.get("by_layer")
    if finding.id not in _LOST or not isinstance(shares, list | tuple) or not shares:
        return None
    question, what, kind = _LOST[finding.id]
    worst = int(numpy.argmax(shares))
    text = f"{100 * shares[worst]:.0f} % of the units of hidden layer {worst + 1} are {kind} at the end of training"
    if len(shares) > 1:
        others = [100 * share for i, share in enumerate(shares) if i != worst]
        text += f"; in the other{'s' * (len(others) > 1)} {min(others):.0f}"
        text += f" to {max(others):.0f} %" if round(min(others)) != round(max(others)) else " %"
    rows = [[str(i), f"{100 * share:.0f} %"] for i, share in enumerate(shares, 1)]
    return Chart(
        finding.id.replace("_", "-"),
        question,
        sentence(text),
        lambda width: _layers(shares, what, width),
        Table(["hidden layer", what], rows, frozenset({0, 1})),
    )


def drift_chart(column: str, here: polars.Series, there: polars.Series, part: str, place: int) -> Chart | None:
    """One column on training rows (`here`) and on the rows of another part; None where one of them is empty."""
    if not len(here) or not len(there):
        return None
    shares = shares_of(here, there)
    most = int(numpy.abs(shares.here - shares.there).argmax())
    own, other = (f"{100 * part_of[most]:.0f} %" for part_of in (shares.here, shares.there))
    text = (
        f"{100 * shares.apart:.0f} % of the {part} rows would have to have another {column} to be like the training "
        f"rows; most of all, {shares.names[most]} stands in {own} of the training rows and in {other} of these"
    )
    rows = [
        [name, f"{100 * a:.1f} %", f"{100 * b:.1f} %"]
        for name, a, b in zip(shares.names, shares.here, shares.there, strict=True)
    ]
    return Chart(
        f"drift-{place}",
        f"Is {column} the same on both parts?",
        sentence(text),
        lambda width: _pairs(shares, column, part, width),
        Table([column, f"of {counted(len(here), 'training row')}", f"of {counted(len(there), f'{part} row')}"], rows,
              frozenset({1, 2})),
    )  # fmt: skip


def shares_of(here: polars.Series, there: polars.Series) -> Shares:
    """How two parts are shared out over the values of a column: ranges of numbers, or the most frequent labels."""
    if not (here.dtype.is_numeric() and there.dtype.is_numeric()):
        return _of_labels(*(side.cast(polars.String) for side in (here, there)))
    sides = [side.cast(polars.Float64) for side in (here, there)]
    if polars.concat(sides).n_unique() > _FEW:
        return _of_numbers(*sides)
    # Of one type, or 1 of one part and 1.0 of the other would be two values.
    return _of_labels(*(side.map_elements(lambda value: f"{value:g}", polars.String) for side in sides))


def _of_numbers(here: polars.Series, there: polars.Series) -> Shares:
    values = [side.to_numpy() for side in (here, there)]
    finite = [side[numpy.isfinite(side)] for side in values]
    # Ends that hold all but one row of a hundred: one that lies far off would leave one bar of all others.
    low, high = numpy.quantile(numpy.concatenate(finite), [0.005, 0.995])
    edges = numpy.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = [numpy.histogram(numpy.clip(side, edges[0], edges[-1]), edges)[0].astype(float) for side in finite]
    names = [f"{number(a)} to {number(b)}" for a, b in pairwise(edges.tolist())]
    return _with_missing(names, counts, [len(a) - len(b) for a, b in zip(values, finite, strict=True)])


def _of_labels(here: polars.Series, there: polars.Series) -> Shares:
    sides = [side.drop_nulls() for side in (here, there)]
    frequent = polars.concat(sides).value_counts(sort=True).head(LABELS)
    names = frequent[frequent.columns[0]].to_list()
    counts = [numpy.array([(side == name).sum() for name in names], dtype=float) for side in sides]
    others = [len(side) - count.sum() for side, count in zip(sides, counts, strict=True)]
    if any(others):
        names, counts = [*names, "another"], [numpy.append(c, o) for c, o in zip(counts, others, strict=True)]
    return _with_missing(names, counts, [here.null_count(), there.null_count()])


def _with_missing(names: Sequence[str], counts: Sequence[numpy.ndarray], missing: Sequence[int]) -> Shares:
    if any(missing):
        names = [*names, "missing"]
        counts = [numpy.append(count, gone) for count, gone in zip(counts, missing, strict=True)]
    here, there = (count / count.sum() for count in counts)
    return Shares(names, here, there)


def _layers(shares: Sequence[float], what: str, width: float) -> Drawing:
    top, bottom, left = 30.0, 190.0, 52.0
    drawing = Drawing(width, bottom + 44, f"share of {what} in each hidden layer")
    x = Names([str(i) for i in range(1, len(shares) + 1)], left, width - 14)
    y = Linear(0.0, 100.0, bottom, top)
    drawing.axis_below(x, bottom, "hidden layer")
    drawing.axis_left(y, left, f"{what}, % of the layer", right=width - 14)
    half = min(0.35 * x.band, 40.0)
    for i, share in enumerate(shares):
        at, kind = x.place(i), "accent-bar" if share == max(shares) else "plain-bar"
        said = f"hidden layer {i + 1}: {100 * share:.0f} %"
        drawing.bar(at - half, y.place(0.0), at + half, y.place(100 * share), kind, said)
    return drawing


def _pairs(shares: Shares, column: str, part: str, width: float) -> Drawing:
    top, bottom = 48.0, 240.0
    drawing = Drawing(width, bottom + 44, f"{column} on training rows beside {part} rows")
    y = covering([0.0, *(100 * shares.here), *(100 * shares.there)], bottom, top, most=4 if is_narrow(width) else 5,
                 room=0.0)  # fmt: skip
    left = max(44.0, room_for(y))
    x = Names([name.partition(" to ")[0] for name in shares.names], left, width - 8)
    drawing.axis_below(x, bottom, column)
    drawing.axis_left(y, left, "share of the rows, %", right=width - 8)
    for at, kind, name in ((left, "plain-bar", "training rows"), (left + 130, "accent-bar", f"{part} rows")):
        drawing.bar(at, 12, at + 14, 24, kind)
        drawing.text(at + 20, 23, name, class_="small")
    wide = 0.42 * x.band
    for i, name in enumerate(shares.names):
        middle = x.place(i)
        for side, values, kind, rows in (
            (-1, shares.here, "plain-bar", "training"),
            (1, shares.there, "accent-bar", part),
        ):
            said = f"{name}: {100 * values[i]:.1f} % of the {rows} rows"
            drawing.bar(middle, y.place(0.0), middle + side * wide, y.place(100 * values[i]), kind, said)
    return drawing
