"""Any frame of any library, or arrays, become one polars frame. Knows no files and gives no meaning to columns."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta, tzinfo
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from trimtab.errors import DataError
from trimtab.table.cells import narrowed, series_of_floats

# Beyond it, whole numbers that differ may be one float64.
LONGEST_EXACT = 2**53

# What polars has of numpy's units for spans and moments.
_UNITS = {"m": (("ms", 1), ("us", 1), ("ns", 1)), "M": (("D", 1), ("ms", 1), ("us", 1), ("ns", 1))}


def to_frame(data: Any, *, prefix: str = "x") -> pl.DataFrame:
    """A polars frame from a pandas, polars, pyarrow, ... frame or series, a dict of columns, or a 2-D array.

    The columns of an array are called `x0`, `x1`, ... (`prefix` and position). Raises DataError for anything else.
    """
    try:
        frame = _to_polars(data, prefix)
    except DataError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise DataError(f"This {type(data).__name__} cannot be read as a table: {_first_line(error)}.") from error
    return narrowed(frame)


def _to_polars(data: Any, prefix: str) -> pl.DataFrame:
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.Series):
        return data.to_frame(data.name or prefix)
    if isinstance(data, dict):
        return pl.DataFrame({str(name): _column(column) for name, column in data.items()}, strict=False)
    if hasattr(data, "__dataframe__") or nw.dependencies.is_into_dataframe(data):
        return _from_narwhals(data)
    if nw.dependencies.is_into_series(data):
        series = nw.from_native(data, series_only=True)
        name = str(series.name) if series.name not in (None, "") else prefix
        return _from_narwhals(series.alias(name).to_frame().to_native())
    if hasattr(data, "categories") and hasattr(data, "codes"):  # pandas' Categorical, in no series
        return _from_codes(prefix, data.categories, np.asarray(data.codes)).to_frame()
    return _from_array(data, prefix)


def fits_text(kind: pl.DataType) -> bool:
    """Whether a column of this type can be written into a table of text, as CSV is."""
    return not kind.is_nested() and kind not in (pl.Object, pl.Binary, pl.Duration)


def column_called(name: str, columns: Sequence[str]) -> str:
    """The one of `columns` that `name` means: the one called so, else the only one called so but for blanks around,
    which readers of files keep or leave out; else `name` itself."""
    if name in columns:
        return name
    alike = [column for column in columns if column.strip() == name.strip()]
    return alike[0] if len(alike) == 1 else name


def called_as(names: Sequence[str], frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its columns called as in `names` where only blanks around them differ."""
    there = set(frame.columns)
    absent = [name for name in names if name not in there]
    if not absent:
        return frame
    found = {column_called(name, frame.columns): name for name in absent}
    return frame.rename({column: name for column, name in found.items() if column in there - set(names)})


def label_columns(data: Any) -> tuple[str, ...]:
    """The columns of a frame of any library whose type says that they hold labels, be they text or numbers."""
    if isinstance(data, dict) or not nw.dependencies.is_into_dataframe(data):
        return ()
    dtypes = nw.from_native(data).collect_schema()
    return tuple(str(name) for name, dtype in dtypes.items() if dtype in (nw.Categorical, nw.Enum))


def _from_narwhals(data: Any) -> pl.DataFrame:
    if nw.dependencies.is_pandas_dataframe(data):
        names = [str(name) for name in data.columns]
        _refuse_duplicates(names)
        return pl.DataFrame({name: _from_pandas(name, data.iloc[:, i]) for i, name in enumerate(names)})
    return nw.from_native(data, eager_only=True).to_polars()


def _from_pandas(name: str, column: Any) -> pl.Series:
    """A pandas series without pyarrow, which pandas and polars need between each other for all but plain numbers."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbmM":
        array = _of_known_unit(column.to_numpy())
        return series_of_floats(name, array) if dtype == np.float16 else pl.Series(name, array)
    if getattr(dtype, "tz", None) is not None:
        naive = pl.Series(name, column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return _in_zone(naive.dt.replace_time_zone("UTC"), dtype.tz)  # type: ignore[union-attr]
    if str(dtype) == "category":
        return _from_codes(name, column.cat.categories, column.cat.codes.to_numpy())
    if getattr(dtype, "kind", "O") in "iuf":
        # In its own precision: 0.1 of single precision is another float64 than 0.1.
        numbers = series_of_floats(name, column.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype.type), na_value=0))
        return numbers.set(pl.Series(column.isna().to_numpy()), None)
    return _from_objects(name, column.tolist())


def _in_zone(moments: pl.Series, zone: tzinfo) -> pl.Series:
    """Moments on the clock of `zone`, or of UTC where polars has none like it."""
    try:
        return moments.dt.convert_time_zone(str(zone))
    except pl.exceptions.PolarsError:
        # A file that names no zone but so many hours from UTC; "Etc/GMT-1" is an hour ahead of it.
        hours = (zone.utcoffset(None) or timedelta()) / timedelta(hours=1)
        return moments.dt.convert_time_zone(f"Etc/GMT{-int(hours):+d}" if hours == int(hours) else "UTC")


def _from_codes(name: str, categories: Any, codes: np.ndarray) -> pl.Series:
    """A column of pandas' categories, -1 where missing: numbers, truths and moments as what they are, else labels."""
    known = _from_pandas(name, categories.to_series())
    known = known.cast(pl.Categorical) if known.dtype == pl.String else known
    return (
        known.gather(pl.Series(codes).set(pl.Series(codes < 0), None).cast(pl.Int64))
        if len(known)
        else (pl.Series(name, [None] * len(codes), dtype=pl.Categorical))
    )


def _from_objects(name: str, cells: list) -> pl.Series:
    """A column of Python objects: of one type when they agree, else each cell as its text."""
    cells = [None if is_missing(cell) else cell for cell in cells]
    if {type(cell) for cell in cells} - {type(None)} in ({np.float32}, {np.float16}):
        precise = next(type(cell) for cell in cells if cell is not None)
        gaps = pl.Series([cell is None for cell in cells])
        return series_of_floats(name, np.array([0 if cell is None else cell for cell in cells], precise)).set(
            gaps, None
        )
    try:
        column = pl.Series(name, cells, strict=True)
    except (TypeError, OverflowError, ValueError, pl.exceptions.PolarsError):
        column = None
    # polars reads integers after a float as floats.
    if column is None or column.dtype in (pl.Object, pl.Float64):
        column = _from_mixed(name, cells)
    return _decoded(column)


def _from_mixed(name: str, cells: list) -> pl.Series:
    """Whole numbers as the integers that hold them all, numbers of several types as float64 where that holds them;
    anything else as its text."""
    there = [cell for cell in cells if cell is not None]
    if any(isinstance(cell, (bool, np.bool_)) or not isinstance(cell, Real) for cell in there):
        return _from_text(name, cells)
    whole = [int(cell) for cell in there if isinstance(cell, Integral)]
    if len(whole) < len(there):
        is_exact = all(int(float(number)) == number for number in whole if abs(number) > LONGEST_EXACT)
        return _from_numbers(name, cells, pl.Float64) if is_exact else _from_text(name, cells)
    low, high = min(whole, default=0), max(whole, default=0)
    if low >= -(2**63) and high < 2**63:
        return _from_numbers(name, cells, pl.Int64)
    return _from_numbers(name, cells, pl.UInt64) if low >= 0 and high < 2**64 else _from_text(name, cells)


def _from_numbers(name: str, cells: list, dtype: Any) -> pl.Series:
    as_python = float if dtype == pl.Float64 else int
    return pl.Series(name, [None if cell is None else as_python(cell) for cell in cells], dtype=dtype)


def _from_text(name: str, cells: list) -> pl.Series:
    return pl.Series(name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)


def _decoded(column: pl.Series) -> pl.Series:
    """Bytes as the text that they write, where they write some."""
    if column.dtype != pl.Binary:
        return column
    text = column.cast(pl.String, strict=False)
    return text if text.null_count() == column.null_count() else column


def is_missing(cell: Any) -> bool:
    """None, NaN, NaT and pandas' NA (which answers no comparison)."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return isinstance(cell, (float, np.generic)) and bool(cell != cell)


def _column(column: Any) -> Any:
    array = _array(column) if isinstance(column, (list, tuple)) else column
    is_objects = isinstance(array, np.ndarray) and array.dtype == object
    if is_objects:
        return _from_objects("", list(array))
    if isinstance(array, np.ndarray) and array.dtype.kind == "S":
        return _decoded(pl.Series("", array))
    if isinstance(array, np.ndarray) and array.dtype in (np.float16, np.float32):
        return series_of_floats("", array)
    if isinstance(array, np.ndarray) and array.dtype.kind in "mM":
        return pl.Series("", _of_known_unit(array))
    is_series = nw.dependencies.is_into_series(column) or hasattr(column, "codes")
    return to_frame(column).to_series() if is_series else column


def _of_known_unit(array: np.ndarray) -> np.ndarray:
    """The array with its moments or spans counted in a unit that polars has."""
    if array.dtype.kind not in "mM" or np.datetime_data(array.dtype) in _UNITS[array.dtype.kind]:
        return array
    return array.astype(f"{array.dtype.kind}8[us]")


def _array(data: Any) -> np.ndarray:
    """`data` as numpy has it, but as objects where that made floats of integers too long for them."""
    array = np.asarray(data)
    if array.dtype == np.float64 and isinstance(data, (list, tuple)) and (np.abs(array) >= LONGEST_EXACT).any():
        return np.asarray(data, dtype=object)
    return array


def _from_array(data: Any, prefix: str) -> pl.DataFrame:
    if isinstance(data, (str, bytes)) or data is None or np.isscalar(data):
        raise DataError(f"{data!r} is not a table: give a path, a frame, (X, y) or (train, valid, test).")
    if hasattr(data, "toarray"):
        raise DataError("A sparse matrix cannot be used: convert it first with .toarray().")
    if hasattr(data, "detach"):
        data = data.detach().cpu().numpy()
    array = _array(data)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"An array of {array.ndim} dimensions is not a table: give one with rows and columns.")
    if np.iscomplexobj(array):
        raise DataError("Complex numbers cannot be used: give real and imaginary parts as two columns.")
    array = _of_known_unit(array)
    if array.dtype == object:
        return pl.DataFrame([_from_objects(f"{prefix}{i}", array[:, i].tolist()) for i in range(array.shape[1])])
    columns = {f"{prefix}{i}": np.ascontiguousarray(array[:, i]) for i in range(array.shape[1])}
    series = series_of_floats if array.dtype == np.float16 else pl.Series
    return pl.DataFrame([_decoded(series(name, column)) for name, column in columns.items()])


def _refuse_duplicates(names: list[str]) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(f"Several columns have the same name: {', '.join(twice[:10])}. Give each its own name.")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(". ") if lines else type(error).__name__
