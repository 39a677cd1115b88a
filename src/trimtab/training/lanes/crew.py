"""Crew: the threads that take the tiles of a population through a round, each the next one that is left; or several
populations, each in one thread.

Knows tiles and threads; it knows nothing of what is done to a tile.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from trimtab.machine import be_a_thread_of_lanes, no_denormals
from trimtab.training.lanes.tile import Tile, Worker

Result = TypeVar("Result")
_here = threading.local()


class Crew:
    """So many threads, begun when they are needed first; whoever works on a tile asks now and then if it `gives_up`."""

    def __init__(self, threads: int) -> None:
        self.threads, self.gives_up = threads, False
        self._pool: ThreadPoolExecutor | None = None

    def over(
        self, tiles: Sequence[Tile], workers: Sequence[Worker], work: Callable[[Tile, Worker], Result]
    ) -> list[Result]:
        """What `work` gives for each tile; a worker for each thread."""
        results: list = [None] * len(tiles)
        if len(tiles) == 1 or self.threads == 1 or getattr(_here, "is_one_of_us", False):
            with no_denormals():
                for number, tile in enumerate(tiles):
                    with tile.generators:
                        results[number] = work(tile, workers[0])
            return results
        left = deque(range(len(tiles)))

        def take_turns(worker: Worker) -> None:
            while left and not self.gives_up:
                try:
                    number = left.popleft()
                except IndexError:  # another thread was quicker
                    return
                results[number] = work(tiles[number], worker)

        self.together([partial(take_turns, worker) for worker in workers[: self.threads]])
        return results

    def together(self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """What each of `works` gives, all of them at the same time as far as there are threads."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "trimtab-lanes", initializer=_join)
        turns = [self._pool.submit(work) for work in works]
        try:
            wait(turns, return_when=FIRST_EXCEPTION)
        finally:
            self.gives_up = True  # where one failed, nobody waits for what the others are at
            wait(turns)
            self.gives_up = False
        return [turn.result() for turn in turns]

    def close(self) -> None:
        """End the threads; they begin anew where they are needed again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def _join() -> None:
    """Be a thread of a crew: one that is asked for a population's tiles takes all of them itself."""
    be_a_thread_of_lanes()
    _here.is_one_of_us = True
