"""before_training: what is wrong with a table, as far as can be said before any network is trained on it.

Knows the rules on data and a clock; what each of them says stands with it.
"""

import time
from collections.abc import Callable, Iterable

from trimtab.findings.data import copies, leakage
from trimtab.findings.data.amount import too_few_to_judge
from trimtab.findings.data.classes import class_imbalance
from trimtab.findings.data.dependence import belongs_together
from trimtab.findings.data.relation import features_carry_nothing
from trimtab.findings.data.representative import differs_from_validation
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Findings, NotChecked
from trimtab.findings.outcome import Outcome, together
from trimtab.table.prepare import Prepared

# Of a budget, and seconds, that looking at a table may take.
SHARE_OF_BUDGET, MOST_SECONDS = 0.05, 5.0


def seconds_for(budget: float | None) -> float:
    """How long looking at a table may take before a search of `budget` seconds (None: without limit)."""
    return MOST_SECONDS if budget is None else min(MOST_SECONDS, SHARE_OF_BUDGET * budget)


def before_training(prepared: Prepared, *, metric: str = "", seconds: float = MOST_SECONDS, seed: int = 0) -> Findings:
    """What is wrong with the rows of a prepared table; none of the test's is looked at.

    Checks that have not begun after `seconds` are left out, and said to be.
    """
    record = TableRecord.of_prepared(prepared, seed=seed)
    judged, part = (prepared.units, "validation") if prepared.test is None else (prepared.test_units, "test")
    # Whether rows of one group say the same is not known yet: they count as evidence of their own.
    units = len(set(judged.tolist())) if record.split == "random" else len(judged)
    checks: list[tuple[str, Callable[[], Iterable[Outcome]]]] = [
        ("class_imbalance", lambda: [class_imbalance(record, metric=metric)]),
        ("evaluation_too_noisy", lambda: [too_few_to_judge(units, task=record.task, part=part)]),
        ("duplicate_rows", lambda: [copies.duplicate_rows(record)]),
        ("leakage", lambda: leakage.checks(record, seed=seed)),
        ("features_carry_nothing", lambda: [features_carry_nothing(record, seed=seed)]),
        ("not_representative", lambda: [differs_from_validation(record, seed=seed)]),
        ("not_representative", lambda: belongs_together(record, seed=seed)),
    ]
    return in_time(checks, seconds)


def in_time(checks: Iterable[tuple[str, Callable[[], Iterable[Outcome]]]], seconds: float) -> Findings:
    """What checks come to, of which none begins after `seconds`."""
    began, outcomes = time.monotonic(), list[Outcome]()
    for name, check in checks:
        if time.monotonic() - began > seconds:
            outcomes.append(NotChecked(name, f"{seconds:.1f} s for looking at the table were over"))
            continue
        outcomes += check()
    return together(outcomes)
