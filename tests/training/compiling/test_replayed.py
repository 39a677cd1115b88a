"""Steps that were written down: the same numbers to the bit, and none where a step cannot be."""

import gc
import logging
from dataclasses import replace

import numpy
import psutil
import pytest
import torch
from torch import nn

from training.lanes.test_engine import config, engine_for, regression_data, train
from trimtab.nets.mlp import MLP
from trimtab.training.compiling import replayed
from trimtab.training.compiling.replayed import Replays
from trimtab.training.config import Loss, Optimizer
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.population import Structure
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.operands import Signature, example
from trimtab.training.programs.program import ModuleUse
from trimtab.training.programs.step import Features, Step
from trimtab.training.rules.objective import FormulaLoss
from trimtab.training.run import Request


def classes_data():
    numbers = regression_data()
    labels = (numbers.inputs[0].sum(1) > 0).long() + (numbers.inputs[0][:, 0] > 1).long()
    inputs = (numbers.inputs[0], (numbers.inputs[0][:, 1:] > 0).long())
    return TrainingData(
        task="classification", inputs=inputs, targets=labels, weights=numbers.weights, folds=numbers.folds, outputs=3,
        mean=torch.zeros(3, dtype=torch.float64), scale=torch.ones(3, dtype=torch.float64),
    )  # fmt: skip


def network(task, **given):
    if task == "regression":
        return MLP(continuous=4, numbers=4, cardinalities=(), outputs=1, edges=((-1.0, 0.0, 1.0),) * 4, **given)
    return MLP(continuous=4, numbers=4, cardinalities=(2, 2, 2), outputs=3, edges=((-1.0, 0.0, 1.0),) * 4, **given)


def chain(**given):
    layers = [nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1)]
    return nn.Sequential(*layers)


WAYS = {
    "adamw": {},
    "piecewise, dropout, clipped": {"inputs": "piecewise", "dropout": 0.3, "gradient_clip": 0.5},
    "periodic, averaged": {"inputs": "periodic", "averaging": 0.9},
    "momentum, huber": {"optimizer": Optimizer("momentum", learning_rate=0.01), "loss": Loss("huber", 0.5)},
    "adagrad": {"optimizer": Optimizer("adagrad", learning_rate=0.05)},
    "lion, quantile": {"optimizer": Optimizer("lion", learning_rate=1e-3), "loss": Loss("quantile", 0.8)},
    "no hidden layer": {"depth": 0},
}


def configured(inputs="scaled", depth=2, **given):
    ours = config(epochs=30, batch_size=16)
    return replace(
        ours, network=(("activation", "silu"), ("depth", depth), ("inputs", inputs), ("width", 12)), **given
    )  # fmt: skip


def runs_of(data, module, ours, *, threads, is_replayed, others=(), use=None):
    """All runs, and how many steps were written down for them."""
    engine = engine_for(data, module, metric="rmse" if data.task == "regression" else "log_loss", threads=threads)
    engine.modules.use = use
    population = engine.population(Structure.of(ours), lanes=7)
    if not is_replayed:
        population.replays = None
    requests = [Request(trial, each, fold, 3) for trial, each in enumerate([ours, *others]) for fold in range(3)]
    records = train(engine, requests)
    engine.close()
    return records, [] if population.replays is None else [
        each is not None for each in population.replays._kept.values()
    ]


def are_the_same(some, others):
    assert some.keys() == others.keys()
    for key, record in some.items():
        assert torch.equal(record.weights, others[key].weights) and record.epochs == others[key].epochs
        numpy.testing.assert_array_equal(record.predictions, others[key].predictions)
        for name in ("train_loss", "validation_loss", "gradient_norm", "update_ratio"):
            numpy.testing.assert_array_equal(getattr(record.curves, name), getattr(others[key].curves, name))


@pytest.mark.parametrize(("way", "threads"), [*((way, 2) for way in WAYS), ("adamw", 1)])
def test_every_number_is_that_of_the_step_as_it_stands(way, threads):
    """Of lanes that come and go: trials of 30, 9 and 20 epochs, on folds of which one has a step less."""
    data, ours = regression_data(), configured(**WAYS[way])
    rows = torch.arange(120)
    data = replace(data, folds=(*data.folds[:2], Fold(rows[:60], rows[60:])))
    others = [replace(ours, epochs=epochs) for epochs in (9, 20)]
    options = {"threads": threads, "others": others}
    plain, nothing = runs_of(data, lambda **n: network("regression", **n), ours, is_replayed=False, **options)
    found, written = runs_of(data, lambda **n: network("regression", **n), ours, is_replayed=True, **options)
    assert not nothing and written and all(written)
    are_the_same(found, plain)


@pytest.mark.parametrize("loss", [Loss("cross_entropy", label_smoothing=0.1), Loss("focal", 2.0)])
def test_classes_are_learnt_to_the_same_bit(loss):
    ours = configured(inputs="periodic", loss=loss, dropout=0.2)
    ways = [
        runs_of(classes_data(), lambda **n: network("classes", **n), ours, threads=2, is_replayed=each)
        for each in (False, True)
    ]  # fmt: skip
    assert all(ways[1][1]) and ways[1][1]
    are_the_same(ways[1][0], ways[0][0])


def test_a_chain_of_layers_that_keep_their_room_is_written_down_without_it():
    data = replace(regression_data(), inputs=regression_data().inputs[:1])
    ours = replace(config(epochs=30, batch_size=16), network=())
    options = {"threads": 2, "use": ModuleUse(ranks=(2,))}
    ways = [runs_of(data, chain, ours, is_replayed=each, **options) for each in (False, True)]
    assert all(ways[1][1]) and ways[1][1]
    are_the_same(ways[1][0], ways[0][0])


def test_populations_go_side_by_side_to_the_same_numbers():
    data = regression_data()
    some, others = configured(), configured(inputs="periodic")

    def ends(is_together):
        engine = engine_for(data, lambda **n: network("regression", **n), threads=2)
        populations = [engine.population(Structure.of(each), lanes=4) for each in (some, others)]
        for population, each in zip(populations, (some, others), strict=True):
            engine.admit(population, [Request(0, each, fold, 0) for fold in range(3)])
            assert engine.may_go_beside(population) and engine.is_narrow(population)
        for _ in range(8):
            if is_together:
                assert engine.advance_together(populations) == [True, True]
            else:
                assert [engine.advance(population) for population in populations] == [True, True]
        engine.close()
        assert engine.lane_steps == sum(population.lane_steps for population in populations) > 0
        return [population.parameters[:3].clone() for population in populations]

    for one, other in zip(ends(True), ends(False), strict=True):
        assert torch.equal(one, other)


def test_where_one_of_several_fails_its_error_is_heard():
    def fail():
        raise ZeroDivisionError

    engine = engine_for(regression_data(), threads=2)
    with pytest.raises(ZeroDivisionError):
        engine.crew.together([fail, lambda: 1])
    assert engine.crew.together([lambda: 1, lambda: 2]) == [1, 2]
    engine.close()


def test_short_trainings_are_not_written_down():
    _, written = runs_of(
        regression_data(), lambda **n: network("regression", **n), replace(configured(), epochs=2),
        threads=1, is_replayed=True,
    )  # fmt: skip
    assert written == []


# -- what cannot be written down


def operands_and_step(program=None, **features):
    signature = Signature("regression", 1, (("float32", (4,)), ("int64", (0,))), "int64", Features(**features))
    program = program or MLPProgram(MLP(continuous=4, numbers=4, cardinalities=(), outputs=1, width=4, depth=1))
    given = example(program, signature)
    state = replace(
        given.state, is_flat=True,
        **{part: (torch.randn(3, program.layout.size).abs(),) for part in ("parameters", "first", "second")},
    )  # fmt: skip
    data = replace(given.data, weights=torch.ones_like(given.data.weights))
    plan = replace(given.plan, rates=torch.full_like(given.plan.rates, 0.01))
    return replace(given, state=state, data=data, plan=plan), Step(
        program, FormulaLoss("regression", False), signature.features
    )


class Counting(MLPProgram):
    """Remembers in Python how often it was asked."""

    def __init__(self, module):
        super().__init__(module)
        self.times = 0

    def for_another_thread(self):
        return Counting(self.module)

    def forward(self, *given, **named):
        self.times += 1
        return super().forward(*given, **named) * self.times


class Looking(Counting):
    def for_another_thread(self):
        return Looking(self.module)

    def forward(self, *given, **named):
        outputs = MLPProgram.forward(self, *given, **named)
        return outputs * (2.0 if float(outputs.detach().sum()) > 0 else 1.0)


class Drawing(Counting):
    def for_another_thread(self):
        return Drawing(self.module)

    def forward(self, *given, **named):
        outputs = MLPProgram.forward(self, *given, **named)
        return outputs + torch.rand_like(outputs)


class Writing(Counting):
    seen = torch.zeros(1)

    def for_another_thread(self):
        return Writing(self.module)

    def forward(self, *given, **named):
        outputs = MLPProgram.forward(self, *given, **named)
        self.seen.add_(1)
        return outputs * self.seen


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Counting, "is not what it was"),
        (Looking, "depends on numbers"),
        (Drawing, "depends on numbers"),
        (Writing, "writes into what is kept elsewhere"),
    ],
)
def test_what_does_more_than_to_compute_stays_as_it_is(kind, why, caplog):
    module = MLP(continuous=4, numbers=4, cardinalities=(), outputs=1, width=4, depth=1)
    operands, step = operands_and_step(kind(module))
    step(operands.state, operands.coefficients, operands.data, operands.plan, 0)
    replays = Replays()
    with caplog.at_level(logging.DEBUG, logger="trimtab.training.compiling.replayed"):
        assert replays.bound(step, operands, steps=100) is None
    assert replays.are_impossible and why in caplog.text


def test_a_step_is_written_down_once_it_was_made_often_enough():
    operands, step = operands_and_step()
    replays = Replays()
    assert replays.bound(step, operands, steps=replayed.STEPS_TO_WRITE - 1) is None and not replays.are_impossible
    bound = replays.bound(step, operands, steps=1)
    assert bound is not None and len(replays._kept) == 1
    # With a plan of more steps it is the same one.
    longer = replace(operands.plan, **{n: torch.cat([v, v], 1) for n, v in vars(operands.plan).items()})
    assert replays.bound(step, replace(operands, plan=longer), steps=1) is not None and len(replays._kept) == 1


def test_what_is_no_longer_wanted_leaves_no_memory_behind():
    process = psutil.Process()
    operands, step = operands_and_step()
    sizes = []
    for turn in range(30):
        bound = Replays().bound(step, operands, steps=100)
        for place in range(3):
            bound(place)
        if turn in (9, 29):
            gc.collect()
            sizes.append(process.memory_info().rss)
    assert sizes[1] - sizes[0] < 8e6, "kept to the end they would take 20 MB and more"


def test_large_networks_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(replayed, "MOST_NUMBERS", 10)
    operands, step = operands_and_step()
    replays = Replays()
    assert replays.bound(step, operands, steps=1000) is None and not replays.are_impossible
