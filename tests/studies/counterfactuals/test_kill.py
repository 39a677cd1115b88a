"""A kill in the middle of the stage beside a winner: what was finished is kept, and going on ends where it would."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import polars
import pytest

import trimtab as tt
from trimtab import cli
from trimtab.findings.worth.account import Account
from trimtab.tuning.folder import StudyFolder

KNOBS = {"epochs": 3, "width": 8, "depth": 1, "batch_size": 32, "inputs": "scaled", "optimizer": "adam"}
# Before anything is kept, between the files of one step, and behind a step.
KILLS = (("save_counterfactuals", 3, "before"), ("save_counterfactuals", 4, "after"), ("write", 6, "after"))
TESTS = str(Path(__file__).parents[2])
# Each call is a fork of one process that has imported everything and started no thread.
CHILD = """
import os, shutil, signal, sys
sys.path.insert(0, sys.argv[3])
import trimtab as tt
from dying import die_at
import trimtab.studies.explaining
from trimtab.tuning.folder import StudyFolder

out, kills = sys.argv[1], eval(sys.argv[2])
for number, kill in enumerate(kills):
    if (child := os.fork()) == 0:
        die_at(StudyFolder, *kill)
        tt.load(out).explain("lr", budget="1h", threads=1)
        os._exit(1)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        sys.exit(f"not killed at {kill}")
    shutil.copytree(out, f"{out}-{number}")
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    folder = tmp_path_factory.mktemp("killed")
    table = polars.DataFrame(x, schema=["a", "b"]).with_columns(y=polars.Series(numpy.sin(x[:, 0]) + x[:, 1]))
    table.write_csv(folder / "rows.csv")
    return tt.tune(
        folder / "rows.csv", "y", trials=2, threads=1, out=folder / "s", counterfactuals=0, quiet=True, **KNOBS
    )


def told(out):
    """The account without the time it took, and the runs behind it."""
    account = Account.load(StudyFolder(out)).to_json()
    runs = polars.read_parquet(out / "counterfactuals.parquet").sort("knob", "value", "seed", "fold")
    return account, runs


def test_a_kill_loses_nothing_that_was_stored_and_changes_no_result(study, tmp_path):
    for name in ("whole", "killed"):
        shutil.copytree(study.out, tmp_path / name)
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "killed"), repr(KILLS), TESTS],
        stderr=subprocess.PIPE, timeout=250, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    stored: set[tuple] = set()
    for number, kill in enumerate(KILLS):
        left = tmp_path / f"killed-{number}"
        assert tt.load(left).result == study.result | {"out": str(left)}, kill
        account, runs = told(left)
        assert all(row["verdict"] in ("better", "worse", "alike") for row in account["rows"]), kill
        now = set(runs.iter_rows())
        assert stored <= now, f"{kill}: a finished run is lost"
        stored = now
    assert stored
    for name in ("whole", "killed"):
        assert cli.main(["explain", str(tmp_path / name), "--budget", "1h", "--knob", "lr", "--threads", "1"]) == 0
    (account, runs), (killed, runs_of_killed) = told(tmp_path / "whole"), told(tmp_path / "killed")
    assert not runs_of_killed.select("stage", "knob", "value", "seed", "fold").is_duplicated().any()
    assert stored <= set(runs_of_killed.iter_rows())
    assert runs_of_killed.equals(runs)
    assert killed == account
    assert Account.load(StudyFolder(tmp_path / "killed")).looks == 1, "a call that was killed was no look of its own"


def test_curves_are_those_of_the_runs(study, tmp_path):
    shutil.copytree(study.out, out := tmp_path / "s")
    tt.load(out).explain("lr", budget="1h", threads=1)
    names = ["stage", "knob", "value", "fold", "seed"]
    folder = StudyFolder(out)
    runs, curves = folder.read_counterfactuals()
    assert set(curves.select(names).iter_rows()) == set(runs.select(names).iter_rows())
    # As a kill between the two files leaves them.
    runs.filter(polars.col("seed") == runs["seed"].min()).write_parquet(folder.counterfactuals)
    tt.load(out).explain("lr", budget="1h", threads=1)
    runs, curves = folder.read_counterfactuals()
    assert set(curves.select(names).iter_rows()) == set(runs.select(names).iter_rows())
