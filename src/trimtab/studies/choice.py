"""From finished trials to the model that is saved.

Knows trials, models and what chooses among them; it proposes and searches nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy
import torch

from trimtab.errors import DataError
from trimtab.model.calibration import Calibration
from trimtab.model.model import Member, Model
from trimtab.studies.deciding import UNDECIDED, Decision, decision_for
from trimtab.studies.remembering import Recalled
from trimtab.table.prepared import Prepared
from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric
from trimtab.tuning.ensemble import Half, select
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights

# Trials that an ensemble is chosen from, and steps of the choice: Caruana's members beyond some twenty change nothing,
# and trials beyond the best sixty are never taken (guesses). Their predictions are held in memory at once: in so many
# bytes at most.
CANDIDATES, ROUNDS = 60, 25
CANDIDATE_BYTES = 512 << 20


@dataclass(frozen=True)
class Chosen:
    """What will predict: trials with their shares, the best single one, and their out-of-fold predictions; `recalled`
    with their shares is what training rows say that some of them, or networks of no trial, remember.

    `nested` are predictions of what would have been chosen without the rows predicted, once for each division of the
    rows in halves; empty where there was nothing to choose from. `decision`: which class they predict.
    """

    winner: TrialRecord
    members: tuple[tuple[TrialRecord, float], ...]
    predictions: numpy.ndarray
    nested: tuple[numpy.ndarray, ...] = ()
    recalled: tuple[tuple[Recalled, float], ...] = ()
    decision: Decision = UNDECIDED

    @property
    def trials(self) -> tuple[tuple[TrialRecord, float], ...]:
        """Every trial that has a part in it, with all of its share; the heaviest first."""
        shares: dict[int, tuple[TrialRecord, float]] = {}
        recalled = [(each.record, share) for each, share in self.recalled if each.record is not None]
        for record, share in (*self.members, *recalled):
            _, before = shares.get(record.number, (record, 0.0))
            shares[record.number] = (record, before + share)
        return tuple(sorted(shares.values(), key=lambda one: -one[1]))

    @property
    def unseen(self) -> numpy.ndarray:
        """Predictions of rows that neither trained the networks nor, where that is known, chose among trials."""
        return self.nested[0] if self.nested else self.predictions


def choose(
    trials: Sequence[TrialRecord],
    folder: StudyFolder,
    data: TrainingData,
    metric: Metric,
    *,
    single: bool,
    recall: Callable[[Sequence[tuple[TrialRecord, TrialWeights]]], list[Recalled]] = lambda candidates: [],
    units: numpy.ndarray | None = None,
    seed: int = 0,
) -> Chosen:
    """The best trial, or the ensemble of the best where that is more likely than not better (never with `single`).

    `recall` gives what training rows say as the best of the candidates remember them. `units` int64 [rows]: rows of one
    number are no evidence of their own.
    """
    ranked = sorted((r for r in trials if numpy.isfinite(r.error) and r.state != "failed"), key=lambda r: r.error)
    winner = next((record for record in ranked if record.state == COMPLETE), None)
    if winner is None:
        raise DataError(
            f"No trial has a figure for {metric.name} on the validation rows: they are too few, or of one class only. "
            "Give more rows, or another metric."
        )
    limit = max(2, min(CANDIDATES, CANDIDATE_BYTES // max(1, data.rows * data.outputs * 4)))
    candidates = [winner] + [record for record in ranked[:limit] if record is not winner]
    loaded = [(record, weights) for record in candidates if (weights := folder.load_weights(record.number)) is not None]
    records = [record for record, _ in loaded]
    predictions = [weights.predictions for _, weights in loaded]
    winner = records[0]
    remembering = [] if single else recall(sorted(loaded, key=lambda one: one[0].error))
    predictions += [each.predictions for each in remembering]
    if len(predictions) == 1:
        return Chosen(winner, ((winner, 1.0),), predictions[0])
    truth = data.truth(torch.arange(data.rows, device=data.device)).numpy(force=True)
    weights, rounds = data.weights.numpy(force=True), 1 if single else ROUNDS
    ensemble = select(
        predictions, truth, weights, metric, units=units, rounds=rounds, alone=len(records), seed=seed
    )  # fmt: skip
    if single or not ensemble.pays:
        alone = [replace(half, members=((half.single, 1.0),)) for half in ensemble.halves]
        nested, decision = _nested(predictions, alone, metric, truth, weights)
        return Chosen(winner, ((winner, 1.0),), predictions[0], nested, decision=decision)
    number = len(records)
    members = tuple((records[i], share) for i, share in ensemble.members if i < number)
    asked = tuple((remembering[i - number], share) for i, share in ensemble.members if i >= number)
    mixed = _mixed(predictions, ensemble.members)
    nested, decision = _nested(predictions, ensemble.halves, metric, truth, weights)
    return Chosen(winner, members, mixed, nested, asked, decision)


def _mixed(predictions: Sequence[numpy.ndarray], members: Sequence[tuple[int, float]]) -> numpy.ndarray:
    return numpy.sum([share * predictions[i].astype(numpy.float64) for i, share in members], axis=0)


def _nested(
    predictions: Sequence[numpy.ndarray], halves: Sequence[Half], metric: Metric, truth: numpy.ndarray,
    weights: numpy.ndarray,
) -> tuple[tuple[numpy.ndarray, ...], Decision]:  # fmt: skip
    """What the choices made on one half of the rows predict for the other, put together for each division; and what is
    decided by that."""
    result = []
    for pair in zip(halves[::2], halves[1::2], strict=True):
        whole = numpy.full(predictions[0].shape, numpy.nan)
        for half in pair:
            whole[half.rows] = _mixed([each[half.rows] for each in predictions], half.members)
        result.append(whole)
    decision = decision_for(
        metric, halves, result, lambda half: _mixed(predictions, half.members), truth, weights
    )  # fmt: skip
    return tuple(result), decision


def calibration_of(prepared: Prepared, unseen: numpy.ndarray) -> Calibration | None:
    """How far predictions [rows, outputs] of rows that trained no network of them are off."""
    truth = prepared.target_encoder.truth(prepared.development)
    learn = Calibration.of_classes if prepared.schema.task == "classification" else Calibration.of_numbers
    return learn(unseen, truth, prepared.weights, prepared.units)


def as_model(
    prepared: Prepared,
    folder: StudyFolder,
    members: Sequence[tuple[TrialRecord, float]],
    refitted: Mapping[int, Member] = MappingProxyType({}),
    calibration: Calibration | None = None,
    remembering: Sequence[Member] = (),
) -> Model:
    """The model of these trials, each with its share: its networks of `refitted`, or else those that were scored; and
    of those that are `remembering`."""
    parts = []
    for record, share in members:
        if record.number in refitted:
            parts.append(replace(refitted[record.number], share=share))
        elif (weights := folder.load_weights(record.number)) is not None:
            parts.append(scored_member(prepared, record, weights, share))
    parts += remembering
    total = sum(part.share for part in parts)
    parts = [replace(part, share=part.share / total) for part in parts]
    return Model(prepared.encoder, prepared.target_encoder, tuple(parts), calibration)


def scored_member(prepared: Prepared, record: TrialRecord, weights: TrialWeights, share: float = 1.0) -> Member:
    """The networks of all folds of a trial; of folds that go forward in time the latest alone, since the others never
    saw the rows nearest to those that are to be predicted."""
    latest = prepared.split.latest
    parameters = weights.parameters if latest is None else weights.parameters[latest : latest + 1]
    return Member(record.config.module_arguments, parameters, share)


def best_network(prepared: Prepared, folder: StudyFolder, winner: TrialRecord, trials: Sequence[TrialRecord]) -> Member:
    """One of the winner's networks, alone: of folds that go forward in time the latest, of others the one that did best
    for its fold."""
    weights = folder.load_weights(winner.number)
    assert weights is not None
    latest = prepared.split.latest
    place = best_fold(winner, trials) if latest is None else latest
    return Member(winner.config.module_arguments, weights.parameters[place : place + 1], 1.0)


def best_fold(winner: TrialRecord, trials: Sequence[TrialRecord]) -> int:
    """The fold in which the winner did best beside the other `trials`.

    Its own errors say more of the folds than of the networks: the least is that of the fold that is easiest for all.
    So each is taken relative to the median of the other finished trials on the same rows; without any, the networks
    cannot be told apart, and the first is as good as another.
    """
    if not winner.fold_errors:
        return 0
    own = numpy.array(winner.fold_errors)
    others = [
        record.fold_errors
        for record in trials
        if record.state == COMPLETE and record.number != winner.number and len(record.fold_errors) == len(own)
    ]
    if not others:
        return 0
    usual = numpy.median(others, axis=0)
    # Where the others make no error at all, one that makes none either is their equal.
    relative = numpy.where(own == usual, 1.0, own / numpy.where(usual == 0, 1e-300, usual))
    return int(numpy.argmin(relative))
