"""TableStudy: the study of a table, with the model that predicts its rows. Trains nothing."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import StudyError
from trimtab.model.model import Model
from trimtab.studies.study import Place, Study
from trimtab.tuning.folder import StudyFolder

if TYPE_CHECKING:
    import torch

    from trimtab.evaluation.result import Evaluation
    from trimtab.findings.worth.account import Account


@dataclass(frozen=True, repr=False)
class TableStudy(Study):
    """A finished (or interrupted) search over a table."""

    @property
    def module(self) -> "torch.nn.Module":
        raise StudyError("This study is of a table: its model is study.model.")

    @cached_property
    def model(self) -> Model:
        """The saved model, read from the study folder."""
        return Model.load(self.out / "model")

    @property
    def predictions(self) -> polars.DataFrame:
        """What the model of a table predicted for the rows it may be judged by, from `predictions.parquet`.

        Columns: `row` (the row's number in the source from 0 on, or in a test table of its own), `part` ("validation":
        out of fold; "test"), `truth` and `prediction` (`truth_NAME`, `prediction_NAME` for several targets), for
        classes `probability_LABEL`, and `weight` where rows have one. Raises StudyError where the file is not there.
        """
        path = StudyFolder(self.out).predictions
        if not path.exists():
            raise StudyError(f"{self.out} has no {path.name}: it is written when a search of a table ends.")
        return polars.read_parquet(path)

    def how_to_explain(self, budget: str) -> str:
        return f"trimtab explain {shlex.quote(str(self.out))} --budget {budget}"

    def _explained(self, budget: str | float, **options: Any) -> "Account":
        from trimtab.studies.explaining import explained_table

        return explained_table(self, budget=budget, **options)

    def code(self) -> str:
        from trimtab.export.scripts.table_script import study_script

        return study_script(StudyFolder(self.out), self.winner, self.model)

    def export(
        self, *, python: Place = None, onnx: Place = None, pt2: Place = None, interval: float | None = None
    ) -> dict[str, Path]:
        from trimtab.export.files import export_files
        from trimtab.export.scripts.table_script import study_files

        script = partial(study_files, StudyFolder(self.out), self.winner, self.model)
        return export_files(self.model, script, python=python, onnx=onnx, pt2=pt2, interval=interval)

    def evaluate(
        self, data: Any, target: str | Sequence[str] | None = None, *, weight: str | None = None,
        threshold: float | str | None = None, seed: int = 0,
    ) -> "Evaluation":  # fmt: skip
        from trimtab.evaluation.evaluation import evaluate

        asked = StudyFolder(self.out).read("study.json")["asked"]
        return evaluate(
            self.model, data, target=target, weight=weight, usual_weight=asked.get("weight"),
            metric=self.result.get("metric") or asked.get("metric"), threshold=threshold, study=self.out, seed=seed,
        )  # fmt: skip
