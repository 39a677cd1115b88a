"""Hearing: a search's runs told one by one, by the names of their trials, to somebody who may end them.

Knows trials and lanes; it knows nothing of who listens.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from trimtab.training.lanes.lane import Lane
from trimtab.training.run import CURVES, Request, RunRecord

STOPPED = "stopped"
_NAMES = {"default_mlp": "default MLP", "linear": "linear model"}


class RunListener(Protocol):
    """Told how runs go; what answers True to an epoch ends that run. As a context it hears of errors."""

    def __enter__(self) -> "RunListener": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None: ...

    def started(self, run: str, config: Mapping[str, Any]) -> None: ...

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool: ...

    def ended(self, run: str, result: Mapping[str, Any]) -> None: ...


class Hearing:
    """Tells `listener` of the runs of a search; `shown` makes the figure that users read of an error."""

    def __init__(self, listener: RunListener | None, shown: Callable[[float], float]) -> None:
        self._listener, self._shown = listener, shown
        self._names: dict[tuple[int, int], str] = {}
        self._told: dict[tuple[int, int], int] = {}

    def __enter__(self) -> "Hearing":
        if self._listener is not None:
            self._listener.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if self._listener is not None:
            self._listener.__exit__(kind, error, None)

    def admitted(self, name: str, requests: Iterable[Request], folds: int) -> None:
        """A trial's runs begin; a baseline has a `name` of its own."""
        if self._listener is None:
            return
        for request in requests:
            called = _NAMES.get(name, name) or f"trial {request.trial}"
            run = called if folds == 1 else f"{called}, fold {request.fold + 1}"
            self._names[_key(request)], self._told[_key(request)] = run, 0
            self._listener.started(run, request.config.to_json())

    def advanced(self, lanes: Iterable[Lane]) -> None:
        """Tell every evaluation that was not told yet, and end the runs that somebody wants to end."""
        if self._listener is None:
            return
        for lane in sorted(lanes, key=lambda lane: _key(lane.request)):
            key = _key(lane.request)
            for place in range(self._told[key], len(lane.curves.epoch)):
                values = {column: getattr(lane.curves, column)[place] for column in CURVES}
                if self._listener.epoch_ended(self._names[key], values):
                    lane.ended = lane.ended or STOPPED
            self._told[key] = len(lane.curves.epoch)

    def ended(self, record: RunRecord) -> None:
        if self._listener is None:
            return
        result = {"ended": record.ended, "best_epoch": record.best_epoch, "score": self._shown(record.error)}
        self._listener.ended(self._names.pop(_key(record.request)), result)
        del self._told[_key(record.request)]


def _key(request: Request) -> tuple[int, int]:
    return request.trial, request.fold
