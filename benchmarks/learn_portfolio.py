"""Learn what a search tries first: many configs trained whole on every development set, and of those a short list
chosen greedily, in the order in which they gain most for their cost.

The sets' validation rows choose, their test rows judge, and each set is judged by a list that was learnt on the others.

python -m benchmarks.learn_portfolio --measure          # hours of a core; kept set by set, and gone on with
python -m benchmarks.learn_portfolio --write src/trimtab/tuning/portfolio.toml
"""

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.page import table as markdown
from benchmarks.quality.networks import engine_for
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.knobs.knob import Case, Task
from trimtab.machine import lanes_in_threads
from trimtab.model.model import Member, Model
from trimtab.model.tensors import training_data
from trimtab.table.folds import MOST_ROWS_FOR_FOLDS
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.text.wording import listed
from trimtab.training.config import Config
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import default_metric
from trimtab.training.run import Request, RunRecord
from trimtab.tuning.pace import operations_of_step
from trimtab.tuning.portfolio import KINDS, Kind, kind_of, of_case, portfolio
from trimtab.tuning.space import natural_epochs, space_for

CACHE = Path("~/.cache/trimtab-benchmarks/portfolio").expanduser()
# Of tables whose folds are five, so many are trained: they tell configs apart, and the rest would take time.
FOLDS = 2
# Rounds in which an ensemble grows; what tables of the other size, and of the other task, count for; how much more what
# is dear has to gain.
ROUNDS, OTHERS, OF_ANOTHER_TASK, COST_POWER = 15, 0.25, 0.25, 1.0
# Configs in a list, and the places within which those of one structure are brought together (guesses).
LENGTH, WINDOW = 20, 8
# Trainings of the first candidate after which lists are compared, and orders of chance that they are compared with.
SPENT, CHANCES = (2, 4, 8, 16), 10
# Rows of a part that are looked at (chance chooses them), so that lists are learnt in minutes.
MOST_ROWS = 3_000
# Structures (how numbers enter, width, depth, activation, which of the usual batches), and how many variants of each.
STRUCTURES = (
    (("piecewise", 128, 2, "silu", "middle"), 7),
    (("periodic", 128, 2, "silu", "middle"), 7),
    (("periodic", 64, 2, "silu", "small"), 4),
    (("scaled", 128, 2, "relu", "middle"), 3),
    (("piecewise", 128, 3, "silu", "small"), 4),
    (("periodic", 128, 3, "silu", "small"), 4),
    (("scaled", 256, 2, "selu", "middle"), 3),
    (("piecewise", 256, 3, "silu", "middle"), 4),
    (("periodic", 256, 3, "silu", "middle"), 4),
)

# By hand: Lion at 1e-3, and at 2e-3 with twice the epochs and a loss in which few errors count squared, which was found
# far ahead on smooth numbers; and AdamW like that.
LION_STRUCTURES = (
    ("periodic", 64, 2, "silu", "small"),
    ("piecewise", 128, 2, "silu", "middle"),
    ("periodic", 128, 2, "silu", "middle"),
    ("piecewise", 128, 3, "silu", "small"),
    ("scaled", 128, 2, "relu", "middle"),
)
_SQUARED_BELOW: dict[str, Any] = {"loss": "huber", "delta": 0.12, "epochs": 2.0}
BY_HAND = ({"optimizer": "lion", "lr": 1e-3}, {"optimizer": "lion", "lr": 2e-3} | _SQUARED_BELOW)
ADAMW_STRUCTURES, LIKE_IT = LION_STRUCTURES[:2], {"lr": 8e-3} | _SQUARED_BELOW
_MIDDLE: dict[str, Any] = {
    "lr": 4e-3, "schedule": "cosine", "sigma": 0.15, "dropout": 0.0, "weight_decay": 0.02, "loss": "mse", "delta": 0.8,
    "label_smoothing": 0.0, "epochs": 1.0, "optimizer": "adamw", "gamma": 1.0,
}  # fmt: skip

# What calling a step of any population takes (2.5 ms), in operations of those that the lanes themselves make.
OPERATIONS_OF_A_CALL = 1.9e8
# Candidates that were dear and never among the best of the first four tables: the others were spared them.
LEFT_OUT = (30, 33, 34, 38)


def candidates() -> list[dict[str, Any]]:
    """What is measured, as it stands in the file: the first variant of a structure is in the middle, the others are
    drawn."""
    rng, found = numpy.random.default_rng(20261129), []
    for structure, variants in STRUCTURES:
        for place in range(variants):
            drawn = {
                "lr": float(numpy.exp(rng.uniform(numpy.log(1.5e-3), numpy.log(1e-2)))),
                "schedule": str(rng.choice(["cosine", "one_cycle"])),
                "sigma": float(rng.choice([0.05, 0.1, 0.2, 0.4])),
                "dropout": float(rng.choice([0.0, 0.0, 0.1, 0.2, 0.35])),
                "weight_decay": float(rng.choice([1e-3, 0.02, 0.1])),
                "loss": str(rng.choice(["mse", "huber"])),
                "delta": float(rng.choice([0.3, 0.8])),
                "label_smoothing": float(rng.choice([0.0, 0.05, 0.1])),
                "epochs": float(rng.choice([0.6, 1.0, 1.0, 2.0])),
            }
            found.append(_candidate(structure, {} if place == 0 else drawn))
    kept = [values for place, values in enumerate(found) if place not in LEFT_OUT]
    kept += [_candidate(structure, values) for structure in LION_STRUCTURES for values in BY_HAND]
    return [*kept, *(_candidate(structure, LIKE_IT) for structure in ADAMW_STRUCTURES)]


def _candidate(structure: tuple, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a structure: those given, and the middle of all others."""
    names = ("inputs", "width", "depth", "activation", "batch")
    return dict(zip(names, structure, strict=True)) | _MIDDLE | dict(values)


def measure(table: Table, folder: Path) -> None:
    """Train every candidate on a table and keep what it came to."""
    train, test = table.typed_split(0)
    prepared = prepare(train, target=table.target, test=test, seed=0)
    data = training_data(prepared, torch.device("cpu"))
    engine = engine_for(prepared, data)
    configs = [configured(prepared, values) for values in candidates()]
    folds = range(min(FOLDS, len(data.folds)))
    by_structure: dict[Structure, list[int]] = {}
    for place, config in enumerate(configs):
        by_structure.setdefault(Structure.of(config), []).append(place)
    runs: dict[int, list[RunRecord]] = {}
    with lanes_in_threads():
        for structure, places in by_structure.items():
            requests = [Request(place, configs[place], fold, 0) for place in places for fold in folds]
            population = engine.population(structure, min(len(requests), max(2, engine.width(structure))))
            for run in engine.whole_runs([(population, requests)]):
                runs.setdefault(run.request.trial, []).append(run)
    engine.close()
    valid, tests, costs = [], [], []
    for place, config in enumerate(configs):
        own = sorted(runs[place], key=lambda run: run.request.fold)
        valid.append(numpy.concatenate([run.predictions for run in own]))
        weights = torch.stack([run.weights for run in own])
        member = Member(config.module_arguments, weights, 1.0)
        tests.append(Model(prepared.encoder, prepared.target_encoder, (member,)).raw(test)[0])
        size = engine.program(config.network).layout.size
        costs.append(sum(run.steps for run in own) * operations_of_step(size, config.batch_size) / len(own))
    rows = torch.cat([data.folds[fold].validation for fold in folds])
    numpy.savez_compressed(
        folder / f"{table.name}.npz", valid=numpy.stack(valid), valid_truth=data.truth(rows).numpy(),
        test=numpy.stack(tests), test_truth=prepared.target_encoder.truth(test), cost=numpy.array(costs),
        task=prepared.schema.task, rows=len(prepared.folds[0][0]),
    )  # fmt: skip


def configured(prepared: Prepared, values: Mapping[str, Any]) -> Config:
    """A candidate as it stands in a search of this table."""
    rows, columns = max(len(train) for train, _ in prepared.folds), prepared.encoder.n_numbers
    task: Any = prepared.schema.task
    metric = default_metric(task).name
    space = space_for(task, metric, rows=rows, columns=columns, fixed={})
    own = of_case(values, Case(task, metric, rows, columns, space.natural_epochs))
    return space.config(own | {"loss": "cross_entropy"} if task == "classification" else own)


class Errors:
    """The errors of means of candidates on some rows: of numbers by the products of their residuals, of classes by what
    the true one was given.

    `numbers` [candidates, rows] are residuals or probabilities.
    """

    def __init__(self, numbers: numpy.ndarray, *, is_regression: bool) -> None:
        self.count = numbers.shape[1]
        self.is_regression = is_regression
        self.kept = numbers @ numbers.T / self.count if is_regression else numbers

    def of(self, places: Sequence[int], shares: numpy.ndarray) -> float:
        """Of the mean of these candidates with these shares: the mean squared error, or the log loss."""
        if self.is_regression:
            return float(shares @ self.kept[numpy.ix_(places, places)] @ shares)
        return float(-numpy.log(numpy.clip(shares @ self.kept[places], 1e-15, 1)).mean())

    def grown(self, places: Sequence[int]) -> numpy.ndarray:
        """The shares of an ensemble that is grown of these candidates on these rows [Caruana et al. 2004]."""
        counts, best = numpy.zeros(len(places)), (numpy.inf, numpy.zeros(len(places)))
        own = self.kept[numpy.ix_(places, places)] if self.is_regression else self.kept[places]
        for size in range(1, ROUNDS + 1):
            if self.is_regression:
                errors = (counts @ own @ counts + 2 * own @ counts + own.diagonal()) / size**2
            else:
                errors = -numpy.log(numpy.clip((counts @ own + own) / size, 1e-15, 1)).mean(1)
            counts[errors.argmin()] += 1
            if errors.min() < best[0]:
                best = errors.min(), counts / size
        return best[1]


@dataclass(frozen=True)
class Measured:
    """What every candidate came to on one table; `cost` [candidates] in trainings of the first candidate.

    `parts` are pairs of rows that choose an ensemble and rows that judge it: one half of the validation rows and the
    other, the other way round, and all of them and the test rows.
    """

    name: str
    task: Task
    rows: int
    cost: numpy.ndarray
    parts: tuple[tuple[Errors, Errors], ...]

    @classmethod
    def read(cls, path: Path) -> "Measured":
        kept = numpy.load(path)
        is_regression = str(kept["task"]) == "regression"
        judged = _residuals if is_regression else _probabilities
        valid, test = (judged(kept[part], kept[f"{part}_truth"]) for part in ("valid", "test"))
        rng = numpy.random.default_rng(0)
        half = numpy.arange(valid.shape[1]) % 2 == 0
        rng.shuffle(half)
        first, second, whole, last = (
            Errors(part[:, rng.permutation(part.shape[1])[:MOST_ROWS]], is_regression=is_regression)
            for part in (valid[:, half], valid[:, ~half], valid, test)
        )
        parts = (first, second), (second, first), (whole, last)
        cost = kept["cost"] + _overheads(int(kept["rows"]))
        task: Task = "regression" if is_regression else "classification"
        return cls(path.stem, task, int(kept["rows"]), cost / cost[0], parts)

    @property
    def kind(self) -> Kind:
        return kind_of(self.task, self.rows)

    def learning_error(self, chosen: Sequence[int]) -> float:
        """Of ensembles of these, on rows that did not choose them."""
        errors = [judge.of(chosen, choose.grown(chosen)) for choose, judge in self.parts]
        return float(numpy.average(errors, weights=[judge.count for _, judge in self.parts]))

    def test_error(self, chosen: Sequence[int]) -> float:
        choose, judge = self.parts[-1]
        error = judge.of(chosen, choose.grown(chosen))
        return error**0.5 if judge.is_regression else error


def _overheads(rows: int) -> numpy.ndarray:
    """What calling the steps of each candidate costs on such a table, in operations: its share of a population's."""
    # Of one part, a few trials share a step's price, of five folds three times as many lanes (guesses).
    beside = 4 if rows > MOST_ROWS_FOR_FOLDS * 4 / 5 else 15
    case = Case(rows=rows, epochs=natural_epochs(rows))
    those = [of_case(values, case) for values in candidates()]
    steps = [int(values["epochs"]) * -(-rows // int(values["batch_size"])) for values in those]
    return numpy.array(steps) * OPERATIONS_OF_A_CALL / beside


def _residuals(predictions: numpy.ndarray, truth: numpy.ndarray) -> numpy.ndarray:
    return (predictions - truth.reshape(1, len(truth), -1)).reshape(len(predictions), -1)


def _probabilities(predictions: numpy.ndarray, truth: numpy.ndarray) -> numpy.ndarray:
    return predictions[:, numpy.arange(len(truth)), truth]


def learnt(tables: Sequence[Measured], kind: Kind, *, length: int) -> list[int]:
    """Candidates in the order in which each adds most to those before it for its cost, over the tables; those of
    another size, or task, count less."""
    weights = [
        (1.0 if table.kind.has_many_rows == kind.has_many_rows else OTHERS)
        * (1.0 if table.kind.task == kind.task else OF_ANOTHER_TASK)
        for table in tables
    ]
    chosen: list[int] = []
    # The first is to be there soon: it is compared with the worst there is.
    errors = [max(table.learning_error([place]) for place in range(len(table.cost))) for table in tables]
    while len(chosen) < length:
        gains: dict[int, tuple[float, list[float]]] = {}
        for place in set(range(len(tables[0].cost))) - set(chosen):
            now = [table.learning_error([*chosen, place]) for table in tables]
            gain = sum(w * numpy.log(old / new) for w, old, new in zip(weights, errors, now, strict=True))
            cost = sum(w * t.cost[place] for w, t in zip(weights, tables, strict=True)) / sum(weights)
            gains[place] = (gain / cost**COST_POWER if gain > 0 else gain, now)
        best = max(gains, key=lambda place: gains[place][0])
        chosen.append(best)
        errors = gains[best][1]
    return chosen


def by_structure(chosen: Sequence[int]) -> list[int]:
    """The same, those of one structure within `WINDOW` places next to each other: they train side by side."""
    every, left, ordered = candidates(), list(chosen), []
    while left:
        structure = _structure(every[left[0]])
        beside = [place for place in left[:WINDOW] if _structure(every[place]) == structure]
        ordered += beside
        left = [place for place in left if place not in beside]
    return ordered


def _structure(values: Mapping[str, Any]) -> tuple:
    return tuple(values[name] for name in ("inputs", "width", "depth", "activation", "batch"))


def held_out(tables: Sequence[Measured]) -> list[list[str | float]]:
    """What the list that is learnt on the other tables comes to on each, when as much was spent as so many trainings of
    the first candidate cost; and the mean of as many candidates in an order of chance."""
    lines: list[list[str | float]] = []
    for table in tables:
        others = [other for other in tables if other is not table]
        order = by_structure(learnt(others, table.kind, length=LENGTH))
        rng = numpy.random.default_rng(0)
        chance = [rng.permutation(len(table.cost)).tolist() for _ in range(CHANCES)]
        line: list[str | float] = [table.name, table.test_error([0])]
        for spent in SPENT:
            by_chance = numpy.mean([_after(table, each, spent) for each in chance])
            line += [_after(table, order, spent), float(by_chance)]
        lines.append([*line, table.test_error(range(len(table.cost)))])
    return lines


def _after(table: Measured, order: Sequence[int], spent: float) -> float:
    """The ensemble's error when the trainings that `spent` pays for have been made in order."""
    paid = numpy.cumsum(table.cost[list(order)]) <= spent
    return table.test_error(list(order)[: max(1, int(paid.sum()))])


def as_toml(
    lists: Mapping[str, Sequence[int]], tables: Sequence[Measured], kept: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """The file that searches read: the lists that were learnt, and those that are kept as they were."""
    every = candidates()
    text = [
        "# What a search of a table tries first, in this order, by what it predicts and by the rows that train: fewer",
        "# than the knobs' MANY_ROWS are few. Epochs count in those that suit the rows, batches are one of three sizes",
        "# that do.",
        "#",
        *textwrap.wrap(
            f"{len(every)} configs were trained on each of {len(tables)} tables ({', '.join(t.name for t in tables)}), "
            f"and of those that one is taken next whose ensemble with those before it gains most for its cost: "
            f"{listed(lists)}."
            + (f" As they were learnt before: {listed(kept)}." if kept else ""),
            118, initial_indent="# ", subsequent_indent="# ",
        ),
        "#",
        f"#     python {' '.join(sys.orig_argv[1:])}",
    ]  # fmt: skip
    entries = {name: [every[place] for place in chosen] for name, chosen in lists.items()} | dict(kept)
    for name in (kind.name for kind in KINDS):
        for values in entries[name]:
            text += ["", f"[[{name}]]", *(f"{knob} = {_written(value)}" for knob, value in values.items())]
    return "\n".join([*text, ""])


def _written(value: Any) -> str:
    return json.dumps(float(f"{value:.3g}") if isinstance(value, float) else value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--measure", action="store_true", help="train what was not trained yet")
    parser.add_argument("--write", type=Path, help="the file to write what was learnt on all tables to")
    tasks = ["regression", "classification"]
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, help="learn the lists of these alone")
    asked = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    named = read_tables(asked.data, asked.tables.split(",") if asked.tables else None)
    for table in named if asked.measure else ():
        if not (CACHE / f"{table.name}.npz").exists():
            started = time.monotonic()
            measure(table, CACHE)
            print(f"{table.name}: {time.monotonic() - started:.0f} s", flush=True)
    tables = [Measured.read(path) for table in named if (path := CACHE / f"{table.name}.npz").exists()]
    if asked.write:
        wanted = [kind for kind in KINDS if kind.task in asked.tasks]
        lists = {kind.name: by_structure(learnt(tables, kind, length=LENGTH)) for kind in wanted}
        kept = {name: entries for name, entries in portfolio().items() if name not in lists}
        asked.write.write_text(as_toml(lists, tables, kept))
    elif not asked.measure:
        spent = [head for cost in SPENT for head in (f"learnt, {cost}", f"by chance, {cost}")]
        print(markdown(["table", "the first alone", *spent, "all"], held_out(tables)))


if __name__ == "__main__":
    main()
