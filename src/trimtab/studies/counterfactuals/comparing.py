"""Comparing: the alternatives of a winner trained in turn, as far as the purse lasts, and how each stands beside it.

Knows the ground, the book of runs and the purse; it knows no files.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.findings.worth import intervals
from trimtab.findings.worth.account import (
    HALF_OF_THE_ROWS,
    QUARTER_OF_THE_ROWS,
    ROWS,
    Account,
    LearningCurve,
    Row,
    ranked,
)
from trimtab.findings.worth.intervals import MOST_LOOKS, Difference, OnRows
from trimtab.studies.counterfactuals.alternatives import Alternative, with_rate
from trimtab.studies.counterfactuals.costs import Costs
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import PairedRuns, Wanted
from trimtab.studies.counterfactuals.purse import Purse
from trimtab.studies.counterfactuals.run_book import COUNTERFACTUAL, WINNER, Key, RunBook


@dataclass(frozen=True)
class Unit:
    """What is trained whole or not at all: an alternative (None: the winner) in some repetitions."""

    alternative: Alternative | None
    repetitions: tuple[int, ...]
    cost: float


@dataclass
class Comparing:
    """Trains alternatives of the winner of `ground`, only those of the knobs `only` where some are named, and says
    after each batch of them by `keep` how they stand.

    `beside` are comparisons for which nothing is trained; `grown` is what there are more runs of than the last look
    had, which may have been one that was killed.
    """

    ground: Ground
    runs: PairedRuns
    book: RunBook
    purse: Purse
    keep: Callable[[Account], Account]
    only: Collection[str] = ()
    beside: Mapping[Key, OnRows] = field(default_factory=dict)
    grown: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.costs = Costs(self.ground, self.runs.engine)

    def begun(self, account: Account) -> Account:
        """The account with what can be said before anything is trained: of comparisons that need no training, and of
        runs that were stored by a call that was killed before it could say so."""
        self.grown |= {key_of(row) for row in account.rows if row.is_open or self._has_more(row)}
        return self.concluded(account)

    def _has_more(self, row: Row) -> bool:
        if key_of(row) in self.beside:
            return not row.looks
        return len(self.book.errors([WINNER, key_of(row)])) != row.pairs

    def first_round(self, account: Account) -> Account:
        """Every alternative in the fewest repetitions that say something, one value of each knob first."""
        return self._trained(account, range(self.ground.fewest_repetitions))

    def more_repetitions(self, account: Account) -> Account:
        """One repetition more of every alternative, and again, which narrows their intervals."""
        for repetition in range(self.ground.fewest_repetitions, self.ground.most_repetitions):
            account = self._trained(account, range(repetition, repetition + 1))
        return account

    def _trained(self, account: Account, repetitions: range) -> Account:
        waiting = self._units(account, repetitions)
        while chunk := self._affordable(waiting):
            waiting = [unit for unit in waiting if unit not in chunk]
            began = time.monotonic()
            account = self.keep(replace(account, rates=self._rates(account, chunk)))
            self._train(account, chunk)
            self.purse.spent(sum(unit.cost for unit in chunk), time.monotonic() - began)
            account = self.keep(self.concluded(account))
        return account

    # -- what is trained

    def _units(self, account: Account, repetitions: range) -> list[Unit]:
        """What is missing of these repetitions, in order. What has none of those before them was too dear, and more of
        it would be no pair of anything."""
        looks = {row.name: row.looks for row in account.rows}
        open_ones = [each for each in self.ground.alternatives(self.only) if looks.get(each.name, 0) < MOST_LOOKS]
        units = []
        for each in (None, *open_ones):
            key = key_of(each)
            has = self.book.has_rows if each is None else self.book.has
            missing = tuple(r for r in repetitions if not has(key, r))
            if missing and (repetitions.start == 0 or self.book.has(key, repetitions.start - 1)):
                cost = len(missing) if each is None else self.costs.of_alternative(each, len(missing))
                if each is not None and each.rates:
                    cost += self.purse.of_pass  # its rate is found in a pass before
                units.append(Unit(each, missing, float(cost)))
        return units

    def _affordable(self, waiting: Sequence[Unit]) -> list[Unit]:
        """The first units that may be begun together, those left out that are too dear altogether; nothing where that
        is the winner alone, which says nothing, or others without the winner, with whom they are to be compared."""
        chunk: list[Unit] = []
        for unit in waiting:
            already = sum(each.cost for each in chunk)
            is_paid = already + unit.cost <= self.purse.left
            # The winner says nothing without another.
            is_alone = all(each.alternative is None for each in chunk)
            if is_paid and (is_alone or self.purse.may_begin(unit.cost, already)):
                chunk.append(unit)
            elif is_paid:
                break  # its turn comes with the next ones
            elif unit.alternative is None:
                return []
        return chunk if any(unit.alternative is not None for unit in chunk) else []

    def _rates(self, account: Account, chunk: Sequence[Unit]) -> dict[str, float]:
        """The learning rates of other optimizers, those found by now included."""
        asked = [each for unit in chunk if (each := unit.alternative) and each.rates and each.name not in account.rates]
        found = self.runs.with_own_rates(asked)
        return {**account.rates, **{name: each.config.optimizer.learning_rate for name, each in found.items()}}

    def _train(self, account: Account, chunk: Sequence[Unit]) -> None:
        wanted: list[Wanted] = []
        of: dict[str, Key] = {}
        for unit in chunk:
            each = unit.alternative
            if each is not None and each.rates and each.name not in account.rates:
                continue  # the time was over before its rate was found
            each = each or Alternative(WINNER.knob, "", self.ground.winner)
            config = each.config
            if each.rates:
                config = with_rate(each, account.rates[each.name]).config
            of[each.name] = key_of(unit.alternative)
            wanted += [Wanted(each.name, config, r, each.rows, each.preparation) for r in unit.repetitions]
        trained = self.runs.train(wanted)
        self.book.add(trained, of)
        self.grown |= {of[run.name] for run in trained}

    # -- what it came to

    def concluded(self, account: Account) -> Account:
        """The account with new figures of all alternatives that have more runs than before this call, which is one look
        at all of them."""
        grown = [row for row in account.rows if key_of(row) in self.grown]
        # The steps of the path, where this call walked it, are claims too.
        steps = len(account.path) if account.path and account.path_look == account.looks else 0
        found = self._found(grown, intervals.level(len(grown) + steps, account.looks))
        rows = ranked(self._with_news(row, found.get(row.name), account) for row in account.rows)
        account = replace(account, rows=rows, learning=self._learning())
        if not self.book.has(WINNER, 0):
            return account  # the time was over before anything could be compared with it
        mean = self.book.mean(WINNER)
        winner = {"error": mean, "score": account.shown(mean)}
        return replace(account, winner={**account.winner, **winner})

    def _found(self, rows: Sequence[Row], level: float) -> dict[str, Difference]:
        """How far each lies from the winner, of those of which there are pairs."""
        ready = {row.name: self.beside[key_of(row)].difference(level) for row in rows if key_of(row) in self.beside}
        paired = {row.name: self.book.pairs(WINNER, key_of(row)) for row in rows if row.name not in ready}
        paired = {name: each for name, each in paired.items() if len(each.values)}
        found = intervals.differences(list(paired.values()), level=level)
        return ready | dict(zip(paired, found, strict=True))

    def _with_news(self, row: Row, found: Difference | None, account: Account) -> Row:
        if found is None:
            return row
        known = row.with_difference(found, account.rates.get(row.name))
        return replace(known, is_open=True, row_variance=self.book.variance(key_of(row)))

    def _learning(self) -> LearningCurve | None:
        """What the winner comes to with fewer rows, where all sizes were trained."""
        ground = self.ground
        keys = [Key(COUNTERFACTUAL, ROWS, QUARTER_OF_THE_ROWS), Key(COUNTERFACTUAL, ROWS, HALF_OF_THE_ROWS), WINNER]
        errors = self.book.errors(keys)
        if not errors:
            return None
        rows = tuple(ground.rows_trained(share) for share in ("quarter", "half", "all"))
        return LearningCurve(rows, tuple(errors), ground.judged_per_trained if ground.folds > 1 else 0.0)

    def looked(self, account: Account) -> Account:
        """The account when the call ends: what was trained in it was looked at once more."""
        rows = [replace(row, looks=row.looks + row.is_open, is_open=False) for row in account.rows]
        return replace(account, rows=tuple(rows), looks=account.looks + bool(self.grown))


def key_of(each: Alternative | Row | None) -> Key:
    """What the runs of an alternative are known by; of the winner where it is None."""
    return WINNER if each is None else Key(COUNTERFACTUAL, each.knob, str(each.value))
