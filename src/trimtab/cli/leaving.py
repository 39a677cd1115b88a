"""Leaving: the process of a command ends when its work has."""

import atexit
import os
import sys
import threading
from typing import NoReturn

from trimtab.cli.status import main

OUTPUT_LOST = 120  # as Python ends where it cannot write what is left


def command() -> NoReturn:
    """Run the command that this process was started with, and end the process with its status."""
    leave(main())


def leave(status: int) -> NoReturn:
    """End the process: all that asked to be called at its end is, and what was written arrives.

    Python would first take apart all that was imported; of torch that takes one to two seconds, in which nothing
    happens. Where a thread still works, Python ends by itself and waits for it.
    """
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or OUTPUT_LOST
    os._exit(status)
