"""TrialStore: the Optuna study that holds a folder's finished trials, in the folder itself or in a database.

It goes by a name that is kept in `study.json`, never by a path, and takes no trial that its folder did not write.
Knows records and Optuna; it starts no threads.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from trimtab.errors import StudyError
from trimtab.settings.quiet import quiet_logs
from trimtab.text.wording import counted
from trimtab.training.config import Config
from trimtab.training.run import RunRecord
from trimtab.tuning import database
from trimtab.tuning.address import file_address, without_secrets
from trimtab.tuning.folder import StudyFolder, new_study_name
from trimtab.tuning.trial import COMPLETE, TrialRecord

_ATTRIBUTE = "trimtab"
# Points of a trial's curve that other tools find in the store, at most: Optuna looks each of them up twice before it
# writes it, 0.7 ms in all (benchmarks/RESULTS.md, "Workers"). The folder has whole curves.
MOST_POINTS = 16


class TrialStore:
    """The Optuna study that holds the finished trials: SQLite in the folder, or any RDB URL.

    Raises StudyError where it cannot be opened, is not there although it should be (unless `may_create` and nothing was
    finished yet), or belongs to another study. A server that is away is waited for, `patience` seconds. `study` is None
    where there is none to read. Its connections are open until it is closed.
    """

    def __init__(
        self, folder: StudyFolder, *, url: str | None, greater_is_better: bool, may_create: bool = True,
        patience: float = 0.0,
    ) -> None:  # fmt: skip
        self.folder, self.url = folder, url or file_address(folder.path / "study.db")
        self.shown = (lambda e: 1.0 - e) if greater_is_better else (lambda e: e)
        self._document = folder.read("study.json")
        self.call = folder.calls(self._document)[-1] if folder.calls(self._document) else None
        self._direction: Literal["maximize", "minimize"] = "maximize" if greater_is_better else "minimize"
        self.patience = patience
        try:
            self._storage = database.opened(self.url, patience=patience)
        except StudyError as error:
            raise (StudyError(f"{error} {self._kept}") if patience else error) from None
        try:
            self.study: Any = self._guarded(
                lambda: database.patiently(lambda: self._found(may_create=may_create), patience)
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections; the store is not to be used any more."""
        database.closed(self._storage)

    def __enter__(self) -> "TrialStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _found(self, *, may_create: bool) -> Any:
        import optuna

        name = self._name()
        names = set(optuna.get_all_study_names(self._storage))
        if name not in names:
            if self.folder.has_finished_trials(self._document):
                raise StudyError(self._lost(name))
            return self._created(name) if may_create else None
        study = optuna.load_study(study_name=name, storage=self._storage)
        written = study.user_attrs.get(_ATTRIBUTE)
        if written is not None and written.get("fingerprint") != self._document.get("asked", {}).get("fingerprint"):
            raise StudyError(
                f"The study {name} in {without_secrets(self.url)} was made with other data than {self.folder.path}: "
                "start a new study without --resume."
            )
        return study

    def _lost(self, name: str) -> str:
        if self._is_in_folder:
            return f"{self.folder.path / 'study.db'} has lost the trials of its study: start a new study."
        return (
            f"{without_secrets(self.url)} has no study {name}, which holds the trials of {self.folder.path}: give the "
            "address of the database that they were written to as --storage."
        )

    def _name(self) -> str:
        """The study's name as noted in the folder. An older folder notes none: there it is the only study of the
        folder's own file, or the one in the database that is called as the folder was."""
        noted = self.folder.study_name(self._document)
        if noted is not None:
            return noted
        import optuna

        names = optuna.get_all_study_names(self._storage)
        name = self.folder.path.resolve().name
        if self._is_in_folder:
            return names[0] if len(names) == 1 else name
        return name if self.folder.has_finished_trials(self._document) else new_study_name()

    @property
    def _is_in_folder(self) -> bool:
        return self.url == file_address(self.folder.path / "study.db")

    def _created(self, name: str) -> Any:
        import optuna

        asked = self._document.get("asked", {})
        study = optuna.create_study(
            study_name=name, storage=self._storage, direction=self._direction, load_if_exists=False
        )
        study.set_user_attr(_ATTRIBUTE, {what: asked.get(what) for what in ("fingerprint", "data", "target", "metric")})
        return study

    def add(self, record: TrialRecord, distributions: Mapping, runs: Sequence[RunRecord]) -> None:
        """Store a finished trial, its errors at each evaluated epoch included."""
        from optuna.trial import TrialState, create_trial

        finished = record.state == COMPLETE
        params = dict(record.values)
        trial = create_trial(
            state=TrialState.COMPLETE if finished else TrialState.PRUNED,
            value=self.shown(record.error) if finished else None,
            params=params,
            distributions={name: distributions[name] for name in params if name in distributions},
            user_attrs={_ATTRIBUTE: json.dumps(document_of(record) | {"call": self.call})},
            intermediate_values=_mean_curve(runs),
        )
        self._guarded(lambda: self._added(trial, record.number))

    def _added(self, trial: Any, number: int) -> None:
        tries = 0

        def add() -> None:
            nonlocal tries
            tries += 1
            # It may have been stored, and only the answer was lost.
            if tries == 1 or all(each["number"] != number for each in self._read()):
                self.study.add_trial(trial)

        database.patiently(add, self.patience)

    def trials(self) -> list[TrialRecord]:
        """Every stored trial that this folder wrote, in the order of their numbers."""
        return [record_of(document) for document in self._documents() if self._is_own(document)]

    def strangers(self) -> int:
        """Trials that another copy of the folder has written since."""
        return sum(not self._is_own(document) for document in self._documents())

    def _documents(self) -> list[dict]:
        if self.study is None:
            return []
        return sorted(self._guarded(self._read), key=lambda document: document["number"])

    def _read(self) -> list[dict]:
        trials = self.study.get_trials(deepcopy=False)
        return [json.loads(t.user_attrs[_ATTRIBUTE]) for t in trials if _ATTRIBUTE in t.user_attrs]

    def _is_own(self, document: dict) -> bool:
        """Older trials do not say which call wrote them."""
        return document.get("call") is None or document["call"] in self.folder.calls(self._document)

    def _guarded(self, act: Callable[[], Any]) -> Any:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with quiet_logs("optuna"):
                return act()
        except (StorageInternalError, SQLAlchemyError) as error:
            raise StudyError(
                f"The trial store {without_secrets(self.url)} cannot be used: {database.said_by(error, self.url)} "
                f"{self._kept}"
            ) from None

    @property
    def _kept(self) -> str:
        return f"What was finished is kept: go on with --resume {self.folder.path}."


def begun(
    folder: StudyFolder, *, url: str | None, greater_is_better: bool, asked: Mapping[str, Any]
) -> list[TrialRecord]:
    """Begin a call that writes trials into `folder`; returns those of earlier calls.

    What the call has `asked` for is noted. Raises StudyError where the trials cannot be read, or
    where another copy of the folder has gone on with them.
    """
    document = folder.read("study.json")
    noted, has_none = folder.study_name(document), not folder.has_finished_trials(document)
    if url is None and noted is not None and has_none and not (folder.path / "study.db").exists():
        # A new study: the thread that writes makes the file, while others train.
        folder.begin(noted, asked)
        return []
    with TrialStore(folder, url=url, greater_is_better=greater_is_better) as store:
        if strangers := store.strangers():
            raise StudyError(
                f"Another copy of {folder.path} has gone on with its study in {without_secrets(store.url)} and added "
                f"{counted(strangers, 'trial')}: resume that copy, or start a new study."
            )
        folder.begin(store.study.study_name, asked)
        return store.trials()


def check_opens(url: str) -> None:
    """Raise StudyError where there is no storage at `url`, or none that opens."""
    database.closed(database.opened(url))


def document_of(record: TrialRecord) -> dict:
    """A record as JSON holds it."""
    return {**vars(record), "values": dict(record.values), "config": record.config.to_json()}


def record_of(document: Mapping[str, Any]) -> TrialRecord:
    """The record of `document`; one of an older trimtab lacks what it did not note."""
    known = {name: value for name, value in document.items() if name in TrialRecord.__dataclass_fields__}
    lists = {
        name: tuple(known[name]) for name in ("fold_errors", "best_epochs", "ended", "rung_errors") if name in known
    }
    lists["epochs"] = tuple(document.get("epochs", ()))
    lists["cuts"] = tuple(tuple(epochs) for epochs in document.get("cuts", ()))
    parts: dict[str, Any] = {**known, **lists, "config": Config.from_json(document["config"])}
    return TrialRecord(**parts)


def _mean_curve(runs: Sequence[RunRecord]) -> dict[int, float]:
    """The metric at epochs that every fold has reached, averaged over the folds: at all of them, or at as many as are
    told, the first and the last among them."""
    curves = [dict(zip(run.curves.epoch, run.curves.validation_metric, strict=True)) for run in runs]
    if not curves:
        return {}
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    places = {round(i * (len(shared) - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)}
    told = [epoch for place, epoch in enumerate(shared) if place in places]
    return {epoch: sum(curve[epoch] for curve in curves) / len(curves) for epoch in told}
