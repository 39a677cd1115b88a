"""How much of what choices were worth can be said in the time of a `fit`, on the development sets; and on how many of
them the search's gain over the default MLP is beyond noise.

python -m benchmarks.counterfactuals.development --budget 60s
python -m benchmarks.counterfactuals.development --budget 5m --tables concrete,bike
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.page import table as markdown
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.findings.worth.account import Account
from trimtab.findings.worth.intervals import ALIKE
from trimtab.tuning.folder import StudyFolder


def measured(table: Table, budget: str, folder: Path) -> dict[str, Any]:
    """One `fit` as a user makes it, and what stands in its folder."""
    train, test = table.typed_split(0)
    files = {name: folder / f"{table.name}-{name}.parquet" for name in ("train", "test")}
    train.write_parquet(files["train"])
    test.write_parquet(files["test"])
    out = folder / table.name
    command = [
        sys.executable,
        "-m",
        "trimtab",
        "fit",
        str(files["train"]),
        "--target",
        table.target,
        "--test",
        str(files["test"]),
        "--budget",
        budget,
        "--out",
        str(out),
        "--json",
    ]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    account = Account.load(StudyFolder(out))
    rows = () if account is None else account.reached
    return {
        "table": table.name,
        "seconds": result["seconds"],
        "metric": result["metric"],
        "score": result["test"][result["metric"]],
        "trials": result["trials"],
        "spent": 0.0 if account is None else account.seconds,
        "reached": len(rows),
        "decided": sum(row.verdict != ALIKE for row in rows),
        "listed": 0 if account is None else len(account.rows),
        "stopping": bool(account is not None and account.stopping),
        "path": 0 if account is None else len(account.path),
        "default": result["gains"].get("default_mlp", {}).get(result["metric"], {}).get("verdict", ""),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--json", type=Path, help="a file to which each line is added")
    asked = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
            found.append(measured(table, asked.budget, Path(folder)))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
            if asked.json:
                with asked.json.open("a") as lines:
                    lines.write(json.dumps(found[-1]) + "\n")
    print(page(found, asked.budget))


def page(found: list[dict[str, Any]], budget: str) -> str:
    """The table of all, and what they come to together."""
    headings = [
        "table",
        "metric",
        "score",
        "trials",
        "seconds of it",
        "stopping",
        "choices tried",
        "decided",
        "steps of the path",
        "beside the default MLP",
    ]
    rows = [
        [
            each["table"],
            each["metric"],
            f"{each['score']:.4g}",
            each["trials"],
            f"{each['spent']:.1f}",
            "yes" if each["stopping"] else "no",
            f"{each['reached']} of {each['listed']}",
            each["decided"],
            max(0, each["path"] - 1),
            each["default"],
        ]
        for each in found
    ]
    reached, decided = (sum(each[name] for each in found) for name in ("reached", "decided"))
    better = sum(each["default"] == "better" for each in found)
    told = (
        f"With {budget}: {reached} choices tried, {decided} decided; the gain over the default MLP is beyond noise on "
    )
    return f"{markdown(headings, rows)}\n\n{told}{better} of {len(found)} sets.\n"


if __name__ == "__main__":
    main()
