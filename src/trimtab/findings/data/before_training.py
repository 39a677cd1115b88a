"""before_training: what is wrong with a table, as far as can be said before any network is trained on it.

Knows the rules on data and a clock; what each of them says stands with it.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trimtab.findings.checked import Checked, together
from trimtab.findings.data import copies, leakage, representative
from trimtab.findings.data.amount import too_few_to_judge
from trimtab.findings.data.classes import class_imbalance
from trimtab.findings.data.dependence import belongs_together, seconds_needed
from trimtab.findings.data.relation import features_carry_nothing
from trimtab.findings.data.seconds import MOST_SECONDS
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Findings, NotChecked
from trimtab.table.prepared import Prepared

# What a test of each column takes on a slow machine (half of it was measured).
SECONDS_PER_COLUMN, SECONDS_PER_CELL = 1e-3, 2e-7


def before_training(prepared: Prepared, *, metric: str = "", seconds: float = MOST_SECONDS, seed: int = 0) -> Findings:
    """What is wrong with the rows of a prepared table; none of the test's is looked at.

    Checks that have not begun after `seconds` are left out, and said to be.
    """
    began = time.monotonic()
    record = TableRecord.of_prepared(prepared, seed=seed)
    by_column = len(record.columns) * (SECONDS_PER_COLUMN + record.size * SECONDS_PER_CELL)
    judged, part = (prepared.units, "validation") if prepared.test is None else (prepared.test_units, "test")
    # Whether rows of one group say the same is not known yet: they count as evidence of their own.
    units = len(set(judged.tolist())) if record.split == "random" else len(judged)
    cheap: list[Check] = [
        Check("class_imbalance", lambda: [class_imbalance(record, metric=metric)]),
        Check("evaluation_too_noisy", lambda: [too_few_to_judge(units, task=record.task, part=part)]),
        Check("duplicate_rows", lambda: [copies.duplicate_rows(record)], by_column),
        Check("leakage", lambda: leakage.checks(record, seed=seed), by_column),
        Check(
            "features_carry_nothing",
            lambda: [features_carry_nothing(record, seconds=began + seconds - time.monotonic(), seed=seed)],
            by_column,
        ),
    ]
    compares = 0.0 if record.split == "random" else representative.seconds_needed(record)
    growing = [
        Check("not_representative", lambda: [representative.differs_from_validation(record, seed=seed)], compares),
        Check("not_representative", lambda: belongs_together(record, seed=seed), seconds_needed(record)),
    ]
    return in_time([*cheap, *growing], seconds)


@dataclass(frozen=True)
class Check:
    """What is looked for, how, and a high estimate of the seconds it takes, where these are many."""

    id: str
    run: Callable[[], Iterable[Checked]]
    seconds: float = 0.0


def in_time(checks: Iterable[Check], seconds: float) -> Findings:
    """What checks come to; of those that take long none begins that would not end within `seconds` by its estimate."""
    began, outcomes = time.monotonic(), list[Checked]()
    for check in checks:
        if check.seconds and time.monotonic() - began + check.seconds > seconds:
            outcomes.append(NotChecked(check.id, f"{seconds:.1f} s for looking at the table are not enough"))
            continue
        outcomes += check.run()
    return together(outcomes)
