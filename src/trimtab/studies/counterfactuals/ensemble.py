"""Ensemble: the mean of several networks that is a study's result, beside its best network alone. Trains nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from trimtab.findings.worth.intervals import OnRows
from trimtab.studies.remembering import key_of
from trimtab.studies.table_subject import TableSubject
from trimtab.training.metrics import bootstrap_errors
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.verdicts import remembers, trials_of


@dataclass(frozen=True)
class Ensemble:
    """How many trials it is the mean of, and whether also of what the nearest training rows say; and by how much the
    winner's error alone is larger, on the same rows out of fold."""

    trials: int
    remembers: bool
    beside: OnRows

    @property
    def words(self) -> str:
        trials = {0: "", 1: "a trial"}.get(self.trials, f"{self.trials} trials")
        nearest = "the nearest training rows" if self.remembers else ""
        return " and ".join(part for part in (trials, nearest) if part)


def ensemble_of_table(
    subject: TableSubject, folder: StudyFolder, winner: TrialRecord, members: Sequence[Mapping[str, Any]]
) -> Ensemble | None:
    """That of a table's result, judged by the rows out of fold, which chose it and its winner; None where the model is
    the winner alone."""
    metric, data = subject.metric, subject.data
    alone = folder.load_weights(winner.number)
    kept = [_predictions(folder, member) for member in members]
    shares = [member["share"] for member in members]
    known_ones = [predictions for predictions in kept if predictions is not None]
    if (len(members) < 2 and not remembers(members)) or alone is None or len(known_ones) < len(kept):
        return None
    mixed = numpy.sum([s * p.astype(numpy.float64) for s, p in zip(shares, known_ones, strict=True)], axis=0)
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
    return Ensemble(
        len(trials_of(members)), remembers(members), OnRows(single - mean, variance, len(numpy.unique(units)))
    )


def _predictions(folder: StudyFolder, member: Mapping[str, Any]) -> numpy.ndarray | None:
    """What one entry of the result's ensemble predicts out of fold; None where it was not kept."""
    if remembers([member]):
        return folder.load_recalled(key_of(member["trial"], member.get("place", 0)))
    weights = folder.load_weights(member["trial"])
    return None if weights is None else weights.predictions
