"""Boosted trees, which are set beside networks, as few as a test needs. Knows no test."""

import pytest

from trimtab.findings.data import boosted_trees

FEW_TREES = 5


def grow_few_trees(patch: pytest.MonkeyPatch) -> None:
    for size in (boosted_trees.QUICK, boosted_trees.USUAL):
        patch.setitem(size, "max_iter", FEW_TREES)
