"""The logs of examples/faults: each says its fault, and nothing beside it that is not another side of it."""

import json
from pathlib import Path

import pytest

import trimtab as tt
from trimtab.findings.check import RULES

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "faults"
ALLOWED = json.loads((FOLDER / "allowed.json").read_text())


def test_there_are_three_logs_of_each_finding_that_curves_can_have() -> None:
    assert sorted(ALLOWED) == sorted(f"{name}/{place}.jsonl" for name in RULES for place in (1, 2, 3))
    assert sorted(ALLOWED) == sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.jsonl"))


@pytest.mark.parametrize("log", sorted(ALLOWED))
def test_a_log_says_its_fault_and_nothing_else(log: str) -> None:
    found = [finding.id for finding in tt.diagnose(FOLDER / log).findings]
    assert ALLOWED[log]["fault"] in found
    assert set(found) <= set(ALLOWED[log]["may_say"])
    assert f"| {', '.join(found)} |" in next(
        line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| [{log}]")
    )
