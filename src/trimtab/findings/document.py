"""Findings as a document that can be written and read back: plain dicts of what JSON holds, and the file of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy

from trimtab.errors import StudyError
from trimtab.findings.finding import Effect, Finding, Findings, NotChecked, Remedy, Trial

if TYPE_CHECKING:  # brings torch along, which whoever diagnoses a log does without
    from trimtab.tuning.folder import StudyFolder

FILE = "findings.json"


def to_json(findings: Findings) -> dict[str, Any]:
    """`{"findings", "healthy", "not_checked"}`."""
    return {
        "findings": [_plain(asdict(finding)) for finding in findings.found],
        "healthy": list(findings.healthy),
        "not_checked": [asdict(each) for each in findings.not_checked],
    }


def from_json(document: Mapping[str, Any]) -> Findings:
    """What `to_json` made."""
    return Findings(
        tuple(_finding(each) for each in document.get("findings", ())),
        tuple(document.get("healthy", ())),
        tuple(NotChecked(**each) for each in document.get("not_checked", ())),
    )


def save(folder: "StudyFolder", findings: Findings) -> None:
    """Write them into `findings.json` of a study, beside what else stands there; a reader finds the old one or the new
    one."""
    folder.write(FILE, document_of(folder) | to_json(findings))


def has_findings(folder: "StudyFolder") -> bool:
    return (folder.path / FILE).exists()


def document_of(folder: "StudyFolder") -> dict[str, Any]:
    """All that stands in `findings.json`, nothing where there is none."""
    return folder.read(FILE) if has_findings(folder) else {}


def keep_before(folder: "StudyFolder", findings: Findings) -> None:
    """Write down what was found before training, where no call has come to more yet: it is what remains if this one
    comes to no end."""
    if not has_findings(folder):
        save(folder, findings)


def save_facts(folder: "StudyFolder", trial: int, facts: Sequence[Mapping[str, float]]) -> None:
    """Note what was known of a trial's predictions in each fold, by which its training was judged: it cannot be had
    again without the rows."""
    folder.write(FILE, document_of(folder) | {"facts": {"trial": trial, "folds": [_plain(each) for each in facts]}})


def facts_in(document: Mapping[str, Any], trial: int) -> list[dict[str, float]]:
    """What was noted of a trial, for each fold; nothing where it was of another."""
    noted = document.get("facts") or {}
    return list(noted["folds"]) if noted.get("trial") == trial else []


def read(folder: "StudyFolder") -> Findings:
    """What was found about a study; nothing where it was not finished, or is of an older trimtab."""
    try:
        return from_json(folder.read(FILE))
    except (StudyError, KeyError, TypeError):
        return Findings()


def _finding(document: Mapping[str, Any]) -> Finding:
    remedy = dict(document["remedy"])
    tried = remedy.pop("tried", None)
    remedy = Remedy(**remedy, tried=None if tried is None else Trial(**tried))
    parts: dict[str, Any] = {**document, "effect": Effect(**document["effect"]), "remedy": remedy}
    return Finding(**parts)


def _plain(value: Any) -> Any:
    """What JSON has types for; a number that is none is nothing."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, numpy.ndarray):
        return _plain(value.tolist())
    if isinstance(value, numpy.generic):
        return _plain(value.item())
    if isinstance(value, float) and not numpy.isfinite(value):
        return None
    return value
