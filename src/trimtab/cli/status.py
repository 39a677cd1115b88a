"""The exit status of the command line: what became of a command, and of everything that can go wrong on its way.

Knows no command by its name.
"""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from trimtab.cli.commands import app
from trimtab.cli.interruption import call_watchdogs_off
from trimtab.errors import TrimtabError
from trimtab.terminal.console import console_on, say
from trimtab.text.wording import sentence

TYPERS_KEYBOARD_INTERRUPT = 130  # 128 and the number of the signal, as shells have it
TRACEBACK = "TRIMTAB_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 failed, 2 bad usage or bad input.

    With `arguments` it is called from a program that goes on, which gets back what a command sets for its process.
    """
    if arguments is None:
        return _run(None)
    with _as_before():
        return _run(arguments)


@contextmanager
def _as_before() -> Iterator[None]:
    """Streams, Ctrl-C and what Python does with errors are afterwards as they were."""
    streams = [(s, s.errors) for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    hook, on_interrupt = sys.excepthook, signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        call_watchdogs_off()
        for stream, errors in streams:
            stream.reconfigure(errors=errors)
        sys.excepthook = hook  # typer has one of its own
        if signal.getsignal(signal.SIGINT) is not on_interrupt:
            signal.signal(signal.SIGINT, on_interrupt)


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(arguments, standalone_mode=False) or 0
        sys.stdout.flush()
        return status if status != TYPERS_KEYBOARD_INTERRUPT else _complain("Stopped.", 1)
    except BrokenPipeError:
        # Python flushes stdout once more when it ends: let that go nowhere.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _complain("Stopped.", 1)
    except TrimtabError as error:
        if os.environ.get(TRACEBACK):
            raise
        return _complain(error.for_terminal, 2)
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "format_message"):  # usage errors of typer, whichever click it brings
        message = error.format_message()  # type: ignore[attr-defined]
        return _complain(message, 2) if message else 2
    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _complain(error.strerror or "The disk is full.", 1)
    if isinstance(error, MemoryError):
        return _complain("There is not enough memory: give fewer rows or columns (--drop), or a larger machine.", 1)
    return _complain(
        f"trimtab failed unexpectedly ({type(error).__name__}: {error}). Run again with {TRACEBACK}=1 to see where.", 1
    )


def _complain(text: str, status: int) -> int:
    say(console_on(sys.stderr), f"Error: {text if text.endswith(')') else sentence(text)}", indent="  ")
    return status
