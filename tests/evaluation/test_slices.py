"""Slices cover a column without overlapping, and only real differences count as worse."""

import datetime

import numpy
import polars
import pytest

from trimtab.evaluation.slices import FEWEST_ROWS, metric_of_slices, slices_of
from trimtab.table.encode import Encoder
from trimtab.table.schema import infer_schema
from trimtab.training.metrics import METRICS

ROWS = 400
_generator = numpy.random.default_rng(0)
FRAME = polars.DataFrame(
    {
        "size": _generator.uniform(0, 1, ROWS),
        "rooms": _generator.integers(1, 4, ROWS),
        "kind": _generator.choice(["flat", "house", "hut"], ROWS),
        "town": [f"town {number}" for number in _generator.integers(0, 20, ROWS)],
        "sold": [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day)) for day in range(ROWS)],
        "age": [None if i % 5 == 0 else float(i) for i in range(ROWS)],
        "y": _generator.normal(size=ROWS),
    }
)
FEATURES = Encoder.fit(FRAME, infer_schema(FRAME, targets=["y"])).features


def slices(predictions: numpy.ndarray, truth: numpy.ndarray, metric: str = "rmse", frame: polars.DataFrame = FRAME):
    return slices_of(frame, FEATURES, predictions, truth, numpy.ones(len(truth)), METRICS[metric], seed=0)


def test_every_row_of_a_column_is_in_one_slice() -> None:
    truth = FRAME["y"].to_numpy()[:, None]
    found = slices(truth + 0.1, truth)
    for column in ("size", "rooms", "kind", "town", "sold", "age"):
        assert sum(each.rows for each in found if each.column == column) == ROWS
    assert all(each.figure.value == pytest.approx(0.1) for each in found)
    values = {column: [s.values for s in found if s.column == column] for column in FRAME.columns}
    assert sorted(values["rooms"]) == ["1", "2", "3"]
    assert sorted(values["kind"]) == ["flat", "house", "hut"]
    assert "14 other labels" in values["town"]
    assert "missing" in values["age"]
    assert any(text.startswith("2020-01-01") for text in values["sold"])
    assert len(values["size"]) == 4


def test_where_the_model_is_worse_comes_first() -> None:
    truth = FRAME["y"].to_numpy()[:, None]
    error = numpy.where(FRAME["kind"] == "hut", 3.0, 1.0) * _generator.normal(size=ROWS)
    first, *rest = slices(truth + error[:, None], truth)
    assert (first.column, first.values, first.is_worse) == ("kind", "hut", True)
    assert first.figure.low < first.figure.value < first.figure.high
    assert not any(each.is_worse for each in rest)


def test_noise_is_called_worse_in_few_tables_only() -> None:
    truth = FRAME["y"].to_numpy()[:, None]
    alarms = 0
    for seed in range(10):
        error = numpy.random.default_rng(seed).normal(size=(ROWS, 1))
        alarms += any(each.is_worse for each in slices(truth + error, truth, "mae"))
    assert alarms <= 3  # of 10, where one in two is expected


def test_slices_of_a_few_rows_are_left_out() -> None:
    frame = FRAME.with_columns(kind=polars.Series(["hut"] * (FEWEST_ROWS - 1) + ["flat"] * (ROWS - FEWEST_ROWS + 1)))
    truth = frame["y"].to_numpy()[:, None]
    assert not [each for each in slices(truth + 1, truth, frame=frame) if each.column == "kind"]


def test_classes_are_judged_by_what_a_slice_can_tell() -> None:
    truth = _generator.integers(0, 2, ROWS)
    chance = numpy.where(truth == 1, 0.8, 0.2)
    chance = numpy.where(FRAME["kind"] == "house", 1 - chance, chance)
    for name in ("log_loss", "roc_auc", "accuracy", "balanced_accuracy"):
        metric = metric_of_slices(name).name
        first = slices(numpy.stack([1 - chance, chance], 1), truth, metric)[0]
        assert (first.column, first.values, first.is_worse) == ("kind", "house", True)
    assert metric_of_slices("r2").name == "rmse"


def test_slices_are_called_as_training_called_its_labels() -> None:
    """However the rows that are judged are written, and with all digits that tell numbers apart."""
    cells = ["007", "1e3", "x"] * (ROWS // 3) + ["y"]
    rates = [0.1, 0.25, 1_000_001.0, 1_000_002.0] * (ROWS // 4)
    frame = FRAME.select("y", code=polars.Series(cells), rate=polars.Series(rates, dtype=polars.Float32))
    features = Encoder.fit(frame, infer_schema(frame, targets=["y"])).features
    served = frame.with_columns(code=polars.Series(["7.0", "1000", " x"] * (ROWS // 3) + ["z"]))
    truth = frame["y"].to_numpy()[:, None]
    found = slices_of(served, features, truth + 1, truth, numpy.ones(ROWS), METRICS["rmse"], seed=0)
    names = {column: {each.values for each in found if each.column == column} for column in ("code", "rate")}
    assert names == {"code": {"007", "1e3", "x"}, "rate": {"0.1", "0.25", "1000001", "1000002"}}
