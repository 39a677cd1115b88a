"""Walking: the path from the beginner's network to the winner, each choice measured as it is made.

Knows the ground, the book of runs and the purse; it knows no files.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from trimtab.findings.worth import intervals
from trimtab.findings.worth.account import Account, Step
from trimtab.findings.worth.intervals import NOT_REACHED
from trimtab.studies.counterfactuals.costs import Costs
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


@dataclass
class Walking:
    """Walks from the beginner of `ground` to its winner; `last` is the step behind the winner, measured elsewhere."""

    ground: Ground
    runs: PairedRuns
    book: RunBook
    purse: Purse
    last: Step | None = None

    def walked(self, account: Account) -> Account:
        """The account with the path, where there is time for all of it."""
        beginner = self.ground.beginner
        steps = [] if beginner is None else choices(beginner, self.ground.winner)
        if beginner is None or not steps or account.path:
            return account
        alone = {step.knob: step.made(beginner) for step in steps}
        costs = Costs(self.ground, self.runs.engine)
        cost = len(ORDERING) * sum(costs.of(config) for config in (beginner, *alone.values()))
        cost += len(TELLING) * sum(map(costs.of, along(beginner, steps)))
        if not self.purse.may_begin(cost, 0.0):
            return account
        began = time.monotonic()
        path = self._path(account, beginner, steps, alone)
        self.purse.spent(cost, time.monotonic() - began)
        return replace(account, path=path, path_look=account.looks)

    def _path(
        self, account: Account, beginner: Config, steps: Sequence[Choice], alone: Mapping[str, Config]
    ) -> tuple[Step, ...]:
        worth = {knob: key_alone(knob) for knob in alone}
        if not self._train({key: alone[knob] for knob, key in worth.items()}, ORDERING):
            return ()
        ordered = sorted(steps, key=lambda step: self.book.mean(worth[step.knob], ORDERING))
        keys = [Key(PATH, BEGINNER, ""), *(Key(PATH, step.knob, str(step.value)) for step in ordered)]
        if not self._train(dict(zip(keys, along(beginner, ordered), strict=True)), TELLING):
            return ()
        return self._told(account, ordered, keys)

    def _train(self, configs: Mapping[Key, Config], repetitions: Sequence[int]) -> bool:
        """Whether all of it could be trained."""
        of = {" ".join(key): key for key in configs}
        wanted = [Wanted(" ".join(k), c, r) for k, c in configs.items() for r in repetitions if not self.book.has(k, r)]
        self.book.add(self.runs.train(wanted), of)
        return self.book.has_all(configs, repetitions)

    def _told(self, account: Account, ordered: Sequence[Choice], keys: Sequence[Key]) -> tuple[Step, ...]:
        others = sum(row.verdict != NOT_REACHED for row in account.rows)
        paired = [self.book.pairs(before, after, TELLING) for before, after in pairwise(keys)]
        rises = intervals.differences(paired, level=intervals.level(len(ordered) + others, account.looks))
        path = [Step(BEGINNER, None, account.shown(self.book.mean(keys[0], TELLING)))]
        for choice, after, rise in zip(ordered, keys[1:], rises, strict=True):
            score = account.shown(self.book.mean(after, TELLING))
            path.append(Step.of(choice.knob, choice.value, score, rise))
        if self.last is not None and self.last.gain is not None:
            error = self.book.mean(keys[-1], TELLING) - self.last.gain
            path.append(replace(self.last, score=account.shown(error)))
        return tuple(path)


def key_alone(knob: str) -> Key:
    """A choice by itself, made in the beginner's config."""
    return Key(PATH, f"{knob} alone", "")
