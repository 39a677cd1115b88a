"""Study: a search as the user holds it, while its files stay the truth.

Knows how to read a study folder back; it trains nothing.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars

from trimtab.errors import StudyError
from trimtab.model import Model
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words
from trimtab.tuning.writer import TrialStore


@dataclass(frozen=True)
class Study:
    """A finished (or interrupted) search.

    `out` is its folder, `result` what `summary()` gives, `winner` the best single trial, `notices` what a user ought to
    know about data and result, `trials` every finished trial in the order in which they were asked for.
    """

    out: Path
    result: dict[str, Any]
    winner: TrialRecord
    trials: tuple[TrialRecord, ...]
    notices: tuple[str, ...] = field(default=())

    @cached_property
    def model(self) -> Model:
        """The saved model, read from the study folder."""
        return Model.load(self.out / "model")

    @property
    def curves(self) -> polars.DataFrame:
        """Every run's curves: trial, fold, epoch, losses, metric, learning rate and gradient norm."""
        return StudyFolder(self.out).read_curves()

    @property
    def words(self) -> str:
        """The best single config in words."""
        return trial_in_words(self.winner)

    def summary(self) -> dict[str, Any]:
        """What was found, as one plain dict: the object that `trimtab fit --json` prints."""
        return dict(self.result)


def load(path: str | Path) -> Study:
    """The study in a folder; raises StudyError where there is none or nothing was finished in it yet."""
    folder = StudyFolder.open(Path(path))
    document = folder.read("study.json")
    asked = document["asked"]
    store = TrialStore(folder, url=asked.get("storage"), greater_is_better=bool(asked.get("greater_is_better")))
    trials = store.trials()
    finished = [record for record in trials if record.state == "complete"]
    if not finished:
        raise StudyError(f"{path} has no finished trial yet: continue it with --resume {path}.")
    result = document["result"] or {"out": str(path), "trials": len(trials), "test": None}
    winner = next((r for r in finished if r.number == result.get("winner")), min(finished, key=lambda r: r.error))
    return Study(Path(path), result, winner, tuple(trials), tuple(document.get("notices", ())))


def load_model(path: str | Path) -> Model:
    """The model of a study folder, or of the `model` folder inside one; raises ModelError or StudyError."""
    path = Path(path)
    if (path / "model.json").exists():
        return Model.load(path)
    StudyFolder.open(path)
    return Model.load(path / "model")
