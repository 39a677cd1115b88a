"""TrialWriter: one thread that stores finished trials, off the way of those that train.

A trial's weights, predictions and curves are on disk before the trial stands in the store, and it is in flight until it
does: whenever the process is killed, a trial is all there or runs again. An error is kept and raised to the caller at
its next turn.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars

from trimtab.errors import StudyError
from trimtab.training.run import RunRecord
from trimtab.tuning.curves import curves_frame
from trimtab.tuning.flight import Flight
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.held import best_of
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.store import TrialStore
from trimtab.tuning.trial import TrialRecord, TrialWeights
from trimtab.tuning.verdicts import trials_of

# The best trials whose weights and predictions are kept on disk, and their bytes in all: an ensemble takes few of them,
# and hardly ever one beyond the best two hundred (guesses).
KEPT_TRIALS, KEPT_BYTES = 256, 2 << 30
# Every trial's curves are a file at first; so many are laid into one, that a long search does not leave thousands (a
# guess).
PARTS_AT_ONCE = 64
# How long a search that goes on waits for the server of its trials, which may be started again (a guess).
SECONDS_OF_PATIENCE = 60.0


@dataclass(frozen=True)
class _Finished:
    record: TrialRecord
    weights: TrialWeights | None
    runs: tuple[RunRecord, ...]
    is_cut: bool


class TrialWriter:
    """Takes finished trials and stores them in order, in a thread of its own that runs from the first of them on, or
    for as long as the writer is a context.

    Where it keeps no records, only what a model is made of is written: weights and predictions.
    """

    def __init__(
        self,
        folder: StudyFolder,
        space: SearchSpace,
        *,
        url: str | None,
        greater_is_better: bool,
        earlier: list[TrialRecord],
        keeps_records: bool = True,
        flight: Flight | None = None,
    ) -> None:
        self.folder, self.space = folder, space
        self._url, self._greater, self._keeps_records = url, greater_is_better, keeps_records
        self._queue: queue.Queue[_Finished | None] = queue.Queue()
        self._error: BaseException | None = None
        self._sizes = {r.number: size for r in earlier if (size := _size(folder, r.number)) is not None}
        self._errors = {r.number: r.error for r in earlier}
        self._parts: list[Path] = []
        self.flight = flight or Flight(folder)
        self._best = best_of(earlier, space.fixed)
        self._shown = {r.number for r in earlier if r.name} | _referred_to(folder)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "TrialWriter":
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:  # what went wrong first is what is raised
            self._end()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trimtab-writer", daemon=True)
            self._thread.start()

    def put(
        self, record: TrialRecord, weights: TrialWeights | None, runs: Sequence[RunRecord], *, is_cut: bool = False
    ) -> None:
        """Hand over a finished trial, or one that was cut short and is to run again: it stays in flight. Raises what
        the thread has met so far."""
        self.check()
        self._start()
        self._queue.put(_Finished(record, weights, tuple(runs), is_cut))

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until everything handed over is on disk."""
        self._end()
        self.check()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _work(self) -> None:
        try:
            if self._keeps_records:
                with TrialStore(
                    self.folder, url=self._url, greater_is_better=self._greater, patience=SECONDS_OF_PATIENCE
                ) as store:
                    self._save_until_closed(store)
            else:
                self._save_until_closed(None)
        except StudyError as error:
            self._error = error
            self._keep_in_flight()
        except BaseException as error:
            self._error = error

    def _save_until_closed(self, store: TrialStore | None) -> None:
        from trimtab.tuning.proposer import distribution

        distributions = {name: distribution(domain) for name, domain in self.space.domains.items()}
        while (finished := self._queue.get()) is not None:
            self._save_weights(finished)
            if store is not None:
                self._save_curves(finished)
            if finished.is_cut:
                self.flight.cut(finished.record)
                continue
            if store is not None:
                try:
                    store.add(finished.record, distributions, finished.runs)
                except StudyError:
                    self._queue.put(finished)
                    raise
            self.flight.stored(finished.record.number)
        self.flight.close()

    def _keep_in_flight(self) -> None:
        """What no store takes any more stays in the folder, with what it had come to."""
        while not self._queue.empty():
            finished = self._queue.get()
            if finished is not None and not finished.record.name:
                self._save_weights(finished)
                self.flight.cut(finished.record)

    def _save_weights(self, finished: _Finished) -> None:
        if finished.weights is None:
            return
        number = finished.record.number
        self._errors[number] = finished.record.error
        self._sizes[number] = self.folder.save_weights(number, finished.weights)
        self._note_shown(finished.record)
        droppable = sorted(self._sizes.keys() - self._kept(), key=lambda n: self._errors[n])
        while droppable and (len(self._sizes) > KEPT_TRIALS or sum(self._sizes.values()) > KEPT_BYTES):
            worst = droppable.pop()
            self.folder.drop_weights(worst)
            del self._sizes[worst]

    def _note_shown(self, record: TrialRecord) -> None:
        if record.name:
            self._shown.add(record.number)
        self._best = best_of([*filter(None, [self._best]), record], self.space.fixed)

    def _kept(self) -> set[int]:
        """What a study shows, or has shown: baselines, the best trial, and whatever its last result refers to."""
        return self._shown | ({self._best.number} if self._best is not None else set())

    def _save_curves(self, finished: _Finished) -> None:
        if not finished.runs:
            return
        self._parts.append(self.folder.save_curves(polars.concat([curve_rows(run) for run in finished.runs])))
        if len(self._parts) >= PARTS_AT_ONCE:
            self.folder.join_curves(self._parts)
            self._parts.clear()


def curve_rows(run: RunRecord) -> polars.DataFrame:
    """A run's curves as rows: trial, fold, epoch and the signals."""
    return curves_frame(run.curves).select(
        polars.lit(run.request.trial).alias("trial"),
        polars.lit(run.request.fold).alias("fold"),
        polars.all(),
        polars.lit(run.ended).alias("ended"),
    )


def _referred_to(folder: StudyFolder) -> set[int]:
    """The numbers of the trials that the study's result speaks of."""
    result = folder.read("study.json").get("result") if (folder.path / "study.json").exists() else None
    if not result:
        return set()
    return {result["winner"], *trials_of(result.get("ensemble", ()))}


def _size(folder: StudyFolder, number: int) -> int | None:
    path = folder.runs / f"{number}.safetensors"
    return path.stat().st_size if path.exists() else None
