"""As good as AutoGluon in the same time? Both on the same rows of every table, one after the other on this machine.

python -m venv autogluon
autogluon/bin/pip install 'autogluon.tabular[catboost,fastai,lightgbm,tabm,xgboost]==1.6.3' torch==2.13.0
python -m benchmarks.quality.beside_autogluon --python autogluon/bin/python --budget 60 --json autogluon.jsonl

AutoGluon has its preset `best_quality`, an environment of its own, and what importing takes beside the time it is
given, which trimtab's holds. Whatever finished is appended to the JSON file, and not measured again.
"""

import argparse
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy
import polars

from benchmarks.kept import add_line, read_lines
from benchmarks.page import table as markdown
from benchmarks.quality.measure import outputs_of, tested
from benchmarks.quality.scores import scores
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.machine import cores

OURS, THEIRS = "trimtab", "autogluon"
FIT = Path(__file__).with_name("autogluon_fit.py")
# Above so much of the time it was given (and what importing takes) it is stopped.
MOST_OF_BUDGET, SECONDS_TO_BEGIN = 2.0, 60.0


def ours(table: Table, split: int, budget: float) -> tuple[float, float]:
    """Seconds from the command's start, and the error."""
    found = tested(table, split, ["--budget", f"{budget:g}s"])
    return found.fitted.seconds, found.scores[table.metric]


def theirs(table: Table, split: int, budget: float, python: Path) -> tuple[float, float]:
    """The same of AutoGluon."""
    train, test = table.split(split)
    task = "regression" if table.is_regression else "classification"
    with tempfile.TemporaryDirectory() as folder:
        train.write_csv(Path(folder) / "train.csv")
        test.write_csv(Path(folder) / "test.csv")
        started = time.monotonic()
        ended = subprocess.run(
            [str(python), str(FIT), folder, table.target, task, f"{budget:g}", str(cores())],
            capture_output=True, text=True, check=False, timeout=MOST_OF_BUDGET * budget + SECONDS_TO_BEGIN,
        )  # fmt: skip
        seconds = time.monotonic() - started
        if ended.returncode != 0:
            raise SystemExit(f"AutoGluon on {table.name}: {ended.stderr.strip()[-600:]}")
        predictions = polars.read_csv(Path(folder) / "predictions.csv", infer_schema_length=None)
    labels = table.labels(train)
    found = scores(outputs_of(predictions, labels), test[table.target].to_numpy(), labels)
    return seconds, found[table.metric]


def page(lines: Sequence[dict], budget: float) -> str:
    by_split: dict[tuple[str, int], dict[str, dict]] = defaultdict(dict)
    for line in lines:
        if line["budget"] == budget:
            by_split[line["ds"], line["split"]][line["model"]] = line
    rows, logs = [], []
    for (name, split), found in by_split.items():
        if len(found) < 2:
            continue
        own, other = found[OURS], found[THEIRS]
        ratio = own["error"] / other["error"]
        logs.append(numpy.log(ratio))
        rows.append([name, str(split), own["error"], other["error"], ratio, own["seconds"], other["seconds"]])
    if not rows:
        return "Nothing was measured of both."
    head = ["table", "split", OURS, THEIRS, "ratio", f"seconds of {OURS}", f"of {THEIRS}"]
    said = (
        f"Better than AutoGluon on {sum(log < 0 for log in logs)} of {len(logs)} with {budget:g} s each; geometric "
        f"mean of the ratio {numpy.exp(numpy.mean(logs)):.3f}, median {numpy.exp(numpy.median(logs)):.3f}."
    )
    return "\n".join([markdown(head, rows), "", said])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="the Python of an environment with AutoGluon")
    parser.add_argument("--budget", type=float, default=60, help="seconds for each fit")
    parser.add_argument("--splits", type=int, default=1, help="how many splits of each table")
    parser.add_argument("--names", type=lambda text: text.split(","), help="tables (default: all)")
    parser.add_argument("--json", type=Path, default=Path("autogluon.jsonl"), help="file of what was measured")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the tables")
    asked = parser.parse_args()
    lines = read_lines(asked.json)
    done = {(line["ds"], line["split"], line["model"], line["budget"]) for line in lines}
    for split in range(asked.splits):
        for table in read_tables(asked.data, asked.names):
            for model in (OURS, THEIRS):
                if (table.name, split, model, asked.budget) in done:
                    continue
                if model == OURS:
                    seconds, error = ours(table, split, asked.budget)
                else:
                    seconds, error = theirs(table, split, asked.budget, asked.python)
                line = {"ds": table.name, "split": split, "model": model, "budget": asked.budget}
                line |= {"seconds": round(seconds, 1), "error": error}
                lines.append(line)
                add_line(asked.json, line)
                print(f"{table.name} {split}, {model}: {error:.4g} in {seconds:.0f} s", flush=True)
    print(page(lines, asked.budget))


if __name__ == "__main__":
    main()
