"""tt.TensorBoardLogger: what TensorBoard reads back is what the runs told."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.loggers import tensorboard as file

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: Path) -> Any:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_the_curves_of_a_fit_are_there_with_its_settings_and_result(tmp_path: Path) -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    logger = tt.TensorBoardLogger(tmp_path / "logs")
    run = tt.fit(nn.Linear(3, 1), train=(x, x.sum(1, keepdim=True)), epochs=3, lr=0.02, callbacks=[logger])
    events = read(tmp_path / "logs" / run.name)
    for name in ("train_loss", "validation_loss", "learning_rate", "gradient_norm", "update_ratio"):
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == run.curves["epoch"].to_list()
        assert [scalar.value for scalar in scalars] == pytest.approx(run.curves[name].to_list(), rel=1e-6), name
    assert "dead_units" not in events.Tags()["scalars"], "a linear layer has no activations: what is NaN is left out"
    assert events.Scalars("result/score")[0].value == pytest.approx(run.score, rel=1e-6)
    assert events.Scalars("result/best_epoch")[0].value == run.best_epoch
    assert b"all epochs" in events.Tensors("ended/text_summary")[0].tensor_proto.string_val[0]
    settings = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.learning_rate" in settings


def test_runs_side_by_side_have_folders_of_their_own(tmp_path: Path) -> None:
    logger = tt.TensorBoardLogger(tmp_path)
    for run in ("a", "b"):
        logger.started(run, {"lr": 0.1, "network": {}, "groups": ["x"], "clip": None})
    for epoch in (1, 2):
        for run, loss in (("a", 1.0), ("b", math.nan)):
            logger.epoch_ended(run, {"epoch": epoch, "train_loss": loss, "validation_loss": epoch + loss})
    for run in ("b", "a"):
        logger.ended(run, {"ended": "not finite" if run == "b" else "all epochs", "score": 2.0, "best_epoch": 0})
    assert [scalar.value for scalar in read(tmp_path / "a").Scalars("validation_loss")] == [2.0, 3.0]
    assert "validation_loss" not in read(tmp_path / "b").Tags()["scalars"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a", "b"]


def test_a_second_run_of_a_name_and_odd_names_get_folders_of_their_own(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        logger = tt.TensorBoardLogger(tmp_path)
        for run in ("run", "lr=0.1/../seed: 0"):
            logger.started(run, {})
            logger.epoch_ended(run, {"epoch": 1, "train_loss": loss})
            logger.ended(run, {"ended": "all epochs"})
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "lr=0.1-..-seed- 0", "lr=0.1-..-seed- 0-2", "run", "run-2",
    ]  # fmt: skip
    assert [scalar.value for scalar in read(tmp_path / "run-2").Scalars("train_loss")] == [2.0]


def test_runs_beyond_the_files_that_may_be_open_are_written_when_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_MOST_OPEN", 2)
    logger = tt.TensorBoardLogger(tmp_path)
    for epoch in (1, 2):
        for run in "abc":
            logger.epoch_ended(run, {"epoch": epoch, "train_loss": epoch * 1.5})
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a", "b"]
    for run in "abc":
        logger.ended(run, {"ended": "all epochs"})
        assert [scalar.value for scalar in read(tmp_path / run).Scalars("train_loss")] == [1.5, 3.0]
