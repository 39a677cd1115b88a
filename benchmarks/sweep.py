"""How fast and how good is `tt.sweep` as a finder of learning rates?

    python benchmarks/sweep.py --quick
    python benchmarks/sweep.py --json benchmarks/sweep.json
    python benchmarks/sweep.py --parts finder --names concrete,kin8nm

Prints Markdown as it stands in RESULTS.md. The parts: time (beside the plain loop), finder (full trainings at the rates
that trimtab, Lightning and fastai's rules suggest, on the regression tables of --data; draws
benchmarks/figures/learning_rates.png).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import sweep_figures
import sweep_time
import sweep_verdict
from engine_page import machine
from sweep_rows import Rows
from sweep_standing import Standing, standing_of
from sweep_terms import Terms
from tables import read_tables
from trimtab.machine import cores

PARTS = ("time", "finder")
QUICK_TABLES = ["concrete", "energy", "mpg"]
DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    parts = PARTS if options.parts == "all" else options.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts takes all, or a list of: {', '.join(PARTS)}")
    if "finder" in parts and not (options.data / "index.json").exists():
        parser.error(f"{options.data} holds no tables (no index.json): give --data, or --parts time")
    terms = Terms(is_quick=options.quick, threads=options.threads)
    print(machine(terms.threads), flush=True)
    document = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    if "time" in parts:
        times = sweep_time.times_of(terms)
        print(f"\n### time\n\n{sweep_time.page(times, terms)}", flush=True)
        document["time"] = {"machine": machine(terms.threads), **times.to_json()}
        _write(options.json, document)
    if "finder" in parts:
        standings = []
        for standing in _standings(options, terms):
            standings.append(standing)
            document["finder"] = {"machine": machine(terms.threads), "tables": [each.to_json() for each in standings]}
            _write(options.json, document)
        print(f"\n### finder\n\n{sweep_verdict.page(standings, terms)}", flush=True)
        if not terms.is_quick:
            print(f"\nThe picture: {sweep_figures.save(standings).name}")


def _standings(options: argparse.Namespace, terms: Terms) -> Iterator[Standing]:
    names = options.names.split(",") if options.names else QUICK_TABLES if terms.is_quick else None
    for table in read_tables(options.data, names):
        if table.is_regression:
            yield standing_of(Rows.of(table), terms)


def _write(file: Path | None, document: dict) -> None:
    if file is not None:
        file.write_text(json.dumps(document, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rates, epochs, tables and turns")
    parser.add_argument("--parts", default="all", help=f"all (default), or a list of: {', '.join(PARTS)}")
    parser.add_argument("--names", default="", help="tables: a,b (default: every regression table)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there; other parts' stay in it")
    parser.add_argument("--threads", type=int, default=cores(), help="for the sweep; the most for the loop")
    return parser


if __name__ == "__main__":
    main()
