"""Redrawing: other folds of the same rows, by the rule by which the first ones were drawn. Knows prepared tables."""

import numpy as np

from trimtab.table import folds
from trimtab.table.folds import FoldRows
from trimtab.table.prepared import Prepared
from trimtab.table.split import units_and_strata

# Kinds of split in which chance decides which rows judge.
DRAWN = ("random", "group")


def redrawn(prepared: Prepared, seed: int) -> tuple[FoldRows, ...] | None:
    """As many folds of the development rows, drawn with another seed; None where the split leaves nothing to chance,
    and where one part judges, of which there is only one in as many rows."""
    if prepared.split.kind not in DRAWN or len(prepared.folds) < 2:
        return None
    generator = np.random.default_rng([seed, 0xF01D])
    units = units_and_strata(prepared.development, prepared.schema, prepared.units)
    rows = np.arange(prepared.development.height)
    if prepared.split.kind == "group":
        drawn = folds.group_folds(units, rows, generator, [])
    else:
        drawn = folds.random_folds(units, rows, generator, [], len(prepared.folds))
    return tuple(drawn) if len(drawn) == len(prepared.folds) else None
