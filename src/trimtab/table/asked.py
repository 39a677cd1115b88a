"""What is asked of a table beside its columns: rows to test on and a way to split, checked against what there is.

Raises OptionError for what cannot be, or has no effect. Knows no encoding.
"""

from typing import Any

from trimtab.errors import OptionError, did_you_mean
from trimtab.table.schema import require_column
from trimtab.table.sources import Source, test_share
from trimtab.table.split import SplitRule, parts_of

USUAL_TEST_SHARE = 0.2  # as in most of the field: a fifth of the rows
# What stands for an option that nobody gave, so that one without effect can be refused.
USUAL = "auto"


def is_usual(option: Any) -> bool:
    """Whether nobody said anything else."""
    return isinstance(option, str) and option == USUAL


def refuse_second_split(data: Any, split: Any, test: Any) -> None:
    """Raise where a share to test on was given beside parts that say themselves which rows those are."""
    if is_usual(test) or test is None or test_share(test) is None:
        return
    says_parts = isinstance(data, tuple) and len(data) == 3
    if says_parts or (split is not None and SplitRule.of(split).kind == "column"):
        what = "(train, valid, test) frames" if says_parts else f"--split {split}"
        raise OptionError(
            f"--test {test} has no effect on {what}, which says itself which rows are tested on: leave it out."
        )


def kind_of_test(test: Any, rule: SplitRule, source: Source) -> tuple[bool, float | None]:
    """Whether the test rows are a table of their own, and else the share to put aside (None: no test)."""
    if test is None or (isinstance(test, str) and test.strip().lower() == "none"):
        return False, None
    share = test_share(test)
    if share is not None and rule.kind == "given":
        raise OptionError(
            f"No share of {share:g} can be put aside as test where the folds are given: give test rows, or test none."
        )
    if share is not None:
        return False, share
    has_parts = rule.kind == "column" and rule.column in source.frame.columns
    if has_parts and "test" in parts_of(source.frame[rule.column]):
        what = "the third frame" if source.parts else f'the rows of "{rule.column}" that say test'
        raise OptionError(f"There are two test parts, {what} and --test: give one of them.")
    return True, None


def require_columns(source: Source, rule: SplitRule, weight: str | None) -> None:
    for name in source.targets:
        require_column(source.frame, name, "the target")
    if weight is not None:
        require_column(source.frame, weight, "--weight")
    if rule.column:
        if rule.kind == "column" and rule.column not in source.frame.columns:
            raise OptionError(
                f'--split "{rule.column}" is neither random, time:COL, group:COL nor a column'
                f" of the table.{did_you_mean(rule.column, ['random', *source.frame.columns])}"
            )
        require_column(source.frame, rule.column, "--split")
        if rule.column in source.targets:
            raise OptionError(f'"{rule.column}" cannot be the target and the column of --split at the same time.')
