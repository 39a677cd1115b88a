"""Experiment: something to turn and to watch; what a page shows of it comes as events, one after the other.

Knows controls; it knows no server.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from trimtab.lab.controls import Control, Values
from trimtab.lab.guess import Bracket, Named

Event = dict[str, Any]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """How an experiment ended: one measured sentence, the figures for the page, and the weights to take home.

    `brief` is the same in a few words, which stay on the page beside the next sentence; `compared` has for the name of
    each choice of the guess the sentence that sets it beside what came.
    """

    sentence: str
    figures: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    brief: str = ""
    compared: Mapping[str, str] = field(default_factory=dict)


class Experiment(Protocol):
    """One chapter.

    `name` is its place in addresses, `question` what it answers, `guess` asks for a prediction before anything is seen,
    `choices` are the answers to it (without any the chapter opens at once), `next` says what is worth turning once the
    answer is seen, `words` explain its terms in place.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def guess(self) -> str: ...
    @property
    def choices(self) -> Sequence[Bracket | Named]: ...
    @property
    def next(self) -> str: ...
    @property
    def words(self) -> Sequence[tuple[str, str]]: ...
    @property
    def controls(self) -> Sequence[Control]: ...

    def run(self, values: Values, stop: Stop) -> Iterator[Event | Outcome]:
        """What happens, in events of the kinds "begin" and "frame", and how it ended."""
        ...

    def code(self, values: Values) -> str:
        """A script that does the same by itself."""
        ...
