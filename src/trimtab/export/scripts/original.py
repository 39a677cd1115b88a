"""Original: what a script does again: a study's best single configuration, and all that its folder and table say of it.

Reads the folder and the table once; writes no code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars

from trimtab.errors import StudyError
from trimtab.export.scripts.columns import Columns
from trimtab.export.scripts.reading import Reading
from trimtab.model.model import Model
from trimtab.table.encode import Encoder
from trimtab.table.folds import folds_frame
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.table.split import SplitRule
from trimtab.table.target import TargetEncoder
from trimtab.training.metrics import Metric, metric_for
from trimtab.tuning.course import is_replayable
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.verdicts import remembers, trials_of

_PREPARED = ("task", "split", "drop", "number", "category", "weight", "seed")


@dataclass(frozen=True)
class Original:
    """`score` and `ensemble_score` are the metric out of fold, as users read it: of this configuration and, where the
    model is an ensemble of `ensemble` of them, of that; it `has_neighbours` where training rows predict, too. `every`:
    epochs between evaluations. `folds` are the rows of each fold, as `folds_frame` has them, and `fold_rows` how many
    train in each.

    `is_of_all_rows`: the study's model is none of the folds' networks, but was trained once more, on all rows, those of
    the test too if it `trains_on_test_rows`, in so many `networks`.
    """

    trial: TrialRecord
    metric: Metric
    encoder: Encoder
    target: TargetEncoder
    columns: Columns
    reading: Reading
    folds: polars.DataFrame
    seed: int
    weight: str | None
    every: int
    ensemble: int
    has_neighbours: bool
    ensemble_score: float | None
    has_changed: bool
    fold_rows: tuple[int, ...]
    networks: int
    is_of_all_rows: bool
    trains_on_test_rows: bool

    @property
    def score(self) -> float:
        return self.metric.shown(self.trial.error)

    @property
    def is_classification(self) -> bool:
        return self.target.task == "classification"

    @classmethod
    def of(cls, folder: StudyFolder, trial: TrialRecord, model: Model) -> "Original":
        """Raises DataError where the study's table is there and cannot be read, StudyError where nothing tells its
        folds any more."""
        document = folder.read("study.json")
        asked, result = document["asked"], document.get("result") or {}
        target = model.target
        metric = metric_for(asked["metric"], target.task, target.outputs)  # type: ignore[arg-type]
        prepared = _prepared(asked)
        rows = None if prepared is None else prepared.counts.source
        reading, folds = Reading.of(asked["data"], rows), _folds(folder, prepared)
        ensemble = result.get("ensemble") or []
        return cls(
            trial=trial,
            metric=metric,
            encoder=model.encoder,
            target=target,
            columns=Columns.of(model.encoder),
            reading=reading,
            folds=folds,
            seed=asked["seed"],
            weight=asked["weight"],
            every=_epochs_between_evaluations(folder, trial),
            ensemble=len(trials_of(ensemble)),
            has_neighbours=remembers(ensemble),
            ensemble_score=(result.get("validation") or {}).get(metric.name) if len(ensemble) > 1 else None,
            has_changed=prepared is not None and prepared.fingerprint != asked.get("fingerprint"),
            fold_rows=tuple(folds.filter(part="train").group_by("fold").len().sort("fold")["len"]),
            networks=_networks(model, trial),
            is_of_all_rows=_is_of_all_rows(asked, result, trial),
            trains_on_test_rows=bool(asked.get("refit")),
        )


def _prepared(asked: Mapping[str, Any]) -> Prepared | None:
    """The table as the study saw it; None where it was in memory, or is there no more."""
    path = asked["data"]
    if path is None or not Path(path).exists():
        return None
    test = "none" if asked["test"] is None else asked["test"]
    if isinstance(test, str) and test != "none" and not Path(test).exists():
        test = "none"  # the folds do not depend on test rows that lie elsewhere
    return prepare(path, target=asked["target"], test=test, **{name: asked[name] for name in _PREPARED})


def _is_of_all_rows(asked: Mapping[str, Any], result: Mapping[str, Any], trial: TrialRecord) -> bool:
    goes_forward = SplitRule.parse(asked["split"]).kind == "time"
    was_asked = bool(asked.get("single") or asked.get("refit") or goes_forward)
    return is_replayable(trial) and (was_asked or trial.number in result.get("of_all_rows", ()))


def _folds(folder: StudyFolder, prepared: Prepared | None) -> polars.DataFrame:
    """The rows of each fold. A folder of an older trimtab does not have them, but where its table is there."""
    if not folder.folds.exists():
        if prepared is None:
            raise StudyError(
                f"{folder.path} was written by an older trimtab, which did not note the folds, and its table is not "
                "there: put the table back, or go on with the study first (--resume)."
            )
        folder.save_folds(folds_frame(prepared.folds, prepared.development_rows))
    return polars.read_parquet(folder.folds)


def _networks(model: Model, trial: TrialRecord) -> int:
    """How many networks of the trial's kind the model has; where it has none, one."""
    own = [member for member in model.members if member.network == trial.config.module_arguments]
    return len(own[0].parameters) if own else 1


def _epochs_between_evaluations(folder: StudyFolder, trial: TrialRecord) -> int:
    curves = folder.read_curves(trial.number)
    own = curves["epoch"] if curves.height else polars.Series(dtype=polars.Int64)
    return 1 if own.is_empty() else min(int(own.min()), trial.config.epochs)  # type: ignore[arg-type]
