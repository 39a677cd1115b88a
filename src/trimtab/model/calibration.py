"""Calibration: how far predictions are off, learnt from rows that the networks which predicted them had not seen; and
the intervals and sets of classes that follow.

Cross-conformal prediction [Vovk 2015] from out-of-fold errors; those of numbers are divided by their usual size among
rows with predictions near them [Lei et al. 2018], so that intervals are wide where errors are large, and each end has a
quantile of its own. A set of classes holds all that are not less probable than the true class usually is [Sadinle et
al. 2019]. Knows predictions and truths, no networks and no tables.
"""

import math
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from trimtab.errors import OptionError
from trimtab.table.numbers import Document
from trimtab.text.wording import counted

Numbers = NDArray[numpy.float64]

# Scores that are kept at most: a level is then known to a thousandth, in some ten kilobytes.
MOST_SCORES = 1_000
# Rows of a part of near predictions whose usual error is learnt, and parts at most: of a hundred errors the mean is
# known to some 8 %. So many rows of all pull the mean of a part towards that of all.
ROWS_OF_A_PART, MOST_PARTS, PULL = 100, 10, 20
# By which two probabilities differ that are the same: some rounding of their sums.
TIE = 1e-12


class Interval(NamedTuple):
    """Predictions and the ends of their intervals, each [rows] (several targets: [rows, targets])."""

    prediction: numpy.ndarray
    low: numpy.ndarray
    high: numpy.ndarray


class ClassSet(NamedTuple):
    """Predicted labels [rows], and which classes may be right, bool [rows, classes] in the order of the model's."""

    prediction: numpy.ndarray
    classes: numpy.ndarray


class Scores(Document):
    """Scores in rising order, and the share of all rows up to each of them; `is_thinned` where some are left out."""

    values: tuple[float, ...]
    shares: tuple[float, ...]
    is_thinned: bool = False

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> "Scores":
        """Those of rows with weights [rows], thinned out where they are many."""
        order = numpy.argsort(values, kind="stable")
        values, shares = values[order], numpy.cumsum(weights[order]) / weights.sum()
        is_thinned = len(values) > MOST_SCORES
        if is_thinned:
            levels = numpy.arange(1, MOST_SCORES + 1) / MOST_SCORES
            places = numpy.searchsorted(shares, levels - 1e-9).clip(max=len(values) - 1)
            values, shares = values[places], levels
        shares[-1] = 1.0
        return cls(values=tuple(values.tolist()), shares=tuple(shares.tolist()), is_thinned=is_thinned)

    def above(self, share: float) -> float:
        """The least score that this share of rows does not exceed."""
        return self.values[int(numpy.searchsorted(self.shares, share - 1e-9))]

    def below(self, share: float) -> float:
        """The greatest score that this share of rows does not fall short of."""
        # Of a row that stands for those before it, nearly as many are below as are up to it.
        before = numpy.array(self.shares) if self.is_thinned else numpy.concatenate([[0.0], self.shares[:-1]])
        return self.values[max(0, int(numpy.searchsorted(before, 1 - share + 1e-9, side="right")) - 1)]


class TargetErrors(Document):
    """The errors of one target: their usual `sizes` at predictions `at`, between which one goes straight, and beyond
    which it stays; and the `scores`, truth less prediction over that size."""

    at: tuple[float, ...]
    sizes: tuple[float, ...]
    scores: Scores

    @classmethod
    def of(cls, predictions: Numbers, truth: Numbers, weights: Numbers) -> "TargetErrors":
        """From predictions and truths [rows] of one target."""
        errors = truth - predictions
        usual = float(numpy.average(numpy.abs(errors), weights=weights)) or 1.0
        at, sizes = [], []
        order = numpy.argsort(predictions, kind="stable")
        for rows in numpy.array_split(order, max(1, min(MOST_PARTS, len(order) // ROWS_OF_A_PART))):
            mass = float(weights[rows].sum() / weights.mean())
            size = float(numpy.average(numpy.abs(errors[rows]), weights=weights[rows]))
            middle = float(numpy.median(predictions[rows]))
            if not at or middle > at[-1]:
                at.append(middle)
                sizes.append((mass * size + PULL * usual) / (mass + PULL))
        scores = Scores.of(errors / numpy.interp(predictions, at, sizes), weights)
        return cls(at=tuple(at), sizes=tuple(sizes), scores=scores)

    def size(self, predictions: Numbers) -> Numbers:
        """The usual size of an error at these predictions [rows]."""
        return numpy.interp(predictions, self.at, self.sizes)

    def bounds(self, predictions: Numbers, level: float) -> tuple[Numbers, Numbers]:
        """Both ends [rows] around predictions [rows], each of which holds this share of scores."""
        size = self.size(predictions)
        return predictions + self.scores.below(level) * size, predictions + self.scores.above(level) * size


class Calibration(Document):
    """What a model's errors on `rows` rows were that count, each by its own: of every target, or of classes, where a
    score is what the true class lacked of certainty."""

    rows: float
    targets: tuple[TargetErrors, ...] = ()
    classes: Scores | None = None

    @classmethod
    def of_numbers(
        cls, predictions: Numbers, truth: Numbers, weights: Numbers, units: numpy.ndarray
    ) -> "Calibration | None":
        """From out-of-fold predictions and truths [rows, targets]; rows that no fold judged are NaN. None without any.

        `weights` [rows] count like repeated rows; rows of one number in `units` [rows] are no evidence of their own.
        """
        known = numpy.isfinite(predictions).all(axis=1) & (weights > 0)
        if not known.any():
            return None
        predictions, truth, weights = predictions[known].astype(float), truth[known].astype(float), weights[known]
        targets = [
            TargetErrors.of(predictions[:, i], truth.reshape(len(truth), -1)[:, i], weights)
            for i in range(predictions.shape[1])
        ]
        return cls(rows=_rows_that_count(weights, units[known]), targets=tuple(targets))

    @classmethod
    def of_classes(
        cls, probabilities: Numbers, truth: numpy.ndarray, weights: Numbers, units: numpy.ndarray
    ) -> "Calibration | None":
        """The same from out-of-fold probabilities [rows, classes] and the numbers of the true classes [rows]."""
        known = numpy.isfinite(probabilities).all(axis=1) & (weights > 0)
        if not known.any():
            return None
        of_truth = probabilities[known, truth.reshape(-1)[known].astype(int)].astype(float)
        scores = Scores.of(1 - of_truth, weights[known])
        return cls(rows=_rows_that_count(weights[known], units[known]), classes=scores)

    def bounds(self, predictions: Numbers, share: float) -> tuple[Numbers, Numbers]:
        """The lower and upper ends [rows, targets] of intervals around predictions [rows, targets] that hold the truth
        in this share of rows like those of training."""
        level = self.level(share)
        ends = [errors.bounds(predictions[:, i], level) for i, errors in enumerate(self.targets)]
        low, high = (numpy.stack(columns, axis=1) for columns in zip(*ends, strict=True))
        return low, high

    def sets(self, probabilities: Numbers, share: float) -> NDArray[numpy.bool_]:
        """Which classes [rows, classes] belong to sets that hold the true one in this share of rows; the most probable
        one always does."""
        assert self.classes is not None
        belongs = 1 - probabilities <= self.classes.above(self.level(share)) + TIE
        belongs[numpy.arange(len(belongs)), probabilities.argmax(axis=1)] = True
        return belongs

    def level(self, share: float) -> float:
        """The share of scores that each end has to hold: of one more row than there are, since the next one counts too
        [Vovk et al. 2005]. Raises OptionError where they are too few."""
        check_share(share)
        ends = 1 if self.classes is not None else 2
        level = (1 - (1 - share) / ends) * (self.rows + 1) / self.rows
        if level > 1 + 1e-12:
            most = math.floor(1000 * (1 - ends / (self.rows + 1))) / 1000
            known = counted(int(self.rows), "row was", "rows were")
            raise OptionError(
                f"An interval of {share:g} is too much: {known} predicted without having been trained on, which tell "
                + (f"intervals of at most {most:g}. Give less, or" if most > 0 else "none:")
                + " train on more rows."
            )
        return min(1.0, level)


def check_share(share: float) -> None:
    """Raise OptionError unless `share` is between 0 and 1."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise OptionError(f"An interval of {share!r} is none: give the share of rows it is to hold, such as 0.9.")


def _rows_that_count(weights: Numbers, units: numpy.ndarray) -> float:
    """As many rows of equal weight as say as much [Kish 1965], those of one unit together."""
    of_units = numpy.bincount(numpy.unique(units, return_inverse=True)[1].reshape(-1), weights=weights)
    return float(of_units.sum() ** 2 / (of_units**2).sum())
