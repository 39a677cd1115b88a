"""Workers: the trials of a search trained by several workers, wherever these are; one that is lost is not missed.

Whoever searches stays what it is: proposals, rungs, clock and store are here, and each worker is a place that takes
trials. Knows orders and reports; how they travel, the cluster knows.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from trimtab.errors import StudyError
from trimtab.listeners.listeners import Listeners
from trimtab.text.wording import counted
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Structure
from trimtab.training.run import NOT_FINITE, Curves, Request, RunRecord
from trimtab.tuning.budget import Budget
from trimtab.tuning.halving import Halving
from trimtab.tuning.seat import Seat
from trimtab.tuning.trainer import Steps
from trimtab.tuning.trial import ActiveTrial
from trimtab.tuning.worker import EngineOf, Orders, Recruit, Report, Rung

# Seconds of training between two reports of a worker: what others came to at rungs is no older, and a handful of
# messages in a second cost nothing (a guess).
SECONDS_OF_ORDERS = 0.5
# Seconds without any worker after which a search is given up: a node takes a minute or two to be there (a guess).
SECONDS_WITHOUT_WORKERS = 300.0
# Seconds that one waits for the reports of workers that were told to end; less where the budget keeps less for the end
# (a guess).
SECONDS_TO_END = 5.0
# So often a trial is begun anew when what trained it was lost or could not: it may be what loses it (a guess).
MOST_ATTEMPTS = 3
# Seconds that a look for reports takes at most, so that a told stop is heard.
LOOK = 0.1


@dataclass(frozen=True)
class Heard:
    """What has come from a worker: a report; that it has joined (neither), or was `lost`, for that reason."""

    worker: int
    report: Report | None = None
    lost: str = ""


class Cluster(Protocol):
    """Where workers are. It begins as many as were asked for, and others for those that are lost, as there is room."""

    threads: int

    @property
    def asked_for(self) -> int:
        """How many workers there are to be; fewer than there are, where others want some of them."""
        ...

    def begin(self, recruit: Recruit) -> None: ...

    def send(self, worker: int, orders: Orders) -> None: ...

    def heard(self, seconds: float) -> list[Heard]:
        """What has come, or comes within so many seconds; raises what a worker has met that the caller has to mend."""
        ...

    def stop(self, worker: int) -> None:
        """Tell a worker that is at work to let it be."""
        ...

    def dismiss(self, worker: int) -> None:
        """A worker that has nothing to do may go."""
        ...

    def where(self, worker: int) -> str:
        """Where a worker is, in words."""
        ...


class Workers:
    """Trains what is admitted on the workers of a `cluster`, and gives each trial back when all of its runs have ended
    somewhere. It takes the place of a `Trainer`, on the engine of this process, which trains nothing meanwhile.
    """

    def __init__(
        self, engine: Engine, halving: Halving, budget: Budget, *, max_trials: int | None, epochs: int, seed: int,
        listeners: Listeners, cluster: Cluster, engine_of: EngineOf,
    ) -> None:  # fmt: skip
        self.engine, self.halving, self.budget, self.listeners, self.cluster = (
            engine, halving, budget, listeners, cluster,
        )  # fmt: skip
        self.active: dict[int, ActiveTrial] = {}
        self.favoured: Structure | None = None
        self.runs_done = 0
        self.messages = 0
        self.waited: float = 0.0
        self._seats: dict[int, Seat] = {}
        self._waiting: list[ActiveTrial] = []
        self._deadlines: dict[int, float] = {}
        self._given_back: list[ActiveTrial] = []
        self._attempts: dict[int, int] = {}
        self._through: list[ActiveTrial] = []
        self._rungs: list[tuple[int, Rung]] = []
        self._in_order: frozenset[int] = frozenset()
        self._unwanted: set[str] = set()
        self._gone: list[Seat] = []
        self._said: set[str] = set()
        self._without_workers_since = time.monotonic()
        engine.compilation.how = "found" if max_trials is None else "never"
        cluster.begin(
            Recruit.of(
                engine.data, engine_of, threads=cluster.threads, device=str(engine.data.device), lag=halving.lag,
                max_trials=max_trials, epochs=epochs, seed=seed, hears_runs=listeners.hear_runs,
            )
        )  # fmt: skip

    # -- what a search asks

    @property
    def workers(self) -> tuple[str, ...]:
        return tuple(
            f"{self.cluster.where(number)}: {counted(len(seat.active), 'trial')}, "
            f"{counted(seat.elsewhere.lanes, 'network')}"
            for number, seat in sorted(self._seats.items())
        )

    @property
    def lanes(self) -> int:
        return sum(seat.elsewhere.lanes for seat in self._seats.values())

    @property
    def lane_steps(self) -> int:
        return sum(each.lane_steps for each in self.steps_elsewhere)

    @property
    def steps_elsewhere(self) -> list[Steps]:
        """Those of each structure at all workers, of those that are gone too."""
        together: dict[Structure, Steps] = {}
        for seat in [*self._seats.values(), *self._gone]:
            for structure, occupied in seat.elsewhere.populations.items():
                together[structure] = together.get(structure, Steps()) + occupied.steps
        return list(together.values())

    def places(self) -> Sequence[Seat]:
        """The workers that wait for orders. While nothing trains at all, the first of them is waited for."""
        while not self.active and not self._idle() and not self.budget.is_over():
            self._listen()
        return [seat for seat in self._idle() if not seat.is_leaving]

    def given_back(self) -> list[ActiveTrial]:
        given, self._given_back = self._given_back, []
        return given

    def turn(self, in_order: Collection[int] = (), *, alone: bool = False) -> list[ActiveTrial]:
        """Send orders to all that wait for some, and hear what has become of others."""
        del alone  # nobody keeps another waiting
        self._in_order = frozenset(in_order)
        for seat in self._idle():
            if self._waiting and not seat.is_leaving:
                seat.admit(self._waiting.pop(0))
            if seat.active:
                self._send(seat)
        self._listen()
        return self._taken()

    def beside_all(self, trial: ActiveTrial, deadline: float | None) -> Sequence[list[ActiveTrial]]:
        """It goes to the next worker that waits for orders, and others train all the while."""
        self.active[trial.number] = trial
        self._waiting.append(trial)
        if deadline is not None:
            self._deadlines[trial.number] = deadline
        return ()

    def end_all(self) -> list[ActiveTrial]:
        """Cut short whatever trains, as far as workers still answer; the rest stays in flight."""
        if self.budget.abort.is_set():
            return self._taken()
        until = time.monotonic() + min(SECONDS_TO_END, max(1.0, self.budget.reserve))
        for seat in self._seats.values():
            if seat.is_working:
                self.cluster.stop(seat.worker)
        self._listen_until(until)
        for seat in self._idle():
            if seat.active:
                self._send(seat, is_last=True)
        self._listen_until(until)
        return self._taken()

    # -- orders and reports

    def _idle(self) -> list[Seat]:
        return [seat for seat in self._seats.values() if not seat.is_working]

    def _taken(self) -> list[ActiveTrial]:
        through, self._through = self._through, []
        for trial in through:
            self.active.pop(trial.number, None)
        return through

    def _send(self, seat: Seat, *, is_last: bool = False) -> None:
        now = time.monotonic()
        others = tuple(rung for worker, rung in self._rungs[seat.rungs_told :] if worker != seat.worker)
        cut = {number for number, deadline in self._deadlines.items() if now > deadline and number in seat.active}
        orders = Orders(
            seconds=SECONDS_OF_ORDERS, search_left=self.budget.search_left, afterwards=self.budget.afterwards,
            trials=tuple(seat.admitted), rungs=others, cut=frozenset(cut), unwanted=frozenset(self._unwanted),
            in_order=self._in_order & seat.active.keys(), favoured=self.favoured, is_last=is_last,
        )  # fmt: skip
        seat.admitted, seat.rungs_told, seat.is_working, seat.sent = [], len(self._rungs), True, now
        self.messages += 1
        self.cluster.send(seat.worker, orders)

    def _listen_until(self, deadline: float) -> None:
        while any(seat.is_working for seat in self._seats.values()) and time.monotonic() < deadline:
            self._listen()

    def _listen(self) -> None:
        for heard in self.cluster.heard(LOOK):
            if heard.lost:
                self._lose(heard.worker, heard.lost)
            elif heard.report is None:
                self._seat(heard.worker)
            elif heard.worker in self._seats:
                self._hear(self._seats[heard.worker], heard.report)
        self._leave_to_others()
        if self._seats:
            self._without_workers_since = time.monotonic()
        elif time.monotonic() - self._without_workers_since > SECONDS_WITHOUT_WORKERS:
            raise StudyError(
                f"No worker has been there for {SECONDS_WITHOUT_WORKERS:.0f} s. What was finished is kept: go on with "
                "--resume when there are some, or without --workers."
            )

    def _seat(self, worker: int) -> None:
        """A worker has joined."""
        # Where few may be in flight, the first to join would have them all.
        lag = self.halving.lag
        most = None if lag is None else -(-lag // self.cluster.asked_for)
        seat = Seat(worker, self.engine, self.cluster.threads, self.active, most, self._seats.values)
        known = max(self._seats.values(), key=lambda each: each.report.worked, default=None)
        if known is not None:
            seat.pace.begin_like(known.pace)
        self._seats[worker] = seat

    def _leave_to_others(self) -> None:
        """Where others want some of the workers, let those go that have least to do, when they are through with it."""
        extra = len(self._seats) - self.cluster.asked_for
        for place, seat in enumerate(sorted(self._seats.values(), key=lambda seat: len(seat.active))):
            seat.is_leaving = place < extra
            if seat.is_leaving and not seat.is_working and not seat.active:
                self.cluster.dismiss(seat.worker)
                self._gone.append(self._seats.pop(seat.worker))

    def _hear(self, seat: Seat, report: Report) -> None:
        self.messages += 1
        seat.is_working = False
        self.waited += max(0.0, time.monotonic() - seat.sent - report.worked)
        seat.note(report)
        self._tell_listeners(report)
        for rung in report.rungs:
            self.halving.seen[rung.rung][rung.number] = rung.error
            self._rungs.append((seat.worker, rung))
        for trial in report.through:
            seat.forget(trial.number)
            self.runs_done += len(trial.runs)
            # What it had was admitted here, so that its values are those of this process.
            self._through.append(trial)
        if report.failed:
            self._fail(seat, report.failed)

    def _tell_listeners(self, report: Report) -> None:
        for what, run, told in report.events:
            if what == "started":
                self.listeners.started(run, told)
            elif what == "epoch_ended" and self.listeners.epoch_ended(run, told):
                self._unwanted.add(run)
            elif what == "ended":
                self.listeners.ended(run, told)

    # -- what goes wrong

    def _fail(self, seat: Seat, why: str) -> None:
        """A worker could not train what it had, and has dropped it: it is tried again, fewer side by side."""
        structures = {Structure.of(trial.config) for trial in seat.active.values()}
        trials = list(seat.active.values())
        for structure in structures:
            seat.elsewhere.narrow(structure)
        self._say_once(
            f"{self.cluster.where(seat.worker)} could not train {counted(len(trials), 'trial')} ({why}): "
            "they run elsewhere, or with fewer side by side."
        )
        self._let_go(seat)

    def _lose(self, worker: int, why: str) -> None:
        """A worker is gone, and what it was training begins anew elsewhere."""
        seat = self._seats.pop(worker, None)
        if seat is None:
            self._say_once(f"{self.cluster.where(worker)} could not begin: {why}.")
            return
        count = len(seat.active)
        what = f": its {counted(count, 'trial')} begin{'s' if count == 1 else ''} anew elsewhere" if count else ""
        self.listeners.notice(f"{self.cluster.where(worker)} was lost ({why}){what}.")
        self._let_go(seat)
        self._gone.append(seat)

    def _let_go(self, seat: Seat) -> None:
        """Give the trials of a worker back, but those that were begun too often: these count as failed."""
        for trial in list(seat.active.values()):
            seat.forget(trial.number)
            self._attempts[trial.number] = self._attempts.get(trial.number, 1) + 1
            if self._attempts[trial.number] > MOST_ATTEMPTS:
                self._through.append(self._failed(trial))
                continue
            anew = replace(trial, seconds=0.0, rung_errors=[], runs=[])
            if trial.name:
                self._waiting.append(anew)
            else:
                del self.active[trial.number]
                self._given_back.append(anew)
        seat.admitted = []

    def _failed(self, trial: ActiveTrial) -> ActiveTrial:
        """A trial that nobody could train."""
        size = self.engine.program(trial.config.network).layout.size
        data = self.engine.data
        for number in range(trial.folds):
            predictions = data.targets.new_zeros(len(data.folds[number].validation), data.outputs).double()
            trial.runs.append(
                RunRecord(
                    Request(trial.number, trial.config, number, 0), Curves(), NOT_FINITE, float("inf"), 0, 0, 0,
                    data.weights.new_zeros(size), predictions.fill_(float("nan")).numpy(force=True),
                )
            )  # fmt: skip
        return trial

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.listeners.notice(text)
