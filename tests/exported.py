"""What tests of exports share: quickly trained models, and raw columns as a caller outside trimtab gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy
import polars
import torch

from trimtab.export.vocabulary import cell_type
from trimtab.model.model import Member, Model, build
from trimtab.model.tensors import training_data
from trimtab.table.cells import as_moments, as_numbers
from trimtab.table.encode import Feature
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config, Loss, Optimizer
from trimtab.training.data import Fold
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.signals import Signals
from trimtab.training.metrics import default_metric
from trimtab.training.run import Request

DATA_SETS = (
    "california", "concrete", "energy", "kin8nm", "power_plant", "diamonds", "mpg", "taxis", "airfoil", "bike",
    "forest", "adult", "phoneme", "german", "titanic", "mammography", "glass", "horse_colic",
)  # fmt: skip
NO_TIME = -(2**63)
WAVES = {"width": 24, "depth": 2, "activation": "silu", "inputs": "periodic", "sigma": 0.2}
BINNED = {"width": 32, "depth": 1, "activation": "relu", "inputs": "piecewise"}
PLAIN = {"width": 32, "depth": 1, "activation": "relu", "inputs": "scaled"}
LINEAR = {"width": 1, "depth": 0, "activation": "relu", "inputs": "scaled"}


def trained(prepared: Prepared, networks: Sequence[Mapping[str, Any]] = (WAVES, BINNED), *, epochs: int = 2) -> Model:
    """An ensemble of `networks`, each trained for a few epochs on two halves of the first rows."""
    data = training_data(prepared, torch.device("cpu"))
    rows = torch.arange(min(data.rows, 3_000))
    data = replace(data, folds=(Fold(rows[::2], rows[1::2]), Fold(rows[1::2], rows[::2])))

    def factory(**network: Any) -> torch.nn.Module:
        return build(prepared.encoder, prepared.target_encoder, network)

    engine = Engine(data, Modules(factory), Judging(default_metric(data.task)), signals=Signals(only_losses=True))
    loss = Loss("mse" if data.task == "regression" else "cross_entropy")
    members = []
    for i, network in enumerate(networks):
        knobs = tuple(network.items())
        config = Config(network=knobs, loss=loss, optimizer=Optimizer(learning_rate=3e-3), epochs=epochs)
        population = engine.population(Structure.of(config), lanes=2)
        engine.admit(population, [Request(i, config, fold, seed=i) for fold in range(2)])
        while not all(lane.ended for lane in population.lanes):
            engine.advance(population)
        weights = torch.stack([run.weights for run in engine.retire(population)])
        members.append(Member(network, weights, (i + 1) / sum(range(len(networks) + 1))))
    engine.close()
    return Model(prepared.encoder, prepared.target_encoder, tuple(members))


def as_seconds(column: polars.Series, *, form: str | None, zone: str | None) -> numpy.ndarray:
    """Whole seconds since 1970 on the table's clock, numpy's NaT where missing."""
    moments, _ = as_moments(column, form, zone)
    return moments.dt.epoch("s").fill_null(NO_TIME).to_numpy()


def as_strings(column: polars.Series) -> numpy.ndarray:
    """Text without blanks around it, empty where missing."""
    return column.cast(polars.String).str.strip_chars().fill_null("").to_numpy().astype(object)


def as_integers(column: polars.Series) -> numpy.ndarray:
    whole = column if column.dtype.is_integer() else column.cast(polars.Float64, strict=False)
    return whole.cast(polars.Int64).fill_null(NO_TIME).to_numpy()


def as_truths(column: polars.Series) -> numpy.ndarray:
    cells = column.cast(polars.String).str.strip_chars().str.to_lowercase()
    return (cells == "true").to_numpy()


_CELLS = {"string": as_strings, "integer": as_integers, "boolean": as_truths}


def feeds(model: Model, frame: polars.DataFrame) -> dict[str, numpy.ndarray]:
    """What the ONNX graph of `model` takes for the rows of `frame`."""
    result = {}
    for feature in model.encoder.features:
        column = frame[feature.name]
        kind = cell_type(feature)
        if feature.labels is not None and kind != "number":
            result[feature.name] = _CELLS[kind](column)
        elif feature.moments is not None:
            result[feature.name] = as_seconds(column, form=feature.format, zone=feature.time_zone)
        else:
            result[feature.name] = as_integers(column) if kind == "integer" else as_numbers(column)[0]
    return result


def tensors(vocabulary: Mapping[str, Any], columns: Mapping[str, numpy.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """The two tensors that a PT2 program takes, from `feeds` and the vocabulary that came with the program."""
    rows = len(next(iter(columns.values())))
    numbers = numpy.zeros((rows, len(vocabulary["numbers"])))
    for i, about in enumerate(vocabulary["numbers"]):
        column = columns[about["name"]]
        numbers[:, i] = numpy.where(column == NO_TIME, numpy.nan, column)
    codes = numpy.zeros((rows, len(vocabulary["categories"])), dtype=numpy.int64)
    for i, about in enumerate(vocabulary["categories"]):
        known = dict(map(tuple, about["values"]))
        coarse = {"single": numpy.float32, "half": numpy.float16}.get(about.get("precision"))
        for row, cell in enumerate(columns[about["name"]].tolist()):
            cell = cell if coarse is None or cell in known else float(coarse(cell))
            is_missing = cell in ("", NO_TIME) or cell != cell
            codes[row, i] = about["missing"] if is_missing else known.get(cell, about["unknown"])
    return torch.from_numpy(numbers), torch.from_numpy(codes)


def spoiled(frame: polars.DataFrame, model: Model, rows: int = 300) -> polars.DataFrame:
    """Rows of `frame`; the same with cells missing here and there; and with labels and numbers that nobody has seen."""
    features = {feature.name: feature for feature in model.encoder.features}
    sound = frame.select(list(features)).sample(min(rows, frame.height), seed=1)
    rng = numpy.random.default_rng(0)
    # True and false have no room for what is missing.
    truths = {name for name, feature in features.items() if cell_type(feature) == "boolean"}
    holes = {column.name: polars.Series(rng.random(sound.height) < 0.4) for column in sound.iter_columns()}
    gaps = [
        column if column.name in truths else column.set(holes[column.name], None) for column in sound.iter_columns()
    ]
    strange = [column if column.name in truths else _strange(features[column.name], column) for column in sound]
    return polars.concat([sound, polars.DataFrame(gaps), polars.DataFrame(strange)])


def _strange(feature: Feature, column: polars.Series) -> polars.Series:
    """Cells far from all that training saw; missing ones where the column's type has none."""
    value = -1e9 if feature.scaling is not None else "never seen" if feature.labels is not None else "2199-02-28"
    cells = polars.Series(column.name, [str(value) if column.dtype == polars.String else value] * len(column))
    is_possible = column.dtype == polars.String or (feature.scaling is not None and column.dtype.is_numeric())
    return cells.cast(column.dtype, strict=False) if is_possible else column.clear(len(column))
