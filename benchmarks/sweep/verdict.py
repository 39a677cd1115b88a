"""From standings to Markdown: a row per table, a row per finder, and whether what is wanted was met.

Knows standings; it runs nothing.
"""

from collections.abc import Iterable
from math import isfinite
from statistics import median

from benchmarks.page import table
from benchmarks.sweep.finders import OURS, Suggestion
from benchmarks.sweep.standing import WITHIN, Standing
from benchmarks.sweep.terms import FRESH_SEEDS, SEEDS, Terms


def page(standings: list[Standing], terms: Terms) -> str:
    finders = [each.finder for each in standings[0].suggestions]
    head = ["table", "rows, inputs", "best of the exhaustive search", *finders]
    by_table = table(head, [_row(standing) for standing in standings])
    head = [
        "finder", f"at most {WITHIN:.0%} worse, or like the best", f"at most {WITHIN:.0%} worse", "median ratio",
        "worst ratio", "its own seeds differ by (median)", "no suggestion", "median seconds (computing)",
    ]  # fmt: skip
    by_finder = table(head, [_totals(standings, finder) for finder in finders])
    return "\n\n".join([_explained(terms), by_table, by_finder, _met(standings), _of_ranges(standings)])


def _explained(terms: Terms) -> str:
    return (
        f"{len(terms.rates)} rates from {terms.rates[0]:g} to {terms.rates[-1]:g}, {terms.epochs} epochs, {SEEDS} "
        f"seeds for the sweep (the others: the middle of {SEEDS} suggestions) and {FRESH_SEEDS} fresh ones for every "
        "full training. A cell: the suggested rate, and its mean validation RMSE at the best epoch relative to the "
        "best of the exhaustive search; 'like': seeds, in pairs, cannot tell the two apart at 95 %."
    )


def _row(standing: Standing) -> list[str]:
    best = f"{standing.best:.2g} (RMSE {standing.mean(standing.best):.3f})"
    cells = [_cell(standing, each) for each in standing.suggestions]
    return [standing.name, f"{standing.rows:,}, {standing.inputs}", best, *cells]


def _cell(standing: Standing, suggestion: Suggestion) -> str:
    if suggestion.rate is None:
        return suggestion.failure
    verdict = standing.verdict(suggestion.rate)
    text = f"{suggestion.rate:.2g}: {_times(verdict.ratio)}{'' if verdict.is_told_apart else ', like'}"
    return f"**{text}**" if verdict.is_met else text


def _times(ratio: float) -> str:
    """A ratio as a difference in per cent where it is near one."""
    if not isfinite(ratio):
        return "not finite"
    return f"{ratio - 1:+.1%}" if ratio < 2 else f"{ratio:.3g}x"


def _totals(standings: list[Standing], finder: str) -> list[str]:
    own = [(standing, next(s for s in standing.suggestions if s.finder == finder)) for standing in standings]
    verdicts = [standing.verdict(each.rate) for standing, each in own if each.rate is not None]
    ratios = [verdict.ratio for verdict in verdicts] or [float("nan")]
    return [
        finder,
        f"{sum(verdict.is_met for verdict in verdicts)} of {len(own)}",
        f"{sum(verdict.ratio <= 1 + WITHIN for verdict in verdicts)}",
        _times(median(ratios)),
        _times(max(ratios)),
        _spread(each for _, each in own),
        str(len(own) - len(verdicts)),
        f"{median(each.seconds for _, each in own):.1f} ({median(each.computing for _, each in own):.1f})",
    ]


def _spread(suggestions: Iterable[Suggestion]) -> str:
    """How many times the greatest of a finder's suggestions for one table is the least."""
    spreads = [max(each.drawn) / min(each.drawn) for each in suggestions if each.drawn]
    return f"{median(spreads):.3g}x" if spreads else ""


def _met(standings: list[Standing]) -> str:
    """Whether our rate is good enough on every table."""
    ours = [(standing, next(s for s in standing.suggestions if s.finder == OURS)) for standing in standings]
    missed = [standing.name for standing, each in ours if each.rate is None or not standing.verdict(each.rate).is_met]
    words = f"trimtab's rate is at most {WITHIN:.0%} worse than the best, or like it, on every table"
    return f"- [{' ' if missed else 'x'}] {words}" + (f": not on {', '.join(missed)}" if missed else "")


def _of_ranges(standings: list[Standing]) -> str:
    """How honest the sweep's range is: does it hold the rate that is best with other seeds?"""
    ranges = [(standing, next(s for s in standing.suggestions if s.finder == OURS).alike) for standing in standings]
    held = sum(standing.best in alike for standing, alike in ranges)
    width = median(len(alike) for _, alike in ranges)
    return (
        f"- the best of the exhaustive search is among the rates that the sweep could not tell apart from its own on "
        f"{held} of {len(standings)} tables; it named {width:g} of {len(standings[0].grid)} rates (median)"
    )
