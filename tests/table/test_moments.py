"""Date-times: time passed and the parts of the calendar that vary, whatever type, text or time zone they come in."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from trimtab.table.encode import Encoder
from trimtab.table.prepare import prepare
from trimtab.table.schema import infer_schema

START = datetime(2024, 1, 1)


def frame_of(moments):
    moments = list(moments)
    return pl.DataFrame({"when": moments, "y": np.linspace(0, 1, len(moments))})


def fit(frame):
    return Encoder.fit(frame, infer_schema(frame, targets=["y"]))


HOURLY = frame_of(START + timedelta(hours=7 * i) for i in range(300))


def test_only_parts_that_vary_are_shown():
    assert fit(HOURLY).column_names[1::2] == (
        "when: hour of day sin", "when: day of week sin", "when: day of month sin", "when: month of year sin",
    )  # fmt: skip
    daily_in_january = frame_of(START + timedelta(days=i) for i in range(31))
    assert fit(daily_in_january).column_names[1::2] == ("when: day of week sin", "when: day of month sin")


def test_the_time_passed_grows_with_time():
    assert (np.diff(fit(HOURLY).encode(HOURLY).numbers[:, 0]) > 0).all()


def test_midnight_and_noon_are_opposite_and_a_day_later_is_the_same():
    encoder = fit(HOURLY)
    day = frame_of([START, START + timedelta(hours=12), START + timedelta(hours=24)])
    hours = encoder.encode(day).numbers[:, 1:3]
    np.testing.assert_allclose(hours[0], -hours[1], atol=1e-6)
    np.testing.assert_allclose(hours[0], hours[2], atol=1e-6)


def test_a_missing_moment_is_zero_everywhere_and_indicated_when_training_had_one():
    frame = HOURLY.with_columns(pl.when(pl.int_range(300) % 7 > 0).then("when"))
    encoder = fit(frame)
    encoded = encoder.encode(frame)
    assert encoder.column_names[-1] == "when: missing"
    assert (encoded.numbers[0, :-1] == 0).all()
    assert encoded.numbers[0, -1] == 1


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%d.%m.%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%d/%m/%Y %H:%M",
        "%Y/%m/%d %H:%M:%S",
    ],
)
def test_written_moments_are_read_in_training_and_one_by_one_later(form):
    text = HOURLY.with_columns(pl.col("when").dt.strftime(form))
    prepared = prepare(text, target="y", test="none")
    assert [column.role for column in prepared.schema.features] == ["date-time"]
    expected = fit(HOURLY).encode(HOURLY)
    np.testing.assert_array_equal(prepared.encoder.encode(text).numbers, expected.numbers)
    for row in (0, 17, 250):
        np.testing.assert_array_equal(prepared.encoder.encode(text[row]).numbers, expected.numbers[[row]])


def test_the_clock_is_that_of_the_time_zone_of_training():
    local = HOURLY.with_columns(pl.col("when").dt.replace_time_zone("Europe/Zurich"))
    encoder = fit(local)
    expected = encoder.encode(local).numbers
    np.testing.assert_array_equal(expected, fit(HOURLY).encode(HOURLY).numbers)
    in_utc = local.with_columns(pl.col("when").dt.convert_time_zone("UTC"))
    np.testing.assert_array_equal(encoder.encode(in_utc).numbers, expected)


def test_what_is_no_date_is_counted():
    encoded = fit(HOURLY).encode(HOURLY.head(3).with_columns(when=pl.Series(["soon", "2024-01-01 00:00:00", None])))
    assert encoded.notices == (
        '"when": 1 value is not a date, and counts as missing.',
        '"when": 1 value is missing, none were in training; the median stands in.',
    )
    numbers = fit(HOURLY).encode(HOURLY.head(3).with_columns(when=pl.Series([1, 2, 3])))
    assert numbers.notices == ('"when": 3 values are not dates, and count as missing.',)


def test_dates_and_other_units_are_the_same_moments():
    daily = frame_of(START + timedelta(days=i) for i in range(100))
    encoder = fit(daily)
    expected = encoder.encode(daily).numbers
    for dtype in (pl.Date, pl.Datetime("ms"), pl.Datetime("ns")):
        np.testing.assert_array_equal(encoder.encode(daily.with_columns(pl.col("when").cast(dtype))).numbers, expected)
