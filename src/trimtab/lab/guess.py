"""Guess: what may be answered before an experiment is seen, and the sentence that sets it beside what came.

Knows numbers and words; it knows no experiment.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """An answer that holds for a number from `low` up to below `high`; `label` is what its button says."""

    name: str
    label: str
    low: float
    high: float = math.inf

    def holds(self, number: float) -> bool:
        return self.low <= number < self.high


@dataclass(frozen=True)
class Named:
    """An answer that names one of several."""

    name: str
    label: str


def among(answers: Sequence[Named], right: Collection[str], came: str) -> dict[str, str]:
    """For the name of each answer the sentence that compares it with those that are right, which `came` tells in words
    with its reason; none where none is."""
    if not right:
        return {}
    guessed = {each.name: ", and you were right:" if each.name in right else ", but" for each in answers}
    return {each.name: f"You guessed {each.label}{guessed[each.name]} {came}." for each in answers}


def beside(brackets: Sequence[Bracket], number: float, came: str) -> dict[str, str]:
    """For the name of each answer the sentence that compares it with `number`, which `came` tells in words; none for a
    number that is not finite."""
    if not math.isfinite(number):
        return {}
    return {each.name: f"You guessed {each.label}; {came}: {_verdict(each, number)}." for each in brackets}


def _verdict(bracket: Bracket, number: float) -> str:
    if bracket.holds(number):
        return "you were right"
    return "more than you thought" if number >= bracket.high else "less than you thought"
