from dataclasses import replace

import hypothesis
import numpy
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from trimtab.nets.mlp import MLP
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.compilation import NOTHING, Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.plans import plan
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import METRICS
from trimtab.training.programs.program import outputs_of
from trimtab.training.randomness import initialised, number_from, row_order
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, PRUNED, Request

ROWS = 120


def regression_data(folds=3, rows=ROWS):
    generator = numpy.random.default_rng(0)
    x = generator.normal(size=(rows, 4)).astype(numpy.float32)
    y = (x[:, :1] * 2 - x[:, 1:2] ** 2 + 0.1 * generator.normal(size=(rows, 1))).astype(numpy.float32)
    places = numpy.arange(rows)
    parts = (
        [(places[places % folds != k], places[places % folds == k]) for k in range(folds)]
        if folds > 1
        else [(places[: rows * 3 // 4], places[rows * 3 // 4 :])]
    )
    return TrainingData(
        task="regression",
        inputs=(torch.from_numpy(x), torch.zeros(rows, 0, dtype=torch.int64)),
        targets=torch.from_numpy(y),
        weights=torch.ones(rows),
        folds=tuple(Fold(torch.from_numpy(a), torch.from_numpy(b)) for a, b in parts),
        outputs=1,
        mean=torch.zeros(1, dtype=torch.float64),
        scale=torch.ones(1, dtype=torch.float64),
    )


def mlp(**network):
    return MLP(continuous=4, numbers=4, cardinalities=(), outputs=1, **network)


def config(epochs=6, lr=0.01, optimizer="adamw", loss="mse", dropout=0.0, schedule="cosine", batch_size=32, **rest):
    return Config(
        network=(("activation", "relu"), ("depth", 2), ("inputs", "scaled"), ("width", 16)),
        loss=Loss(loss),
        optimizer=Optimizer(optimizer, learning_rate=lr, **rest),
        schedule=Schedule(schedule),
        stopping=Stopping("none"),
        batch_size=batch_size,
        epochs=epochs,
        dropout=dropout,
    )


def engine_for(data, module=mlp, *, metric="rmse", compiling="never", always=NOTHING, training_rows=0, **options):
    judging = Judging(METRICS[metric], training_rows=training_rows)
    return Engine(data, Modules(module), judging, compilation=Compilation(compiling, always=always), **options)


def train(engine, requests, *, lanes=None):
    """Train `requests` through the lanes of their population, refilling as places fall free."""
    population = engine.population(Structure.of(requests[0].config), lanes)
    queue, records = list(requests), []
    while queue or population.lanes:
        engine.admit(population, [queue.pop(0) for _ in range(min(population.free, len(queue)))])
        engine.advance(population)
        records += engine.retire(population)
    return {(r.request.trial, r.request.fold): r for r in records}


def test_predictions_stay_within_bounds_and_what_is_infinite_is_told():
    data = regression_data()
    bounds = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    bounded = replace(data, mean=torch.tensor([1.0]), scale=torch.tensor([2.0]), bounds=bounds)
    said = bounded.predictions(torch.tensor([[0.25], [5.0], [-5.0], [torch.inf]]))
    assert said.flatten().tolist() == [1.5, 2.0, -1.0, torch.inf]
    moved = bounded.mapped(lambda tensor: tensor.clone())
    assert moved.bounds is not bounds and torch.equal(moved.bounds, bounds)


def test_a_run_is_the_same_in_any_lane_beside_any_neighbour_and_whenever_admitted():
    data = regression_data()
    ours = config(epochs=20, dropout=0.2)
    alone = train(engine_for(data), [Request(0, ours, 1, 7)], lanes=1)[0, 1]
    others = [Request(k, config(epochs=3 + k, lr=10.0**-k, optimizer="momentum"), k % 3, k) for k in range(1, 6)]
    crowd = train(engine_for(data), [*others, Request(0, ours, 1, 7), Request(9, ours, 2, 1)], lanes=3)[0, 1]
    numpy.testing.assert_allclose(crowd.curves.train_loss, alone.curves.train_loss, rtol=1e-3)
    numpy.testing.assert_allclose(crowd.curves.validation_loss, alone.curves.validation_loss, rtol=1e-3)
    assert crowd.best_epoch == alone.best_epoch


def test_the_weights_of_the_best_epoch_give_the_predictions_that_were_kept():
    data = regression_data()
    engine = engine_for(data)
    record = train(engine, [Request(0, config(epochs=15, lr=0.3, schedule="constant"), 0, 0)])[0, 0]
    assert record.best_epoch == record.curves.epoch[int(numpy.argmin(record.curves.validation_metric))]
    program = engine.program(record.request.config.network)
    rows = data.folds[0].validation
    outputs = outputs_of(program, record.weights[None], data.gather(rows[None]))[0].numpy()
    numpy.testing.assert_allclose(outputs, record.predictions, rtol=1e-5, atol=1e-6)
    error = numpy.sqrt(numpy.mean((outputs - data.targets[rows].numpy()) ** 2))
    assert error == pytest.approx(record.error, rel=1e-5) == pytest.approx(min(record.curves.validation_metric))


def test_a_diverging_lane_ends_as_not_finite_and_changes_no_bit_beside_it():
    data = regression_data()
    tame = [Request(k, config(), k, 0) for k in range(3)]
    wild = Request(3, config(lr=1e30, optimizer="sgd"), 0, 0)
    without = train(engine_for(data), [*tame, Request(3, config(lr=1e-3, optimizer="sgd"), 0, 0)], lanes=4)
    beside = train(engine_for(data), [*tame, wild], lanes=4)
    assert beside[3, 0].ended == NOT_FINITE
    for k in range(3):
        assert beside[k, k].curves == without[k, k].curves
        assert torch.equal(beside[k, k].weights, without[k, k].weights)


@hypothesis.settings(max_examples=25)
@hypothesis.given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    lanes=st.integers(1, 5),
    prune_at=st.integers(0, 12),
)
def test_whatever_comes_and_goes_each_run_gets_exactly_its_own_epochs(lengths, lanes, prune_at):
    data = regression_data(rows=30)
    engine = engine_for(data)
    queue = [Request(k, config(epochs=n, batch_size=8), k % 3, k) for k, n in enumerate(lengths)]
    population = engine.population(Structure.of(queue[0].config), lanes)
    records, rounds = [], 0
    while queue or population.lanes:
        engine.admit(population, [queue.pop(0) for _ in range(min(population.free, len(queue)))])
        engine.advance(population)
        rounds += 1
        if rounds == prune_at and population.lanes:
            population.lanes[0].ended = population.lanes[0].ended or PRUNED
        records += engine.retire(population)
    assert sorted(r.request.trial for r in records) == list(range(len(lengths)))
    for record in records:
        planned = lengths[record.request.trial]
        assert record.epochs == planned if record.ended == ALL_EPOCHS else record.epochs < planned + 1
        assert record.curves.epoch == sorted(set(record.curves.epoch)) and record.curves.epoch[-1] == record.epochs
        batches = -(-len(data.folds[record.request.fold].train) // 8)
        assert record.steps == record.epochs * batches


@pytest.mark.parametrize("threads", [1, 2])
def test_whole_runs_of_several_structures_are_those_of_each_by_itself(threads):
    """Longer and shorter ones side by side, more of them than places; told to stop, those are left out that go on."""
    data = regression_data()
    requests = [Request(k, config(epochs=n, batch_size=8 * (1 + k % 3)), k % 3, k) for k, n in enumerate((3, 9, 2, 5))]
    alone = [run for one in requests for run in train(engine_for(data), [one]).values()]
    engine = engine_for(data, threads=threads)
    several = {structure: [] for structure in map(Structure.of, (one.config for one in requests))}
    for one in requests:
        several[Structure.of(one.config)].append(one)
    runs = engine.whole_runs([(engine.population(structure, 1), some) for structure, some in several.items()])
    assert sorted(run.request.trial for run in runs) == [0, 1, 2, 3]
    for run in runs:
        assert run.curves.train_loss == pytest.approx(alone[run.request.trial].curves.train_loss, rel=1e-4)
        assert run.epochs == alone[run.request.trial].epochs and run.ended == ALL_EPOCHS
    stopped = engine_for(data, threads=threads)
    steps = iter(range(60))
    stopped.should_stop = lambda: next(steps, None) is None
    left = stopped.whole_runs([(stopped.population(structure, 1), some) for structure, some in several.items()])
    assert len(left) < 4 and all(run.ended == ALL_EPOCHS for run in left)
    assert not any(population.lanes for population in stopped.populations.values())


def rows_of(population, epochs):
    """The row numbers [lanes, steps, batch] of the next epochs, those that pad a batch included."""
    lanes = population.lanes
    window = (0, max(lane.steps_of(epochs) for lane in lanes))
    optimizers = population.coefficients(0, len(lanes)).optimizers
    return plan(lanes, optimizers, population.orders, epochs, window, torch.device("cpu"), 0).rows.numpy()


def test_an_epoch_visits_every_training_row_once_and_no_other():
    data = regression_data()
    engine = engine_for(data)
    population = engine.population(Structure.of(config()), 3)
    engine.admit(population, [Request(0, config(), fold, 0) for fold in range(3)])
    rows = rows_of(population, epochs=2)
    for i, fold in enumerate(data.folds):
        visited = rows[i][rows[i] < data.rows]
        assert sorted(visited) == sorted(numpy.repeat(fold.train.numpy(), 2))


def test_row_order_follows_from_seed_fold_and_epoch_alone():
    data = regression_data()
    orders = []
    for cfg in (config(lr=0.1), config(lr=1e-4, optimizer="lion", loss="mae")):
        population = engine_for(data).population(Structure.of(cfg), 1)
        engine_for(data).admit(population, [Request(0, cfg, 1, 5)])
        orders.append(rows_of(population, epochs=1))
    assert numpy.array_equal(*orders)


def test_the_callers_generators_are_not_advanced():
    torch.manual_seed(3)
    numpy.random.seed(3)
    expected = torch.rand(1), numpy.random.rand()
    torch.manual_seed(3)
    numpy.random.seed(3)
    train(engine_for(regression_data()), [Request(0, config(dropout=0.3), 0, 0)])
    assert torch.equal(torch.rand(1), expected[0]) and numpy.random.rand() == expected[1]


def test_gradient_descent_sees_all_rows_in_one_step():
    data = regression_data()
    record = train(engine_for(data), [Request(0, config(optimizer="gd", lr=0.1, epochs=5), 0, 0)])[0, 0]
    assert record.steps == 5


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "mae"}, {"lr": 0.02}, {"optimizer": "sgd"}, {"schedule": "constant"}, {"dropout": 0.5},
        {"weight_decay": 0.5}, {"momentum": 0.5}, {"second_decay": 0.9}, {"epochs": 9},
    ],
    ids=str,
)  # fmt: skip
def test_every_coefficient_changes_the_training(change):
    data = regression_data()
    plain, changed = config(), config(**change)
    records = train(engine_for(data), [Request(0, plain, 0, 0), Request(1, changed, 0, 0)], lanes=2)
    assert not torch.allclose(records[0, 0].weights, records[1, 0].weights, rtol=1e-4, atol=1e-7)


def test_a_stopped_engine_keeps_what_was_evaluated():
    data = regression_data()
    asked = iter(range(10**6))
    engine = engine_for(data, should_stop=lambda: next(asked) > 40)
    population = engine.population(Structure.of(config(epochs=500)), 3)
    engine.admit(population, [Request(0, config(epochs=500), fold, 0) for fold in range(3)])
    while engine.advance(population):
        pass
    records = engine.retire(population, "out of budget")
    assert all(r.ended == "out of budget" and numpy.isfinite(r.error) for r in records)
    assert all(numpy.isfinite(r.predictions).all() for r in records)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x, codes):
        return self.layer(x)


def test_a_module_of_ones_own_learns_through_the_same_engine():
    data = regression_data()
    engine = engine_for(data, Line)
    cfg = Config(network=(), optimizer=Optimizer("sgd", learning_rate=0.1), epochs=60, batch_size=16,
                 schedule=Schedule("cosine"), stopping=Stopping("none"))  # fmt: skip
    record = train(engine, [Request(0, cfg, 0, 0)])[0, 0]
    train_rows = data.folds[0].train
    design = numpy.c_[data.inputs[0][train_rows].numpy(), numpy.ones(len(train_rows))]
    exact = numpy.linalg.lstsq(design, data.targets[train_rows].numpy(), rcond=None)[0][:, 0]
    assert record.epochs == 60
    numpy.testing.assert_allclose(record.weights.numpy(), exact, atol=0.35)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_run_on_a_gpu_is_the_run_on_the_cpu():
    data = regression_data()
    moved = TrainingData(
        **{
            **vars(data),
            "inputs": tuple(x.cuda() for x in data.inputs),
            "targets": data.targets.cuda(),
            "weights": data.weights.cuda(),
            "folds": tuple(Fold(fold.train.cuda(), fold.validation.cuda()) for fold in data.folds),
            "mean": data.mean.cuda(),
            "scale": data.scale.cuda(),
        }
    )
    requests = [Request(k, config(epochs=10, dropout=0.2 * k), k, 0) for k in range(3)]
    here, there = (train(engine_for(d), requests, lanes=3) for d in (data, moved))
    for key, record in here.items():
        numpy.testing.assert_allclose(there[key].curves.train_loss, record.curves.train_loss, rtol=1e-2)


def test_a_module_with_batch_norm_keeps_running_means_per_lane():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

        def forward(self, x, codes):
            return self.layers(x)

    data = regression_data()
    cfg = Config(network=(), optimizer=Optimizer("adam", learning_rate=0.02), epochs=20, batch_size=16,
                 schedule=Schedule("constant"), stopping=Stopping("none"))  # fmt: skip
    other = Config(**{**vars(cfg), "optimizer": Optimizer("adam", learning_rate=0.2)})
    alone = train(engine_for(data, Normed), [Request(0, cfg, 0, 0)])[0, 0]
    engine = engine_for(data, Normed)
    beside = train(engine, [Request(0, cfg, 0, 0), Request(1, other, 1, 0)], lanes=2)[0, 0]
    numpy.testing.assert_allclose(beside.curves.validation_loss, alone.curves.validation_loss, rtol=1e-3)
    module = Normed()
    weights = engine.program(()).layout.views(beside.weights)
    module.load_state_dict(weights | beside.buffers)
    outputs = module.eval()(data.inputs[0][data.folds[0].validation], None).detach().numpy()
    numpy.testing.assert_allclose(outputs, beside.predictions, rtol=1e-4, atol=1e-5)
    assert not torch.equal(beside.buffers["layers.1.running_mean"], torch.zeros(8))


def test_a_clipped_gradient_and_averaged_weights_are_those_of_torch():
    data = regression_data(folds=1)
    cfg = replace(config(epochs=4, lr=0.05, optimizer="sgd", schedule="constant", batch_size=16), gradient_clip=0.3,
                  averaging=0.9)  # fmt: skip
    engine = engine_for(data)
    population = engine.population(Structure.of(cfg), 1)
    population.epochs_per_round = 1
    engine.admit(population, [Request(0, cfg, 0, 3)])
    while not population.lanes[0].ended:
        engine.advance(population)
    module = initialised(lambda: mlp(**dict(cfg.network)), number_from("run", 3, 0))
    average = [p.detach().clone() for p in module.parameters()]
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    train_rows, step = data.folds[0].train, 0
    for epoch in range(4):
        for order in torch.from_numpy(row_order(len(train_rows), seed=3, fold=0, epoch=epoch)).split(16):
            rows = train_rows[order]
            optimizer.zero_grad()
            nn.functional.mse_loss(module(data.inputs[0][rows], data.inputs[1][rows]), data.targets[rows]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.3)
            optimizer.step()
            step += 1
            decay = min(0.9, (1 + step) / (10 + step))
            for mean, p in zip(average, module.parameters(), strict=True):
                mean.lerp_(p.detach(), 1 - decay)
    flat = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    torch.testing.assert_close(population.parameters[0], flat, rtol=1e-4, atol=1e-6)
    assert population.average is not None
    torch.testing.assert_close(population.average[0], torch.cat([a.reshape(-1) for a in average]), rtol=1e-4, atol=1e-6)
