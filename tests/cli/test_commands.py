"""The command line: bad input ends in a sentence and status 2, good input in a network; nothing in a traceback."""

import errno
import gzip
import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import typer.main

from trimtab import cli
from trimtab.cli import commands
from trimtab.errors import StudyError
from trimtab.knobs.table import TABLE_KNOBS

pytestmark = pytest.mark.usefixtures("few_epochs")
COMMANDS = ("fit", "explain", "predict", "evaluate", "diagnose", "export", "sweep", "demo", "walkthrough")


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIMTAB_TRACEBACK", raising=False)

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return call


def houses(rows: int = 60) -> polars.DataFrame:
    rng = numpy.random.default_rng(0)
    size = rng.uniform(30, 200, rows).round(1)
    kind = rng.choice(["flat", "house", "hut"], rows)
    price = (size * 2 + (kind == "house") * 30 + rng.normal(0, 5, rows)).round(2)
    return polars.DataFrame({"size": size, "kind": kind, "price": price})


def csv_of(frame: polars.DataFrame) -> bytes:
    return frame.write_csv().encode()


def with_target(values: list) -> bytes:
    return csv_of(houses(len(values)).with_columns(polars.Series("price", values, strict=False)))


def parquet_of(frame: polars.DataFrame, folder: Path) -> bytes:
    file = folder / "whole.parquet"
    frame.write_parquet(file)
    content = file.read_bytes()
    file.unlink()
    return content


def assert_refused(ended: Ended, folder: Path, *words: str, status: int = 2) -> None:
    """One or two sentences on stderr, no traceback, nothing on stdout, nothing half written."""
    assert ended.status == status, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    complaint = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(complaint) == 1, ended.err
    assert complaint[0].endswith((".", ")", "?")), complaint
    assert not complaint[0].endswith(("..", "?.")), complaint
    for word in words:
        assert word in ended.err
    assert not (folder / "study").exists()
    assert not (folder / "trimtab-runs").exists()


# -- files that cannot be used

BAD_FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("data.csv",)),
    "header only": (b"size,kind,price\n", ("data.csv",)),
    "binary": (bytes(range(256)) * 20, ("data.csv",)),
    "truncated gzip": (gzip.compress(csv_of(houses(2000)))[:-400], ("data.csv",)),
    "UTF-16": (houses().write_csv().encode("utf-16"), ("UTF-16",)),
    "ragged rows": (csv_of(houses()) + b"1,flat,2,3,4\n", ("62",)),
    "duplicate columns": (b"size,size,price\n" + b"".join(b"%d,2,%d\n" % (i, i) for i in range(30)), ("size",)),
    "constant target": (with_target([1.0] * 60), ("price",)),
    "target all missing": (with_target([None] * 60), ("price",)),
    "target all infinite": (with_target([float("inf")] * 60), ("price",)),
    "one class": (with_target(["yes"] * 60), ("price",)),
    "nine usable rows": (csv_of(houses(9)), ("9",)),
    "nothing but the target": (csv_of(houses().select("price")), ("nothing to learn",)),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    content, words = BAD_FILES[name]
    file = tmp_path / "data.csv"
    file.write_bytes(content)
    assert_refused(run("fit", file, "--target", "price", "--budget", "5s", "--out", "study"), tmp_path, *words)


def test_a_truncated_parquet_file_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    file.write_bytes(parquet_of(houses(500), tmp_path)[:-100])
    assert_refused(run("fit", file, "--target", "price", "--out", "study"), tmp_path, "data.parquet")


def test_a_missing_file_and_a_folder_are_refused(run: Run, tmp_path: Path) -> None:
    assert_refused(run("fit", "nowhere.csv", "--target", "price", "--out", "study"), tmp_path, "nowhere.csv")
    (tmp_path / "folder").mkdir()
    assert_refused(run("fit", "folder", "--target", "price", "--out", "study"), tmp_path, "folder")


# -- logs of training


def log_of(valid: list[float]) -> str:
    rows = [f"{i + 1},{0.8**i + 0.1},{loss}" for i, loss in enumerate(valid)]
    return "\n".join(["epoch,train_loss,val_loss", *rows])


HEALTHY = [0.8**i + 0.12 for i in range(40)]
GONE_WRONG = [0.8**i + 0.12 + max(0, i - 10) * 0.05 for i in range(40)]


@pytest.mark.parametrize(("log", "status"), [(log_of(HEALTHY), 0), (log_of(GONE_WRONG), 1), (log_of([0.5]), 3)])
def test_a_diagnosis_tells_by_its_status_what_was_found(run: Run, tmp_path: Path, log: str, status: int) -> None:
    (tmp_path / "train.log").write_text(log)
    ended = run("diagnose", "train.log")
    assert (ended.status, ended.err) == (status, "")
    assert "val_loss" in ended.out
    ended = run("diagnose", "train.log", "--json")
    assert (ended.status, ended.err) == (status, "")
    told = json.loads(ended.out)
    assert list(told) == ["epochs", "columns", "findings", "not_checked", "stop"]
    assert bool(told["findings"]) == (status == 1)


def test_a_diagnosis_takes_columns_and_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text(log_of(GONE_WRONG).replace("val_loss", "wibble"))
    assert '"valid": null' in run("diagnose", "train.log", "--json").out
    ended = run("diagnose", "train.log", "--valid", "wibble", "--train", "train_loss", "--epoch", "epoch", "--all")
    assert ended.status == 1
    assert "patience 10" in ended.out
    ended = run("diagnose", "train.log", "--metric", "wibble", "--greater-is-better", "no")
    assert "smaller" in ended.out


def test_a_log_is_drawn_as_a_page_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n" + "".join(f"{i},{1 / i}\n" for i in range(1, 30)), encoding="utf-8")
    done = run("diagnose", str(log), "--html", str(tmp_path / "log.html"))
    assert "log.html is written" in done.out.replace("\n", "") and (tmp_path / "log.html").stat().st_size > 10_000


@pytest.mark.parametrize(("budget", "trials", "is_written"), [
    (None, None, True), ("30s", None, True), ("2m", 10, True), ("20s", None, False), (None, 10, False),
])  # fmt: skip
def test_a_fit_with_time_for_it_ends_with_a_page(budget: str | None, trials: int | None, is_written: bool) -> None:
    assert commands.searches._has_time_for_a_page(budget, trials) == is_written


def test_the_report_of_no_study_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("report", str(tmp_path)).status == 2


def test_a_log_on_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log_of(GONE_WRONG).encode())))
    ended = run("diagnose", "-")
    assert ended.status == 1
    assert ended.out.startswith("standard input: a CSV file, 40 epochs")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.log",), ("nowhere.log",)),
        (("empty.log",), ("empty.log", "empty")),
        (("letter.log",), ("letter.log", "no training log")),
        (("train.log", "--valid", "vall_loss"), ("vall_loss", '"val_loss"')),
        (("train.log", "--run", "7"), ("7", "one training")),
        (("train.log", "--greater-is-better", "perhaps"), ("perhaps", "true or false")),
        (("train.log", "--metric", "wibble"), ("wibble",)),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(run: Run, tmp_path: Path, arguments: tuple, words: tuple) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "letter.log").write_text("Dear friend, all is well.")
    (tmp_path / "train.log").write_text(log_of(HEALTHY))
    assert_refused(run("diagnose", *arguments), tmp_path, *words)


# -- options that cannot be used

BAD_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no such target": (("--target", "prize"), ("prize", '"price"')),
    "text as regression": (("--target", "kind", "--task", "regression"), ("kind",)),
    "all features dropped": (("--drop", "size,kind"), ("nothing to learn",)),
    "budget no duration": (("--budget", "soon"), ("soon", "5m")),
    "budget too short": (("--budget", "2s"), ("5 s",)),
    "unknown loss": (("--loss", "hubber"), ("hubber", '"huber"', "log_cosh")),
    "unknown optimizer": (("--optimizer", "adamm"), ("adamm", "lion")),
    "unknown metric": (("--metric", "rsme"), ("rsme", "rmse")),
    "unknown device": (("--device", "tpu"), ("tpu", "cpu")),
    "learning rate 0": (("--lr", "0"), ("lr",)),
    "learning rate text": (("--lr", "fast"), ("--lr",)),
    "test share 1.5": (("--test", "1.5"), ("1.5",)),
    "test file missing": (("--test", "nowhere.csv"), ("nowhere.csv",)),
    "trials 0": (("--trials", "0"), ("trials",)),
    "threads 0": (("--threads", "0"), ("threads",)),
    "unknown option": (("--optimiser", "adam"), ("--optimiser", "--optimizer")),
    "unwritable folder": (("--out", "/proc/nowhere/study"), ("/proc/nowhere/study",)),
    "unknown task": (("--task", "ranking"), ("ranking",)),
    "unknown split column": (("--split", "time:day"), ("day",)),
    "resume nothing": (("--resume", "nowhere"), ("nowhere",)),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_an_option_that_cannot_be_used_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    options, words = BAD_OPTIONS[name]
    file = tmp_path / "houses.csv"
    houses().write_csv(file)
    usual = {"--target": "price", "--budget": "5s", "--out": "study"}
    usual = [text for name, value in usual.items() if name not in options for text in (name, value)]
    assert_refused(run("fit", file, *usual, *options), tmp_path, *words)


def test_a_test_file_with_other_columns_is_refused(run: Run, tmp_path: Path) -> None:
    houses().write_csv(tmp_path / "houses.csv")
    houses(20).drop("kind").write_csv(tmp_path / "test.csv")
    ended = run("fit", "houses.csv", "--target", "price", "--test", "test.csv", "--out", "study")
    assert_refused(ended, tmp_path, "kind")


def test_a_folder_that_is_no_study_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    houses().write_csv(tmp_path / "houses.csv")
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "to_mother.txt").write_text("Dear mother")
    assert_refused(run("fit", "houses.csv", "--target", "price", "--out", letters), tmp_path, "letters")
    assert [file.name for file in letters.iterdir()] == ["to_mother.txt"]


def test_without_a_table_and_without_a_target_it_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    assert_refused(run("fit"), tmp_path, "data")
    houses().write_csv(tmp_path / "houses.csv")
    assert_refused(run("fit", "houses.csv", "--budget", "5s"), tmp_path, "target")


# -- looking


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.status == 0
    assert f"Example: trimtab {command} " in ended.out


def test_an_unknown_command_is_refused_with_the_nearest_name(run: Run, tmp_path: Path) -> None:
    assert_refused(run("predcit"), tmp_path, "predict")


def test_every_knob_is_an_option_of_fit_and_explained_in_its_help(run: Run) -> None:
    command = typer.main.get_command(commands.app).commands["fit"]  # type: ignore[attr-defined]
    assert set(TABLE_KNOBS) <= {option.name for option in command.params}
    assert "activation function" in " ".join(run("fit", "--help").out.split())


def test_a_dry_run_shows_each_columns_role_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    houses().with_columns(id=polars.arange(60, eager=True)).write_csv(tmp_path / "houses.csv")
    ended = run("fit", "houses.csv", "--target", "price", "--dry-run", "--out", "study")
    assert ended.status == 0
    for word in ("size", "number", "kind", "category", "price", "target", "id", "regression"):
        assert word in ended.out
    assert "id" in ended.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["houses.csv"]


def test_a_dry_run_shows_every_column_the_target_first_and_the_classes(run: Run) -> None:
    rng = numpy.random.default_rng(0)
    wide = polars.DataFrame({f"column_{i}": rng.normal(size=60) for i in range(70)})
    wide.with_columns(kind=polars.Series(["flat"] * 40 + ["hut"] * 20)).write_csv("wide.csv")
    ended = run("fit", "wide.csv", "--target", "kind", "--dry-run")
    lines = ended.out.splitlines()
    assert lines[1].split()[:2] == ["kind", "target"]
    assert sum(line.startswith("column_") for line in lines) == 70
    assert "Rows: " in ended.out and " to test on" in ended.out
    assert "Classes, with their rows: flat 40, hut 20" in ended.out


def test_a_dry_run_as_json_is_one_object(run: Run) -> None:
    houses().write_csv("houses.csv")
    ended = run("fit", "houses.csv", "--target", "kind", "--dry-run", "--json")
    shown = json.loads(ended.out)
    assert ended.err == ""
    assert [column["name"] for column in shown["columns"]] == ["size", "kind", "price"]
    assert {column["name"]: column["role"] for column in shown["columns"]}["kind"] == "target"
    assert sum(shown["classes"].values()) == shown["rows"]["source"] == 60
    assert shown["rows"]["train"] + shown["rows"]["test"] == 60
    assert (shown["task"], shown["targets"]) == ("classification", ["kind"])
    numbers = json.loads(run("fit", "houses.csv", "--target", "price", "--dry-run", "--json").out)
    assert numbers["classes"] == {}


# -- what fit hands on, and what becomes of what goes wrong below


@pytest.fixture
def tune_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `fit` asked of tune(), which here only refuses."""
    calls: list[dict[str, Any]] = []

    def refuse(**arguments: Any) -> None:
        calls.append(arguments)
        raise StudyError("Enough seen.")

    monkeypatch.setattr(import_module("trimtab.tune"), "tune", refuse)
    return calls


def test_options_arrive_as_what_they_mean(run: Run, tune_calls: list) -> None:
    run(
        "fit", "t.csv", "--target", 'a,"b, c"', "--drop", "x,y", "--drop", "z", "--test", "0.25", "--lr", "1e-3",
        "--batch-size", "0", "--dropout", "0", "--single", "--budget", "45s", "--loss", "mae",
    )  # fmt: skip
    (asked,) = tune_calls
    assert asked["target"] == ["a", "b, c"]
    assert asked["drop"] == ["x", "y", "z"]
    assert (asked["test"], asked["lr"], asked["batch_size"], asked["dropout"]) == (0.25, 1e-3, 0, 0.0)
    assert asked["single"] is True
    assert asked["refit"] is False
    assert (asked["budget"], asked["loss"]) == ("45s", "mae")
    assert "optimizer" not in asked, "what was not given is left to tune's defaults"


OUTPUT = {"help", "dry_run", "everything", "is_opened", "quiet", "as_json"}


def test_every_option_of_fit_is_one_of_tune(run: Run) -> None:
    known = set(inspect.signature(import_module("trimtab.tune").tune).parameters) | set(TABLE_KNOBS)
    command = typer.main.get_command(commands.app).commands["fit"]  # type: ignore[attr-defined]
    assert {option.name for option in command.params} - OUTPUT <= known


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space"),
        (MemoryError(), 1, "memory"),
        (RuntimeError("the tab fell off"), 1, "TRIMTAB_TRACEBACK=1"),
        (KeyboardInterrupt(), 1, "Stopped"),
    ],
)
def test_what_goes_wrong_below_ends_in_a_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, words: str
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(import_module("trimtab.tune"), "tune", fail)
    assert_refused(run("fit", "t.csv", "--target", "y", "--out", "study"), tmp_path, words, status=status)


def test_a_full_disk_says_how_to_go_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(**arguments: Any) -> None:
        arguments["listeners"][0].study_started(Path("kept"))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(import_module("trimtab.tune"), "tune", fill)
    ended = run("fit", "t.csv", "--target", "y", "--out", "study")
    assert_refused(ended, tmp_path, "disk is full", "--resume kept", status=1)


def test_signals_are_given_back(run: Run, tune_calls: list) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run("fit", "t.csv", "--target", "y")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_ctrl_c_finishes_and_a_second_one_stops(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def interrupted(*, stop: Any, abort: Any, listeners: Any, **_: Any) -> None:
        listeners[0].study_started(Path("kept"))
        for _again in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            seen.append((stop.is_set(), abort.is_set()))
        raise StudyError("Stopped at once.")

    monkeypatch.setattr(import_module("trimtab.tune"), "tune", interrupted)
    monkeypatch.setattr("trimtab.cli.interruption.Interruption._leave", lambda self: None)
    before = signal.getsignal(signal.SIGINT)
    try:
        ended = run("fit", "t.csv", "--target", "y")
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [(True, False), (True, True)]
    assert ended.status == 1
    assert "trimtab fit --resume kept" in ended.err


# -- end to end: a network from a table, and its predictions

SUMMARY_KEYS = {
    "out", "task", "metric", "test", "validation", "interval", "baselines", "trials", "runs", "seconds", "config",
    "rows",
}  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    folder: Path
    ended: Ended


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "trimtab", *map(str, arguments)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A study of houses with two classes of quirks: rows without a price, and infinite sizes."""
    folder = tmp_path_factory.mktemp("houses")
    table = houses(200).with_row_index("row")
    table = table.with_columns(
        price=polars.when(polars.col("row") < 3).then(None).otherwise(polars.col("price")),
        size=polars.when(polars.col("row") == 5).then(float("inf")).otherwise(polars.col("size")),
    ).drop("row")
    table.write_csv(folder / "houses.csv")
    asked = ("fit", folder / "houses.csv", "--target", "price", "--trials", "3", "--out", folder / "study")
    asked = (*asked, "--width", "32", "--epochs", "60", "--json")
    with all_that_is_printed() as printed:
        status = cli.main([str(argument) for argument in asked])
    return Fitted(folder, Ended(status, *printed))


@contextmanager
def all_that_is_printed() -> Iterator[list[str]]:
    """What the block, and whatever it starts, writes to stdout and to stderr, whoever writes it: at its end."""
    printed: list[str] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [(number, os.dup(number), file) for number, file in ((1, out), (2, err))]
        try:
            for number, _, file in kept:
                os.dup2(file.fileno(), number)
            with (
                open(1, "w", closefd=False) as stdout, redirect_stdout(stdout),
                open(2, "w", closefd=False) as stderr, redirect_stderr(stderr),
            ):  # fmt: skip
                yield printed
        finally:
            for number, before, file in kept:
                os.dup2(before, number)
                os.close(before)
                file.seek(0)
                printed.append(file.read().decode())


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(fitted: Fitted) -> None:
    assert fitted.ended.status == 0, fitted.ended.err
    result = json.loads(fitted.ended.out)
    assert result.keys() >= SUMMARY_KEYS
    assert set(result["baselines"]) == {"mean", "linear", "default_mlp"}
    assert {"rmse", "mae", "r2"} <= set(result["test"])
    low, high = result["interval"]
    assert low <= result["test"]["rmse"] <= high
    assert result["test"]["rmse"] < result["baselines"]["mean"]["rmse"]


@pytest.mark.slow
def test_rows_without_a_target_and_infinite_cells_are_counted(fitted: Fitted) -> None:
    notes = [line for line in fitted.ended.err.splitlines() if line.startswith("Note: ")]
    assert any("3 of 200 rows" in note and "target" in note for note in notes), notes
    assert any("size" in note and "inf" in note for note in notes), notes


@pytest.mark.slow
def test_predictions_come_in_the_order_of_the_rows(fitted: Fitted, run: Run, tmp_path: Path) -> None:
    rows = houses(50)
    rows.write_csv("new.csv")
    ended = run("predict", fitted.folder / "study", "new.csv", "-o", "predictions.csv")
    assert ended.status == 0, ended.err
    predictions = polars.read_csv("predictions.csv")
    assert predictions.columns == ["prediction"]
    assert predictions.height == 50
    assert numpy.corrcoef(predictions["prediction"], rows["price"])[0, 1] > 0.8

    assert run("predict", fitted.folder / "study", "new.csv", "-o", "p.parquet").status == 0
    assert polars.read_parquet("p.parquet")["prediction"].to_list() == pytest.approx(
        predictions["prediction"].to_list()
    )
    on_stdout = run("predict", fitted.folder / "study" / "model", "new.csv")
    assert on_stdout.out == Path("predictions.csv").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.csv", "p.parquet", "predictions.csv"]


@pytest.mark.slow
def test_columns_are_kept_beside_the_predictions_as_they_stand(fitted: Fitted, run: Run) -> None:
    study, rows = fitted.folder / "study", houses(6).with_columns(id=polars.Series([f"00{i}" for i in range(6)]))
    rows.with_columns(note=polars.Series(["a, b", None, " c", "NA", "1e3", "é"])).write_csv("new.csv")
    ended = run("predict", study, "new.csv", "--keep", "id", "--keep", "kind,note", "-o", "out.csv")
    assert ended.status == 0, ended.err
    lines = Path("out.csv").read_text().splitlines()
    assert lines[0] == "id,kind,note,prediction"
    assert [line.split(",")[0] for line in lines[1:]] == rows["id"].to_list()
    for cell, line in zip(['"a, b"', ",,", " c", "NA", "1e3", "é"], lines[1:], strict=True):
        assert cell in line
    plain = polars.read_csv(run("predict", study, "new.csv").out.encode())["prediction"]
    kept = polars.read_csv(run("predict", study, "new.csv", "--keep", "id").out.encode())
    assert kept["prediction"].to_list() == plain.to_list()
    assert run("predict", study, "new.csv", "--keep", "id", "-o", "out.parquet").status == 0
    assert polars.read_parquet("out.parquet").columns == ["id", "prediction"]


@pytest.mark.slow
def test_a_file_of_predictions_is_replaced_only_by_force(fitted: Fitted, run: Run) -> None:
    study = fitted.folder / "study"
    houses(5).write_csv("new.csv")
    for name in ("out.csv", "out.parquet"):
        Path(name).write_text("mine")
        refused = run("predict", study, "new.csv", "-o", name)
        assert refused.status == 2
        assert f"{name} exists already" in refused.err and "--force" in refused.err
        assert Path(name).read_text() == "mine"
        assert run("predict", study, "new.csv", "-o", name, "--force").status == 0
        assert Path(name).read_bytes() != b"mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keep", "sise"), 'Did you mean "size"'),
        (("--keep", "size,size"), "twice"),
        (("--keep", "prediction"), '"prediction" of their own'),
        (("--force",), "--force has no effect"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    fitted: Fitted, run: Run, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    houses(5).with_columns(prediction=polars.lit(1)).write_csv("new.csv")
    assert_refused(run("predict", fitted.folder / "study", "new.csv", *options), tmp_path, words)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [[timedelta(1)] * 5, [b"x"] * 5, [[1, 2]] * 5], ids=["durations", "bytes", "lists"])
def test_what_no_text_can_hold_is_not_kept(fitted: Fitted, run: Run, tmp_path: Path, cells: list) -> None:
    houses(5).with_columns(odd=polars.Series(cells)).write_parquet("new.parquet")
    refused = run("predict", fitted.folder / "study", "new.parquet", "--keep", "odd")
    assert_refused(refused, tmp_path, "which no table of text can hold")


@pytest.mark.slow
def test_predict_takes_rows_that_differ_from_those_it_learnt_from(fitted: Fitted, run: Run) -> None:
    rows = houses(6).select(
        polars.lit(1).alias("extra"),
        polars.Series("kind", ["flat", "castle", None, "hut", "flat", "house"]),
        polars.Series("size", ["50", None, "inf", "70", "80", "90"]),
    )
    rows.write_csv("new.csv")
    ended = run("predict", fitted.folder / "study", "new.csv")
    assert ended.status == 0, ended.err
    predictions = polars.read_csv(ended.out.encode())["prediction"]
    assert len(predictions) == 6
    assert predictions.is_finite().all()
    assert "kind" in ended.err


@pytest.mark.slow
def test_predict_refuses_what_it_cannot_use(fitted: Fitted, run: Run, tmp_path: Path) -> None:
    houses(5).drop("size", "price").write_csv("new.csv")
    study = fitted.folder / "study"
    assert_refused(run("predict", study, "new.csv", "-o", "study"), tmp_path, ".csv")
    assert_refused(run("predict", study, "new.csv", "-o", "p.csv"), tmp_path, "size")
    assert_refused(run("predict", study, "nowhere.csv"), tmp_path, "nowhere.csv")
    assert_refused(run("predict", study, "new.csv", "-o", "new.csv"), tmp_path, "another file")
    assert_refused(run("predict", study, "new.csv", "-o", "/proc/nowhere/p.csv"), tmp_path, "/proc/nowhere")
    assert_refused(run("predict", tmp_path, "new.csv"), tmp_path, str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_model_file_with_flipped_bytes_is_refused(fitted: Fitted, run: Run, tmp_path: Path, name: str) -> None:
    shutil.copytree(fitted.folder / "study" / "model", "model")
    content = bytearray(Path("model", name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path("model", name).write_bytes(content)
    houses(5).write_csv("new.csv")
    assert_refused(run("predict", "model", "new.csv"), tmp_path, name)


@pytest.mark.slow
def test_a_pipe_that_closes_early_is_no_traceback(fitted: Fitted) -> None:
    houses(30_000).write_csv(fitted.folder / "many.csv")
    asked = command("predict", fitted.folder / "study", fitted.folder / "many.csv")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "prediction\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


@pytest.mark.slow
def test_explain_says_what_choices_were_worth(fitted: Fitted, run: Run) -> None:
    assert "give explain a budget" in run("explain", fitted.folder / "study").err
    ended = run("explain", fitted.folder / "study", "--budget", "6s", "--threads", "1", "--knob", "epochs", "--json")
    assert ended.status == 0
    said = json.loads(ended.out)
    assert set(said) == {"winner", "rows", "path", "stopping", "findings", "not_reached"}
    assert {row["knob"] for row in [*said["rows"], *said["not_reached"]]} == {"epochs"}
    text = run("explain", fitted.folder / "study")
    assert text.status == 0
    assert "patience 20" in text.out
    wrong = run("explain", fitted.folder / "study", "--knob", "epoch")
    assert (wrong.status, "epochs" in wrong.err) == (2, True)


def test_resume_needs_no_data_and_adds_trials(fitted: Fitted, run: Run) -> None:
    before = json.loads(fitted.ended.out)["trials"]
    ended = run("fit", "--resume", fitted.folder / "study", "--trials", str(before + 1), "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["trials"] > before
    refused = run("fit", "--resume", fitted.folder / "study", "--seed", "3", "--budget", "8s")
    assert refused.status == 2
    assert "seed" in refused.err


@pytest.mark.slow
def test_a_class_with_a_single_row_is_said_and_words_come_at_the_end(run: Run) -> None:
    kinds = houses(80).with_columns(kind=polars.Series(["flat", "hut"] * 39 + ["flat", "castle"]))
    kinds.write_csv("houses.csv")
    ended = run("fit", "houses.csv", "--target", "kind", "--trials", "2", "--epochs", "40", "--out", "study")
    assert ended.status == 0, ended.err
    assert "single row" in ended.err
    assert "Study folder: study" in ended.err
    for words in ("Try next:", "trimtab predict study NEW.csv", "trimtab evaluate study", "--resume study"):
        assert words in ended.out
    for words in ("Best config: ", "log_loss", "accuracy", "linear model", "default MLP", "study/model"):
        assert words in ended.out
    probabilities = polars.read_csv(run("predict", "study", "houses.csv").out.encode())
    assert probabilities.columns[0] == "prediction"
    assert all(name.startswith("probability_") for name in probabilities.columns[1:])
