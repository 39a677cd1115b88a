"""Date-times made fit for a network: the time that has passed, and where in the day, week, month and year it is.

Knows naive date-times only; their clock and their format are settled in `cells`.
"""

from typing import Literal

import numpy as np
import polars as pl

from trimtab.table.numbers import Document, Scaling

Cycle = Literal["hour of day", "day of week", "day of month", "month of year"]
_MICROSECONDS_PER_DAY = 86_400_000_000
_DAY_SECONDS = 86_400
_COUNTED: dict[Cycle, pl.Expr] = {
    "hour of day": pl.col("moment").dt.hour(),
    "day of week": pl.col("moment").dt.weekday(),
    "day of month": pl.col("moment").dt.day(),
    "month of year": pl.col("moment").dt.month(),
}
_second = pl.col("moment").dt.epoch("us").mod(_MICROSECONDS_PER_DAY) / 1e6
_SHARE_OF_CYCLE: dict[Cycle, pl.Expr] = {
    "hour of day": _second / _DAY_SECONDS,
    "day of week": (pl.col("moment").dt.weekday().cast(pl.Float64) - 1) / 7,
    "day of month": (pl.col("moment").dt.day().cast(pl.Float64) - 1) / 31,
    "month of year": (pl.col("moment").dt.month().cast(pl.Float64) - 1) / 12,
}


class Moments(Document):
    """The scaling of the days since 1970, and the parts that vary in training, each as a point on a circle."""

    elapsed: Scaling
    parts: tuple[Cycle, ...]

    @classmethod
    def fit(cls, moments: pl.Series, weights: np.ndarray | None = None) -> "Moments":
        used = moments if weights is None else moments.filter(pl.Series(weights > 0))
        varying = (
            used.drop_nulls()
            .to_frame("moment")
            .select(expression.n_unique().alias(part) for part, expression in _COUNTED.items())
        )
        parts: tuple[Cycle, ...] = tuple(part for part in _COUNTED if varying[part].item() > 1)
        return cls(elapsed=Scaling.fit(days(moments), weights), parts=parts)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the cyclic columns."""
        return tuple(f"{part} {wave}" for part in self.parts for wave in ("sin", "cos"))

    def apply(self, moments: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """Time passed, float32 [rows], and the cyclic columns, float32 [2 parts, rows]; all 0 where it is missing."""
        waves = np.zeros((2 * len(self.parts), len(moments)), dtype=np.float32)
        for i, part in enumerate(self.parts):
            share = moments.to_frame("moment").select(_SHARE_OF_CYCLE[part]).to_series()
            angle = 2 * np.pi * share.cast(pl.Float64).to_numpy()
            waves[2 * i], waves[2 * i + 1] = np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))
        return self.elapsed.apply(days(moments)), waves


def whole_seconds(moments: pl.Series) -> np.ndarray:
    """Whole seconds since 1970 as float64, which has them exactly; NaN where missing."""
    return moments.dt.epoch("s").cast(pl.Float64).to_numpy()


def days(moments: pl.Series) -> np.ndarray:
    """Days since 1970 as float64, NaN where missing."""
    return moments.dt.epoch("us").cast(pl.Float64).to_numpy() / _MICROSECONDS_PER_DAY
