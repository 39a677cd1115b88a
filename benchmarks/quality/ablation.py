"""What each part of what trimtab does is worth: the same fit without it, on the same rows, in the same time.

python -m benchmarks.quality.ablation --budget 15 --splits 3 --json ablation.jsonl

A part is taken away by options of `trimtab fit`, so that the search does its best without it. What it is worth is the
mean over tables of the logarithm of error without it / error with it; the interval is of 10,000 resamples of tables,
splits within them, with and without in pairs. Whatever finished is appended to the JSON file, and not measured again.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy

from benchmarks.kept import add_line, read_lines
from benchmarks.page import table as markdown
from benchmarks.quality.measure import tested
from benchmarks.tables import SHARED, SMALL, Table, read_tables

WITH = "everything"
# What is taken away, by which options; those of regression alone leave classes as they are.
PARTS: Mapping[str, tuple[str, bool]] = {
    WITH: ("", False),
    "nearest training rows": ("--no-neighbours", False),
    "means of several trials": ("--single", False),
    "waves and bins of numbers": ("--inputs scaled", False),
    "rates that fall": ("--schedule constant", False),
    "dropout and weight decay": ("--dropout 0 --weight-decay 0", False),
    "other optimizers than AdamW": ("--optimizer adamw", False),
    "other losses than squared errors": ("--loss mse", True),
}
RESAMPLES = 10_000


def measured(table: Table, split: int, part: str, budget: float) -> dict:
    found = tested(table, split, ["--budget", f"{budget:g}s", *PARTS[part][0].split()]).scores
    return {"ds": table.name, "split": split, "part": part, "budget": budget, "error": found[table.metric]}


def worth(lines: Sequence[dict], part: str) -> tuple[float, float, float, int, int]:
    """The mean relative change of the error without a part, its 95 % interval, and how many tables of how many lose."""
    pairs: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if line["part"] in (part, WITH):
            pairs[line["ds"]][line["split"]][line["part"]] = line["error"]
    logs = [
        numpy.array([numpy.log(found[part] / found[WITH]) for found in by_split.values() if len(found) == 2])
        for by_split in pairs.values()
    ]
    logs = [each for each in logs if len(each)]
    rng = numpy.random.default_rng(0)
    resampled = [
        numpy.mean([rng.choice(logs[i], len(logs[i])).mean() for i in rng.integers(0, len(logs), len(logs))])
        for _ in range(RESAMPLES)
    ]
    low, high = numpy.quantile(resampled, (0.025, 0.975))
    means = numpy.array([each.mean() for each in logs])
    middle, low, high = (float(numpy.expm1(value)) for value in (means.mean(), low, high))
    return middle, low, high, int((means > 0).sum()), len(means)


def page(lines: Sequence[dict]) -> str:
    rows = []
    for part, (options, _) in PARTS.items():
        if part == WITH or not any(line["part"] == part for line in lines):
            continue
        middle, low, high, losing, count = worth(lines, part)
        rows.append([part, f"`{options}`", f"{middle:+.1%} [{low:+.1%}, {high:+.1%}]", f"{losing} of {count}"])
    return markdown(["without", "options", "error", "tables that lose"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--budget", type=float, default=15, help="seconds for each fit")
    parser.add_argument("--splits", type=int, default=1, help="how many splits of each table")
    parser.add_argument("--names", type=lambda text: text.split(","), help=f"tables (default: below {SMALL} rows)")
    parser.add_argument("--parts", type=lambda text: text.split(","), help="these parts alone")
    parser.add_argument("--json", type=Path, default=Path("ablation.jsonl"), help="file of what was measured")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the tables")
    asked = parser.parse_args()
    tables = read_tables(asked.data, asked.names)
    tables = tables if asked.names else [table for table in tables if table.frame.height < SMALL]
    lines = [line for line in read_lines(asked.json) if line["budget"] == asked.budget]
    done = {(line["ds"], line["split"], line["part"]) for line in lines}
    for split in range(asked.splits):
        for table in tables:
            for part, (_, of_numbers) in PARTS.items():
                is_asked = part == WITH or asked.parts is None or part in asked.parts
                if not is_asked or (of_numbers and not table.is_regression) or (table.name, split, part) in done:
                    continue
                line = measured(table, split, part, asked.budget)
                lines.append(line)
                add_line(asked.json, line)
                print(
                    f"{table.name} {split}, {'with' if part == WITH else 'without'} {part}: {line['error']:.4g}",
                    flush=True,
                )
    print(page(lines))


if __name__ == "__main__":
    main()
