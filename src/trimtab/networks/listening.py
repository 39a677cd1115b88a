"""Listening: telling callbacks how runs go. Knows their methods; it knows no training."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy

from trimtab.errors import OptionError
from trimtab.text.wording import with_article

METHODS = ("started", "epoch_ended", "ended", "failed")


class Listening:
    """Tells each of `callbacks` what happens: objects with any of the methods `started(run, config)`,
    `epoch_ended(run, values)`, `ended(run, result)` and `failed(run, error)`, or functions of an epoch's `values`.

    What answers True to an epoch stops that run. A callback that raises ends the call: it is the caller's own code. As
    a context, it tells of an error every run that has started and not ended.
    """

    def __init__(self, callbacks: Any = ()) -> None:
        several = isinstance(callbacks, (list, tuple, set))
        self._callbacks: list[Any] = [*callbacks] if several else [] if callbacks is None else [callbacks]
        self._under_way: dict[str, None] = {}
        for callback in self._callbacks:
            is_listener = any(hasattr(callback, name) for name in METHODS)
            if isinstance(callback, type) or not (is_listener or callable(callback)):
                name = getattr(callback, "__name__", type(callback).__name__)
                what = f"the class {name}" if isinstance(callback, type) else with_article(name)
                raise OptionError(
                    f"callbacks holds {what}: give functions of an epoch's values, or objects with a method "
                    f"{', '.join(METHODS[:-1])} or {METHODS[-1]}."
                )

    @property
    def is_idle(self) -> bool:
        """Whether nobody listens."""
        return not self._callbacks

    def __enter__(self) -> "Listening":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        for run in list(self._under_way) if error is not None else ():
            for callback in self._callbacks:
                if failed := getattr(callback, "failed", None):
                    with suppress(Exception):  # what went wrong first is what is raised
                        failed(run, error)
        self._under_way.clear()

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._under_way[run] = None
        self._tell("started", run, config)

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        """Whether somebody wants the run to stop."""
        answers = self._tell("epoch_ended", run, values)
        plain = (c for c in self._callbacks if not any(hasattr(c, name) for name in METHODS))
        answers += [callback(dict(values)) for callback in plain]
        return any(isinstance(answer, (bool, numpy.bool_)) and bool(answer) for answer in answers)

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        self._tell("ended", run, result)
        del self._under_way[run]

    def _tell(self, what: str, run: str, details: Mapping[str, Any]) -> list[Any]:
        methods = (getattr(callback, what, None) for callback in self._callbacks)
        return [method(run, dict(details)) for method in methods if method is not None]
