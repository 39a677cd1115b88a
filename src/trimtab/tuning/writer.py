"""TrialWriter: one thread that stores finished trials, off the way of those that train.

A trial's weights and predictions are on disk before the trial stands in the store; an error is kept and raised to the
caller at its next turn.
"""

import json
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import polars

from trimtab.errors import StudyError
from trimtab.training.config import Config
from trimtab.training.run import RunRecord
from trimtab.tuning.curves import curves_frame
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights

KEPT_TRIALS, KEPT_BYTES = 256, 2 << 30
CURVES_EVERY = 3.0
_ATTRIBUTE = "trimtab"


@dataclass(frozen=True)
class _Finished:
    record: TrialRecord
    weights: TrialWeights | None
    runs: tuple[RunRecord, ...]


class TrialStore:
    """The Optuna study that holds the finished trials: SQLite in the folder, or any RDB URL."""

    def __init__(self, folder: StudyFolder, *, url: str | None, greater_is_better: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._factor = -1.0 if greater_is_better else 1.0
        self.shown = (lambda e: 1.0 - e) if greater_is_better else (lambda e: e)
        location = url or f"sqlite:///{folder.path / 'study.db'}"
        try:
            storage = optuna.storages.RDBStorage(location)
        except Exception as error:
            raise StudyError(f"The trial store {location} cannot be opened: {_first_line(error)}.") from None
        if location.startswith("sqlite"):
            self._write_ahead(storage)
        self.study = optuna.create_study(
            study_name=folder.path.name,
            storage=storage,
            direction="maximize" if greater_is_better else "minimize",
            load_if_exists=True,
        )

    @staticmethod
    def _write_ahead(storage) -> None:
        import sqlalchemy

        with storage.engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
            connection.execute(sqlalchemy.text("PRAGMA synchronous=NORMAL"))

    def add(self, record: TrialRecord, distributions: Mapping, runs: tuple[RunRecord, ...]) -> None:
        """Store a finished trial, its errors at each evaluated epoch included."""
        states = self._optuna.trial.TrialState
        finished = record.state == COMPLETE
        params = dict(record.values)
        self.study.add_trial(
            self._optuna.trial.create_trial(
                state=states.COMPLETE if finished else states.PRUNED,
                value=self.shown(record.error) if finished else None,
                params=params,
                distributions={name: distributions[name] for name in params if name in distributions},
                user_attrs={_ATTRIBUTE: json.dumps(_document(record))},
                intermediate_values=_mean_curve(runs),
            )
        )

    def trials(self) -> list[TrialRecord]:
        """Every stored trial, in the order of their numbers."""
        documents = [
            json.loads(trial.user_attrs[_ATTRIBUTE])
            for trial in self.study.get_trials(deepcopy=False)
            if _ATTRIBUTE in trial.user_attrs
        ]
        return sorted((_record(document) for document in documents), key=lambda record: record.number)


class TrialWriter:
    """Takes finished trials and stores them in order, in a thread of its own.

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
    ) -> None:
        self.folder, self.space = folder, space
        self._url, self._greater, self._keeps_records = url, greater_is_better, keeps_records
        self._queue: queue.Queue[_Finished | None] = queue.Queue()
        self._error: BaseException | None = None
        self._sizes = {r.number: size for r in earlier if (size := _size(folder, r.number)) is not None}
        self._errors = {r.number: r.error for r in earlier}
        self._rows: list[polars.DataFrame] = []
        self._curves_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="trimtab-writer", daemon=True)
        self._thread.start()

    def put(self, record: TrialRecord, weights: TrialWeights | None, runs: list[RunRecord]) -> None:
        """Hand over a finished trial; raises what the thread has met so far."""
        self.check()
        self._queue.put(_Finished(record, weights, tuple(runs)))

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until everything handed over is on disk."""
        self._queue.put(None)
        self._thread.join()
        self.check()

    def _work(self) -> None:
        from trimtab.tuning.proposer import distribution

        try:
            url, greater = self._url, self._greater
            store = TrialStore(self.folder, url=url, greater_is_better=greater) if self._keeps_records else None
            distributions = {name: distribution(domain) for name, domain in self.space.domains.items()}
            while (finished := self._queue.get()) is not None:
                self._save_weights(finished)
                if store is not None:
                    store.add(finished.record, distributions, finished.runs)
                    self._save_curves(finished)
            self._flush_curves()
        except BaseException as error:
            self._error = error

    def _save_weights(self, finished: _Finished) -> None:
        if finished.weights is None:
            return
        number = finished.record.number
        self._errors[number] = finished.record.error
        self._sizes[number] = self.folder.save_weights(number, finished.weights)
        by_error = sorted(self._sizes, key=lambda n: self._errors[n])
        while len(by_error) > KEPT_TRIALS or (sum(self._sizes.values()) > KEPT_BYTES and len(by_error) > 1):
            worst = by_error.pop()
            self.folder.drop_weights(worst)
            del self._sizes[worst]

    def _save_curves(self, finished: _Finished) -> None:
        self._rows.extend(curve_rows(run) for run in finished.runs)
        if time.monotonic() - self._curves_at > CURVES_EVERY:
            self._flush_curves()

    def _flush_curves(self) -> None:
        if self._rows:
            self.folder.save_curves(polars.concat(self._rows))
            self._rows.clear()
        self._curves_at = time.monotonic()


def curve_rows(run: RunRecord) -> polars.DataFrame:
    """A run's curves as rows: trial, fold, epoch and the signals."""
    return curves_frame(run.curves).select(
        polars.lit(run.request.trial).alias("trial"),
        polars.lit(run.request.fold).alias("fold"),
        polars.all(),
        polars.lit(run.ended).alias("ended"),
    )


def _mean_curve(runs: tuple[RunRecord, ...]) -> dict[int, float]:
    """The metric at each epoch that every fold has reached, averaged over the folds."""
    curves = [dict(zip(run.curves.epoch, run.curves.validation_metric, strict=True)) for run in runs]
    if not curves:
        return {}
    shared = set.intersection(*(set(curve) for curve in curves))
    return {epoch: sum(curve[epoch] for curve in curves) / len(curves) for epoch in sorted(shared)}


def _document(record: TrialRecord) -> dict:
    return {**vars(record), "values": dict(record.values), "config": record.config.to_json()}


def _record(document: dict) -> TrialRecord:
    lists = {name: tuple(document[name]) for name in ("fold_errors", "best_epochs", "ended")}
    lists["cuts"] = tuple(tuple(epochs) for epochs in document.get("cuts", ()))
    return TrialRecord(**{**document, **lists, "config": Config.from_json(document["config"])})


def _size(folder: StudyFolder, number: int) -> int | None:
    path = folder.runs / f"{number}.safetensors"
    return path.stat().st_size if path.exists() else None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
