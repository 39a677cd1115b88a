"""Ctrl-C and SIGTERM as two events: finish with the best so far, or stop now.

Knows signals and nothing of what is being stopped.
"""

import os
import signal
import threading

from trimtab.terminal.progress import Silent

SECONDS_TO_LEAVE = 4.5  # five are promised to whoever aborts; the rest is for ending the process


class _Watchdog(threading.Timer):
    """Ends the process when its time is over."""


def call_watchdogs_off() -> None:
    """For a process that goes on although a command in it was stopped."""
    for thread in threading.enumerate():
        if isinstance(thread, _Watchdog):
            thread.cancel()
            thread.join()


class Interruption:
    """While it is open, Ctrl-C sets `stop`; a second one, or SIGTERM, sets `abort` and ends the process within 5 s."""

    def __init__(self, view: Silent) -> None:
        self.view, self.stop, self.abort = view, threading.Event(), threading.Event()

    def __enter__(self) -> "Interruption":
        handlers = {signal.SIGINT: self._on_interrupt, signal.SIGTERM: self._on_terminate}
        self._before = {number: signal.getsignal(number) for number in handlers}
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._give_back()
        if self.stop.is_set():
            # It is finishing as asked: one more Ctrl-C while Python ends would only print a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_interrupt(self, *_: object) -> None:
        if self.stop.is_set():
            self._on_terminate()
            return
        self.stop.set()
        self.view.interrupted("Finishing with the best so far; Ctrl-C again stops now.")

    def _on_terminate(self, *_: object) -> None:
        if self.abort.is_set():
            return
        self.stop.set()
        self.abort.set()
        self.view.interrupted("Stopping now.")
        # What is finished is already on disk, so leaving hard loses nothing when a long step does not end in time.
        watchdog = _Watchdog(SECONDS_TO_LEAVE, self._leave)
        watchdog.daemon = True
        watchdog.start()

    def _leave(self) -> None:
        self.view.release()
        os.write(2, f"\n{self.farewell()}\n".encode())
        os._exit(1)

    def farewell(self) -> str:
        """What a stopped search leaves behind, and how to go on."""
        if self.view.out is None:
            return "Stopped before the search began: nothing was written."
        return f"Stopped. What was finished is kept: trimtab fit --resume {self.view.out} goes on from there."
