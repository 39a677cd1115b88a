"""The time between two moments of a row: an input where neither moment shows it."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from trimtab.table.encode import Encoder
from trimtab.table.prepare import prepare
from trimtab.table.spans import MOST_MOMENTS
from trimtab.table.unscaled import numbers_unscaled

ROWS = 400
rng = np.random.default_rng(0)
SECONDS = rng.integers(60, 3_600, ROWS)


def at(seconds):
    return pl.Series([datetime(2024, 1, 1) + timedelta(seconds=float(second)) for second in seconds])


STARTS = rng.integers(0, 90 * 86_400, ROWS)
RIDES = pl.DataFrame({"end": at(STARTS + SECONDS), "start": at(STARTS), "fare": SECONDS / 60})


def prepared_of(frame, **options):
    return prepare(frame, target="fare", test="none", **options)


def test_how_long_it_took_is_an_input_beside_both_moments_and_is_said():
    prepared = prepared_of(RIDES)
    encoder = prepared.encoder
    assert encoder.column_names[: encoder.n_continuous] == ("end", "start", "end minus start")
    assert 'The time from "start" to "end" is an input too.' in prepared.notices
    assert len(encoder.edges) == 3
    by_fare = prepared.numbers[prepared.development["fare"].arg_sort(), 2]
    assert (np.diff(by_fare) >= -1e-6).all() and by_fare.std() > 0.5
    assert Encoder.from_json(encoder.to_json()) == encoder
    unscaled = numbers_unscaled(encoder, prepared.development, prepared.numbers)
    np.testing.assert_allclose(unscaled[:, 2], prepared.development["fare"] / 1440, rtol=1e-6)


def test_rows_are_encoded_alike_one_by_one_and_as_text():
    encoder = prepared_of(RIDES).encoder
    whole = encoder.encode(RIDES).numbers
    np.testing.assert_array_equal(encoder.encode(RIDES[7]).numbers, whole[[7]])
    text = RIDES.with_columns(pl.col("start", "end").dt.to_string("%d.%m.%Y %H:%M:%S"))
    prepared = prepared_of(text)
    np.testing.assert_array_equal(prepared.encoder.encode(text).numbers, whole)


def test_where_one_of_the_two_is_missing_the_middle_stands_in():
    holed = RIDES.with_columns(end=pl.when(pl.int_range(ROWS) % 7 > 0).then("end"))
    prepared = prepared_of(holed)
    place = prepared.encoder.column_names.index("end minus start")
    missing = prepared.development["end"].is_null().to_numpy()
    assert missing.any()
    assert (prepared.numbers[missing, place] == 0).all()
    assert prepared.numbers[~missing, place].std() > 0.5


@pytest.mark.parametrize(
    "others",
    [
        STARTS + 86_400,
        STARTS + 600,
        STARTS + rng.exponential(0.05, ROWS),
        rng.permutation(STARTS),
        STARTS * 3,
    ],
    ids=["always a day", "always ten minutes", "parts of a second", "as wide as the moments", "seen without help"],
)
def test_other_spans_are_none(others):
    assert prepared_of(RIDES.with_columns(end=at(others))).encoder.spans == ()


def test_rows_without_weight_have_no_say():
    weights = np.where(np.arange(ROWS) < 20, 0.0, 1.0)
    far = np.where(weights == 0, 5_000_000, SECONDS)
    weighed = prepared_of(RIDES.with_columns(end=at(STARTS + far), w=weights), weight="w")
    (span,) = weighed.encoder.spans
    assert span.scaling.center < 1 / 24


def test_weights_count_like_repeated_rows():
    backwards = np.arange(ROWS) < 40
    ends = STARTS + np.where(backwards, -SECONDS, SECONDS)
    frame = RIDES.with_columns(end=at(ends), w=np.where(backwards, 100.0, 1.0))
    (weighed,) = prepared_of(frame, weight="w").encoder.spans
    assert (weighed.earlier, weighed.later) == ("end", "start")
    (plain,) = prepared_of(frame.drop("w")).encoder.spans
    assert (plain.earlier, plain.later) == ("start", "end")


def test_one_value_that_most_rows_have_leaves_the_others_apart():
    seconds = np.where(np.arange(ROWS) % 5 > 0, 1_800, SECONDS)
    prepared = prepared_of(RIDES.with_columns(end=at(STARTS + seconds)))
    column = prepared.numbers[:, prepared.encoder.column_names.index("end minus start")]
    assert len(np.unique(column[seconds == 1_800])) == 1 and len(np.unique(column)) > 50


def test_moments_on_the_clocks_of_two_zones_have_none():
    frame = RIDES.with_columns(
        pl.col("start").dt.replace_time_zone("UTC"), pl.col("end").dt.replace_time_zone("Europe/Paris")
    )
    assert prepared_of(frame).encoder.spans == ()


def test_of_many_moments_the_first_few_are_looked_at():
    many = {f"at{place}": at(STARTS + place * SECONDS) for place in range(MOST_MOMENTS + 2)}
    spans = prepared_of(pl.DataFrame({**many, "fare": SECONDS})).encoder.spans
    assert len(spans) == MOST_MOMENTS * (MOST_MOMENTS - 1) // 2
    assert all((span.earlier, span.later) == tuple(sorted((span.earlier, span.later))) for span in spans)
