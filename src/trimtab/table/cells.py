"""What a cell says: nothing, a number, a moment, true or false. The same words hold for training and for prediction.

Knows neither roles nor files; every function takes whole columns.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

MISSING_MARKS = ("", "NA", "N/A", "n/a", "na", "nan", "NaN", "NAN", "null", "NULL", "Null", "?", "<NA>", "#N/A", "NaT")
# In a column of labels these are words (a damage of class "none"); among numbers and moments they are gaps.
MISSING_NUMBER_MARKS = ("-", "--", ".", "none", "None", "NONE", "nil")

_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%H:%M:%S%.f%#z", "%H:%M%#z")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
MOMENT_FORMATS = (
    *_DAYS,
    *(f"{day}{gap}{clock}" for day in _DAYS for gap in (" ", "T") for clock in _CLOCKS),
)
TIME_OF_DAY = "%H:%M:%S%.f"  # polars leaves parts of seconds out where it is not told
LOOKS_LIKE_MOMENT = r"^\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3})[-/. ]\d{2,4}|^[A-Za-z]{3} \d{1,2}, \d{4}"
LEADING_ZERO = r"^[+-]?0\d+$"
DECIMAL_COMMA = r"^([+-]?\d+),(\d+([eE][+-]?\d+)?)$"

_REAL = pl.Float64
FloatKind = Literal["half", "single", "double"]
FLOATS: dict[FloatKind, type[np.floating]] = {"half": np.float16, "single": np.float32, "double": np.float64}


def without_marks(text: pl.Expr, *, extra: tuple[str, ...] = ()) -> pl.Expr:
    """Stripped text, null where a missing mark stands."""
    stripped = text.str.strip_chars()
    return pl.when(stripped.is_in([*MISSING_MARKS, *extra])).then(None).otherwise(stripped).name.keep()


def with_decimal_point(frame: pl.DataFrame) -> pl.DataFrame:
    """Every cell like `1,5` becomes `1.5` (for files whose separator leaves the comma to the decimals)."""
    return frame.with_columns(pl.col(pl.String).str.strip_chars().str.replace(DECIMAL_COMMA, "$1.$2"))


def narrowed(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without integers of 128 bits, which numpy does not have: those of 64 where they fit, else text."""
    wide = [name for name, dtype in frame.schema.items() if dtype.is_integer() and str(dtype).endswith("128")]
    return frame.with_columns(_narrow(frame[name]) for name in wide) if wide else frame


def _narrow(column: pl.Series) -> pl.Series:
    for dtype in (pl.Int64, pl.UInt64):
        if column.cast(dtype, strict=False).null_count() == column.null_count():
            return column.cast(dtype)
    return column.cast(pl.String)


def settle_types(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Text columns become what all their cells say: integers, numbers, booleans or moments; the rest stays the text it
    is, without the marks of missing cells.

    Also returns the format of each column that became moments, so that later tables are read in the same way.
    """
    frame = narrowed(frame)
    names = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    if not names or frame.is_empty():
        return frame, {}
    numbers = _settle_numbers(frame.select(names))
    text = frame.select(without_marks(pl.col(name)) for name in names if name not in numbers)
    formats: dict[str, str] = {}
    settled = []
    for column in text.iter_columns():
        values, form = _settle_text(column)
        settled.append(frame[column.name].set(column.is_null(), None) if values.dtype == pl.String else values)
        if form is not None:
            formats[column.name] = form
    return frame.with_columns([*numbers.values(), *settled]), formats


def _settle_text(column: pl.Series) -> tuple[pl.Series, str | None]:
    sample = column.head(1000).drop_nulls().head(20)
    sample = column.drop_nulls().head(20) if sample.is_empty() else sample
    if sample.is_empty():
        return column, None
    if is_true_or_false(sample) and is_true_or_false(column):
        return column.str.to_lowercase() == "true", None
    # A "-" among dates stands for none, as among numbers; among other text it may be a label.
    marks = list(MISSING_NUMBER_MARKS)
    dated = sample.filter(~sample.is_in(marks))
    if not dated.is_empty() and dated.str.contains(LOOKS_LIKE_MOMENT).all():
        moments, form = read_moments(column.set(column.is_in(marks), None))
        return (column, None) if form is None else (moments, form)
    return column, None


def _settle_numbers(text: pl.DataFrame) -> dict[str, pl.Series]:
    """The columns whose every cell is a number, as numbers. Cells with marks and blanks are looked at last: few are."""
    read = text.select(pl.all().cast(_REAL, strict=False))
    gaps, failures = text.null_count().row(0), read.null_count().row(0)
    counts = list(zip(text.columns, gaps, failures, strict=True))
    plain = [name for name, gap, failure in counts if gap == failure < text.height]
    doubtful = [name for name, gap, failure in counts if gap < failure]
    doubtful = _all_numbers(text.select(doubtful).head(1000), or_empty=True)
    marked = text.select(without_marks(pl.col(name), extra=MISSING_NUMBER_MARKS) for name in doubtful)
    marked = marked.select(_all_numbers(marked))
    # Of a list of columns polars would make a frame that calls the one without a name "column_0".
    candidates = pl.DataFrame(text.select(plain).to_dict() | marked.to_dict())
    read = pl.DataFrame(read.select(plain).to_dict() | marked.select(pl.all().cast(_REAL, strict=False)).to_dict())
    return _whole_or_real(candidates, read)


def _all_numbers(text: pl.DataFrame, *, or_empty: bool = False) -> list[str]:
    if text.width == 0:
        return []
    clean = text.select(without_marks(pl.col(name), extra=MISSING_NUMBER_MARKS) for name in text.columns)
    present = clean.select(pl.all().count()).row(0)
    numbers = clean.select(pl.all().cast(_REAL, strict=False).count()).row(0)
    counts = zip(text.columns, present, numbers, strict=True)
    return [name for name, cells, read in counts if cells == read and (read or or_empty)]


def _whole_or_real(text: pl.DataFrame, numbers: pl.DataFrame) -> dict[str, pl.Series]:
    """Integers where no cell has a point; nothing for a column with `007` in it: a code loses its zeros as a number.

    Whole numbers so long that different ones would be one float64 are codes too.
    """
    if numbers.width == 0:
        return {}
    is_whole = numbers.select((pl.all().round() == pl.all()).all()).row(0)
    whole_names = [name for name, whole in zip(numbers.columns, is_whole, strict=True) if whole]
    whole = text.select(pl.col(whole_names).cast(pl.Int64, strict=False))
    codes = text.select(pl.col(whole_names).str.contains(LEADING_ZERO).any()).row(0) if whole_names else ()
    missing = text.select(whole_names).null_count().row(0) if whole_names else ()
    lost = whole.null_count().row(0) if whole_names else ()
    found = {column.name: column for column in numbers.select(pl.all().fill_nan(None)).iter_columns()}
    for name, is_code, before, after in zip(whole_names, codes, missing, lost, strict=True):
        if is_code:
            del found[name]
        elif before == after:
            found[name] = whole[name]
        elif (long := text[name].cast(pl.UInt64, strict=False)).null_count() == before:
            found[name] = long
        elif _are_merged(text[name], found[name]):
            del found[name]
    return found


def _are_merged(text: pl.Series, numbers: pl.Series) -> bool:
    """Whether different whole numbers, written in full, are one float64."""
    pairs = pl.DataFrame({"digits": text.str.extract(r"^\+?(-?\d+)(?:\.0*)?$"), "number": numbers}).drop_nulls()
    return pairs["digits"].n_unique() > pairs["number"].n_unique()


def is_true_or_false(text: pl.Series) -> bool:
    return bool(text.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all())


def read_moments(text: pl.Series) -> tuple[pl.Series, str | None]:
    """`text` as naive date-times, and the one format that reads every cell (None when there is none)."""
    sample = text.drop_nulls().head(20)
    for form in MOMENT_FORMATS:
        if parse_moments(sample, form).null_count() == 0:
            moments = parse_moments(text, form)
            if moments.null_count() == text.null_count():
                return moments, form
    return text, None


def parse_moments(text: pl.Series, form: str) -> pl.Series:
    """`text` as naive date-times, those with a zone on the clock of UTC; null where `form` does not read it."""
    if "%H" not in form:
        return text.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    if "z" in form:
        zoned = text.str.replace("Z$", "+00:00").str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        return zoned.dt.replace_time_zone(None)
    return text.str.to_datetime(form, strict=False, time_unit="us")


def as_numbers(column: pl.Series) -> tuple[np.ndarray, int]:
    """The column as float64 (read only), NaN where missing, and how many cells were there but are no numbers."""
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(_REAL, strict=False).to_numpy(), 0
    if column.dtype == pl.Duration:
        return column.dt.total_microseconds().cast(_REAL).to_numpy() / 1e6, 0
    if column.dtype == pl.Time:
        return column.cast(pl.Int64).cast(_REAL).to_numpy() / 1e9, 0
    if column.dtype.is_temporal() or column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        return np.full(len(column), np.nan), int(column.count())
    text = column.cast(pl.String).to_frame("cell").select(without_marks(pl.col("cell"), extra=MISSING_NUMBER_MARKS))
    truth: Mapping[str, float] = {"true": 1.0, "false": 0.0}
    numbers = text["cell"].cast(_REAL, strict=False)
    if numbers.null_count() > text["cell"].null_count():
        words = text["cell"].str.to_lowercase().replace_strict(truth, default=None, return_dtype=_REAL)
        numbers = numbers.zip_with(numbers.is_not_null(), words)
    return numbers.to_numpy(), numbers.null_count() - text["cell"].null_count()


def as_moments(column: pl.Series, form: str | None, time_zone: str | None) -> tuple[pl.Series, int]:
    """The column as naive date-times of `time_zone`'s clock, and how many cells were there but are no moments."""
    if isinstance(column.dtype, pl.Datetime):
        moments = column
        if column.dtype.time_zone is not None:
            moments = column.dt.convert_time_zone(time_zone or "UTC").dt.replace_time_zone(None)
        return moments.dt.cast_time_unit("us"), 0
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")), 0
    if column.dtype not in (pl.String, pl.Categorical) and not isinstance(column.dtype, pl.Enum):
        return pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us")), int(column.count())
    text = column.cast(pl.String).to_frame("cell")
    text = text.select(without_marks(pl.col("cell"), extra=MISSING_NUMBER_MARKS))["cell"]
    moments = _read_each(text, form).alias(column.name)
    return moments, moments.null_count() - text.null_count()


def _read_each(text: pl.Series, form: str | None) -> pl.Series:
    """Each cell by the first format that reads it, `form` before all others."""
    moments = (
        pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("us")) if form is None else parse_moments(text, form)
    )
    rest = text.set(moments.is_not_null() | ~text.str.contains(LOOKS_LIKE_MOMENT), None)
    for other in MOMENT_FORMATS:
        if rest.null_count() == len(rest):
            break
        found = parse_moments(rest, other)
        if found.null_count() < len(found):
            moments = moments.zip_with(moments.is_not_null(), found)
            rest = rest.set(found.is_not_null(), None)
    return moments


def as_text(column: pl.Series) -> pl.Series:
    """The column as text: strings as they stand, numbers in one form (1.0 is "1"); null where there is no value."""
    if column.dtype.is_float():
        return text_of_reals(column.set(column.is_nan() | column.is_infinite(), None))
    if column.dtype.is_decimal():
        # Not by way of floats, which have fewer digits.
        text = column.cast(pl.String)
        has_point = text.str.contains(".", literal=True).fill_null(False)
        return text.str.replace(r"\.?0*$", "").zip_with(has_point, text).str.replace("^-0$", "0")
    if column.dtype == pl.Duration:
        per_second = {"ms": 1e3, "us": 1e6, "ns": 1e9}[column.dtype.time_unit]  # type: ignore[attr-defined]
        seconds = column.cast(pl.Int64).cast(_REAL).to_numpy() / per_second
        return text_of_reals(pl.Series(column.name, seconds, nan_to_null=True))
    if column.dtype == pl.Datetime:
        return _text_of_moments(column)
    if column.dtype == pl.Time:
        return column.dt.to_string(TIME_OF_DAY)
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        return pl.Series(column.name, [None] * len(column), dtype=pl.String)
    return column.cast(pl.String)


def _text_of_moments(moments: pl.Series) -> pl.Series:
    """One text for one moment, in whatever unit it is kept: to the microsecond, unless nanoseconds tell it apart."""
    text = moments.dt.cast_time_unit("us").cast(pl.String)
    if moments.dtype.time_unit != "ns":  # type: ignore[attr-defined]
        return text
    return moments.cast(pl.String).zip_with((moments.dt.nanosecond() % 1000 != 0).fill_null(False), text)


def precision_of(dtype: pl.DataType) -> FloatKind:
    """How exactly a column of this type holds numbers with fractions."""
    if not dtype.is_float() or dtype == _REAL:
        return "double"
    return "single" if dtype == pl.Float32 else "half"


def rounded(numbers: np.ndarray, precision: FloatKind) -> pl.Series:
    """Numbers (float64) as a column of `precision` holds them, infinite where they are too large for it."""
    with np.errstate(over="ignore"):
        return series_of_floats("", numbers.astype(FLOATS[precision]))


def series_of_floats(name: str, numbers: np.ndarray) -> pl.Series:
    """A column of the precision of `numbers` (single for half, where polars has no half)."""
    is_without_half = numbers.dtype == np.float16 and not hasattr(pl, "Float16")  # polars has it since 1.36
    return pl.Series(name, numbers.astype(np.float32) if is_without_half else numbers)


def text_of_reals(numbers: pl.Series) -> pl.Series:
    """Finite numbers as text: whole ones in full and without a point, others in the fewest digits that name them in the
    column's precision (0.1 of single precision is "0.1")."""
    doubles = numbers.cast(_REAL)
    whole = doubles.cast(pl.Int64, strict=False)
    is_whole = (whole.cast(_REAL) == doubles).fill_null(False)
    return whole.cast(pl.String).zip_with(is_whole, shortest(numbers).cast(pl.String))


def shortest(numbers: pl.Series) -> pl.Series:
    """The float64 whose text is the shortest that names the same number in the column's precision; other types as they
    are."""
    precision = precision_of(numbers.dtype)
    if precision == "double":
        return numbers
    if precision == "single":
        return numbers.cast(pl.String).cast(_REAL)
    # numpy has the fewest digits of half precision, polars those of single.
    texts = pl.Series(numbers.name, numbers.cast(_REAL).to_numpy().astype(np.float16).astype(str))
    return texts.cast(_REAL).set(numbers.is_null(), None)


def holds_text(dtype: pl.DataType) -> bool:
    """Whether cells of this type are words: text, or labels that are kept as text."""
    return dtype in (pl.String, pl.Categorical) or isinstance(dtype, pl.Enum)
