"""Streams: what happens in an experiment, from the thread in which it trains to the page that watches it.

Knows experiments and threads; it knows no addresses.
"""

import asyncio
import json
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.lab.experiment import Outcome
from trimtab.machine import be_a_thread_of_lanes

log = logging.getLogger(__name__)
# So many train at the same time: more would only take turns on few cores (a guess).
AT_ONCE = 2
# A page that is gone is noticed when something is sent to it, and so something is sent this often.
SECONDS_OF_SILENCE = 0.5
# Weights of so many finished experiments can still be taken home.
MOST_KEPT = 32


class Streams:
    """Runs what gives events, each in a thread of its own that ends with whoever listens."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._stops: set[threading.Event] = set()
        self._threads: set[threading.Thread] = set()
        self._changing = threading.Lock()
        self._weights: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()

    async def events(
        self, source: Callable[[Callable[[], bool]], Iterator[Any]], *, waits: bool = True
    ) -> AsyncIterator[bytes]:
        """The events of `source(stop)` as lines of an event stream [HTML Living Standard, server-sent events]; it is
        told to stop when nobody listens any more. What trains `waits` for its turn."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict | None]()
        stop = threading.Event()

        def tell(event: dict | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

        thread = threading.Thread(
            target=self._run, args=(source, stop, tell, waits), name="trimtab-experiment", daemon=True
        )
        with self._changing:
            self._stops.add(stop)
            self._threads.add(thread)
        thread.start()
        try:
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), SECONDS_OF_SILENCE)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        finally:
            stop.set()
            with self._changing:
                self._stops.discard(stop)

    def _run(self, source: Callable, stop: threading.Event, tell: Callable[[dict | None], None], waits: bool) -> None:
        be_a_thread_of_lanes()
        try:
            if waits and not self._has_turn(stop):
                return
            try:
                for event in source(stop.is_set):
                    tell(self._ended(event) if isinstance(event, Outcome) else event)
            finally:
                if waits:
                    self._turns.release()
        except TrimtabError as error:
            tell({"kind": "failed", "sentence": str(error)})
        except Exception as error:
            log.exception("An experiment failed")
            tell(
                {
                    "kind": "failed",
                    "sentence": f"This experiment failed ({type(error).__name__}: {error}). Others go on.",
                }
            )
        finally:
            tell(None)
            with self._changing:
                self._threads.discard(threading.current_thread())

    def _has_turn(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            if self._turns.acquire(timeout=0.1):
                return True
        return False

    def _ended(self, outcome: Outcome) -> dict[str, Any]:
        """The last event; the weights stay here until the page asks for them."""
        token = secrets.token_urlsafe(8)
        with self._changing:
            self._weights[token] = outcome.weights
            while len(self._weights) > MOST_KEPT:
                self._weights.popitem(last=False)
        return {
            "kind": "end", "sentence": outcome.sentence, "weights": token, "brief": outcome.brief,
            "compared": dict(outcome.compared),
        }  # fmt: skip

    def weights(self, token: str) -> Mapping[str, Tensor] | None:
        with self._changing:
            return self._weights.get(token)

    @property
    def training(self) -> int:
        """Threads that still train, or wait for their turn."""
        with self._changing:
            return len(self._threads)

    def tell_to_stop(self) -> None:
        """Tell all to stop; may be called by whoever handles a signal, which may have interrupted any of this."""
        for stop in list(self._stops):
            stop.set()

    def close(self) -> None:
        """Tell all to stop, and wait for them."""
        self.tell_to_stop()
        with self._changing:
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout=2)
