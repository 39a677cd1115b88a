"""Call: one call that tunes: the time it has, what it trains on, who is told, and where its study lies.

Knows nothing of what is studied.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trimtab.errors import OptionError
from trimtab.listeners.listeners import Listeners
from trimtab.machine import cores, device_named, lanes_in_threads
from trimtab.training.config import whole
from trimtab.tuning.budget import NO_LIMIT, Budget, seconds_for
from trimtab.tuning.folder import StudyFolder, locked
from trimtab.tuning.going_on import trials_asked_for
from trimtab.tuning.ray_cluster import WorkersAsked

# The share of a budget that is spent on what each choice was worth, where nobody says otherwise, and the most that it
# may be: a search that has less than half of its time finds less than there is to explain (guesses).
USUAL_SHARE, MOST_SHARE = 0.15, 0.5
# Seconds of a budget below which nothing could be said in its share.
LEAST_TO_EXPLAIN = 30.0


@dataclass(frozen=True)
class Call:
    """How a study is worked on this time.

    Attributes:
        budget: the clock, with the events that end the search (`stop`) or the call (`abort`).
        listeners: who is told.
        trials: how many trials there are to be, those of earlier calls included; None where time alone decides.
        out: the folder of a new study; None for one that is named by what is studied.
        resume: the study that is gone on with, in its folder; None for a new one.
        explaining: the share of the time that is spent on what each choice was worth, when the result is there.
        workers: which workers train in the place of this process, where any were asked for; and the threads that each
            of them has, where somebody said so.
        is_lasting: whether the folder remains. One that is lost as soon as the call is done keeps no trial store,
            curves or signals, and no baseline is trained that only its readers would miss.
    """

    budget: Budget
    device: torch.device
    threads: int
    listeners: Listeners = field(default_factory=Listeners)
    trials: int | None = None
    out: Path | None = None
    resume: StudyFolder | None = None
    explaining: float = 0.0
    is_lasting: bool = True
    workers: WorkersAsked | None = None
    threads_of_workers: int | None = None

    @classmethod
    def checked(
        cls,
        *,
        budget: str | float | None,
        trials: int | None,
        threads: int | None,
        device: str,
        out: str | Path | None,
        resume: str | Path | None,
        stop: threading.Event | None,
        abort: threading.Event | None,
        started: float | None,
        listeners: Listeners,
        counterfactuals: str | float | None = None,
        workers: str | int | None = None,
    ) -> "Call":
        """Of what a caller gave; raises OptionError, and StudyError where there is no study in `resume`."""
        trials, threads = (
            None if value is None else whole(name, value, 1)
            for name, value in (("trials", trials), ("threads", threads))
        )
        folder = None if resume is None else StudyFolder.open(Path(resume))
        if folder is not None:
            if out is not None:
                raise OptionError(
                    "--out is for a new study: one that is resumed stays in its folder. Leave one of both out."
                )
            if budget is None and trials is None:
                trials = trials_asked_for(folder)
        for name, event in (("stop", stop), ("abort", abort)):
            if event is not None and not isinstance(event, threading.Event):
                raise OptionError(f"{name} is {event!r}: it must be a threading.Event.")
        seconds, explaining = seconds_for(budget, trials), share_of(counterfactuals)
        is_worth_it = LEAST_TO_EXPLAIN <= seconds < NO_LIMIT
        clock = Budget(
            seconds,
            afterwards=explaining * seconds if is_worth_it else 0.0,
            started=time.monotonic() if started is None else started,
            stop=stop or threading.Event(),
            abort=abort or threading.Event(),
        )
        return cls(
            clock, device_named(device), threads or cores(), listeners, trials,
            out=None if out is None else Path(out), resume=folder,
            explaining=explaining if is_worth_it or seconds >= NO_LIMIT else 0.0,
            workers=None if workers is None else WorkersAsked.of(workers), threads_of_workers=threads,
        )  # fmt: skip

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The threads of this process are the lanes' inside, and a study that is gone on with is this call's alone."""
        with locked(self.resume.path) if self.resume is not None else nullcontext(), lanes_in_threads():
            yield

    @property
    def is_timed(self) -> bool:
        """Whether time may decide how much is trained."""
        return self.budget.is_limited and self.trials is None

    def told(self, document: dict[str, Any]) -> dict[str, Any]:
        """`document` with the number of trials that is asked for by now."""
        return document if self.trials is None else document | {"trials": self.trials}


def share_of(given: str | float | None) -> float:
    """A share of the time as "15%", 0.15 or "0"; raises OptionError for anything else, and for more than half."""
    if given is None:
        return USUAL_SHARE
    text = str(given).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if isinstance(given, bool) or not 0 <= share <= MOST_SHARE:
        raise OptionError(
            f"--counterfactuals is {given}: it is the share of the time for what each choice was worth, from 0 (none) "
            f"to {MOST_SHARE:.0%}, such as 15%."
        )
    return share
