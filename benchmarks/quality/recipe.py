"""What one part of the recipe is worth: the same network with and without it, one training on a table's first fold.

No search and no ensemble: a network of the middle, its epochs those that suit the rows, several seeds, judged on
the test rows of split 0.

python -m benchmarks.quality.recipe --knob inputs --values periodic,scaled,piecewise
python -m benchmarks.quality.recipe --knob averaging --values 0,0.99,0.999
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import polars
import torch

from benchmarks.page import table as markdown
from benchmarks.quality.networks import engine_for, error_of
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.machine import lanes_in_threads
from trimtab.model.model import Member, Model
from trimtab.model.tensors import training_data
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import default_metric
from trimtab.training.run import Request
from trimtab.tuning.space import MIDDLE, natural_epochs, space_for

FOLDS = 5  # each training has four fifths of the rows
BESIDE = ("averaging", "gradient_clip")


def errors_of(table: Table, knob: str, values: list[Any], seeds: int) -> dict[Any, float]:
    """The mean test error of each value of the knob over `seeds` trainings."""
    prepared, data = laid_out(table, *table.typed_split(0))
    return {value: _trained(prepared, data, config_with(prepared, **{knob: value}), seeds) for value in values}


def test_errors(table: Table, train: polars.DataFrame, test: polars.DataFrame, *, seeds: int) -> float:
    """The mean test error of a network of the middle over `seeds` trainings on these rows."""
    prepared, data = laid_out(table, train, test)
    return _trained(prepared, data, config_with(prepared), seeds)


def laid_out(table: Table, train: polars.DataFrame, test: polars.DataFrame) -> tuple[Prepared, TrainingData]:
    """The rows of a table as networks are trained on them, cut into folds."""
    prepared = prepare(train, target=table.target, test=test, split=FOLDS, seed=0)
    return prepared, training_data(prepared, torch.device("cpu"))


def _trained(prepared: Prepared, data: TrainingData, config: Config, seeds: int) -> float:
    with lanes_in_threads():
        engine = engine_for(prepared, data)
        requests = [Request(0, config, 0, seed) for seed in range(seeds)]
        runs = engine.whole_runs([(engine.population(Structure.of(config), seeds), requests)])
        engine.close()
    return float(numpy.mean([_test_error(prepared, config, run.weights) for run in runs]))


def config_with(prepared: Prepared, **knobs: Any) -> Config:
    """A network of the middle for this table with other values of some knobs."""
    rows = max(len(train) for train, _ in prepared.folds)
    task, columns = prepared.schema.task, prepared.encoder.n_numbers
    metric = default_metric(task).name  # type: ignore[arg-type]
    space = space_for(task, metric, rows=rows, columns=columns, fixed={})  # type: ignore[arg-type]
    is_classes = task == "classification"
    guess: dict[str, Any] = {**MIDDLE, "loss": "cross_entropy" if is_classes else "mse"}
    guess |= {"epochs": natural_epochs(rows), "batch_size": 64 if rows <= 2_000 else 128 if rows <= 12_000 else 256}
    # What the engine can do and searches do not turn, as an average of the weights, is set beside the space.
    beside = {name: knobs.pop(name) for name in BESIDE if name in knobs}
    config = space.config({**guess, **knobs})
    return replace(config, **beside, stopping=replace(config.stopping, patience=config.epochs))


def _test_error(prepared: Prepared, config: Config, weights: torch.Tensor) -> float:
    assert prepared.test is not None
    member = Member(config.module_arguments, weights.unsqueeze(0), 1.0)
    raw, _ = Model(prepared.encoder, prepared.target_encoder, (member,)).raw(prepared.test)
    metric = default_metric(prepared.schema.task)  # type: ignore[arg-type]
    return error_of(metric, raw, prepared.target_encoder.truth(prepared.test))


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--knob", default="inputs")
    parser.add_argument(
        "--values", default="periodic,scaled,piecewise", help="the first is what others are compared with"
    )
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    values, lines, ratios = [_number_or_word(text) for text in asked.values.split(",")], [], []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        errors = errors_of(table, asked.knob, values, asked.seeds)
        relative = [errors[value] / errors[values[0]] for value in values]
        ratios.append(relative)
        shown = [f"{errors[value]:.4g} ({ratio - 1:+.1%})" for value, ratio in zip(values, relative, strict=True)]
        lines.append([table.name, *shown])
        print(*lines[-1], flush=True)
    means = numpy.exp(numpy.log(ratios).mean(0)).tolist()
    print(markdown(["table", *map(str, values)], [*lines, ["geometric mean", *(f"{mean - 1:+.1%}" for mean in means)]]))


if __name__ == "__main__":
    main()
