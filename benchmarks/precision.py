"""Do products in bfloat16 cost score? `trimtab fit --precision auto` beside `--precision high` on real tables.

    python benchmarks/precision.py --names power_plant,california,adult --trials 12 --width 256

The same trials to begin with, on the same rows; which way the check on the first rounds went stands beside the scores.
Prints Markdown as it stands in RESULTS.md.
"""

import argparse
import tempfile
from pathlib import Path

from engine_page import machine, table
from measure import Fit, fit
from tables import Table, read_tables
from trimtab.machine import cores

WAYS = ("high", "auto")


def main() -> None:
    options = _arguments()
    print(machine(options.threads), flush=True)
    rows = [_row(each, options) for each in read_tables(options.data, options.names)]
    head = [
        "table", "metric", "validation, float32", "validation, auto", "test, float32", "test, auto",
        "steps in bfloat16", "compiled", "s, float32", "s, auto",
    ]  # fmt: skip
    print(f"\n{table(head, rows)}")


def _row(each: Table, options: argparse.Namespace) -> list[str | float | int]:
    high, auto = (_fit(each, way, options) for way in WAYS)
    return [
        each.name,
        high.summary["metric"],
        _score(high, "validation"),
        _score(auto, "validation"),
        f"{_score(high, 'test')} {_interval(high)}",
        f"{_score(auto, 'test')} {_interval(auto)}",
        f"{auto.summary['engine']['bfloat16_share']:.0%}",
        f"{auto.summary['engine']['compiled_share']:.0%}",
        high.seconds,
        auto.seconds,
    ]


def _fit(each: Table, precision: str, options: argparse.Namespace) -> Fit:
    flags = {
        "precision": precision, "trials": options.trials, "width": options.width, "batch-size": options.batch_size,
        "threads": options.threads, "budget": options.budget,
    }  # fmt: skip
    train, test = each.split(0)
    with tempfile.TemporaryDirectory() as folder:
        return fit(each, train, test, Path(folder), [x for k, v in flags.items() for x in (f"--{k}", str(v))])


def _score(fitted: Fit, part: str) -> str:
    figures = fitted.summary[part]
    return f"{figures[fitted.summary['metric']]:.4g}"


def _interval(fitted: Fit) -> str:
    low, high = fitted.summary["interval"]
    return f"[{low:.4g}, {high:.4g}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=lambda text: text.split(","), default=["power_plant", "california", "adult"])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--budget", default="30m", help="no fit takes longer")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    return parser.parse_args()


if __name__ == "__main__":
    main()
