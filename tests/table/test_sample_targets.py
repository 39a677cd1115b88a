"""Targets that a caller gives beside an array of features: labels keep type and value, and numbers are numbers."""

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab.errors import DataError
from trimtab.table.sample_targets import numbered, refuse_fractions, target_labels, target_numbers
from trimtab.table.target import TargetEncoder

DAYS = [date(2024, 1, 1), date(2024, 2, 1)]
MOMENTS = [datetime(2024, 1, 1, 3), datetime(2024, 2, 1, 4, 5, 6, 7)]
ZONED = [moment.replace(tzinfo=UTC) for moment in MOMENTS]
CLOCK = [time(1, 2), time(3, 4, 5)]
SPANS = [timedelta(seconds=5), timedelta(days=1)]
MONEY = [Decimal("1.10"), Decimal("2.25")]
BYTES = [b"x", b"y"]
LARGE = [-1, 2**63, 2**63 + 1]
IDS = [UUID(int=1), UUID(int=2)]
MONTHS = list(pd.period_range("2024-01", periods=2, freq="M"))
RANGES = list(pd.interval_range(0, 2))


class Color(enum.Enum):
    RED = 1
    BLUE = 2


# By name: what is given; the labels, in order; and what a model's document calls them.
LABELS = {
    "days of polars": (pl.Series(DAYS), DAYS, ("2024-01-01", "2024-02-01")),
    "days of pyarrow": (pa.chunked_array([DAYS]), DAYS, ("2024-01-01", "2024-02-01")),
    "days of pandas": (pd.Series(DAYS, dtype=pd.ArrowDtype(pa.date32())), DAYS, ("2024-01-01", "2024-02-01")),
    "days in a list": (DAYS, DAYS, ("2024-01-01", "2024-02-01")),
    "days as objects": (np.array(DAYS, dtype=object), DAYS, ("2024-01-01", "2024-02-01")),
    "moments of polars": (
        pl.Series(MOMENTS),
        MOMENTS,
        ("2024-01-01 03:00:00.000000", "2024-02-01 04:05:06.000007"),
    ),
    "moments of a zone": (
        pl.Series(ZONED),
        ZONED,
        ("2024-01-01 03:00:00.000000+00:00", "2024-02-01 04:05:06.000007+00:00"),
    ),
    "a category of moments": (
        pd.Series(MOMENTS, dtype="category"),
        MOMENTS,
        ("2024-01-01 03:00:00.000000", "2024-02-01 04:05:06.000007"),
    ),
    "a bare category of moments": (
        pd.Categorical(pd.to_datetime(MOMENTS)),
        MOMENTS,
        ("2024-01-01 03:00:00.000000", "2024-02-01 04:05:06.000007"),
    ),
    "times of day": (pl.Series(CLOCK), CLOCK, ("01:02:00", "03:04:05")),
    "spans of polars": (pl.Series(SPANS), SPANS, ("5", "86400")),
    "spans of numpy": (np.array([2, 3], dtype="m8[D]"), [timedelta(2), timedelta(3)], ("172800", "259200")),
    "decimals of polars": (pl.Series(MONEY), MONEY, (1.1, 2.25)),
    "decimals in a list": (MONEY, MONEY, (1.1, 2.25)),
    "a category of fractions": (pd.Categorical([1.5, 2.5]), [1.5, 2.5], (1.5, 2.5)),
    "a category of truths": (pd.Categorical([False, True]), [False, True], (False, True)),
    "a category of single precision": (
        pd.Categorical(np.array([0.1, 0.2], dtype=np.float32)),
        [float(np.float32(0.1)), float(np.float32(0.2))],
        (0.1, 0.2),
    ),
    "bytes of numpy": (np.array(BYTES), BYTES, ("x", "y")),
    "bytes in a list": (BYTES, BYTES, ("x", "y")),
    "bytes of polars": (pl.Series(BYTES), BYTES, ("x", "y")),
    "bytes that are no text": ([b"x", b"\xff"], [b"x", b"\xff"], ("x", "\\xff")),
    "large whole numbers": (np.array(LARGE, dtype=object), LARGE, tuple(map(str, LARGE))),
    "large whole numbers in a list": (LARGE, LARGE, tuple(map(str, LARGE))),
    "whole numbers of 128 bits": (pl.Series([3, 2**70], dtype=pl.Int128), [3, 2**70], ("3", str(2**70))),
    "whole and real": ([1, 2.0], [1.0, 2.0], (1.0, 2.0)),
    "identifiers": (IDS, IDS, tuple(map(str, IDS))),
    "months of pandas": (pd.Series(MONTHS), MONTHS, ("2024-01", "2024-02")),
    "ranges of pandas": (pd.Series(RANGES, dtype="category"), RANGES, ("(0, 1]", "(1, 2]")),
    "members of an Enum": ([Color.RED, Color.BLUE], [Color.BLUE, Color.RED], (2, 1)),
    "text of variable width": (np.array(["x", "y"], dtype=np.dtypes.StringDType()), ["x", "y"], ("x", "y")),
}


@pytest.mark.parametrize(("y", "labels", "told"), LABELS.values(), ids=LABELS)
def test_labels_keep_their_type_and_value(y, labels, told):
    found, numbers = numbered(target_labels(y))
    assert found.tolist() == labels
    assert [type(label) for label in found.tolist()] == [type(label) for label in labels]
    assert [labels[number] for number in numbers] == target_labels(y).tolist()
    frame = pl.DataFrame({"y": numbers})
    target = TargetEncoder.fit(frame, ("y",), "classification").with_labels(found)
    assert target.classes == told
    assert TargetEncoder.from_json(target.to_json()) == target


MIXED = {
    "text and truths": (["a", True], "y mixes text and true and false, such as 'a' and True, which have no order"),
    "numbers and truths": ([2, True, False], "y mixes numbers and true and false, such as 2 and True"),
    "numbers and text": ([1, "1"], r"y mixes numbers and text, .*: give labels of one kind, such as \[str"),
    "days and text": (["2024-01-01", DAYS[1]], "y mixes text and days"),
    "floats and what they do not tell apart": ([1.5, 2**60 + 1], "as large as 1152921504606846977"),
}


@pytest.mark.parametrize("as_given", [list, lambda cells: np.array(cells, dtype=object)], ids=["list", "objects"])
@pytest.mark.parametrize(("cells", "match"), MIXED.values(), ids=MIXED)
def test_labels_of_several_kinds_are_refused(cells, match, as_given):
    with pytest.raises(DataError, match=match):
        target_labels(as_given(cells))


@pytest.mark.parametrize(
    "gaps",
    [
        np.array(["2024-01-01", "NaT"], dtype="M8[s]"), [DAYS[0], None], pd.Series([MOMENTS[0], None]), ["a", None],
        pd.Categorical(["a", None]), pl.Series([MONEY[0], None]), [Decimal("NaN"), MONEY[0]],
    ],
    ids=lambda gaps: type(gaps).__name__,
)  # fmt: skip
def test_a_missing_label_is_said(gaps):
    with pytest.raises(DataError, match="y lacks 1 label: leave out the rows that have none"):
        target_labels(gaps)


@pytest.mark.parametrize("label", [(1, 2), [1, 2], {"a": 1}, object()], ids=lambda label: type(label).__name__)
def test_what_has_no_text_of_its_own_is_no_label(label):
    cells = np.empty(2, dtype=object)
    cells[:] = [label, label]
    with pytest.raises(DataError, match=f"labels of the type {type(label).__name__}: give text"):
        target_labels(cells)


def test_fractions_are_no_labels_unless_they_are_said_to_be():
    refuse_fractions(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match=r"such as 1\.5\. TrimtabRegressor predicts numbers"):
        refuse_fractions(np.array([1.0, 1.5]))


NO_NUMBERS = {
    "moments of a zone": (pd.Series(ZONED), "y holds moments, where numbers are needed: TrimtabClassifier"),
    "moments as objects": ([pd.Timestamp(moment) for moment in MOMENTS], "y holds moments"),
    "days": (np.array(DAYS, dtype=object), "y holds days"),
    "times of day": (pl.Series(CLOCK), "y holds times of day"),
    "spans": (pl.Series(SPANS), r"y holds spans of time, .* such as y\.dt\.total_seconds"),
    "spans as objects": (SPANS, "y holds spans of time"),
    "months": (pd.Series(MONTHS), "y holds Period"),
    "identifiers": (IDS, "y holds UUID"),
    "complex numbers": (np.array([1j, 2.0]), "give the real and the imaginary parts of y as two targets"),
    "tuples": (np.array([(1, 2), None], dtype=object)[:1], "several numbers in a cell"),
    "a frame of days": (pl.DataFrame({"y": DAYS}), "y holds moments"),
}


@pytest.mark.parametrize(("y", "match"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_is_not_trained_on_as_one(y, match):
    with pytest.raises(DataError, match=match):
        target_numbers(y)


@pytest.mark.parametrize(
    "y", [pl.Series(MONEY), MONEY, pd.Series([1, 2], dtype="Int64"), pl.Series([3, 2**70], dtype=pl.Int128), [True, 2]]
)
def test_every_type_of_number_is_one(y):
    assert target_numbers(y).astype(float).tolist() == [float(number) for number in y]
