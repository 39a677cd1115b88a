"""Findings about tables and searches, against tables and searches whose truth is known.

    python -m benchmarks.faults.data [--set-ups 40] [--controls 300] [--only ID] [--show-missed]

Healthy tables are drawn by many laws; faulty ones are healthy ones with one fault put in, from mild to gross. What
comes of it: for each id how many of its set-ups were found, what else was claimed, and of how many healthy tables
anything was claimed. Seeds of set-ups that are shown are even, those by which thresholds were chosen odd (--tuning).
"""

import argparse
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
import polars

from benchmarks.faults.laws import healthy_table, predictions_of
from trimtab.findings.checked import together
from trimtab.findings.data.amount import evaluation_too_noisy, too_few_to_judge, too_little_data
from trimtab.findings.data.before_training import before_training
from trimtab.findings.data.copies import copies_among
from trimtab.findings.data.label_noise import label_noise
from trimtab.findings.data.representative import differs_from_others
from trimtab.findings.data.scaling import unscaled_inputs, unscaled_target
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Findings
from trimtab.findings.search import Compared, SearchRecord, checks
from trimtab.knobs.domains import HIGH
from trimtab.table.prepare import prepare
from trimtab.tuning.notices import Edge
from trimtab.tuning.standing import ALIKE, BETTER, WORSE, Gain

Generator = numpy.random.Generator
MILD_TO_GROSS = 5


@dataclass(frozen=True)
class SetUp:
    """One table or search: what is said of it, how gross the fault is (0 mild, 4 gross), and what else is true."""

    judged: Findings
    severity: int = 0
    companions: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


# -- tables


def looked_at(frame: polars.DataFrame, *, metric: str = "", seconds: float = 60.0, **options: Any) -> Findings:
    """All that is said of a table: before training, of predictions out of fold, and of test rows."""
    prepared = prepare(frame, target="y", **options)
    before = before_training(prepared, metric=metric, seconds=seconds)
    record = TableRecord.of_prepared(prepared, with_test=True)
    after = together([
        label_noise(record, predictions_of(record)), differs_from_others(record), copies_among(record),
    ])  # fmt: skip
    return Findings(before.found + after.found, before.healthy + after.healthy, before.not_checked + after.not_checked)


def small_parts(rows: int) -> tuple[str, ...]:
    """A fifth of so few rows is known to tell the score roughly: a true statement, whatever else is wrong."""
    return ("evaluation_too_noisy",) if rows < 1_400 else ()


def control(generator: Generator, index: int) -> SetUp:
    table = healthy_table(generator)
    rows = table.frame.height
    options: dict[str, Any] = {}
    if index % 6 == 4:
        options["split"] = "time:when"
    if index % 6 == 5:
        options["split"] = "group:customer"
    findings = looked_at(table.frame, **options)
    return SetUp(findings, companions=small_parts(rows), about={"rows": rows, **table.about, **options})


def control_of_tensors(generator: Generator, index: int) -> SetUp:
    rows, columns = int(generator.choice([100, 1000])), int(generator.integers(1, 30))
    inputs = generator.normal(size=(rows, columns)) * generator.uniform(0.5, 2, columns) + generator.uniform(
        -1, 1, columns
    )
    target = inputs[:, 0] * generator.uniform(0.3, 3) + generator.normal(size=rows)
    record = TableRecord.of_arrays(inputs, target)
    return SetUp(together([unscaled_inputs(record), unscaled_target(record)]))


def unscaled_inputs_in(generator: Generator, severity: int) -> SetUp:
    rows, columns = int(generator.choice([100, 1000])), int(generator.integers(2, 20))
    inputs = generator.normal(size=(rows, columns))
    size = [20, 50, 100, 1e3, 1e5][severity]
    where = generator.integers(columns)
    if generator.random() < 0.5:
        inputs[:, where] *= size
    else:
        inputs[:, where] += size
    record = TableRecord.of_arrays(inputs, generator.normal(size=rows))
    return SetUp(together([unscaled_inputs(record), unscaled_target(record)]), severity)


def unscaled_target_in(generator: Generator, severity: int) -> SetUp:
    inputs = generator.normal(size=(int(generator.choice([100, 1000])), 5))
    target = inputs[:, 0] + generator.normal(size=len(inputs))
    size = [40, 60, 100, 1e3, 1e6][severity]
    target = target * size if generator.random() < 0.5 else target + size
    record = TableRecord.of_arrays(inputs, target)
    return SetUp(together([unscaled_inputs(record), unscaled_target(record)]), severity)


def unlike_parts(generator: Generator, severity: int) -> SetUp:
    """Test or validation rows with a column that moved, or a mixture of labels that is another."""
    table = healthy_table(generator)
    frame, rows = table.frame, table.frame.height
    part = numpy.array(["train", "valid", "test"])[generator.choice(3, rows, p=[0.6, 0.2, 0.2])]
    which, shift = str(generator.choice(["valid", "test"])), [0.5, 0.75, 1.0, 1.5, 3.0][severity]
    moved = part == which
    numbers = [name for name in frame.columns if name.startswith("number")]
    for name in numbers[: 1 + int(generator.integers(2))]:
        values = frame[name].to_numpy().copy()
        values[moved] += shift * numpy.nanstd(values)
        frame = frame.with_columns(polars.Series(name, values))
    findings = looked_at(frame.with_columns(polars.Series("part", part)), split="part")
    return SetUp(findings, severity, small_parts(rows), {"which": which, "shift": shift})


def ignored_time(generator: Generator, severity: int) -> SetUp:
    """A level that wanders with time, of which rows near in time share most, and rows drawn by chance."""
    table = healthy_table(generator, task="regression")
    frame = table.frame.sort("when")
    steps = numpy.cumsum(generator.normal(size=frame.height))
    level = (steps - steps.mean()) / steps.std()
    spread = float(frame["y"].std())  # type: ignore[arg-type]
    frame = frame.with_columns(y=polars.col("y") + polars.Series(level * spread * [0.5, 1, 1.5, 2, 4][severity]))
    return SetUp(looked_at(frame), severity, small_parts(frame.height))


def ignored_groups(generator: Generator, severity: int) -> SetUp:
    """Customers with a level of their own that other columns give away, and rows drawn by chance."""
    table = healthy_table(generator, task="regression")
    frame, size = table.frame, [0.5, 1, 1.5, 2, 4][severity]
    customers = frame["customer"].n_unique()
    number = frame["customer"].rank("dense").to_numpy().astype(int) - 1
    level, mark = generator.normal(size=customers), generator.normal(size=customers)
    spread = float(frame["y"].std())  # type: ignore[arg-type]
    frame = frame.with_columns(
        y=polars.col("y") + polars.Series(level[number] * spread * size), mark=polars.Series(mark[number])
    )
    return SetUp(looked_at(frame), severity, small_parts(frame.height))


def leaking(generator: Generator, severity: int) -> SetUp:
    """A copy of the target with less and less noise: some monotone function of it, or a label made from it."""
    table = healthy_table(generator, most_signal=0.7)
    frame = table.frame
    truth = frame["y"].rank("average").to_numpy() if table.is_regression else frame["y"].rank("dense").to_numpy()
    truth = (truth - truth.mean()) / truth.std()
    noise = [0.2, 0.15, 0.1, 0.03, 0.0][severity]
    if table.is_regression:
        leak = truth + noise * generator.normal(size=len(truth))
        frame = frame.with_columns(settled=polars.Series(numpy.exp(leak) if generator.random() < 0.5 else leak))
    else:
        labels = frame["y"].to_numpy().copy()
        swapped = generator.random(len(labels)) < noise / 15
        labels[swapped] = generator.permutation(labels)[swapped]
        frame = frame.with_columns(settled=polars.Series([f"was {label}" for label in labels]))
    # Where the leak was swapped, the label is another than it says.
    return SetUp(looked_at(frame), severity, (*small_parts(frame.height), "label_noise"))


def knowing_the_future(generator: Generator, severity: int) -> SetUp:
    table = healthy_table(generator, task="regression")
    frame = table.frame.sort("when")
    y = frame["y"].to_numpy()
    width = [7, 5, 3, 3, 1][severity]
    made = numpy.convolve(y, numpy.ones(width) / width, mode="same") if width > 1 else numpy.append(y[1:], y[-1])
    split = "time:when" if generator.random() < 0.5 else "random"
    return SetUp(looked_at(frame.with_columns(smooth=polars.Series(made)), split=split), severity,
                 small_parts(frame.height))  # fmt: skip


def with_copies(generator: Generator, severity: int) -> SetUp:
    """Copies that a dropped column, or given folds, put on both sides; with the same target or another."""
    table = healthy_table(generator)
    frame = table.frame
    share = [0.03, 0.05, 0.1, 0.3, 0.6][severity]
    copied = frame[generator.choice(frame.height, int(share * frame.height), replace=False)]
    if generator.random() < 0.3:
        copied = copied.with_columns(polars.Series("y", generator.permutation(copied["y"].to_numpy())))
    both = polars.concat([frame, copied])
    both = both.with_columns(note=polars.Series([f"note {i} of a visitor who came by" for i in range(both.height)]))
    both = both[generator.permutation(both.height)]
    # Each copy is a share of itself and of its twin: half of the pairs are in one fold or in the test.
    companions = ("leakage",) if share > 0.5 else ()
    return SetUp(looked_at(both), severity, (*small_parts(both.height), *companions))


def wrongly_labelled(generator: Generator, severity: int) -> SetUp:
    """Classes that were swapped, numbers with a slipped point, a lost sign or those of another row."""
    share = [0.03, 0.05, 0.08, 0.12, 0.2][severity]
    is_class = generator.random() < 0.5
    # What is wrong can be told only where it is mostly clear what is right: classes lie apart, and noise is small.
    options: dict[str, Any] = (
        {"task": "classification", "least_signal": 0.97, "most_signal": 0.999, "apart": 0.5}
        if is_class else {"task": "regression", "least_signal": 0.8, "most_signal": 0.95}
    )  # fmt: skip
    table = healthy_table(generator, fewest_rows=1_500, most_numbers=4, **options)
    frame, y = table.frame, table.frame["y"].to_numpy().copy()
    if is_class:
        wrong = generator.random(len(y)) < share
        labels = numpy.unique(y)
        y[wrong] = [generator.choice(labels[labels != label]) for label in y[wrong]]
    else:
        wrong = generator.random(len(y)) < share / 5
        wrong[:2] = True
        y[wrong] = y[wrong] * 10 + numpy.sign(y[wrong]) * 10 * y.std()
    return SetUp(looked_at(frame.with_columns(polars.Series("y", y))), severity, small_parts(frame.height),
                 {"share": share, "is_class": is_class})  # fmt: skip


def imbalanced(generator: Generator, severity: int) -> SetUp:
    table = healthy_table(generator, task="classification", classes=2)
    frame = table.frame
    metric, share = ("accuracy", [0.08, 0.06, 0.05, 0.03, 0.02][severity]) if generator.random() < 0.5 else ("", 0.0)
    rare = frame.filter(polars.col("y") == "class 1")
    others = frame.height - rare.height
    wanted = int(share / (1 - share) * others) if metric else [9, 8, 6, 4, 3][severity]
    frame = polars.concat([frame.filter(polars.col("y") != "class 1"), rare[: max(3, wanted)]])
    return SetUp(looked_at(frame, metric=metric), severity, (*small_parts(frame.height), "features_carry_nothing"))


def unrelated(generator: Generator, severity: int) -> SetUp:
    table = healthy_table(generator)
    y = polars.Series("y", generator.permutation(table.frame["y"].to_numpy()))
    return SetUp(looked_at(table.frame.with_columns(y)), severity, small_parts(table.frame.height))


def few_to_judge(generator: Generator, severity: int) -> SetUp:
    task = str(generator.choice(["regression", "classification"]))
    units = int([150, 120, 80, 40, 15][severity])
    if generator.random() < 0.5:
        return SetUp(together([too_few_to_judge(units, task=task, part="test")]), severity)
    half = [0.12, 0.15, 0.2, 0.4, 1.0][severity]
    middle = generator.uniform(-0.5, 0.5) * (half - 0.11)
    gains: dict[str, tuple[float, float, float]] = {"linear": (middle, middle - half, middle + half)}
    found = evaluation_too_noisy(gains, metric="rmse", rows=units)
    return SetUp(together([found]), severity)


# -- learning curves and searches, as numbers


def learning_curve(generator: Generator, gain: float) -> SetUp:
    """Errors of five folds and two seeds on a quarter, a half and all rows, of a law that gains this much once more."""
    exponent = generator.uniform(0.3, 1.2)
    last = gain / (1 - 2.0**-exponent)
    powers = last * numpy.array([4.0**exponent, 2.0**exponent, 1.0])
    folds = generator.normal(1, 0.05, (10, 1))
    errors = (1 - last + powers) * folds + generator.normal(0, 0.01, (10, 3))
    found = too_little_data([200, 400, 800], errors, metric="rmse")
    return SetUp(together([found]), about={"gain": gain})


def too_little(generator: Generator, severity: int) -> SetUp:
    return learning_curve(generator, [0.08, 0.1, 0.12, 0.15, 0.25][severity])


def search_of(
    differences: dict[str, float], generator: Generator, noise: float, edges: tuple[Edge, ...] = ()
) -> Findings:
    """What is said of a search whose model differs from others by so much, seen through noise."""
    compared = {}
    for name, truth in differences.items():
        seen = generator.normal(truth, noise)
        ends = seen - 1.96 * noise, seen + 1.96 * noise
        gain = Gain(seen, ends, BETTER if ends[0] > 0 else WORSE if ends[1] < 0 else ALIKE)
        compared[name] = Compared(gain, 1.0, 300)
    return together(checks(SearchRecord("rmse", False, compared, trials=40, edges=edges)))


def worse_than_a_baseline(generator: Generator, severity: int) -> SetUp:
    loss = -[0.05, 0.06, 0.08, 0.15, 0.5][severity]
    name = str(generator.choice(["mean", "linear", "boosted_tree"]))
    others = {each: 0.1 for each in ("mean", "linear", "boosted_tree", "default_mlp") if each != name}
    # Where the mean is better, the columns carry nothing for the network, which is another side of it.
    companions = ("features_carry_nothing",) if name == "mean" else ()
    return SetUp(search_of({name: loss, **others}, generator, 0.012), severity, companions)


def gained_nothing(generator: Generator, severity: int) -> SetUp:
    truth = [0.004, 0.002, 0.0, -0.01, -0.05][severity]
    return SetUp(search_of({"mean": 0.5, "linear": 0.3, "default_mlp": truth}, generator, 0.012), severity)


def at_an_edge(generator: Generator, severity: int) -> SetUp:
    edge = Edge("width", 256, HIGH)
    return SetUp(search_of({"mean": 0.5, "linear": 0.3, "default_mlp": 0.1}, generator, 0.012, (edge,)), severity)


def healthy_search(generator: Generator, index: int) -> SetUp:
    gains = {"mean": 0.5, "linear": 0.2, "boosted_tree": 0.08, "default_mlp": 0.08}
    found = [
        *search_of(gains, generator, 0.012).found,
        *learning_curve(generator, generator.uniform(0, 0.02)).judged.found,
    ]
    return SetUp(Findings(tuple(found)))


FAULTS: dict[str, tuple[Callable[[Generator, int], SetUp], ...]] = {
    "unscaled_inputs": (unscaled_inputs_in,),
    "unscaled_target": (unscaled_target_in,),
    "not_representative": (unlike_parts, ignored_time, ignored_groups),
    "leakage": (leaking, knowing_the_future),
    "duplicate_rows": (with_copies,),
    "label_noise": (wrongly_labelled,),
    "class_imbalance": (imbalanced,),
    "too_little_data": (too_little,),
    "evaluation_too_noisy": (few_to_judge,),
    "features_carry_nothing": (unrelated,),
    "search_edge": (at_an_edge,),
    "worse_than_baseline": (worse_than_a_baseline,),
    "gain_within_noise": (gained_nothing,),
}
CONTROLS = {"tables": control, "tensors": control_of_tensors, "searches": healthy_search}


def drawn(make: Callable[[Generator, int], SetUp], number: int, *, offset: int, what: str) -> Iterator[SetUp]:
    for i in range(number):
        seed = [*what.encode(), 2 * i + offset]
        yield make(numpy.random.default_rng(seed), i)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set-ups", type=int, default=40)
    parser.add_argument("--controls", type=int, default=300)
    parser.add_argument("--only", default="")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--show-missed", action="store_true")
    asked = parser.parse_args()
    offset = int(asked.tuning)
    began = time.monotonic()
    others: Counter[str] = Counter()
    print(
        "| id | set-ups | found | recall | by severity, mild to gross | claimed beside it |\n| --- "
        + "| --- " * 5
        + "|"
    )
    for name, makers in FAULTS.items():
        if asked.only and asked.only != name:
            continue
        row(name, makers, asked.set_ups, offset, asked.show_missed, others)
    for name, make in CONTROLS.items():
        if not asked.only or asked.only == name:
            controls(name, make, asked.controls, offset, asked.show_missed)
    print(f"\nclaimed falsely in faulty set-ups: {dict(others) or 'nothing'}; {time.monotonic() - began:.0f} s")


def row(
    name: str, makers: tuple[Callable[[Generator, int], SetUp], ...], number: int, offset: int, shows: bool,
    others: Counter[str],
) -> None:  # fmt: skip
    found, by_severity, beside = 0, defaultdict[int, list[bool]](list), Counter[str]()
    cycle = itertools.cycle(makers)
    for i in range(number):
        make = next(cycle)
        severity = i // len(makers) % MILD_TO_GROSS
        set_up = make(numpy.random.default_rng([*name.encode(), 2 * i + offset]), severity)
        ids = {finding.id for finding in set_up.judged}
        is_found = name in ids
        found += is_found
        by_severity[severity].append(is_found)
        beside.update(ids - {name, *set_up.companions})
        if shows and not is_found:
            print("  missed", make.__name__, severity, set_up.about)
    others.update(beside)
    shares = " ".join(f"{sum(by_severity[i])}/{len(by_severity[i])}" for i in range(MILD_TO_GROSS))
    claimed = ", ".join(f"{each} {count}" for each, count in beside.items()) or "nothing"
    print(f"| {name} | {number} | {found} | {found / number:.2f} | {shares} | {claimed} |", flush=True)


def controls(name: str, make: Callable[[Generator, int], SetUp], number: int, offset: int, shows: bool) -> None:
    claimed, wrong = Counter[str](), 0
    for set_up in drawn(make, number, offset=offset, what=name):
        ids = {finding.id for finding in set_up.judged} - set(set_up.companions)
        wrong += bool(ids)
        claimed.update(ids)
        if shows and ids:
            for finding in set_up.judged:
                if finding.id in ids:
                    print("  false", set_up.about, finding.statement, dict(finding.evidence))
    print(f"\nhealthy {name}: {wrong} of {number} with a false alarm ({100 * wrong / number:.1f} %): {dict(claimed)}")


if __name__ == "__main__":
    main()
