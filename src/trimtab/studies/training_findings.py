"""What is wrong with the training of a study's winner, and what came of the remedies that were tried beside it.

Knows folders, curves and rules; it trains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars

from trimtab.findings.check import check, ranked
from trimtab.findings.checked import of_most, together
from trimtab.findings.document import save_facts
from trimtab.findings.finding import Effect, Finding, Findings, Trial
from trimtab.findings.of_run import facts_of, record_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.worth.account import Account, Row
from trimtab.findings.worth.amount import AMOUNT, amount_of
from trimtab.findings.worth.intervals import BETTER, NOT_REACHED
from trimtab.studies.counterfactuals.alternatives import Alternative, with_knobs
from trimtab.studies.rebuilt_findings import curves_of
from trimtab.text.layout import number
from trimtab.text.wording import sentence
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric, greater_is_better
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

# What a remedy is called among the alternatives of a winner.
REMEDY = "remedy of {}"


def findings_of_training(
    folder: StudyFolder, winner: TrialRecord, data: TrainingData, metric: Metric | None
) -> Findings:
    """What most of the winner's runs show; what they were judged by is noted in the folder."""
    records = _records(folder, winner, data, metric)
    save_facts(folder, winner.number, [record.facts for record in records])
    return of_most([check(record) for record in records])


def remedies(findings: Findings, trained: Config) -> list[Alternative]:
    """What was `trained` with the remedy of each finding, where that is a matter of knobs that it can have."""
    made = []
    for finding in findings.found:
        config = with_knobs(trained, finding.remedy.change)
        if config is not None and config != trained:
            value = finding.remedy.flag or finding.remedy.code
            made.append(Alternative(REMEDY.format(finding.id), value, config, given=dict(finding.remedy.change)))
    return made


def with_account(findings: Findings, account: Account, *, before: Account | None = None) -> Findings:
    """The findings with what was measured beside the winner: what came of their remedies takes the place of what was
    estimated, and a remedy that brought nothing makes little of what it was to mend; and what fewer rows came to, in
    the place of what an account `before` had of that."""
    rows = {row.knob: row for row in account.reached}
    tried = [_tried(finding, rows.get(REMEDY.format(finding.id)), account) for finding in findings.found]
    known, news = (together([] if each is None else [amount_of(each)]) for each in (before, account))
    return Findings(
        tuple(ranked([*(each for each in tried if each.id != AMOUNT), *news.found])),
        (*(each for each in findings.healthy if each not in known.healthy), *news.healthy),
        (*(each for each in findings.not_checked if each.id != AMOUNT), *news.not_checked),
    )


def _tried(finding: Finding, row: Row | None, account: Account) -> Finding:
    error = account.winner.get("error")
    if row is None or row.verdict == NOT_REACHED or row.difference is None or row.low is None or row.high is None:
        return finding
    if not error:
        return finding
    before, after = account.shown(error), account.shown(error + row.difference)
    ends = (-row.high, -row.low) if account.greater_is_better else (row.low, row.high)
    remedy = replace(finding.remedy, tried=Trial(account.metric or "validation loss", before, after, *ends))
    share = -row.difference / error
    figures = f"from {number(before)} to {number(after)}"
    if row.verdict == BETTER:
        text = f"The remedy brought {account.metric or 'the validation loss'} {figures} when it was tried"
        return replace(finding, effect=Effect(sentence(text), share, is_measured=True), remedy=remedy)
    text = f"Tried, the remedy led {figures}, which is no gain that can be told from chance"
    return replace(finding, severity="low", effect=Effect(sentence(text), max(0.0, share), True), remedy=remedy)


def _records(
    folder: StudyFolder, winner: TrialRecord, data: TrainingData, metric: Metric | None
) -> Sequence[TrainingRecord]:
    """The record of each of the winner's runs."""
    weights, of_winner = folder.load_weights(winner.number), folder.read_curves(winner.number)
    if weights is None or of_winner.is_empty():
        return ()
    records = []
    for place, fold in enumerate(data.folds):
        own = of_winner.filter(polars.col("fold") == place).sort("epoch")
        if own.is_empty() or place >= len(winner.best_epochs):
            continue
        predictions = weights.predictions[fold.validation.cpu().numpy()]
        facts: Mapping[str, float] = {
            "train_rows": float(len(fold.train)),
            "validation_rows": float(len(fold.validation)),
        }
        if data.outputs:
            facts = facts_of(predictions, data.truth(fold.validation), data.truth(fold.train), metric)
        facts = {**facts, "parameters": float(weights.parameters.shape[-1])}
        records.append(record_of(
            curves_of(own), winner.config, metric=None if metric is None else metric.name,
            greater_is_better=greater_is_better(metric), best_epoch=winner.best_epochs[place],
            ended=winner.ended[place], task=data.task, facts=facts,
        ))  # fmt: skip
    return records
