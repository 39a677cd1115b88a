"""Spelling: labels as they are written, which spellings mean the same, and which known label a cell is.

A label is shown as the table has it ("007", "1e3", "True", " x"), and is found again however another table writes it.
Knows columns and text; it knows neither roles nor files.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
import polars as pl

from trimtab.table.cells import (
    DECIMAL_COMMA,
    FLOATS,
    LEADING_ZERO,
    MISSING_MARKS,
    FloatKind,
    as_text,
    holds_text,
    precision_of,
    rounded,
    text_of_reals,
)
from trimtab.table.clocks import meanings_of_moments, readings_of_moments

# Marks of missing cells that are words too (a continent, a country): they may be labels.
LABEL_WORDS = ("NA", "na")
_WHOLE = r"^\+?(-?(?:0|[1-9]\d*))(?:\.0*)?$"
_WHOLE_OR_CODE = r"^\+?(-?)0*(\d+)(?:\.0*)?$"
_TRUTHS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_Reading = Callable[[pl.Series], pl.Series]


def as_labels(column: pl.Series) -> pl.Series:
    """The column as text, null where missing; cells that mean the same are written as most of them are (or shortest).

    "x" and " x" mean the same, as do "1" and "1.0", "True" and "true"; where all are numbers, "1.1" and "1.10" too, and
    where all are moments, "2024-01-01" and "2024-01-01T00:00".
    "NA" is a label here; where it is none, `sources` has left it out.
    """
    text = as_text(column)
    if not holds_text(column.dtype):
        return text
    text = without_missing(text)
    counts = pl.DataFrame({"label": text}).drop_nulls().group_by("label").agg(pl.len().cast(pl.Int64).alias("rows"))
    counts = counts.with_columns(_meanings(counts["label"]).alias("meaning"))
    if counts["meaning"].n_unique() == counts.height:
        return text
    counts = counts.sort(-pl.col("rows"), pl.col("label").str.len_bytes(), "label")
    shown = counts.with_columns(pl.col("label").first().over("meaning").alias("shown"))
    shown = shown.filter(pl.col("label") != pl.col("shown"))
    return text.replace(shown["label"], shown["shown"])


def other_spellings(column: pl.Series) -> dict[str, list[str]]:
    """By label, the texts in `column` that are taken for it although they are written otherwise."""
    if not holds_text(column.dtype):
        return {}
    pairs = pl.DataFrame({"text": without_missing(as_text(column)), "label": as_labels(column)})
    found = pairs.filter(pl.col("text") != pl.col("label")).unique().sort("label", "text")
    return dict(found.group_by("label", maintain_order=True).agg("text").iter_rows())


def as_written(column: pl.Series, text: pl.Series, *, knows_types: bool, as_numbers: bool) -> pl.Series:
    """A column that was read from `text`, as labels: the text, unless `column` holds numbers that are written just so,
    `as_numbers` (1.0) or as labels (1).

    Where the source `knows_types`, text was meant as text.
    """
    there = as_text(column)
    text = text.set(there.is_null(), None)
    if knows_types:
        return text
    text = text.str.strip_chars()
    shown = column.cast(pl.String) if as_numbers and column.dtype.is_numeric() else there
    # Tools differ in how they write an exponent.
    is_plain = column.dtype.is_integer() or (column.dtype.is_float() and not there.str.contains("e").any())
    return column if is_plain and text.equals(shown, null_equal=True) else text


def without_missing(text: pl.Series) -> pl.Series:
    """Text as it stands, null where a missing mark stands that is no word."""
    marks = [mark for mark in MISSING_MARKS if mark not in LABEL_WORDS]
    return text.set(text.str.strip_chars().is_in(marks), None)


def find_labels(
    column: pl.Series, known: Sequence[str], precision: FloatKind = "double"
) -> tuple[np.ndarray, np.ndarray]:
    """The place of each cell's label in `known` (int64 [rows], -1 where it is none), and what is missing (bool [rows]).

    A label is found by its text, else by what the text means, else by its number or moment, where that is of one label
    alone: 2.0 finds "2", " x" finds "x", 7 finds "007", "2024-01-01T00:00" finds "2024-01-01"; 1 finds "True" where
    true and false are all that is known. Fractions are compared in the coarser of two precisions: that of the numbers
    that `known` come from, and that of the column.
    """
    text = as_text(column)
    distinct = text.unique().drop_nulls()
    coarser = min(precision, precision_of(column.dtype), key=list(FLOATS).index)
    places = _places(distinct, pl.Series("known", list(known), dtype=pl.String), coarser)
    marks = distinct.filter(places.is_null() & distinct.str.strip_chars().is_in(MISSING_MARKS))
    found = text.replace_strict(distinct, places, default=None, return_dtype=pl.Int64)
    return found.fill_null(-1).to_numpy(), (text.is_null() | text.is_in(marks.implode())).to_numpy()


def _places(texts: pl.Series, known: pl.Series, precision: FloatKind) -> pl.Series:
    places = pl.Series([None] * len(texts), dtype=pl.Int64)
    exact = _of_one_label(known)
    if exact.height:
        places = _looked_up(texts, exact)
    for read, own in _meanings_of(tuple(known), precision) if places.null_count() else ():
        if places.null_count() == 0:
            break
        places = places.zip_with(places.is_not_null(), _looked_up(read(texts), own))
    return places


def _of_one_label(keys: pl.Series) -> pl.DataFrame:
    """`key` and `place` of the labels whose key no other label has."""
    keyed = pl.DataFrame({"key": keys, "place": np.arange(len(keys))})
    return keyed.drop_nulls().filter(pl.col("key").is_unique())


def _looked_up(keys: pl.Series, own: pl.DataFrame) -> pl.Series:
    return keys.replace_strict(own["key"], own["place"], default=None, return_dtype=pl.Int64)


# A table is read in batches, and each column of each batch asks for the same labels. Of so many columns, a guess: where
# each has a hundred thousand labels, their keys take a gigabyte.
@lru_cache(maxsize=64)
def _meanings_of(known: tuple[str, ...], precision: FloatKind) -> tuple[tuple[_Reading, pl.DataFrame], ...]:
    """By what cells and known labels are compared beyond their text, the strictest first: how cells are read, and
    which label each key is then; without the readings that know none."""
    labels = pl.Series("known", known, dtype=pl.String)
    readings = [(read, _of_one_label(read_known(labels))) for read, read_known in _readings(labels, precision)]
    return tuple((read, own) for read, own in readings if own.height)


def _readings(known: pl.Series, precision: FloatKind) -> Iterator[tuple[_Reading, _Reading]]:
    yield as_words, as_words
    yield as_values, _values_of_known
    read = partial(_as_rounded, precision="single" if precision == "double" else precision)
    yield _as_widened if precision == "double" else read, lambda labels: read(_values_of_known(labels))
    if as_words(known).is_in(list(_TRUTHS)).all():
        yield _as_truths, _as_truths
    yield from readings_of_moments(known)


def as_words(text: pl.Series) -> pl.Series:
    """What text means beyond its letters: blanks around it, the case of true and false and a `.0` mean nothing."""
    text = text.str.strip_chars()
    lower = text.str.to_lowercase()
    return _whole(text, _WHOLE, "$1").zip_with(~lower.is_in(["true", "false"]), lower)


def as_values(text: pl.Series) -> pl.Series:
    """The number that each text writes, in the form of `cells.as_text`; null where it is none. "007" is 7 here."""
    text = text.str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    numbers = numbers.set(numbers.is_nan() | numbers.is_infinite(), None)
    # Digits stay digits: an identifier of twenty of them is no float64.
    return _whole(text, _WHOLE_OR_CODE, "${1}${2}").zip_with(text.str.contains(_WHOLE_OR_CODE), text_of_reals(numbers))


def _as_rounded(text: pl.Series, precision: FloatKind) -> pl.Series:
    """The number that each text writes, as the text of what a column of `precision` makes of it; null for none."""
    return _text_of_rounded(as_values(text).cast(pl.Float64), precision)


def _text_of_rounded(numbers: pl.Series, precision: FloatKind) -> pl.Series:
    numbers = rounded(numbers.to_numpy(), precision)
    return text_of_reals(numbers.set(numbers.is_nan() | numbers.is_infinite(), None))


def _as_widened(text: pl.Series) -> pl.Series:
    """The number of single precision that a text writes in the many digits that it has as float64; null for others.

    0.10000000149011612 is such a one, 0.1 and 0.5 are none; whole numbers are none, since they may be identifiers.
    """
    numbers = as_values(text).cast(pl.Float64)
    single = numbers.cast(pl.Float32)
    short = _text_of_rounded(numbers, "single")
    is_widened = (single.cast(pl.Float64) == numbers) & (numbers.floor() != numbers)
    return short.set(~(is_widened & (short != text_of_reals(numbers))).fill_null(False), None)


def are_numbers(texts: pl.Series) -> bool:
    """Whether all that is there are numbers, none of them a code with leading zeros."""
    texts = texts.drop_nulls()
    is_code = texts.str.strip_chars().str.contains(LEADING_ZERO)
    return not is_code.any() and as_values(texts).null_count() == 0


def _meanings(distinct: pl.Series) -> pl.Series:
    if are_numbers(distinct):
        return as_values(distinct)
    moments = meanings_of_moments(distinct)
    return as_words(distinct) if moments is None else moments


def _whole(text: pl.Series, pattern: str, digits: str) -> pl.Series:
    return text.str.replace(pattern, digits).str.replace("^-0$", "0")


def _values_of_known(known: pl.Series) -> pl.Series:
    # Tables come with a decimal point in the place of the comma with which a label may be written.
    return as_values(known.str.strip_chars().str.replace(DECIMAL_COMMA, "$1.$2"))


def _as_truths(text: pl.Series) -> pl.Series:
    return as_words(text).replace_strict(_TRUTHS, default=None, return_dtype=pl.String)
