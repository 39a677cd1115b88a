"""What is wrong with a study that was not finished, as far as its folder tells: by the curves of its best trial so far,
and by what was found in its rows before training.

Knows folders, curves and rules; it reads no data and trains nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars

from trimtab.findings.check import RULES, check
from trimtab.findings.checked import joined, of_most
from trimtab.findings.document import document_of, facts_in, from_json
from trimtab.findings.finding import IDS, Findings, NotChecked
from trimtab.findings.of_run import record_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.knobs.knob import Task
from trimtab.knobs.table import CLASSIFICATION_LOSSES, LOGIT_LOSSES, REGRESSION_LOSSES
from trimtab.studies.network_study import KIND
from trimtab.training.metrics import default_metric
from trimtab.training.run import CURVES, PARTS, Curves
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

NOT_FINISHED = "the search was not finished: there is no result to compare"
NO_ROWS = "the rows are not kept in the study's folder, and what was found in them was not noted"
NO_CURVES = "no curves of the best trial are kept"
NO_RESIDUALS = "the targets are not kept in the study's folder"


def rebuilt_findings(folder: StudyFolder, winner: TrialRecord) -> Findings:
    """What the files tell; what they do not is named with the reason."""
    document = document_of(folder)
    of_rows = from_json(document)
    records = records_of_trial(folder, winner, facts_in(document, winner.number))
    of_training = of_most([check(record) for record in records])
    missing = {} if records else dict.fromkeys(RULES, NO_CURVES)
    missing |= {"outliers_dominate_loss": NO_RESIDUALS} | dict.fromkeys(IDS["search"], NOT_FINISHED)
    if not document:
        missing |= dict.fromkeys(IDS["data"], NO_ROWS)
    told = {each.id for each in of_rows.found} | {each.id for each in of_rows.not_checked}
    unknown = tuple(NotChecked(name, why) for name, why in missing.items() if name not in told)
    return joined(of_training, of_rows, Findings(not_checked=unknown))


def records_of_trial(
    folder: StudyFolder, winner: TrialRecord, facts: Sequence[Mapping[str, float]] = ()
) -> list[TrainingRecord]:
    """The record of each run of a trial, from the curves that are kept; `facts` are those of its folds, where somebody
    noted them: without the targets they cannot be had again, except for how many rows there were."""
    asked, of_winner = folder.read("study.json")["asked"], folder.read_curves(winner.number)
    if of_winner.is_empty():
        return []
    task, metric = task_of(winner), metric_of(asked, winner)
    records = []
    for fold, (best, ended) in enumerate(zip(winner.best_epochs, winner.ended, strict=False)):
        own = of_winner.filter(polars.col("fold") == fold).sort("epoch")
        if not own.is_empty():
            records.append(record_of(
                curves_of(own), winner.config, metric=metric, greater_is_better=bool(asked.get("greater_is_better")),
                best_epoch=best, ended=ended, task=task or "regression",
                facts=facts[fold] if fold < len(facts) else _rows_of(folder, fold),
            ))  # fmt: skip
    return records


def curves_of(rows: polars.DataFrame) -> Curves:
    """The curves of one run, from its rows in a study's frame."""
    curves = Curves()
    for row in rows.iter_rows(named=True):
        curves.append({name: row[name] for name in (*CURVES, *PARTS)})
    return curves


def metric_of(asked: Mapping[str, Any], winner: TrialRecord) -> str | None:
    """What trials are judged by in a search that was not finished, from what was `asked`; None where it is the loss, or
    nobody can say."""
    task = task_of(winner)
    return asked.get("metric") or (None if asked.get("kind") == KIND or not task else default_metric(task).name)


def task_of(winner: TrialRecord) -> Task | None:
    """What was learnt, by the loss; None for one of the caller's own."""
    loss = winner.config.loss.name
    if loss in REGRESSION_LOSSES:
        return "regression"
    return "classification" if loss in (*CLASSIFICATION_LOSSES, *LOGIT_LOSSES) else None


def _rows_of(folder: StudyFolder, fold: int) -> dict[str, Any]:
    """How many rows train and judge in a fold of a table."""
    if not folder.folds.exists():
        return {}
    parts = polars.read_parquet(folder.folds).filter(polars.col("fold") == fold + 1)["part"]
    return {"train_rows": float((parts == "train").sum()), "validation_rows": float((parts == "valid").sum())}
