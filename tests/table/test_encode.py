"""Encoder: fitted on training rows, blind to order and type of columns, and never silent about what it met."""

import json

import numpy as np
import polars as pl
import pytest

from trimtab.errors import DataError, ModelError
from trimtab.table.encode import Encoder
from trimtab.table.schema import infer_schema

GENERATOR = np.random.default_rng(0)
ROWS = 400
MANY = [f"city {i}" for i in range(20)]


def training_frame():
    return pl.DataFrame(
        {
            "size": GENERATOR.normal(50, 7, ROWS),
            "gaps": pl.Series(GENERATOR.normal(size=ROWS)).set(pl.Series(np.arange(ROWS) % 10 == 0), None),
            "rooms": GENERATOR.integers(1, 6, ROWS),
            "sold": GENERATOR.random(ROWS) > 0.5,
            "colour": [("red", "green", "blue")[i % 3] for i in range(ROWS)],
            "city": [MANY[min(int(i), 19)] for i in GENERATOR.exponential(4, ROWS)],
            "level": [("low", "high", None)[i % 3] for i in range(ROWS)],
            "built": pl.Series(GENERATOR.integers(0, 10**15, ROWS)).cast(pl.Datetime("us")),
            "y": GENERATOR.normal(size=ROWS),
        }
    )


FRAME = training_frame()


def fit(frame=FRAME, weights=None, **options):
    return Encoder.fit(frame, infer_schema(frame, targets=["y"], **options), weights)


ENCODER = fit()


def column(encoded, name, encoder=ENCODER):
    return encoded.numbers[:, encoder.column_names.index(name)]


def with_column(name, values, rows=4):
    return FRAME.head(rows).with_columns(pl.Series(name, values, strict=False))


def test_every_continuous_column_has_the_edges_of_its_bins_where_its_rows_lie():
    encoded = ENCODER.encode(FRAME).numbers
    assert len(ENCODER.edges) == ENCODER.n_continuous == 4
    for place, edges in enumerate(ENCODER.edges):
        own = encoded[:, place][FRAME["gaps"].is_not_null().to_numpy()] if place == 1 else encoded[:, place]
        assert (edges[0], edges[-1]) == pytest.approx((own.min(), own.max()))
    assert len(ENCODER.edges[2]) == 5  # rooms
    assert Encoder.from_json(json.loads(json.dumps(ENCODER.to_json()))).edges == ENCODER.edges


def test_shapes_and_types():
    encoded = ENCODER.encode(FRAME)
    assert encoded.numbers.shape == (ROWS, ENCODER.n_numbers)
    assert encoded.codes.shape == (ROWS, 1)
    assert (encoded.numbers.dtype, encoded.codes.dtype) == (np.float32, np.int64)
    assert encoded.numbers.flags.c_contiguous
    assert encoded.codes.max() < ENCODER.cardinalities[0]
    assert encoded.notices == ()


def test_continuous_columns_come_first():
    assert ENCODER.column_names[: ENCODER.n_continuous] == ("size", "gaps", "rooms", "built")


def test_a_missing_number_has_an_indicator_where_training_had_one():
    encoded = ENCODER.encode(with_column("gaps", [1.0, None, float("nan"), float("inf")]))
    assert column(encoded, "gaps: missing").tolist() == [0, 1, 1, 1]
    assert column(encoded, "gaps")[1:].tolist() == [0, 0, 0]
    assert encoded.notices == ('"gaps": 1 value is infinite, and counts as missing.',)


def test_a_number_missing_for_the_first_time_takes_the_median_and_is_counted():
    encoded = ENCODER.encode(with_column("size", [None, 50.0, None, 60.0]))
    median = ENCODER.encode(with_column("size", [FRAME["size"].median()] * 4))
    assert column(encoded, "size")[0] == column(median, "size")[0] == 0
    assert encoded.notices == ('"size": 2 values are missing, none were in training; the median stands in.',)


def test_two_labels_take_one_column_of_minus_one_and_one():
    values = column(ENCODER.encode(FRAME), "sold: true")
    assert sorted(set(values.tolist())) == [-1, 1]
    assert ((values == 1) == FRAME["sold"].to_numpy()).all()


def test_a_few_labels_are_one_hot():
    encoded = ENCODER.encode(FRAME)
    table = np.stack([column(encoded, f"colour: {label}") for label in ("red", "green", "blue")])
    assert (table.sum(0) == 1).all()
    assert ((table[0] == 1) == (FRAME["colour"] == "red").to_numpy()).all()


def test_an_unseen_label_is_the_mean_label_where_none_is_rare():
    encoded = ENCODER.encode(with_column("colour", ["purple", "red", "green", None]))
    shares = {row["colour"]: row["count"] / ROWS for row in FRAME["colour"].value_counts().to_dicts()}
    for label, share in shares.items():
        assert column(encoded, f"colour: {label}")[[0, 3]] == pytest.approx([share, share])
    assert encoded.notices == (
        '"colour": 1 row has a label that training did not see.',
        '"colour": 1 value is missing, none were in training; taken as unknown labels.',
    )


def test_a_missing_label_has_an_entry_of_its_own_where_training_had_one():
    encoded = ENCODER.encode(with_column("level", [None, "low", "high", None]))
    assert column(encoded, "level: (missing)").tolist() == [1, 0, 0, 1]
    assert encoded.notices == ()


def test_many_labels_become_codes_and_the_rarest_train_the_entry_of_the_unknown():
    labels = next(feature.labels for feature in ENCODER.features if feature.name == "city")
    counts = dict(FRAME["city"].value_counts().iter_rows())
    assert labels is not None
    assert labels.kind == "embedding"
    assert labels.pooled
    assert max(counts[label] for label in labels.pooled) <= min(counts[label] for label in labels.labels)
    assert all(label in labels.pooled for label, count in counts.items() if count == 1)
    encoded = ENCODER.encode(with_column("city", ["nowhere", labels.pooled[0], labels.labels[0], None]))
    assert encoded.codes[:, 0].tolist() == [0, 0, 1, 0]
    assert any("1 row has a label" in notice for notice in encoded.notices)


def test_many_labels_of_equal_weight_still_train_the_entry_of_the_unknown():
    frame = FRAME.with_columns(city=pl.Series([MANY[i % 20] for i in range(ROWS)]))
    assert (fit(frame).encode(frame).codes == 0).sum() == ROWS // 20


def test_one_hot_columns_with_a_rare_label_have_an_entry_of_the_rare():
    frame = FRAME.with_columns(colour=pl.Series(["red", "blue", "green"] * 133 + ["gold"]))
    encoder = fit(frame)
    encoded = encoder.encode(frame.head(2).with_columns(colour=pl.Series(["gold", "unheard of"])))
    assert encoded.numbers[:, encoder.column_names.index("colour: (rare)")].tolist() == [1, 1]


def test_one_1_0_and_text_are_one_label():
    encoder = fit(category=["rooms"])
    expected = encoder.encode(FRAME).numbers
    for cast in (pl.Float64, pl.String, pl.Int8, pl.Decimal(10, 2)):
        other = encoder.encode(FRAME.with_columns(pl.col("rooms").cast(cast)))
        np.testing.assert_array_equal(other.numbers, expected)
        assert other.notices == ()
    text = encoder.encode(FRAME.with_columns(pl.col("rooms").cast(pl.Float64).cast(pl.String)))
    np.testing.assert_array_equal(text.numbers, expected)


def test_true_false_may_come_as_text_or_as_one_and_zero():
    expected = ENCODER.encode(FRAME).numbers
    for other in (pl.col("sold").cast(pl.Int64), pl.col("sold").cast(pl.String), pl.col("sold").cast(pl.Float32)):
        np.testing.assert_array_equal(ENCODER.encode(FRAME.with_columns(other)).numbers, expected)
    shouted = FRAME.with_columns(pl.col("sold").cast(pl.String).str.to_uppercase())
    np.testing.assert_array_equal(ENCODER.encode(shouted).numbers, expected)


def test_order_and_type_of_columns_and_further_columns_change_nothing():
    expected = ENCODER.encode(FRAME)
    as_text = FRAME.select(pl.col(name).cast(pl.String) for name in reversed(FRAME.columns)).with_columns(
        more=pl.lit(1)
    )
    encoded = ENCODER.encode(as_text)
    np.testing.assert_array_equal(encoded.numbers, expected.numbers)
    np.testing.assert_array_equal(encoded.codes, expected.codes)
    assert encoded.notices == ()


def test_pandas_and_arrow_frames_are_the_same_table():
    expected = ENCODER.encode(FRAME)
    for other in (FRAME.to_pandas(), FRAME.to_arrow()):
        encoded = ENCODER.encode(other)
        np.testing.assert_array_equal(encoded.numbers, expected.numbers)
        np.testing.assert_array_equal(encoded.codes, expected.codes)


def test_words_among_numbers_count_as_missing_and_are_counted():
    encoded = ENCODER.encode(with_column("size", ["50", "fifty", "NA", "-"]))
    assert encoded.notices == (
        '"size": 1 value is not a number, and counts as missing.',
        '"size": 2 values are missing, none were in training; the median stands in.',
    )


def test_every_column_that_is_not_there_is_listed():
    with pytest.raises(DataError, match=r'lacks 2 of the columns.*: "size", "city"\.'):
        ENCODER.encode(FRAME.drop("size", "city"))


def test_an_empty_table_is_encoded_as_no_rows():
    encoded = ENCODER.encode(FRAME.head(0))
    assert encoded.numbers.shape == (0, ENCODER.n_numbers)
    assert encoded.codes.shape == (0, 1)


def test_what_is_saved_encodes_the_same_bits():
    again = Encoder.from_json(json.loads(json.dumps(ENCODER.to_json(), allow_nan=False)))
    assert again == ENCODER
    np.testing.assert_array_equal(again.encode(FRAME).numbers, ENCODER.encode(FRAME).numbers)


def test_what_is_saved_holds_no_row():
    private = FRAME.with_columns(size=pl.Series(np.arange(ROWS) * 1.0 + 0.123456))
    text = json.dumps(fit(private).to_json())
    kept = sum(f"{value:.6f}" in text for value in private["size"])
    assert kept <= 1  # the median may be a value of the column


@pytest.mark.parametrize(
    "damage", [{}, {"features": [{}]}, {"features": [], "more": 1}, {"features": [{"name": 1}]}, []]
)
def test_a_damaged_encoder_is_refused(damage):
    with pytest.raises(ModelError, match="damaged"):
        Encoder.from_json(damage)


def test_weights_are_repeated_rows_and_rows_of_weight_zero_count_for_nothing():
    weights = GENERATOR.integers(0, 4, ROWS)
    schema = infer_schema(FRAME, targets=["y"])
    weighted = Encoder.fit(FRAME, schema, weights.astype(np.float64))
    repeated = Encoder.fit(FRAME[np.repeat(np.arange(ROWS), weights)], schema)
    np.testing.assert_allclose(weighted.encode(FRAME).numbers, repeated.encode(FRAME).numbers, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(weighted.encode(FRAME).codes, repeated.encode(FRAME).codes)


def test_only_the_rows_given_shape_the_encoding():
    changed = pl.concat([FRAME, FRAME.head(5).with_columns(size=pl.lit(1e9), city=pl.lit("far away"))])
    assert Encoder.fit(changed.head(ROWS), infer_schema(changed, targets=["y"])) == ENCODER
