"""The real data sets: every one is read, judged and encoded as a person would."""

import json

import numpy as np
import polars as pl
import pytest

from trimtab.table.prepare import prepare

NAMES = (
    "california", "concrete", "energy", "kin8nm", "power_plant", "diamonds", "mpg", "taxis", "airfoil", "bike",
    "forest", "adult", "phoneme", "german", "titanic", "mammography", "glass", "horse_colic",
)  # fmt: skip


@pytest.fixture(scope="module")
def index(shared_data):
    return {entry["name"]: entry for entry in json.loads((shared_data / "index.json").read_text())}


@pytest.mark.parametrize("name", NAMES)
def test_task_rows_and_tensors(name, index, shared_data):
    entry = index[name]
    prepared = prepare(shared_data / entry["file"], target=entry["target"])
    assert prepared.schema.task == ("regression" if entry["task"] == "regression" else "classification")
    assert prepared.counts.source == entry["rows"]
    assert prepared.counts.test == pytest.approx(0.2 * entry["rows"], rel=0.03)
    assert prepared.source_name == name
    assert np.isfinite(prepared.numbers).all()
    assert np.abs(prepared.numbers).max() < 10
    assert prepared.numbers.std(axis=0).min() > 0
    if entry["task"] == "binary":
        assert prepared.target_encoder.outputs == 2
    if entry["task"] == "multiclass":
        assert prepared.target_encoder.outputs > 2


def test_the_index_holds_no_other_sets(index):
    assert set(index) == set(NAMES)


def test_roles_of_mpg_taxis_and_titanic(index, shared_data):
    def roles(name):
        schema = prepare(shared_data / index[name]["file"], target=index[name]["target"]).schema
        return {column.name: column.role for column in schema.columns}

    mpg, taxis, titanic = roles("mpg"), roles("taxis"), roles("titanic")
    assert (mpg["name"], mpg["origin"], mpg["horsepower"]) == ("identifier", "category", "number")
    assert (taxis["pickup"], taxis["pickup_zone"]) == ("date-time", "category")
    assert (titanic["alone"], titanic["deck"], titanic["age"]) == ("boolean", "category", "number")


def test_labels_in_quotes_stay_labels(index, shared_data):
    entry = index["mammography"]
    prepared = prepare(shared_data / entry["file"], target=entry["target"])
    assert prepared.target_encoder.classes == ("'-1'", "'1'")


def test_the_official_part_of_adult_as_a_test_frame(index, shared_data):
    frame = pl.read_csv(shared_data / index["adult"]["file"], infer_schema_length=None)
    prepared = prepare(frame.head(32_561), target="income", test=frame.slice(32_561))
    assert prepared.counts.test == 48_842 - 32_561
    assert len(prepared.numbers) == 32_561
