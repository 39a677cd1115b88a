"""Modules of one's own: what the engine trains is what a plain PyTorch loop on the same batches trains."""

import copy

import numpy
import pytest
import torch
from torch import nn

from trimtab.training.config import Config, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import METRICS
from trimtab.training.programs.program import Masks, outputs_of
from trimtab.training.randomness import initialised, number_from, row_order
from trimtab.training.run import Request

ROWS, BATCH, EPOCHS = 48, 8, 3


class Parts(nn.Module):
    """A module of given layers, the last of them flat behind the others."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.again.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.again(torch.relu(self.first(x)))))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.left, self.last = nn.Embedding(5, 3), nn.Linear(6, 3), nn.Linear(3, 2)

    def forward(self, x, codes):
        return self.last(self.left(x) * self.table(codes[:, 0]))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cells, self.last = kind(2, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x):
        return self.last(self.cells(x.view(-1, 3, 2))[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, dropout=0.0, batch_first=True)
        self.enter, self.last = nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.layer(self.enter(x.view(-1, 3, 2))).mean(1))


class OneNumber(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x):
        return self.layer(x).squeeze(1)


FACTORIES = {
    # A bias before a normalisation has a gradient of 0 but for rounding, which Adam would blow up to full steps.
    "batch norm": lambda: Parts(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)),
    "layer norm": lambda: Parts(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1)),
    "conv1d": lambda: Parts(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)),
    "conv2d": lambda: Parts(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 1)),
    "weight sharing": Shared,
    "two inputs, two outputs": TwoInputs,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "transformer": Attention,
    "one number per row": OneNumber,
}


def data_for(name):
    generator = numpy.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(ROWS + 16, 6)).astype(numpy.float32))
    codes = torch.from_numpy(generator.integers(0, 5, (ROWS + 16, 1)))
    outputs = 2 if name.startswith("two") else 1
    inputs = (x, codes) if outputs == 2 else (x,)
    places = torch.arange(ROWS + 16)
    return TrainingData(
        task="regression",
        inputs=inputs,
        targets=torch.cat([x[:, :1] ** 2, x[:, 1:2]], dim=1)[:, :outputs].contiguous(),
        weights=torch.ones(ROWS + 16),
        folds=(Fold(places[:ROWS], places[ROWS:]),),
        outputs=outputs,
        mean=torch.zeros(outputs, dtype=torch.float64),
        scale=torch.ones(outputs, dtype=torch.float64),
    )


def config(lr):
    return Config(
        optimizer=Optimizer("adam", learning_rate=lr), epochs=EPOCHS, batch_size=BATCH,
        schedule=Schedule("constant"), stopping=Stopping("none"),
    )  # fmt: skip


def plain_loop(factory, data, lr, seed):
    """Validation losses after each epoch, as a careful user's loop has them."""
    module = initialised(factory, number_from("run", seed, 0))
    optimizer = torch.optim.Adam(module.parameters(), lr)
    losses = []
    for epoch in range(EPOCHS):
        module.train()
        order = torch.from_numpy(row_order(ROWS, seed=seed, fold=0, epoch=epoch))
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            outputs = module(*(x[rows] for x in data.inputs)).view(len(rows), -1)
            nn.functional.mse_loss(outputs, data.targets[rows]).backward()
            optimizer.step()
        module.eval()
        with torch.no_grad():
            outputs = module(*(x[ROWS:] for x in data.inputs)).view(16, -1)
        losses.append(float(nn.functional.mse_loss(outputs, data.targets[ROWS:])))
    return losses


def trained(factory, data, rates, **options):
    engine = Engine(data, Modules(factory), Judging(METRICS["rmse"]), **options)
    requests = [Request(k, config(lr), 0, k) for k, lr in enumerate(rates)]
    population = engine.population(Structure.of(requests[0].config), len(rates))
    # What the engine evaluates once in a few epochs is compared epoch by epoch here.
    population.epochs_per_round = 1
    engine.admit(population, requests)
    while population.lanes and not all(lane.ended for lane in population.lanes):
        engine.advance(population)
    return [record.curves for record in engine.retire(population)]


@pytest.mark.parametrize("name", FACTORIES)
def test_every_lane_trains_as_a_plain_loop_does(name):
    data, rates = data_for(name), (0.003, 0.03, 0.01)
    for seed, (lr, curves) in enumerate(zip(rates, trained(FACTORIES[name], data, rates), strict=True)):
        expected = plain_loop(FACTORIES[name], data, lr, seed)
        numpy.testing.assert_allclose(curves.validation_loss, expected, rtol=1e-3)


def test_dropout_scales_what_it_keeps_and_is_off_when_evaluating():
    data = data_for("dropout")
    with_dropout = lambda: Parts(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))  # noqa: E731
    engine = Engine(data, Modules(with_dropout), Judging(METRICS["rmse"]))
    program = engine.program(())
    module = initialised(with_dropout, 0)
    flat = program.layout.flatten(dict(module.named_parameters())).unsqueeze(0)
    inputs = (data.inputs[0].unsqueeze(0),)
    evaluated = outputs_of(program, flat, inputs)[0]
    torch.testing.assert_close(evaluated, module.eval()(data.inputs[0]))
    rate, seed = torch.tensor([0.5]), torch.tensor([3])
    drawn = torch.stack(
        [program.forward(program.layout.views(flat), inputs, Masks.of(rate, seed, torch.tensor([s]), layers=1), {})[0]
         for s in range(400)]
    )  # fmt: skip
    torch.testing.assert_close(drawn.mean(0), evaluated, atol=0.06, rtol=0.1)
    assert drawn.std(0).min() > 0.01


def test_a_custom_module_is_left_as_it_was():
    module = FACTORIES["batch norm"]()
    before = copy.deepcopy(module.state_dict())
    trained(lambda: module, data_for("batch norm"), (0.1,))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
