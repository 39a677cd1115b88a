"""Checked: what one check of rows or of a search came to, and many of them put together. Knows findings and no rule."""

from collections import Counter
from collections.abc import Iterable, Sequence

from trimtab.findings.check import ranked
from trimtab.findings.finding import Finding, Findings, NotChecked

# A finding; why it could not be checked; why there is nothing wrong, in a sentence; or nothing to say at all.
Checked = Finding | NotChecked | str | None


def together(outcomes: Iterable[Checked]) -> Findings:
    """What several checks came to, gravest first."""
    each = list(outcomes)
    found = [one for one in each if isinstance(one, Finding)]
    return Findings(
        tuple(ranked(found)),
        tuple(one for one in each if isinstance(one, str)),
        tuple(one for one in each if isinstance(one, NotChecked)),
    )


def joined(*parts: Findings) -> Findings:
    """Several as one, gravest first."""
    found = together(finding for part in parts for finding in part.found).found
    return Findings(
        found,
        tuple(dict.fromkeys(reason for part in parts for reason in part.healthy)),
        tuple(dict.fromkeys(each for part in parts for each in part.not_checked)),
    )


def of_most(runs: Sequence[Findings]) -> Findings:
    """What most runs of one config show; one of several that went another way is no finding about the config."""
    if not runs:
        return Findings()
    times = Counter(finding.id for each in runs for finding in each.found)
    frequent = {name for name, count in times.items() if 2 * count > len(runs)}
    first = {finding.id: finding for each in reversed(runs) for finding in each.found if finding.id in frequent}
    healthy = next((each.healthy for each in runs if each.healthy), ()) if not first else ()
    return Findings(tuple(first.values()), healthy, runs[0].not_checked)
