"""Calls: how often a study was worked on, for how long, and how often its test rows were used.

They stand in the study's document, so that what a resumed study says of itself is true of all of it. Knows no clocks.
"""

from typing import Any

from trimtab.tuning.folder import StudyFolder

DOCUMENT, CALLS = "study.json", "calls"


def begin(folder: StudyFolder) -> None:
    """Note that a call begins; until it ends it has no seconds, and keeps none where it is killed."""
    document = folder.read(DOCUMENT)
    folder.write(DOCUMENT, document | {CALLS: [*_calls(document), {"seconds": None, "tested": False}]})


def note(folder: StudyFolder, *, seconds: float | None = None, tested: bool | None = None) -> None:
    """Note of the present call how long it took, or that the test rows were used."""
    document = folder.read(DOCUMENT)
    *earlier, call = _calls(document)
    news = {"seconds": seconds, "tested": tested}
    call = call | {name: value for name, value in news.items() if value is not None}
    folder.write(DOCUMENT, document | {CALLS: [*earlier, call]})


def in_all(folder: StudyFolder) -> dict[str, Any]:
    """What all calls come to: `calls`, `seconds_in_all` (of those that ended), `cut_off` (that did not, the present one
    aside), and `test_uses`."""
    calls = _calls(folder.read(DOCUMENT))
    return {
        "calls": len(calls),
        "seconds_in_all": round(sum(call["seconds"] or 0.0 for call in calls), 2),
        "cut_off": sum(call["seconds"] is None for call in calls[:-1]),
        "test_uses": sum(call["tested"] for call in calls),
    }


def _calls(document: dict[str, Any]) -> list[dict[str, Any]]:
    if CALLS in document:
        return document[CALLS]
    result = document.get("result")
    # Written before calls were counted: the last one is all that is known.
    return [{"seconds": result["seconds"], "tested": result.get("test") is not None}] if result else []
