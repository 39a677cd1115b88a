"""RunReports: what happens to runs in lanes, told to listeners by the names of the runs; listeners may end them.

Knows lanes; it knows nothing of who listens, and of what the runs are for.
"""

from collections.abc import Iterable, Sequence

from trimtab.listeners.listeners import Listeners
from trimtab.training.lanes.lane import Lane
from trimtab.training.run import CURVES, Request, RunRecord

STOPPED = "stopped"


class RunReports:
    """Tells `listeners` of runs; nothing is spent on it where nobody hears of runs."""

    def __init__(self, listeners: Listeners | None = None) -> None:
        self._listeners = listeners or Listeners()
        self._names: dict[tuple[int, int], str] = {}
        self._told: dict[tuple[int, int], int] = {}

    def admitted(self, requests: Sequence[Request], names: Sequence[str]) -> None:
        """Runs begin, each by its name."""
        if not self._listeners.hear_runs:
            return
        for request, name in zip(requests, names, strict=True):
            self._names[_key(request)], self._told[_key(request)] = name, 0
            self._listeners.started(name, request.config.to_json())

    def restored(self, lane: Lane) -> None:
        """A run goes on from where it was saved: what was evaluated before was told then."""
        self._told[_key(lane.request)] = len(lane.curves.epoch)

    def advanced(self, lanes: Iterable[Lane]) -> None:
        """Tell every evaluation that was not told yet, and end the runs that somebody wants to end."""
        if not self._listeners.hear_runs:
            return
        for lane in sorted(lanes, key=lambda lane: _key(lane.request)):
            key = _key(lane.request)
            for place in range(self._told[key], len(lane.curves.epoch)):
                values = {column: getattr(lane.curves, column)[place] for column in CURVES}
                if self._listeners.epoch_ended(self._names[key], values):
                    lane.ended = lane.ended or STOPPED
            self._told[key] = len(lane.curves.epoch)

    def ended(self, record: RunRecord, score: float) -> None:
        """A run has ended; `score` is that of its best epoch, as users read it."""
        if not self._listeners.hear_runs:
            return
        result = {"ended": record.ended, "best_epoch": record.best_epoch, "score": score}
        self._listeners.ended(self._names.pop(_key(record.request)), result)
        del self._told[_key(record.request)]


def _key(request: Request) -> tuple[int, int]:
    return request.trial, request.fold
