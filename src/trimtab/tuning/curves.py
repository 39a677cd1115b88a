"""The curves of a run as a frame, one row per evaluated epoch. Knows the names of signals, and nothing of training."""

import polars

from trimtab.training.run import CURVES, PARTS, Curves


def curves_frame(curves: Curves) -> polars.DataFrame:
    """Columns epoch (Int64), the signals (Float64) and those with a number per tensor or layer (List of Float64)."""
    schema: dict = {name: polars.Int64 if name == "epoch" else polars.Float64 for name in CURVES}
    schema |= {name: polars.List(polars.Float64) for name in PARTS}
    return polars.DataFrame({name: getattr(curves, name) for name in schema}, schema=schema)
