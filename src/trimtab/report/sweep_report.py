"""The report of a sweep: which value of a knob was best, and which cannot be told apart from it. Trains nothing."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import polars

import trimtab
from trimtab.findings.finding import Findings
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, cut, width_of
from trimtab.report.page.page import Answer, Page, Section
from trimtab.report.scales import Names, clipped, covering, covering_wide
from trimtab.text.layout import number
from trimtab.text.wording import listed

# Scores that lie further from the best than so many times the middle one does leave the axis.
BEYOND = 3.0


class Swept(Protocol):
    """What is asked of a `Sweep`."""

    @property
    def knobs(self) -> tuple[str, ...]: ...
    @property
    def table(self) -> polars.DataFrame: ...
    @property
    def best(self) -> dict[str, Any]: ...
    @property
    def metric(self) -> str | None: ...
    @property
    def place(self) -> int | None: ...
    @property
    def alike(self) -> tuple[int, ...]: ...
    @property
    def words(self) -> str: ...


def sweep_page(sweep: Swept, findings: Findings | None = None) -> Page:
    """The page of a sweep."""
    unit, knob = sweep.metric or "validation loss", next(iter(sweep.knobs))
    rows = sweep.table
    best = None if sweep.place is None else rows.row(sweep.place, named=True)
    chart = _values(sweep, unit) if len(sweep.knobs) == 1 else _pairs(sweep, unit)
    return Page(
        Answer(
            "sweep",
            f"Which {listed(sweep.knobs)} is best?",
            [sweep.words],
            figure="" if best is None else number(best["best"]) if len(sweep.knobs) > 1 else _text(knob, best[knob]),
            figure_of="" if best is None else _figure_of(sweep, best, unit),
        ),
        [
            Section("values", "All values", charts=[chart]),
            Section("findings", "What is wrong, and what to change", findings=findings),
        ],
        trimtab.__version__,
    )


def _figure_of(sweep: Swept, best: dict[str, Any], unit: str) -> str:
    if len(sweep.knobs) == 1:
        return f"{sweep.knobs[0]}, with {unit} {number(best['best'])}"
    return f"{unit}, with {listed(f'{name} {_text(name, best[name])}' for name in sweep.knobs)}"


def _table_of(sweep: Swept, unit: str) -> Table:
    headings = [*sweep.knobs, unit, "over seeds", "at the last epoch", "best epoch", "diverged"]
    rows = [
        [
            *(_text(name, row[name]) for name in sweep.knobs),
            number(row["best"]),
            f"{number(row['best_low'])} to {number(row['best_high'])}",
            number(row["final"]),
            f"{row['best_epoch']:g}",
            str(row["diverged"]),
        ]
        for row in sweep.table.iter_rows(named=True)
    ]
    return Table(headings, rows, frozenset(range(len(sweep.knobs), len(headings))))


def _values(sweep: Swept, unit: str) -> Chart:
    return Chart(
        "by-value",
        f"How does {unit} depend on {sweep.knobs[0]}?",
        sweep.words,
        (lambda width: _line(sweep, unit, width)) if _has_scores(sweep) else None,
        _table_of(sweep, unit),
        "Dots: the mean over seeds at each run's best epoch, with the lowest and highest seed; coloured: the best, and "
        "what cannot be told apart from it. Dashed, or a bar: the score of the last epoch.",
    )


def _has_scores(sweep: Swept) -> bool:
    return any(map(math.isfinite, sweep.table["best"]))


def _line(sweep: Swept, unit: str, width: float) -> Drawing:
    left, right, top, bottom = 62.0, width - 16, 26.0, 270.0
    rows = list(sweep.table.iter_rows(named=True))
    values = [row[sweep.knobs[0]] for row in rows]
    drawing = Drawing(width, bottom + 44, f"{unit} by {sweep.knobs[0]}")
    x, places = _axis(sweep.knobs[0], values, left, right, 4 if is_narrow(width) else 7)
    finite = [row["best"] for row in rows if math.isfinite(row["best"])]
    middle = sorted(finite)[len(finite) // 2] if finite else 1.0
    best = rows[sweep.place]["best"] if sweep.place is not None else min(finite, default=0.0)
    reach = BEYOND * abs(middle - best) or abs(best) or 1.0
    shown = [value for value in finite if abs(value - best) <= reach]
    y = covering(shown or [0.0, 1.0], bottom, top)
    drawing.axis_below(x, bottom, sweep.knobs[0])
    drawing.axis_left(y, left, unit, right=right)

    def at(value: float) -> float:
        return clipped(y.place(value), top, bottom)

    pairs = [(place, row) for place, row in zip(places, rows, strict=True) if math.isfinite(row["best"])]
    ends = [(place, at(row["final"])) for place, row in pairs if math.isfinite(row["final"])]
    if isinstance(x, Names):  # between names there is nothing that a line could stand for
        for place, height in ends:
            drawing.bar(place - 9, height - 1, place + 9, height + 1, "unsure", "the last epoch")
    else:
        drawing.curve(sorted(ends), "train")
        drawing.curve(sorted((place, at(row["best"])) for place, row in pairs), "faint")
    for i, (place, row) in enumerate(zip(places, rows, strict=True)):
        name = f"{sweep.knobs[0]} {_text(sweep.knobs[0], row[sweep.knobs[0]])}"
        if not math.isfinite(row["best"]):
            drawing.text(place, top + 4, "diverged", class_="small", anchor="middle")
            continue
        kind = "hindsight" if i == sweep.place else "good-dot" if i in sweep.alike else "unsure-dot"
        drawing.line(place, at(row["best_low"]), place, at(row["best_high"]), "whisker unsure-line")
        drawing.dot(
            place, at(row["best"]), kind, f"{name}: {unit} {number(row['best'])}", 6 if i == sweep.place else 4.5
        )
    return drawing


def _pairs(sweep: Swept, unit: str) -> Chart:
    return Chart(
        "by-pair",
        f"How does {unit} depend on {listed(sweep.knobs)}?",
        sweep.words,
        (lambda width: _map(sweep, unit, width)) if _has_scores(sweep) else None,
        _table_of(sweep, unit),
        "The darker, the better; ringed: the best, and what cannot be told apart from it; \N{MULTIPLICATION SIGN}: "
        "diverged, or without a score.",
    )


def _map(sweep: Swept, unit: str, width: float) -> Drawing:
    across, down = sweep.knobs
    rows = list(sweep.table.iter_rows(named=True))
    columns, lines = (list(dict.fromkeys(_text(name, row[name]) for row in rows)) for name in (across, down))
    left = min(max(map(width_of, lines)) + 20, 0.45 * width)
    size = min((width - left - 10) / len(columns), 64.0)
    top, tall = 24.0, min(size, 40.0)
    drawing = Drawing(width, top + tall * len(lines) + 52, f"{unit} by {across} and {down}")
    order = sorted(
        (i for i, row in enumerate(rows) if math.isfinite(row["best"])),
        key=lambda i: abs(rows[i]["best"] - (rows[sweep.place]["best"] if sweep.place is not None else 0.0)),
    )
    rank = {i: place / max(1, len(order) - 1) for place, i in enumerate(order)}
    x = Names(columns, left, left + size * len(columns))
    drawing.axis_below(x, top + tall * len(lines), across)
    drawing.text(0, 12, down, class_="title")
    for j, name in enumerate(lines):
        drawing.text(left - 10, top + tall * (j + 0.5) + 4, cut(name, left - 14), class_="label", anchor="end")
    for i, row in enumerate(rows):
        column, line = columns.index(_text(across, row[across])), lines.index(_text(down, row[down]))
        said = (
            f"{across} {columns[column]}, {down} {lines[line]}: {unit} {number(row['best'])}"
            if i in rank
            else "diverged, or without a score"
        )
        shade = 5 - min(5, int(rank[i] * 6)) if i in rank else 0
        left_at, top_at = left + size * column, top + tall * line
        drawing.bar(left_at, top_at, left_at + size, top_at + tall, f"cell s{shade}", said)
        if i not in rank:
            drawing.text(left_at + size / 2, top_at + tall / 2 + 4, "\N{MULTIPLICATION SIGN}", anchor="middle")
        if i == sweep.place or i in sweep.alike:
            drawing.dot(left_at + size / 2, top_at + tall / 2, "hindsight", said, 7 if i == sweep.place else 4)
    return drawing


def _axis(knob: str, values: Sequence[Any], left: float, right: float, most: int) -> tuple[Any, list[float]]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    # All rows, written as 0, are no small batch.
    if len(numbers) != len(values) or (knob == "batch_size" and 0 in numbers):
        x: Any = Names([_text(knob, value) for value in values], left, right)
        return x, [x.place(i) for i in range(len(values))]
    x = covering_wide([float(value) for value in numbers], left, right, most=most)
    return x, [x.place(float(value)) for value in numbers]


def _text(knob: str, value: Any) -> str:
    if value == 0 and knob == "batch_size":
        return "all rows"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
