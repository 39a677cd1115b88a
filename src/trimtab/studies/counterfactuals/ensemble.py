"""Ensemble: the mean of several networks that is a study's result, beside its best network alone. Trains nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from trimtab.findings.worth.intervals import OnRows
from trimtab.studies.table_subject import TableSubject
from trimtab.training.metrics import bootstrap_errors
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord


@dataclass(frozen=True)
class Ensemble:
    """How many trials it is the mean of, and by how much the winner's error alone is larger, on the same rows out of
    fold."""

    trials: int
    beside: OnRows

    @property
    def words(self) -> str:
        return f"{self.trials} trials"


def ensemble_of_table(
    subject: TableSubject, folder: StudyFolder, winner: TrialRecord, members: Sequence[Mapping[str, Any]]
) -> Ensemble | None:
    """That of a table's result, judged by the rows out of fold, which chose it and its winner; None where the model is
    the winner alone."""
    metric, data = subject.metric, subject.data
    alone = folder.load_weights(winner.number)
    kept = [(folder.load_weights(member["trial"]), member["share"]) for member in members]
    if len(members) < 2 or alone is None or any(weights is None for weights, _ in kept):
        return None
    mixed = numpy.sum([share * weights.predictions.astype(numpy.float64) for weights, share in kept if weights], axis=0)
    known = ~numpy.isnan(mixed).any(1) & ~numpy.isnan(alone.predictions).any(1)
    rows = torch.from_numpy(numpy.flatnonzero(known)).to(data.device)
    lanes = torch.from_numpy(numpy.stack([mixed[known], alone.predictions[known]]).astype(numpy.float64))
    truth, weights = data.truth(rows).cpu(), data.weights[rows].cpu().double()
    many = truth.expand(2, *truth.shape), weights.expand(2, -1)
    mean, single = metric.error(lanes, *many).tolist()
    units = subject.prepared.units[known]
    drawn = bootstrap_errors(metric, lanes, *many, seed=subject.seed, units=units)
    gains = (drawn[1] - drawn[0])[~(drawn[1] - drawn[0]).isnan()]
    variance = float(gains.var(correction=1)) if len(gains) > 1 else numpy.nan
    return Ensemble(len(members), OnRows(single - mean, variance, len(numpy.unique(units))))
