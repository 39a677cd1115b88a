"""SharedSetting: a setting of the whole process that calls in several threads need at the same time.

Knows how to set and to put back, and nothing of what is set.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SharedSetting(Generic[Value]):
    """The first that holds it sets it, the last that leaves puts back what was there before; whoever needs another
    value than the one that is held waits until it is free.

    `put` sets a value, and gives the function that puts back what was there.
    """

    def __init__(self, put: Callable[[Value], Callable[[], object]]) -> None:
        self._put = put
        self._is_free = threading.Condition()
        self._users = 0
        self._held: Value | None = None
        self._put_back: Callable[[], object] = lambda: None

    @contextmanager
    def at(self, value: Value) -> Iterator[None]:
        """Hold the setting at `value`."""
        with self._is_free:
            self._is_free.wait_for(lambda: self._users == 0 or self._held == value)
            if self._users == 0:
                self._put_back, self._held = self._put(value), value
            self._users += 1
        try:
            yield
        finally:
            with self._is_free:
                self._users -= 1
                if self._users == 0:
                    self._put_back()
                    self._is_free.notify_all()
