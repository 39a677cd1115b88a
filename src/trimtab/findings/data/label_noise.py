"""The rule label_noise: rows whose target is probably wrong, by predictions that were made without them.

Knows targets and predictions out of fold; it knows no network.
"""

from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special

from trimtab.findings.checked import Checked
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.findings.ranks import average_ranks
from trimtab.text.wording import counted, listed

Floats = NDArray[numpy.float64]
# The chance of a floor under how often a network is wrong, without any.
LEVEL = 0.01
# A network that makes more than this share of the errors that the most frequent class makes has learnt little.
MOST_OF_CHANCE = 0.8
# Of what it says of its own errors where it is least sure, so much is true at least (a guess).
SAID_AT_LEAST = 0.6
# The logarithm of the rank over which being wrong falls, and the shape of the fall.
_LIMITS = ((-5.0, 1.5), (0.75, 5.0))
FEWEST_ROWS, MOST_ROWS = 100, 5_000
# Shares of wrong labels below this are of no consequence.
LEAST_SHARE = 0.005
LEVEL_OF_GAPS = 0.02
ROWS_SHOWN, ROWS_KEPT = 5, 1000


def label_noise(record: TableRecord, predictions: Floats) -> Checked:
    """Some targets are probably wrong: which rows.

    `predictions` are out of fold: values in original units or probabilities, float64 [rows, outputs], NaN where there
    is none.

    Rule for classes: where a network is surer it is wrong less often, down to none; wrong labels leave a floor under
    that. Over the rank of confidence from 0 to 1, being wrong falls from what the network itself says where it is least
    sure as Weibull's survival function does, or faster than a stretched exponential of shape 0.75; a floor is found
    where this fits better with one (a likelihood ratio test, p < 0.01). Rows are named by confident learning
    [Northcutt, Jiang and Chuang 2021]: their label is another than one whose probability is at least the mean of the
    rows that carry it, the least likely first, as many as the floor says. A chance in the matter itself that no column
    bears on looks the same. A network that is hardly better than the most frequent class says nothing.

    Rule for numbers: residuals are divided by their usual size at such predictions. In a tail that falls by a power or
    faster, the logarithms of the largest follow each other at distances that, times their rank, are of one exponential
    law [Hill 1975]; rows are named that lie beyond a gap which has a probability below 0.02 beside the distances below
    it, adjusted for all gaps that were looked at. About one healthy sample in a thousand has such a gap (2,700 of nine
    laws, heavy tails among them).
    """
    known = numpy.flatnonzero(~numpy.isnan(predictions).any(axis=1))
    if len(known) < FEWEST_ROWS:
        return NotChecked("label_noise", f"{counted(len(known), 'row')} with predictions out of fold are too few")
    targets, predicted = record.targets[known], predictions[known]
    if record.task == "classification":
        return _of_classes(record, known, targets, predicted)
    return _of_numbers(record, known, targets, predicted)


# -- classes


def _of_classes(record: TableRecord, known: NDArray[numpy.int64], labels: NDArray[Any], predicted: Floats) -> Checked:
    guess = predicted.argmax(1)
    wrong = guess != labels
    if wrong.mean() > MOST_OF_CHANCE * (1 - numpy.bincount(labels).max() / len(labels)):
        return NotChecked("label_noise", "the network is hardly better than always saying the most frequent class")
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
    from scipy import optimize  # takes longer to import than most tables to be checked

    if len(wrong) > MOST_ROWS:
        taken = numpy.random.default_rng(0).choice(len(wrong), MOST_ROWS, replace=False)
        sorted_probabilities, wrong = sorted_probabilities[taken], wrong[taken]
    margin = sorted_probabilities[:, -1] - sorted_probabilities[:, -2]
    rank = numpy.log((average_ranks(margin) - 0.5) / len(margin))
    y = wrong.astype(numpy.float64)
    if y.sum() < 5:
        return 0.0, 1.0

    # Where it is least sure, a network is wrong about as often as it says: a half, where it is undecided there.
    least_sure = sorted_probabilities[rank <= numpy.log(0.05), -1]
    says = 1 - float(least_sure.mean())
    limits = ((SAID_AT_LEAST * says, 0.8), *_LIMITS)

    def surprise(parameters: Floats, floor: float) -> float:
        top, length, shape = parameters
        p = floor + (1 - floor) * top * numpy.exp(-numpy.exp(numpy.clip(shape * (rank - length), -700, 6)))
        p = numpy.clip(p, 1e-9, 1 - 1e-9)
        return -float((y * numpy.log(p) + (1 - y) * numpy.log1p(-p)).sum())

    def fitted(floor: float, start: Floats) -> Any:
        return optimize.minimize(surprise, start, args=(floor,), bounds=limits, method="L-BFGS-B")

    start = numpy.array([max(0.02, says), numpy.log(max(0.02, 2 * y.mean())), 1.0])
    without = min(
        (fitted(0.0, numpy.array([start[0], start[1], shape])) for shape in (0.7, 1.0, 2.0)), key=lambda f: f.fun
    )
    most = y[rank > numpy.log(0.5)].mean()
    tried = [(floor, fitted(floor, start).fun) for floor in most * numpy.linspace(0.1, 1.2, 12) if floor > 0]
    floor, best = min([(0.0, without.fun), *tried], key=lambda pair: pair[1])
    # The floor is at its lower end without wrong labels: half of the time the ratio is 0.
    return float(floor), 0.5 * float(special.chdtrc(1, 2 * max(0.0, without.fun - best)))


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


def _of_numbers(record: TableRecord, known: NDArray[numpy.int64], targets: Floats, predicted: Floats) -> Checked:
    errors = targets - predicted
    columns = range(targets.shape[1])
    is_outlying = numpy.any([_outlying(errors[:, i], predicted[:, i]) for i in columns], axis=0)
    if not is_outlying.any():
        return "No target lies further from its prediction than the tails of the others let expect."
    size = (abs(errors) / numpy.maximum(1e-300, numpy.median(abs(errors), axis=0))).max(1)
    order = numpy.argsort(-numpy.where(is_outlying, size, -1.0), kind="stable")[: int(is_outlying.sum())]
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
        f'{counted(len(rows), "target lies", "targets lie")} far beyond the errors of all other rows, as if the data '
        f'were wrong there; furthest is row {rows[0]}, where "{name}" is {_figure(targets[i, at])} and '
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


def _outlying(errors: Floats, predicted: Floats) -> NDArray[numpy.bool_]:
    """bool [rows]: those beyond a gap in the errors that no tail has, on either side."""
    scaled = errors / _usual_size(errors, predicted)
    scaled = scaled - numpy.median(scaled)
    result = numpy.zeros(len(errors), dtype=bool)
    for sign in (1, -1):
        order = numpy.argsort(-sign * scaled, kind="stable")
        sizes = sign * scaled[order]
        result[order[: _beyond_gap(sizes[sizes > 0])]] = True
    return result


def _beyond_gap(sizes: Floats) -> int:
    """How many of `sizes`, which fall, lie beyond a gap."""
    below = max(20, len(sizes) // 5)
    most = min(len(sizes) // 10, len(sizes) - below - 1)
    if most < 1:
        return 0
    spacings = numpy.arange(1, len(sizes)) * numpy.log(sizes[:-1] / sizes[1:])
    sums = numpy.concatenate([[0.0], numpy.cumsum(spacings)])
    usual = numpy.maximum(1e-300, sums[1 + below : 1 + below + most] - sums[1 : 1 + most]) / below
    chances = (1 + spacings[:most] / usual / below) ** -float(below) * 2 * most
    gaps = numpy.flatnonzero(chances < LEVEL_OF_GAPS)
    return int(gaps[-1]) + 1 if len(gaps) else 0


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
