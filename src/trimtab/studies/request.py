"""TableRequest, NetworksRequest: what was asked of a study, whole and unchangeable, before anything is read.

Knows what a study's document holds of it; it reads no data.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from trimtab.errors import OptionError, StudyError
from trimtab.table.prepare import USUAL, USUAL_TEST_SHARE, is_usual, refuse_second_split
from trimtab.training.own_metric import Metric as OwnMetric
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import address_of, words_of_held_knobs, words_of_precision

# What belongs to a study's data and split: one that is gone on with keeps it.
KEPT = ("target", "task", "split", "test", "weight", "seed", "drop", "number", "category", "metric")
TEXTS = ("task", "split", "weight", "storage")


@dataclass(frozen=True)
class TableRequest:
    """What was asked of the study of a table; the arguments of `tt.tune` say what each field is.

    `data` is whatever a table can be read from, `test` a share, a file or frame of rows, or "none"; `fixed` are the
    knobs that are held still.
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
    metric: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    refit: bool = False
    single: bool = False
    precision: Literal["high", "auto"] = "high"

    @classmethod
    def new(cls, said: Mapping[str, Any]) -> "TableRequest":
        """Of the options that a caller `said` something to, by their names; raises OptionError."""
        _check_texts(said)
        if said.get("data") is None:
            raise OptionError("There is no data: name a file, or a study to go on from with --resume.")
        refuse_second_split(said["data"], said.get("split"), said.get("test", USUAL))
        return cls(**{name: value for name, value in said.items() if name != "test" or not is_usual(value)})

    @classmethod
    def going_on(cls, folder: StudyFolder, said: Mapping[str, Any]) -> tuple["TableRequest", list[str]]:
        """Of the study in `folder` and what a caller `said` besides; and what a user ought to know of that.

        Raises StudyError for options that would change its data, split or metric.
        """
        _check_texts(said)
        before = folder.read("study.json")["asked"]
        now = {**said, "test": None if is_usual(said.get("test", USUAL)) else _reference(said["test"])}
        for name in KEPT:
            if now.get(name) not in (None, [], ()) and _as_written(now[name]) != _as_written(before.get(name)):
                raise StudyError(
                    f"--{name} {now[name]} differs from the study in {folder.path} ({before.get(name)}): a resumed "
                    "study keeps its data, split and metric. Leave the option out, or start a new study."
                )
        data = before["data"] if said.get("data") is None else said["data"]
        if data is None:
            raise StudyError(
                f"The study in {folder.path} was made from a frame: give the same data again to resume it."
            )
        test = said.get("test", USUAL)
        if is_usual(test):
            test = USUAL_TEST_SHARE if before["test"] is None else before["test"]
        fixed, precision = said.get("fixed", {}), said.get("precision") or before.get("precision", cls.precision)
        request = cls(
            data, test=test, **{name: before[name] for name in KEPT if name in before and name != "test"},
            fixed={**before["fixed"], **fixed}, precision=precision,
            storage=address_of(folder, before.get("storage"), said.get("storage")),
            refit=said.get("refit") or before["refit"], single=said.get("single") or before["single"],
        )  # fmt: skip
        notices = words_of_held_knobs(before["fixed"], fixed)
        return request, notices + words_of_precision(before.get("precision", cls.precision), precision)

    def document(self) -> dict[str, Any]:
        """All of it as it stands in the study's document; data and test rows by their paths, where they have one."""
        of_data = {"data": _reference(self.data), "test": _reference(self.test), "target": self.target}
        listed = {name: _listed(getattr(self, name)) for name in ("drop", "number", "category")}
        named = {name: getattr(self, name) for name in ("task", "split", "weight", "seed", "metric")}
        return of_data | listed | named | self.changes()

    def changes(self) -> dict[str, Any]:
        """What of its document may be another when a study is gone on with."""
        return {
            "fixed": dict(self.fixed), "storage": self.storage, "refit": self.refit, "single": self.single,
            "precision": self.precision,
        }  # fmt: skip


@dataclass(frozen=True)
class NetworksRequest:
    """What was asked of the study of a caller's own networks; the arguments of `tt.tune` say what each field is.

    `make` is a module or a function that makes one; `seed` is None where a study that is gone on with has it.
    """

    make: Any
    data: Any
    valid: Any = 0.2
    test: Any = None
    space: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    metric: str | OwnMetric | None = None
    seed: int | None = None
    storage: str | None = None

    @property
    def share(self) -> float | None:
        """The share of the rows that are judged, where no others were given."""
        return float(self.valid) if isinstance(self.valid, (int, float)) else None

    def seeded(self, seed: int) -> "NetworksRequest":
        return replace(self, seed=seed)


def _check_texts(said: Mapping[str, Any]) -> None:
    for name in TEXTS:
        if said.get(name) is not None and not isinstance(said[name], str):
            raise OptionError(f"--{name} is {said[name]!r}: it must be a text.")


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
