"""Going on: what a call that resumes a study takes over from earlier calls, and how that is said.

Knows records and what was asked; it trains nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.errors import StudyError
from trimtab.text.wording import counted, listed
from trimtab.tuning.address import to_open, without_secrets
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.held import held_of
from trimtab.tuning.trial import TrialRecord


def kept(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked as it may stand in a document: without secrets."""
    storage = asked.get("storage")
    return {**asked, "storage": without_secrets(storage) if storage else None}


def address_of(folder: StudyFolder, before: str | None, given: str | None) -> str | None:
    """The database in which the trials of a study are that is gone on with.

    One that is given may be called otherwise than before: whether it holds the study is seen when it is opened. Raises
    StudyError where the trials are in the folder.
    """
    if given is None:
        return None if before is None else to_open(before)
    if before is None:
        raise StudyError(f"The trials of {folder.path} are in its study.db: leave --storage out, or start a new study.")
    return given


def seed_of(folder: StudyFolder, given: int | None) -> int:
    """The seed of the study in `folder`; raises StudyError where another one is given."""
    before = folder.read("study.json")["asked"].get("seed", 0)
    if given not in (None, before):
        raise StudyError(
            f"{folder.path} was made with seed {before}, not {given}: leave --seed out, or start a new study."
        )
    return before


def trials_asked_for(folder: StudyFolder) -> int | None:
    """How many trials the study in `folder` was asked for, None where by time alone."""
    return folder.read("study.json")["asked"].get("trials")


def words_of_held_knobs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence where knobs are held otherwise than in earlier calls."""
    before, given = held_of(before), {name: value for name, value in now.items() if value is not None}
    freed = [name for name in before if name in given and name not in held_of(given)]
    texts = [f"From now on {listed(freed)} {'is' if len(freed) == 1 else 'are'} searched again."] if freed else []
    changed = {name: value for name, value in held_of(given).items() if value != before.get(name)}
    if not changed:
        return texts
    held = listed(f"{name} at {value}" for name, value in changed.items())
    return [*texts, f"From now on trials hold {held}. Trials of earlier calls did not, and may still be the model."]


def words_of_precision(before: str, now: str) -> list[str]:
    """A sentence where runs multiply otherwise than in earlier calls."""
    if before == now:
        return []
    return [f'From now on runs multiply in precision "{now}"; those of earlier calls did in "{before}".']


def words_of_going_on(earlier: Sequence[TrialRecord], max_trials: int | None) -> list[str]:
    """What there is already, and whether that is all that was asked for."""
    tuned = sum(not record.name for record in earlier)
    baselines = len(earlier) - tuned
    beside = f" and {counted(baselines, 'baseline')}" if baselines else ""
    notices = [f"Going on from {counted(tuned, 'trial')}{beside}."]
    if max_trials is not None and tuned >= max_trials:
        notices.append(
            f"There are {counted(tuned, 'trial')} already, and --trials {max_trials} counts those of earlier calls: "
            "give a larger number, or --budget alone, to train more."
        )
    return notices


def words_of_a_cut(tuned: int, max_trials: int | None, folder: Path | None) -> str:
    """That there was no time for all trials, and how to have the others; `folder` is None where nothing is kept."""
    over = f"The time was over after {tuned:,} of {counted(max_trials or 0, 'trial')}"
    if folder is None:
        return f"{over}: give a larger --budget, or --trials alone."
    return f"{over}: --resume {folder} --trials {max_trials} does the others."
