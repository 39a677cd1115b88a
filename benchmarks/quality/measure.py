"""One `trimtab fit` as a user runs it: wall-clock time, peak memory, first trial, and predictions for the test rows.

Knows the command line and the study folder's layout; it imports nothing of trimtab.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy
import polars
import psutil

from benchmarks.quality.scores import scores
from benchmarks.tables import Table

SECONDS_BETWEEN_LOOKS = 0.2
TRIMTAB = (sys.executable, "-m", "trimtab")


@dataclass(frozen=True)
class Fit:
    """What one fit took and gave; memory in MiB, times in seconds from the command's start."""

    summary: dict
    seconds: float
    peak_memory: float
    first_weights: float | None
    first_trial: float | None
    predictions: polars.DataFrame


def fit(table: Table, train: polars.DataFrame, test: polars.DataFrame, folder: Path, options: list[str]) -> Fit:
    """Run fit and predict on CSV files of the rows in the empty `folder`; raises RuntimeError when one fails."""
    train.write_csv(folder / "train.csv")
    test.write_csv(folder / "test.csv")
    study = folder / "study"
    asked = ["fit", "train.csv", "--target", table.target, "--test", "test.csv", "--out", "study", "--json", *options]
    started = time.monotonic()
    first: dict[int, float] = {}  # when the weights of each trial were there
    peak = 0.0
    with (folder / "stderr.txt").open("w") as errors, (folder / "stdout.txt").open("w") as printed:
        process = subprocess.Popen([*TRIMTAB, *asked], cwd=folder, stdout=printed, stderr=errors)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                peak = max(peak, usage.ru_maxrss / 1024)
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            peak = max(peak, _memory_of_tree(process.pid))
            for path in study.glob("runs/[0-9]*.safetensors"):
                first.setdefault(int(path.stem), time.monotonic() - started)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise RuntimeError(f"{table.name}: fit ended with {process.returncode}: {_last_words(folder)}")
    return Fit(
        summary=json.loads((folder / "stdout.txt").read_text()),
        seconds=seconds,
        peak_memory=peak,
        first_weights=min(first.values(), default=None),
        first_trial=min((first[number] for number in _searched(study) & first.keys()), default=None),
        predictions=_predict(folder),
    )


@dataclass(frozen=True)
class Tested:
    """A fit on the training rows of a split, its predictions for the test rows (see `outputs_of`), and their truth."""

    fitted: Fit
    outputs: numpy.ndarray
    truth: numpy.ndarray
    labels: list[str] | None

    @property
    def scores(self) -> dict[str, float]:
        return scores(self.outputs, self.truth, self.labels)


def tested(table: Table, split: int, options: list[str]) -> Tested:
    """Fit with these options of the command, and predict; raises RuntimeError when one fails."""
    train, test = table.split(split)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(table, train, test, Path(folder), options)
    labels = table.labels(train)
    return Tested(fitted, outputs_of(fitted.predictions, labels), test[table.target].to_numpy(), labels)


def _predict(folder: Path) -> polars.DataFrame:
    out = folder / "predictions.csv"
    ended = subprocess.run(
        [*TRIMTAB, "predict", "study", "test.csv", "-o", out.name], cwd=folder, capture_output=True, check=False
    )
    if ended.returncode != 0:
        raise RuntimeError(f"predict ended with {ended.returncode}: {ended.stderr.decode()}")
    return polars.read_csv(out, infer_schema_length=None)


def outputs_of(predictions: polars.DataFrame, labels: list[str] | None) -> numpy.ndarray:
    """Values [rows], or probabilities [rows, classes] in the order of `labels` (0 for a label trimtab never saw)."""
    if labels is None:
        return predictions["prediction"].cast(polars.Float64).to_numpy()
    prefix = "probability_"
    columns = {_plain(name[len(prefix) :]): name for name in predictions.columns if name.startswith(prefix)}
    return numpy.column_stack(
        [
            predictions[columns[_plain(label)]].to_numpy()
            if _plain(label) in columns
            else numpy.zeros(len(predictions))
            for label in labels
        ]
    )


def _plain(label: str) -> str:
    """One spelling for a label, whichever type its column was read as: 1, 1.0 and "1" are the same."""
    try:
        return f"{float(label):g}"
    except ValueError:
        return label.strip().lower()


def _searched(study: Path) -> set[int]:
    """The numbers of the trials that are no baselines."""
    with closing(sqlite3.connect(study / "study.db")) as store:
        found = store.execute("SELECT value_json FROM trial_user_attributes WHERE key = 'trimtab'").fetchall()
    trials = [json.loads(json.loads(text)) for (text,) in found]
    return {trial["number"] for trial in trials if not trial["name"]}


def _memory_of_tree(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 2**20
    except psutil.Error:
        return 0.0


def _last_words(folder: Path) -> str:
    return " ".join((folder / "stderr.txt").read_text().strip().splitlines()[-3:])
