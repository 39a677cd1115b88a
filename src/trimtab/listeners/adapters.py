"""Adapters: what a caller names as `callbacks=` or `listeners=`, each as a listener.

The one place that looks for methods by their names. Knows nothing that happens.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy

from trimtab.errors import OptionError
from trimtab.listeners.listener import OF_RUNS, OF_STUDIES, Listener, hears
from trimtab.text.wording import listed, with_article

# What an object in `listeners=` may have: there `started` is told of the study.
OF_LISTENERS = ("started", "notice", "schema", "baseline", "progress")


def callbacks_as_listeners(callbacks: Any) -> tuple[Listener, ...]:
    """Each of `callbacks` as a listener: functions of an epoch's values, or objects with any of the methods
    `started(run, config)`, `epoch_ended(run, values)`, `ended(run, result)` and `failed(run, error)`.

    Raises OptionError for anything else.
    """
    return tuple(_of_callback(callback) for callback in _several(callbacks))


def observers_as_listeners(observers: Any) -> tuple[Listener, ...]:
    """Each of `observers`, given as `listeners=`, as a listener: objects with any of the methods `started(out)`,
    `notice`, `schema`, `baseline` and `progress`. Raises OptionError for anything else."""
    return tuple(_of_observer(observer) for observer in _several(observers))


def _several(given: Any) -> Iterable[Any]:
    if given is None:
        return ()
    return given if isinstance(given, (list, tuple, set)) else (given,)


def _of_callback(callback: Any) -> Listener:
    if isinstance(callback, Listener):
        if hears(callback, OF_RUNS):
            return callback
        raise OptionError(f"callbacks holds {_kind(callback)}, which hears nothing of runs: give it as listeners=.")
    has_methods = any(hasattr(callback, name) for name in OF_RUNS)
    if isinstance(callback, type) or not (has_methods or callable(callback)):
        raise OptionError(
            f"callbacks holds {_kind(callback)}: give functions of an epoch's values, or objects with a method "
            f"{listed(OF_RUNS, 'or')}."
        )
    return _Callback(callback) if has_methods else _EachEpoch(callback)


def _of_observer(observer: Any) -> Listener:
    if isinstance(observer, Listener) and hears(observer, OF_STUDIES):
        return observer
    if hasattr(observer, "epoch_ended"):
        raise OptionError(f"listeners holds {_kind(observer)}, which is told of epochs: give it as callbacks=.")
    if isinstance(observer, type) or not any(callable(getattr(observer, name, None)) for name in OF_LISTENERS):
        raise OptionError(
            f"listeners holds {_kind(observer)}: give objects with a method {listed(OF_LISTENERS, 'or')}."
        )
    return _Observer(observer)


def _kind(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return with_article(type(given).__name__)


def _nothing(*details: object) -> None:
    """What an object without a method does when it is told."""


class _Callback(Listener):
    """An object with some of the methods that are told of runs."""

    def __init__(self, callback: Any) -> None:
        self._started, self._epoch_ended, self._ended, self._failed = (
            getattr(callback, name, _nothing) for name in OF_RUNS
        )

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._started(run, config)

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        return _is_true(self._epoch_ended(run, values))

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        self._ended(run, result)

    def failed(self, run: str, error: BaseException) -> None:
        self._failed(run, error)


class _EachEpoch(Listener):
    """A function of an epoch's values."""

    def __init__(self, function: Callable[[Mapping[str, float]], Any]) -> None:
        self._function = function

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        return _is_true(self._function(values))


class _Observer(Listener):
    """An object with some of the methods that are told of a study."""

    def __init__(self, observer: Any) -> None:
        self._started, self._notice, self._schema, self._baseline, self._progress = (
            getattr(observer, name, _nothing) for name in OF_LISTENERS
        )

    def study_started(self, out: Path) -> None:
        self._started(out)

    def notice(self, text: str) -> None:
        self._notice(text)

    def schema(self, schema: Any) -> None:
        self._schema(schema)

    def baseline(self, name: str, metric: str, score: float) -> None:
        self._baseline(name, metric, score)

    def progress(self, progress: Any) -> None:
        self._progress(progress)


def _is_true(answer: Any) -> bool:
    """Whether a callback said True: a number or an array that it happens to return is no answer."""
    return isinstance(answer, (bool, numpy.bool_)) and bool(answer)
