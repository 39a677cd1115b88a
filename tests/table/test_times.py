"""Times that rows are sorted by: exact, whatever type they come in, and said plainly where they are none."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from trimtab.errors import DataError
from trimtab.table.prepare import prepare
from trimtab.table.times import times_of

ORDER = np.random.default_rng(0).permutation(60)
DAY_TEXTS = [str(date(2024, 1, 1) + timedelta(days=int(day))) for day in ORDER]


@pytest.mark.parametrize(
    "times",
    [
        pl.Series(1_700_000_000_000_000_000 + ORDER),
        pl.Series(2**63 + ORDER.astype(np.uint64)),
        pl.Series(ORDER).cast(pl.Datetime("ns")),
        pl.Series(ORDER).cast(pl.Duration("ns")),
        pl.Series(ORDER).cast(pl.Time),
        pl.Series([Decimal(2**60 + int(place)) / 1000 for place in ORDER]),
        pl.Series(DAY_TEXTS),
        pl.Series(DAY_TEXTS, dtype=pl.Categorical),
    ],
    ids=lambda times: str(times.dtype),
)
def test_times_are_sorted_by_all_their_digits(times):
    found = times_of(times, [])
    assert np.argsort(found).tolist() == np.argsort(ORDER).tolist()
    assert len(np.unique(found)) == len(ORDER)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("01.03.2024", 'times in several formats, such as "[-0-9]{10}" and "01.03.2024": write all of them in one'),
        ("2024-01-01 08:00", 'times in several formats, such as "[-0-9]{10}" and "2024-01-01 08:00"'),
        ("2024", 'times in several formats, such as "[-0-9]{10}" and "2024"'),
        ("soon", 'cells that are not times, such as "soon"'),
    ],
)
def test_what_is_no_time_is_named_and_a_time_is_not_said_to_be_none(last, said):
    for texts in ([*DAY_TEXTS[1:], last], [last, *DAY_TEXTS[1:]]):
        with pytest.raises(DataError, match=said):
            times_of(pl.Series("t", texts), [])


def test_rows_without_a_time_are_told_from_times():
    notices = []
    assert times_of(pl.Series("t", [*DAY_TEXTS[1:], "-"]), notices).argmin() == 59
    assert notices == ['1 row has no time in "t", and counts as the earliest.']
    with pytest.raises(DataError, match='no row has a time in "t"'):
        times_of(pl.Series("t", [None] * 5, dtype=pl.Int64), [])
    with pytest.raises(DataError, match=r'There are 2 different times.* 59 rows have no time in "t", and count as the'):
        prepare(pl.DataFrame({"t": [None] * 59 + [3], "x": np.sin(ORDER)}), target="x", split="time:t")
