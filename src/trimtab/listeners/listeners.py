"""Listeners: all who listen to one call, told as if they were one; and what they were told to mind.

Knows nothing that happens.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.listeners.listener import OF_RUNS, Listener, hears

if TYPE_CHECKING:
    from trimtab.findings.finding import Findings
    from trimtab.table.schema import Schema
    from trimtab.tuning.progress import Progress


class Listeners(Listener):
    """Tells each of `listeners`; `notices` are what a user ought to know, in the order in which it was said.

    As a context, it tells of an error every run that has started and not ended.
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._all = tuple(listeners)
        self._of_runs = tuple(listener for listener in self._all if hears(listener, OF_RUNS))
        self._under_way: dict[str, None] = {}
        self.notices: list[str] = []

    @property
    def hear_runs(self) -> bool:
        """Whether anybody wants to be told of runs."""
        return bool(self._of_runs)

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._all)

    def __enter__(self) -> "Listeners":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            for run in list(self._under_way):
                self.failed(run, error)
        self._under_way.clear()

    # -- of a study

    def study_started(self, out: Path) -> None:
        for listener in self._all:
            listener.study_started(out)

    def notice(self, text: str) -> None:
        self.notices.append(text)
        for listener in self._all:
            listener.notice(text)

    def schema(self, schema: "Schema") -> None:
        for listener in self._all:
            listener.schema(schema)

    def findings(self, findings: "Findings") -> None:
        for listener in self._all:
            listener.findings(findings)

    def baseline(self, name: str, metric: str, score: float) -> None:
        for listener in self._all:
            listener.baseline(name, metric, score)

    def progress(self, progress: "Progress") -> None:
        for listener in self._all:
            listener.progress(progress)

    # -- of a run

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._under_way[run] = None
        for listener in self._of_runs:
            listener.started(run, dict(config))

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool:
        """Whether anybody wants the run to end; all are told, whatever one of them answers."""
        answers = [listener.epoch_ended(run, dict(values)) for listener in self._of_runs]
        return any(answers)

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        for listener in self._of_runs:
            listener.ended(run, dict(result))
        del self._under_way[run]

    def failed(self, run: str, error: BaseException) -> None:
        for listener in self._of_runs:
            with suppress(Exception):  # what went wrong first is what is raised
                listener.failed(run, error)
