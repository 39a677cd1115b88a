"""TableRequest, NetworksRequest: what is asked of a study, whole and unchangeable, before anything is read.

Knows what a study's document holds of it; it reads no data.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.table.asked import USUAL, USUAL_TEST_SHARE, is_usual, refuse_second_split
from trimtab.table.folds import FOLDS, FOLDS_OF_FEW
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.training.config import whole
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.tuning.address import checked_address
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import address_of, words_of_held_knobs, words_of_precision

# What belongs to a study's data and split: one that is gone on with keeps it.
KEPT = ("target", "task", "split", "test", "weight", "seed", "drop", "number", "category", "metric")
TEXTS = ("task", "split", "weight", "storage")
PRECISIONS = ("high", "auto")
# What nobody says, and what it is in studies that began before there was a choice.
ITS_OWN: Mapping[str, Any] = {"spans": False, "folds_of_few": FOLDS}
# The share of the rows that judge networks where nobody says which: as in tt.fit.
USUAL_VALID_SHARE = 0.2


@dataclass(frozen=True)
class TableOptions:
    """What a caller said of the study of a table, by the arguments of `tt.tune`; None where nothing was said."""

    data: Any = None
    target: str | Sequence[str] | None = None
    task: str | None = None
    split: str | None = None
    test: Any = USUAL
    drop: Sequence[str] = ()
    number: Sequence[str] = ()
    category: Sequence[str] = ()
    weight: str | None = None
    seed: int | None = None
    metric: str | OwnMetric | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    refit: bool = False
    single: bool = False
    neighbours: bool = True
    precision: str | None = None
    space: Any = None
    valid: Any = USUAL

    def request(self, resume: StudyFolder | None) -> tuple["TableRequest", list[str]]:
        """What is asked by them, of a new study or of that in `resume`; and what a user ought to know of that.

        Raises OptionError, and StudyError for options that would change the data, split or metric of a study.
        """
        said = self._checked()
        if resume is not None:
            return TableRequest.going_on(resume, said)
        if self.data is None:
            raise OptionError("There is no data: name a file, or a study to go on from with --resume.")
        refuse_second_split(self.data, self.split, self.test)
        return TableRequest(**said), []

    def _checked(self) -> dict[str, Any]:
        """What was said, by the fields of a request."""
        if self.space is not None:
            raise OptionError("space= belongs to networks of your own: give a function that makes them first.")
        if not is_usual(self.valid):
            raise OptionError(
                "valid= belongs to networks of your own, and has no effect on a table: name a column of parts with "
                "--split, or give (train, valid, test) frames."
            )
        if self.precision not in (None, *PRECISIONS):
            raise unknown_choice("precision", str(self.precision), PRECISIONS)
        for name in TEXTS:
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                raise OptionError(f"--{name} is {getattr(self, name)!r}: it must be a text.")
        said = {each.name: getattr(self, each.name) for each in fields(TableRequest) if each.name not in ITS_OWN}
        said = {name: value for name, value in said.items() if value is not None}
        if is_usual(self.test):
            del said["test"]
        return said | _seed_and_storage(self.seed, self.storage)


@dataclass(frozen=True)
class TableRequest:
    """What is asked of the study of a table, nothing left open; the arguments of `tt.tune` say what each field is.

    `data` is whatever a table can be read from, `test` a share, a file or frame of rows, or "none"; `fixed` are the
    knobs that are held still. `spans`: whether the time between two moments may be an input, as in every study but
    those that began before it could be; `folds_of_few`: how many folds few rows have, which were five before.
    """

    data: Any = None
    target: str | Sequence[str] | None = None
    task: str = "auto"
    split: str = "random"
    test: Any = USUAL_TEST_SHARE
    drop: Sequence[str] = ()
    number: Sequence[str] = ()
    category: Sequence[str] = ()
    weight: str | None = None
    seed: int = 0
    metric: str | OwnMetric | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    refit: bool = False
    single: bool = False
    neighbours: bool = True
    precision: Literal["high", "auto"] = "high"
    spans: bool = True
    folds_of_few: int = FOLDS_OF_FEW

    @classmethod
    def going_on(cls, folder: StudyFolder, said: Mapping[str, Any]) -> tuple["TableRequest", list[str]]:
        """That of the study in `folder`, with what is `said` besides; and what a user ought to know of that."""
        before = folder.read("study.json")["asked"]
        if before.get("kind") is not None:
            raise StudyError(
                f"{folder.path} is the study of networks of your own: resume it with the function that makes them."
            )
        now = {**said, "test": _reference(said["test"]) if "test" in said else None}
        for name in KEPT:
            if now.get(name) not in (None, [], ()) and _as_written(now[name]) != _as_written(before.get(name)):
                raise StudyError(
                    f"--{name} {now[name]} differs from the study in {folder.path} ({before.get(name)}): a resumed "
                    "study keeps its data, split and metric. Leave the option out, or start a new study."
                )
        data = said.get("data", before["data"])
        if data is None:
            raise StudyError(
                f"The study in {folder.path} was made from a frame: give the same data again to resume it."
            )
        test = USUAL_TEST_SHARE if before["test"] is None else before["test"]
        earlier = before.get("precision", cls.precision)
        fixed, precision = said["fixed"], said.get("precision", earlier)
        request = cls(
            data=data, test=said.get("test", test), fixed={**before["fixed"], **fixed}, precision=precision,
            **{name: before[name] for name in KEPT if name in before and name != "test"},
            storage=address_of(folder, before.get("storage"), said.get("storage")),
            refit=said["refit"] or before["refit"], single=said["single"] or before["single"],
            neighbours=said["neighbours"] and before.get("neighbours", True),
            **{name: before.get(name, earlier) for name, earlier in ITS_OWN.items()},
        )  # fmt: skip
        return request, words_of_held_knobs(before["fixed"], fixed) + words_of_precision(earlier, precision)

    def prepared(self) -> Prepared:
        """The table that is asked for, ready to train on; raises DataError and OptionError."""
        return prepare(
            self.data, target=self.target, task=self.task, split=self.split, test=self.test, drop=self.drop,
            number=self.number, category=self.category, weight=self.weight, seed=self.seed, spans=self.spans,
            folds_of_few=self.folds_of_few,
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """All of it as it stands in the study's document; data and test rows by their paths, where they have one."""
        of_data = {"data": _reference(self.data), "test": _reference(self.test), "target": self.target}
        listed = {name: _listed(getattr(self, name)) for name in ("drop", "number", "category")}
        named = {name: getattr(self, name) for name in ("task", "split", "weight", "seed", "metric", *ITS_OWN)}
        return of_data | listed | named | self.changes()

    def changes(self) -> dict[str, Any]:
        """What of its document may be another when a study is gone on with."""
        return {
            "fixed": dict(self.fixed), "storage": self.storage, "refit": self.refit, "single": self.single,
            "neighbours": self.neighbours, "precision": self.precision,
        }  # fmt: skip


@dataclass(frozen=True)
class NetworksRequest:
    """What was asked of the study of a caller's own networks; the arguments of `tt.tune` say what each field is.

    `make` is a module or a function that makes one; `seed` is None where a study that is gone on with has it.
    """

    make: Any
    data: Any
    valid: Any = USUAL_VALID_SHARE
    test: Any = None
    space: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    metric: str | OwnMetric | None = None
    seed: int | None = None
    storage: str | None = None

    @classmethod
    def checked(
        cls, *, make: Any, data: Any, valid: Any, test: Any, space: Mapping[str, Any] | None, fixed: Mapping[str, Any],
        metric: str | OwnMetric | None, seed: Any, storage: str | None,
    ) -> "NetworksRequest":  # fmt: skip
        """Of what a caller gave; raises OptionError."""
        has_no_test = is_usual(test) or (isinstance(test, str) and test == "none")
        return cls(
            make, data, valid=USUAL_VALID_SHARE if is_usual(valid) else valid, test=None if has_no_test else test,
            space=space or {}, fixed=fixed, metric=metric, **_seed_and_storage(seed, storage),
        )  # fmt: skip

    @property
    def share(self) -> float | None:
        """The share of the rows that are judged, where no others were given."""
        return float(self.valid) if isinstance(self.valid, (int, float)) else None


def _seed_and_storage(seed: Any, storage: str | None) -> dict[str, Any]:
    """Those of both that were given, in the form in which they are used; raises OptionError."""
    given = {} if seed is None else {"seed": whole("seed", seed)}
    return given if storage is None else given | {"storage": checked_address(storage)}


def _listed(names: Any) -> Any:
    """Names of columns for the study's document; what is no sequence of them is refused where the table is known."""
    return [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else names


def _reference(data: Any) -> str | float | None:
    """What of `data` can be written into the study's document: a path or a number; frames are known by fingerprint."""
    if isinstance(data, (str, os.PathLike)):
        text = os.fspath(data)
        return text if text == "none" else str(Path(text).resolve())
    return data if isinstance(data, float) else None


def _as_written(value: Any) -> Any:
    """An option as it stands in a document, so that "a,b", ("a", "b") and ["a", "b"] are the same columns."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [part for each in value for part in _as_written(each)] if isinstance(value, (tuple, list)) else value
