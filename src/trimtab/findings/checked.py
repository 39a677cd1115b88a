"""Checked: what one check of rows or of a search came to, and many of them put together. Knows findings and no rule."""

from collections.abc import Iterable

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
