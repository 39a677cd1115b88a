"""Every type that pandas, polars, pyarrow and numpy have for a column: as target, as feature, as weight."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab.errors import DataError
from trimtab.estimators import TrimtabRegressor, _as_numbers
from trimtab.table.frames import column_called, to_frame
from trimtab.table.prepare import prepare
from trimtab.table.sample_targets import target_labels
from trimtab.table.samples import sample_weights
from trimtab.table.spelling import as_labels

ROWS = 60
X = np.random.default_rng(0).normal(size=ROWS)
TRUTHS, WHOLE, REAL, TEXT, DIGITS = (
    (cells * ROWS)[:ROWS] for cells in ([True, False], [1, 2, 3], [0.5, 1.5, 2.0], ["b", "a", "c"], ["3", "1", "2"])
)
MONEY = [Decimal("1.50"), Decimal("2.25"), Decimal("3.00")] * (ROWS // 3)
TRUTH, NUMBER, SHARE, WORD, DIGIT = (False, True), (1, 2, 3), (0.5, 1.5, 2.0), ("a", "b", "c"), ("1", "2", "3")
# By name: the column, and its classes.
COLUMNS = {
    "pandas boolean": (pd.Series(TRUTHS, dtype="boolean"), TRUTH),
    "pandas Int64": (pd.Series(WHOLE, dtype="Int64"), NUMBER),
    "pandas UInt8": (pd.Series(WHOLE, dtype="UInt8"), NUMBER),
    "pandas Float64": (pd.Series(REAL, dtype="Float64"), SHARE),
    "pandas string": (pd.Series(DIGITS, dtype="string"), DIGIT),
    "pandas object": (pd.Series(DIGITS, dtype=object), DIGIT),
    "pandas objects that are truths": (pd.Series(TRUTHS, dtype=object), TRUTH),
    "pandas category, unused": (pd.Series(pd.Categorical(TEXT, categories=["c", "b", "a", "z"])), WORD),
    "pandas category, ordered": (pd.Series(pd.Categorical(TEXT, categories=["c", "b", "a"], ordered=True)), WORD),
    "pandas category of digits": (pd.Series(DIGITS, dtype="category"), DIGIT),
    "pandas category of numbers": (pd.Series(pd.Categorical(WHOLE, categories=[9, 3, 2, 1])), NUMBER),
    "pandas category of truths": (pd.Series(TRUTHS, dtype="category"), TRUTH),
    "pandas category of fractions": (pd.Series(REAL, dtype="category"), SHARE),
    "pyarrow bool": (pd.Series(TRUTHS, dtype="bool[pyarrow]"), TRUTH),
    "pyarrow int64": (pd.Series(WHOLE, dtype="int64[pyarrow]"), NUMBER),
    "pyarrow double": (pd.Series(REAL, dtype="double[pyarrow]"), SHARE),
    "pyarrow string": (pd.Series(DIGITS, dtype="string[pyarrow]"), DIGIT),
    "pyarrow decimal": (pd.Series(MONEY, dtype=pd.ArrowDtype(pa.decimal128(8, 2))), (1.5, 2.25, 3.0)),
    "pyarrow dictionary": (pd.Series(TEXT, dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))), WORD),
    "pyarrow dictionary of numbers": (
        pd.Series(WHOLE, dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.int64()))),
        NUMBER,
    ),
    "pyarrow array": (pa.array(DIGITS), DIGIT),
    "pyarrow chunks": (pa.chunked_array([TRUTHS[:7], TRUTHS[7:]]), TRUTH),
    "polars Boolean": (pl.Series(TRUTHS), TRUTH),
    "polars UInt8": (pl.Series(WHOLE, dtype=pl.UInt8), NUMBER),
    "polars String": (pl.Series(DIGITS), DIGIT),
    "polars Enum": (pl.Series(TEXT, dtype=pl.Enum(["c", "a", "b", "z"])), WORD),
    "polars Enum of digits": (pl.Series(DIGITS, dtype=pl.Enum(["3", "1", "2"])), DIGIT),
    "polars Categorical": (pl.Series(TEXT, dtype=pl.Categorical), WORD),
    "polars Decimal": (pl.Series(MONEY), (1.5, 2.25, 3.0)),
    "numpy bool": (np.array(TRUTHS), TRUTH),
    "numpy str": (np.array(DIGITS), DIGIT),
    "numpy bytes": (np.array(TEXT).astype(bytes), WORD),
    "numpy float16": (np.array(WHOLE, dtype=np.float16), (1.0, 2.0, 3.0)),
    "numpy datetime64": (
        np.array(["2024-01-02", "2024-01-01"] * (ROWS // 2), dtype="datetime64[D]"),
        ("2024-01-01", "2024-01-02"),
    ),
    "numpy objects, text and numbers": (np.array([1, "a", 2.5] * (ROWS // 3), dtype=object), ("1", "2.5", "a")),
    "numpy objects, whole and real": (np.array([1, 2.0, 3] * (ROWS // 3), dtype=object), (1.0, 2.0, 3.0)),
    "numpy objects, numpy's own": (np.array([np.int8(1), np.int64(2)] * (ROWS // 2), dtype=object), (1, 2)),
    "numpy objects, digits": (np.array(DIGITS, dtype=object), DIGIT),
    "list": (DIGITS, DIGIT),
    "list of truths": (TRUTHS, TRUTH),
}


def frame_of(column, **others):
    """A frame of the column's own library, or a dict of columns."""
    columns = {"f": column, **others}
    if isinstance(column, pd.Series):
        return pd.DataFrame(columns)
    if isinstance(column, pl.Series):
        return pl.DataFrame(columns)
    return pa.table(columns) if isinstance(column, (pa.Array, pa.ChunkedArray)) else columns


def cases(*without):
    kept = {name: case for name, case in COLUMNS.items() if not any(word in name for word in without)}
    return pytest.mark.parametrize(("column", "classes"), kept.values(), ids=kept)


@cases()
def test_as_target_the_classes_are_of_the_type_that_was_given(column, classes):
    for data, target in (((X[:, None], column), None), (frame_of(column, x=X), "f")):
        prepared = prepare(data, target=target, task="classification", test="none")
        encoder = prepared.target_encoder
        assert encoder.classes == classes
        assert [type(label) for label in encoder.classes] == [type(label) for label in classes]
        given = to_frame(column).to_series().to_list()
        decoded = encoder.decode(np.eye(len(classes))[prepared.targets]).tolist()
        expected = [given[row] for row in prepared.development_rows]
        if isinstance(expected[0], date):
            expected = [str(day) for day in expected]
        assert decoded == [float(cell) if isinstance(cell, Decimal) else cell for cell in expected]
        assert len(np.unique(prepared.targets)) == len(classes)


@cases()
def test_as_feature_every_library_gives_the_same_columns(column, classes):
    frame = frame_of(column, x=X, y=X)
    prepared = prepare(frame, target="y", test="none")
    encoded = prepared.encoder.encode(frame)
    np.testing.assert_array_equal(encoded.numbers, prepared.numbers)
    assert encoded.notices == ()
    plain = to_frame(column).to_series().cast(pl.String)
    about = prepared.schema.columns[0]
    assert about.distinct == plain.n_unique() == len(classes)
    if "Categorical" in about.dtype or "Enum" in about.dtype:
        assert about.role == "category"


@cases(
    "pandas category", "dictionary", "Enum", "Categorical", "str", "String", "object", "bytes", "array", "list", "text"
)
def test_as_weight_every_library_gives_the_same_numbers(column, classes):
    if "datetime64" in str(getattr(column, "dtype", "")):
        with pytest.raises(DataError, match="cannot be read as a number"):
            sample_weights(column, ROWS)
        return
    numbers = np.array([float(cell) for cell in to_frame(column).to_series().to_list()])
    np.testing.assert_allclose(sample_weights(column, ROWS), numbers)
    prepared = prepare(frame_of(column, x=X, y=X), target="y", test="none", weight="f")
    kept = numbers[prepared.development_rows]
    np.testing.assert_allclose(prepared.weights, kept, rtol=1e-6)


def test_text_is_no_weight():
    with pytest.raises(DataError, match=r"sample_weight holds 20 values that cannot be read as a number\."):
        sample_weights(np.array(["1", "2", "heavy"] * 20), ROWS)


@cases("ecimal", "bytes", "text and numbers")
def test_estimators_have_the_labels_that_were_given(column, classes):
    labels = np.unique(target_labels(column))
    if labels.dtype.kind == "M":
        labels = labels.astype(str)
    assert labels.tolist() == list(classes)
    assert [type(label) for label in labels.tolist()] == [type(label) for label in classes]


@cases("pandas category", "dictionary", "Enum", "Categorical", "bytes", "text and numbers")
def test_estimators_have_the_numbers_that_were_given(column, classes):
    if "datetime64" in str(getattr(column, "dtype", "")):
        with pytest.raises(DataError, match="y holds moments"):
            _as_numbers(column, TrimtabRegressor())
        return
    numbers = np.array([float(cell) for cell in to_frame(column).to_series().to_list()])
    np.testing.assert_allclose(_as_numbers(column, TrimtabRegressor()), numbers)


def test_a_regressor_takes_no_text():
    for text in (TEXT, pd.Series(TEXT, dtype="category"), pl.Series(TEXT), np.array(TEXT).astype(bytes)):
        with pytest.raises(DataError, match="y holds text, where numbers are needed: TrimtabClassifier takes labels"):
            _as_numbers(text, TrimtabRegressor())


@pytest.mark.parametrize(
    ("gaps", "classes"),
    [
        (pd.Series([True, None, False] * 20, dtype="boolean"), TRUTH),
        (pd.Series([1, None, 2] * 20, dtype="Int64"), (1, 2)),
        (pd.Series([1, None, 2] * 20, dtype="int64[pyarrow]"), (1, 2)),
        (pd.Series(["b", None, "a"] * 20, dtype="string"), ("a", "b")),
        (pd.Series(["b", None, "a"] * 20, dtype="category"), ("a", "b")),
        (pd.Series(pd.Categorical([2, None, 1] * 20)), (1, 2)),
        (pl.Series(["b", None, "a"] * 20, dtype=pl.Categorical), ("a", "b")),
        (np.array([True, None, False] * 20, dtype=object), TRUTH),
        (np.array(["b", float("nan"), "a"] * 20, dtype=object), ("a", "b")),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_a_gap_stays_a_gap_and_changes_no_class(gaps, classes):
    prepared = prepare((X[:, None], gaps), target=None, task="classification", test="none")
    found = prepared.target_encoder.classes
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]
    assert prepared.counts.without_target == 20
    with pytest.raises(DataError, match="y lacks 20 labels"):
        target_labels(gaps)


def test_numbers_that_are_categories_by_type_are_matched_by_value():
    frame = pd.DataFrame({"f": pd.Categorical(WHOLE), "x": X, "y": X})
    prepared = prepare(frame, target="y", test="none")
    assert prepared.schema.columns[0].role == "category"
    for cells in (np.array(WHOLE), np.array(WHOLE, dtype=float), np.array(WHOLE).astype(str)):
        encoded = prepared.encoder.encode({"f": cells, "x": X})
        np.testing.assert_array_equal(encoded.numbers, prepared.numbers)
    kept = prepare(frame, target="y", test="none", number=["f"]).schema
    assert kept.columns[0].role == "number"


@pytest.mark.parametrize("cells", [[-1, 2**63, 2**63 + 1], [2**64 + 1, 2**64, 3], [1, 2, 3]], ids=str)
def test_integers_of_128_bits_are_told_apart(cells):
    frame = pl.DataFrame({"x": [float(i % 7) for i in range(90)], "k": pl.Series(cells * 30, dtype=pl.Int128)})
    assert prepare(frame, target="k", task="classification").target_encoder.outputs == 3
    assert prepare(frame, target="x", category=["k"]).encoder.n_numbers > 0


@pytest.mark.parametrize(
    "cells", [[-1, 2**63, 2**63 + 1], [10**30, 10**30 + 1, 3], [10**50, 10**50 + 1, None]], ids=str
)
def test_integers_of_python_are_told_apart_however_large(cells):
    column = to_frame(np.array(cells, dtype=object)).to_series()
    assert [None if cell is None else int(cell) for cell in column.to_list()] == cells


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"])
def test_numpys_units_of_time_are_all_known(unit):
    moments = np.array(["2020-01-01", "2021-01-01"], dtype=f"datetime64[{unit}]")
    for data in (moments, {"x0": moments}):
        assert to_frame(data).to_series().cast(pl.Datetime("us")).to_list() == moments.astype("M8[us]").tolist()
    if unit not in ("Y", "M"):  # which are of no fixed length
        spans = np.array([1, 2], dtype=f"timedelta64[{unit}]")
        for data in (spans, {"x0": spans}):
            expected = spans.astype("m8[us]").astype(int).tolist()
            assert to_frame(data).to_series().dt.total_microseconds().to_list() == expected


def test_a_bare_categorical_is_a_column():
    for data in (pd.Categorical(TEXT), {"x": pd.Categorical(TEXT)}):
        assert to_frame(data).to_series().dtype == pl.Categorical
        assert to_frame(data).to_series().to_list() == TEXT


def test_a_moment_is_one_label_in_every_unit():
    days = pl.Series("day", [datetime(2020, 1, 1 + i % 3) for i in range(6)])
    texts = [as_labels(days.cast(pl.Datetime(unit))).to_list() for unit in ("ms", "us", "ns")]
    assert texts[0] == texts[1] == texts[2]


FORMS = {
    "list": lambda cells: cells,
    "list of lists": lambda cells: [[cell] for cell in cells],
    "objects": lambda cells: np.array(cells, dtype=object),
    "dict of a list": lambda cells: {"a": cells},
    "dict of a tuple": lambda cells: {"a": tuple(cells)},
    "dict of objects": lambda cells: {"a": np.array(cells, dtype=object)},
    "pandas objects": lambda cells: pd.Series(cells, dtype=object),
    "pandas frame": lambda cells: pd.DataFrame({"a": pd.Series(cells, dtype=object)}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([1, 2**53, 2**53 + 1], pl.Int64),
        ([None, 2**53, 2**53 + 1], pl.Int64),
        ([np.int64(2**53 + 1), 2, np.uint64(2**63)], pl.UInt64),
        ([1, 2**63, 2**63 + 1], pl.UInt64),
        ([-1, 2**63, 2**63 + 1], pl.String),
        ([2**64 + 1, 2**64, 3], pl.String),
        ([0.5, 2**53, 2**53 + 1], pl.String),
        ([0.5, 2**53, 3], pl.Float64),
    ],
    ids=str,
)
def test_long_integers_are_never_made_floats(cells, dtype, form):
    column = to_frame(form(cells)).to_series()
    assert column.dtype == dtype
    assert as_labels(column).to_list() == [None if cell is None else str(cell) for cell in cells]


@pytest.mark.parametrize("form", ["list", "objects", "pandas objects"])
def test_long_integers_are_classes_and_categories_of_their_own(form):
    column = FORMS[form]([-1, 2**63, 2**63 + 1] * (ROWS // 3))
    target = prepare((X[:, None], column), target=None, task="classification", test="none").target_encoder
    assert target.labels == ("-1", str(2**63), str(2**63 + 1))
    whole = np.column_stack([np.array([1, 2**53, 2**53 + 1] * (ROWS // 3)), np.arange(ROWS) % 7])
    labels = prepare((whole, X), target=None, test="none", category=["x0"]).encoder.features[0].labels
    assert set(labels.labels) == {"1", str(2**53), str(2**53 + 1)}


SINGLE = np.array([0.1, 0.2, 0.3], dtype=np.float32)
HALF = SINGLE.astype(np.float16)


@pytest.mark.parametrize(
    "column",
    [
        SINGLE, HALF, list(SINGLE), {"a": list(SINGLE)}, {"a": HALF}, np.array([*SINGLE], dtype=object), {"a": [*HALF]},
        pd.Series(SINGLE), pd.Series(HALF), pd.Series(SINGLE, dtype="Float32"),
        pd.Series(SINGLE, dtype="float[pyarrow]"), pd.Series(pd.Categorical(SINGLE)),
        pd.Series([*SINGLE], dtype=object), pl.Series(SINGLE), pl.Series(HALF),
        pa.array(SINGLE), pa.array(HALF), pd.Series(HALF, dtype=pd.ArrowDtype(pa.float16())),
    ],
    ids=lambda column: f"{type(column).__name__} {getattr(column, 'dtype', '')}",
)  # fmt: skip
def test_a_fraction_keeps_its_precision_and_has_its_shortest_name(column):
    assert as_labels(to_frame(column).to_series()).to_list() == ["0.1", "0.2", "0.3"]


@pytest.mark.parametrize("first", [pl.Float32, pl.Float64], ids=str)
@pytest.mark.parametrize("second", [pl.Float16, pl.Float32, pl.Float64], ids=str)
def test_frames_of_several_precisions_have_the_same_labels(first, second):
    cells = pl.Series([0.1, 0.2, 0.3] * (ROWS // 3))
    frames = [pl.DataFrame({"x": X, "c": cells.cast(dtype), "y": cells.cast(dtype)}) for dtype in (first, second)]
    by_parts = prepare((*frames, frames[1]), target="y", task="classification", category=["c"])
    by_test = prepare(frames[0], target="y", task="classification", category=["c"], test=frames[1])
    for prepared in (by_parts, by_test):
        assert prepared.target_encoder.classes == (0.1, 0.2, 0.3)
        assert prepared.encoder.column_names == ("x", "c: 0.1", "c: 0.2", "c: 0.3")
        assert prepared.test is not None
        assert (prepared.test.height, prepared.encoder.encode(prepared.test).notices) == (ROWS, ())


def test_frames_of_several_kinds_of_integers_keep_them():
    frames = [
        pl.DataFrame({"x": X, "y": pl.Series(cells * (ROWS // 2), dtype=dtype)})
        for cells, dtype in (([2**53, 3], pl.UInt64), ([2**53 + 1, -1], pl.Int64))
    ]
    prepared = prepare((*frames, None), target="y", task="classification", test="none")
    assert prepared.target_encoder.classes == (-1, 3, 2**53, 2**53 + 1)


def test_a_test_file_keeps_the_digits_of_long_integers(tmp_path):
    frame = pl.DataFrame({"x": X, "c": [2**53, 2**53 + 1, 3] * (ROWS // 3), "y": X})
    frame.write_csv(tmp_path / "test.csv")
    prepared = prepare(frame, target="y", category=["c"], test=tmp_path / "test.csv")
    assert prepared.test is not None
    assert prepared.test["c"].to_list() == frame["c"].to_list()


@pytest.mark.parametrize("trained", [" b", "b", "b "])
@pytest.mark.parametrize("served", [" b", "b", "b "])
def test_blanks_around_a_name_are_no_other_name(trained, served):
    frame = pl.DataFrame({"a": X, trained: X})
    for named in (trained, served):
        prepared = prepare(frame, target=named, weight=None, test=frame.rename({trained: served}))
        assert prepared.target_encoder.names == (trained,)
        prepared = prepare(frame, target="a", number=named, test="none")
        assert prepared.encoder.encode(frame.rename({trained: served})).numbers.shape == prepared.numbers.shape
    assert column_called("b", [" b", "b "]) == "b"


@pytest.mark.parametrize(
    ("zone", "known", "hour"),
    [("+01:00", "Etc/GMT-1", 9), ("-05:00", "Etc/GMT+5", 3), ("+05:30", "UTC", 8), ("Europe/Paris", "Europe/Paris", 9)],
)
def test_moments_of_a_frame_keep_their_clock_where_only_hours_from_utc_are_known(zone, known, hour):
    moments = pd.Series([pd.Timestamp("2024-01-01 08:00", tz="UTC")]).dt.tz_convert(zone)
    column = to_frame(moments).to_series()
    assert (column.dtype.time_zone, column.dt.hour()[0]) == (known, hour)
    assert column.dt.epoch("s").to_list() == [1_704_096_000]


@pytest.mark.parametrize("library", [dict, pl.DataFrame, pd.DataFrame], ids=["dict", "polars", "pandas"])
def test_a_column_without_a_name_is_a_column(library):
    table = library({"a": [0.1 * i for i in range(40)], "": [f"{i / 8}" for i in range(40)], "y": [0.5, 1.5] * 20})
    prepared = prepare(table, target="y", test=table)
    assert [(column.name, column.role) for column in prepared.schema.features] == [("a", "number"), ("", "number")]
