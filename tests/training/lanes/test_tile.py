"""Tiles: how lanes are divided among threads."""

from dataclasses import replace

import numpy
import torch

from training.lanes.test_engine import ROWS, config, engine_for, regression_data, train
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.widths import lanes_at_once
from trimtab.training.run import Request


def test_threads_that_share_the_lanes_change_nothing(monkeypatch):
    monkeypatch.setattr("trimtab.training.lanes.engine.threads_worth_it", lambda population, threads: threads)
    data = regression_data()
    requests = [Request(k, config(epochs=8, dropout=0.1 * k, lr=0.01 / (k + 1)), k % 3, k) for k in range(5)]
    one, three = (train(engine_for(data, threads=n), requests, lanes=5) for n in (1, 3))
    for key, record in one.items():
        numpy.testing.assert_allclose(three[key].curves.validation_loss, record.curves.validation_loss, rtol=1e-4)


def test_folds_of_different_size_share_a_population_without_idle_steps(monkeypatch):
    monkeypatch.setattr("trimtab.training.lanes.engine.threads_worth_it", lambda population, threads: threads)
    data = regression_data(folds=1)
    places = torch.arange(ROWS)
    uneven = TrainingData(**{**vars(data), "folds": (Fold(places[:100], places[100:]), Fold(places[90:], places[:90]))})
    alone = {fold: train(engine_for(uneven), [Request(0, config(epochs=9), fold, 1)])[0, fold] for fold in (0, 1)}
    engine = engine_for(uneven, threads=2)
    both = train(engine, [Request(0, config(epochs=9), fold, 1) for fold in (1, 0)], lanes=2)
    for fold, record in alone.items():
        assert both[0, fold].steps == record.steps == 9 * (4 if fold == 0 else 1)
        numpy.testing.assert_allclose(
            both[0, fold].curves.validation_loss[-1], record.curves.validation_loss[-1], rtol=1e-3
        )


def test_threads_share_uncompiled_lanes_only_where_each_gets_enough_to_do():
    engine = engine_for(regression_data(), threads=2)
    run = config(epochs=2)
    run = replace(run, network=tuple({**dict(run.network), "width": 128}.items()))
    population = engine.population(Structure.of(run), lanes=64)
    at_once = lanes_at_once(population)
    assert 3 < at_once // 2 < 64 - 3
    engine.admit(population, [Request(k, run, k % 3, k) for k in range(3)])
    engine.advance(population)
    assert [len(tile) for tile in population.tiles] == [3]
    engine.retire(population, "enough")
    engine.admit(population, [Request(k, run, k % 3, k) for k in range(64)])
    engine.advance(population)
    assert len(population.tiles) % 2 == 0
    engine.close()
