"""Quiet: what other packages warn of and log while they work for us is kept from the caller, in this thread alone.

`warnings.catch_warnings` and levels of loggers belong to the whole process: two threads that use them at once leave a
setting behind, and swallow what others say. Knows no package but by its name.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class _Depth(threading.local):
    """How many blocks the thread is in that are to be quiet."""

    warnings = 0
    logs = 0


class _KindOfQuietThreads(type):
    def __subclasscheck__(cls, kind: type) -> bool:
        return _depth.warnings > 0


class _InQuietThread(Warning, metaclass=_KindOfQuietThreads):
    """The kind that every warning is of, as a filter asks, while the thread that warns is quiet."""


_depth = _Depth()
# Packages that warn use `catch_warnings` themselves: they have to come one after the other, too.
_one_at_a_time = threading.RLock()
_FILTER = ("ignore", None, _InQuietThread, None, 0)  # as `warnings.simplefilter` makes it
_logs = threading.Lock()
_silenced: dict[logging.Logger, int] = {}


@contextmanager
def quietly() -> Iterator[None]:
    """No warning of this thread is shown."""
    with _one_at_a_time:
        _depth.warnings += 1
        try:
            warnings.simplefilter("ignore", _InQuietThread)
            yield
        finally:
            _depth.warnings -= 1
            if not _depth.warnings:
                with suppress(ValueError):  # somebody has put other filters in the place of these
                    warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]


@contextmanager
def quiet_logs(package: str) -> Iterator[None]:
    """Nothing below a warning is logged by `package` for this thread."""
    loggers = _loggers(package)
    with _logs:
        for logger in loggers:
            _silenced[logger] = _silenced.get(logger, 0) + 1
            logger.addFilter(_passes)
    _depth.logs += 1
    try:
        yield
    finally:
        _depth.logs -= 1
        with _logs:
            for logger in loggers:
                _silenced[logger] -= 1
                if not _silenced[logger]:
                    del _silenced[logger]
                    logger.removeFilter(_passes)


def _loggers(package: str) -> list[logging.Logger]:
    """A logger's filter is asked for what it logs itself, so that each of them needs one."""
    named = list(logging.root.manager.loggerDict.items())
    return [
        logger for name, logger in named if name.partition(".")[0] == package and isinstance(logger, logging.Logger)
    ]


def _passes(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not _depth.logs
