"""Mending: the changes that suspicions ask for tried one by one, the best kept, the rest tried again on top of it.

Knows suspicions and short trainings; what each comes to as a finding is said elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.checkups import gradients
from trimtab.checkups.comparing import Comparison, compared
from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import Outcome, ShortTraining
from trimtab.checkups.start import started
from trimtab.checkups.suspicion import Change, Suspicion
from trimtab.errors import TrimtabError
from trimtab.findings.finding import Remedy
from trimtab.text.wording import listed

OVER = "the time was over"


@dataclass
class Mending:
    """A set-up that becomes better, change by change.

    `kept` are the remedies that helped, by the finding they mend, each with its comparison; `tried` what the best
    of the others came to; `untried` why a change could not be tried; `gone` what is no longer wrong since another
    change was made, and what is said of it.
    """

    setup: Setup
    outcomes: Sequence[Outcome]
    training: ShortTraining
    comparisons: list[Comparison] = field(default_factory=list)
    kept: dict[str, tuple[Remedy, Comparison]] = field(default_factory=dict)
    tried: dict[str, tuple[Change, Comparison]] = field(default_factory=dict)
    untried: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)

    def mend(self, suspicions: Sequence[Suspicion]) -> None:
        """Try the changes of all suspicions, round by round, as long as one of them helps."""
        open_ = [each for each in suspicions if each.changes]
        number = sum(len(each.changes) for each in open_)
        while open_:
            found = self._round([(each, change) for each in open_ for change in each.changes], number)
            better = [each for each in found if _helps(each[2], each[0].least)]
            if not better:
                break
            suspicion, change, comparison, made, outcomes = min(better, key=lambda each: each[2].after)
            self.kept[suspicion.finding.id] = (change.remedy, comparison)
            self.setup, self.outcomes = made, outcomes
            self._look_again(change, open_)
            open_ = [each for each in open_ if each.finding.id not in (*self.kept, *self.gone)]
        if len(open_) > 1:
            self._together(open_, number)

    def _round(self, wanted: Sequence[tuple[Suspicion, Change]], number: int) -> list[tuple]:
        """Each change on top of what there is: suspicion, change, comparison, the set-up, what it came to."""
        found = []
        for suspicion, change in wanted:
            made, outcomes = self._trained(suspicion.finding.id, change)
            if outcomes is None or made is None:
                continue
            comparison = self._compared(change.name, outcomes, number)
            before = self.tried.get(suspicion.finding.id)
            if before is None or comparison.after < before[1].after:
                self.tried[suspicion.finding.id] = (change, comparison)
            found.append((suspicion, change, comparison, made, outcomes))
        return found

    def _trained(self, name: str, change: Change) -> tuple[Setup | None, Sequence[Outcome] | None]:
        try:
            made = change.made(self.setup)
            found = self.training.outcomes(made)
        except TrimtabError as error:  # what suits the caller's network and loss may not suit the changed ones
            self.untried[name] = f"{change.name}: {error}"
            return None, None
        if found is None:
            self.untried[name] = OVER
        return made, None if found is None else found[0]

    def _compared(self, name: str, outcomes: Sequence[Outcome], number: int) -> Comparison:
        comparison = compared(self.setup, self.outcomes, [(name, outcomes)], comparisons=number)[0]
        self.comparisons.append(comparison)
        return comparison

    def _look_again(self, change: Change, suspicions: Sequence[Suspicion]) -> None:
        """What units and gradients look like by now: the cause of what was wrong with them may be mended."""
        asked = {each.finding.id for each in suspicions} & {"dead_units", "vanishing_gradients", "exploding_gradients"}
        if not asked - set(self.kept):
            return
        start = started(self.setup)
        for name, look in (("dead_units", gradients.units), ("vanishing_gradients", gradients.flow),
                           ("exploding_gradients", gradients.size)):  # fmt: skip
            said = look(self.setup, start)
            if name in asked - set(self.kept) and isinstance(said, str):
                self.gone[name] = f"With {change.name}: {said[0].lower()}{said[1:]}"

    def _together(self, suspicions: Sequence[Suspicion], number: int) -> None:
        """The first change of each that is left, all at once: some help only beside others."""
        chosen = [self.tried.get(each.finding.id, (each.changes[0],))[0] for each in suspicions]

        def made(setup: Setup) -> Setup:
            for each in chosen:
                setup = each.made(setup)
            return setup

        change = Change(listed([each.name for each in chosen]), made, chosen[0].remedy)
        new, outcomes = self._trained(suspicions[0].finding.id, change)
        if new is None or outcomes is None:
            return
        comparison = self._compared(change.name, outcomes, number + 1)
        if _helps(comparison, max(each.least for each in suspicions)):
            for suspicion, each in zip(suspicions, chosen, strict=True):
                self.kept[suspicion.finding.id] = (each.remedy, comparison)
            self.setup, self.outcomes = new, outcomes


def _helps(comparison: Comparison, least: float) -> bool:
    """Whether a change is better, by a share of the error that is worth speaking of."""
    return comparison.is_better and (comparison.share is None or comparison.share > least)
