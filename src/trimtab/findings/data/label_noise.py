"""The rule label_noise: rows whose target is probably wrong, by predictions that were made without them.

Knows targets and predictions out of fold; it knows no network.
"""

from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import optimize, stats

from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.findings.outcome import Outcome
from trimtab.text.wording import counted, listed

Floats = NDArray[numpy.float64]
LEVEL = 1e-4
FEWEST_ROWS = 100
# Shares of wrong labels below this are of no consequence.
LEAST_SHARE = 0.005
# Of so many healthy tables one has a number that counts as an outlier.
TABLES_PER_ALARM = 1000
ROWS_SHOWN, ROWS_KEPT = 5, 1000


def label_noise(record: TableRecord, predictions: Floats) -> Outcome:
    """Some targets are probably wrong: which rows.

    `predictions` are out of fold: values in original units or probabilities, float64 [rows, outputs], NaN where there
    is none.

    Rule for classes: where a network is surer it is wrong less often, down to none; wrong labels leave a floor under
    that. A floor is found where a logistic law of being wrong over the rank of confidence fits better with one (a
    likelihood ratio test, p < 0.0001). Rows are named by confident learning [Northcutt, Jiang and Chuang 2021]: their
    label is another than one whose probability is at least the mean of the rows that carry it, the least likely first,
    as many as the floor says. A chance in the matter itself that no column bears on looks the same.

    Rule for numbers: residuals, divided by their usual size at such predictions, have on each side the tail of a
    Student's law as heavy as their quarter and their twentieth say. A row is named beyond the value that one healthy
    table in a thousand reaches.
    """
    known = numpy.flatnonzero(~numpy.isnan(predictions).any(axis=1))
    if len(known) < FEWEST_ROWS:
        return NotChecked("label_noise", f"{counted(len(known), 'row')} with predictions out of fold are too few")
    targets, predicted = record.targets[known], predictions[known]
    if record.task == "classification":
        return _of_classes(record, known, targets, predicted)
    return _of_numbers(record, known, targets, predicted)


# -- classes


def _of_classes(record: TableRecord, known: NDArray[numpy.int64], labels: NDArray[Any], predicted: Floats) -> Outcome:
    guess = predicted.argmax(1)
    wrong = guess != labels
    floor, chance = _floor(numpy.sort(predicted, axis=1), wrong)
    if not (chance < LEVEL and floor >= LEAST_SHARE):
        return "Where the network is surest, labels agree with it."
    order = _least_likely(labels, predicted)[: round(floor * len(labels))]
    if not len(order):
        return "No row is labelled otherwise than the network is sure of."
    rows = record.rows[known[order]]
    examples = listed(
        f"row {row} (labelled {record.labels[labels[i]]}, rather {record.labels[guess[i]]})"
        for row, i in zip(rows[:ROWS_SHOWN], order, strict=False)
    )
    return Finding(
        "label_noise",
        "high" if floor >= 0.05 else "medium",
        f"About {100 * floor:.1f} % of the labels are probably wrong ({counted(len(rows), 'row')}): even where the "
        f"network is surest, as many rows carry another label. First of them: {examples}; rows are counted from 0.",
        {"share": floor, "p": chance, "rows": rows[:ROWS_KEPT].tolist()},
        Effect(f"Of 100 rows about {100 * floor:.0f} are scored wrong whatever is predicted.", floor),
        Remedy("Look at these rows and mend or leave out those that are wrong; they are listed in the evidence."),
    )


def _floor(sorted_probabilities: Floats, wrong: NDArray[numpy.bool_]) -> tuple[float, float]:
    """The share of wrong labels among the rows that are surest, and the chance of such data without any."""
    margin = sorted_probabilities[:, -1] - sorted_probabilities[:, -2]
    rank = stats.norm.ppf((stats.rankdata(margin) - 0.5) / len(margin))
    y = wrong.astype(numpy.float64)
    if y.sum() < 5:
        return 0.0, 1.0

    def surprise(parameters: Floats, floor: float | None = None) -> float:
        level, slope, bend = parameters[:3]
        low = floor if floor is not None else 1 / (1 + numpy.exp(-parameters[3]))
        logit = level - numpy.exp(slope) * rank - bend * rank * numpy.abs(rank)
        p = low + (1 - low) / (1 + numpy.exp(-numpy.clip(logit, -500, 500)))
        p = numpy.clip(p, 1e-12, 1 - 1e-12)
        return -float((y * numpy.log(p) + (1 - y) * numpy.log1p(-p)).sum())

    start = numpy.array([numpy.log((y.mean() + 1e-3) / (1 - y.mean() + 1e-3)), 0.0, 0.0])
    limits = [(-30, 30), (-4, 3), (0, 5)]
    without = optimize.minimize(lambda x: surprise(x, 0.0), start, bounds=limits, method="L-BFGS-B")
    best, floor = without.fun, 0.0
    for guess in (y.mean() / 2, y[rank > numpy.median(rank)].mean() + 1e-3):
        begin = [*without.x, numpy.log(guess / (1 - guess))]
        found = optimize.minimize(surprise, begin, bounds=[*limits, (-9, 0)], method="L-BFGS-B")
        if found.fun < best:
            best, floor = found.fun, float(1 / (1 + numpy.exp(-found.x[3])))
    # The floor is at its lower end without wrong labels: half of the time the ratio is 0.
    return floor, 0.5 * float(stats.chi2.sf(2 * max(0.0, without.fun - best), 1))


def _least_likely(labels: NDArray[Any], predicted: Floats) -> NDArray[numpy.int64]:
    """Rows whose label is another than one that is as probable as it is for those that carry it, the least likely
    label first [Northcutt, Jiang and Chuang 2021]."""
    own = predicted[numpy.arange(len(labels)), labels]
    classes = predicted.shape[1]
    usual = numpy.array([own[labels == c].mean() if (labels == c).any() else 2.0 for c in range(classes)])
    rival = numpy.where(numpy.eye(classes, dtype=bool)[labels], -1.0, predicted)
    suspected = numpy.flatnonzero((rival >= usual).any(1))
    return suspected[numpy.argsort(own[suspected] - rival[suspected].max(1), kind="stable")]


# -- numbers


def _of_numbers(record: TableRecord, known: NDArray[numpy.int64], targets: Floats, predicted: Floats) -> Outcome:
    far = numpy.zeros(len(targets))
    for output in range(targets.shape[1]):
        errors = targets[:, output] - predicted[:, output]
        far = numpy.maximum(far, _how_far(errors, predicted[:, output]))
    order = numpy.argsort(-far, kind="stable")[: int((far > 1).sum())]
    if not len(order):
        return "No target lies further from its prediction than the tails of the others let expect."
    errors = targets - predicted
    share = float((errors[order] ** 2).sum() / (errors**2).sum())
    rows = record.rows[known[order]]
    i = order[0]
    name = record.target_names[int(numpy.argmax(abs(errors[i]) / errors.std(0)))]
    at = record.target_names.index(name) if name in record.target_names else 0
    severity: Severity = "high" if share >= 0.25 else "medium" if share >= 0.05 else "low"
    which = listed(f"row {row}" for row in rows[:ROWS_SHOWN])
    return Finding(
        "label_noise",
        severity,
        f'{counted(len(rows), "target lies", "targets lie")} so far from what the other rows let expect that an error '
        f'in the data is likely; furthest is row {rows[0]}, where "{name}" is {_figure(targets[i, at])} and '
        f"{_figure(predicted[i, at])} is predicted ({which}; rows are counted from 0).",
        {"rows": rows[:ROWS_KEPT].tolist(), "share_of_squared_error": share},
        Effect(f"{100 * share:.0f} % of the squared error comes from them out of fold.", share),
        Remedy(
            "Look at these rows and mend or leave out those that are wrong; or train with a loss they do not rule.",
            change={"loss": "huber"}, flag="--loss huber", code='loss="huber"',
        ),
    )  # fmt: skip


def _figure(value: float) -> str:
    return f"{value:,.4g}"


def _how_far(errors: Floats, predicted: Floats) -> Floats:
    """float64 [rows]: above 1 beyond the value that the largest of all reaches in one healthy table of a thousand."""
    scaled = errors / _usual_size(errors, predicted)
    centre = numpy.median(scaled)
    result = numpy.zeros(len(errors))
    for sign in (1, -1):
        side = sign * (scaled - centre)
        quarter, twentieth = numpy.quantile(side, [0.75, 0.95])
        if quarter <= 0:
            continue
        limit = _tail(twentieth / quarter, len(errors)) * quarter
        result = numpy.maximum(result, side / limit)
    return result


def _usual_size(errors: Floats, predicted: Floats) -> Floats:
    """The median size of the errors of rows with predictions of about the same size: spreads often grow with them."""
    order = numpy.argsort(predicted, kind="stable")
    sizes = abs(errors - numpy.median(errors))[order]
    parts = numpy.array_split(sizes, max(1, min(10, len(sizes) // 50)))
    least = 1e-9 * max(1e-300, float(numpy.median(sizes)) or float(sizes.mean()))
    usual = numpy.concatenate([numpy.full(len(part), max(least, float(numpy.median(part)))) for part in parts])
    result = numpy.empty(len(errors))
    result[order] = usual
    return result


def _tail(ratio: float, rows: int) -> float:
    """How many times the upper quartile the largest of `rows` values is at most, by a Student's law whose twentieth and
    quarter have the ratio seen, and three standard errors more (which are about 2 / the root of the rows, measured)."""
    ratio *= 1 + 3 * 2 / numpy.sqrt(rows)

    def ratio_at(freedom: float) -> float:
        return float(stats.t.isf(0.05, freedom) / stats.t.isf(0.25, freedom))

    low, high = numpy.log(0.3), numpy.log(200.0)
    if ratio <= ratio_at(200.0):
        freedom = 200.0
    elif ratio >= ratio_at(0.3):
        freedom = 0.3
    else:
        freedom = float(numpy.exp(optimize.brentq(lambda x: ratio_at(float(numpy.exp(x))) - ratio, low, high)))
    return float(stats.t.isf(1 / (TABLES_PER_ALARM * 2 * rows), freedom) / stats.t.isf(0.25, freedom))
