"""Examination: the order in which a network is looked at before training, and what is said at the end.

First what a look shows, then what short trainings show: the changes, the rates, a few rows by heart.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trimtab.checkups import gradients, output_layer, scaling
from trimtab.checkups.by_heart import (
    LEARNT,
    NOT_LEARNT,
    RATES,
    ByHeart,
    can_be_learnt,
    control_of,
    learnt_by_heart,
    scaled,
)
from trimtab.checkups.checkup import Checkup
from trimtab.checkups.comparing import Comparison, compared, mean_of, measure_of
from trimtab.checkups.mending import OVER, Mending
from trimtab.checkups.rates import RateFound, swept_rates
from trimtab.checkups.setup import Setup
from trimtab.checkups.short_training import ShortTraining
from trimtab.checkups.start import Start, started
from trimtab.checkups.suspicion import Suspicion
from trimtab.errors import TrimtabError
from trimtab.findings.checked import Checked, together
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.findings.words import percent
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence

# Fewer pairs show no difference, and fewer steps no training.
FEWEST_PAIRS, FEWEST_STEPS = 3, 50
SIZES = ("unscaled_inputs", "unscaled_target")
# Of the time, what the network as it is and each change may take; the rest is for rates and rows by heart.
FOR_CHANGES = 0.5


@dataclass
class Examination:
    """A set-up that is looked at until `deadline` (a reading of `time.monotonic`), in short trainings of `steps` steps
    from each of `seeds`; `rate` is the learning rate, None where only an optimizer of the caller's own knows it."""

    setup: Setup
    steps: int
    seeds: Sequence[int]
    deadline: float
    rate: float | None
    notes: list[str] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    def made(self) -> Checkup:
        """All of it."""
        began = time.monotonic()
        setup, fitting = self.setup, self.setup.fitting
        assert fitting.training_data  # what cannot be read is said here
        start = started(setup)
        setup = self.setup = replace(setup, squashes=start.squashes)
        suspicions = self._looked(start)
        training = self._planned(start, sum(len(each.changes) for each in suspicions))
        outcomes = training.outcomes(setup) if training is not None else None
        learnt = rates = None
        error = None if outcomes is None else mean_of(outcomes[0])
        if training is None or outcomes is None:
            why = f"no short training was made: {self._too_slow(start)}"
            for suspicion in suspicions:
                self._untried(suspicion, why)
            self._not_reached(why, "learning_rate_too_large", "learning_rate_too_small", "capacity_too_small")
        else:
            mending = Mending(setup, outcomes[0], training)
            mending.mend(suspicions)
            self.comparisons += mending.comparisons
            rates = self._rates(mending, suspicions)
            for suspicion in suspicions:
                self._judged(suspicion, mending)
            learnt = self._by_heart(mending, rates)
        recipe = fitting.complete(setup.recipe)
        return Checkup(
            name=type(setup.module()).__name__,
            findings=together(self.checked),
            notes=tuple(self.notes),
            parameters=sum(start.sizes),
            train_rows=setup.train.rows,
            valid_rows=0 if setup.datasets.valid is None else setup.judged.rows,
            loss=recipe.config.loss.name if recipe.function is None else _named(recipe.function),
            optimizer=recipe.config.optimizer.name if recipe.make_optimizer is None else _named(recipe.make_optimizer),
            rate=self.rate,
            batch_size=min(recipe.config.batch_size or setup.train.rows, setup.train.rows),
            metric=measure_of(setup),
            start=error,
            steps=self.steps if training is None else training.steps,
            pairs=0 if training is None else len(training.seeds),
            comparisons=tuple(self.comparisons),
            swept=() if rates is None else rates.swept,
            by_heart=learnt,
            seconds=time.monotonic() - began,
        )

    def _looked(self, start: Start) -> list[Suspicion]:
        """What a look shows; what is healthy or cannot be checked is noted."""
        looked = (
            output_layer.looked_at(self.setup, start), scaling.inputs_looked_at(self.setup, start),
            scaling.target_looked_at(self.setup, start), gradients.reached(start), gradients.units(self.setup, start),
            gradients.flow(self.setup, start), gradients.size(self.setup, start),
        )  # fmt: skip
        self.checked += [each for each in looked if not isinstance(each, Suspicion)]
        return [each for each in looked if isinstance(each, Suspicion)]

    def _planned(self, start: Start, changes: int) -> ShortTraining | None:
        """Short trainings as long as there is time for; None where there is none for any."""
        left = self.deadline - time.monotonic()
        lanes = FOR_CHANGES * left / (start.seconds * (1 + changes))
        seeds, steps = len(self.seeds), self.steps
        if lanes < seeds * steps:
            seeds = max(min(seeds, FEWEST_PAIRS), min(seeds, int(lanes / steps)))
            steps = min(steps, int(lanes / seeds))
            if steps < min(FEWEST_STEPS, self.steps):
                return None
            self.notes.append(
                f"Short trainings were {counted(seeds, 'pair')} of {counted(steps, 'step')} instead of "
                f"{len(self.seeds)} of {self.steps}, for want of time."
            )
        return ShortTraining(steps, list(self.seeds)[:seeds], self.deadline, start.seconds)

    def _too_slow(self, start: Start) -> str:
        return f"a step takes about {start.seconds:.2g} s, and the budget is too short for {self.steps}"

    def _not_reached(self, why: str, *names: str) -> None:
        self.checked += [NotChecked(name, why) for name in names]

    # -- what a change came to

    def _judged(self, suspicion: Suspicion, mending: Mending) -> None:
        finding = suspicion.finding
        if not suspicion.changes:
            self.checked.append(finding)
        elif finding.id in mending.gone:
            self.checked.append(mending.gone[finding.id])
        elif finding.id in mending.kept:
            remedy, comparison = mending.kept[finding.id]
            self.checked.append(self._mended(replace(finding, remedy=remedy), comparison))
        elif finding.id in mending.tried:
            change, comparison = mending.tried[finding.id]
            figures = _figures(comparison)
            if not suspicion.is_certain:
                little = "little" if comparison.is_better else "nothing that can be told from chance"
                self.checked.append(suspicion.otherwise.format(f"{little} ({figures})"))
                return
            text = f"Tried, {change.name} led to {figures}, which is no gain that can be told from chance"
            remedy = replace(change.remedy, tried=comparison.trial)
            share = comparison.share
            effect = Effect(sentence(text), None if share is None else max(0.0, share), is_measured=True)
            self.checked.append(replace(finding, severity="low", effect=effect, remedy=remedy))
        else:
            self._untried(suspicion, mending.untried.get(finding.id, OVER))

    def _untried(self, suspicion: Suspicion, why: str) -> None:
        """A finding whose remedy was not tried is one by its rule alone; what only a trial makes one is not judged."""
        finding = suspicion.finding
        if suspicion.least:
            self._not_reached(f"scaling was not tried: {why.rstrip('.')}", finding.id)
            return
        if suspicion.changes:
            self.notes.append(f"The remedy of {finding.id} was not tried: {sentence(why)}")
        self.checked.append(finding)

    def _mended(self, finding: Finding, comparison: Comparison) -> Finding:
        """The finding with what its remedy brought."""
        how = f"{counted(comparison.pairs, 'pair')} of short trainings"
        text = f"With {comparison.change}, {_figures(comparison)} in {how}"
        effect = Effect(sentence(text), comparison.share, is_measured=True)
        return replace(finding, effect=effect, remedy=replace(finding.remedy, tried=comparison.trial))

    # -- the rate

    def _rates(self, mending: Mending, suspicions: Sequence[Suspicion]) -> RateFound | None:
        names = ("learning_rate_too_large", "learning_rate_too_small")
        if self.rate is None:
            self._not_reached("your optimizer takes no lr that could be changed", *names)
            return None
        try:
            found = swept_rates(mending.setup, mending.outcomes, mending.training)
            if found is not None and (found.finding is None or found.is_too_small):
                found = self._rates_of_scaled(mending, suspicions, found)
        except TrimtabError as error:
            self._not_reached(str(error).rstrip("."), *names)
            return None
        if found is None:
            self._not_reached(OVER, *names)
            return None
        if found.finding is None or found.comparison is None:
            self.checked.append("The learning rate gets somewhere, and no much smaller one does better.")
            return found
        self.comparisons.append(found.comparison)
        self.checked.append(self._mended(found.finding, found.comparison))
        return found

    def _rates_of_scaled(self, mending: Mending, suspicions: Sequence[Suspicion], found: RateFound) -> RateFound:
        """The rate beside others once what is of a wrong size is scaled, where that is better: at a rate that is far
        too small scaling brings nothing either, and a large rate makes up for a target that is not scaled."""
        of_sizes = [each for each in suspicions if each.finding.id in SIZES and not each.least]
        open_ = [each for each in of_sizes if each.finding.id in mending.tried.keys() - mending.kept.keys()]
        setup = mending.setup
        for suspicion in open_:
            setup = suspicion.changes[0].made(setup)
        outcomes = mending.training.outcomes(setup) if open_ else None
        again = None if outcomes is None else swept_rates(setup, outcomes[0], mending.training)
        if outcomes is None or again is None or not again.is_too_small or again.least >= found.least:
            return found
        names = [each.changes[0].name for each in open_]
        together_ = listed([*names, f"lr={again.better:.3g}"])
        before = mending.outcomes[: len(again.outcomes)]
        comparison = compared(mending.setup, before, [(together_, again.outcomes)], comparisons=len(again.swept))[0]
        if not comparison.is_better:
            return found
        self.comparisons.append(comparison)
        mending.kept |= {each.finding.id: (each.changes[0].remedy, comparison) for each in open_}
        mending.setup, mending.outcomes = setup, outcomes[0]
        return again

    # -- rows by heart

    def _by_heart(self, mending: Mending, rates: RateFound | None) -> ByHeart | None:
        setup, name = mending.setup, "capacity_too_small"
        if not can_be_learnt(setup):
            self._not_reached("nobody knows of this loss when rows are learnt by heart", name)
            return None
        try:
            learnt = learnt_by_heart(setup, mending.training)
        except TrimtabError as error:
            self._not_reached(str(error).rstrip("."), name)
            return None
        if learnt is None:
            self._not_reached(f"learning by heart was not reached: {OVER}", name)
            return None
        what = f"{counted(learnt.rows, 'row')} by heart in {learnt.steps} steps"
        if learnt.left <= NOT_LEARNT:
            self.checked.append(f"The network can learn {what}: {percent(learnt.left)} of the error is left.")
        elif learnt.control is None or learnt.control > LEARNT:
            self._not_reached(f"neither the network nor a control network learnt {what}", name)
        else:
            self._beside_control(mending, rates, learnt, what)
        return learnt

    def _beside_control(self, mending: Mending, rates: RateFound | None, learnt: ByHeart, what: str) -> None:
        """Of a network that cannot learn by heart what the control can: whether the control is better on rows to judge
        by too."""
        setup = scaled(mending.setup)
        if rates is not None and rates.better is not None:
            setup = setup.with_rate(rates.better)
        finding = Finding(
            "capacity_too_small", "high",
            f"The network cannot learn {what}: {percent(min(learnt.left, 1.0))} of the error is left at the best of "
            f"{len(RATES)} rates, where a control network of ours leaves {percent(learnt.control or 0.0)}.",
            {"rows": learnt.rows, "steps": learnt.steps, "left": learnt.left, "control": learnt.control},
            Effect("What cannot be learnt of so few rows cannot be learnt of many."),
            Remedy("Give it more units or layers, and look in its forward for what keeps inputs from the output; the "
                   "control network is this.", code=_CONTROL),
        )  # fmt: skip
        control = control_of(setup)
        outcomes = mending.training.outcomes(setup)
        found = None if control is None or outcomes is None else mending.training.outcomes(control)
        if found is None or outcomes is None:
            self.notes.append(f"The control network was not tried on rows to judge by: {OVER}.")
            self.checked.append(finding)
            return
        comparison = compared(setup, outcomes[0], [("the control network", found[0])], comparisons=1)[0]
        self.comparisons.append(comparison)
        if comparison.is_better:
            self.checked.append(self._mended(finding, comparison))
        else:
            figures = _figures(comparison)
            self.checked.append(f"The network cannot learn {what}; a control that can is no better ({figures}).")


_CONTROL = "nn.Sequential(nn.Linear(inputs, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, outputs))"


def _figures(comparison: Comparison) -> str:
    """ "validation rmse 3.100 -> 0.9000"."""
    before, after = (number(e) if math.isfinite(e) else "diverged" for e in (comparison.before, comparison.after))
    return f"{comparison.metric} {before} -> {after}"


def _named(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
