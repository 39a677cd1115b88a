"""Subject: what a script is about: a study's best single configuration, and all that its folder and table say of it.

Reads the folder and the table once; writes no code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars

from trimtab.export.scripts.columns import Columns
from trimtab.export.scripts.folds import Division
from trimtab.export.scripts.reading import Reading
from trimtab.model.model import Model
from trimtab.table.encode import Encoder
from trimtab.table.prepare import Prepared, prepare
from trimtab.table.spelling import as_labels, other_spellings
from trimtab.table.split import SplitRule
from trimtab.table.target import TargetEncoder
from trimtab.training.metrics import Metric, metric_for
from trimtab.tuning.course import is_replayable
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

# What is assumed of a table that is not there; below so many rows a class may have a single one on one side.
_MANY, _FEW = 1_000, 20
_PREPARED = ("task", "split", "drop", "number", "category", "weight", "seed")


@dataclass(frozen=True)
class Subject:
    """`score` and `ensemble_score` are the metric out of fold, as users read it: of this configuration and, where the
    model is an ensemble of `ensemble` of them, of that. `every`: epochs between evaluations. `fold_rows` are the rows
    that each fold trains on, all alike where that is unknown.

    `is_of_all_rows`: the study's model is none of the folds' networks, but was trained once more, on all rows, those of
    the test too if it `trains_on_test_rows`, in so many `networks`.
    """

    trial: TrialRecord
    metric: Metric
    encoder: Encoder
    target: TargetEncoder
    columns: Columns
    reading: Reading
    division: Division
    weight: str | None
    every: int
    ensemble: int
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
    def of(cls, folder: StudyFolder, trial: TrialRecord, model: Model) -> "Subject":
        """Raises DataError where the study's table is there and cannot be read."""
        document = folder.read("study.json")
        asked, result = document["asked"], document.get("result") or {}
        target = model.target
        metric = metric_for(asked["metric"], target.task, target.outputs)  # type: ignore[arg-type]
        prepared = _prepared(asked)
        reading = Reading.of(asked["data"])
        ensemble = result.get("ensemble") or []
        return cls(
            trial=trial,
            metric=metric,
            encoder=model.encoder,
            target=target,
            columns=Columns.of(model.encoder),
            reading=reading,
            division=_division(asked, trial, target, reading, prepared),
            weight=asked["weight"],
            every=_epochs_between_evaluations(folder, trial),
            ensemble=len(ensemble),
            ensemble_score=(result.get("validation") or {}).get(metric.name) if len(ensemble) > 1 else None,
            has_changed=prepared is not None and prepared.fingerprint != asked.get("fingerprint"),
            fold_rows=_fold_rows(prepared, trial),
            networks=_networks(model, trial),
            is_of_all_rows=_is_of_all_rows(asked, trial),
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


def _is_of_all_rows(asked: Mapping[str, Any], trial: TrialRecord) -> bool:
    goes_forward = SplitRule.parse(asked["split"]).kind == "time"
    return is_replayable(trial) and bool(asked.get("single") or asked.get("refit") or goes_forward)


def _fold_rows(prepared: Prepared | None, trial: TrialRecord) -> tuple[int, ...]:
    rows = tuple(len(train) for train, _ in prepared.folds) if prepared is not None else ()
    return rows if len(rows) == len(trial.best_epochs) else (1,) * len(trial.best_epochs)


def _networks(model: Model, trial: TrialRecord) -> int:
    """How many networks of the trial's kind the model has; where it has none, one."""
    own = [member for member in model.members if member.network == trial.config.module_arguments]
    return len(own[0].parameters) if own else 1


def _division(
    asked: Mapping[str, Any], trial: TrialRecord, target: TargetEncoder, reading: Reading, prepared: Prepared | None
) -> Division:
    test = asked["test"]
    is_share = isinstance(test, (int, float)) and not isinstance(test, bool)
    is_classification = target.task == "classification"
    rule = SplitRule.parse(asked["split"])
    rule = rule if reading.frame is None else rule.of_table(reading.frame.columns)
    counters, most_copies, has_singles, tests_labels = (), _MANY, is_classification, is_classification
    spells = False
    if prepared is not None and reading.frame is not None:
        counters = (*prepared.split.counters, *([rule.column] if rule.kind == "column" else []))
        name = target.names[0]
        # Text that was read as numbers or truths: "1" and "1.0" are one cell then.
        is_typed = any(c.name == name and not c.dtype.startswith("String") for c in prepared.schema.columns)
        spells = is_classification and is_typed and bool(other_spellings(reading.frame[name]))
        cells = reading.frame.with_columns(as_labels(reading.frame[name])) if spells else reading.frame
        most_copies = _most_copies(cells.drop(counters))
        has_singles = is_classification and _fewest_of_a_class(prepared) < _FEW
        tests_labels = prepared.split.tests_labels
    return Division(
        rule=rule,
        seed=asked["seed"],
        test_share=float(test) if is_share else None,
        tests_nothing=test == "none",
        count=len(trial.best_epochs),
        is_classification=is_classification,
        most_copies=most_copies,
        has_single_classes=has_singles,
        counters=counters,
        tests_labels=tests_labels,
        spells_classes_differently=spells,
        has_weightless_rows=prepared is not None and prepared.split.weightless > 0,
    )


def _most_copies(frame: polars.DataFrame) -> int:
    """How often the most frequent row stands in `frame`."""
    return int(frame.hash_rows(seed=1).value_counts()["count"].max() or 1)  # type: ignore[arg-type]


def _fewest_of_a_class(prepared: Prepared) -> int:
    counts = polars.Series(prepared.targets).value_counts()["count"]
    return int(counts.min())  # type: ignore[arg-type]


def _epochs_between_evaluations(folder: StudyFolder, trial: TrialRecord) -> int:
    curves = folder.read_curves()
    own = (
        curves.filter(polars.col("trial") == trial.number)["epoch"]
        if curves.height
        else polars.Series(dtype=polars.Int64)
    )
    return 1 if own.is_empty() else min(int(own.min()), trial.config.epochs)  # type: ignore[arg-type]
