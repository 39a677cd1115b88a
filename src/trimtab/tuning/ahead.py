"""Ahead: the proposer at work in a thread of its own, so that no lane waits for it.

What becomes of a trial is told at once and used as soon as the thread gets to it. Where proposals cannot keep up
with the trials, values are drawn from the prior instead of waiting. Which of the two happens depends on the clock:
searches of a given number of trials ask the proposer itself, in the order of the trials. Knows values and records; it
trains nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy

from trimtab.knobs.domains import Value
from trimtab.training.randomness import number_from
from trimtab.tuning.pace import STRUCTURES_OF_A_SEARCH
from trimtab.tuning.proposer import Proposer
from trimtab.tuning.repeats import Repeats
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.variants import Variants

# Proposals that are ready at most: more would be older than what has been told since (a guess).
READY = 6
# How often the sampler, or the prior of a new structure, is asked for what was not tried yet, before it is drawn (a
# guess).
TRIES = 8
MOST_DRAWN = 1000  # where even so many are repeats, the range has hardly a value left (a guess)
# Trials of each of the first structures of a space that nothing is known of; and of those of waves that grow, which
# double after every five. Guesses: some dozen trials tell a good structure from a bad one.
FIRST_WAVE, SHORTEST_WAVE = 12, 2
# Seconds that a lane waits for a proposal that is nearly done: asking takes 3 ms after ten trials and 16 after a
# thousand (benchmarks/RESULTS.md, "idle"), and a round of lanes longer.
PATIENCE = 0.003


class Proposals(Protocol):
    """Where the values of the next trial come from; None where every configuration was proposed."""

    def next(self, number: int) -> dict[str, Value] | None: ...

    def tell(self, record: TrialRecord) -> None: ...

    def forget(self, number: int) -> None: ...

    def close(self) -> None: ...


class Waves:
    """The proposer asked in waves: a structure that is opened gets a whole population of trials, never one alone.

    The guesses of the space come first, one after the other as they stand: whoever put them in their order has seen to
    which of them train side by side. Waves that `grow` are short at first, so that of few trials, too, several
    structures get their share, however many are to come. Between waves come `variants` of the best trials. Nothing that
    is in `repeats` is proposed again.
    """

    def __init__(
        self,
        proposer: Proposer,
        trials_at_once: Callable[[Mapping[str, Value]], int],
        *,
        grow: bool = False,
        repeats: Repeats | None = None,
        variants: Variants | None = None,
    ) -> None:
        self.proposer, self.trials_at_once, self.variants = proposer, trials_at_once, variants
        self.repeats = repeats or Repeats(proposer.space.domains)
        self.grow, self._waves = grow, 0
        self._structure: Mapping[str, Value] = {}
        self._left = 0
        self._opened: set[tuple] = set()

    def next(self, number: int) -> dict[str, Value] | None:
        if self.repeats.is_exhausted:
            return None
        self.proposer.begin(number)
        guess = self._untried_guess(number)
        if guess is not None:
            self._note(guess, is_guess=True)
            return guess
        is_within = self._left > 0
        structure = self._structure if is_within else {}
        is_due = self._is_variants_turn(number)
        if is_due and (variant := self._untried_variant(self.proposer.rng, structure)) is not None:
            self._note_variant(variant)
            return self.proposer.propose(number, exactly=variant)
        new = None if is_within else self._new_structure()
        if new is not None:
            values = self.proposer.propose(number, exactly=new)
        else:
            values = self._untried(number, self._structure if is_within else None)
        self._note(values)
        return values

    def again(self, number: int, values: Mapping[str, Value]) -> None:
        """Take `values` as those of trial `number`, which an earlier call has proposed."""
        if self.proposer.fits(values):
            guesses, is_variant = len(self.proposer.guesses), self._is_variants_turn(number)
            self.proposer.again(number, values)
            is_guess = len(self.proposer.guesses) < guesses
            if is_variant and not is_guess:
                self._note_variant(values)
            else:
                self._note(values, is_guess=is_guess)

    @property
    def has_guesses(self) -> bool:
        """Whether what comes next is known already, so that it is worth waiting for."""
        return bool(self.proposer.guesses)

    def _untried_guess(self, number: int) -> dict[str, Value] | None:
        while self.has_guesses:
            values = self.proposer.propose(number)
            if values not in self.repeats:
                return values
            self.proposer.forget(number)
        return None

    def _note(self, values: Mapping[str, Value], *, is_guess: bool = False) -> None:
        is_within = self._left > 0
        if is_guess:
            self._opened.add(tuple(self.proposer.structure_of(values).items()))
        elif is_within and self.proposer.structure_of(values) == self._structure:
            self._left -= 1
        else:
            self._structure = self.proposer.structure_of(values)
            self._left = self._wave(values) - 1
            self._opened.add(tuple(self._structure.items()))
            self._waves += 1
        self.repeats.note(values)

    def _note_variant(self, values: Mapping[str, Value]) -> None:
        """Of a wave it is one more; between waves it begins none."""
        if self._left > 0:
            self._note(values)
        else:
            self.repeats.note(values)

    def _wave(self, values: Mapping[str, Value]) -> int:
        """How many trials the structure of `values`, which begins a wave, gets in a row."""
        at_once = self.trials_at_once(values)
        # Twice what a population holds, so that a place that is freed is filled by the same structure (a guess); what
        # holds one or two at once gains nothing by a wave.
        wave = 2 * at_once if at_once > 2 else 1
        if self.grow:
            return min(wave, SHORTEST_WAVE * 2 ** (self._waves // STRUCTURES_OF_A_SEARCH))
        is_new = tuple(self._structure.items()) not in self._opened
        return min(wave, FIRST_WAVE) if is_new and self._opens_structures else wave

    @property
    def _opens_structures(self) -> bool:
        """A space with guesses begins with those, which see to several structures by themselves."""
        return not self.proposer.space.guesses and len(self._opened) < STRUCTURES_OF_A_SEARCH

    def _new_structure(self) -> dict[str, Value] | None:
        """Values of a structure that was not tried yet, while few were: one tells nothing of the others."""
        space = self.proposer.space
        if not self._opens_structures:
            return None
        for _ in range(TRIES):
            values = space.draw(self.proposer.rng)
            if tuple(self.proposer.structure_of(values).items()) not in self._opened and values not in self.repeats:
                return values
        return None

    def _is_variants_turn(self, number: int) -> bool:
        """Once the guesses have been tried, mostly."""
        if self.variants is None or self.has_guesses:
            return False
        return self.variants.is_due(number, is_within=self._left > 0)

    def _untried_variant(self, rng: numpy.random.Generator, structure: Mapping[str, Value]) -> dict[str, Value] | None:
        assert self.variants is not None
        drawn = (self.variants.draw(rng, structure) for _ in range(TRIES))
        return next((values for values in drawn if values not in self.repeats), None)

    def _untried(self, number: int, structure: Mapping[str, Value] | None) -> dict[str, Value]:
        for _ in range(TRIES):
            values = self.proposer.propose(number, structure)
            if values not in self.repeats:
                return values
            self.proposer.forget(number)
        # The sampler insists, at the ends of a range as a rule.
        left = self.repeats.left(self.proposer.rng) or self._fresh(self.proposer.rng, structure or {})
        return self.proposer.propose(number, exactly=left)

    def _fresh(self, rng: numpy.random.Generator, structure: Mapping[str, Value]) -> dict[str, Value] | None:
        """Values that were not proposed yet: what is drawn beyond the ends of a range is put at its ends, too."""
        drawn = ({**self.proposer.space.draw(rng), **structure} for _ in range(MOST_DRAWN))
        return next((values for values in drawn if values not in self.repeats), None)

    def drawn(self, rng: numpy.random.Generator) -> dict[str, Value]:
        """Values from the prior, within the structure of the wave; asked for beside the thread that proposes."""
        structure = self._structure if self._left > 0 else {}
        variant = None
        if self._left == 0 and self.variants is not None and self.variants.are_known:
            variant = self._untried_variant(rng, structure)
        values = variant or self._fresh(rng, structure) or {**self.proposer.space.draw(rng), **structure}
        self.repeats.note(values)
        return values

    def tell(self, record: TrialRecord) -> None:
        self.proposer.tell(record)
        if self.variants is not None:
            self.variants.tell(record)

    def forget(self, number: int) -> None:
        values = self.proposer.forget(number)
        if values is not None:
            self.repeats.forget(values)

    def close(self) -> None:
        pass


class InOrder:
    """`waves`, asked for one trial after the other: what trial `number` is follows from the seed and from what became
    of the trials up to `number - lag`, in whatever order and in however many calls they were trained.

    Whoever asks for trial `number` has told of all those before.
    """

    def __init__(self, waves: Waves, *, lag: int) -> None:
        self.waves, self.lag = waves, lag
        self._told: dict[int, TrialRecord] = {}

    def next(self, number: int) -> dict[str, Value] | None:
        self._tell_up_to(number - self.lag)
        return self.waves.next(number)

    def again(self, number: int, values: Mapping[str, Value]) -> None:
        """Take `values` as those of trial `number`, which an earlier call has proposed."""
        self._tell_up_to(number - self.lag)
        self.waves.again(number, values)

    def tell(self, record: TrialRecord) -> None:
        self._told[record.number] = record

    def _tell_up_to(self, last: int) -> None:
        for number in sorted(number for number in self._told if number <= last):
            self.waves.tell(self._told.pop(number))

    def forget(self, number: int) -> None:
        self.waves.forget(number)

    def close(self) -> None:
        pass


class Ahead:
    """`waves`, a few proposals ahead, from the first that is asked for until `close`. `waited` counts the seconds that
    `next` took, `drawn` the trials that did not wait for a proposal.

    Trials below `first` belong to an earlier call: `waves` knows them by their own numbers.
    """

    def __init__(self, waves: Waves, *, seed: int, first: int = 0) -> None:
        self.waves, self.waited, self.drawn = waves, 0.0, 0
        self.seed, self.first = seed, first
        self._ready: deque[tuple[int, dict[str, Value] | None]] = deque()
        self._told: deque[Callable[[], None]] = deque()
        self._tokens: dict[int, int] = {}
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def next(self, number: int) -> dict[str, Value] | None:
        """Values for trial `number`, None where every configuration was proposed; raises what the thread has met."""
        started = time.perf_counter()
        self._start()
        with self._changed:
            # The first ones are worth waiting for: a search begins with the configs that are known to be good. And
            # where configurations are few, drawing would repeat them.
            is_first = not (self._tokens or self.drawn)
            is_worth_it = is_first or self.waves.has_guesses or self.waves.repeats.is_finite
            patience = None if is_worth_it else PATIENCE
            self._changed.wait_for(lambda: self._ready or self._error, timeout=patience)
            if self._error is not None:
                raise self._error
            if self._ready and self._ready[0][1] is None:
                values = None
            elif self._ready:
                token, values = self._ready.popleft()
                self._tokens[number] = token
                self._changed.notify_all()
            else:
                self.drawn += 1
                values = self.waves.drawn(numpy.random.default_rng(number_from("drawn", self.seed, number)))
        self.waited += time.perf_counter() - started
        return values

    def tell(self, record: TrialRecord) -> None:
        """What became of a trial; of one that was drawn, too: the proposer learns from it as from an earlier one."""
        stranger = record.number if record.number < self.first else -1 - record.number
        known = replace(record, number=self._tokens.pop(record.number, stranger))
        self._put(lambda: self.waves.tell(known))

    def forget(self, number: int) -> None:
        token = self._tokens.pop(number, None)
        if token is not None:
            self._put(lambda: self.waves.forget(token))

    def close(self) -> None:
        """End the thread, after the proposal that it is at."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trimtab-proposer", daemon=True)
            self._thread.start()

    def _put(self, command: Callable[[], None]) -> None:
        with self._changed:
            self._told.append(command)
            self._changed.notify_all()

    def _wants_more(self) -> bool:
        return len(self._ready) < READY and not (self._ready and self._ready[-1][1] is None)

    def _work(self) -> None:
        token = self.first
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed or self._told or self._wants_more())
                    if self._is_closed:
                        return
                    told = list(self._told)
                    self._told.clear()
                for command in told:
                    command()
                if self._wants_more():
                    values = self.waves.next(token)
                    with self._changed:
                        self._ready.append((token, values))
                        self._changed.notify_all()
                    token += 1
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
