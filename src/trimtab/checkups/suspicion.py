"""Suspicion: what seems to be wrong before training, and the changes of a set-up that would mend it, still to be tried.

Knows findings and set-ups; it knows no rule and trains nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trimtab.checkups.setup import Setup
from trimtab.findings.finding import Finding, Remedy


@dataclass(frozen=True)
class Change:
    """One thing done differently: what it is called in a table, the set-up that it makes of another, and what it is as
    a remedy."""

    name: str
    made: Callable[[Setup], Setup]
    remedy: Remedy


@dataclass(frozen=True)
class Suspicion:
    """What seems wrong: the finding that it is where a change takes more than a share of `least` off the error, or
    where `is_certain`; the changes; and `otherwise`, what is said where none of them did, with a gap for how little one
    brought: nothing is wrong then."""

    finding: Finding
    changes: tuple[Change, ...] = ()
    is_certain: bool = False
    least: float = 0.0
    otherwise: str = ""
