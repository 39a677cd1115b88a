"""The script of a study: same table, same folds, same columns, and the score that the study reached."""

import contextlib
import gzip
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy
import polars
import pytest
import torch

import trimtab as tt
from exported import DATA_SETS
from scripted import NETWORK, assert_same_columns, assert_same_folds, written
from trimtab.export.scripts.table_script import study_script
from trimtab.model.model import Model, build
from trimtab.model.tensors import training_data
from trimtab.training.compiling import compiler
from trimtab.training.config import Config, Group, Loss, Optimizer, Schedule, Stopping
from trimtab.training.metrics import default_metric
from trimtab.training.programs.program import Layout
from trimtab.tuning.baselines import FITTED, LINEAR_NETWORK
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.verdicts import LEARNT

ROWS = 300
NETWORK_STARTS, COLUMNS_START = "class Network", "# -- columns"


LABELLED = ["kind", "place", "garden", "state", "day", "at", "group", "grade"]


def rooms(rows: int = ROWS) -> polars.DataFrame:
    """Numbers, labels, gaps, copies, dates as text, and something to predict."""
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame(
        {
            "size": rng.normal(100, 30, rows).round(1),
            "tail": numpy.exp(rng.normal(0, 6, rows)).round(6),
            "kind": rng.choice(["flat", "house", "hut"], rows),
            "place": [f"street {int(i)}" for i in rng.integers(0, 40, rows) ** 2 // 40],
            "garden": rng.choice(["True", "False"], rows),
            "state": polars.Series(rng.choice(["new", "old"], rows)).set(polars.Series(rng.random(rows) < 0.2), None),
            "day": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{1990 + i % 30}" for i in range(rows)],
            "at": [str(datetime(2020, 1, 1) + timedelta(hours=int(h))) for h in rng.integers(0, 9_000, rows)],
            "group": rng.choice(["a", "b", "c", "d", "e", "f", "g", "h"], rows),
            "part": rng.choice(["train", "train", "train", "valid", "test"], rows),
            "w": rng.choice([0.0, 1.0, 2.0], rows),
        }
    )
    price = 3e5 + 1e3 * frame["size"] + 1e4 * (frame["kind"] == "hut") + rng.normal(0, 1e4, rows)
    grade = polars.Series(["good", 'not "bad"', "it's bad"])[(price.rank() * 3 / (rows + 1)).cast(polars.Int64)]
    frame = frame.with_columns(price=price.round(2), grade=grade)
    return polars.concat([frame, frame.head(20), *[frame.slice(7, 1)] * 9])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rooms.csv"
    rooms().write_csv(path)
    return path


SPLITS = {
    "random": {},
    "no test": {"test": "none"},
    "time": {"split": "time:at"},
    "groups": {"split": "group:group"},
    "parts": {"split": "part"},
    "weights": {"weight": "w"},
}


@pytest.mark.parametrize("target", ["price", "grade", "price,size"])
@pytest.mark.parametrize("split", SPLITS)
def test_folds_and_columns_are_the_studys(tmp_path, table, split, target):
    options = {"drop": ["part"] if split.startswith("parts") is False else [], **SPLITS[split]}
    made = written(tmp_path / "study", table, target, **options)
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)


def test_numbers_far_from_zero_and_near_each_other_are_scaled_in_all_their_digits(tmp_path):
    spread = numpy.random.default_rng(0).normal(size=rooms().height)
    frame = rooms().with_columns(stamp=1.7e12 + spread, small=1e-9 + 1e-19 * spread, price=1e11 + spread)
    frame.write_csv(tmp_path / "rooms.csv")
    made = written(tmp_path / "study", tmp_path / "rooms.csv", "price")
    names = made.run_until(NETWORK_STARTS)
    assert_same_columns(made, names)


@pytest.mark.parametrize(
    "kept", [["at", "until"], ["at", "until", "size", "place"]], ids=["moments alone", "all kinds"]
)
def test_the_time_between_two_moments_is_a_column(tmp_path, kept):
    rng = numpy.random.default_rng(1)
    hours = numpy.where(rng.random(rooms().height) < 0.5, 2, rng.exponential(3, rooms().height))
    ends = [datetime.fromisoformat(at) + timedelta(hours=more) for at, more in zip(rooms()["at"], hours, strict=True)]
    frame = rooms().with_columns(until=polars.Series(ends).dt.to_string("%Y-%m-%d %H:%M")).select(*kept, "price")
    frame.write_csv(tmp_path / "rooms.csv")
    made = written(tmp_path / "study", tmp_path / "rooms.csv", "price")
    assert [(span.earlier, span.later) for span in made.prepared.encoder.spans] == [("at", "until")]
    assert_same_columns(made, made.run_until(NETWORK_STARTS))


def test_one_validation_part_for_many_rows(tmp_path):
    table = tmp_path / "rooms.csv"
    rooms(7_000).write_csv(table)
    for target in ("price", "grade"):
        made = written(tmp_path / target, table, target)
        assert len(made.prepared.folds) == 1
        names = made.run_until(NETWORK_STARTS)
        assert_same_folds(made, names)
        assert_same_columns(made, names)


@pytest.mark.parametrize("between", ["\n\n", "\n,,\n\n", "\n,,\n"], ids=["blank lines", "both", "empty rows"])
def test_blank_lines_are_no_rows_and_lines_of_separators_are(tmp_path, between):
    lines = [f"{x},{-x},{x * x}" for x in numpy.random.default_rng(0).normal(size=60).round(3)]
    (tmp_path / "rooms.csv").write_text("a,b,price\n" + between.join(["\n".join(lines[:20]), *lines[20:]]) + "\n\n")
    made = written(tmp_path / "study", tmp_path / "rooms.csv", "price")
    assert_same_folds(made, made.run_until(COLUMNS_START))


# -- files of all kinds


def _semicolons(frame: polars.DataFrame, path: Path) -> Path:
    text = frame.with_columns(polars.col(polars.Float64).cast(polars.String).str.replace(r"\.", ",")).write_csv(
        separator=";"
    )
    path.write_text(text)
    return path


def _latin(frame: polars.DataFrame, path: Path) -> Path:
    path.write_bytes(frame.with_columns(kind=polars.lit("Größe ") + frame["kind"]).write_csv().encode("cp1252"))
    return path


def _blanks(frame: polars.DataFrame, path: Path) -> Path:
    path.write_text(frame.write_csv().replace(",", ", "))
    return path


def _lone_quotes(frame: polars.DataFrame, path: Path) -> Path:
    path.write_text(
        frame.with_columns(kind=frame["kind"].replace("hut", "2 inches"))
        .drop("grade")
        .write_csv()
        .replace(" inches", '"')
    )
    return path


def _marks(frame: polars.DataFrame, path: Path) -> Path:
    frame.with_columns(
        state=frame["state"].fill_null("?"), size=frame["size"].cast(polars.String).replace("100.0", "NA")
    ).write_csv(path)
    return path


def _gzip(frame: polars.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".csv.gz")
    path.write_bytes(gzip.compress(frame.write_csv().encode()))
    return path


def _parquet(frame: polars.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".parquet")
    _typed(frame).write_parquet(path)
    return path


def _arrow(frame: polars.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".arrow")
    _typed(frame).write_ipc(path)
    return path


def _json_lines(frame: polars.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".jsonl")
    frame.write_ndjson(path)
    return path


def _typed(frame: polars.DataFrame) -> polars.DataFrame:
    """With types that text has not: clocks, durations, truths, and labels that are numbers."""
    at = frame["at"].str.to_datetime().dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    hours = (frame["size"] * 3.6e9).cast(polars.Duration("us"))
    garden, place = frame["garden"] == "True", frame["place"].str.slice(7).cast(polars.Float64)
    return frame.with_columns(at=at, wait=hours, garden=garden, place=place, noon=at.dt.time())


KINDS_OF_FILE = (_semicolons, _latin, _blanks, _lone_quotes, _marks, _gzip, _parquet, _arrow, _json_lines)


@pytest.mark.parametrize("write", KINDS_OF_FILE, ids=lambda write: write.__name__[1:])
def test_files_are_read_as_the_study_read_them(tmp_path, write):
    path = write(rooms(), tmp_path / "rooms.csv")
    made = written(tmp_path / "study", path, "price", drop=["part"], category=["place"])
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)


DAYS = [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 2, 3)]
TYPED = {
    "single": polars.Series([0.1, 0.3, 1e-7], dtype=polars.Float32),
    "half": polars.Series([0.1, 0.3, 2.0]).cast(polars.Float16),
    "wide": polars.Series([1e-7, 1e16, 1e20]),
    "money": polars.Series([Decimal("1.50"), Decimal("2.25"), Decimal("3.00")]),
    "long": polars.Series([1, 2**63, 2**63 + 1], dtype=polars.UInt64),
    "day": polars.Series(DAYS).cast(polars.Date),
    "moment": polars.Series(DAYS).cast(polars.Datetime("ns")),
    "zone": polars.Series(DAYS).dt.replace_time_zone("Europe/Paris"),
    "hour": polars.Series([time(8), time(9, 30), time(9, 30, 0, 500_000)]),
    "span": polars.Series([timedelta(seconds=90), timedelta(days=1), timedelta(milliseconds=5)]),
}
WRITTEN = {
    "code": ["007", "042", "100"], "exponent": ["1e3", "2e3", "500"], "truth": ["True", "False", "TRUE"],
    "blank": [" x", "y", "z"], "part of the world": ["NA", "EU", "AS"], "zeros": ["1.10", "1.2", "1.3"],
    "spellings": ["yes", " yes", "no"], "clock": ["2024-01-01T00:00:00", "2024-01-02T00:00:00", "2024-01-03T00:00:00"],
    "small": ["1e-07", "1e16", "0.5"], "digits": ["12345678901234567890", "12345678901234567891", "3"],
}  # fmt: skip


def labelled(cells: dict[str, polars.Series]) -> polars.DataFrame:
    """A table of 120 rows with these labels, in turn."""
    columns = {name: labels.gather([(i + i // 3) % 3 for i in range(120)]) for name, labels in cells.items()}
    x, y = numpy.random.default_rng(0).normal(size=(2, 120)).round(4)
    return polars.DataFrame({**columns, "x": x, "y": y})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_labels_of_all_types_and_spellings_are_the_studys(tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    cells = {name: polars.Series(texts) for name, texts in WRITTEN.items()} if suffix == "csv" else TYPED
    frame = labelled(cells)
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    made = written(tmp_path / "study", path, "y", category=list(cells))
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)
    for name in cells:
        made = written(tmp_path / name, path, name, task="classification", drop=[c for c in cells if c != name])
        names = made.run_until(COLUMNS_START)
        assert_same_folds(made, names)
        rows = numpy.unique(numpy.concatenate([part for fold in names["folds"] for part in fold]))
        assert names["CLASSES"] == list(made.prepared.target_encoder.labels)
        numpy.testing.assert_array_equal(names["target"][rows], made.prepared.targets)


def test_a_study_of_a_frame_says_where_to_put_it(tmp_path, monkeypatch):
    frame = _typed(rooms()).drop("wait", "noon")
    made = written(tmp_path / "study", None, "grade", data=frame, category=["place"])
    assert "write that frame" in made.script and "table.parquet" in made.script
    monkeypatch.chdir(tmp_path)
    frame.write_parquet("table.parquet")
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)


def test_arrays_are_a_frame_too(tmp_path, monkeypatch):
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
    made = written(tmp_path / "study", None, "target", data=(x, y))
    monkeypatch.chdir(tmp_path)
    polars.DataFrame(x, schema=["x0", "x1", "x2"]).with_columns(target=polars.Series(y)).write_parquet("table.parquet")
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)


def test_a_table_that_is_gone_or_has_changed_is_said(tmp_path, table):
    assert "changed" not in written(tmp_path / "first", table, "price").script
    made = written(tmp_path / "second", table, "price")
    folder, model = StudyFolder(tmp_path / "second"), Model(made.prepared.encoder, made.prepared.target_encoder, ())
    rooms().head(200).write_csv(table)
    assert "The table has changed" in study_script(folder, made.trial, model)
    table.unlink()
    script = study_script(folder, made.trial, model)
    assert "The table was not there" in script
    assert json.dumps(str(table)) in script


def test_the_folds_of_a_study_that_did_not_note_them_are_drawn_anew(tmp_path, table):
    made = written(tmp_path / "study", table, "price", split="group:group")
    folder, model = StudyFolder(tmp_path / "study"), Model(made.prepared.encoder, made.prepared.target_encoder, ())
    folder.folds.unlink()
    again = replace(made, script=study_script(folder, made.trial, model))
    assert_same_folds(again, again.run_until(COLUMNS_START))
    folder.folds.unlink()
    table.unlink()
    with pytest.raises(tt.StudyError, match="did not note the folds"):
        study_script(folder, made.trial, model)


# -- what a script looks like


def test_odd_names_and_labels(tmp_path, table):
    names = {
        "size": 'say "size"',
        "kind": "it's",
        "tail": "class",
        "state": "größe m²",
        "place": "a\\b",
        "day": "count",
    }
    labels = {"new": 'very "new"', "old": "it's old\\"}
    frame = rooms().with_columns(state=polars.col("state").replace(labels)).rename(names)
    frame.write_parquet(tmp_path / "rooms.parquet")
    made = written(tmp_path / "study", tmp_path / "rooms.parquet", "grade")
    found = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, found)
    assert_same_columns(made, found)


@pytest.mark.parametrize(
    "values",
    [
        [True, False], [3, -1, 20], [0.5, 1.0, 2.25], ["1", "1.50", 'a"b'], ["2", "2.1", "2.21"], ["007", "7", "x"],
        ["1e3", "500"], ["True", "TRUE", "False"], ["NA", "EU"], [" x", "x", "y"], ["1.1", "1.10", "2.0.1"],
        ["1", "1.0", "2"],
    ],
)  # fmt: skip
def test_labels_of_any_type(tmp_path, values):
    frame = (
        rooms()
        .drop("grade")
        .with_columns(label=polars.Series([values[i % len(values)] for i in range(rooms().height)]))
    )
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"rooms.{suffix}"
        frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
        made = written(tmp_path / f"study {suffix}", path, "label", task="classification")
        names = made.run_until(NETWORK_STARTS)
        assert_same_folds(made, names)
        place = made.prepared.development_rows
        numpy.testing.assert_array_equal(names["target"][place], made.prepared.targets)


def test_the_first_comment_says_that_an_ensemble_won(tmp_path, table):
    result = {"ensemble": [{"trial": i, "share": 0.5} for i in (7, 9)], "validation": {"rmse": 0.25}, "winner": 7}
    head = written(tmp_path / "study", table, "price", result=result).script.split("\n\n")[0].replace("\n# ", " ")
    assert "an ensemble of 2 configurations (rmse 0.25 on validation rows)" in head
    assert "trains the best configuration alone (rmse 0.5)" in head
    asking = {**result, "ensemble": [{"trial": None, "name": LEARNT, "place": 0, "share": 1.0}]}
    head = written(tmp_path / "asking", table, "price", result=asking).script.split("\n\n")[0].replace("\n# ", " ")
    assert "is an ensemble of the nearest training rows" in head
    single = {**result, "ensemble": result["ensemble"][:1]}
    assert "ensemble" not in written(tmp_path / "single", table, "price", result=single).script


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"split": "time:size"}, "development"),
        ({"single": True}, "development"),
        ({"refit": True}, "all"),
        ({"result": {"of_all_rows": [7]}}, "development"),
        ({}, None),
    ],
    ids=str,
)
def test_what_was_trained_on_all_rows_is_so_in_the_script(tmp_path, table, options, rows):
    config = Config(
        network=NETWORK, epochs=6, batch_size=32, schedule=Schedule("plateau"), dropout=0.2, dropout_course="linear",
        averaging=0.9,
    )  # fmt: skip
    made = written(tmp_path / "study", table, "price", config=config, cuts=(1, 2), best_epoch=4, **options)
    names = made.run_until("# the end")
    if rows is None:
        assert len(names["networks"]) == 10 and "trained_on_all" not in names
        return
    assert len(names["networks"]) == 1 and "for epoch in range(1, 5):" in made.script
    assert "factors = [1.0, 0.3, 0.09, 0.09]" in made.script
    assert len(names["every"]) == (len(made.prepared.development) if rows == "development" else len(names["target"]))


ELABORATE = Config(
    network=(("activation", "mish"), ("depth", 2), ("inputs", "periodic"), ("width", 8)),
    loss=Loss("focal", parameter=1.5, label_smoothing=0.1, class_weights=(1.0, 2.0, 3.0)),
    optimizer=Optimizer("lion", weight_decay=0.1),
    schedule=Schedule("one_cycle"),
    stopping=Stopping("pq"),
    dropout=0.2,
    dropout_course="flat_cosine",
    decay_course="linear",
    gradient_clip=1.0,
    averaging=0.99,
    groups=(Group("*.bias", rate=2.0, decay=0.0),),
    epochs=3,
    batch_size=64,
)
BINNED = tuple({**dict(NETWORK), "inputs": "piecewise"}.items())
PLAIN = Config(network=NETWORK, optimizer=Optimizer("adam"), schedule=Schedule("constant"), stopping=Stopping("none"))


def test_a_script_holds_only_what_it_uses(tmp_path, table):
    plain = written(tmp_path / "plain", table, "price", config=PLAIN, drop=["part", "w"]).script
    absent = ("schedule", "Dropout", "PATIENCE", "clip_grad", "deepcopy(network)", "weight_decay", "CLASSES", "Lion")
    for word in absent:
        assert word not in plain, word
    elaborate = written(tmp_path / "elaborate", table, "grade", config=ELABORATE, weight="w").script
    for word in ("Lion", "one_cycle", "Dropout", "Prechelt", "clip_grad_norm_", "lerp_(parameter", "GROUPS"):
        assert word in elaborate, word
    for script in (plain, elaborate):
        assert "trimtab." not in re.sub("#.*", "", script)
        assert max(map(len, script.splitlines())) <= 120
        assert "# " in script.splitlines()[0]
    assert len(plain.splitlines()) < 210, "a table with columns of every kind"
    plainest = written(tmp_path / "plainest", table, "price", config=PLAIN, drop=["part", "w", *LABELLED, "tail"])
    assert len(plainest.script.splitlines()) < 150


def test_scripts_are_clean(tmp_path, table):
    """No unused names, no undefined ones, no overlong lines: as ruff sees it."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for kind, target, weight in product(
        ["plain", "binned", "elaborate", "mean", "linear"], ["price", "grade"], [None, "w"]
    ):
        config = PLAIN if kind != "elaborate" or target == "price" else ELABORATE
        config = replace(config, network=BINNED) if kind == "binned" else config
        name = kind if kind in ("mean", "linear") else ""
        made = written(tmp_path / f"{kind} {target} {weight}", table, target, config=config, weight=weight, name=name)
        (scripts / f"{kind}_{target}_{weight}.py").write_text(made.script)
    options = ["--isolated", "--no-cache", "--line-length", "120", "--select", "E,W,F,I,B,NPY,UP"]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, "--ignore", "B007,B905,B023", scripts],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def run_here(script: str) -> tuple[float, float]:
    """The same without a process of its own."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(script, "train.py", "exec"), {})  # noqa: S102
    return _printed(printed.getvalue())


def run_script(script: str, folder: Path) -> tuple[float, float]:
    """What a script printed where there is no trimtab: its validation score, and that of the study."""
    file = folder / "train.py"
    file.write_text(script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    blocked = "import sys; sys.modules['trimtab'] = None; sys.argv = ['train.py']; exec(open('train.py').read())"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return _printed(ended.stdout)


def _printed(text: str) -> tuple[float, float]:
    found = re.search(r"^validation \w+: (\S+) \(in the study: (\S+)\)$", text, re.MULTILINE)
    assert found, text
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("target", ["price", "grade", "price,tail"])
def test_every_piece_runs(tmp_path, table, target, weight):
    config = ELABORATE if target == "grade" else Config(
        network=ELABORATE.network, loss=Loss("quantile", parameter=0.4), optimizer=Optimizer("rmsprop"), epochs=3,
        schedule=Schedule("plateau"), stopping=Stopping("up", strip=1, patience=1), dropout=0.1, batch_size=0,
    )  # fmt: skip
    metric = "balanced_accuracy" if target == "grade" else "r2"
    made = written(tmp_path / "study", table, target, config=config, weight=weight, metric=metric)
    score, _ = run_here(made.script)
    assert numpy.isfinite(score)


@pytest.fixture(scope="module")
def index(shared_data):
    return {entry["name"]: entry for entry in json.loads((shared_data / "index.json").read_text())}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA_SETS)
def test_folds_and_columns_of_the_real_tables(name, shared_data, index, tmp_path):
    made = written(tmp_path / "study", shared_data / index[name]["file"], index[name]["target"])
    names = made.run_until(NETWORK_STARTS)
    assert_same_folds(made, names)
    assert_same_columns(made, names)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "knobs", "tolerance"),
    [
        ("mpg", {"epochs": 40, "inputs": "periodic", "optimizer": "adamw", "lr": 3e-3}, 0.12),
        ("glass", {"epochs": 40, "inputs": "scaled", "optimizer": "nesterov", "lr": 0.03, "loss": "focal"}, 0.15),
        ("titanic", {"epochs": 30, "inputs": "piecewise", "schedule": "one_cycle", "lr": 3e-3}, 0.1),
    ],
)
def test_the_script_reaches_the_studys_score(name, knobs, tolerance, shared_data, index, tmp_path, monkeypatch):
    """Within noise: the script draws other weights and orders on the same folds."""
    monkeypatch.setattr(compiler, "can_compile", lambda: False)  # a study as short as this one has no time for it
    monkeypatch.setattr("trimtab.tuning.space.natural_epochs", lambda rows: 12)  # of the default MLP
    study = tt.tune(
        shared_data / index[name]["file"], target=index[name]["target"], out=tmp_path / "s", budget="5m", threads=1,
        trials=1, width=64, depth=2, **knobs,
    )  # fmt: skip
    best = min((trial for trial in study.trials if not trial.name), key=lambda trial: trial.error)
    script = study_script(StudyFolder(study.out), best, study.model)
    assert (script == study.code()) == (best == study.winner)
    score, in_study = run_script(script, tmp_path)
    mean = next(trial for trial in study.trials if trial.name == "mean")
    assert in_study == pytest.approx(best.error, rel=1e-3)
    assert score == pytest.approx(in_study, rel=tolerance)
    assert score < 0.9 * mean.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mpg", "german", "glass"])
@pytest.mark.parametrize("baseline", ["mean", "linear"])
def test_the_script_of_a_baseline_gives_its_score(name, baseline, shared_data, index, tmp_path):
    made = written(tmp_path / "study", shared_data / index[name]["file"], index[name]["target"], name=baseline)
    data = training_data(made.prepared, torch.device("cpu"))
    module = build(made.prepared.encoder, made.prepared.target_encoder, dict(LINEAR_NETWORK))
    predictions = torch.from_numpy(FITTED[baseline](data, Layout.of(module), seed=0).predictions).double()
    truth, weights = data.truth(torch.arange(data.rows)), data.weights.double()
    known = predictions.isfinite().all(1)
    metric = default_metric(data.task)
    error = float(metric.error(predictions[known][None], truth[known][None], weights[known][None])[0])
    assert run_here(made.script)[0] == pytest.approx(error, rel=0.005)
