"""Signals: what a round tells of a run is what its gradients and units did."""

import numpy
import pytest
import torch
from torch import nn

from training.lanes.test_engine import Line, config, engine_for, regression_data, train
from trimtab.training.config import Config, Optimizer, Schedule, Stopping
from trimtab.training.lanes.signals import Signals
from trimtab.training.run import Request


def test_signals_say_what_a_run_did_between_two_evaluations():
    data = regression_data()
    record = train(engine_for(data), [Request(0, config(epochs=12, lr=0.01, optimizer="adam"), 0, 0)])[0, 0]
    curves, layout = record.curves, engine_for(data).program(record.request.config.network).layout
    for norms, whole in zip(curves.gradient_norms, curves.gradient_norm, strict=True):
        assert len(norms) == len(layout.names)
        assert numpy.sqrt(numpy.sum(numpy.square(norms))) == pytest.approx(whole, rel=1e-4)
    assert all(0 < ratio < 1 for ratio in curves.update_ratio)
    assert [len(layers) for layers in curves.dead_by_layer] == [2] * len(curves.epoch)
    quiet = engine_for(data, signals=Signals(only_losses=True))
    without = train(quiet, [Request(0, record.request.config, 0, 0)])[0, 0]
    assert without.curves.validation_loss == curves.validation_loss
    assert numpy.isnan(without.curves.gradient_norm).all()


def test_units_that_never_move_are_dead_and_those_at_a_bound_saturated():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu = nn.Linear(4, 4), nn.ReLU()
            self.second, self.tanh, self.last = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)
            with torch.no_grad():
                self.first.bias.copy_(torch.tensor([-100.0, 100.0, 100.0, 100.0]))
                self.second.weight.zero_()
                self.second.weight[0] = 0.001
                self.second.bias.copy_(torch.tensor([0.0, 50.0, -50.0, 0.0]))

        def forward(self, x, codes):
            return self.last(self.tanh(self.second(self.relu(self.first(x)))))

    engine = engine_for(regression_data(), Halves)
    cfg = Config(network=(), optimizer=Optimizer("sgd", learning_rate=1e-9), epochs=4, batch_size=32)
    curves = train(engine, [Request(0, cfg, 0, 0)])[0, 0].curves
    assert curves.dead_by_layer[-1] == [0.25, 0.75]
    assert curves.saturated_by_layer[-1] == [0.0, 0.5]
    assert curves.dead_units[-1] == 0.5


def test_the_noise_scale_is_that_of_the_gradients_themselves():
    """Against tr(S) / |G|^2 of single rows' gradients, at weights that hardly move."""
    data = regression_data(folds=1, rows=4000)

    engine = engine_for(data, Line)
    cfg = Config(network=(), optimizer=Optimizer("momentum", learning_rate=1e-8, momentum=0.98), epochs=12,
                 batch_size=16, schedule=Schedule("constant"), stopping=Stopping("none"))  # fmt: skip
    record = train(engine, [Request(0, cfg, 0, 0)])[0, 0]
    rows = data.folds[0].train
    x = torch.cat([data.inputs[0][rows], torch.ones(len(rows), 1)], dim=1).double()
    error = x @ record.weights.double() - data.targets[rows, 0].double()
    gradients = 2 * error.unsqueeze(1) * x
    mean = gradients.mean(0)
    exact = float((gradients - mean).square().sum(1).mean() / mean.square().sum())
    assert numpy.median(record.curves.noise_scale) == pytest.approx(exact, rel=0.25)
