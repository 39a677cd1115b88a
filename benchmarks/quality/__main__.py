"""How good is what trimtab finds? `trimtab fit` on 18 real tables, beside what others reach on the same splits.

    python -m benchmarks.quality --budget 60 --names concrete,adult --splits 0 --json quality.jsonl

Each split that finishes is appended to the JSON file, so a benchmark that was interrupted goes on with what is missing
(--again measures anew). Ends with the Markdown page that stands in RESULTS.md.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.kept import add_line, read_lines
from benchmarks.quality.measure import Fit, tested
from benchmarks.quality.peers import REFITTED, predict_as, read_peers
from benchmarks.quality.scores import losses, relative_difference, scores
from benchmarks.quality.verdict import markdown, standings
from benchmarks.tables import SHARED, Table, read_tables


def measure_split(table: Table, split: int, options: argparse.Namespace) -> dict:
    """One line: what trimtab reaches on a split, what it took, and how it stands to the refitted peers."""
    flags = ["--budget", f"{options.budget:g}s", *(["--threads", str(options.threads)] if options.threads else [])]
    found = tested(table, split, [*flags, *options.fit_options.split()])
    ours = losses(found.outputs, found.truth, found.labels)
    line: dict[str, Any] = {
        "ds": table.name,
        "split": split,
        "model": "trimtab",
        "sec": round(found.fitted.seconds, 2),
        "threads": options.threads or len(os.sched_getaffinity(0)),
        **found.scores,
        "budget": options.budget,
        **_figures_of(found.fitted),
        "versus": {},
        "refitted": {},
    }
    train, test = table.split(split)
    for peer in REFITTED:
        theirs = predict_as(peer, table, train, test)
        interval = relative_difference(
            ours, losses(theirs, found.truth, found.labels), is_regression=table.is_regression
        )
        line["versus"][peer] = [round(bound, 4) for bound in interval]
        line["refitted"][peer] = scores(theirs, found.truth, found.labels)[table.metric]
    return line


def _figures_of(fitted: Fit) -> dict:
    summary = fitted.summary
    return {
        "first_weights_sec": None if fitted.first_weights is None else round(fitted.first_weights, 2),
        "first_trial_sec": None if fitted.first_trial is None else round(fitted.first_trial, 2),
        "peak_mib": round(fitted.peak_memory),
        "trials": summary["trials"],
        "runs": summary["runs"],
        "test": summary["test"],
        "validation": summary["validation"],
        "config": summary["config"],
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", type=float, default=60, help="seconds for each fit")
    parser.add_argument("--names", type=lambda text: text.split(","), help="tables: a,b (default: all)")
    parser.add_argument("--splits", type=_numbers, help="splits: 0 or 0-4 (default: 0; 0-4 below 2,000 rows)")
    parser.add_argument("--threads", type=int, help="threads for each fit (default: what trimtab takes)")
    parser.add_argument("--json", type=Path, help="file that each finished split is appended to")
    parser.add_argument("--again", action="store_true", help="measure also what the JSON file already holds")
    parser.add_argument("--fit-options", default="", help="more options for trimtab fit, in one string")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the tables")
    parser.add_argument("--markdown", type=Path, help="file for the page (it is always printed)")
    return parser.parse_args()


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    options = parse_arguments()
    tables = read_tables(options.data, options.names)
    lines = [line for line in read_lines(options.json) if line["budget"] == options.budget]
    done = set() if options.again else {(line["ds"], line["split"]) for line in lines}
    failures = []
    for table in tables:
        for split in table.splits if options.splits is None else options.splits:
            if (table.name, split) in done:
                continue
            try:
                line = measure_split(table, split, options)
            except RuntimeError as error:
                failures.append(str(error))
                print(error, file=sys.stderr, flush=True)
                continue
            lines.append(line)
            print(f"{table.name} {split}: {table.metric} {line[table.metric]:.4g} in {line['sec']:.0f} s", flush=True)
            add_line(options.json, line)
    page = markdown(standings(tables, lines, read_peers(options.data / "peers.jsonl")))
    print(page)
    if options.markdown is not None:
        options.markdown.write_text(page)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
