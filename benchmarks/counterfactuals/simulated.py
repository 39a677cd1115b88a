"""Simulated scores of studies whose truth is known: no network is trained.

Every comparison shares the winner's scores, folds overlap as those of cross-validation do, and spreads differ.
"""

import math
from collections.abc import Callable

import numpy

from benchmarks.page import table
from trimtab.findings.worth.intervals import ALIKE, Difference, Paired, differences, level

COMPARISONS, FOLDS, OVERLAP = 40, 5, 0.25
# Half of the alternatives are as good as the winner; the others differ by some of their own spreads.
ALIKE_SHARE, SPREAD_OF_DIFFERENCES = 0.5, 2.0
SPREAD_OF_SPREADS = 0.7
ROWS = 200

Draw = Callable[[numpy.random.Generator, numpy.ndarray, numpy.ndarray], list[Paired]]


def page(studies: int) -> str:
    rows = []
    for name, draw in _statistics().items():
        covered, false_claims, null_claims, decided = _measured(draw, studies)
        rows.append([
            name, f"{covered:.1%}", "94 %", f"{false_claims:.1%}", f"{null_claims:.1%}",
            f"{0.05 + 2 * math.sqrt(0.05 * 0.95 / studies):.1%}", f"{decided:.0%}",
        ])  # fmt: skip
    head = ["pairs", "95 % intervals cover", "at least", "studies with a false claim", "where nothing differs",
            "at most", "true differences decided"]  # fmt: skip
    return f"{studies:,} simulated studies of {COMPARISONS} comparisons.\n\n{table(head, rows)}"


def _statistics() -> dict[str, Draw]:
    of_folds = {f"{r} x {FOLDS} folds": _of_folds(r) for r in (1, 2, 4)}
    return of_folds | {f"{seeds} seeds on one part": _of_rows(seeds) for seeds in (3, 5, 10)}


def _measured(draw: Draw, studies: int) -> tuple[float, float, float, float]:
    """Shares: of single 95 % intervals that cover; of studies with a false claim, and where nothing differs; of true
    differences that are decided."""
    rng = numpy.random.default_rng(0)
    covered = false_claims = null_claims = decided = differing = 0
    for _ in range(studies):
        spreads = numpy.exp(rng.normal(0, SPREAD_OF_SPREADS, COMPARISONS))
        truth = rng.normal(0, SPREAD_OF_DIFFERENCES, COMPARISONS) * spreads
        truth[rng.random(COMPARISONS) < ALIKE_SHARE] = 0.0
        paired = draw(rng, truth, spreads)
        covered += sum(
            each.low <= true <= each.high for each, true in zip(differences(paired, level=0.05), truth, strict=True)
        )
        claims = differences(paired, level=level(COMPARISONS, 0))
        false_claims += any(_is_false(each, true) for each, true in zip(claims, truth, strict=True))
        decided += sum(each.verdict != ALIKE for each, true in zip(claims, truth, strict=True) if true)
        differing += int((truth != 0).sum())
        nothing = draw(rng, numpy.zeros(COMPARISONS), spreads)
        null_claims += any(each.verdict != ALIKE for each in differences(nothing, level=level(COMPARISONS, 0)))
    return covered / (studies * COMPARISONS), false_claims / studies, null_claims / studies, decided / differing


def _is_false(found: Difference, true: float) -> bool:
    return found.verdict != ALIKE and not found.low <= true <= found.high


def _of_folds(repetitions: int) -> Draw:
    """Differences of scores over repeated folds, whose training parts have so much in common that the variance of
    their mean is (1/n + overlap) times that of one."""

    def draw(rng: numpy.random.Generator, truth: numpy.ndarray, spreads: numpy.ndarray) -> list[Paired]:
        pairs = FOLDS * repetitions
        noise = _shared_by_all(rng, pairs, spreads)
        return [Paired.over_folds(true + own, OVERLAP) for true, own in zip(truth, noise, strict=True)]

    return draw


def _shared_by_all(rng: numpy.random.Generator, pairs: int, spreads: numpy.ndarray) -> numpy.ndarray:
    own = rng.normal(size=(COMPARISONS + 1, pairs)) + math.sqrt(OVERLAP) * rng.normal(size=(COMPARISONS + 1, 1))
    return spreads[:, None] * own[1:] - own[:1]


def _of_rows(seeds: int) -> Draw:
    """Differences over seeds on one validation part, whose rows they share; their variance is known from the rows."""

    def draw(rng: numpy.random.Generator, truth: numpy.ndarray, spreads: numpy.ndarray) -> list[Paired]:
        own = rng.normal(size=(COMPARISONS + 1, seeds))
        over_seeds = spreads[:, None] * own[1:] - own[:1]
        row_variances = (0.5 * spreads) ** 2
        over_rows = numpy.sqrt(row_variances) * rng.normal(size=COMPARISONS)
        estimated = row_variances * rng.chisquare(ROWS - 1, COMPARISONS) / (ROWS - 1)
        return [
            Paired.over_rows(true + row + runs, variance, ROWS)
            for true, row, runs, variance in zip(truth, over_rows, over_seeds, estimated, strict=True)
        ]

    return draw
