"""Compiled steps: the numbers of the uncompiled ones, for every lane, size and thread; and what happens without."""

from dataclasses import replace

import numpy
import pytest
import torch

from training.lanes.test_engine import config, engine_for, regression_data, train
from trimtab.nets.mlp import MLP
from trimtab.training.compiling import compiler, libraries
from trimtab.training.compiling.compiled import CompiledStep
from trimtab.training.config import Loss
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes import plans
from trimtab.training.lanes.population import Structure
from trimtab.training.programs.step import Features
from trimtab.training.run import NOT_FINITE, Request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # what compiles shares the cores with the other tests
    pytest.mark.skipif(not compiler.can_compile(), reason="there is no C++ compiler"),
]
# Compiled in two thirds of the time that two layers take, for what does not depend on them.
ONE_LAYER = (("activation", "relu"), ("depth", 1), ("inputs", "scaled"), ("width", 16))
BINNED = (("activation", "relu"), ("depth", 1), ("inputs", "piecewise"), ("width", 16))
SIGNALS = ("train_loss", "validation_loss", "gradient_norm", "update_ratio", "dead_units", "saturated_units")


@pytest.fixture(autouse=True)
def steps_on_disk(tmp_path_factory, monkeypatch):
    """One folder of compiled steps for all tests of this file, so that each structure is compiled once."""
    folder = tmp_path_factory.getbasetemp() / "steps"
    monkeypatch.setenv(libraries.CACHE_VARIABLE, str(folder))
    return folder


def all_kinds():
    """Runs that use every coefficient there is but an average of the weights, side by side."""
    kinds = [
        ("adamw", "mse", 0), ("adam", "huber", 0.5), ("lion", "log_cosh", 0),
        ("nesterov", "mae", 1.0), ("sgd", "mse", 0), ("adagrad", "quantile", 0),
    ]  # fmt: skip
    return [
        replace(
            config(epochs=20, dropout=0.1 * k, lr=0.01 / (k + 1), optimizer=optimizer, loss=loss, weight_decay=k / 99),
            gradient_clip=clip, dropout_course="linear", decay_course="flat_cosine",
        )
        for k, (optimizer, loss, clip) in enumerate(kinds)
    ]  # fmt: skip


def requests_of(configs, folds=3):
    return [Request(k, c, k % folds, k) for k, c in enumerate(configs)]


def assert_same_curves(ours, theirs, rtol=1e-3):
    assert ours.keys() == theirs.keys()
    for key in ours:
        for name in SIGNALS:
            values = [numpy.array(getattr(side[key].curves, name)) for side in (ours, theirs)]
            numpy.testing.assert_allclose(*values, rtol=rtol, atol=1e-5, err_msg=f"{name} of run {key}")


def is_compiled(engine):
    populations = engine.populations.values()
    return all(population.compiled is not None for population in populations)


@pytest.fixture(scope="module")
def of_all_kinds():
    """What runs of all kinds come to uncompiled."""
    return train(engine_for(regression_data()), requests_of(all_kinds()), lanes=6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lanes", [1, 2, 6])
def test_whatever_the_lanes_and_threads_runs_are_those_of_the_uncompiled_step(threads, lanes, of_all_kinds):
    engine = engine_for(regression_data(), compiling="wait", threads=threads, always=Features(dropout=True))
    assert_same_curves(train(engine, requests_of(all_kinds()), lanes=lanes), of_all_kinds)
    assert is_compiled(engine)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_one_compiled_step_serves_every_batch_size(batch_size, steps_on_disk):
    data = regression_data(rows=60)
    requests = requests_of([config(epochs=3, batch_size=batch_size, dropout=0.2)] * 3)
    expected = train(engine_for(data), requests, lanes=3)
    engine = engine_for(data, compiling="wait", always=Features(dropout=True))
    assert_same_curves(train(engine, requests, lanes=3), expected)
    assert is_compiled(engine)


def test_a_lane_that_breaks_changes_no_bit_beside_it():
    data = regression_data()
    tame = requests_of([config(dropout=0.1), config(optimizer="lion"), config(loss="log_cosh")])
    records = []
    for lr in (1e-3, 1e30):
        engine = engine_for(data, compiling="wait", always=Features(dropout=True))
        records.append(train(engine, [*tame, Request(3, config(lr=lr, optimizer="sgd"), 0, 0)], lanes=4))
        assert is_compiled(engine)
    assert records[1][3, 0].ended == NOT_FINITE
    for k in range(3):
        assert repr(records[0][k, k].curves) == repr(records[1][k, k].curves)
        assert torch.equal(records[0][k, k].weights, records[1][k, k].weights)


@pytest.mark.parametrize(
    "loss", [Loss("cross_entropy", label_smoothing=0.1), Loss("focal", 2.0)], ids=["smooth", "focal"]
)
def test_classes_and_averages_train_compiled_as_they_do_uncompiled(loss):
    """A lane that has no average of its own is not to have one because a neighbour has: uncompiled, it trains
    alone."""
    regression = regression_data()
    labels = (regression.targets[:, 0] > 0).long() + (regression.targets[:, 0] > 1).long()
    data = TrainingData(**{**vars(regression), "task": "classification", "targets": labels, "outputs": 3})
    runs = [
        replace(config(epochs=20, dropout=0.1 * k), network=BINNED, loss=loss, averaging=average)
        for k, average in enumerate((0.0, 0.5, 0.99))
    ]
    everything = Features(dropout=True, averaging=True)
    records = []
    for compiling, at_once, always in (("never", 1, Features()), ("wait", 3, everything)):
        engine = engine_for(data, _classifier, metric="log_loss", compiling=compiling, always=always)
        records.append(train(engine, requests_of(runs), lanes=at_once))
    assert is_compiled(engine)
    assert_same_curves(*records)


def _classifier(**network):
    edges = ((-1.0, -0.1, 0.4, 1.5), (-2.0, 2.0), (-0.5, 0.0, 0.5), (0.0, 1.0))
    return MLP(continuous=4, numbers=4, cardinalities=(), outputs=3, edges=edges, **network)


def test_forty_structures_in_one_process_all_run_compiled():
    data = regression_data(rows=30)
    engine = engine_for(data, compiling="wait", always=Features(dropout=True))
    for batch_size in range(1, 41):
        train(engine, requests_of([config(epochs=1, batch_size=batch_size)] * 3), lanes=3)
    assert len(engine.populations) == 40
    assert is_compiled(engine)


def test_training_goes_on_while_a_step_is_compiled_and_takes_it_when_it_is_there(steps_on_disk, monkeypatch):
    data = regression_data()
    run = config(epochs=60, dropout=0.3)
    train(engine_for(data, compiling="wait"), requests_of([run] * 3), lanes=3)
    expected = train(engine_for(data), requests_of([run] * 3), lanes=3)
    engine = engine_for(data, compiling="beside", always=Features(dropout=True))
    asked_for = 0
    ready = engine.compiler.ready

    def ready_after_some_rounds(program, signature):
        nonlocal asked_for
        asked_for += 1
        return ready(program, signature) if asked_for > 5 else None

    monkeypatch.setattr(engine.compiler, "ready", ready_after_some_rounds)
    assert_same_curves(train(engine, requests_of([run] * 3), lanes=3), expected)
    population = engine.populations[Structure.of(run)]
    assert 0 < population.compiled_steps < population.lane_steps


def test_what_was_compiled_once_is_found_by_the_next_process(steps_on_disk, monkeypatch):
    data, requests = regression_data(), requests_of([config(epochs=2, dropout=0.3)] * 3)
    train(engine_for(data, compiling="wait", always=Features(dropout=True)), requests, lanes=3)
    libraries_there = list((steps_on_disk / "steps").glob("*.so"))
    # What the long way of lowering would have put into each.
    assert libraries_there and not any(b"unmatched dtype" in path.read_bytes() for path in libraries_there)
    monkeypatch.setattr(compiler.subprocess, "Popen", lambda *a, **k: pytest.fail("compiled again"))
    for compiling in ("found", "wait"):
        engine = engine_for(data, compiling=compiling, always=Features(dropout=True))
        train(engine, requests, lanes=3)
        assert is_compiled(engine)


def test_a_damaged_library_is_dropped_and_said(steps_on_disk, tmp_path, monkeypatch, caplog):
    data, requests = regression_data(), requests_of([config(epochs=2, dropout=0.3)] * 3)
    train(engine_for(data, compiling="wait", always=Features(dropout=True)), requests, lanes=3)
    (tmp_path / "steps").mkdir()
    for path in (steps_on_disk / "steps").iterdir():
        (tmp_path / "steps" / path.name).write_bytes(path.read_bytes()[:2000])
    monkeypatch.setenv(libraries.CACHE_VARIABLE, str(tmp_path))
    records = train(engine_for(data, compiling="found", always=Features(dropout=True)), requests, lanes=3)
    assert len(records) == 3
    assert "cannot be used and is dropped" in caplog.text


def test_without_a_compiler_everything_runs_and_says_so_once(monkeypatch, caplog):
    compiler.can_compile.cache_clear()
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    try:
        data, requests = regression_data(), requests_of([config(epochs=2)] * 3)
        for compiling in ("wait", "beside", "found"):
            assert len(train(engine_for(data, compiling=compiling), requests, lanes=3)) == 3
    finally:
        compiler.can_compile.cache_clear()
    assert caplog.text.count("no C++ compiler") == 1


def test_a_tensor_that_lies_otherwise_than_it_was_compiled_for_is_refused():
    library = libraries.Compiled(CompiledStep.__new__(CompiledStep), ("x",), ((4, None),), Features())
    with pytest.raises(RuntimeError, match=r"x has the strides \(1, 3\); it was compiled for \(4, None\)"):
        library.bound_to({"x": torch.zeros(4, 3).T})


def test_many_rows_are_planned_in_windows_and_trained_as_in_one(monkeypatch):
    generator = numpy.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(2000, 4)).astype(numpy.float32))
    base = regression_data()
    places = torch.arange(2000)
    data = TrainingData(
        **{
            **vars(base),
            "inputs": (x, torch.zeros(2000, 0, dtype=torch.int64)),
            "targets": x[:, :1].square().contiguous(),
            "weights": torch.ones(2000),
            "folds": (Fold(places[:1600], places[1600:]),),
        }
    )
    requests = requests_of([config(epochs=3, batch_size=16, dropout=0.1 * k) for k in range(3)], folds=1)
    expected = train(engine_for(data), requests, lanes=3)
    monkeypatch.setattr(plans, "NUMBERS_AT_ONCE", 1)
    for compiling in ("never", "wait"):
        engine = engine_for(data, compiling=compiling, always=Features(dropout=True))
        assert_same_curves(train(engine, requests, lanes=3), expected)
