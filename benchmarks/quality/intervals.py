"""Do intervals and sets of classes hold the truth as often as they say, on the test rows of the development sets?

    python -m benchmarks.quality.intervals --budget 15s
    python -m benchmarks.quality.intervals --budget 15s --splits 5 --tables concrete,glass

Beside coverage: how wide intervals are, next to those of one width for all rows from the same errors; and how many
classes a set holds. Knows no other models.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy

import trimtab as tt
from benchmarks.page import table as markdown
from benchmarks.page import verdict
from benchmarks.tables import SHARED, SMALL, Table, read_tables
from trimtab.model.calibration import Calibration

SHARES = (0.5, 0.8, 0.9, 0.95)
# What coverage may be off by, and two standard errors of the test part beside it.
OFF = 0.02


def measured(table: Table, split: int, budget: str, folder: Path) -> dict[str, Any]:
    """Coverage of each share on the test rows of one split."""
    train, test = table.typed_split(split)
    study = tt.tune(train, target=table.target, budget=budget, test="none", out=folder / f"{table.name}-{split}")
    model = study.model
    raw, _ = model.raw(test)
    truth = model.target.truth(test)
    known = numpy.isfinite(truth.reshape(len(test), -1)).all(axis=1)
    raw, truth = raw[known], truth[known]
    assert model.calibration is not None
    held: dict[str, float] = {}
    sizes: dict[str, float] = {}
    plain = None if model.task == "classification" else _of_one_width(study, model.calibration)
    for share in SHARES:
        if plain is None:
            sets = model.calibration.sets(raw, share)
            held[str(share)] = float(sets[numpy.arange(len(raw)), truth.astype(int)].mean())
            sizes[str(share)] = float(sets.sum(axis=1).mean())
        else:
            low, high = model.calibration.bounds(raw, share)
            held[str(share)] = float(((low <= truth) & (truth <= high)).mean())
            plain_low, plain_high = plain.bounds(raw, share)
            sizes[str(share)] = float((high - low).mean() / (plain_high - plain_low).mean())
    return {"table": table.name, "split": split, "rows": len(raw), "task": model.task, "held": held, "sizes": sizes}


def _of_one_width(study: Any, known: Calibration) -> Calibration:
    """Intervals from the same errors, each as wide as any other."""
    rows = study.predictions.filter(part="validation")
    told, truth = (rows[name].to_numpy().astype(float).reshape(-1, 1) for name in ("prediction", "truth"))
    # Where all rows are predicted alike there is one size of errors.
    errors = Calibration.of_numbers(
        numpy.zeros_like(told), truth - told, numpy.ones(len(told)), numpy.arange(len(told))
    )
    assert errors is not None
    flat = errors.targets[0].model_copy(update={"at": (0.0,), "sizes": errors.targets[0].sizes[:1]})
    return known.model_copy(update={"targets": (flat,)})


def page(found: list[dict[str, Any]]) -> str:
    """A line for each table, its splits pooled."""
    shares = [f"{share:.0%} hold" for share in SHARES]
    head = ["table", "splits", "test rows", *shares, "within", "width, or classes at 90 %"]
    lines = []
    for name in dict.fromkeys(each["table"] for each in found):
        own = [each for each in found if each["table"] == name]
        rows = sum(each["rows"] for each in own)
        held = {s: sum(each["held"][str(s)] * each["rows"] for each in own) / rows for s in SHARES}
        off = {s: OFF + 2 * math.sqrt(s * (1 - s) / rows) for s in SHARES}
        # A set always holds the likeliest class, and may hold the truth more often than was asked.
        is_class = own[0]["task"] == "classification"
        is_within = all(held[s] >= s - off[s] and (is_class or held[s] <= s + off[s]) for s in SHARES)
        size = float(numpy.mean([each["sizes"]["0.9"] for each in own]))
        lines.append([name, len(own), rows, *(f"{held[s]:.1%}" for s in SHARES), verdict(is_within), f"{size:.2f}"])
    return markdown(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--budget", default="15s")
    parser.add_argument("--splits", type=int, default=1, help=f"of tables below {SMALL:,} rows, so many")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--json", type=Path, help="a file to which each line is added; what it holds is not run again")
    asked = parser.parse_args()
    found = [] if asked.json is None or not asked.json.exists() else list(map(json.loads, asked.json.open()))
    done = {(each["table"], each["split"]) for each in found}
    with tempfile.TemporaryDirectory() as folder:
        for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
            for split in table.splits[: asked.splits]:
                if (table.name, split) in done:
                    continue
                found.append(measured(table, split, asked.budget, Path(folder)))
                print(found[-1], file=sys.stderr, flush=True)
                if asked.json is not None:
                    with asked.json.open("a") as lines:
                        lines.write(json.dumps(found[-1]) + "\n")
    print(page(found))


if __name__ == "__main__":
    main()
