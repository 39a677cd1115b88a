"""What every choice was worth: the way from the beginner's network to the result, and each choice beside the winner's.

Knows accounts; it measures nothing.
"""

import statistics
from collections.abc import Sequence

from trimtab.findings.worth import words
from trimtab.findings.worth.account import AT_WINNERS_RATE, ENSEMBLE, Account, Row, Step
from trimtab.findings.worth.intervals import ALIKE
from trimtab.knobs.table import label_of
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, width_of
from trimtab.report.scales import clipped, covering
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence

# Pixels from one row to the next; rows have two lines where there is little room.
ROW, NARROW_ROW = 26.0, 44.0
# How many medians of an interval's end the picture reaches: one choice that ruins all would flatten the rest.
REACH = 3.0
SHOWN = 24
MINUS = "\N{MINUS SIGN}"


def path_chart(account: Account) -> Chart | None:
    """The waterfall; None where the way was not walked."""
    steps = account.path
    if len(steps) < 2:
        return None
    first, last = steps[0].score, steps[-1].score
    unit = account.metric or "validation loss"
    sure = [step for step in steps[1:] if _is_sure(step)]
    text = f"From {number(first)} to {number(last)} {unit}"
    if sure:
        best = sorted(sure, key=lambda step: -abs(step.gain or 0.0))[:3]
        text += ": " + listed(f"{words.named(step.knob, step.value)} ({_signed(-(step.gain or 0.0))})" for step in best)
    unsure = len(steps) - 1 - len(sure)
    if unsure:
        text += f"; {counted(unsure, 'step')} of {len(steps) - 1} cannot be told from noise"
    rows = [["the default MLP", number(first), "", ""]]
    for step in steps[1:]:
        ends = "" if step.low is None or step.high is None else f"{number(-step.high)} to {number(-step.low)}"
        change = "" if step.gain is None else _signed(-step.gain)
        rows.append([words.named(step.knob, step.value), number(step.score), change, ends])
    table = Table(["with", unit, "change", "95 % interval"], rows, frozenset({1, 2, 3}))
    note = (
        "A careful beginner's network becomes the winner one choice at a time; each step is trained beside the one "
        "before it, on the same rows and seeds. Faint bars cannot be told from noise."
    )
    return Chart(
        "path",
        "What took the beginner's network to the result?",
        sentence(text),
        lambda width: _waterfall(account, width),
        table,
        note,
    )


def choices_chart(account: Account, going_on: str = "explain with a --budget") -> Chart | None:
    """The forest plot; None where nothing was compared."""
    rows = [row for row in account.reached if row.low is not None]
    if not rows:
        return None
    table = Table(
        ["knob", "instead", f"difference in {words.measure(account)}", "95 % interval", "share", "verdict"],
        [
            [
                _knob(row),
                words.instead(row),
                "diverged" if row.difference is None else _signed(row.difference),
                "" if row.low is None or row.high is None else f"{number(row.low)} to {number(row.high)}",
                "" if row.difference is None else words.per_cent(account, row.difference),
                row.verdict,
            ]
            for row in account.reached
        ],
        frozenset({2, 3, 4}),
    )
    left = account.not_reached
    lost = [_choice(row) for row in account.reached if row.low is None]
    note = (
        "Each row is the winner with one knob changed, trained beside it on the same rows from the same seeds. The "
        "line is the interval that holds together with all others in 95 % of studies: where it crosses the middle, the "
        "two cannot be told apart."
    )
    if len(rows) > SHOWN:
        note += f" Drawn are {SHOWN} of {len(rows)}; the table has all."
    if lost:
        note += f" Not drawn, since training diverges: {listed(lost)}."
    if left:
        note += f" There was no time for {counted(len(left), 'more choice')}: {going_on} goes on."
    return Chart(
        "choices",
        "What was every choice worth?",
        words.mattered_most(account),
        lambda width: _forest(account, rows[:SHOWN], width),
        table,
        note,
    )


def stopping_chart(account: Account) -> Chart | None:
    """Stopping rules by epochs spent and score; None where they were not replayed."""
    if not account.stopping:
        return None
    unit = account.metric or "validation loss"
    rows = [[stop.rule, f"{stop.epochs:.0f}", f"{stop.kept:.0f}", number(stop.score)] for stop in account.stopping]
    return Chart(
        "stopping",
        "Which stopping rule would have been right?",
        words.stopping_in_words(account),
        lambda width: _stopping(account, width),
        Table(["rule", "epochs spent", "epoch kept", unit], rows, frozenset({1, 2, 3})),
        "Read off one training of the winner to its end, under its own schedule: one half of the validation rows "
        "decides when to stop, the other says what that scores.",
    )


def _waterfall(account: Account, width: float) -> Drawing:
    steps, unit = account.path, account.metric or "validation loss"
    names = ["the default MLP", *(words.named(step.knob, step.value) for step in steps[1:])]
    narrow = is_narrow(width)
    left = 8.0 if narrow else min(300.0, max(map(width_of, names)) + 16)
    row, top = (NARROW_ROW if narrow else ROW), 12.0
    height = top + row * len(steps) + 48
    drawing = Drawing(width, height, f"{unit} after each choice from the default MLP to the result")
    scale = covering([step.score for step in steps], left, width - 76, most=4 if narrow else 6, room=0.12)
    drawing.axis_below(scale, top + row * len(steps) + 4, unit, top=top)
    before = steps[0].score
    for i, step in enumerate(steps):
        y = top + row * i + (18 if narrow else 3)
        middle = y + 9
        drawing.row_name(names[i], left, middle + 4, above=y - 4 if narrow else None)
        at = scale.place(step.score)
        if i == 0:
            drawing.dot(at, middle, "start", f"the default MLP: {number(step.score)} {unit}", 5)
            drawing.text(at + 10, middle + 4, number(step.score), class_="value")
        else:
            change = step.score - before
            is_gain = (change > 0) == account.greater_is_better and change != 0
            kind = ("good" if is_gain else "bad") if _is_sure(step) else "unsure"
            said = f"{names[i]}: {number(before)} to {number(step.score)} {unit} ({_signed(change)})"
            drawing.bar(scale.place(before), y, at if abs(at - scale.place(before)) > 1 else at + 1, y + 18, kind, said)
            drawing.text(max(at, scale.place(before)) + 6, middle + 4, _signed(change), class_=f"value {kind}-text")
        if i < len(steps) - 1:
            drawing.line(at, middle + (5 if i == 0 else 9), at, middle + row - 9, "link")
        before = step.score
    return drawing


def _forest(account: Account, rows: Sequence[Row], width: float) -> Drawing:
    narrow = is_narrow(width)
    names = [_choice(row) for row in rows]
    left = 8.0 if narrow else min(300.0, max(map(width_of, names)) + 16)
    row_height, top = (NARROW_ROW if narrow else ROW), 26.0
    bottom = top + row_height * len(rows)
    ends = [max(abs(row.low or 0.0), abs(row.high or 0.0)) for row in rows]
    reach = min(max(ends), REACH * statistics.median(ends)) or 1.0
    values = [_signed(row.difference or 0.0) for row in rows]
    right = width - max(64 if narrow else 84, max(map(width_of, values)) + 20)
    scale = covering([-reach, reach], left, right, most=5 if narrow else 7, room=0.02)
    drawing = Drawing(width, bottom + 48, f"difference in {words.measure(account)} of each choice from the winner")
    drawing.axis_below(scale, bottom + 4, f"difference in {words.measure(account)}", top=top - 4)
    middle = scale.place(0.0)
    drawing.line(middle, top - 4, middle, bottom + 4, "zero")
    drawing.text(middle - 8, top - 12, "better", class_="tick", anchor="end")
    drawing.text(middle + 8, top - 12, "worse than the winner", class_="tick")
    for i, row in enumerate(rows):
        y = top + row_height * i + (30 if narrow else row_height / 2)
        kind = {"better": "good", "worse": "bad"}.get(row.verdict, "unsure")
        said = f"{names[i]}: {words.by(account, row)}, {row.verdict}"
        drawing.row_name(names[i], left, y + 4, above=y - 14 if narrow else None)
        low, high, at = (clipped(scale.place(end or 0.0), left, right) for end in (row.low, row.high, row.difference))
        drawing.line(low, y, high, y, f"whisker {kind}-line")
        for end, edge in ((row.low, low), (row.high, high)):
            if end is not None and abs(end) > reach * 1.02:
                size = -6 if end < 0 else 6
                drawing.area([(edge + size, y), (edge, y - 4), (edge, y + 4)], f"{kind}-fill")
        drawing.dot(at, y, f"{kind}-dot {'open' if row.verdict == ALIKE else ''}", said, 4.5)
        drawing.text(right + 12, y + 4, values[i], class_=f"value {kind}-text")
    return drawing


def _stopping(account: Account, width: float) -> Drawing:
    stops, unit = account.stopping, account.metric or "validation loss"
    narrow = is_narrow(width)
    left, right, top, bottom = 56.0, width - (90 if narrow else 150), 28.0, 250.0
    drawing = Drawing(width, bottom + 44, f"{unit} of each stopping rule by the epochs that it spends")
    x = covering([0.0, *(stop.epochs for stop in stops)], left, right, most=4 if narrow else 6)
    y = covering([stop.score for stop in stops], bottom, top, most=5, room=0.15)
    drawing.axis_below(x, bottom, "epochs spent", top=top)
    drawing.axis_left(y, left, f"{unit} of the epoch kept", right=right)
    taken: list[tuple[float, float, float]] = []
    for stop in sorted(stops, key=lambda each: y.place(each.score)):
        at, height = x.place(stop.epochs), y.place(stop.score)
        kind = "hindsight" if stop.rule == words.HINDSIGHT else "accent-dot"
        said = f"{stop.rule}: {stop.epochs:.0f} epochs, keeps {stop.kept:.0f}, {number(stop.score)} {unit}"
        drawing.dot(at, height, kind, said, 4.5)
        label, length = height + 4, width_of(stop.rule) + 16
        dots = [(x.place(other.epochs), y.place(other.score) + 4, 8.0) for other in stops if other is not stop]
        # Labels that would lie over one another, or over a point, move down; those without a place are in the table.
        while any(
            abs(label - other) < 13 and there - length < at < there + long for there, other, long in (*taken, *dots)
        ):
            label += 3
        if label < bottom - 2:
            taken.append((at, label, length))
            drawing.text(at + 9, label, stop.rule, class_="small")
    return drawing


def _is_sure(step: Step) -> bool:
    return step.low is not None and step.high is not None and not step.low <= 0 <= step.high


def _signed(value: float) -> str:
    """A difference by three digits, with its sign: what an interval is wide, more would not be true."""
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{abs(value):.3g}"


def _choice(row: Row) -> str:
    """What a row has instead of the winner's choice, behind what that is of."""
    return words.instead(row) if row.knob == ENSEMBLE else f"{_knob(row)} {words.instead(row)}"


def _knob(row: Row) -> str:
    return "optimizer, same rate" if row.knob == AT_WINNERS_RATE else label_of(row.knob)
