"""Moments, times of day and spans of time as labels are found by what they are, however they are written."""

from datetime import date, datetime, time, timedelta

import polars as pl
import pytest

from trimtab.table.cells import as_text
from trimtab.table.clocks import texts_of_moments
from trimtab.table.spelling import as_labels, find_labels

DAYS = ["2024-01-01", "2024-01-02"]
HOURS = ["2024-01-01T08:00:00", "2024-01-02T08:00:00"]
PARIS = ["2024-01-01 01:00:00+01:00", "2024-01-02 01:00:00+01:00"]
MIDNIGHTS = pl.Series([datetime(2024, 1, 1), datetime(2024, 1, 2)])
IN_PARIS = MIDNIGHTS.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Paris")
SPANS = pl.Series([timedelta(seconds=90), timedelta(days=1, milliseconds=5)])


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (DAYS, ["2024-01-01T00:00:00", "2024-01-02 00:00"]),
        (DAYS, ["2024-01-01T00:00:00Z", "2024-01-02T01:00:00+01:00"]),
        (DAYS, ["2024-01-01T00:00Z", "2024-01-02T01:00+0100"]),
        (DAYS, ["01.01.2024", "02.01.2024"]),
        (DAYS, ["2024-01-01 00:00:00.000000", "02.01.2024"]),
        (DAYS, [date(2024, 1, 1), date(2024, 1, 2)]),
        (DAYS, IN_PARIS),
        (HOURS, [datetime(2024, 1, 1, 8), datetime(2024, 1, 2, 8)]),
        (HOURS, ["2024-01-01 08:00:00", "2024-01-02 08:00:00.000"]),
        (["2024-01-01T00:00:00", "2024-01-02T00:00:00"], [date(2024, 1, 1), date(2024, 1, 2)]),
        (["13/02/2024", "02/03/2024"], [date(2024, 2, 13), date(2024, 3, 2)]),
        (["01.02.2024", "02.02.2024"], [date(2024, 2, 1), date(2024, 2, 2)]),
        (PARIS, IN_PARIS),
        (PARIS, IN_PARIS.dt.convert_time_zone("America/New_York")),
        (PARIS, ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]),
        (PARIS, ["2024-01-01T01:00", "2024-01-02T01:00"]),
        (as_text(IN_PARIS).to_list(), ["2024-01-01T00:00:00Z", "2024-01-02 01:00:00+01:00"]),
        (["2024-01-01", "never"], ["2024-01-01T00:00", "never"]),
        (["08:00", "9:30"], [time(8), time(9, 30)]),
        (["08:00:00", "09:30:00.500"], ["8:00", "09:30:00.5"]),
        (["0 days 00:01:30", "1 days 00:00:00.005000"], SPANS),
        (as_text(SPANS).to_list(), ["0 days 00:01:30", "1 day, 0:00:00.005"]),
        (as_text(SPANS).to_list(), ["PT1M30S", "P1DT0.005S"]),
        (["-1 days +23:59:00", "5"], [timedelta(seconds=-60), timedelta(seconds=5)]),
    ],
    ids=str,
)
def test_what_is_one_moment_is_one_label(known, given):
    column = given if isinstance(given, pl.Series) else pl.Series(given)
    for unit in ("ms", "us", "ns") if column.dtype in (pl.Datetime, pl.Duration) else ("us",):
        if isinstance(column.dtype, pl.Datetime):
            column = column.dt.cast_time_unit(unit)
        elif column.dtype == pl.Duration:
            column = column.cast(pl.Duration(unit))
        places, is_missing = find_labels(column, known)
        assert places.tolist() == [0, 1]
        assert not is_missing.any()


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (DAYS, ["2024-01-03", "2024-01-01 00:00:01", "2024-01-01 00:00:00.0000001", "soon", "2024"]),
        (PARIS, ["2024-01-01 01:00:00+02:00"]),
        (["2024-01-01", "2024-01-01T00:00"], [datetime(2024, 1, 1)]),
        (["08:00"], [time(8, 0, 1)]),
        (["7", "8"], ["2024-01-07", "07:00:00"]),
    ],
    ids=str,
)
def test_another_moment_is_another_label_and_two_labels_of_one_moment_are_not_guessed(known, given):
    assert set(find_labels(pl.Series(given), known)[0].tolist()) == {-1}


def test_moments_a_nanosecond_apart_are_two_labels():
    column = pl.Series([1, 2, 1000]).cast(pl.Datetime("ns"))
    assert as_labels(column).n_unique() == 3
    assert find_labels(column, as_labels(column).to_list())[0].tolist() == [0, 1, 2]


def test_spellings_of_one_moment_in_a_column_are_one_label():
    column = pl.Series(["2024-01-01", "2024-01-01T00:00", "2024-01-02", "2024-01-02"])
    assert as_labels(column).to_list() == ["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-02"]
    assert as_labels(pl.Series(["8:00", "08:00", "08:00"])).to_list() == ["08:00"] * 3
    for others in (["2024-01-01", "2024-01-01T00:00Z"], ["2024-01-01", "2024-01-01T00:00", "never"]):
        assert as_labels(pl.Series(others)).to_list() == others


@pytest.mark.parametrize("label", ["2024-01-01", "2024-01-01T00:00:00", "2024-01-01 01:00:00+01:00", "08:00"])
def test_the_usual_texts_of_a_moment_are_all_found(label):
    texts = texts_of_moments([label])
    assert len(texts) > 4
    assert set(find_labels(pl.Series(texts), [label])[0].tolist()) == {0}
