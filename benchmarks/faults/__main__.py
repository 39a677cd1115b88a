"""`python -m benchmarks.faults`: train all set-ups (what the cache has is read), judge the rules, print the figures."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy

from benchmarks.faults import gallery
from benchmarks.faults.bare import BareTally, bare_tally
from benchmarks.faults.faulty import faulty
from benchmarks.faults.healthy import candidates, controls
from benchmarks.faults.judging import Made, Tally, tally
from benchmarks.faults.remedied import RemedyTally, remedies_tried
from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task, tasks
from benchmarks.faults.training import error_of, predicted, trained
from benchmarks.tables import SHARED

CACHE = Path("~/.cache/trimtab-benchmarks/faults").expanduser()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where trainings are kept")
    parser.add_argument(
        "--half", choices=("fresh", "figures", "thresholds"), default="fresh",
        help="which data sets: thresholds were set on one half, the figures of the other were looked at; fresh ones "
        "are neither",
    )  # fmt: skip
    parser.add_argument("--cached", action="store_true", help="only what was trained before; trains nothing")
    parser.add_argument("--remedies", action="store_true", help="apply the remedies, and train them too")
    parser.add_argument("--gallery", type=Path, metavar="FOLDER", help="write three logs of each fault there")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--verbose", action="store_true", help="name what was missed and mistaken")
    asked = parser.parse_args()
    if not (asked.data / "index.json").exists():
        print(f"There are no development sets in {asked.data}: only what is bundled and drawn is judged.", flush=True)
    made: list[Made] = []
    fits: dict[str, float] = {}
    known = [task for task in tasks(asked.data) if task.half == asked.half]
    by_name, turns = {task.name: task for task in known}, _turns(known)
    for task in known:
        made += _of_task(task, turns[task.name], by_name, asked.cache, fits, asked.cached)
        print(f"{task.name}: {len(made)} trainings so far", flush=True)
    counts = tally(made, fits)
    _print(counts, len(fits), verbose=asked.verbose)
    bare = bare_tally(made, fits)
    _print_bare(bare)
    tried = None
    if asked.remedies:
        tried = remedies_tried(made, fits, by_name, asked.cache, turns, is_cached=asked.cached)
    if tried is not None:
        _print_remedies(tried, verbose=asked.verbose)
    if asked.gallery:
        gallery.write(asked.gallery, made, fits)
    if asked.json:
        asked.json.write_text(json.dumps(_document(counts, bare, tried), indent=1))


def _turns(known: Sequence[Task]) -> dict[str, int]:
    """Which turn each data set has among those into which faults are put."""
    faulted = [task.name for task in known if task.has_faults]
    return {task.name: faulted.index(task.name) if task.has_faults else 0 for task in known}


def _of_task(
    task: Task, turn: int, known: dict[str, Task], cache: Path, fits: dict[str, float], is_cached: bool
) -> list[Made]:
    """All set-ups of a data set, trained; its tuned trainings' median training error goes into `fits`."""

    def at_hand(setups: list[Setup]) -> list[Setup]:
        return [each for each in setups if not is_cached or (cache / f"{each.key}.npz").exists()]

    tried = at_hand(candidates(task))
    if len(tried) < len(candidates(task)):
        return []
    records = trained(tried, known, cache)
    tuned = min(tried, key=lambda each: error_of(records[each.key], last=False))
    kept = float(records[tuned.key].kept or 0)
    faults = faulty(task, tuned, kept, turn=turn) if task.has_faults else ()
    setups = at_hand([*controls(task, tuned, kept), *faults])
    records = trained(setups, known, cache)
    good = [each for each in setups if each.severity == "tuned"]
    if not good:
        return []
    usual = {rows: _usual(rows, good, known, cache, at_hand) for rows in {setup.train for setup in setups}}
    fits[task.name] = float(numpy.median([_train_error(records[each.key]) for each in good]))
    return [
        Made(each, records[each.key], predicted(each.key, cache),
             error_of(records[each.key], last=each.last) / usual[each.train] - 1)
        for each in setups
    ]  # fmt: skip


def _usual(
    rows: int, good: Sequence[Setup], known: dict[str, Task], cache: Path, at_hand: Callable[[list[Setup]], list[Setup]]
) -> float:
    """What the tuned training comes to on so many rows: that a fault has fewer of them is none of its doing."""
    wanted = at_hand([replace(each, train=rows) for each in good])
    records = trained(wanted, known, cache)
    return float(numpy.median([error_of(records[each.key], last=False) for each in wanted]))


def _train_error(record) -> float:
    return float(record.train_metric[int(numpy.argmin(numpy.abs(record.epochs - record.kept)))])


def _print(counts: Tally, sets: int, *, verbose: bool) -> None:
    print(f"{sets} data sets, {sum(counts.shown.values())} faulty set-ups that show")
    print(f"precision {counts.precision:.3f}, recall {counts.recall:.3f}")
    print(f"false alarms: {counts.alarmed} of {counts.controls} healthy controls ({dict(counts.alarms)}); "
          f"{counts.not_healthy} more were no good trainings")  # fmt: skip
    print("| finding | found | mild | clear | gross | no harm, of them found | precision | mostly beside it |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in sorted(counts.shown):
        by = [f"{counts.hits_by[name, s]}/{counts.shown_by[name, s]}" if counts.shown_by[name, s] else "" for s in
              ("mild", "clear", "gross")]  # fmt: skip
        told = counts.right[name] + counts.wrong[name]
        beside = [f"{other} {n}" for other, n in counts.beside[name].most_common(4) if other != name][:3]
        print(f"| {name} | {counts.hits[name]}/{counts.shown[name]} | {' | '.join(by)} | {counts.hidden[name]}, "
              f"{counts.hidden_told[name]} | {counts.right[name]}/{told} | {', '.join(beside)} |")  # fmt: skip
    if verbose:
        print("missed", *sorted(counts.missed), sep="\n  ")
        print("mistaken", *sorted(counts.mistaken), sep="\n  ")


def _print_bare(counts: BareTally) -> None:
    print("\nof losses alone")
    print("| fault | set-ups | found | told as diverged, oscillating or too large a rate |")
    print("| --- | --- | --- | --- |")
    for name in sorted(counts.shown):
        print(f"| {name} | {counts.shown[name]} | {counts.hits[name]} | {counts.told[name]} |")
    print(f"false alarms: {counts.alarmed} of {counts.controls} healthy controls ({dict(counts.alarms)})")


def _print_remedies(tried: RemedyTally, *, verbose: bool) -> None:
    print("\nremedies, applied and trained again")
    print("| finding | tried | helped | error, median change |")
    print("| --- | --- | --- | --- |")
    for name in sorted(tried.helped):
        helped, change = tried.helped[name], float(numpy.median(tried.changes[name]))
        print(f"| {name} | {len(helped)} | {sum(helped)} | {change:+.0%} |")
    every = sum(map(len, tried.helped.values()))
    print(f"helped: {tried.share:.3f} of {every}")
    if verbose:
        print("tried", *sorted(tried.told), sep="\n  ")


def _document(counts: Tally, bare: BareTally, tried: RemedyTally | None) -> dict:
    return {
        "precision": counts.precision, "recall": counts.recall, "controls": counts.controls, "alarmed": counts.alarmed,
        "found": {name: [counts.hits[name], counts.shown[name]] for name in sorted(counts.shown)},
        "right": dict(counts.right), "wrong": dict(counts.wrong),
        "bare": {name: [bare.hits[name], bare.told[name], bare.shown[name]] for name in sorted(bare.shown)},
        "remedies": {} if tried is None else
        {name: [sum(helped), len(helped)] for name, helped in sorted(tried.helped.items())},
    }  # fmt: skip


if __name__ == "__main__":
    main()
