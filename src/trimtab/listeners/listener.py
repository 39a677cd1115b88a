"""Listener: what somebody may be told while networks are trained, by whatever call.

Knows nobody who listens and nothing that happens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.findings.finding import Findings
    from trimtab.table.schema import Schema
    from trimtab.tuning.progress import Progress

OF_STUDIES = ("study_started", "notice", "schema", "findings", "baseline", "progress")
OF_RUNS = ("started", "epoch_ended", "ended", "failed")


class Listener:
    """Told what happens; a listener of your own is a subclass that has the methods it wants, and may be given as
    `callbacks=` or `listeners=`. What a listener raises ends the call: it is the caller's own code.

    In the order of their coming: a study is started; of its table the schema, of it and its data notices, what is wrong
    with its rows, its baselines, and now and then how far it is. A run is started, each of its evaluations follows, and
    it is ended; or it has failed, where the call raises before.
    """

    # -- of a study

    def study_started(self, out: Path) -> None:
        """A study begins, or goes on, in the folder `out`."""

    def notice(self, text: str) -> None:
        """Something that a user ought to know, in a sentence or two."""

    def schema(self, schema: "Schema") -> None:
        """What each column of the study's table is for."""

    def findings(self, findings: "Findings") -> None:
        """What is wrong with the study's rows, as far as can be said before training."""

    def baseline(self, name: str, metric: str, score: float) -> None:
        """The baseline `name` has that score, in the metric's own units."""

    def progress(self, progress: "Progress") -> None:
        """How far the study is, at most five times a second."""

    # -- of a run

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        """The run of that name begins; `config` is what can be written down of its training."""

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> bool | None:
        """The run was evaluated: its signals by the names of the curves' columns, such as "epoch" and
        "validation_loss". True ends the run."""

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        """The run has ended: `ended` says why, `best_epoch` when it was best, `score` how good it was then."""

    def failed(self, run: str, error: BaseException) -> None:
        """The call raises `error` before the run has ended."""


def hears(listener: Listener, names: tuple[str, ...]) -> bool:
    """Whether any of these methods does something in `listener`."""
    return any(getattr(type(listener), name) is not getattr(Listener, name) for name in names)
