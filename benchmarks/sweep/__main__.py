"""How fast and how good is `tt.sweep` as a finder of learning rates?

    python -m benchmarks.sweep --quick
    python -m benchmarks.sweep --json benchmarks/sweep/sweep.json
    python -m benchmarks.sweep --parts finder --names concrete,kin8nm

Prints Markdown as it stands in RESULTS.md; a benchmark that was interrupted goes on with the tables that are missing in
the JSON file. The parts: time (beside the plain loop), finder (full trainings at the rates
that trimtab, Lightning and fastai's rules suggest, on the regression tables of --data; draws
benchmarks/figures/learning_rates.png).
"""

import argparse
from pathlib import Path

from benchmarks.page import machine
from benchmarks.sweep import figures, seconds, verdict
from benchmarks.sweep.document import Document
from benchmarks.sweep.rows import Rows
from benchmarks.sweep.standing import Standing, standing_of
from benchmarks.sweep.terms import Terms
from benchmarks.tables import SHARED, read_tables
from trimtab.machine import cores

PARTS = ("time", "finder")
QUICK_TABLES = ["concrete", "energy", "mpg"]


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
    document = Document(options.json)
    if "time" in parts:
        times = seconds.times_of(terms)
        print(f"\n### time\n\n{seconds.page(times, terms)}", flush=True)
        document.put("time", {"machine": machine(terms.threads).splitlines()[0], **times.to_json()})
    if "finder" in parts:
        standings = _standings(options, terms, document)
        print(f"\n### finder\n\n{verdict.page(standings, terms)}", flush=True)
        if not terms.is_quick:
            print(f"\nThe picture: {figures.save(standings)}")


def _standings(options: argparse.Namespace, terms: Terms, document: Document) -> list[Standing]:
    """Those of the tables asked for; what the file holds on the same terms is not measured again."""
    names = options.names.split(",") if options.names else QUICK_TABLES if terms.is_quick else None
    tables = [table for table in read_tables(options.data, names) if table.is_regression]
    on_terms = {"epochs": terms.epochs, "grid": terms.rates}
    before = document.get("finder")
    known = {entry["table"]: entry for entry in before["tables"]} if before.get("terms") == on_terms else {}
    where = machine(terms.threads).splitlines()[0]
    for table in sorted(tables, key=lambda table: table.frame.height):
        if options.again or table.name not in known:
            known[table.name] = standing_of(Rows.of(table), terms).to_json() | {"machine": where}
            document.put("finder", {"terms": on_terms, "tables": list(known.values())})
    return [Standing.from_json(known[table.name]) for table in tables]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rates, epochs, tables and turns")
    parser.add_argument("--parts", default="all", help=f"all (default), or a list of: {', '.join(PARTS)}")
    parser.add_argument("--names", default="", help="tables: a,b (default: every regression table)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, each table's as it is done")
    parser.add_argument("--again", action="store_true", help="measure also the tables that the JSON file already holds")
    parser.add_argument("--threads", type=int, default=cores(), help="for the sweep; the most for the loop")
    return parser


if __name__ == "__main__":
    main()
