"""The trials to come: those that wait first, each number once, and none lost that there is no time for."""

from typing import Any

from trimtab.tuning.trial_queue import TrialQueue


class Listed:
    """Proposals from a list."""

    def __init__(self, *values: int) -> None:
        self.left, self.forgotten = list(values), []

    def next(self, number: int) -> dict[str, Any] | None:
        return {"width": self.left.pop(0)} if self.left else None

    def forget(self, number: int) -> None:
        self.forgotten.append(number)


def queue(*proposed: int, waiting: tuple = (), flight: tuple[int, ...] = ()) -> TrialQueue:
    made = TrialQueue(list(waiting), 7, flight=flight)  # type: ignore[arg-type]
    made.proposals = Listed(*proposed)  # type: ignore[assignment]
    return made


def test_what_waits_comes_first_and_then_what_is_proposed_until_there_is_nothing_left() -> None:
    trials = queue(64, waiting=((3, {"width": 32}),))
    assert trials.number == 3 and not trials.is_empty
    assert trials.next() == (3, {"width": 32})
    assert trials.number == 7
    assert trials.next() == (7, {"width": 64})
    assert trials.next() is None and trials.is_empty
    assert trials.take_number() == 8


def test_a_trial_without_room_is_the_next_one() -> None:
    trials = queue(64)
    number, values = trials.next() or (0, {})
    trials.put_back(number, values)
    assert trials.next() == (number, values)


def test_a_proposal_without_time_is_forgotten_and_one_of_an_earlier_call_kept() -> None:
    trials = queue(64, 128, waiting=((3, {"width": 32}),), flight=(3,))
    number, values = trials.next() or (0, {})
    trials.leave(number, values)
    assert trials.number == 3
    trials.next()
    number, values = trials.next() or (0, {})
    trials.leave(number, values)
    assert trials.number == number == 7 and trials.proposals.forgotten == [7]  # type: ignore[attr-defined]
