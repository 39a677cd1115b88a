"""Walking: the path from the beginner's network to the winner, each choice measured as it is made.

Knows the ground, the book of runs and the purse; it knows no files.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from trimtab.findings.worth import intervals
from trimtab.findings.worth.account import ENSEMBLE, Account, Step
from trimtab.findings.worth.intervals import NOT_REACHED
from trimtab.studies.counterfactuals.costs import Costs
from trimtab.studies.counterfactuals.ensemble import Ensemble
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import PairedRuns, Wanted
from trimtab.studies.counterfactuals.path import Choice, along, choices
from trimtab.studies.counterfactuals.purse import Purse
from trimtab.studies.counterfactuals.run_book import PATH, Key, RunBook
from trimtab.training.config import Config

# The repetition whose gains order the choices, and those that tell what each was worth: on the same runs the first
# would look better than it is.
ORDERING, TELLING = (0,), (1, 2)
BEGINNER = "beginner"
# Of what is left, the share that may be spent on trying every order: the rest narrows intervals (a guess).
SHARE_TO_ORDER = 0.5


@dataclass
class Walking:
    """Walks from the beginner of `ground` to its winner; `ensemble` is the step behind the winner, measured elsewhere,
    and `keep` is told of what was trained."""

    ground: Ground
    runs: PairedRuns
    book: RunBook
    purse: Purse
    keep: Callable[[Account], Account]
    ensemble: Ensemble | None = None

    @cached_property
    def steps(self) -> list[Choice]:
        """The choices that lead from the beginner to the winner, in no order."""
        beginner = self.ground.beginner
        return [] if beginner is None else choices(beginner, self.ground.winner)

    def walked(self, account: Account) -> Account:
        """The account with the path, where there is time for all of it: the choices that gain most alone come first."""
        if not self.steps or account.path:
            return account
        alone = [(step,) for step in self.steps]
        ways = [self.steps[:count] for count in range(len(self.steps) + 1)]
        cost = len(ORDERING) * self._cost(alone) + len(TELLING) * self._cost(ways)
        # Until it is told.
        account = replace(account, lacks_path=True)
        if not self.purse.may_begin(cost, 0.0):
            return account
        began = time.monotonic()
        if self._train(alone, ORDERING):
            account = self._told(account, self._by_gain((), self.steps), best_steps=1)
        self.purse.spent(cost, time.monotonic() - began)
        return account

    def best_ordered(self, account: Account) -> Account:
        """The account with a path of which each step is the best of all that are left, tried one by one [Fawcett and
        Hoos 2016], as far as half of what is left reaches; behind it stands what gained most when it was last tried."""
        by_knob = {step.knob: step for step in self.steps}
        order = [by_knob[step.knob] for step in account.path if step.knob in by_knob]
        best, kept_back = account.best_steps, (1 - SHARE_TO_ORDER) * self.purse.left
        # Before the last step nothing is left to choose.
        while best < len(order) - 1:
            made, left = order[:best], order[best:]
            tries = [way for step in left if not self._has(way := [*made, step], ORDERING)]
            if self.purse.left - self._cost(tries) - self._cost_to_tell(order, best) < kept_back:
                break
            if not self._spent(tries, ORDERING):
                break
            account = self.keep(account)
            order = [*made, *self._by_gain(made, left)]
            best += 1
        is_whole = best >= len(order) - 1
        if best == account.best_steps or not order:
            return account
        ways = [order[:count] for count in range(len(order) + 1)]
        if not self._spent([way for way in ways if not self._has(way, TELLING)], TELLING):
            return account
        return self._told(account, order, best_steps=len(order) if is_whole else best)

    # -- what is trained

    def _by_gain(self, made: Sequence[Choice], left: Sequence[Choice]) -> list[Choice]:
        """What is left to choose, the choice that gains most when it comes next first."""
        return sorted(left, key=lambda step: self.book.mean(key_of_way([*made, step]), ORDERING))

    def _spent(self, ways: Sequence[Sequence[Choice]], repetitions: Sequence[int]) -> bool:
        """Whether all of it could be trained, which is paid for."""
        began = time.monotonic()
        is_done = self._train(ways, repetitions)
        self.purse.spent(len(repetitions) * self._cost(ways), time.monotonic() - began)
        return is_done

    def _train(self, ways: Sequence[Sequence[Choice]], repetitions: Sequence[int]) -> bool:
        """Whether all of it could be trained."""
        of = {" ".join(key): key for key in map(key_of_way, ways)}
        wanted = [
            Wanted(" ".join(key_of_way(way)), self._config(way), repetition)
            for way in ways for repetition in repetitions if not self._has(way, (repetition,))
        ]  # fmt: skip
        self.book.add(self.runs.train(wanted), of)
        return all(self._has(way, repetitions) for way in ways)

    def _has(self, way: Sequence[Choice], repetitions: Sequence[int]) -> bool:
        """Whether it was trained; what is told is compared by rows, where these tell."""
        has = self.book.has_rows if repetitions[0] in TELLING else self.book.has
        return all(has(key_of_way(way), repetition) for repetition in repetitions)

    def _config(self, way: Sequence[Choice]) -> Config:
        assert self.ground.beginner is not None
        return along(self.ground.beginner, way)[-1]

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self.ground, self.runs.engine)

    def _cost(self, ways: Collection[Sequence[Choice]]) -> float:
        """Of one training of each, in trainings of the winner."""
        return sum(self._costs.of(self._config(way)) for way in ways)

    def _cost_to_tell(self, order: Sequence[Choice], best: int) -> float:
        """At most, of telling a path whose first steps remain what they are."""
        ways = [order[:count] for count in range(len(order) + 1)]
        return len(TELLING) * self._cost([way for way in ways if len(way) > best or not self._has(way, TELLING)])

    # -- what it came to

    def _told(self, account: Account, ordered: Sequence[Choice], *, best_steps: int) -> Account:
        """The account with the path in this order, where all of it could be trained."""
        ways = [ordered[:count] for count in range(len(ordered) + 1)]
        if not self._train(ways, TELLING):
            return account
        others = sum(row.verdict != NOT_REACHED for row in account.rows)
        keys = list(map(key_of_way, ways))
        paired = [self.book.pairs(before, after, TELLING) for before, after in pairwise(keys)]
        level = intervals.level(len(ordered) + (self.ensemble is not None) + others, account.looks)
        rises = intervals.differences(paired, level=level)
        path = [Step(BEGINNER, None, account.shown(self.book.mean(keys[0], TELLING)))]
        for choice, after, rise in zip(ordered, keys[1:], rises, strict=True):
            score = account.shown(self.book.mean(after, TELLING))
            path.append(Step.of(choice.knob, choice.value, score, rise))
        if self.ensemble is not None:
            gain = self.ensemble.beside.difference(level)
            score = account.shown(self.book.mean(keys[-1], TELLING) - gain.value)
            path.append(Step.of(ENSEMBLE, self.ensemble.words, score, gain.reversed))
        return replace(
            account, path=tuple(path), path_look=account.looks, best_steps=best_steps, lacks_path=False
        )  # fmt: skip


def key_of_way(way: Sequence[Choice]) -> Key:
    """What the beginner's network with some choices made is known by: which they are, and not in which order."""
    return Key(PATH, ", ".join(sorted(step.knob for step in way)) or BEGINNER, "")
