"""How soon is a network as good as the usual tool finds it? trimtab with budgets of some seconds beside an Optuna
search around a plain PyTorch MLP that has minutes (see `optuna_mlp`), on the smallest tables.

python -m benchmarks.quality.over_time --json over_time.jsonl

Whatever finished is appended to the JSON file, and not measured again. Ends with a Markdown page, and draws the curves
of both to `benchmarks/figures/over_time.png`.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.engine.figures import COLOURS, FOLDER
from benchmarks.kept import add_line, read_lines
from benchmarks.page import table as markdown
from benchmarks.quality.measure import tested
from benchmarks.quality.optuna_mlp import best_so_far, search
from benchmarks.tables import SHARED, Table, read_tables

SMALLEST = 8
BUDGETS, MINUTES = (8, 15, 60), 300
# Within so many seconds, on at least so many of the tables.
WANTED = ((15, 7), (8, 5))
Line = dict


def ours(table: Table, budget: int) -> Line:
    found = tested(table, 0, ["--budget", f"{budget}s"])
    point = [found.fitted.seconds, found.scores[table.metric]]
    return {"ds": table.name, "model": "trimtab", "budget": budget, "curve": [point]}


def theirs(table: Table, seconds: int) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        found = search(table, 0, seconds, Path(folder))
    return {
        "ds": table.name, "model": "optuna", "budget": seconds, "trials": len(found),
        "curve": [list(point) for point in best_so_far(found)],
    }  # fmt: skip


def page(lines: Sequence[Line]) -> str:
    by_table = _by_table(lines)
    head = ["table", f"Optuna, {MINUTES} s", "its trials that ended", *(f"trimtab, {budget} s" for budget in BUDGETS)]
    rows, counts = [], dict.fromkeys(BUDGETS, 0)
    for name, found in by_table.items():
        if len(found) < len(BUDGETS) + 1:
            continue
        last = found["optuna", MINUTES]
        target = last["curve"][-1][1]
        row: list[str | float] = [name, target, str(last["trials"])]
        for budget in BUDGETS:
            score = found["trimtab", budget]["curve"][-1][1]
            counts[budget] += score <= target
            row.append(f"**{score:.4g}**" if score <= target else f"{score:.4g}")
        rows.append(row)
    wanted = dict(WANTED)
    said = [
        f"- at least as good as Optuna after {MINUTES} s within {budget} s: {count} of {len(rows)}"
        + (f" ({wanted[budget]} asked)" if budget in wanted else "")
        for budget, count in counts.items()
    ]
    return "\n".join([markdown(head, rows), "", *said])


def draw(lines: Sequence[Line]) -> Path:
    """The test score of the best so far over time: a panel for each table."""
    by_table = _by_table(lines)
    columns = 4
    figure, grid = pyplot.subplots(
        -(-len(by_table) // columns), columns, figsize=(12, 2.9 * -(-len(by_table) // columns)), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes in grid.flat[len(by_table) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(grid.flat, by_table.items(), strict=False):
        _draw(axes, name, found)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "over_time.png"
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file


def _draw(axes: Axes, name: str, found: dict[tuple[str, int], Line]) -> None:
    points = sorted(line["curve"][-1] for (model, _), line in found.items() if model == "trimtab")
    axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[0], label="trimtab, a fit of each budget")
    if ("optuna", MINUTES) in found:
        curve = found["optuna", MINUTES]["curve"]
        times, values = zip(*[*curve, (MINUTES, curve[-1][1])], strict=True)
        axes.step(times, values, where="post", color=COLOURS[1], label="Optuna around a plain MLP, its best so far")
        ends = [value for _, value in points] + [value for when, value in curve if when > BUDGETS[0]] + [curve[-1][1]]
        room = 0.15 * (max(ends) - min(ends)) + 1e-9
        axes.set_ylim(min(ends) - room, max(ends) + room)
    axes.set_xscale("log")
    axes.set_xlim(3, MINUTES)
    axes.set_xticks([5, 15, 60, MINUTES], ["5", "15", "60", f"{MINUTES} s"])
    axes.set_xticks([], minor=True)
    axes.set_title(name, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _by_table(lines: Sequence[Line]) -> dict[str, dict[tuple[str, int], Line]]:
    found: dict[str, dict[tuple[str, int], Line]] = defaultdict(dict)
    for line in lines:
        found[line["ds"]][line["model"], line["budget"]] = line
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", type=Path, default=Path("over_time.jsonl"), help="file of what was measured")
    parser.add_argument("--names", type=lambda text: text.split(","), help=f"tables (default: the {SMALLEST} smallest)")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the tables")
    asked = parser.parse_args()
    tables = sorted(read_tables(asked.data, asked.names), key=lambda table: table.frame.height)
    tables = tables if asked.names else tables[:SMALLEST]
    lines = read_lines(asked.json)
    done = {(line["ds"], line["model"], line["budget"]) for line in lines}
    todo = [(table, "trimtab", budget) for table in tables for budget in BUDGETS]
    todo += [(table, "optuna", MINUTES) for table in tables]
    for table, model, budget in todo:
        if (table.name, model, budget) in done:
            continue
        line = ours(table, budget) if model == "trimtab" else theirs(table, budget)
        lines.append(line)
        add_line(asked.json, line)
        print(f"{table.name}, {model}, {budget} s: {line['curve'][-1][1]:.4g}", flush=True)
    print(page(lines))
    print(draw(lines))


if __name__ == "__main__":
    main()
