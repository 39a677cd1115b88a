"""Rates: the learning rate beside a short sweep of others, all from the same seeds.

Short trainings favour large rates [Wu, Ren, Liao and Grosse 2018]: so a rate counts as too small only where it gets
hardly anywhere, and as too large only where a much smaller one does better even so. Knows set-ups and outcomes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from trimtab.checkups.comparing import Comparison, compared, mean_of
from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import Outcome, ShortTraining
from trimtab.findings.finding import Effect, Finding
from trimtab.findings.remedies import by_knobs
from trimtab.findings.words import percent, times

# Rates that are tried, as multiples of the one in question: two decades of a usual one to either side, and one more.
FACTORS = (1e-3, 1e-2, 1e-1, 1e1, 1e2, 1e3)
NEAREST = FACTORS[1:-1]
# Runs of a rate where there is little time, fewer of which show no difference; and what may be spent of the time left.
FEWEST, SHARE = 3, 0.7
# A rate that makes less than so much of the progress of the best needs ten times as many steps at least.
HARDLY = 0.1
# Errors below this share of the one in question count; smaller gains of other rates are no fault (a guess).
CLEARLY = 0.9


@dataclass(frozen=True)
class Swept:
    """One rate of the sweep: its mean error, infinite where it has no number, and in how many of its runs training
    diverged."""

    rate: float
    error: float
    diverged: int
    runs: int


@dataclass(frozen=True)
class RateFound:
    """What the sweep came to: every rate; what is wrong with the one in question; how it compares with a `better` one,
    and what that came to."""

    swept: tuple[Swept, ...]
    finding: Finding | None = None
    comparison: Comparison | None = None
    better: float | None = None
    outcomes: Sequence[Outcome] = ()

    @property
    def is_too_small(self) -> bool:
        return self.finding is not None and self.finding.id == "learning_rate_too_small"

    @property
    def least(self) -> float:
        """The error at the best rate."""
        return min(each.error for each in self.swept)


def swept_rates(setup: Setup, own: Sequence[Outcome], training: ShortTraining) -> RateFound | None:
    """The rate of `setup`, whose outcomes are known, beside others; None where there is not enough time."""
    rate, (factors, seeds) = setup.rate, _affordable(training)
    others = [rate * factor for factor in factors]
    found = training.outcomes(setup, others, seeds)
    if found is None:
        return None
    own = own[:seeds]
    every = sorted([(rate, list(own)), *zip(others, found, strict=True)], key=lambda each: each[0])
    swept = tuple(_swept(*each) for each in every)
    compare = compared(setup, own, [(f"lr={other:.3g}", each) for other, each in zip(others, found, strict=True)],
                       comparisons=len(others))  # fmt: skip
    by_rate = dict(zip(others, compare, strict=True))
    best = min(others, key=lambda other: by_rate[other].after)
    comparison, theirs = by_rate[best], found[others.index(best)]
    is_clear = comparison.is_better and (
        not math.isfinite(comparison.before) or comparison.after < CLEARLY * comparison.before
    )
    mine = next(each for each in swept if each.rate == rate)
    diverges = mine.diverged > mine.runs / 2
    if best < rate and (is_clear or (diverges and not _diverges(theirs))):
        return RateFound(swept, _too_large(setup, comparison, best, diverges=diverges), comparison, best, theirs)
    share = _progress(own, theirs)
    if best > rate and is_clear and share < HARDLY:
        return RateFound(swept, _too_small(setup, training.steps, share, best), comparison, best, theirs)
    return RateFound(swept)


def _affordable(training: ShortTraining) -> tuple[Sequence[float], int]:
    """Which rates, and how many runs of each: fewer where runs are slow, those of an optimizer of the caller's own."""
    every, few = len(training.seeds), min(FEWEST, len(training.seeds))
    ways = ((FACTORS, every), (FACTORS, few), (NEAREST, few))
    return next((way for way in ways if training.has_time_for(len(way[0]) * way[1], share=SHARE)), ways[-1])


def _swept(rate: float, outcomes: Sequence[Outcome]) -> Swept:
    return Swept(rate, mean_of(outcomes), sum(o.has_diverged for o in outcomes), len(outcomes))


def _diverges(outcomes: Sequence[Outcome]) -> bool:
    return sum(each.has_diverged for each in outcomes) > len(outcomes) / 2


def _progress(own: Sequence[Outcome], best: Sequence[Outcome]) -> float:
    """By how much the loss fell, as a share of how much it fell at the best rate."""
    mine, most = (float(numpy.mean([each.fall for each in part])) for part in (own, best))
    return mine / most if math.isfinite(mine) and most > 0 else 0.0 if most > 0 else 1.0


def _too_large(setup: Setup, comparison: Comparison, best: float, *, diverges: bool) -> Finding:
    what = "training diverges" if diverges else f"training does worse than at a rate {times(setup.rate / best)} smaller"
    return Finding(
        "learning_rate_too_large", "high" if diverges else "medium",
        f"At the learning rate of {setup.rate:.3g} {what}.",
        {"rate": setup.rate, "better": best},
        Effect("Steps are longer than the valley is wide."),
        by_knobs("Lower the learning rate.", lr=best),
    )  # fmt: skip


def _too_small(setup: Setup, steps: int, share: float, best: float) -> Finding:
    return Finding(
        "learning_rate_too_small", "high" if share < HARDLY / 10 else "medium",
        f"At the learning rate of {setup.rate:.3g} training gets hardly anywhere: in {steps} steps the loss falls by "
        f"{percent(max(0.0, share))} of what it falls by at {best:.3g}.",
        {"rate": setup.rate, "better": best, "share": share, "steps": steps},
        Effect(f"It needs at least {times(1 / max(share, 1e-9))} as many steps."),
        by_knobs("Raise the learning rate.", lr=best),
    )  # fmt: skip
