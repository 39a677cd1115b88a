"""The stage of a study that trains beside its winner and says what each choice was worth.

The folder keeps all of it after each step, so that a later call goes on where this one ended, or was ended.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trimtab.findings.worth.account import Account, Row, Step
from trimtab.studies.counterfactuals.comparing import Comparing
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import PairedRuns
from trimtab.studies.counterfactuals.purse import Purse
from trimtab.studies.counterfactuals.run_book import RunBook
from trimtab.studies.counterfactuals.stopping import stops_of
from trimtab.studies.counterfactuals.walking import Walking
from trimtab.training.metrics import greater_is_better
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words


@dataclass
class Stage:
    """What is done beside the winner of `ground`, as long as `purse` lasts, kept in `folder`.

    `winner` says who it is, its "config" among it; `only` are the knobs that are asked about, none for all; `ensemble`
    is what comes behind the winner on the path.
    """

    ground: Ground
    folder: StudyFolder
    purse: Purse
    winner: Mapping[str, Any]
    only: Collection[str] = ()
    ensemble: Step | None = None

    def account(self) -> Account:
        """What everything came to, earlier calls' included."""
        started, book = time.monotonic(), RunBook(self.ground)
        account = self._begun(book)
        before = account.seconds

        def keep(now: Account) -> Account:
            now = replace(now, seconds=round(before + time.monotonic() - started, 2))
            now.save(self.folder, book.frame(), book.curves_frame())
            return now

        runs = PairedRuns(self.ground, self.purse.is_over)
        comparing = Comparing(self.ground, runs, book, self.purse, keep, self.only)
        walking = Walking(self.ground, runs, book, self.purse, self.ensemble)
        steps: list[Callable[[Account], Account]] = [comparing.first_round, comparing.more_repetitions]
        if not self.only or "epochs" in self.only:
            steps.insert(0, self._stopping)
        if not self.only:
            steps.insert(2, walking.walked)
        try:
            for step in steps:
                account = keep(step(account))
        finally:
            runs.close()
        if comparing.grown:
            account = keep(comparing.looked(comparing.concluded(account)))
        return account

    def _begun(self, book: RunBook) -> Account:
        """The account of earlier calls where they were about this winner, with their runs in the book."""
        kept, ground = Account.load(self.folder), self.ground
        rows = tuple(Row(each.knob, each.value, change=dict(each.change)) for each in ground.alternatives())
        if kept is not None and kept.winner.get("config") == self.winner["config"]:
            book.remember(*self.folder.read_counterfactuals())
            known = {row.name for row in kept.rows}
            return replace(kept, rows=(*kept.rows, *(row for row in rows if row.name not in known)))
        metric = "" if ground.metric is None else ground.metric.name
        return Account(self.winner, metric, greater_is_better(ground.metric), rows)

    def _stopping(self, account: Account) -> Account:
        if account.stopping or not self.purse.may_begin(1.0, 0.0):
            return account
        began = time.monotonic()
        stops = stops_of(self.ground, self.purse.is_over)
        self.purse.spent(1.0, time.monotonic() - began)
        return replace(account, stopping=stops)


def words_of_winner(winner: TrialRecord) -> dict[str, Any]:
    """Who a winner is, as the account has it."""
    return {"trial": winner.number, "words": trial_in_words(winner), "config": winner.config.to_json()}
