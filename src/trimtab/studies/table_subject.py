"""TableSubject: a table as what a study is of, read and checked against what was asked.

Knows tables, metrics and knobs; it searches nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from trimtab.errors import StudyError
from trimtab.knobs.knob import Task
from trimtab.listeners.listeners import Listeners
from trimtab.machine import available_memory
from trimtab.model.tensors import training_data
from trimtab.studies.call import Call
from trimtab.studies.request import TableRequest
from trimtab.studies.table_study import TableStudy
from trimtab.table.prepared import Prepared
from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric, metric_for
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.space import Space, check_fixed, space_for
from trimtab.tuning.trial import TrialRecord

# Guesses: tensors, frames and the engine's copies of them take so many times the tensors alone; beyond this share of
# the memory that is free, other programs would begin to swap.
MEMORY_FACTOR, MOST_OF_MEMORY = 3, 0.7


@dataclass(frozen=True)
class TableSubject:
    """A table, the metric that rules, and the knobs that are turned; tensors lie on `device`."""

    request: TableRequest
    prepared: Prepared
    metric: Metric
    space: Space
    device: torch.device

    @classmethod
    def read(cls, request: TableRequest, call: Call) -> "TableSubject":
        """The table that is asked for; raises DataError and OptionError, and StudyError where the study that the call
        goes on with is of other rows."""
        prepared = request.prepared()
        subject = cls.of(request, prepared, call.device)
        if call.resume is not None:
            subject.check_fingerprint(call.resume)
        return subject

    @classmethod
    def of(cls, request: TableRequest, prepared: Prepared, device: torch.device) -> "TableSubject":
        """A table that is prepared already; raises OptionError for a metric or a knob that does not fit it."""
        target = prepared.target_encoder
        task: Task = target.task  # type: ignore[assignment]
        metric = metric_for(request.metric, task, target.outputs)
        fixed = check_fixed(request.fixed, task)
        rows, columns = max(len(train) for train, _ in prepared.folds), prepared.encoder.n_numbers
        space = space_for(task, metric.name, rows=rows, columns=columns, fixed=fixed)
        return cls(request, prepared, metric, space, device)

    @property
    def name(self) -> str:
        return self.prepared.source_name

    @property
    def seed(self) -> int:
        return self.request.seed

    @property
    def storage(self) -> str | None:
        return self.request.storage

    @property
    def data(self) -> TrainingData:
        return self._tensors

    @cached_property
    def _tensors(self) -> TrainingData:
        """Made at first use: who only looks at a table needs none."""
        return training_data(self.prepared, self.device)

    def announce(self, listeners: Listeners) -> None:
        """What each column is for, and what a user ought to know of the table before it is learnt from."""
        listeners.schema(self.prepared.schema)
        for notice in self.prepared.notices:
            listeners.notice(notice)
        needed, there = MEMORY_FACTOR * self.prepared.estimated_bytes(), available_memory()
        if there and needed > MOST_OF_MEMORY * there:
            listeners.notice(
                f"Training needs about {needed / 2**30:.1f} GiB of memory and {there / 2**30:.1f} GiB are free: "
                "close other programs, or give fewer rows or columns (--drop)."
            )

    def check_fingerprint(self, folder: StudyFolder) -> None:
        if folder.read("study.json")["asked"].get("fingerprint") != self.prepared.fingerprint:
            raise StudyError(
                f"{folder.path} was made with other data or another split: resume it with the same data, "
                "or start a new study without --resume."
            )

    def document(self) -> dict[str, Any]:
        found = {"greater_is_better": self.metric.greater_is_better, "fingerprint": self.prepared.fingerprint}
        return self.request.document() | found

    def changes(self, folder: StudyFolder) -> dict[str, Any]:
        return self.request.changes()

    def how_to_resume(self, folder: Path) -> str:
        return f"--resume {folder}"

    def study(
        self, out: Path, result: dict[str, Any], winner: TrialRecord, trials: Sequence[TrialRecord],
        notices: Sequence[str],
    ) -> TableStudy:  # fmt: skip
        return TableStudy(out, result, winner, tuple(trials), tuple(notices))
