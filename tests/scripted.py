"""What tests of scripts share: a study's folder without its search, and the parts of its script as they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from trimtab.export.scripts.table_script import study_script
from trimtab.model.model import Model
from trimtab.table.folds import folds_frame
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config, Loss
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

NETWORK = (("activation", "relu"), ("depth", 1), ("inputs", "periodic"), ("width", 16))
OPTIONS: dict[str, Any] = {
    "task": "auto", "split": "random", "test": 0.2, "drop": [], "number": [], "category": [], "weight": None, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A study as it would stand on disk after finding `trial`, and the script of it."""

    prepared: Prepared
    trial: TrialRecord
    script: str

    def run_until(self, mark: str) -> dict[str, Any]:
        """The names that the script has made when it comes to the line that starts with `mark`, or to its end."""
        lines = self.script.splitlines()
        until = next((i for i, line in enumerate(lines) if line.startswith(mark)), len(lines))
        names: dict[str, Any] = {}
        exec(compile("\n".join(lines[:until]), "train.py", "exec"), names)  # noqa: S102
        return names


def written(
    folder: Path, path: Path | None, target: str, *, data: Any = None, config: Config | None = None, name: str = "",
    metric: str | None = None, result: dict | None = None, best_epoch: int = 1, cuts: tuple[int, ...] = (),
    single: bool = False, refit: bool = False, **options: Any,
) -> Written:  # fmt: skip
    """The script of a study of the table at `path` (or of `data`, which was in memory) that found `config`."""
    options = OPTIONS | options
    prepared = prepare(path if path is not None else data, target=target, **options)
    asked = {"data": None if path is None else str(path), "target": target, "metric": metric, **options}
    asked |= {"fingerprint": prepared.fingerprint, "single": single, "refit": refit}
    study = StudyFolder.create(folder, asked)
    study.save_folds(folds_frame(prepared.folds, prepared.development_rows))
    study.write("study.json", study.read("study.json") | {"result": result})
    is_numbers = prepared.schema.task == "regression"
    config = config or Config(network=NETWORK, loss=Loss("mse" if is_numbers else "cross_entropy"), epochs=3)
    folds = len(prepared.folds)
    trial = TrialRecord(
        7, name, {}, config, "complete", 0.5, (0.5,) * folds, (best_epoch,) * folds, ("all epochs",) * folds,
        cuts=(cuts,) * folds,
    )  # fmt: skip
    model = Model(prepared.encoder, prepared.target_encoder, ())
    return Written(prepared, trial, study_script(study, trial, model))


def assert_same_folds(made: Written, names: dict[str, Any]) -> None:
    """The script's folds are the study's, of rows with the same targets."""
    rows = made.prepared.development_rows
    for fold, own in zip(names["folds"], made.prepared.folds, strict=True):
        for part, own_part in zip(fold, own, strict=True):
            numpy.testing.assert_array_equal(part, rows[own_part])
    truth = made.prepared.target_encoder.truth(made.prepared.development)
    numpy.testing.assert_array_equal(names["target"][rows].squeeze(), truth.squeeze())


def assert_same_columns(made: Written, names: dict[str, Any]) -> None:
    """The script's columns are the encoder's, in whatever order; categories have the same entries, however numbered."""
    rows = numpy.unique(numpy.concatenate([part for fold in names["folds"] for part in fold]))
    own = made.prepared.numbers[:, made.prepared.numbers.any(axis=0)]
    if own.shape[1]:
        found = names["numbers"].numpy()[rows]
        order = [columns[:, numpy.lexsort(columns[::-1].round(4))] for columns in (found, own)]
        numpy.testing.assert_allclose(*order, atol=1e-5)
    codes = made.prepared.codes
    if codes.shape[1]:
        for i in range(codes.shape[1]):
            pairs = numpy.unique(torch.stack([names["codes"][rows, i], torch.from_numpy(codes[:, i])], 1), axis=0)
            assert len(pairs) == len(numpy.unique(codes[:, i])) == len(numpy.unique(names["codes"][rows, i]))
            assert [0, 0] in pairs.tolist() or 0 not in pairs
