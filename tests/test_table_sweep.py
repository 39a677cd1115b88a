"""`trimtab sweep`: one knob of a table's network."""

import json
from types import SimpleNamespace

import numpy
import polars
import pytest

from trimtab.cli import main
from trimtab.errors import OptionError, UnknownKnobError
from trimtab.knob_text import knobs_in, values_in
from trimtab.modules.divergence import has_diverged
from trimtab.sweep import _outcome as outcome_of_a_module
from trimtab.table_sweep import _outcome as outcome_of_a_table
from trimtab.table_sweep import sweep_table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = numpy.random.default_rng(1)
    x = rng.normal(size=(120, 3))
    frame = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": numpy.where(x[:, 2] > 0, "p", "q")})
    frame = frame.with_columns(price=3 * frame["a"] + (x[:, 2] > 0) + 0.1 * rng.normal(size=120))
    path = tmp_path_factory.mktemp("tables") / "houses.csv"
    frame.write_csv(path)
    return str(path)


def test_a_sweep_finds_that_a_rate_is_too_small_and_another_right(table):
    sweep = sweep_table(table, "price", "lr", [1e-6, 1e-2], epochs=15)
    assert sweep.best == {"lr": 1e-2} and sweep.like_best == (1e-2,)
    assert sweep.metric == "rmse"
    small, right = sweep.table["best"]
    assert right < 0.6 < small


def test_a_rate_beyond_all_reason_is_told_as_diverging(table):
    sweep = sweep_table(table, "price", "lr", [1e-2, 1e4], epochs=4, optimizer="sgd")
    assert sweep.edge == 1e-2
    assert sweep.table["diverged"].to_list()[0] == 0 < sweep.table["diverged"].to_list()[1]
    assert "Beyond lr 0.01 training diverges" in sweep.words


def test_a_tables_run_that_overfits_has_not_diverged(tmp_path):
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame(rng.normal(size=(40, 6)), schema=list("abcdef")).with_columns(
        kind=polars.Series(rng.integers(0, 2, 40)).cast(polars.String)
    )
    knobs = {"epochs": 60, "optimizer": "adam", "inputs": "scaled", "schedule": "constant", "dropout": 0.0}
    sweep = sweep_table(frame, "kind", "lr", [0.03, 0.05], metric="log_loss", **knobs)
    assert max(sweep.table["final_high"]) > 2 * numpy.log(2), "it was to overfit"
    assert sweep.table["diverged"].to_list() == [0, 0]


@pytest.mark.parametrize(("ending", "failed"), [
    ([1.0, 1.2, 1.2], True), ([1.0, 1.2, 1.05], False), ([1.0, 1.05, 1.05], False), ([1.0, 0.3, 1.6], False),
])  # fmt: skip
def test_both_sweeps_call_the_same_diverged(ending, failed):
    start, train, validation = ending
    curves = SimpleNamespace(train_loss=[start, train], validation_loss=[0.9, validation], validation_metric=[1.0, 1.0])
    record = SimpleNamespace(curves=curves, ended="all epochs", error=1.0, best_epoch=1, predictions=None, request=None)
    fitting = SimpleNamespace(error_of=float, best_score=lambda r: 1.0, untrained=lambda r: (start, start))
    metric = SimpleNamespace(greater_is_better=False)
    assert has_diverged(record, (start, start)) is failed
    assert outcome_of_a_module(fitting, record).failed is failed
    assert outcome_of_a_table(record, (start, start), metric).failed is failed


def test_knobs_that_need_another_bring_it_along(table):
    sweep = sweep_table(table, "price", "tau", [0.1, 0.9], epochs=2)
    assert sweep.table["tau"].to_list() == [0.1, 0.9]


def test_usual_values_are_there_for_names(table):
    sweep = sweep_table(table, "price", "schedule", epochs=2)
    assert set(sweep.table["schedule"]) == {"constant", "step", "cosine", "one_cycle", "warmup_cosine", "plateau"}


def test_a_fold_without_one_of_the_two_classes_is_none_that_diverged():
    x = numpy.random.default_rng(0).normal(size=60)
    labels = ["yes" if i in (3, 40) else "no" for i in range(60)]
    frame = polars.DataFrame({"x": x, "y": labels})
    sweep = sweep_table(frame, "y", "lr", [1e-3, 1e-2], metric="roc_auc", epochs=2)
    assert sweep.table["diverged"].to_list() == [0, 0]


def test_the_same_seed_gives_the_same_sweep(table):
    one, two = (sweep_table(table, "price", "width", [8, 16], epochs=3, seed=4) for _ in range(2))
    assert one.table.equals(two.table)


def test_what_cannot_be_is_said(table):
    with pytest.raises(UnknownKnobError, match='Did you mean "width"'):
        sweep_table(table, "price", "widht")
    with pytest.raises(OptionError, match="swept and held still"):
        sweep_table(table, "price", "lr", lr=1.0)
    with pytest.raises(OptionError, match="loss for regression"):
        sweep_table(table, "price", "loss", ["mse", "focal"])


def test_the_command_prints_a_table_json_and_a_picture(table, tmp_path, capsys):
    picture = tmp_path / "rates.png"
    common = ["sweep", table, "--target", "price", "--knob", "lr", "--values", "0.001,0.01", "--fix", "epochs=3"]
    assert main([*common, "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "Best: lr 0.01" in printed and "0.001" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*common, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["best"] == {"lr": 0.01} and [row["lr"] for row in document["values"]] == [0.001, 0.01]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--knob", "lx"], "Unknown knob"),
        (["--knob", "lr", "--values", "1"], "at least two different values"),
        (["--knob", "lr", "--fix", "epochs"], "NAME=VALUE"),
        (["--knob", "lr", "--plot", "x.txt", "--values", "0.1,0.01", "--fix", "epochs=1"], "is no picture"),
    ],
)
def test_the_command_says_what_is_wrong(table, options, words, capsys):
    assert main(["sweep", table, "--target", "price", *options]) == 2
    assert words in capsys.readouterr().err


def test_values_and_knobs_are_read_as_they_are_typed():
    assert values_in("1, 0.5,relu") == [1, 0.5, "relu"]
    assert values_in(None) is None
    assert knobs_in(["batch-size=32", "loss=huber"]) == {"batch_size": 32, "loss": "huber"}
