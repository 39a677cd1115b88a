"""Checked: what one check of rows or of a search came to, and many of them put together. Knows findings and no rule."""

from collections.abc import Iterable

from trimtab.findings.finding import Finding, Findings, NotChecked

# A finding; why it could not be checked; why there is nothing wrong, in a sentence; or nothing to say at all.
Checked = Finding | NotChecked | str | None

_GRAVITY = {"high": 0, "medium": 1, "low": 2}


def together(outcomes: Iterable[Checked]) -> Findings:
    """What several checks came to, gravest first: by severity, then by the share of the error that it costs."""
    each = list(outcomes)
    found = [one for one in each if isinstance(one, Finding)]
    return Findings(
        tuple(sorted(found, key=_rank)),
        tuple(one for one in each if isinstance(one, str)),
        tuple(one for one in each if isinstance(one, NotChecked)),
    )


def _rank(finding: Finding) -> tuple[int, float]:
    return _GRAVITY[finding.severity], -(finding.effect.share or 0.0)
