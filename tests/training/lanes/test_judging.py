"""Judging: by what runs are judged where a metric says nothing, and where no rows judge."""

from dataclasses import replace

import numpy
import pytest
import torch

from training.lanes.test_engine import ROWS, config, engine_for, regression_data, train
from trimtab.nets.mlp import MLP
from trimtab.training.data import Fold
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.signals import Signals
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, Request


def test_a_fold_without_one_of_the_two_classes_is_judged_by_its_loss():
    """roc_auc says nothing of it: the run is none that diverged, and its curve shows no figure."""
    regression = regression_data(folds=2)
    targets = (regression.targets[:, 0] > 0).long()
    valid = torch.cat([torch.where(targets == label)[0][:20] for label in (0, 1)])
    both, single = Fold(torch.arange(ROWS), valid), Fold(torch.arange(ROWS), valid[:20])
    data = replace(
        regression, task="classification", targets=targets, outputs=2, mean=torch.zeros(0), scale=torch.zeros(0),
        folds=(both, single),
    )  # fmt: skip

    def factory(**network):
        return MLP(continuous=4, numbers=4, cardinalities=(), outputs=2, **network)

    requests = [Request(0, config(epochs=3, loss="cross_entropy"), fold, seed=0) for fold in (0, 1)]
    runs = train(engine_for(data, factory, metric="roc_auc"), requests)
    assert [run.ended for run in runs.values()] == [ALL_EPOCHS] * 2
    judged, alone = runs[0, 0], runs[0, 1]
    assert judged.error == pytest.approx(1 - max(judged.curves.validation_metric))
    assert alone.error == pytest.approx(min(alone.curves.validation_loss))
    assert numpy.isnan(alone.curves.validation_metric).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("only_losses", [False, True])
def test_without_validation_rows_a_run_keeps_the_weights_it_ends_with(threads, only_losses):
    data = regression_data()
    every = torch.arange(data.rows)
    unjudged = replace(data, folds=(Fold(every, every[:0]),))
    engine = engine_for(unjudged, threads=threads, signals=Signals(only_losses=only_losses), training_rows=50)
    requests = [Request(k, config(epochs=40, lr=10.0 ** -(k + 1)), 0, k, until=20) for k in range(3)]
    for run in train(engine, requests).values():
        assert run.ended == ALL_EPOCHS and run.epochs == run.best_epoch == 20 and run.steps == 20 * 4
        assert run.error == run.curves.train_loss[-1] and len(run.predictions) == 0
        assert numpy.isnan(run.curves.validation_loss).all() and numpy.isfinite(run.curves.train_metric).all()
    judged = train(engine_for(replace(data, folds=(Fold(every, every[:10]),))), requests)
    last = train(engine_for(unjudged), [replace(requests[1], until=0)])[1, 0]
    assert last.epochs == 40 and judged[1, 0].epochs == 20
    engine.close()


def test_a_run_without_validation_rows_that_diverges_ends_as_not_finite():
    data = regression_data()
    every = torch.arange(data.rows)
    engine = engine_for(replace(data, folds=(Fold(every, every[:0]),)))
    assert train(engine, [Request(0, config(lr=1e30, optimizer="sgd"), 0, 0)])[0, 0].ended == NOT_FINITE


def test_evaluations_of_growing_folds_take_no_larger_share_than_those_of_equal_ones():
    data = regression_data(rows=1_200)
    rows = torch.arange(1_200)
    windows = tuple(Fold(rows[:end], rows[end : end + 200]) for end in range(200, 1_200, 200))
    equal = tuple(Fold(rows[:600], rows[600:800]) for _ in range(5))
    structure = Structure.of(config())
    growing, even = (
        engine_for(replace(data, folds=folds)).population(structure).epochs_per_round for folds in (windows, equal)
    )
    assert growing == even
