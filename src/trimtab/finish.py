"""From finished trials to the model that is saved, and to the figures it earns on rows it never saw.

Knows trials, models and scores; it proposes and searches nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy
import torch

from trimtab.errors import DataError
from trimtab.model import Member, Model
from trimtab.table.encode import Encoded
from trimtab.table.prepare import Prepared
from trimtab.training.config import Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.engine import Engine
from trimtab.training.metrics import Metric, all_scores, bootstrap_interval
from trimtab.training.population import Structure
from trimtab.training.run import OUT_OF_BUDGET, Request
from trimtab.tuning import baselines
from trimtab.tuning.ensemble import select
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import COMPLETE, TrialRecord

CANDIDATES = 60
CANDIDATE_BYTES = 512 << 20


@dataclass(frozen=True)
class Chosen:
    """What will predict: trials with their shares, the best single one, and their out-of-fold predictions."""

    winner: TrialRecord
    members: tuple[tuple[TrialRecord, float], ...]
    predictions: numpy.ndarray


def choose(
    trials: Sequence[TrialRecord], folder: StudyFolder, data: TrainingData, metric: Metric, *, single: bool
) -> Chosen:
    """The best trial, or the ensemble of the best where it is better by more than noise (never with `single`)."""
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
    if single or len(records) == 1:
        return Chosen(records[0], ((records[0], 1.0),), predictions[0])
    truth = data.truth(torch.arange(data.rows, device=data.device)).numpy(force=True)
    ensemble = select(predictions, truth, data.weights.numpy(force=True), metric)
    if not ensemble.gain_is_beyond_noise:
        return Chosen(winner, ((winner, 1.0),), predictions[0])
    members = tuple((records[i], share) for i, share in ensemble.members)
    mixed = sum(share * predictions[i].astype(numpy.float64) for i, share in ensemble.members)
    return Chosen(winner, members, numpy.asarray(mixed))


def as_model(prepared: Prepared, folder: StudyFolder, members: Sequence[tuple[TrialRecord, float]]) -> Model:
    """The model of these trials: all their folds' networks, each trial with its share."""
    parts = []
    for record, share in members:
        weights = folder.load_weights(record.number)
        if weights is not None:
            parts.append(Member(record.config.module_arguments, weights.parameters, share))
    total = sum(part.share for part in parts)
    parts = [Member(part.network, part.parameters, part.share / total) for part in parts]
    return Model(prepared.encoder, prepared.target_encoder, tuple(parts))


def trained_on_all_rows(
    engine: Engine, data: TrainingData, members: Sequence[tuple[TrialRecord, float]], *, seed: int
) -> list[Member] | None:
    """Each member trained once on every row of `data`, for as many epochs as its folds needed, without stopping.

    A trial that scikit-learn fitted is fitted anew. None where the engine was stopped before the last epoch.
    """
    every = torch.arange(data.rows, device=data.device)
    whole = replace(data, folds=(Fold(every, every[:1]),))
    all_rows = Engine(whole, engine.metric, engine.factory, threads=engine.threads, should_stop=engine.should_stop)
    result = []
    for record, share in members:
        if record.name in baselines.FITTED:
            layout = engine.program(record.config.network).layout
            fitted = baselines.FITTED[record.name](whole, layout, seed=seed)
            result.append(Member(record.config.module_arguments, fitted.parameters, share))
            continue
        final = replace(record.config, epochs=max(1, record.best_epoch), stopping=Stopping("none"))
        population = all_rows.population(Structure.of(final), lanes=1)
        all_rows.admit(population, [Request(record.number, final, 0, seed)])
        while not population.lanes[0].ended:
            if not all_rows.advance(population):
                return None
        result.append(Member(record.config.module_arguments, population.evaluated[:1].clone().cpu(), share))
        all_rows.retire(population, OUT_OF_BUDGET)
    return result


def best_network(prepared: Prepared, folder: StudyFolder, winner: TrialRecord) -> Model:
    """The winner's network of the fold it did best on, alone."""
    weights = folder.load_weights(winner.number)
    assert weights is not None
    place = int(numpy.argmin(winner.fold_errors)) if winner.fold_errors else 0
    member = Member(winner.config.module_arguments, weights.parameters[place : place + 1], 1.0)
    return Model(prepared.encoder, prepared.target_encoder, (member,))


def scores(
    model: Model, prepared: Prepared, metric: Metric, *, seed: int, encoded: Encoded | None = None
) -> tuple[dict[str, float], tuple[float, float]]:
    """Every figure of `model` on the test rows (`encoded` where they are already), and the metric's interval."""
    assert prepared.test is not None
    raw = model.raw(prepared.test)[0] if encoded is None else model.raw_of(encoded)
    truth = prepared.target_encoder.truth(prepared.test)
    return figures(raw, truth, prepared.test_weights, metric, seed=seed)


def figures(
    predictions: numpy.ndarray, truth: numpy.ndarray, weights: numpy.ndarray, metric: Metric, *, seed: int
) -> tuple[dict[str, float], tuple[float, float]]:
    """All scores of `predictions` [rows, outputs] and the metric's interval; rows without a prediction are left out."""
    known = ~numpy.isnan(predictions).any(axis=1)
    arguments = predictions[known], truth[known], weights[known]
    return all_scores(*arguments, task=metric.task), bootstrap_interval(metric, *arguments, seed=seed)
