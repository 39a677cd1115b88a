"""TrialQueue: the trials to come, those that wait first, then what is proposed. Knows numbers and values alone."""

from collections.abc import Sequence

from trimtab.knobs.domains import Value
from trimtab.tuning.ahead import Proposals
from trimtab.tuning.flight import Flight

Numbered = tuple[int, dict[str, Value]]


class TrialQueue:
    """Hands out trials in the order of their numbers; `first` is the first number that no trial has.

    What `waits` was in flight when an earlier call ended; the rest comes from `proposals`.
    """

    def __init__(self, waiting: Sequence[Numbered], first: int, *, flight: Flight) -> None:
        self.waiting, self.next_number, self.is_exhausted = list(waiting), first, False
        self.proposals: Proposals
        self._flight = flight

    @property
    def is_empty(self) -> bool:
        """Whether every configuration was proposed, and nothing waits."""
        return self.is_exhausted and not self.waiting

    @property
    def number(self) -> int:
        """The number of the next trial."""
        return self.waiting[0][0] if self.waiting else self.next_number

    def take_number(self) -> int:
        """A number that no other trial will have."""
        self.next_number += 1
        return self.next_number - 1

    def next(self) -> Numbered | None:
        """The next trial; None where every configuration was proposed."""
        if self.waiting:
            return self.waiting.pop(0)
        values = self.proposals.next(self.next_number)
        if values is None:
            self.is_exhausted = True
            return None
        return self.take_number(), values

    def put_back(self, number: int, values: dict[str, Value]) -> None:
        """There is no room for this trial yet."""
        self.waiting.insert(0, (number, values))

    def leave(self, number: int, values: dict[str, Value]) -> None:
        """There is no time for this trial; one of an earlier call stays in flight."""
        if number in self._flight:
            self.put_back(number, values)
            return
        self.proposals.forget(number)
        self.next_number = number
