"""Whatever comes in, `table` answers or raises an error of its own."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.errors import TrimtabError
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.table.read import read_batches, read_table

SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
WORDS = [
    "",
    "NA",
    "?",
    "none",
    "-",
    "inf",
    "true",
    "FALSE",
    "1",
    "1.0",
    "007",
    "1e400",
    "-0",
    "1,5",
    "2024-02-30",
    "2024-02-28",
]
CELLS = (
    st.floats(width=64),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(WORDS),
    st.text(max_size=5),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.times(),
    st.binary(max_size=3),
    st.lists(st.integers(0, 2), max_size=2),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
    st.none(),
)


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 30))
    columns = {}
    for name in draw(
        st.lists(st.sampled_from(["a", "b", "id", "", "y", "ä ö", "x\ny", "when"]), unique=True, max_size=5)
    ):
        cell = draw(st.sampled_from(CELLS))
        if draw(st.booleans()):
            cell = st.one_of(cell, st.none())
        values = draw(st.lists(cell, min_size=rows, max_size=rows))
        columns[name] = pl.Series(name, values, strict=False)
    return pl.DataFrame(columns)


def options(columns):
    names = st.sampled_from([*columns, "y"])
    return st.fixed_dictionaries(
        {"target": names, "minimum_rows": st.sampled_from([2, 10])},
        optional={
            "task": st.sampled_from(["auto", "regression", "classification"]),
            "split": st.one_of(st.just("random"), names, names.map("time:{}".format), names.map("group:{}".format)),
            "test": st.one_of(st.sampled_from(["none", "0.2", None]), st.floats(-1, 2)),
            "drop": st.lists(names, max_size=1),
            "number": st.lists(names, max_size=1),
            "category": st.lists(names, max_size=1),
            "weight": names,
            "seed": st.integers(0, 3),
        },
    )


def answer(function, *arguments, **options):
    """What the function returns, or None when it raises an error of ours that says something."""
    try:
        return function(*arguments, **options)
    except TrimtabError as error:
        if not str(error):
            raise
        return None


def check(prepared: Prepared):
    """What holds for every answer."""
    rows = len(prepared.development_rows)
    assert prepared.numbers.shape == (rows, prepared.encoder.n_numbers)
    assert prepared.codes.shape == (rows, len(prepared.encoder.cardinalities))
    assert np.isfinite(prepared.numbers).all()
    assert np.isfinite(prepared.targets).all()
    assert (prepared.weights > 0).all()
    assert ((prepared.codes >= 0) & (prepared.codes < np.array(prepared.encoder.cardinalities, dtype=int))).all()
    for train, valid in prepared.folds:
        assert len(train)
        assert len(valid)
        assert not np.isin(valid, train).any()
    if prepared.test is not None:
        assert np.isfinite(prepared.encoder.encode(prepared.test).numbers).all()
        assert np.isfinite(prepared.target_encoder.encode(prepared.test)).all()


@SETTINGS
@given(st.data())
def test_any_frame_with_any_options(data):
    frame = data.draw(tables())
    asked = data.draw(options(frame.columns))
    if prepared := answer(prepare, frame, **asked):
        check(prepared)


@pytest.fixture(scope="module")
def encoder():
    """That of a table with a column of each kind."""
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "number": generator.normal(size=40),
            "label": [f"l{i % 15}" for i in range(40)],
            "truth": [True, False] * 20,
            "when": pl.Series(generator.integers(0, 10**15, 40)).cast(pl.Datetime("us")),
            "y": generator.normal(size=40),
        }
    )
    return prepare(frame, target="y").encoder


@SETTINGS
@given(data=st.data())
def test_an_encoder_takes_any_cells_where_it_knows_the_columns(encoder, data):
    rows = data.draw(st.integers(0, 5))
    other = pl.DataFrame(
        [
            pl.Series(
                name, data.draw(st.lists(data.draw(st.sampled_from(CELLS)), min_size=rows, max_size=rows)), strict=False
            )
            for name in encoder.names
        ]
    )
    encoded = encoder.encode(other)
    assert np.isfinite(encoded.numbers).all()
    assert ((encoded.codes >= 0) & (encoded.codes < encoder.cardinalities[0])).all()


LINES = st.text(alphabet='abc,;\t|"\n\r 1.05-é\0', max_size=80)


@SETTINGS
@given(
    st.one_of(
        st.binary(max_size=200), LINES.map(str.encode), LINES.map(lambda text: ("a,b,y\n" + text).encode("latin-1"))
    ),
    st.sampled_from(["csv", "parquet", "arrow", "jsonl", "xlsx", "csv.gz"]),
)
def test_any_bytes_as_a_file(tmp_path, content, suffix):
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(content)
    table = answer(read_table, path)
    if table is None:
        return
    assert table.frame.height
    batches = list(read_batches(path, rows=2))
    assert sum(batch.height for batch in batches) == table.frame.height
    if prepared := answer(prepare, path, target=table.frame.columns[0], minimum_rows=2):
        check(prepared)


@SETTINGS
@given(
    st.lists(st.lists(st.text(alphabet='ab,"\n é;1', max_size=4), min_size=2, max_size=2), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t"]),
)
def test_what_is_written_with_quotes_is_read_again(tmp_path, rows, separator):
    frame = pl.DataFrame(rows, schema=["first", "second"], orient="row").with_columns(pl.all().str.strip_chars())
    path = tmp_path / "table.csv"
    frame.write_csv(path, separator=separator, quote_style="always")
    read = read_table(path).frame.with_columns(pl.all().fill_null("").str.strip_chars())
    if separator != ",":
        frame = frame.with_columns(pl.all().str.replace(r"^(\d+),(\d+)$", "$1.$2"))
    assert read.rows() == frame.rows()


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 1.7976931348623157e308])
def test_numbers_at_the_ends_of_float64(value):
    frame = pl.DataFrame({"x": [value, -value, 0.0, 1.0] * 10, "y": [value, 1.5, -1.0, 0.0] * 10}).with_row_index("z")
    check(prepare(frame.with_columns(pl.col("z") * 0.37), target="y"))
