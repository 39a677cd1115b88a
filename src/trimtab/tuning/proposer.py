"""Which config to try next: Optuna's TPE in memory, fed with first guesses and with every finished trial.

Knows no training and no files.
"""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy

from trimtab.settings.quiet import quiet_logs, quietly

with quietly():
    # In a notebook without ipywidgets its progress bars complain when they are imported; none is ever shown.
    import optuna

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from trimtab.knobs.domains import Choice, Domain, Range, Value, held, holds
from trimtab.training.randomness import number_from
from trimtab.tuning.partly_fixed import PartlyFixed
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import COMPLETE, TrialRecord

# Optuna 4 calls some of what is used here experimental.
_WARNS_OF_ARGUMENTS = int(optuna.__version__.partition(".")[0]) < 5
# The first trials are drawn, so that the sampler has something to tell good from bad by (Optuna's own ten, and two).
# So is a share of the later ones, because a sampler that has settled never looks elsewhere (a guess).
DRAWN_FIRST = 12
DRAWN_LATER = 0.2
# What the sampler goes by, so that asking stays quick: it takes 16 to 17 ms then, however many trials there were
# (benchmarks/RESULTS.md, "idle"). And the trials at which the others are forgotten, so that this is seldom done.
REMEMBERED_BEST, REMEMBERED_LATEST = 200, 300
MOST_REMEMBERED = 600


class Proposer:
    """Asks Optuna for the next values and tells it what became of them; the same calls give the same answers.

    Chance starts anew with each trial, from seed and number: a search that goes on where another has ended proposes
    what that one would have proposed, once it was told the same.
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        self.space = space
        self.seed = seed
        self.rng = numpy.random.default_rng(seed)
        self.distributions = {name: distribution(domain) for name, domain in space.domains.items()}
        self.study = _new_study(self._sampler())
        self.guesses = [self._complete(guess) for guess in space.guesses]
        self.asked = 0
        self.open: dict[int, optuna.trial.Trial] = {}
        self._begun: int | None = None
        self.adrift: dict[int, dict[str, Value]] = {}

    def propose(
        self,
        number: int,
        structure: Mapping[str, Value] | None = None,
        exactly: Mapping[str, Value] | None = None,
    ) -> dict[str, Value]:
        """Values for trial `number`: within `structure`'s structural knobs, or `exactly` these, if given."""
        self.begin(number)
        fixed = {k: v for k, v in (structure or {}).items() if k in self.distributions}
        guess = dict(exactly) if exactly is not None else self._guess(fixed)
        if guess is not None:
            self.study.enqueue_trial(guess)
        sampler = self._sampler()
        self.study.sampler = PartlyFixed(fixed, sampler) if fixed else sampler
        trial = self.study.ask(self.distributions)
        self.asked += 1
        self.open[number] = trial
        return dict(trial.params)

    def begin(self, number: int) -> None:
        """Let chance start anew for trial `number`, unless it has begun already."""
        if number != self._begun:
            self._begun = number
            self.rng = numpy.random.default_rng(number_from("proposal", self.seed, number))

    def again(self, number: int, values: Mapping[str, Value]) -> None:
        """Take `values` as proposed for trial `number`: an earlier call has tried them, or they are to be tried now."""
        used = next((guess for guess in self.guesses if self._is_used(guess, values)), None)
        if used is not None:
            self.guesses.remove(used)
        self.propose(number, exactly=values)

    def _is_used(self, guess: dict[str, Value], values: Mapping[str, Value]) -> bool:
        """Whether `values` are this guess; an older trimtab has completed the same one by other draws."""
        if guess == values:
            return True
        domains = self.space.domains
        for given in self.space.guesses:
            kept = held(given, domains)
            is_this = kept.items() <= guess.items() and any(isinstance(domains[name], Range) for name in kept)
            if is_this and kept.items() <= values.items():
                return True
        return False

    def fits(self, values: Mapping[str, Value]) -> bool:
        """Whether `values` are of this space: those of a call that held other knobs still are not."""
        return values.keys() == self.distributions.keys() and all(
            holds(self.space.domains[name], value) for name, value in values.items()
        )

    def _sampler(self) -> "optuna.samplers.TPESampler":
        with quietly() if _WARNS_OF_ARGUMENTS else nullcontext():
            return optuna.samplers.TPESampler(
                seed=int(self.rng.integers(2**31)), multivariate=True, constant_liar=True, n_startup_trials=0
            )

    def tell(self, record: TrialRecord) -> None:
        """What became of a proposed trial; pruned and failed ones count as worse than those that finished."""
        with quiet_logs("optuna"):
            self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        trial = self.open.pop(record.number, None)
        if record.number in self.adrift:
            self._add_adrift(self.adrift.pop(record.number), record)
        elif trial is None:
            self._add(record)
        elif record.state == COMPLETE and numpy.isfinite(record.error):
            self.study.tell(trial, record.error)
        else:
            if numpy.isfinite(record.error):
                trial.report(record.error, step=max(record.best_epochs, default=0))
            self.study.tell(trial, state=TrialState.PRUNED)
        if len(self.study.get_trials(deepcopy=False)) > MOST_REMEMBERED:
            self._forget()

    def forget(self, number: int) -> dict[str, Value] | None:
        """Take back a proposal that could not be tried; its values, None where it is not open."""
        trial = self.open.pop(number, None)
        if trial is None:
            return self.adrift.pop(number, None)
        with quiet_logs("optuna"):
            self.study.tell(trial, state=TrialState.FAIL)
        return dict(trial.params)

    def structure_of(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those of `values` that decide which runs may share a population."""
        return {name: values[name] for name in self.space.structural if name in values}

    def _guess(self, fixed: Mapping[str, Value]) -> dict[str, Value] | None:
        """Values drawn from the prior rather than from what was learnt: the first ones always, a few later."""
        for i, guess in enumerate(self.guesses):
            if all(guess.get(name) == value for name, value in fixed.items()):
                return self.guesses.pop(i)
        if self.asked >= DRAWN_FIRST and self.rng.random() >= DRAWN_LATER:
            return None
        return {**self.space.draw(self.rng), **fixed}

    def _complete(self, guess: Mapping[str, Value]) -> dict[str, Value]:
        return {**self.space.draw(self.rng), **held(guess, self.space.domains)}

    def _add(self, record: TrialRecord) -> None:
        """Learn from a trial that was not proposed here, if it turned the same knobs."""
        if self.fits(record.values):
            self._add_adrift(dict(record.values), record)
            self.asked += 1

    def _add_adrift(self, values: dict[str, Value], record: TrialRecord) -> None:
        """A trial that is not open: it was drawn, or asked from a study that was left behind."""
        is_complete = record.state == COMPLETE and numpy.isfinite(record.error)
        reached = {max(record.best_epochs, default=0): record.error} if numpy.isfinite(record.error) else {}
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
                value=record.error if is_complete else None,
                params=dict(values),
                distributions=self.distributions,
                intermediate_values={} if is_complete else reached,
            )
        )

    def _forget(self) -> None:
        """Keep the best and the latest trials only, so that asking stays as quick as it was."""
        self.adrift |= {number: dict(trial.params) for number, trial in self.open.items()}
        self.open.clear()
        trials = [t for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()]
        finished = (t for t in trials if t.state == TrialState.COMPLETE)
        best = sorted(finished, key=lambda t: t.value or 0.0)[:REMEMBERED_BEST]
        kept = {t.number: t for t in best + trials[-REMEMBERED_LATEST:]}
        self.study = _new_study(self._sampler())
        self.study.add_trials([kept[number] for number in sorted(kept)])


def _new_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    with quiet_logs("optuna"):
        return optuna.create_study(sampler=sampler)


def distribution(domain: Domain) -> BaseDistribution:
    """Optuna's form of a knob's domain."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)
