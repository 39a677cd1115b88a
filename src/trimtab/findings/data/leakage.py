"""The rule leakage: a column that says what is to be predicted.

Knows columns and targets; it knows no network.
"""

from collections.abc import Iterable
from typing import Any

import numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trimtab.findings.checked import Checked
from trimtab.findings.data.boosted_trees import Floats, design_of, in_own_thread, out_of_fold, random_folds
from trimtab.findings.data.relation import BINS, chance_of, most_telling, parts_of
from trimtab.findings.data.table_record import Column, Rows, TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.findings.ranks import rank_shares
from trimtab.findings.remedies import without
from trimtab.table.roles import NEAR_UNIQUE_SHARE
from trimtab.text.wording import counted

MOST_ROWS, FEWEST_ROWS = 2_000, 50
# What a column has to explain alone, and how much of what all others together leave open it may leave open at most.
ALONE, LEFT_OPEN = 0.95, 0.5
# What the parts of a column explain at least of a target that all of it explains: half (a guess, on the low side).
WORTH_A_LOOK = 0.5
# What a column explains to be "nearly perfect".
NEARLY_ALL = 0.99
# Rows of a series before and after a row that a column may have been made from.
WINDOW = 3
MADE_OF, NOT_OF_THE_PAST = 0.995, 0.9


def tells_the_target(record: TableRecord, *, seed: int = 0) -> Checked:
    """One column alone predicts the target nearly perfectly.

    Rule: from each column alone the rank of the target (or its class) is predicted out of fold by a tree of 64 leaves,
    by the label's mean where it holds labels. A column is suspected that explains 95 % of the squared error (Brier's
    for classes) and leaves open at most half of what boosted trees on all columns together leave open that explain
    less alone: what has one cause, or several alike, is no leak. Whether the column is known when a prediction is made
    only the user can say: the statement says what it explains.
    """
    features = record.features
    if record.size < FEWEST_ROWS or len(features) < 2:
        return NotChecked(
            "leakage", f"{counted(record.size, 'row')} and {counted(len(features), 'column')} are too few"
        )
    alone, rest = _explained(record, seed)
    suspected = [
        (column.name, share) for column, share in zip(features, alone, strict=True)
        if share >= ALONE and 1 - share <= LEFT_OPEN * (1 - rest)
    ]  # fmt: skip
    if not suspected:
        best = max(alone)
        return f"No column tells the target alone: the best explains {100 * max(0.0, best):.0f} % of it."
    suspected.sort(key=lambda pair: -pair[1])
    name, share = suspected[0]
    others = f"; so do {counted(len(suspected) - 1, 'other column')}" if len(suspected) > 1 else ""
    return Finding(
        "leakage",
        "high" if share >= NEARLY_ALL else "medium",
        f'"{name}" alone explains {100 * share:.1f} % of {_targets(record)}{others}: if it is known only afterwards, '
        "or made from the target, the score says nothing.",
        {"columns": dict(suspected), "explained_by_the_others": rest, "rows": min(record.size, MOST_ROWS)},
        Effect(
            f"Without it {100 * rest:.0f} % of the target is explained, by boosted trees.",
        ),
        Remedy(f'Leave "{name}" out, unless it is known whenever a prediction is made.', flag=without(name),
               code=f"drop={[each for each, _ in suspected]!r}"),
    )  # fmt: skip


def _targets(record: TableRecord) -> str:
    return " and ".join(f'"{name}"' for name in record.target_names)


@in_own_thread
def _explained(record: TableRecord, seed: int) -> tuple[list[float], float]:
    """What each column explains alone; and what those below `ALONE` explain together."""
    generator = numpy.random.default_rng(seed)
    rows = numpy.arange(record.size)
    if record.size > MOST_ROWS:
        rows = generator.choice(record.size, MOST_ROWS, replace=False)
    columns = [column.at(rows) for column in record.features]
    truth = _as_numbers(record.targets[rows], len(record.labels))
    folds = random_folds(len(rows), 3, generator)
    usual = sum(float(((truth[valid] - truth[train].mean(0)) ** 2).sum()) for train, valid in folds)
    alone = [
        1 - _left_by(column, truth, folds) / max(1e-300, usual) if roughly >= WORTH_A_LOOK else roughly
        for column, roughly in ((column, _roughly(column, truth)) for column in columns)
    ]
    others = [column for column, share in zip(columns, alone, strict=True) if share < ALONE]
    if not others or max(alone) < ALONE:
        return alone, 0.0
    others = most_telling(others, record.targets[rows])
    grown = out_of_fold(design_of(others), truth, folds, seed=seed)
    return alone, max(0.0, 1 - float(((truth - grown) ** 2).sum()) / max(1e-300, usual))


def _roughly(column: Column, truth: Floats) -> float:
    """The share of the spread that lies between the eight parts of a column, or its labels: quick, and too high for
    labels with few rows."""
    parts = parts_of(column) if column.is_ordered else column.values + 1
    place, counts = numpy.unique(parts, return_inverse=True, return_counts=True)[1:]
    centred = truth - truth.mean(0)
    between = sum(float((numpy.bincount(place, each) ** 2 / counts).sum()) for each in centred.T)
    return between / max(1e-300, float((centred**2).sum()))


def _as_numbers(targets: NDArray[Any], classes: int) -> Floats:
    """Ranks, so that no few huge values decide; classes as ones among zeros (of two one column says all)."""
    if targets.dtype.kind == "f":
        return rank_shares(targets)
    ones = numpy.eye(classes)[targets]
    return ones[:, 1:] if classes == 2 else ones


def _left_by(column: Column, truth: Floats, folds: Any) -> float:
    """The squared error that remains where the target is predicted from one column."""
    predicted = _from_number if column.is_ordered else _from_label
    return sum(float(((truth[valid] - predicted(column, truth, train, valid)) ** 2).sum()) for train, valid in folds)


def _from_number(column: Column, truth: Floats, train: Rows, valid: Rows) -> Floats:
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_leaf_nodes=64, min_samples_leaf=3, random_state=0)
    tree.fit(column.values[train, None], truth[train])
    return tree.predict(column.values[valid, None]).reshape(len(valid), -1)


def _from_label(column: Column, truth: Floats, train: Rows, valid: Rows) -> Floats:
    """The mean of a label's rows and of one more that is the mean of all."""
    labels = column.values + 1
    usual = truth[train].mean(0)
    counts = numpy.bincount(labels[train], minlength=labels.max() + 1)
    sums = numpy.stack([numpy.bincount(labels[train], each, labels.max() + 1) for each in truth[train].T], axis=1)
    means = (sums + usual) / (counts[:, None] + 1)
    return means[labels[valid]]


def knows_the_future(record: TableRecord) -> Checked:
    """A column is made from the target of its own row and of rows to come, as a moving average is.

    Rule: in the order of time, a column is a linear function of the targets of the seven rows around its own (99.5 % of
    its spread is explained in the second half of the rows by a fit to the first) and not of the three before it (less
    than 90 %).
    """
    time = next(
        (c for c in record.columns if c.kind == "date" or (record.split, c.name) == ("time", record.split_column)), None
    )
    if time is None or record.task != "regression" or record.is_sample or record.size < 20 * WINDOW:
        return None
    order, starts = _stretches(time, record)
    if len(starts) < 20 * WINDOW:
        return None
    inner = order[starts + WINDOW]
    for output in range(record.targets.shape[1]):
        windows = sliding_window_view(record.targets[order, output], 2 * WINDOW + 1)[starts]
        for column in record.features:
            if column.kind != "number":
                continue
            values = column.values[inner]
            if _follows(values, windows) >= MADE_OF and _follows(values, windows[:, :WINDOW]) < NOT_OF_THE_PAST:
                return _of_the_future(column.name, record.target_names[output], time.name)
    return f'No column is made from targets of rows that come later in "{time.name}".'


def _stretches(time: Column, record: TableRecord) -> tuple[Rows, Rows]:
    """The rows in the order of time, and where among them a window begins of which no row was put aside: known where
    the latest were, or where the table itself is in the order of time."""
    order = numpy.argsort(time.values, kind="stable")
    numbers = record.rows[order]
    starts = numpy.arange(max(0, len(order) - 2 * WINDOW))
    if record.split == "time":
        return order, starts
    is_in_order = len(order) > 0 and bool((numpy.diff(numbers) > 0).all())
    whole = numbers[2 * WINDOW :] - numbers[: len(starts)] == 2 * WINDOW
    return order, starts[whole] if is_in_order else starts[:0]


def _follows(values: Floats, windows: Floats) -> float:
    """The share of a column's spread that a linear function of the windows explains, fitted on the first half."""
    known = ~numpy.isnan(values)
    values, windows = values[known], windows[known]
    half = len(values) // 2
    if half < 4 * windows.shape[1] or values[half:].std() == 0:
        return 0.0
    cells = numpy.column_stack([windows, numpy.ones(len(windows))])
    found = numpy.linalg.lstsq(cells[:half], values[:half], rcond=None)[0]
    return float(1 - (values[half:] - cells[half:] @ found).var() / values[half:].var())


def _of_the_future(name: str, target: str, time: str) -> Finding:
    return Finding(
        "leakage",
        "high",
        f'"{name}" knows the future: it is made from "{target}" of the {WINDOW} rows before, its own row and the '
        f'{WINDOW} rows after it in "{time}".',
        {"columns": [name], "rows_around": WINDOW},
        Effect("When rows to come are predicted, it is not there: the score says nothing."),
        Remedy(f'Leave "{name}" out, or make it from earlier rows alone.', flag=without(name),
               code=f"drop={[name]!r}"),
    )  # fmt: skip


def learns_identifiers(record: TableRecord) -> Checked:
    """A column that only names the rows is learnt from, because the user asked for it.

    Rule: a label or whole number that is different in more than half of the rows (the rule by which columns are left
    out as identifiers), taken in by --category or --number. Severe where it goes with the target (p < 0.0001), as row
    numbers do in a table that was sorted.
    """
    named = [column for column in record.features if column.by_word and _names_rows(column, record.size)]
    if not named:
        return None
    column = named[0]
    chance = chance_of(column, record.targets) if len(numpy.unique(parts_of(column))) <= 4 * BINS else 1.0
    goes = ", and goes with the target as the order of the rows does" if chance < 1e-4 else ""
    return Finding(
        "leakage",
        "high" if goes else "low",
        f'"{column.name}" names the rows ({counted(column.distinct, "value")} in {counted(record.of_rows, "row")})'
        f"{goes}: rows to come have other names.",
        {"columns": [each.name for each in named], "p": chance, "distinct": column.distinct},
        Effect("What is learnt from it is of no use for rows to come."),
        Remedy(f'Leave "{column.name}" out.', flag=without(column.name), code=f"drop={[column.name]!r}"),
    )  # fmt: skip


def _names_rows(column: Column, rows: int) -> bool:
    if column.kind == "number":
        values = column.values[~column.missing]
        is_whole = len(values) and bool((values == numpy.round(values)).all())
        return bool(is_whole) and len(numpy.unique(values)) == rows
    return column.kind == "category" and column.distinct > NEAR_UNIQUE_SHARE * rows


def checks(record: TableRecord, *, seed: int = 0) -> Iterable[Checked]:
    yield tells_the_target(record, seed=seed)
    yield knows_the_future(record)
    yield learns_identifiers(record)
