"""Explanation: what each choice of a study's winner was worth, as the user holds it. Trains nothing."""

from dataclasses import dataclass, field
from typing import Any

import polars

from trimtab.findings.document import to_json
from trimtab.findings.finding import Findings
from trimtab.findings.worth.account import Account

COLUMNS = {
    "knob": polars.String, "value": polars.String, "difference": polars.Float64, "low": polars.Float64,
    "high": polars.Float64, "verdict": polars.String, "pairs": polars.Int64,
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Explanation:
    """What each choice was worth.

    Attributes:
        account: every comparison, the path from the beginner's network, and what stopping rules would have done.
        findings: what is wrong with rows, search and result.
    """

    account: Account
    findings: Findings = field(default_factory=Findings)

    @property
    def words(self) -> str:
        """What mattered most, in one sentence."""
        from trimtab.findings.worth.words import mattered_most

        return mattered_most(self.account)

    def to_json(self) -> dict[str, Any]:
        """The object that `trimtab explain --json` prints. A difference is the alternative's error less the winner's:
        above 0 the alternative is worse."""
        return self.account.to_json() | {"findings": to_json(self.findings)["findings"]}

    def __repr__(self) -> str:
        return f"Explanation({self.words})"

    def __str__(self) -> str:
        from trimtab.terminal.explanation import explanation_in_text

        return explanation_in_text(self)


def rows_frame(account: Account | None) -> polars.DataFrame:
    """The comparisons as a frame: knob, value (as text), difference, low, high, verdict and pairs."""
    rows = [] if account is None else [row.to_json() | {"value": str(row.value)} for row in account.rows]
    return polars.DataFrame(rows, schema=COLUMNS)
