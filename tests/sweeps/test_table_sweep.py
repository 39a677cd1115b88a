"""`trimtab sweep`: one knob of a table's network."""

import contextlib
import json
from types import SimpleNamespace

import numpy
import polars
import pytest

import trimtab as tt
import trimtab.table.prepare as prepare_module
from trimtab.cli import main
from trimtab.cli.knob_text import knobs_in, values_in
from trimtab.errors import OptionError, UnknownKnobError
from trimtab.networks.divergence import has_diverged
from trimtab.sweep import _outcome as outcome_of_a_module
from trimtab.sweeps.table_sweep import _outcome as outcome_of_a_table
from trimtab.sweeps.table_sweep import sweep_table


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


def test_findings_are_told_of_the_best_values_runs_in_every_fold(table):
    sweep = sweep_table(table, "price", "lr", [1e-6, 1e-2], epochs=15)
    assert len(sweep.trained) == 10 and {record.knobs["lr"] for record in sweep.trained} == {1e-2}
    assert all("constant_error" in record.facts for record in sweep.trained)
    assert sweep.findings.found or sweep.findings.healthy
    lost = sweep_table(table, "price", "lr", [1e4, 1e5], epochs=2, optimizer="sgd")
    assert [each.id for each in lost.findings] == ["diverged"] and not lost.trained


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
    with pytest.raises(OptionError, match="swept and also fixed"):
        sweep_table(table, "price", "lr", lr=1.0)
    with pytest.raises(OptionError, match="loss for regression"):
        sweep_table(table, "price", "loss", ["mse", "focal"])


def test_the_command_prints_a_table_json_and_a_picture(table, tmp_path, capsys):
    picture = tmp_path / "rates.png"
    common = ["sweep", table, "--target", "price", "--knob", "lr", "--values", "0.0001,0.001,0.01", "--fix", "epochs=3"]
    assert main([*common, "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "Best: lr 0.01" in printed and "0.001" in printed and "about this sweep, gravest first" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*common, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] and all(finding["remedy"]["text"] for finding in document["findings"])
    assert document["best"] == {"lr": 0.01} and [row["lr"] for row in document["values"]] == [0.0001, 0.001, 0.01]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--knob", "lx"], "Unknown knob"),
        (["--knob", "lr", "--values", "1"], "at least two different values"),
        (["--knob", "lr", "--fix", "epochs"], "NAME=VALUE"),
        (["--knob", "lr", "--plot", "x.txt", "--values", "0.1,0.01", "--fix", "epochs=1"], "is not a picture"),
    ],
)
def test_the_command_says_what_is_wrong(table, options, words, capsys):
    assert main(["sweep", table, "--target", "price", *options]) == 2
    assert words in capsys.readouterr().err


def test_values_and_knobs_are_read_as_they_are_typed():
    assert values_in("1, 0.5,relu") == [1, 0.5, "relu"]
    assert values_in(None) is None
    assert knobs_in(["batch-size=32", "loss=huber"]) == {"batch_size": 32, "loss": "huber"}


class _SeenError(Exception):
    """What is raised as soon as a call has its rows: nothing is trained."""


def rows_of(monkeypatch, call):
    """The prepared table that a call works on."""
    assemble, seen = prepare_module._assemble, []

    def spy(*arguments, **options):
        seen.append(assemble(*arguments, **options))
        raise _SeenError

    with monkeypatch.context() as patched:
        patched.setattr(prepare_module, "_assemble", spy)
        with contextlib.suppress(_SeenError):
            call()
    return seen[0]


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    """A table with a column for every rule of splitting, and copies of rows."""
    rng = numpy.random.default_rng(3)
    rows = 150
    frame = polars.DataFrame(
        {
            "id": numpy.arange(rows), "a": rng.integers(0, 5, rows), "day": rng.integers(0, 60, rows),
            "who": [f"g{i}" for i in rng.integers(0, 20, rows)],
            "part": rng.choice(["train", "valid", "test"], rows, p=[0.6, 0.2, 0.2]),
        }
    )  # fmt: skip
    frame = frame.with_columns(price=polars.col("a") + polars.Series(rng.integers(0, 40, rows) / 4))
    path = tmp_path_factory.mktemp("tables") / "dated.csv"
    frame.write_csv(path)
    return str(path)


# A column of parts says itself which rows are tested on, unless all are to train.
TESTS = [(split, test) for split in ("random", "group:who", "time:day") for test in ("auto", "0.35", "none")]


@pytest.mark.parametrize(("split", "test"), [*TESTS, ("part", "auto"), ("part", "none")])
def test_no_other_call_ever_sees_the_rows_that_fit_tests_on(dated, monkeypatch, split, test):
    share = float(test) if test == "0.35" else test
    flags = [dated, "--target", "price", "--split", split, *([] if test == "auto" else ["--test", test])]
    plain = {"split": split}
    fitted = rows_of(monkeypatch, lambda: main(["fit", *flags]))
    calls = {
        "tune": lambda: tt.tune(dated, "price", test=share, metric="mae", drop=["a"], lr=0.1, **plain),
        "tune, a frame": lambda: tt.tune(polars.read_csv(dated), "price", test=share, single=True, **plain),
        "dry run": lambda: main(["fit", *flags, "--dry-run", "--category", "a"]),
        "sweep": lambda: main(["sweep", *flags, "--knob", "lr", "--drop", "id"]),
        "sweep of the loss": lambda: main(["sweep", *flags, "--knob", "loss", "--metric", "mae", "--number", "id"]),
        "sweep_table": lambda: sweep_table(dated, "price", "width", test=share, seeds=2, data_options=plain),
    }
    assert fitted.test is None if test == "none" else len(fitted.test_rows) > 15
    for name, call in calls.items():
        other = rows_of(monkeypatch, call)
        assert set(other.development_rows) == set(fitted.development_rows), name
        assert set(other.test_rows) == set(fitted.test_rows), name


def test_a_share_to_test_on_beside_a_column_of_parts_is_refused(dated, capsys):
    for command in (["fit"], ["fit", "--dry-run"], ["sweep", "--knob", "lr"]):
        assert main([*command, dated, "--target", "price", "--split", "part", "--test", "0.2"]) == 2
        assert "--test 0.2 has no effect on --split part" in capsys.readouterr().err


def test_a_sweep_leaves_the_test_part_alone_unless_told_otherwise(dated, monkeypatch):
    usual = rows_of(monkeypatch, lambda: main(["sweep", dated, "--target", "price", "--knob", "lr"]))
    fitted = rows_of(monkeypatch, lambda: main(["fit", dated, "--target", "price"]))
    assert len(usual.test_rows) == 30 and list(usual.test_rows) == list(fitted.test_rows)
    every = rows_of(monkeypatch, lambda: sweep_table(dated, "price", "lr", test="none"))
    assert len(every.development_rows) == 150


def test_estimators_have_the_rows_they_are_given_and_no_others(dated, monkeypatch):
    frame = polars.read_csv(dated).select("a", "day", "price").unique(maintain_order=True)
    x, y = frame.drop("price"), frame["price"].to_numpy()
    prepared = rows_of(monkeypatch, lambda: tt.TrimtabRegressor(random_state=0).fit(x, y))
    assert prepared.test is None and len(prepared.development_rows) == len(y)


def test_what_the_test_rows_hold_changes_nothing_of_a_sweep(table):
    frame = polars.read_csv(table)
    rows = prepare_module.prepare(frame, target="price").test_rows
    is_tested = polars.Series(numpy.isin(numpy.arange(frame.height), rows))
    other = frame.with_columns(a=polars.when(is_tested).then(polars.col("a") * 1e3).otherwise("a"))
    one, two = (sweep_table(each, "price", "lr", [1e-3, 1e-2], epochs=2).table for each in (frame, other))
    assert one.equals(two) and not frame.equals(other)
