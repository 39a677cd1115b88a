"""The stage of a study that trains beside its winner and says what each choice was worth.

The folder keeps all of it after each step, so that a later call goes on where this one ended, or was ended.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trimtab.findings.worth.account import ENSEMBLE, SINGLE, Account, Row
from trimtab.findings.worth.intervals import OnRows
from trimtab.studies.counterfactuals.comparing import Comparing, key_of
from trimtab.studies.counterfactuals.ensemble import Ensemble
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import PairedRuns
from trimtab.studies.counterfactuals.purse import Purse, fewest_to_replay, replay_cost
from trimtab.studies.counterfactuals.run_book import COUNTERFACTUAL, Key, RunBook
from trimtab.studies.counterfactuals.stopping import folds_to_read, stops_of
from trimtab.studies.counterfactuals.walking import Walking
from trimtab.training.metrics import greater_is_better
from trimtab.tuning.baselines import FITTED_BASELINES
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.words import trial_in_words


@dataclass
class Stage:
    """What is done beside the winner of `ground`, as long as `purse` lasts, kept in `folder`.

    `winner` says who it is, its "config" among it; `only` are the knobs that are asked about, none for all; `ensemble`
    is the result, where it is more than the winner alone; `tries_orders`: whether the path is to be one of which each
    step is the best of all that are left.
    """

    ground: Ground
    folder: StudyFolder
    purse: Purse
    winner: Mapping[str, Any]
    only: Collection[str] = ()
    ensemble: Ensemble | None = None
    tries_orders: bool = False

    def account(self) -> Account:
        """What everything came to, earlier calls' included."""
        started, book = time.monotonic(), RunBook(self.ground)
        account = self._begun(book)
        before = account.seconds

        def keep(now: Account) -> Account:
            now = replace(now, seconds=round(before + time.monotonic() - started, 2))
            now.save(self.folder, book.frame(), book.curves_frame())
            return now

        runs = PairedRuns(self.ground, self.purse.is_over, lambda: self.purse.seconds_left)
        comparing = Comparing(self.ground, runs, book, self.purse, keep, self.only, self._beside())
        walking = Walking(self.ground, runs, book, self.purse, keep, self.ensemble)
        steps: list[tuple[bool, Callable[[Account], Account]]] = [
            (True, comparing.begun),
            (not self.only or "epochs" in self.only, self._stopping),
            (True, comparing.first_round),
            (not self.only, walking.walked),
            (not self.only and self.tries_orders, walking.best_ordered),
            (True, comparing.more_repetitions),
        ]
        try:
            for step in (step for is_wanted, step in steps if is_wanted):
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
        if self.ensemble is not None:
            rows = (*rows, Row(ENSEMBLE, SINGLE))
        if kept is not None and kept.winner.get("config") == self.winner["config"]:
            variances = {key_of(row): row.row_variance for row in kept.rows if row.row_variance is not None}
            book.remember(*self.folder.read_counterfactuals(), variances)
            known = {row.name for row in kept.rows}
            return replace(kept, rows=(*kept.rows, *(row for row in rows if row.name not in known)))
        metric = "" if ground.metric is None else ground.metric.name
        return Account(self.winner, metric, greater_is_better(ground.metric), rows)

    def _beside(self) -> dict[Key, OnRows]:
        """What is known without any training, of what is asked about."""
        if self.ensemble is None or (self.only and ENSEMBLE not in self.only):
            return {}
        return {Key(COUNTERFACTUAL, ENSEMBLE, SINGLE): self.ensemble.beside}

    def _stopping(self, account: Account) -> Account:
        ground, there = self.ground, folds_to_read(self.ground)
        each = replay_cost(1, ground.folds, ground.longer)
        folds = min(len(there), int(self.purse.left / each))
        if not there or folds < fewest_to_replay(len(there)) or (account.stopping and folds <= account.stopping_folds):
            return account
        began = time.monotonic()
        stops = stops_of(ground, there[:folds], self.purse.is_over)
        self.purse.spent(folds * each, time.monotonic() - began)
        return replace(account, stopping=stops, stopping_folds=folds) if stops else account


def looked_at(winner: TrialRecord, trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """Whose choices are looked at: the winner's, or those of the best network where the winner is solved and not
    trained; None where no network was trained to its end."""
    if winner.name not in FITTED_BASELINES:
        return winner
    networks = [each for each in trials if each.name not in FITTED_BASELINES and each.state == COMPLETE]
    return min(networks, key=lambda record: record.error, default=None)


def words_of_winner(network: TrialRecord, winner: TrialRecord) -> dict[str, Any]:
    """Who is looked at, as the account has it; where that is not the winner, who is."""
    who = {"trial": network.number, "words": trial_in_words(network), "config": network.config.to_json()}
    return who if network.number == winner.number else {**who, "instead_of": trial_in_words(winner)}
