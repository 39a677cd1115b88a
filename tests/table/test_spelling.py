"""Labels come back as the table has them, and are found again however another table writes them."""

import csv
import io
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
import torch

from trimtab.model.model import Member, Model, build
from trimtab.model.predictions import predict_file, predict_stream
from trimtab.table.cells import precision_of
from trimtab.table.prepare import prepare
from trimtab.table.read import read_batches
from trimtab.table.spelling import as_labels, find_labels

ROWS = 60
NETWORK = {"width": 4, "depth": 0, "activation": "relu", "inputs": "scaled"}
WRITTEN = {
    "whole numbers": ["2", "10", "3"],
    "numbers of several lengths": ["2", "2.1", "2.21"],
    "fractions": ["0.5", "1.5"],
    "whole numbers with a point": ["1.0", "2.0"],
    "zeros at the end": ["1.10", "1.20"],
    "versions": ["1.1", "1.10", "2.3.3"],
    "small numbers": ["0.0000001", "0.0000002"],
    "no digit before the point": [".5", "1.5"],
    "exponents": ["1e3", "2e3"],
    "exponents beside plain numbers": ["1e3", "500"],
    "signs": ["+1", "-1"],
    "minus zero": ["-0", "1"],
    "codes": ["007", "042", "100"],
    "underscores": ["1_000", "2_000"],
    "hexadecimal": ["0x10", "0x20"],
    "long numbers": ["1234567890123456789", "1234567890123456788"],
    "numbers of twenty digits": ["12345678901234567890", "12345678901234567891"],
    "True": ["True", "False"],
    "true": ["true", "false"],
    "TRUE": ["TRUE", "FALSE"],
    "NA beside one": ["NA", "EU"],
    "NA beside two": ["NA", "EU", "AS"],
    "a blank in front": [" x", "y"],
    "a blank behind": ["x ", "y"],
    "infinity as a word": ["inf", "low"],
    "none": ["none", "minor"],
    "days": ["2024-01-05", "2024-02-05"],
    "hours": ["08:00", "09:00"],
    "decimal commas": ["1,5", "2,5"],
    "quotes and separators": ['a "b"', "c,d;e"],
}


def written(folder, labels, separator=",", rows=ROWS):
    """A file whose target `y` and category `c` are `labels`, and the labels of `y` row by row."""
    y = [labels[i % len(labels)] for i in range(rows)]
    x = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=rows)]
    frame = pl.DataFrame({"x": x, "c": [labels[i // 2 % len(labels)] for i in range(rows)], "y": y})
    path = folder / "table.csv"
    frame.write_csv(path, separator=separator)
    return path, y


def prepared_from(path):
    return prepare(path, target="y", task="classification", test="none", category=["c"])


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("labels", WRITTEN.values(), ids=WRITTEN)
def test_labels_and_categories_are_what_the_file_says(tmp_path, labels, separator):
    path, y = written(tmp_path, labels, separator)
    prepared = prepared_from(path)
    target = prepared.target_encoder
    assert sorted(map(str, target.classes)) == sorted(labels)
    decoded = target.decode(np.eye(len(labels))[prepared.targets]).tolist()
    assert [str(label) for label in decoded] == [y[row] for row in prepared.development_rows]
    shown = {name.removeprefix("c: ") for name in prepared.encoder.column_names if name != "x"}
    assert shown <= set(labels)
    assert len(shown) == (1 if len(labels) == 2 else len(labels))


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("labels", WRITTEN.values(), ids=WRITTEN)
def test_categories_are_found_whatever_reads_the_file(tmp_path, labels, separator):
    path, _ = written(tmp_path, labels, separator)
    prepared = prepared_from(path)
    frames = [pl.read_csv(path, separator=separator), next(read_batches(path))]
    if frames[0]["c"].dtype != pl.Int128:
        pandas = pytest.importorskip("pandas")
        frames.append(pandas.read_csv(path, sep=separator))
    for frame in frames:
        encoded = prepared.encoder.encode(frame)
        np.testing.assert_array_equal(encoded.numbers, prepared.numbers)
        assert encoded.notices == ()


@pytest.mark.parametrize("labels", WRITTEN.values(), ids=WRITTEN)
def test_predictions_are_written_as_the_labels_were(tmp_path, labels):
    path, _ = written(tmp_path, labels)
    prepared = prepared_from(path)
    module = build(prepared.encoder, prepared.target_encoder, NETWORK)
    parameters = torch.cat([value.detach().reshape(1, -1) for value in module.parameters()], dim=1)
    model = Model(prepared.encoder, prepared.target_encoder, (Member(NETWORK, parameters, 1.0),))
    model.save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    stream = io.BytesIO()
    predict_stream(model, path, stream, notice=print)
    predict_file(model, path, tmp_path / "out.parquet", notice=print)
    names = {"prediction", *(f"probability_{label}" for label in labels)}
    header, *rows = csv.reader(io.StringIO(stream.getvalue().decode()))
    assert set(header) == names
    assert {row[0] for row in rows} <= set(labels)
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert set(frame.columns) == names
    assert set(frame["prediction"].cast(pl.String)) <= set(labels)
    assert set(map(str, model.predict(pl.read_csv(path, infer_schema=False)))) <= set(labels)


@pytest.mark.parametrize(
    ("written_as", "given"),
    [
        (["2", "2.1", "2.21"], [2.0, 2.1, 2.21]),
        (["1e3", "2e3"], [1000, 2000]),
        (["007", "042"], [7, 42]),
        (["True", "False"], [True, False]),
        (["True", "False"], [1, 0]),
        (["True", "False"], [1.0, 0.0]),
        (["1", "0"], [True, False]),
        (["1", "0"], ["TRUE", "false"]),
        ([" x", "y"], ["x", " y "]),
        (["1,5", "2,5"], [1.5, 2.5]),
        (["1.10", "1.20"], ["1.1", "1.2"]),
        (["1", "2"], ["1.0", "+2"]),
        (["-0", "1"], [0, 1]),
        (["NA", "EU"], ["NA", "EU"]),
    ],
)
def test_a_label_is_found_in_other_spellings_and_types(written_as, given):
    places, is_missing = find_labels(pl.Series(given), written_as)
    assert places.tolist() == [0, 1, 2][: len(given)]
    assert not is_missing.any()


def test_a_label_is_found_by_its_text_before_its_meaning_and_never_by_two_labels_meaning():
    known = ["1.1", "1.10", " x", "x", "1"]
    places, _ = find_labels(pl.Series(["1.10", "1.100", "x", "x ", "1.0", "z"]), known)
    assert places.tolist() == [1, -1, 3, -1, 4, -1]


def test_what_is_missing_is_told_from_what_is_unknown():
    places, is_missing = find_labels(pl.Series(["a", None, "NA", " ? ", "b", ""]), ["a"])
    assert places.tolist() == [0, -1, -1, -1, -1, -1]
    assert is_missing.tolist() == [False, True, True, True, False, True]
    assert find_labels(pl.Series([1.0, float("nan"), float("inf")]), ["1"])[1].tolist() == [False, True, True]


def test_spellings_of_one_label_are_one_written_as_most_of_them_are():
    column = pl.Series(["x", " x", " x", "TRUE", "true", "TRUE", "1", "1.0", "1.0", "y"])
    assert as_labels(column).to_list() == [" x", " x", " x", "TRUE", "TRUE", "TRUE", "1.0", "1.0", "1.0", "y"]
    assert as_labels(pl.Series(["1.1", "1.10", "1.10", "2"])).to_list() == ["1.10", "1.10", "1.10", "2"]
    assert as_labels(pl.Series(["1.1", "1.10", "1.10", "2.0.1"])).n_unique() == 3


def test_spellings_of_a_class_that_are_taken_for_one_are_said(tmp_path):
    path, _ = written(tmp_path, ["yes", " yes", "yes ", "no", "no"])
    assert '"y": " yes", "yes " and "yes" are one label, written "yes".' in prepared_from(path).notices
    path, _ = written(tmp_path, ["yes", "no"])
    assert not any("one label" in notice for notice in prepared_from(path).notices)


def test_na_is_a_gap_where_it_stands_among_numbers_or_alone():
    x = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=ROWS)]
    y, rest = ["NA", "EU", "AS"] * 20, ["u", "v"] * 30
    target = prepare(pl.DataFrame({"x": ["NA", *x[1:]], "y": y}), target="y", test="none").target_encoder
    assert target.classes == ("AS", "EU")
    target = prepare(pl.DataFrame({"x": x, "y": y}), target="y", test="none").target_encoder
    assert target.classes == ("AS", "EU", "NA")
    alone = prepare(pl.DataFrame({"x": x, "c": ["NA", "", "NA"] * 20, "y": rest}), target="y", test="none")
    assert alone.schema.columns[1].role == "constant"


def test_a_gap_is_the_label_na_where_training_had_that_label_and_no_gap(tmp_path):
    path, _ = written(tmp_path, ["NA", "EU", "AS"])
    encoder = prepared_from(path).encoder
    given = pl.DataFrame({"x": [0.1, 0.1], "c": ["NA", None]})
    encoded = encoder.encode(given)
    np.testing.assert_array_equal(encoded.numbers[0], encoded.numbers[1])
    assert encoded.notices == ()


@pytest.mark.parametrize("labels", [["1", "2"], ["007", "7"], ["True", "False"], ["1.0", "2.5"], ["NA", "EU"]])
def test_text_of_a_source_that_knows_types_stays_text(tmp_path, labels):
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=ROWS), "y": labels * (ROWS // 2)})
    frame.write_parquet(tmp_path / "table.parquet")
    sources = (frame, frame.to_arrow(), tmp_path / "table.parquet", (frame.select("x"), frame["y"].to_numpy()))
    for source in sources:
        target = None if isinstance(source, tuple) else "y"
        encoder = prepare(source, target=target, task="classification", test="none").target_encoder
        assert set(encoder.classes) == set(labels)
        assert {type(label) for label in encoder.classes} == {str}


def test_classes_of_numbers_that_are_written_unlike_numbers_stand_in_the_order_of_numbers(tmp_path):
    path, _ = written(tmp_path, ["10", "9.0", "1e2"])
    assert prepared_from(path).target_encoder.classes == ("9.0", "10", "1e2")


def test_a_test_file_of_another_tool_meets_the_same_classes(tmp_path):
    path, _ = written(tmp_path, ["1", "2", "3"])
    other = pl.read_csv(path).with_columns(pl.col("y").cast(pl.Float64))
    other.write_parquet(tmp_path / "test.parquet")
    other.write_csv(tmp_path / "test.csv")
    for test in (other, other.to_pandas(), tmp_path / "test.parquet", tmp_path / "test.csv"):
        prepared = prepare(path, target="y", task="classification", category=["c"], test=test)
        assert prepared.test is not None
        assert prepared.target_encoder.encode(prepared.test).tolist() == [i % 3 for i in range(ROWS)]


def reals(values, dtype):
    return pl.Series(values, dtype=pl.Float64).cast(dtype)


# Of the last, the float64 is not the nearest one to its shortest text in single precision.
FRACTIONS = [0.1, 2.0, 1e-7, 0.1 + 0.2]
SHORTEST = {pl.Float64: ["0.1", "2", "1e-7", "0.30000000000000004"], pl.Float32: ["0.1", "2", "1e-7", "0.3"]}


@pytest.mark.parametrize("dtype", [pl.Float16, pl.Float32, pl.Float64], ids=str)
def test_a_number_is_written_in_the_fewest_digits_that_name_it_in_its_precision(dtype):
    values = reals([0.1, 2.0, 0.3], dtype)
    assert as_labels(values).to_list() == ["0.1", "2", "0.3"]
    if dtype in SHORTEST:
        assert as_labels(reals(FRACTIONS, dtype)).to_list() == SHORTEST[dtype]
    whole = reals([16777216.0, 123456792.0], dtype)
    assert dtype == pl.Float16 or as_labels(whole).to_list() == ["16777216", "123456792"]


@pytest.mark.parametrize("trained", SHORTEST, ids=str)
@pytest.mark.parametrize("served", [pl.Float64, pl.Float32], ids=str)
def test_a_fraction_is_found_in_the_coarser_of_two_precisions(trained, served):
    known, precision = as_labels(reals(FRACTIONS, trained)).to_list(), precision_of(trained())
    column = reals(FRACTIONS, served)
    for given in (column, column.cast(pl.Float64), as_labels(column)):
        assert find_labels(given, known, precision)[0].tolist()[:3] == [0, 1, 2]
    # Text of fewer digits than the label has may be another number, unless the label's column was as coarse.
    assert find_labels(column, known, precision)[0].tolist() == [0, 1, 2, 3]
    assert find_labels(column.cast(pl.Float64), known, precision)[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("served", [pl.Float16, pl.Float32, pl.Float64, pl.String], ids=str)
def test_labels_of_half_precision_are_found_and_half_precision_finds_labels(served):
    values, known = [0.1, 0.2, 0.3], ["0.1", "0.2", "0.3"]
    half = reals(values, pl.Float16)
    assert as_labels(half).to_list() == known
    given = pl.Series(known) if served == pl.String else reals(values, served)
    assert find_labels(given, known, "half")[0].tolist() == [0, 1, 2]
    assert find_labels(half.cast(pl.Float64), known, "half")[0].tolist() == [0, 1, 2]
    assert find_labels(half, known)[0].tolist() == [0, 1, 2]


def test_numbers_that_only_rounding_would_make_one_stay_apart():
    both = ["0.1", "0.10000000149011612"]
    assert find_labels(pl.Series([0.1, 0.10000000149011612]), both)[0].tolist() == [0, 1]
    assert find_labels(reals([0.1], pl.Float32), both)[0].tolist() == [0]
    two = ["0.12345678901", "0.12345678902"]
    assert find_labels(reals([0.12345678901], pl.Float32), two)[0].tolist() == [-1]
    assert find_labels(pl.Series([0.1000001, 0.5]), ["0.1", "0.500000001"])[0].tolist() == [-1, -1]
    # Whole numbers may be identifiers.
    assert find_labels(pl.Series([16777216, 16777218]), ["16777217"])[0].tolist() == [-1, -1]
    assert find_labels(pl.Series([16777216.0]), ["16777217"])[0].tolist() == [-1]


def test_decimals_are_labels_in_all_their_digits():
    column = pl.Series([Decimal("12345678901234567.01"), Decimal("12345678901234567.02"), Decimal("3.00")])
    labels = as_labels(column).to_list()
    assert labels == ["12345678901234567.01", "12345678901234567.02", "3"]
    assert find_labels(column, labels)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("digits", [["12345678901234567890", "12345678901234567891"], [str(2**70), str(2**70 + 1)]])
def test_groups_and_categories_of_many_digits_stay_apart_in_a_file(tmp_path, digits):
    path, _ = written(tmp_path, [*digits, "3", "4"])
    prepared = prepare(path, target="x", split="group:c", test="none")
    assert len(np.unique(prepared.units)) == 4
