"""Stopping rules read off one training of the winner to its end: what each would have spent, and what it would keep.

Knows the ground and the rules; one half of a fold's validation rows decides, the other scores, and they are swapped.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy
import torch

from trimtab.findings.replays import Replay, replayed_between
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.worth.account import Stop
from trimtab.studies.counterfactuals.ground import FOLDS_ENOUGH, Ground
from trimtab.training.config import Stopping
from trimtab.training.data import Fold
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import greater_is_better
from trimtab.training.run import Curves, Request

# Fewer rows than these in half of a validation part would judge by luck.
FEWEST_ROWS = 10


def folds_to_read(ground: Ground) -> tuple[Fold, ...]:
    """Folds with validation rows enough in both halves, as many as are compared on: the study's, two of them as one
    where it has enough of them and of less; none where rows are too few, or where there is no metric."""
    folds = ground.data.folds if ground.metric is not None else ()
    while any(len(fold.validation) < 2 * FEWEST_ROWS for fold in folds):
        pairs = list(zip(folds[::2], folds[1::2], strict=False))
        folds = tuple(_as_one(*pair) for pair in pairs) if len(pairs) >= FOLDS_ENOUGH else ()
    return tuple(ground.some(folds))


def stops_of(ground: Ground, chosen: Sequence[Fold], is_over: Callable[[], bool]) -> tuple[Stop, ...]:
    """What every rule would have done, the mean over some of the folds to read; nothing where the time was over first.

    All of it is under the winner's own schedule: whether a shorter or longer plan were better, a replay cannot say.
    """
    folds = len(chosen)
    halves = [_halves(ground, fold, place) for place, fold in enumerate(chosen)]
    parts = tuple(Fold(fold.train, first) for fold, (first, _) in zip(chosen, halves, strict=True))
    judging = Judging(ground.metric, every=1, beside=tuple(second for _, second in halves))
    engine = ground.engine_for(replace(ground.data, folds=parts), judging)
    engine.should_stop = is_over
    config = replace(ground.winner, stopping=Stopping("none"))
    try:
        population = engine.population(Structure.of(config), folds)
        requests = [Request(0, config, fold, ground.seed_of(0)) for fold in range(folds)]
        records = engine.whole_runs([(population, requests)])
    finally:
        engine.close()
    if len(records) < folds:
        return ()
    greater = greater_is_better(ground.metric)
    replays = [replayed_between(*_records(record.curves, greater)) for record in records]
    return _means(replays)


def _as_one(fold: Fold, other: Fold) -> Fold:
    """What judges in either judges, and what trains in both trains."""
    train = fold.train[torch.isin(fold.train, other.train)]
    return Fold(train, torch.cat([fold.validation, other.validation]).unique())


def _halves(ground: Ground, fold: Fold, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    return ground.part(fold.validation, 0.5, place)


def _records(curves: Curves, greater_is_better: bool) -> tuple[TrainingRecord, TrainingRecord]:
    """The training as each half of the validation rows judged it: the second stands where training rows usually do."""
    epochs, losses = (numpy.asarray(each, dtype=float) for each in (curves.epoch, curves.train_loss))
    first, second = (
        TrainingRecord(
            epochs, train_loss=losses, validation_metric=numpy.asarray(metric, dtype=float),
            greater_is_better=greater_is_better, metric="metric",
        )
        for metric in (curves.validation_metric, curves.train_metric)
    )  # fmt: skip
    return first, second


def _means(replays: Sequence[Sequence[Replay]]) -> tuple[Stop, ...]:
    """Each rule's figures, the mean over folds; a rule that could not be read in some fold is left out."""
    by_rule: dict[str, list[Replay]] = {}
    for each in (replay for fold in replays for replay in fold):
        by_rule.setdefault(each.rule, []).append(each)
    return tuple(
        Stop(
            rule, *(float(numpy.mean([getattr(each, name) for each in found])) for name in ("epochs", "kept", "score"))
        )
        for rule, found in by_rule.items()
        if len(found) == len(replays) and all(numpy.isfinite(each.score) for each in found)
    )
