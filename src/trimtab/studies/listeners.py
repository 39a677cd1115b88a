"""Listeners: whoever is told how a search goes, each by the methods that it has, and what they were told to mind.

Knows nothing of what happens.
"""

from collections.abc import Iterable


class Listeners:
    """Tells all `listeners`; `notices` are what a user ought to know, in the order in which it was said."""

    def __init__(self, listeners: Iterable[object]) -> None:
        self._listeners = tuple(listeners)
        self.notices: list[str] = []

    def tell(self, what: str, *details: object) -> None:
        for listener in self._listeners:
            if method := getattr(listener, what, None):
                method(*details)

    def notice(self, text: str) -> None:
        self.notices.append(text)
        self.tell("notice", text)
